//! `history`: what was applied, by whom, through which door, and what for.

use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use usher_model::change::Change;
use usher_model::kind::Key;

use super::answer::Answer;
use super::endpoint::{Call, Nothing};
use super::entrance::role_word;
use super::names;
use super::refusal::Refusal;
use super::shapes::{ChangeShape, risk_word};
use crate::service::{ChangesQuery, Entry, HistoryQuery};

/// Fields of an object that a list names.
const FIELDS: usize = 10;

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
    /// What changed, without its values; at most the first ten objects. `GET /history/{revision}` tells of all of them, field by field.
    objects: Vec<TouchedShape>,
}

/// An object that a change touched.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Touched")]
struct TouchedShape {
    /// `create`, `update` or `delete`.
    op: &'static str,
    /// The object's kind, such as `route`.
    kind: &'static str,
    /// Its id.
    id: String,
    /// Of an update, which fields differ; at most the first ten.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fields: Vec<String>,
}

/// Which changes of an entry are wanted.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Part {
    /// Only what it did to this object: `route/1`.
    key: Option<String>,
    /// Where the page begins: `next` of the page before.
    after: Option<String>,
    /// At most so many objects, 1 to 1000. Default 100.
    limit: Option<usize>,
}

/// An applied change, and a page of what it did.
#[derive(Serialize, JsonSchema)]
pub(super) struct EntryPage {
    /// Who, when and what for.
    entry: EntryShape,
    /// What changed, field by field, secrets masked. A page of very large objects holds fewer than were asked for.
    changes: Vec<ChangeShape>,
    /// Where the next page begins: give it as `after`. Missing at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference over")]
const fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// `GET /history`.
pub(super) async fn read(call: Call, asked: Asked, _: Nothing) -> Result<Answer<History>, Refusal> {
    let query = HistoryQuery {
        key: key_of(asked.key.as_deref())?,
        before: asked.before,
        limit: asked.limit.unwrap_or(0),
    };
    let entries = call.service.history(&call.who, query).await?;
    Ok(Answer::ok(History { entries: entries.into_iter().map(EntryShape::of).collect() }))
}

/// `GET /history/{revision}`.
pub(super) async fn one(call: Call, asked: Part, _: Nothing) -> Result<Answer<EntryPage>, Refusal> {
    let text = call.parameter("revision");
    let revision = text.parse().map_err(|_| {
        Refusal::invalid(format!("{text:?} is no revision"))
            .at("revision")
            .next("write a number that GET /usher/v1/history gives")
    })?;
    let after = asked.after.as_deref().map(|text| {
        text.parse().map_err(|_| {
            Refusal::invalid(format!("{text:?} is no place in a change"))
                .at("after")
                .next("give what the page before has as \"next\", or leave it out to begin")
        })
    });
    let query = ChangesQuery {
        revision,
        key: key_of(asked.key.as_deref())?,
        after: after.transpose()?.unwrap_or_default(),
        limit: asked.limit.unwrap_or(0),
    };
    let page = call.service.changes(&call.who, query).await?.ok_or_else(|| {
        let message = format!("the history holds no change of revision {revision}");
        Refusal::new(StatusCode::NOT_FOUND, "no_revision", message)
            .at("revision")
            .next("GET /usher/v1/history lists those that it holds")
    })?;
    Ok(Answer::ok(EntryPage {
        entry: EntryShape::of(page.entry),
        changes: page.changes.iter().map(ChangeShape::of).collect(),
        next: page.next.map(|place| place.to_string()),
    }))
}

/// The object that a query names.
fn key_of(text: Option<&str>) -> Result<Option<Key>, Refusal> {
    let Some(text) = text else { return Ok(None) };
    let (kind, id) = text.split_once('/').ok_or_else(|| {
        Refusal::invalid(format!("{text:?} is no object")).at("key").next("write kind/id, such as route/1")
    })?;
    names::kind(kind).and_then(|kind| names::key(kind, id)).map(Some)
}

impl TouchedShape {
    fn of(change: &Change) -> Self {
        let ChangeShape { op, kind, id, fields } = ChangeShape::of(change);
        let fields = fields.into_iter().filter(|_| op == "update").take(FIELDS).map(|field| field.path);
        Self { op, kind, id, fields: fields.collect() }
    }
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
            objects: entry.changes.iter().map(TouchedShape::of).collect(),
        }
    }
}
