//! Who is asking, and whether that is enough: an admin key or a token, and the right that an endpoint needs.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ConnectInfo;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, header};
use usher_model::change::{Door, Principal, Role};
use usher_model::secret::Secret;

use super::first::First;
use super::refusal::Refusal;
use super::session;
use super::sessions::{Sessions, Whose};
use crate::http::hosts::{ForeignHost, NEXT};
use crate::keys::{Guess, Guesses, Keys, Passwords};
use crate::oidc::Oidc;
use crate::service::Service;

/// What the command line says it is.
const CLI_AGENT: &str = "usher-cli/";

/// What an endpoint asks of a principal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Right {
    /// To read, with secrets masked: every role.
    Reads,
    /// To plan and apply: every role but viewer. What exactly is the service's rule.
    Changes,
    /// To see who acts, and to let others in: admins.
    Administers,
}

impl Right {
    /// The least role that has it.
    pub(super) const fn role(self) -> Role {
        match self {
            Self::Reads => Role::Viewer,
            Self::Changes => Role::Chat,
            Self::Administers => Role::Admin,
        }
    }

    /// As the OpenAPI document says it.
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Reads => "any role",
            Self::Changes => "chat, editor or admin",
            Self::Administers => "admin",
        }
    }

    /// Lets a principal in.
    ///
    /// # Errors
    /// 403 where its role isn't enough.
    pub(super) fn check(self, who: &Principal) -> Result<(), Refusal> {
        if who.role >= self.role() {
            return Ok(());
        }
        let role = role_word(who.role);
        Err(Refusal::forbidden(format!("{:?} has the role {role}; this needs {}", who.name, self.words()))
            .next("use a key or token with that role"))
    }
}

/// A role as it is written in JSON.
pub(super) const fn role_word(role: Role) -> &'static str {
    match role {
        Role::Viewer => "viewer",
        Role::Chat => "chat",
        Role::Editor => "editor",
        Role::Admin => "admin",
    }
}

/// Finds the principal of a request.
pub(super) struct Doorkeeper {
    keys: Option<Keys>,
    guesses: Guesses,
    passwords: Passwords,
    sessions: Sessions,
    first: First,
    oidc: Option<Arc<Oidc>>,
}

impl Doorkeeper {
    /// With these admin keys; `None`: no key is asked for, and who gives none is an admin.
    pub(super) fn new(
        keys: Option<Keys>,
        code: Option<Secret<String>>,
        oidc: Option<Arc<Oidc>>,
        sessions: Sessions,
    ) -> Self {
        let (guesses, passwords) = (Guesses::default(), Passwords::default());
        Self { keys, guesses, passwords, sessions, first: First::new(code), oidc }
    }

    /// The provider that people may log in with. Where no key is asked for, there is nothing to log in to.
    pub(super) fn oidc(&self) -> Option<&Oidc> {
        self.oidc.as_deref().filter(|_| self.keys.is_some())
    }

    /// Who is logged in.
    pub(super) const fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// The code for the first user.
    pub(super) const fn first(&self) -> &First {
        &self.first
    }

    /// Whether no key is asked for.
    pub(super) const fn is_keyless(&self) -> bool {
        self.keys.is_none()
    }

    /// Who an admin key stands for at the console.
    pub(super) fn key(&self, given: &str) -> Option<Principal> {
        let (name, role) = self.keys.as_ref()?.find(given.as_bytes())?;
        Some(Principal::new(name, role, Door::Console))
    }

    /// The session of the holder of a key of this name.
    pub(super) fn of_key(&self, name: &str) -> Option<Whose> {
        Some(Whose::Key { name: name.to_owned(), tag: self.keys.as_ref()?.tag_of(name)? })
    }

    /// Who a session's secret stands for at this moment, by what, and how long the session may last.
    pub(super) fn logged_in(
        &self,
        service: &Service,
        secret: &str,
    ) -> Option<(Principal, &'static str, Duration)> {
        let (whose, left) = self.sessions.find(secret)?;
        match whose {
            Whose::User { name, changed_unix_ms } => {
                let who = service.user_unchanged(&name, changed_unix_ms, Door::Console)?;
                Some((who, "user", left))
            }
            Whose::Key { name, tag } => {
                let keys = self.keys.as_ref()?;
                let role = keys.role_of(&name).filter(|_| keys.tag_of(&name) == Some(tag))?;
                Some((Principal::new(name, role, Door::Console), "key", left))
            }
            Whose::Provided { name, role } => Some((Principal::new(name, role, Door::Console), "oidc", left)),
        }
    }

