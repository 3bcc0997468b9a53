//! `usher traffic`: what a running Usher has served, from its own time series: requests, errors, bytes and latency.

use clap::Args;
use serde_json::Value;

use super::output::{Format, Table, print};
use super::remote::Remote;
use crate::terminal::{Style, say};

/// Options of `usher traffic`.
#[derive(Args, Debug)]
pub(crate) struct Traffic {
    /// What rows are told apart by, with commas: route, service, consumer, status, class, cause, plugin, client
    #[arg(value_name = "BY", default_value = "route")]
    by: String,
    /// How far back: 10m, 24h, 30d
    #[arg(long, short = 'r', value_name = "TIME", default_value = "1h")]
    range: String,
    /// How much earlier the time lies that it is compared with: 1d
    #[arg(long, value_name = "TIME")]
    compare: Option<String>,
    /// Only requests of the route of this id; an empty text: of none
    #[arg(long, value_name = "ROUTE")]
    route: Option<String>,
    /// Only requests of the service of this id
    #[arg(long, value_name = "SERVICE")]
    service: Option<String>,
    /// Only requests of this consumer
    #[arg(long, value_name = "NAME")]
    consumer: Option<String>,
    /// Only answers of this status: 404, 5xx, 400-499
    #[arg(long, value_name = "STATUS")]
    status: Option<String>,
    /// Which rows come first: requests, errors, refused, slowest, bytes
    #[arg(long, value_name = "WHAT", default_value = "requests")]
    sort: String,
    /// At most so many rows
    #[arg(long, short = 'n', value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=100))]
    limit: u16,
    /// How it is shown; json and yaml hold the points too
    #[arg(long, short = 'o', value_enum, default_value_t = Format::Table)]
    output: Format,
    #[command(flatten)]
    remote: Remote,
}

impl Traffic {
    /// Asks and shows.
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let mut query = vec![
            ("group", self.by.clone()),
            ("range", self.range.clone()),
            ("sort", self.sort.clone()),
            ("limit", self.limit.to_string()),
        ];
        for (name, value) in [
            ("compare", &self.compare),
            ("route", &self.route),
            ("service", &self.service),
            ("consumer", &self.consumer),
            ("status", &self.status),
        ] {
            query.extend(value.clone().map(|value| (name, value)));
        }
        if self.output == Format::Table {
            query.push(("points", "0".to_owned()));
        }
        let found = self.remote.client()?.get(&["traffic"], &query).await?;
        if self.output != Format::Table {
            return print(&found, self.output);
        }
        table(&found).print(Style::detect(), "")?;
        if let Some(of) = gateways(&found) {
            say(&of)?;
        }
        match found.get("more").and_then(Value::as_u64).filter(|more| *more > 0) {
            Some(more) => say(&format!("{more} more rows; -n shows up to 100")),
            None => Ok(()),
        }
    }
}

/// The answer as a table; its last row is everything.
fn table(found: &Value) -> Table {
    let compared = found.get("before").is_some();
    let mut titles = vec!["", "REQUESTS", "5XX", "4XX", "P50 MS", "P95 MS", "P99 MS"];
    if compared {
        titles.extend(["REQUESTS BEFORE", "5XX BEFORE", "P95 BEFORE"]);
    }
    let mut table = Table::new(titles);
    let series = found.get("series").and_then(Value::as_array).into_iter().flatten();
    let rows = series.map(|row| (key(row), row)).chain([("all".to_owned(), found)]);
    for (name, row) in rows {
        let number = |of: &str, member: &str| {
            let value = row.get(of).and_then(|sum| sum.get(member));
            value.filter(|value| !value.is_null()).map_or_else(|| "-".to_owned(), ToString::to_string)
        };
        let mut cells = vec![name];
        cells.extend(
            ["requests", "errors", "refused", "p50_ms", "p95_ms", "p99_ms"].map(|name| number("total", name)),
        );
        if compared {
            cells.extend(["requests", "errors", "p95_ms"].map(|name| number("before", name)));
        }
        table.row(cells);
    }
    table
}

/// Of how many gateways the numbers are, where that was asked.
fn gateways(found: &Value) -> Option<String> {
    let gateways = found.get("gateways")?;
    let counted = gateways.get("counted")?.as_u64()?;
    let text =
        |one: &Value, member: &str| one.get(member).and_then(Value::as_str).unwrap_or_default().to_owned();
    let missing: Vec<String> = gateways
        .get("missing")?
        .as_array()?
        .iter()
        .map(|one| format!("{} ({})", text(one, "gateway"), text(one, "reason")))
        .collect();
    Some(match missing.len() {
        0 => format!("of all {counted} gateways"),
        more => {
            format!("of {counted} of {} gateways; missing: {}", counted + more as u64, missing.join(", "))
        }
    })
}

/// What a row is of.
fn key(row: &Value) -> String {
    let names = row.get("key").and_then(Value::as_object).into_iter().flatten();
    let names: Vec<String> = names
        .map(|(by, name)| match name.as_str().unwrap_or_default() {
            "" => format!("no {by}"),
            "*" => format!("other {by}s"),
            name => name.to_owned(),
        })
        .collect();
    names.join("  ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::table;
    use crate::terminal::Style;

    #[test]
    fn a_table_says_what_was_and_what_was_before() {
        let sum = |requests: u64, p95: f64| json!({ "requests": requests, "errors": 1, "refused": 0, "p50_ms": 1.0, "p95_ms": p95, "p99_ms": null });
        let found = json!({
            "total": sum(7, 9.5), "before": sum(3, 2.5), "more": 2,
            "series": [{ "key": { "route": "a\u{1b}", "plugin": "" }, "total": sum(7, 9.5), "before": sum(3, 2.5) }],
        });
        let said = table(&found).text(Style::plain());
        assert!(said.contains("no plugin") && said.contains("9.5") && said.contains("2.5"), "{said}");
        assert!(said.contains("\nall") && !said.contains('\u{1b}'), "{said}");
    }
}
