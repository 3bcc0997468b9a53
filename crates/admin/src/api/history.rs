//! `history`: what was applied, by whom, through which door, and what for.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::answer::Answer;
use super::endpoint::{Call, Nothing};
use super::entrance::role_word;
use super::names;
use super::refusal::Refusal;
use super::shapes::{ChangeShape, risk_word};
use crate::service::{Entry, HistoryQuery};

/// Which part of the history is wanted.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Asked {
    /// Only changes of this object: `route/1`.
    key: Option<String>,
    /// Only changes before this revision.
    before: Option<u64>,
    /// At most so many, 1 to 200. Default 20.
    limit: Option<usize>,
}

/// Applied changes, newest first.
#[derive(Serialize, JsonSchema)]
pub(super) struct History {
    /// The changes.
    entries: Vec<EntryShape>,
}

/// An applied change.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Entry")]
struct EntryShape {
    /// The revision that it made.
    revision: u64,
    /// When, in milliseconds since 1970.
    unix_ms: u64,
    /// Who.
    principal: String,
    /// With which role.
    role: &'static str,
    /// Through which door.
    door: String,
    /// What for.
    #[serde(skip_serializing_if = "Option::is_none")]
    intent: Option<String>,
    /// The plan's id.
    plan: String,
    /// Its risk.
    risk: &'static str,
    /// Who agreed: `direct`, `client`, or `person: ...`.
    approval: String,
    /// The revision that it took back.
    #[serde(skip_serializing_if = "Option::is_none")]
    undoes: Option<u64>,
    /// Which step of a plan it was, and of how many.
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<(usize, usize)>,
    /// How many objects changed in all.
    total: usize,
    /// How many objects of the change were not written, because the store stopped in between; they are not among the changes.
    #[serde(skip_serializing_if = "is_zero")]
    not_written: usize,
    /// Which those are, as kind/id; the first hundred.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    not_written_objects: Vec<String>,
    /// What changed, field by field; at most the first thousand objects.
    changes: Vec<ChangeShape>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference over")]
const fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// `GET /history`.
pub(super) async fn read(call: Call, asked: Asked, _: Nothing) -> Result<Answer<History>, Refusal> {
    let key = asked.key.as_deref().map(|text| {
        let (kind, id) = text.split_once('/').ok_or_else(|| {
            Refusal::invalid(format!("{text:?} is no object"))
                .at("key")
                .next("write kind/id, such as route/1")
        })?;
        names::kind(kind).and_then(|kind| names::key(kind, id))
    });
    let query = HistoryQuery { key: key.transpose()?, before: asked.before, limit: asked.limit.unwrap_or(0) };
    let entries = call.service.history(&call.who, query).await?;
    Ok(Answer::ok(History { entries: entries.into_iter().map(EntryShape::of).collect() }))
}

impl EntryShape {
    fn of(entry: Entry) -> Self {
        Self {
            revision: entry.revision,
            unix_ms: entry.unix_ms,
            principal: entry.principal,
            role: role_word(entry.role),
            door: entry.door.to_string(),
            intent: entry.intent,
            plan: entry.plan,
            risk: risk_word(entry.risk),
            approval: entry.approval,
            undoes: entry.undoes,
            step: entry.step,
            total: entry.total,
            not_written: entry.missed,
            not_written_objects: entry
                .missed_keys
                .iter()
                .map(|key| format!("{}/{}", key.kind.schema_name(), key.id))
                .collect(),
            changes: entry.changes.iter().map(ChangeShape::of).collect(),
        }
    }
}