    /// The principal of a request: by an admin key, or by a token.
    ///
    /// # Errors
    /// 401 without either, and with one that isn't known; 400 with two that differ; 429 where too many wrong ones came from one address.
    pub(super) async fn principal(&self, service: &Service, head: &Parts) -> Result<Principal, Refusal> {
        let Some(given) = given(&head.headers)? else {
            if let Some(secret) = session::secret(&head.headers)
                && let Some((who, _, _)) = self.logged_in(service, secret)
            {
                under_own_name(head)?;
                may_use_session(head)?;
                return Ok(who);
            }
            return match self.keys {
                None => Ok(Principal::new("keyless", Role::Admin, key_door(&head.headers))),
                Some(_) => Err(refused("no key was given")),
            };
        };
        // Both are always looked at, so that how long it takes says nothing of either.
        let by_key = self.keys.as_ref().and_then(|keys| keys.find(given.as_bytes()));
        let by_key = by_key.map(|(name, role)| Principal::new(name, role, key_door(&head.headers)));
        let by_token = service.principal_of(&given, Door::Api);
        match by_key.or(by_token) {
            Some(principal) => Ok(principal),
            None => Err(self.wrong_key(service, Door::Api, peer(head)).await),
        }
    }

    /// Counts a wrong key, and says so.
    pub(super) async fn wrong_key(&self, service: &Service, door: Door, from: Option<IpAddr>) -> Refusal {
        let refusal = || refused("the key is no admin key, and no token that is in force");
        // Without an address there is nobody to count for: only callers inside of this process have none.
        let Some(from) = from else { return refusal() };
        let guess = self.guesses.wrong(from);
        if let Guess::Wrong | Guess::Burst { .. } = guess {
            service.login_failed(door, &from.to_string()).await;
        }
        match guess {
            Guess::Wrong => refusal(),
            Guess::Burst { retry_after_secs } | Guess::TooMany { retry_after_secs } => {
                too_many("keys", from, retry_after_secs, ", or come with a right one")
            }
        }
    }

    /// Lets a password for this name be tried, or what else is guessed like one; that costs us more than it costs who tries.
    ///
    /// # Errors
    /// 429 where too many wrong ones came from this address, for this name or in all.
    pub(super) fn admits_guess(&self, from: Option<IpAddr>, name: &str) -> Result<(), Refusal> {
        let held = from.and_then(|from| Some((from, self.passwords.held(from, name)?)));
        held.map_or(Ok(()), |(from, secs)| {
            Err(too_many(
                "passwords",
                from,
                secs,
                "; other users and holders of an admin key get in meanwhile",
            ))
        })
    }

    /// Counts a wrong password or code; the service tells the audit.
    pub(super) fn count_wrong(&self, from: Option<IpAddr>, name: &str) {
        if let Some(from) = from {
            self.passwords.wrong(from, name);
        }
    }

    /// Takes back what was counted before it was known to be right.
    pub(super) fn count_right(&self, from: Option<IpAddr>, name: &str) {
        if let Some(from) = from {
            self.passwords.right(from, name);
        }
    }
}

fn too_many(what: &str, from: IpAddr, secs: u64, next: &str) -> Refusal {
    let message = format!("too many wrong {what} came from {from}");
    Refusal::new(StatusCode::TOO_MANY_REQUESTS, "too_many_guesses", message)
        .next(format!("wait {secs} seconds{next}"))
        .retry_after(secs)
}

/// Whether a request that comes with a session comes from the console: a link of ours may read, and whatever changes something has to say that a
/// page of ours asks.
fn may_use_session(head: &Parts) -> Result<(), Refusal> {
    if head.method != Method::GET {
        return session::marked(&head.headers);
    }
    let site = head.headers.get("sec-fetch-site").and_then(|site| site.to_str().ok()).unwrap_or("none");
    if ["none", "same-origin"].contains(&site) {
        return Ok(());
    }
    Err(Refusal::forbidden("a session is for the console's own pages alone")
        .next("open the console, or come with a key or token"))
}

