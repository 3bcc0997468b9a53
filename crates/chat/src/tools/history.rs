//! `gateway_history`: what was applied, by whom, and what for.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use usher_admin::service::{Entry, Gateways, HistoryQuery};
use usher_model::traffic::{Ask, LONGEST_SECS, Measure, Traffic};

use super::arguments::Arguments;
use super::plan::summary;
use super::refusal::Refusal;
use super::text::clean;
use super::traffic::gateways_told;
use super::{Answer, Call};

/// Entries in one answer unless asked otherwise.
const USUAL: usize = 20;
/// How long before and after a change errors are looked at, in seconds.
const AROUND: u64 = 3_600;

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
        let (effects, gateways) = self.effects(&entries).await?;
        let shown = || entries.iter().zip(effects.iter().map(Option::as_ref).chain(std::iter::repeat(None)));
        let mut lines: Vec<String> = shown().map(|(entry, effect)| told(entry, effect)).collect();
        if lines.is_empty() {
            lines.push("nothing was applied yet".to_owned());
        }
        if let Some(gateways) = gateways.filter(|gateways| !gateways.missing.is_empty()) {
            lines.push(format!("requests and errors are {}", gateways_told(&gateways)));
        }
        if let Some(next) = next {
            lines.push(format!("older ones: before {next}"));
        }
        let entries: Vec<Value> = shown().map(|(entry, effect)| structured(entry, effect)).collect();
        Ok(Answer { text: lines.join("\n"), structured: json!({ "entries": entries, "next": next }) })
    }

    /// How errors were before and after each change; nothing for changes that nothing is remembered around.
    async fn effects(&self, entries: &[Entry]) -> Result<(Vec<Option<Effect>>, Option<Gateways>), Refusal> {
        let Some(oldest) = entries.last() else { return Ok((Vec::new(), None)) };
        let to = now() + 1;
        let from = (oldest.unix_ms / 1000).saturating_sub(AROUND).max(to.saturating_sub(LONGEST_SECS));
        // Minutes where they reach, otherwise hours; a year of points is never needed.
        let step = if to - from <= 86_400 { 60 } else { 3_600 };
        let ask = Ask { from, to, step, points: 1_500, limit: 1, ..Ask::default() };
        let found = self.service.traffic(self.who, ask, None).await.map_err(|error| self.refuse(error))?;
        let effects = entries.iter().map(|entry| Effect::around(entry.unix_ms / 1000, &found.traffic));
        Ok((effects.collect(), found.gateways))
    }

    /// A key by id or name; an object that is gone has only its id left.
    pub(super) async fn once(
        &self,
        kind: usher_model::kind::Kind,
        id: &str,
    ) -> Result<usher_model::kind::Key, Refusal> {
        let found = self.service.resolve(self.who, kind, id).await.map_err(|error| self.refuse(error))?;
        if found.is_empty() {
            Ok(usher_model::kind::Key::new(kind, id))
        } else {
            self.locate(kind, id, "/id").await
        }
    }
}

/// Requests and errors in the time before a change and in the time after it.
struct Effect {
    before: (u64, u64),
    after: (u64, u64),
}

impl Effect {
    /// What the points on both sides say. The point that the change lies in belongs to neither.
    fn around(second: u64, traffic: &Traffic) -> Option<Self> {
        let points = &traffic.rows.first()?.points;
        let step = traffic.step.max(1);
        let at = usize::try_from(second.checked_sub(traffic.from)? / step).ok()?;
        let width = usize::try_from(AROUND.div_ceil(step)).ok()?;
        let sum = |points: &[Measure]| {
            points.iter().fold((0, 0), |(all, errors), point| (all + point.requests, errors + point.errors()))
        };
        let before = sum(points.get(at.saturating_sub(width)..at)?);
        let after = sum(points.get(at + 1..(at + 1 + width).min(points.len()))?);
        (before.0 > 0 || after.0 > 0).then_some(Self { before, after })
    }

    fn told(&self) -> String {
        let share = |(all, errors): (u64, u64)| match all {
            0 => "no requests".to_owned(),
            all => format!("{errors} of {all} ({:.1}%)", 100.0 * errors as f64 / all as f64),
        };
        format!("  5xx within the hour before {}, after {}", share(self.before), share(self.after))
    }

    fn shape(&self) -> Value {
        let side = |(requests, errors): (u64, u64)| json!({ "requests": requests, "errors": errors });
        json!({ "before": side(self.before), "after": side(self.after) })
    }
}

/// Seconds since 1970.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn structured(entry: &Entry, effect: Option<&Effect>) -> Value {
    json!({
        "revision": entry.revision, "when": when(entry.unix_ms), "who": clean(&entry.principal, 100), "door": entry.door.to_string(),
        "intent": entry.intent.as_deref().map(|intent| clean(intent, 300)), "risk": entry.risk.to_string(),
        "summary": summary(&entry.changes, entry.total), "undoes": entry.undoes, "not_written": entry.missed,
        "errors": effect.map(Effect::shape),
    })
}

fn told(entry: &Entry, effect: Option<&Effect>) -> String {
    let intent =
        entry.intent.as_deref().map(|intent| format!("  \"{}\"", clean(intent, 300))).unwrap_or_default();
    let undoes = entry.undoes.map(|revision| format!("  takes back {revision}")).unwrap_or_default();
    let missed = match entry.missed {
        0 => String::new(),
        missed => format!("  in part: {missed} more objects were not written"),
    };
    let effect = effect.map(Effect::told).unwrap_or_default();
    format!(
        "{}  {}  {} by {}  risk {}  {}{missed}{undoes}{intent}{effect}",
        entry.revision,
        when(entry.unix_ms),
        clean(&entry.principal, 100),
        entry.door,
        entry.risk,
        summary(&entry.changes, entry.total)
    )
}

/// A time as `2026-11-25T09:25:00Z`.
pub(super) fn when(unix_ms: u64) -> String {
    let seconds = i64::try_from(unix_ms / 1000).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds).map_or_else(|_| unix_ms.to_string(), |time| time.to_string())
}
