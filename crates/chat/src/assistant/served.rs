//! Sentences about what was served and what was changed, answered from the gateway's own memory of it.

use jiff::{Timestamp, Zoned};
use serde_json::{Value, json};
use usher_model::kind::Kind;

use super::names::{Sure, resolve};
use super::turn::Turn;
use super::{Stop, for_people};
use crate::plain::intent::{Called, Reference, Served, Since};

/// Pages of the history that are read for one answer.
const PAGES: usize = 4;

/// What was served.
pub(super) async fn traffic(turn: &mut Turn<'_>, asked: Served) -> Result<String, Stop> {
    let route = route(turn, asked.of.as_ref()).await?;
    let span = |secs: u64| format!("{secs}s");
    let arguments = json!({
        "by": asked.by, "range": span(asked.range), "compare": asked.compare.map(span), "route": route, "consumer": null,
        "status": asked.status, "sort": asked.sort, "limit": 20,
    });
    let reply = turn.connection.call("gateway_traffic", arguments).await?;
    let mut text = for_people(&reply.text);
    if let Some(compare) = asked.compare {
        text.push_str(&format!("\n(\"before\" is the same time, {} earlier)", told(compare)));
    }
    if asked.by.contains("plugin") && asked.status.is_some() {
        text.push_str("\nThe plugin named is the one that answered; `show the last failed requests` or `show the last 401 requests` shows single ones.");
    }
    Ok(text)
}

/// The last requests, one by one.
pub(super) async fn requests(
    turn: &mut Turn<'_>,
    of: Option<&Reference>,
    status: Option<String>,
    last: Option<u64>,
) -> Result<String, Stop> {
    let route = route(turn, of).await?;
    let arguments = json!({ "route": route, "consumer": null, "status": status, "path": null, "limit": last.unwrap_or(10).clamp(1, 25) });
    Ok(for_people(&turn.connection.call("gateway_requests", arguments).await?.text))
}

async fn route(turn: &mut Turn<'_>, of: Option<&Reference>) -> Result<Option<String>, Stop> {
    Ok(match of {
        Some(reference) => Some(resolve(turn, reference, Sure::Nearly).await?.key.id),
        None => None,
    })
}

fn told(secs: u64) -> String {
    match secs {
        secs if secs % 86_400 == 0 => format!("{} d", secs / 86_400),
        secs if secs % 3_600 == 0 => format!("{} h", secs / 3_600),
        secs => format!("{} min", secs / 60),
    }
}

/// What was changed, and how errors were around each change.
pub(super) async fn history(
    turn: &mut Turn<'_>,
    of: Option<&Reference>,
    last: Option<u64>,
    since: Option<Since>,
) -> Result<String, Stop> {
    let (kind, id) = match of {
        None => (None, None),
        // An object that is gone has a history too.
        Some(Reference { kind, called: Called::Name(name) | Called::Id(name) }) => {
            let found = super::names::get(turn.connection, *kind, name).await?;
            (Some(*kind), Some(found.map_or_else(|| name.clone(), |found| found.key.id)))
        }
        Some(reference) => {
            let found = resolve(turn, reference, Sure::Nearly).await?;
            (Some(found.key.kind), Some(found.key.id))
        }
    };
    let since = since.map(begin);
    let limit = last.unwrap_or(if since.is_some() { 25 } else { 10 });
    let mut text = Vec::new();
    let mut before = Value::Null;
    for _ in 0..PAGES {
        let arguments =
            json!({ "kind": kind.map(Kind::schema_name), "id": id, "before": before, "limit": limit });
        let reply = turn.connection.call("gateway_history", arguments).await?.structured;
        let entries = reply.get("entries").and_then(Value::as_array).cloned().unwrap_or_default();
        let fits = |entry: &&Value| since.is_none_or(|since| when(entry).is_none_or(|at| at >= since));
        text.extend(entries.iter().filter(fits).map(entry));
        before = reply.get("next").cloned().unwrap_or_default();
        let reached = since.is_some_and(|since| entries.last().and_then(when).is_some_and(|at| at < since));
        if since.is_none() || reached || before.is_null() {
            if reached {
                before = Value::Null;
            }
            break;
        }
    }
    if text.is_empty() {
        return Ok(match since {
            Some(since) => format!("Nothing was changed since {since}."),
            None => "Nothing was changed yet.".to_owned(),
        });
    }
    if let Some(next) = before.as_u64() {
        text.push(format!(
            "There are older ones, before revision {next}; say for example `show the last 25 changes`."
        ));
    }
    Ok(text.join("\n"))
}

/// The moment that is meant, in this machine's time zone.
fn begin(since: Since) -> Timestamp {
    let now = Zoned::now();
    let midnight = |days: i64| {
        let day = now.checked_sub(jiff::Span::new().days(days)).unwrap_or_else(|_| now.clone());
        day.start_of_day().unwrap_or(day).timestamp()
    };
    match since {
        Since::Secs(secs) => {
            let span = jiff::SignedDuration::from_secs(i64::try_from(secs).unwrap_or_default());
            now.timestamp().checked_sub(span).unwrap_or(Timestamp::MIN)
        }
        Since::DaysAgo(days) => midnight(days),
        Since::Weekday(day) => {
            let today = i64::from(now.weekday().to_monday_zero_offset());
            let wanted = i64::try_from(day).unwrap_or_default();
            // Said on a Friday, `since friday` means today.
            midnight((today - wanted).rem_euclid(7))
        }
    }
}

fn when(entry: &Value) -> Option<Timestamp> {
    entry.get("when")?.as_str()?.parse().ok()
}

/// `3  2026-11-25T09:25:00Z  local-agent by chat: + route speaker  "Create a route ..."`
fn entry(entry: &Value) -> String {
    let text = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default();
    let revision = entry.get("revision").and_then(Value::as_u64).unwrap_or_default();
    let mut line =
        format!("{revision}  {}  {} by {}: {}", text("when"), text("who"), text("door"), text("summary"));
    if let Some(undone) = entry.get("undoes").and_then(Value::as_u64) {
        line.push_str(&format!("  takes back {undone}"));
    }
    if let Some(effect) = entry.get("errors").filter(|effect| !effect.is_null()) {
        let share = |side: &str| {
            let number = |name: &str| effect.get(side)?.get(name)?.as_u64();
            match (number("requests"), number("errors")) {
                (Some(0) | None, _) => "no requests".to_owned(),
                (Some(all), errors) => format!("{} of {all} requests", errors.unwrap_or_default()),
            }
        };
        line.push_str(&format!("  5xx in the hour before: {}, after: {}", share("before"), share("after")));
    }
    if !text("intent").is_empty() {
        line.push_str(&format!("  \"{}\"", text("intent")));
    }
    line
}
