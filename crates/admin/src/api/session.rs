//! `session` and `setup`: how a person comes into the console and leaves it, and how the first user is made.
//!
//! These answer without a key, because they are where one is shown. What makes a session is the cookie alone; it is out of reach of scripts,
//! sent to no other site, and of no use for a change without a header that no foreign page can set.

use std::time::Duration;

use axum::http::{HeaderMap, StatusCode, header};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use usher_model::change::{Door, Principal, Role};
use usher_model::secret::Secret;

use super::answer::Answer;
use super::endpoint::{Nothing, Visit};
use super::entrance::{Doorkeeper, role_word};
use super::refusal::Refusal;
use super::sessions::{LONGEST, Whose};
use crate::oidc::Oidc;
use crate::service::NewUser;

/// The cookie, and its name where it travels over TLS only.
const COOKIE: &str = "usher_session";
const SECURE_COOKIE: &str = "__Secure-usher_session";
/// What guesses of the one-time code count for; no user is called so.
const CODE: &str = "the one-time code";
/// The header that a page of the console sends with all it asks.
pub(super) const MARK: &str = "x-usher-console";

/// How somebody wants to come in: with `user` and `password`, or with `key`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LoginRequest {
    /// A user's name.
    #[serde(default)]
    user: Option<String>,
    /// The user's password.
    #[serde(default)]
    password: Option<Secret<String>>,
    /// An admin key instead of both. Tokens are for programs, and not taken here.
    #[serde(default)]
    key: Option<Secret<String>>,
}

/// The first user.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SetupRequest {
    /// The one-time code that the server printed when it started.
    code: Secret<String>,
    /// The name: 1 to 64 letters, digits, `-`, `_`, `.` or `@`.
    name: String,
    /// The password: 10 to 256 characters.
    password: Secret<String>,
}

/// Who is there.
#[derive(Serialize, JsonSchema)]
pub(super) struct Session {
    /// Who is logged in; missing for nobody.
    #[serde(skip_serializing_if = "Option::is_none")]
    you: Option<Person>,
    /// Whether there is no user yet, and the first one can be made with the one-time code.
    setup: bool,
    /// What the provider is called that one can log in with; missing where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<String>,
    /// Where one logs out of the provider too, after one has left a session that it vouched for, and where it can be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    provider_log_out: Option<String>,
    /// The place of the console that was wanted when a login with the provider was begun.
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<String>,
    /// Why the session that this browser brought is none any more; missing where it brought none, or where it lasts.
    #[serde(skip_serializing_if = "Option::is_none")]
    ended: Option<&'static str>,
}

/// Somebody who is logged in.
#[derive(Serialize, JsonSchema)]
struct Person {
    /// The name that the history shows.
    name: String,
    /// `viewer`, `chat`, `editor` or `admin`.
    role: &'static str,
    /// `user`, `key`, `oidc` for whom a provider vouched, or `keyless` where no key is asked for.
    by: &'static str,
    /// How many seconds the session lasts at most; missing where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_in_secs: Option<u64>,
}

impl Session {
    fn of(you: Option<Person>, setup: bool, doorkeeper: &Doorkeeper) -> Self {
        let provider = doorkeeper.oidc().map(|oidc| oidc.name().to_owned());
        Self { you, setup, provider, provider_log_out: None, to: None, ended: None }
    }

    /// The same that leads to a place.
    pub(super) fn leading(self, to: Option<String>) -> Self {
        Self { to, ..self }
    }
}

/// `GET /session`.
pub(super) async fn read(visit: Visit, _: Nothing) -> Result<Answer<Session>, Refusal> {
    let doorkeeper = &visit.doorkeeper;
    let setup = doorkeeper.first().is_open() && visit.service.knows_no_user();
    let brought = secret(&visit.headers);
    let inside = brought.and_then(|secret| doorkeeper.logged_in(&visit.service, secret));
    let ended = brought.filter(|_| inside.is_none()).map(|secret| doorkeeper.sessions().why_ended(secret));
    let you = match inside {
        Some((who, by, left)) => Some(Person {
            name: who.name,
            role: role_word(who.role),
            by,
            expires_in_secs: Some(left.as_secs()),
        }),
        None => doorkeeper.is_keyless().then(|| Person {
            name: "keyless".to_owned(),
            role: role_word(Role::Admin),
            by: "keyless",
            expires_in_secs: None,
        }),
    };
    // Where no key is asked for, nobody was logged out.
    let ended = ended.filter(|_| you.is_none());
    Ok(Answer::ok(Session { ended, ..Session::of(you, setup, doorkeeper) }))
}

