//! `tokens`: secrets that stand for a role and a scope. A token itself is shown once, when it is made.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use usher_model::change::Role;
use usher_model::scope::Scope;

use super::answer::Answer;
use super::endpoint::{Call, Nothing};
use super::entrance::role_word;
use super::refusal::Refusal;
use crate::service::{NewToken, TokenInfo};

/// A token as somebody wants it.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenRequest {
    /// The name that the history shows: 1 to 64 letters, digits, `-`, `_`, `.` or `@`.
    name: String,
    /// `viewer`, `chat`, `editor` or `admin`.
    role: RoleShape,
    /// What it may read and change; nothing means everything.
    #[serde(default)]
    scope: ScopeShape,
    /// After how many seconds it ends. Default: when it is revoked.
    #[serde(default)]
    expires_in_secs: Option<u64>,
}

/// What somebody may do.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "Role")]
pub(super) enum RoleShape {
    /// Reads, with secrets masked.
    Viewer,
    /// Reads masked, plans, and applies what needs no person.
    Chat,
    /// Reads masked, plans and applies.
    Editor,
    /// Everything.
    Admin,
}

/// A part of the configuration; whatever is given has to hold.
#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Scope")]
struct ScopeShape {
    /// Labels as `name=value`: of each name that is given, an object has to carry one of the values.
    labels: Vec<String>,
    /// Hosts as routes have them: an object may take no other.
    hosts: Vec<String>,
    /// Path prefixes such as `/pay`: a route may take no other path.
    paths: Vec<String>,
}

/// What is known of a token.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Token")]
struct TokenShape {
    /// Its id.
    id: String,
    /// Its name.
    name: String,
    /// What it may do.
    role: &'static str,
    /// What it may read and change.
    scope: ScopeShape,
    /// Who made it.
    created_by: String,
    /// When, in milliseconds since 1970.
    created_unix_ms: u64,
    /// When it ends, in milliseconds since 1970.
    expires_unix_ms: Option<u64>,
}

/// All tokens, oldest first, also those that have ended by themselves.
#[derive(Serialize, JsonSchema)]
pub(super) struct Tokens {
    /// The tokens.
    tokens: Vec<TokenShape>,
}

/// A new token.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "NewToken")]
pub(super) struct NewTokenShape {
    /// What is known of it.
    #[serde(flatten)]
    info: TokenShape,
    /// The token itself. It is shown this once.
    token: String,
}

/// What is gone now.
#[derive(Serialize, JsonSchema)]
pub(super) struct Gone {
    /// Its id or name.
    pub(super) deleted: String,
}

/// `GET /tokens`.
pub(super) async fn list(call: Call, _: Nothing, _: Nothing) -> Result<Answer<Tokens>, Refusal> {
    let tokens = call.service.list_tokens(&call.who).await?;
    Ok(Answer::ok(Tokens { tokens: tokens.into_iter().map(TokenShape::of).collect() }))
}

/// `POST /tokens`.
pub(super) async fn create(
    call: Call,
    _: Nothing,
    request: TokenRequest,
) -> Result<Answer<NewTokenShape>, Refusal> {
    let ScopeShape { labels, hosts, paths } = request.scope;
    let wanted = NewToken {
        name: request.name,
        role: request.role.into(),
        scope: Scope { labels, hosts, paths },
        expires_in_secs: request.expires_in_secs,
    };
    let (info, token) = call.service.create_token(&call.who, wanted).await?;
    let token = token.expose().clone();
    Ok(Answer::ok(NewTokenShape { info: TokenShape::of(info), token }))
}

/// `DELETE /tokens/{id}`.
pub(super) async fn revoke(call: Call, _: Nothing, _: Nothing) -> Result<Answer<Gone>, Refusal> {
    let id = call.parameter("id").to_owned();
    call.service.revoke_token(&call.who, &id).await?;
    Ok(Answer::ok(Gone { deleted: id }))
}

impl TokenShape {
    fn of(info: TokenInfo) -> Self {
        let Scope { labels, hosts, paths } = info.scope;
        Self {
            id: info.id,
            name: info.name,
            role: role_word(info.role),
            scope: ScopeShape { labels, hosts, paths },
            created_by: info.created_by,
            created_unix_ms: info.created_unix_ms,
            expires_unix_ms: info.expires_unix_ms,
        }
    }
}

impl From<RoleShape> for Role {
    fn from(shape: RoleShape) -> Self {
        match shape {
            RoleShape::Viewer => Self::Viewer,
            RoleShape::Chat => Self::Chat,
            RoleShape::Editor => Self::Editor,
            RoleShape::Admin => Self::Admin,
        }
    }
}