/// Refuses what came under a name that isn't ours, where a browser alone would vouch for it.
///
/// # Errors
/// 421 with what to do.
pub(super) fn under_own_name(head: &Parts) -> Result<(), Refusal> {
    let Some(ForeignHost(sentence)) = head.extensions.get() else { return Ok(()) };
    tracing::warn!(path = head.uri.path(), "refused a request for a foreign host at the console");
    Err(Refusal::new(StatusCode::MISDIRECTED_REQUEST, "foreign_host", sentence.as_str()).next(NEXT))
}

/// Where a request came from, by its socket.
pub(super) fn peer(head: &Parts) -> Option<IpAddr> {
    head.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip().to_canonical())
}

fn refused(message: &str) -> Refusal {
    Refusal::new(StatusCode::UNAUTHORIZED, "unauthorized", message)
        .next("send an admin key or a token as X-API-KEY, or as Authorization: Bearer")
}

/// The door of an admin key, or of who needs none: the console or the command line, where the client says that it is that. Such a key writes on the Admin API's own paths whatever it
/// likes, so what it says here gains it nothing. A token always stands in the door of programs, whatever it says.
fn key_door(headers: &HeaderMap) -> Door {
    let agent = headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
    if headers.contains_key(session::MARK) {
        Door::Console
    } else if agent.starts_with(CLI_AGENT) {
        Door::Cli
    } else {
        Door::Api
    }
}

/// The key or token that comes with a request.
fn given(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    let mut found: Option<String> = None;
    let bearers = headers.get_all(header::AUTHORIZATION).iter().map(|value| {
        let text = value.to_str().unwrap_or_default();
        let (scheme, key) = text.split_once(' ').unwrap_or((text, ""));
        if scheme.eq_ignore_ascii_case("bearer") {
            Ok(key.trim())
        } else {
            Err(refused("Authorization takes the scheme Bearer here"))
        }
    });
    let keys = headers.get_all("x-api-key").iter().map(|value| Ok(value.to_str().unwrap_or_default().trim()));
    for key in keys.chain(bearers) {
        let key = key?;
        if key.is_empty() {
            continue;
        }
        match &found {
            Some(first) if first != key => {
                return Err(Refusal::new(
                    StatusCode::BAD_REQUEST,
                    "malformed",
                    "two different keys were given",
                )
                .next("send one of them, so that it is clear who acts"));
            }
            _ => found = Some(key.to_owned()),
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderMap;
    use usher_model::change::{Door, Principal, Role};

    use super::{Right, given, key_door};

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn a_key_comes_in_one_of_two_headers() {
        for (pairs, wanted) in [
            (&[][..], Ok(None)),
            (&[("x-api-key", "a")], Ok(Some("a"))),
            (&[("authorization", "Bearer a")], Ok(Some("a"))),
            (&[("authorization", "bearer  a ")], Ok(Some("a"))),
            (&[("x-api-key", "a"), ("authorization", "Bearer a")], Ok(Some("a"))),
            (&[("x-api-key", ""), ("authorization", "Bearer a")], Ok(Some("a"))),
            (&[("x-api-key", "a"), ("authorization", "Bearer b")], Err(())),
            (&[("authorization", "Basic YTpi")], Err(())),
        ] {
            let found = given(&headers(pairs)).map_err(|_| ());
            assert_eq!(found, wanted.map(|key: Option<&str>| key.map(str::to_owned)), "{pairs:?}");
        }
    }

    #[test]
    fn the_command_line_is_known_by_its_agent_where_a_key_comes_with_it() {
        assert_eq!(key_door(&headers(&[("user-agent", "usher-cli/0.1.0")])), Door::Cli);
        assert_eq!(key_door(&headers(&[("user-agent", "curl/8")])), Door::Api);
        let viewer = Principal::new("v", Role::Viewer, Door::Cli);
        assert!(Right::Reads.check(&viewer).is_ok());
        assert!(Right::Changes.check(&viewer).is_err() && Right::Administers.check(&viewer).is_err());
        let editor = Principal::new("e", Role::Editor, Door::Cli);
        assert!(Right::Changes.check(&editor).is_ok() && Right::Administers.check(&editor).is_err());
    }
}
