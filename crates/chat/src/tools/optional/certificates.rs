//! `gateway_certificates`: which certificates there are, and when they end.

use serde_json::{Value, json};
use usher_model::certificate::Certificate;
use usher_model::kind::Kind;

use crate::tools::arguments::Arguments;
use crate::tools::history::now;
use crate::tools::refusal::Refusal;
use crate::tools::text::clean;
use crate::tools::{Answer, Call, MOST_ITEMS};

/// Seconds of a day.
const DAY: i64 = 86_400;
/// Names of one certificate that are told.
const MOST_NAMES: usize = 10;

impl Call<'_> {
    pub(super) async fn certificates(&self, arguments: &Arguments) -> Result<Answer, Refusal> {
        let within = arguments.whole_or_null("within_days")?;
        let within = within.map(|days| i64::try_from(days).unwrap_or(i64::MAX / DAY).min(i64::MAX / DAY));
        let today = i64::try_from(now()).unwrap_or(i64::MAX);
        let mut found: Vec<(i64, Value)> = Vec::new();
        for stored in self.all(Kind::Ssl).await? {
            let read = stored.value.get("cert").and_then(Value::as_str).map(Certificate::read);
            let read = read.and_then(Result::ok);
            // One that can't be read is looked at first.
            let left = read.as_ref().map(|read| (read.not_after - today).div_euclid(DAY));
            if within.is_some_and(|within| left.is_some_and(|left| left > within)) {
                continue;
            }
            let names = read.as_ref().map(|read| read.names.clone()).unwrap_or_default();
            let names: Vec<String> = names.iter().take(MOST_NAMES).map(|name| clean(name, 120)).collect();
            let item = json!({
                "id": clean(&stored.key.id, 100), "names": names, "until": read.as_ref().map(|read| read.until.clone()),
                "days_left": left, "in_use": stored.value.get("status") != Some(&json!(0)),
                "fingerprint": read.map(|read| read.fingerprint),
            });
            found.push((left.unwrap_or(i64::MIN), item));
        }
        found.sort_by_key(|(left, _)| *left);
        let total = found.len();
        let items: Vec<Value> = found.into_iter().take(MOST_ITEMS).map(|(_, item)| item).collect();
        let mut lines: Vec<String> = items.iter().map(told).collect();
        if total > items.len() {
            lines.push(format!("{} more; within_days narrows it", total - items.len()));
        }
        if lines.is_empty() {
            lines.push(
                if within.is_some() { "none ends until then" } else { "there are no certificates yet" }
                    .to_owned(),
            );
        }
        Ok(Answer { text: lines.join("\n"), structured: json!({ "total": total, "items": items }) })
    }
}

fn told(item: &Value) -> String {
    let text = |name: &str| item.get(name).and_then(Value::as_str).unwrap_or_default();
    let names = item.get("names").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let names = names.collect::<Vec<_>>().join(", ");
    let off = if item.get("in_use") == Some(&Value::Bool(false)) { ", switched off" } else { "" };
    match item.get("days_left").and_then(Value::as_i64) {
        Some(left) if left < 0 => format!("{}: {names}, ended on {}{off}", text("id"), text("until")),
        Some(left) => format!("{}: {names}, until {} ({left} days){off}", text("id"), text("until")),
        None => format!("{}: a certificate that can't be read{off}", text("id")),
    }
}