/// `POST /session`.
pub(super) async fn log_in(visit: Visit, request: LoginRequest) -> Result<Answer<Session>, Refusal> {
    marked(&visit.headers)?;
    let LoginRequest { user, password, key } = request;
    let (who, whose) = match (user, password, key) {
        (Some(user), Some(password), None) => {
            visit.doorkeeper.admits_guess(visit.peer, &user)?;
            // Before it is looked at, which takes long: many at the same moment are many guesses.
            visit.doorkeeper.count_wrong(visit.peer, &user);
            let found = visit.service.check_user(&user, &password, Door::Console).await;
            let known = found.and_then(|who| Some((visit.service.user_changed(&who.name)?, who)));
            match known {
                Some((changed_unix_ms, who)) => {
                    visit.doorkeeper.count_right(visit.peer, &user);
                    let whose = Whose::User { name: who.name.clone(), changed_unix_ms };
                    (who, whose)
                }
                None => return Err(wrong("no user has this name and this password")),
            }
        }
        (None, None, Some(key)) => match visit
            .doorkeeper
            .key(key.expose().trim())
            .and_then(|who| Some((visit.doorkeeper.of_key(&who.name)?, who)))
        {
            Some((whose, who)) => (who, whose),
            None => return Err(visit.doorkeeper.wrong_key(&visit.service, Door::Console, visit.peer).await),
        },
        _ => {
            return Err(Refusal::invalid("a login takes user and password, or key")
                .next("give {\"user\": .., \"password\": ..} or {\"key\": ..}"));
        }
    };
    let (session, cookie) = begin(&visit, who, whose, LONGEST).await?;
    Ok(Answer::ok(session).with_cookie(cookie))
}

/// `DELETE /session`.
pub(super) async fn log_out(visit: Visit, _: Nothing) -> Result<Answer<Session>, Refusal> {
    marked(&visit.headers)?;
    let mut left = Session::of(None, false, &visit.doorkeeper);
    if let Some(secret) = secret(&visit.headers) {
        let whose = visit.doorkeeper.sessions().find(secret);
        if whose.is_some_and(|(whose, _)| matches!(whose, Whose::Provided { .. })) {
            left.provider_log_out = visit.doorkeeper.oidc().and_then(Oidc::end_session);
        }
        visit.doorkeeper.sessions().end(secret);
    }
    Ok(Answer::ok(left).with_cookie(cookie(&visit.headers, "", 0)))
}

/// `POST /setup`.
pub(super) async fn set_up(visit: Visit, request: SetupRequest) -> Result<Answer<Session>, Refusal> {
    marked(&visit.headers)?;
    let SetupRequest { code, name, password } = request;
    let first = visit.doorkeeper.first();
    if !first.is_open() || !visit.service.knows_no_user() {
        return Err(Refusal::new(StatusCode::FORBIDDEN, "forbidden", "no code is taken any more: there are users, or it is too old")
            .next("log in; an admin makes further users. Where nobody can log in, a restart prints a new code while there is no user"));
    }
    visit.doorkeeper.admits_guess(visit.peer, CODE)?;
    if !first.is(code.expose()) {
        visit.doorkeeper.count_wrong(visit.peer, CODE);
        return Err(wrong("this is not the code that the server printed").at("/code"));
    }
    // In the audit the first user is made by whoever held the code.
    let holder = Principal::new("setup-code", Role::Admin, Door::Console);
    let wanted = NewUser { name: name.clone(), role: Role::Admin, password };
    let made = visit.service.add_first_user(&holder, wanted).await?;
    first.close();
    let who = Principal::new(name, made.role, Door::Console);
    let whose = Whose::User { name: who.name.clone(), changed_unix_ms: made.changed_unix_ms };
    let (session, cookie) = begin(&visit, who, whose, LONGEST).await?;
    Ok(Answer::ok(session).with_cookie(cookie))
}

