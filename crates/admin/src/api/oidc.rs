//! `session/oidc`: how a person comes into the console by a provider. The rules of the login itself are in [`crate::oidc`].

use std::time::Duration;

use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use usher_model::change::{Door, Principal};
use usher_model::secret::Secret;

use super::answer::Answer;
use super::endpoint::Visit;
use super::refusal::Refusal;
use super::session::{self, Session, cookie_in, marked};
use super::sessions::Whose;
use crate::oidc::{Back, Begun, LASTS, Oidc, Person, Trouble};

/// The cookie that holds what a login began with, and its name where it travels over TLS only.
const COOKIE: &str = "usher_login";
/// What guesses count for that came with a provider's answer; no user is called so.
const PROVIDER: &str = "the provider's answers";
const SECURE_COOKIE: &str = "__Secure-usher_login";

/// What a login shall lead to.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BeginRequest {
    /// The place of the console that is wanted afterwards, such as `/ui/history`.
    #[serde(default)]
    to: Option<String>,
}

/// Where the provider asks who one is.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Away")]
pub(super) struct Away {
    /// The address that the browser has to go to.
    location: String,
}

/// What the provider sent the browser back with, as it stands in the address.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BackRequest {
    /// What the login was begun with.
    state: String,
    /// The code.
    #[serde(default)]
    code: Option<Secret<String>>,
    /// Who the provider says it is.
    #[serde(default)]
    iss: Option<String>,
    /// Why the provider said no.
    #[serde(default)]
    error: Option<String>,
    /// The same in a sentence.
    #[serde(default)]
    error_description: Option<String>,
}

/// `POST /session/oidc`.
pub(super) async fn begin(visit: Visit, request: BeginRequest) -> Result<Answer<Away>, Refusal> {
    marked(&visit.headers)?;
    let oidc = provider(&visit)?;
    visit.doorkeeper.admits_guess(visit.peer, PROVIDER)?;
    let (begun, location) =
        oidc.begin(visit.host.as_deref(), request.to).await.map_err(|trouble| refusal(oidc, &trouble))?;
    let sealed = begun.seal(&visit.service).ok_or_else(|| refusal(oidc, &Trouble::NoRandom))?;
    Ok(Answer::ok(Away { location }).with_cookie(cookie(&sealed, LASTS, begun.is_secure())))
}

/// `POST /session/oidc/back`.
pub(super) async fn end(visit: Visit, request: BackRequest) -> Result<Answer<Session>, Refusal> {
    marked(&visit.headers)?;
    let oidc = provider(&visit)?;
    visit.doorkeeper.admits_guess(visit.peer, PROVIDER)?;
    let BackRequest { state, code, iss, error, error_description } = request;
    let code = code.map(|code| code.expose().clone());
    let back = Back { state, code, iss, error, error_description };
    let begun = begun(&visit).ok_or(Trouble::NotBegun);
    let came = match &begun {
        Ok(begun) => oidc.end(begun, back).await,
        Err(trouble) => Err(trouble.clone()),
    };
    let (Person { name, role }, begun) = match came.and_then(|person| Ok((person, begun?))) {
        Ok(came) => came,
        Err(trouble) => return Err(refused(&visit, oidc, &trouble).await),
    };
    let gone = cookie("", Duration::ZERO, begun.is_secure());
    let who = Principal::new(name.clone(), role, Door::Console);
    let (session, inside) =
        session::begin(&visit, who, Whose::Provided { name, role }, oidc.session()).await?;
    let session = session.leading(begun.into_place());
    Ok(Answer::ok(session).with_cookie(inside).with_cookie(gone))
}

fn provider(visit: &Visit) -> Result<&Oidc, Refusal> {
    visit.doorkeeper.oidc().ok_or_else(|| {
        Refusal::not_found("no provider is set up that one could log in with")
            .next("log in with a user or an admin key; console.oidc in config.yaml names a provider")
    })
}

/// What this browser began, by its cookie.
fn begun(visit: &Visit) -> Option<Begun> {
    let cookie = cookie_in(&visit.headers, &[COOKIE, SECURE_COOKIE])?;
    Begun::open(&visit.service, cookie)
}

/// Tells the audit and whoever watches the log; what is only a guess counts as one.
async fn refused(visit: &Visit, oidc: &Oidc, trouble: &Trouble) -> Refusal {
    tracing::warn!(error = %trouble, "a login by the provider was refused");
    let name = match trouble {
        Trouble::NoRole { name } => name.as_str(),
        _ => "",
    };
    visit.service.login_refused(name, &trouble.to_string()).await;
    if trouble.is_guess() {
        visit.doorkeeper.count_wrong(visit.peer, PROVIDER);
    }
    refusal(oidc, trouble)
}

fn refusal(oidc: &Oidc, trouble: &Trouble) -> Refusal {
    let (status, code) = match trouble {
        Trouble::ForeignHost { .. } => (StatusCode::MISDIRECTED_REQUEST, "foreign_host"),
        Trouble::NoRandom => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        Trouble::NoRole { .. } => (StatusCode::FORBIDDEN, "no_role"),
        Trouble::Away(_) => (StatusCode::BAD_GATEWAY, "provider_away"),
        Trouble::Unusable(_) => (StatusCode::BAD_GATEWAY, "provider_unusable"),
        _ => (StatusCode::UNAUTHORIZED, "login_refused"),
    };
    let sentence = trouble.to_string().replacen("the provider", oidc.name(), 1);
    Refusal::new(status, code, sentence).next(trouble.next())
}

/// The cookie's line. It goes with the console's own requests alone, and to the paths of logins.
fn cookie(value: &str, lasts: Duration, is_secure: bool) -> String {
    let (name, end) = if is_secure { (SECURE_COOKIE, "; Secure") } else { (COOKIE, "") };
    let secs = lasts.as_secs();
    format!("{name}={value}; Path=/usher/v1/session; Max-Age={secs}; HttpOnly; SameSite=Strict{end}")
}
