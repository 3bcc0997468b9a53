//! `audit`: everything that somebody did or was denied, and whether that record is as it was written.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::answer::{Answer, Bare};
use super::endpoint::{Call, Nothing};
use super::refusal::Refusal;
use crate::service::{AuditQuery, AuditRecord, AuditVerdict};

/// Records that one look into the store gives.
const PAGE: usize = 1000;
/// Records of one export, at most.
const MOST: usize = 100_000;

/// Which part of the audit is wanted.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Asked {
    /// Only records behind this number. Default: from the oldest that is kept.
    after: Option<u64>,
    /// At most so many: 1 to 1000, default 100; with `format=jsonl` 1 to 100000, default all.
    limit: Option<usize>,
}

/// Records, oldest first.
#[derive(Serialize, JsonSchema)]
pub(super) struct Audit {
    /// Records as they are stored; the digests are made of exactly these members.
    records: Vec<Value>,
    /// Where the next page begins: give it as `after`.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<u64>,
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
pub(super) async fn read(call: Call, asked: Asked, _: Nothing) -> Result<Answer<Audit>, Refusal> {
    let limit = asked.limit.unwrap_or(100).clamp(1, PAGE);
    let records = call.service.audit(&call.who, AuditQuery { after: asked.after, limit }).await?;
    let next = records.last().filter(|_| records.len() == limit).map(|record| record.number);
    let records = records.iter().map(|record| serde_json::to_value(record).unwrap_or_default()).collect();
    Ok(Answer::ok(Audit { records, next }))
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
