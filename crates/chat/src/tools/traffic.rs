//! `gateway_traffic`: what was served, told apart by what one asks for, beside an earlier time. The numbers are the gateway's own.

use serde_json::{Map, Value, json};
use usher_admin::service::Gateways;
use usher_model::traffic::{Ask, By, LONGEST_SECS, Measure, OTHER, Only, Order, Row, span, statuses};

use super::arguments::Arguments;
use super::history::now;
use super::refusal::Refusal;
use super::text::clean;
use super::{Answer, Call};

/// Rows of one answer unless asked otherwise.
const USUAL: usize = 10;

/// What rows may be sorted by.
const ORDERS: [(&str, Order); 5] = [
    ("requests", Order::Requests),
    ("errors", Order::Errors),
    ("refused", Order::Refused),
    ("slowest", Order::Slowest),
    ("bytes", Order::Bytes),
];

impl Call<'_> {
    pub(super) async fn traffic(&self, arguments: &Arguments) -> Result<Answer, Refusal> {
        let range = time(arguments, "range")?.unwrap_or(3_600);
        let earlier = time(arguments, "compare")?;
        let by = by(arguments.text_or_null("by").unwrap_or("route"))?;
        let to = now() + 1;
        let ask = Ask {
            from: to.saturating_sub(range),
            to,
            by: by.clone(),
            only: Only {
                route: self.route_id(arguments).await?,
                consumer: arguments.text_or_null("consumer").map(str::to_owned),
                status: status(arguments)?,
                ..Only::default()
            },
            limit: arguments.limit(USUAL)?,
            order: order(arguments)?,
            ..Ask::default()
        };
        let found = self.service.traffic(self.who, ask, earlier).await.map_err(|error| self.refuse(error))?;
        let compared = found.before.is_some();
        let mut lines = vec![format!("all: {}", told(&found.traffic.total, found.before.as_ref()))];
        lines.extend(found.gateways.as_ref().map(gateways_told));
        let mut rows = Vec::new();
        for (row, before) in
            found.traffic.rows.iter().zip(found.rows_before.iter().map(Some).chain(std::iter::repeat(None)))
        {
            lines.push(format!("{}: {}", named(&by, row), told(&row.total, before)));
            rows.push(shape(&by, row, before));
        }
        if found.traffic.more > 0 {
            lines.push(format!("{} more rows; a filter or another order shows them", found.traffic.more));
        }
        // Before that nothing is known, which is another thing than nothing having been served.
        let begin = found.traffic.from.saturating_sub(earlier.unwrap_or(0));
        match found.traffic.since {
            None => lines.push("nothing was served yet that is remembered".to_owned()),
            Some(since) if since > begin + 3_600 => {
                lines.push(format!("remembered since {}", super::history::when(since.saturating_mul(1000))));
            }
            Some(_) => {}
        }
        let mut structured = json!({
            "from": found.traffic.from, "to": found.traffic.to, "since": found.traffic.since,
            "total": measure(&found.traffic.total), "before": compared.then(|| found.before.as_ref().map(measure)).flatten(),
            "rows": rows, "more": found.traffic.more,
        });
        if let (Some(gateways), Some(members)) = (&found.gateways, structured.as_object_mut()) {
            members.insert("gateways".to_owned(), gateways_shape(gateways));
        }
        Ok(Answer { text: lines.join("\n"), structured })
    }

    /// The id of the route that is asked for by id or name. One that is gone has traffic too; an empty word is no route.
    pub(super) async fn route_id(&self, arguments: &Arguments) -> Result<Option<String>, Refusal> {
        let Some(word) = arguments.text_or_null("route") else { return Ok(None) };
        if word.is_empty() {
            return Ok(Some(String::new()));
        }
        Ok(Some(self.once(usher_model::kind::Kind::Route, word).await?.id))
    }
}

/// Of how many gateways figures are, for people.
pub(super) fn gateways_told(gateways: &Gateways) -> String {
    clean(&gateways.told(), 500)
}

/// The same as members.
pub(super) fn gateways_shape(gateways: &Gateways) -> Value {
    let missing = gateways.missing.iter();
    let missing: Vec<Value> = missing
        .map(|one| json!({ "gateway": clean(&one.gateway, 100), "reason": clean(&one.reason, 200) }))
        .collect();
    json!({ "counted": gateways.counted, "missing": missing })
}

