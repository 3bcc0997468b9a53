//! `keyring`: which keys seal the secrets, and sealing anew what an older one sealed. The keys themselves never come here.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::answer::Answer;
use super::endpoint::{Call, Nothing};
use super::refusal::Refusal;
use crate::service::Resealed;

/// Records that are named at most.
const NAMED: usize = 10;

/// The keyring of this gateway, and what older keys of it still hold.
#[derive(Serialize, JsonSchema)]
pub(super) struct Keyring {
    /// The names of its keys, the newest first.
    keys: Vec<String>,
    /// How many records of the store hold something that an older key sealed; 0: the older ones can go.
    older_records: usize,
    /// Some of those records.
    older: Vec<String>,
}

/// Where to go on.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Begin {
    /// The `next` of the answer before; nothing for the first part.
    after: Option<String>,
}

/// How far it came.
#[derive(Serialize, JsonSchema)]
pub(super) struct Part {
    /// Records that were sealed anew.
    records: usize,
    /// What to give as `after` for the next part; null: all is done.
    next: Option<String>,
}

/// `GET /keyring`.
pub(super) async fn read(call: Call, _: Nothing, _: Nothing) -> Result<Answer<Keyring>, Refusal> {
    let state = call.service.keyring(&call.who).await?;
    Ok(Answer::ok(Keyring {
        keys: state.keys,
        older_records: state.older.len(),
        older: state.older.into_iter().take(NAMED).collect(),
    }))
}

/// `POST /keyring/reseal`.
pub(super) async fn reseal(call: Call, _: Nothing, begin: Begin) -> Result<Answer<Part>, Refusal> {
    let Resealed { records, next } = call.service.seal_some_anew(&call.who, begin.after.as_deref()).await?;
    Ok(Answer::ok(Part { records, next }))
}
