//! The envelopes that resources come in: v3, and v2 as etcd's old protocol had it (Admin API contract, section 3).

use axum::http::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};
use usher_model::kind::{Key, Kind, PREFIX};

use super::answer::Answer;
use super::options::Envelopes;
use crate::service::Stored;

/// What a write did, as v2 names it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Action {
    Set,
    Create,
    CompareAndSwap,
}

impl Action {
    const fn name(self) -> &'static str {
        match self {
            Self::Set => "set",
            Self::Create => "create",
            Self::CompareAndSwap => "compareAndSwap",
        }
    }
}

/// A resource with the revisions that made and last changed it.
#[derive(Serialize)]
struct Shown<'a> {
    key: String,
    value: &'a Value,
    #[serde(rename = "createdIndex")]
    created: u64,
    #[serde(rename = "modifiedIndex")]
    modified: u64,
}

impl<'a> Shown<'a> {
    fn of(stored: &'a Stored) -> Self {
        Self {
            key: stored.key.path(),
            value: &stored.value,
            created: stored.created,
            modified: stored.modified,
        }
    }
}

impl Envelopes {
    /// One resource.
    pub(super) fn one(self, stored: &Stored) -> Answer {
        let answer = match self {
            Self::V3 => Answer::json(StatusCode::OK, &Shown::of(stored)),
            Self::V2 => Answer::json(StatusCode::OK, &node("get", &stored.key, &stored.value)),
        };
        answer.at(stored.modified)
    }

    /// A collection. `total` counts those on other pages too.
    pub(super) fn list(self, total: usize, list: &[Stored], folder: &str) -> Answer {
        #[derive(Serialize)]
        struct Listed<'a> {
            total: usize,
            list: Vec<Shown<'a>>,
        }
        #[derive(Serialize)]
        struct Folder<'a> {
            dir: bool,
            key: &'a str,
            nodes: Vec<Shown<'a>>,
        }
        let list = list.iter().map(Shown::of).collect();
        match self {
            Self::V3 => Answer::json(StatusCode::OK, &Listed { total, list }),
            Self::V2 => {
                let node = Folder { dir: true, key: folder, nodes: list };
                Answer::json(StatusCode::OK, &json!({ "action": "get", "node": node }))
            }
        }
    }

    /// What a write stored.
    pub(super) fn written(self, status: StatusCode, action: Action, key: &Key, value: &Value) -> Answer {
        match self {
            Self::V3 => Answer::json(status, &json!({ "key": key.path(), "value": value })),
            Self::V2 => Answer::json(status, &node(action.name(), key, value)),
        }
    }

    /// What a deletion took away.
    pub(super) fn deleted(self, key: &Key) -> Answer {
        let body = match self {
            Self::V3 => json!({ "key": key.path(), "deleted": "1" }),
            Self::V2 => json!({ "action": "delete", "deleted": "1", "key": key.path(), "node": {} }),
        };
        Answer::json(StatusCode::OK, &body)
    }
}

fn node(action: &str, key: &Key, value: &Value) -> Value {
    json!({ "action": action, "node": { "key": key.path(), "value": value } })
}

/// The key of a collection, as v2 shows it: `/apisix/routes`.
pub(super) fn folder(kind: Kind, parent: Option<&str>) -> String {
    let below = |parent: &str| {
        let inside = match kind {
            Kind::Credential => Key::credential(parent, ""),
            Kind::CostDecoration => Key::cost_decoration(parent, ""),
            _ => return None,
        };
        Some(inside.path().trim_end_matches('/').to_owned())
    };
    parent.and_then(below).unwrap_or_else(|| format!("{PREFIX}/{}", kind.collection()))
}

/// Takes out what no GET shows: the private keys of a certificate, which APISIX leaves out too.
pub(super) fn strip(stored: &mut Stored) {
    if stored.key.kind == Kind::Ssl
        && let Some(members) = stored.value.as_object_mut()
    {
        members.shift_remove("key");
        members.shift_remove("keys");
    }
}
