//! `audit`: everything that somebody did or was denied, and whether that record is as it was written.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::answer::{Answer, Bare};
use super::endpoint::{Call, Nothing};
use super::refusal::Refusal;
use crate::service::{AuditOutcome, AuditQuery, AuditRecord, AuditSearch, AuditVerdict};

/// Records that one look into the store gives.
const PAGE: usize = 1000;
/// Records of one export, at most.
const MOST: usize = 100_000;

/// Which records are wanted.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Looked {
    /// `oldest` first, or `newest`. Default `oldest`.
    order: Option<String>,
    /// Only records behind this number, in the order asked for: `next` of the page before.
    after: Option<u64>,
    /// At most so many: 1 to 1000, default 100.
    limit: Option<usize>,
    /// A part of the name of who it was.
    who: Option<String>,
    /// What happened, such as `change` or `token-made`.
    event: Option<String>,
    /// How it ended: `done`, `denied` or `failed`.
    outcome: Option<String>,
    /// A part of what it was about: of its sentence, or of an object such as `route/1`. Of a change, its first hundred objects are known.
    object: Option<String>,
    /// Not before this, in milliseconds since 1970.
    since_ms: Option<u64>,
    /// Not after this, in milliseconds since 1970.
    until_ms: Option<u64>,
}

/// Which part of the audit is wanted.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Asked {
    /// Only records behind this number. Default: from the oldest that is kept.
    after: Option<u64>,
    /// At most so many, 1 to 100000. Default all.
    limit: Option<usize>,
}

/// Records, in the order asked for.
#[derive(Serialize, JsonSchema)]
pub(super) struct Audit {
    /// Records as they are stored; the digests are made of exactly these members.
    records: Vec<Value>,
    /// Where the next page begins: give it as `after`. There may be fewer records than asked for, or none, where many were read in vain.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<u64>,
    /// How many records were read for this page; at most 20000.
    read: usize,
}

/// Whether the audit is as it was written.
#[derive(Serialize, JsonSchema)]
pub(super) struct Verdict {
    /// Whether every record is as it was written.
    whole: bool,
    /// How many records were looked at.
    records: u64,
    /// The number of the first one that is kept.
    first: Option<u64>,
    /// The number of the last one.
    last: Option<u64>,
    /// The first record that is not as it was written.
    broken: Option<Broken>,
}

/// A record that isn't as it was written.
#[derive(Serialize, JsonSchema)]
struct Broken {
    /// Its number.
    number: u64,
    /// What is wrong with it.
    reason: String,
}

/// `GET /audit`.
pub(super) async fn read(call: Call, asked: Looked, _: Nothing) -> Result<Answer<Audit>, Refusal> {
    let found = call.service.search_audit(&call.who, &asked.search()?).await?;
    let records = found.records.iter().map(|record| serde_json::to_value(record).unwrap_or_default());
    Ok(Answer::ok(Audit { records: records.collect(), next: found.next, read: found.read }))
}

impl Looked {
    fn search(self) -> Result<AuditSearch, Refusal> {
        let written = |text: Option<String>| text.filter(|text| !text.is_empty());
        let one_of = |name: &str, text: &str, all: &str| {
            Refusal::invalid(format!("{name} is {text:?}, which there is not"))
                .at(name)
                .next(format!("write one of {all}"))
        };
        let newest = match written(self.order).as_deref() {
            None | Some("oldest") => false,
            Some("newest") => true,
            Some(other) => return Err(one_of("order", other, "oldest, newest")),
        };
        let outcome = match written(self.outcome).as_deref() {
            None => None,
            Some("done") => Some(AuditOutcome::Done),
            Some("denied") => Some(AuditOutcome::Denied),
            Some("failed") => Some(AuditOutcome::Failed),
            Some(other) => return Err(one_of("outcome", other, "done, denied, failed")),
        };
        let event = written(self.event).map(|text| {
            serde_json::from_value(Value::String(text.clone())).map_err(|error| {
                // Serde's own words name all that there are.
                Refusal::invalid(format!("event is {text:?}, which there is not: {error}")).at("event")
            })
        });
        Ok(AuditSearch {
            newest,
            from: self.after,
            limit: self.limit.unwrap_or(100).clamp(1, PAGE),
            who: written(self.who),
            event: event.transpose()?,
            outcome,
            object: written(self.object),
            unix_ms: self.since_ms.unwrap_or(0)..=self.until_ms.unwrap_or(u64::MAX),
        })
    }
}

/// `GET /audit/export`: one record a line.
pub(super) async fn export(call: Call, asked: Asked, _: Nothing) -> Result<Answer<Bare>, Refusal> {
    let mut left = asked.limit.unwrap_or(MOST).clamp(1, MOST);
    let mut after = asked.after;
    let mut lines = Vec::new();
    while left > 0 {
        let limit = left.min(PAGE);
        let page = call.service.audit(&call.who, AuditQuery { after, limit }).await?;
        for record in &page {
            write_line(&mut lines, record)?;
        }
        left -= page.len().min(left);
        match page.last() {
            Some(last) if page.len() == limit => after = Some(last.number),
            _ => break,
        }
    }
    Ok(Answer::bare("application/x-ndjson", lines))
}

fn write_line(lines: &mut Vec<u8>, record: &AuditRecord) -> Result<(), Refusal> {
    serde_json::to_writer(&mut *lines, record)
        .map_err(|error| crate::service::ServiceError::Damaged(error.to_string()))?;
    lines.push(b'\n');
    Ok(())
}

/// `GET /audit/verify`.
pub(super) async fn verify(call: Call, _: Nothing, _: Nothing) -> Result<Answer<Verdict>, Refusal> {
    Ok(Answer::ok(Verdict::of(call.service.verify_audit(&call.who).await?)))
}

impl Verdict {
    /// The service's verdict, as it is told.
    pub(super) fn of(verdict: AuditVerdict) -> Self {
        Self {
            whole: verdict.broken.is_none(),
            records: verdict.records,
            first: verdict.first,
            last: verdict.last,
            broken: verdict.broken.map(|(number, reason)| Broken { number, reason }),
        }
    }
}
