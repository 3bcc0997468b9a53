//! `agents/calls`: every call of a tool that chats and agents made on this gateway, and whether that record is as it was written.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::answer::Answer;
use super::audit::Verdict;
use super::endpoint::{Call, Nothing};
use super::refusal::Refusal;
use crate::service::AuditQuery;

/// Records of one page.
const PAGE: usize = 1000;

/// Which part of the record is wanted.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "CallsAsked")]
pub(super) struct Asked {
    /// Only calls behind this number. Default: from the oldest that is kept.
    after: Option<u64>,
    /// At most so many, 1 to 1000. Default 100.
    limit: Option<usize>,
}

/// Calls, oldest first.
#[derive(Serialize, JsonSchema)]
pub(super) struct Calls {
    /// Records as they are kept; the digests are made of exactly these members. What a tool was called with is in them as a keyed digest alone.
    records: Vec<Value>,
    /// Where the next page begins: give it as `after`.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<u64>,
}

/// `GET /agents/calls`.
pub(super) async fn read(call: Call, asked: Asked, _: Nothing) -> Result<Answer<Calls>, Refusal> {
    let limit = asked.limit.unwrap_or(100).clamp(1, PAGE);
    let records = call.service.calls(&call.who, AuditQuery { after: asked.after, limit }).await?;
    let next = records.last().filter(|_| records.len() == limit).map(|record| record.number);
    let records = records.iter().map(|record| serde_json::to_value(record).unwrap_or_default()).collect();
    Ok(Answer::ok(Calls { records, next }))
}

/// `GET /agents/calls/verify`.
pub(super) async fn verify(call: Call, _: Nothing, _: Nothing) -> Result<Answer<Verdict>, Refusal> {
    Ok(Answer::ok(Verdict::of(call.service.verify_calls(&call.who).await?)))
}