fn time(arguments: &Arguments, name: &str) -> Result<Option<u64>, Refusal> {
    let Some(text) = arguments.text_or_null(name) else { return Ok(None) };
    span(text).map(Some).ok_or_else(|| {
        Refusal::new(format!("{:?} is no time", clean(text, 40))).at(format!("/{name}")).allowed(format!(
            "a number and s, m, h or d, such as 10m, 24h or 7d; at most {}d",
            LONGEST_SECS / 86_400
        ))
    })
}

/// A status, a class or a range.
pub(super) fn status(arguments: &Arguments) -> Result<Option<(u16, u16)>, Refusal> {
    let Some(text) = arguments.text_or_null("status") else { return Ok(None) };
    statuses(text).map(Some).ok_or_else(|| {
        Refusal::new(format!("{:?} is no status", clean(text, 40)))
            .at("/status")
            .allowed("one such as 404, a class such as 5xx, or two such as 400-499")
    })
}

fn by(text: &str) -> Result<Vec<By>, Refusal> {
    let mut all = Vec::new();
    for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        let one = By::parse(word).ok_or_else(|| {
            Refusal::new(format!("rows can't be told apart by {:?}", clean(word, 40)))
                .at("/by")
                .meant(usher_model::nearest::nearest(word, By::ALL.iter().map(|by| by.name())))
                .allowed(format!("{}; several with commas", By::ALL.map(By::name).join(", ")))
        })?;
        if !all.contains(&one) {
            all.push(one);
        }
    }
    Ok(all)
}

fn order(arguments: &Arguments) -> Result<Order, Refusal> {
    let Some(word) = arguments.text_or_null("sort") else { return Ok(Order::default()) };
    let found = ORDERS.iter().find(|(name, _)| *name == word).map(|(_, order)| *order);
    found.ok_or_else(|| {
        Refusal::new(format!("rows can't be sorted by {:?}", clean(word, 40)))
            .at("/sort")
            .allowed(ORDERS.map(|(name, _)| name).join(", "))
    })
}

/// What a row is of, for people.
fn named(by: &[By], row: &Row) -> String {
    let names: Vec<String> = by
        .iter()
        .zip(&row.key)
        .map(|(by, name)| match name.as_str() {
            "" if *by == By::Plugin => "no plugin".to_owned(),
            "" => format!("no {}", by.name()),
            OTHER => format!("other {}s", by.name()),
            name => format!("{} {}", by.name(), clean(name, 100)),
        })
        .collect();
    names.join(", ")
}

/// A sum in words.
fn told(measure: &Measure, before: Option<&Measure>) -> String {
    let mut text = sum(measure);
    if let Some(before) = before {
        text.push_str(&format!("; before: {}", sum(before)));
    }
    text
}

fn sum(measure: &Measure) -> String {
    let Some(took) = measure.took else { return "no requests".to_owned() };
    let mut text = format!("{} requests", measure.requests);
    for (count, word) in [(measure.refused(), "4xx"), (measure.errors(), "5xx")] {
        if count > 0 {
            let share = 100.0 * count as f64 / measure.requests as f64;
            text.push_str(&format!(", {count} {word} ({share:.1}%)"));
        }
    }
    text.push_str(&format!(", p50 {} ms, p95 {} ms", took.p50_ms, took.p95_ms));
    text
}

fn shape(by: &[By], row: &Row, before: Option<&Measure>) -> Value {
    let key: Map<String, Value> =
        by.iter().zip(&row.key).map(|(by, name)| (by.name().to_owned(), clean(name, 100).into())).collect();
    json!({ "key": key, "total": measure(&row.total), "before": before.map(measure) })
}

fn measure(measure: &Measure) -> Value {
    let took = measure.took;
    json!({
        "requests": measure.requests, "refused": measure.refused(), "errors": measure.errors(),
        "p50_ms": took.map(|took| took.p50_ms), "p95_ms": took.map(|took| took.p95_ms), "p99_ms": took.map(|took| took.p99_ms),
    })
}
