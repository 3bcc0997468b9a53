//! `usher tail`: the requests that a running Usher serves, as they come.

use clap::Args;
use serde_json::Value;

use super::output::{Format, clean, moment};
use super::remote::Remote;
use crate::terminal::{Style, say};

/// How long one look waits for something new, in seconds.
const WAIT: &str = "10";

/// Options of `usher tail`.
#[derive(Args, Debug)]
pub(crate) struct Tail {
    /// Go on as requests come, until ctrl-c
    #[arg(long, short = 'f')]
    follow: bool,
    /// At most so many of those that are over
    #[arg(long, short = 'n', value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// Only those that took the route of this id or name; an empty text: those that took none
    #[arg(long, value_name = "ROUTE")]
    route: Option<String>,
    /// Only those of this status: 404, 5xx, 400-499
    #[arg(long, value_name = "STATUS")]
    status: Option<String>,
    /// Only those of this consumer
    #[arg(long, value_name = "NAME")]
    consumer: Option<String>,
    /// Only those of this method
    #[arg(long, value_name = "METHOD")]
    method: Option<String>,
    /// Only those whose path begins so
    #[arg(long, value_name = "PREFIX")]
    path: Option<String>,
    /// Only those that the gateway answered for this cause, such as connect-timeout
    #[arg(long, value_name = "CAUSE")]
    cause: Option<String>,
    /// How they are shown; json is one line each
    #[arg(long, short = 'o', value_enum, default_value_t = Format::Table)]
    output: Format,
    #[command(flatten)]
    remote: Remote,
}

impl Tail {
    /// Asks and shows, once or again and again.
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let client = self.remote.client()?;
        let style = Style::detect();
        let mut after: Option<String> = None;
        loop {
            let mut query = vec![("limit", self.limit.to_string())];
            for (name, value) in [
                ("route", &self.route),
                ("status", &self.status),
                ("consumer", &self.consumer),
                ("method", &self.method),
                ("path", &self.path),
                ("cause", &self.cause),
                ("after", &after),
            ] {
                query.extend(value.clone().map(|value| (name, value)));
            }
            if after.is_some() {
                // Of those that come while somebody looks, none is left out that is still kept.
                query.retain(|(name, _)| *name != "limit");
                query.extend([("limit", "1000".to_owned()), ("wait", WAIT.to_owned())]);
            }
            let found = client.get(&["requests"], &query).await?;
            if let Some(missed) = found.get("missed").and_then(Value::as_u64).filter(|missed| *missed > 0) {
                say(&style.dim(&format!("  {missed} more came than are kept")))?;
            }
            for request in found.get("requests").and_then(Value::as_array).into_iter().flatten() {
                match self.output {
                    Format::Table => say(&line(request, style))?,
                    // One a line, also for yaml: whoever follows can't wait for the end of a document.
                    _ => say(&request.to_string())?,
                }
            }
            if !self.follow {
                return match self.output {
                    Format::Table => pages(&found, style),
                    _ => Ok(()),
                };
            }
            after = found.get("next").and_then(Value::as_str).map(str::to_owned);
        }
    }
}

/// Where the manual tells of the causes that were shown, each once.
fn pages(found: &Value, style: Style) -> anyhow::Result<()> {
    let requests = found.get("requests").and_then(Value::as_array).into_iter().flatten();
    let mut causes: Vec<String> = requests
        .filter_map(|request| request.get("cause").and_then(Value::as_str))
        .filter(|cause| !cause.is_empty())
        .map(clean)
        .collect();
    causes.sort();
    causes.dedup();
    for cause in causes {
        say(&style.dim(&format!("  see: docs/causes.md#{cause}")))?;
    }
    Ok(())
}

fn line(request: &Value, style: Style) -> String {
    let text = |name: &str| clean(request.get(name).and_then(Value::as_str).unwrap_or_default());
    let number = |name: &str| request.get(name).and_then(Value::as_u64).unwrap_or_default();
    let at = moment(number("at_ms"));
    let took = request.get("took_ms").and_then(Value::as_f64).unwrap_or_default();
    let mut line = format!(
        "{at}  {}  {:>9.1} ms  {} {}{}",
        style.bold(&number("status").to_string()),
        took,
        text("method"),
        text("host"),
        text("path"),
    );
    match (text("route"), text("route_name")) {
        (id, _) if id.is_empty() => line += "  no route",
        (id, name) if name.is_empty() => line += &format!("  route {id}"),
        (id, name) => line += &format!("  route {id} ({name})"),
    }
    for (name, before) in [("node", "node "), ("consumer", "consumer "), ("client", "from ")] {
        let value = text(name);
        if !value.is_empty() {
            line += &format!("  {before}{value}");
        }
    }
    let cause = text("cause");
    if !cause.is_empty() {
        let safe = request.get("retry_safe").and_then(Value::as_bool).unwrap_or(false);
        let safe = if safe { ", may be sent again" } else { "" };
        line += &style.dim(&format!("  {} failed: {cause}{safe}", text("failed_by")));
    }
    line
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::line;
    use crate::terminal::Style;

    #[test]
    fn a_line_says_what_became_of_a_request() {
        let request = json!({
            "at_ms": 0, "status": 504, "took_ms": 12.34, "method": "GET", "host": "a.test", "path": "/x\u{1b}[2J", "route": "7", "route_name": null,
            "node": "10.0.0.1:80", "consumer": null, "client": "10.0.0.9", "cause": "read-timeout", "failed_by": "upstream", "retry_safe": false
        });
        let said = line(&request, Style::plain());
        assert!(said.contains("504") && said.contains("12.3 ms  GET a.test/x"), "{said}");
        assert!(
            said.contains("route 7  node 10.0.0.1:80  from 10.0.0.9  upstream failed: read-timeout"),
            "{said}"
        );
        assert!(!said.contains('\u{1b}'), "{said}");
    }
}