/// Begins a session that lasts so long at most: who is there then, and the cookie.
pub(super) async fn begin(
    visit: &Visit,
    who: Principal,
    whose: Whose,
    longest: Duration,
) -> Result<(Session, String), Refusal> {
    let by = match whose {
        Whose::User { .. } => "user",
        Whose::Key { .. } => "key",
        Whose::Provided { .. } => "oidc",
    };
    // Whoever logs in anew leaves the old session.
    if let Some(old) = secret(&visit.headers) {
        visit.doorkeeper.sessions().end(old);
    }
    let secret = visit.doorkeeper.sessions().begin(whose, longest).ok_or_else(|| {
        Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the system gives no random numbers")
            .next("look at the log of Usher")
    })?;
    let set = cookie(&visit.headers, &secret, longest.as_secs());
    tracing::info!(name = who.name, by, "logged in at the console");
    visit.service.logged_in(&who, by).await;
    let you =
        Person { name: who.name, role: role_word(who.role), by, expires_in_secs: Some(longest.as_secs()) };
    Ok((Session::of(Some(you), false, &visit.doorkeeper), set))
}

fn wrong(message: &str) -> Refusal {
    Refusal::new(StatusCode::UNAUTHORIZED, "unauthorized", message)
        .next("try again; `usher user` lists and changes users")
}

/// The session's secret in a request's cookies.
pub(super) fn secret(headers: &HeaderMap) -> Option<&str> {
    cookie_in(headers, &[COOKIE, SECURE_COOKIE])
}

/// The value of the first cookie that has one of these names.
pub(super) fn cookie_in<'h>(headers: &'h HeaderMap, names: &[&str]) -> Option<&'h str> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| names.contains(name)).map(|(_, value)| value)
}

/// Asks for the header that a page of another site can't send without being asked back, which it then isn't let.
///
/// # Errors
/// 403 without it.
pub(super) fn marked(headers: &HeaderMap) -> Result<(), Refusal> {
    let site = headers.get("sec-fetch-site").and_then(|site| site.to_str().ok()).unwrap_or("none");
    if headers.contains_key(MARK) && ["none", "same-origin"].contains(&site) {
        return Ok(());
    }
    Err(Refusal::forbidden("a session is for the console's own pages alone")
        .at("X-Usher-Console")
        .next("send X-Usher-Console: 1, or come with a key or token"))
}

/// The cookie's line. The browser names the page's origin with each POST and DELETE, so that its scheme tells whether there is TLS before us.
fn cookie(headers: &HeaderMap, value: &str, secs: u64) -> String {
    let origin = headers.get(header::ORIGIN).and_then(|origin| origin.to_str().ok()).unwrap_or_default();
    let secure = origin.starts_with("https://");
    let (name, end) = if secure { (SECURE_COOKIE, "; Secure") } else { (COOKIE, "") };
    format!("{name}={value}; Path=/usher/v1; Max-Age={secs}; HttpOnly; SameSite=Strict{end}")
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderMap;

    use super::{cookie, marked, secret};

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn the_cookie_is_found_among_others() {
        for (line, wanted) in [
            ("usher_session=abc", Some("abc")),
            ("a=b; usher_session=abc; c=d", Some("abc")),
            ("__Secure-usher_session=x", Some("x")),
            ("usher_sessions=abc", None),
            ("", None),
        ] {
            assert_eq!(secret(&headers(&[("cookie", line)])), wanted, "{line}");
        }
    }

    #[test]
    fn only_pages_of_the_console_are_marked() {
        for (pairs, good) in [
            (&[("x-usher-console", "1")][..], true),
            (&[("x-usher-console", "1"), ("sec-fetch-site", "same-origin")], true),
            (&[("x-usher-console", "1"), ("sec-fetch-site", "same-site")], false),
            (&[("x-usher-console", "1"), ("sec-fetch-site", "cross-site")], false),
            (&[("sec-fetch-site", "same-origin")], false),
            (&[], false),
        ] {
            assert_eq!(marked(&headers(pairs)).is_ok(), good, "{pairs:?}");
        }
    }

    #[test]
    fn over_tls_the_cookie_stays_there() {
        let plain = cookie(&headers(&[("origin", "http://127.0.0.1:9180")]), "abc", 60);
        assert_eq!(plain, "usher_session=abc; Path=/usher/v1; Max-Age=60; HttpOnly; SameSite=Strict");
        let tls = cookie(&headers(&[("origin", "https://usher.test")]), "abc", 60);
        assert!(tls.starts_with("__Secure-usher_session=abc") && tls.ends_with("; Secure"), "{tls}");
    }
}
