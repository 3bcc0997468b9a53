//! `gateway_history`: what was applied, by whom, and what for.

use serde_json::{Value, json};
use usher_admin::service::{Entry, HistoryQuery};

use super::arguments::Arguments;
use super::plan::summary;
use super::refusal::Refusal;
use super::text::clean;
use super::{Answer, Call};

/// Entries in one answer unless asked otherwise.
const USUAL: usize = 20;

impl Call<'_> {
    pub(super) async fn history(&self, arguments: &Arguments) -> Result<Answer, Refusal> {
        let limit = arguments.limit(USUAL)?;
        let key = match (arguments.kind_or_null("kind")?, arguments.text_or_null("id")) {
            (Some(kind), Some(id)) => Some(self.once(kind, id).await?),
            (None, None) => None,
            (Some(_), None) => {
                return Err(Refusal::new("kind without id").at("/id").allowed("both, or both null"));
            }
            (None, Some(_)) => {
                return Err(Refusal::new("id without kind").at("/kind").allowed("both, or both null"));
            }
        };
        let query = HistoryQuery { key, before: arguments.whole_or_null("before")?, limit: limit + 1 };
        let mut entries = self.service.history(self.who, query).await.map_err(|error| self.refuse(error))?;
        let more = entries.len() > limit;
        entries.truncate(limit);
        let next = entries.last().filter(|_| more).map(|entry| entry.revision);
        let mut lines: Vec<String> = entries.iter().map(told).collect();
        if lines.is_empty() {
            lines.push("nothing was applied yet".to_owned());
        }
        if let Some(next) = next {
            lines.push(format!("older ones: before {next}"));
        }
        let entries: Vec<Value> = entries.iter().map(structured).collect();
        Ok(Answer { text: lines.join("\n"), structured: json!({ "entries": entries, "next": next }) })
    }

    /// A key by id or name; an object that is gone has only its id left.
    async fn once(&self, kind: usher_model::kind::Kind, id: &str) -> Result<usher_model::kind::Key, Refusal> {
        let found = self.service.resolve(self.who, kind, id).await.map_err(|error| self.refuse(error))?;
        if found.is_empty() {
            Ok(usher_model::kind::Key::new(kind, id))
        } else {
            self.locate(kind, id, "/id").await
        }
    }
}

fn structured(entry: &Entry) -> Value {
    json!({
        "revision": entry.revision, "when": when(entry.unix_ms), "who": clean(&entry.principal, 100), "door": entry.door.to_string(),
        "intent": entry.intent.as_deref().map(|intent| clean(intent, 300)), "risk": entry.risk.to_string(),
        "summary": summary(&entry.changes), "undoes": entry.undoes,
    })
}

fn told(entry: &Entry) -> String {
    let intent =
        entry.intent.as_deref().map(|intent| format!("  \"{}\"", clean(intent, 300))).unwrap_or_default();
    let undoes = entry.undoes.map(|revision| format!("  takes back {revision}")).unwrap_or_default();
    format!(
        "{}  {}  {} by {}  risk {}  {}{undoes}{intent}",
        entry.revision,
        when(entry.unix_ms),
        clean(&entry.principal, 100),
        entry.door,
        entry.risk,
        summary(&entry.changes)
    )
}

/// A time as `2026-11-25T09:25:00Z`.
fn when(unix_ms: u64) -> String {
    let seconds = i64::try_from(unix_ms / 1000).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds).map_or_else(|_| unix_ms.to_string(), |time| time.to_string())
}
