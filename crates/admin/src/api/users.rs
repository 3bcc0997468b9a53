//! `users`: people with a name and a password, for the console.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use usher_model::secret::Secret;

use super::answer::Answer;
use super::endpoint::{Call, Nothing};
use super::entrance::role_word;
use super::refusal::Refusal;
use super::tokens::{Gone, RoleShape};
use crate::service::{NewUser, ServiceError, UserChange, UserInfo};

/// A user as somebody wants it.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct UserRequest {
    /// The name: 1 to 64 letters, digits, `-`, `_`, `.` or `@`.
    name: String,
    /// What the user may do.
    role: RoleShape,
    /// The password: 10 to 256 characters.
    password: Secret<String>,
}

/// What a user shall have instead; what is left out stays.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct UserChangeRequest {
    /// What the user may do.
    #[serde(default)]
    role: Option<RoleShape>,
    /// The password: 10 to 256 characters.
    #[serde(default)]
    password: Option<Secret<String>>,
}

/// What is known of a user.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "User")]
pub(super) struct UserShape {
    /// The name.
    name: String,
    /// What the user may do.
    role: &'static str,
    /// When it was made, in milliseconds since 1970.
    created_unix_ms: u64,
    /// When role or password were last set, in milliseconds since 1970.
    changed_unix_ms: u64,
}

/// All users by name.
#[derive(Serialize, JsonSchema)]
pub(super) struct Users {
    /// The users.
    users: Vec<UserShape>,
}

/// `GET /users`.
pub(super) async fn list(call: Call, _: Nothing, _: Nothing) -> Result<Answer<Users>, Refusal> {
    let users = call.service.list_users(&call.who).await?;
    Ok(Answer::ok(Users { users: users.into_iter().map(UserShape::of).collect() }))
}

/// `POST /users`.
pub(super) async fn add(call: Call, _: Nothing, request: UserRequest) -> Result<Answer<UserShape>, Refusal> {
    let UserRequest { name, role, password } = request;
    let user = call
        .service
        .add_user(&call.who, NewUser { name, role: role.into(), password })
        .await
        .map_err(refused)?;
    Ok(Answer::ok(UserShape::of(user)))
}

/// `PUT /users/{name}`.
pub(super) async fn change(
    call: Call,
    _: Nothing,
    request: UserChangeRequest,
) -> Result<Answer<UserShape>, Refusal> {
    let name = call.parameter("name").to_owned();
    let UserChangeRequest { role, password } = request;
    let change = UserChange { role: role.map(Into::into), password };
    let user = call.service.change_user(&call.who, &name, change).await.map_err(refused)?;
    Ok(Answer::ok(UserShape::of(user)))
}

/// `DELETE /users/{name}`.
pub(super) async fn delete(call: Call, _: Nothing, _: Nothing) -> Result<Answer<Gone>, Refusal> {
    let name = call.parameter("name").to_owned();
    call.service.delete_user(&call.who, &name).await.map_err(refused)?;
    Ok(Answer::ok(Gone { deleted: name }))
}

/// What a rule of users refuses isn't planned again: there are no plans of them.
fn refused(error: ServiceError) -> Refusal {
    let breaks_a_rule = matches!(error, ServiceError::Invalid { .. });
    let refusal = Refusal::from(error);
    if breaks_a_rule { refusal.next("do what it says, and try again; nothing was changed") } else { refusal }
}

impl UserShape {
    fn of(user: UserInfo) -> Self {
        Self {
            name: user.name,
            role: role_word(user.role),
            created_unix_ms: user.created_unix_ms,
            changed_unix_ms: user.changed_unix_ms,
        }
    }
}
