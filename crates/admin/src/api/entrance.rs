//! Who is asking, and whether that is enough: an admin key or a token, and the right that an endpoint needs.

use std::net::{IpAddr, SocketAddr};

use axum::extract::ConnectInfo;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use usher_model::change::{Door, Principal, Role};

use super::refusal::Refusal;
use crate::keys::{Guess, Guesses, Keys};
use crate::service::Service;

/// What the command line says it is; it opens no door that the role doesn't.
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
}

impl Doorkeeper {
    /// With these admin keys; `None`: no key is asked for, and who gives none is an admin.
    pub(super) fn new(keys: Option<Keys>) -> Self {
        Self { keys, guesses: Guesses::default() }
    }

    /// The principal of a request: by an admin key, or by a token.
    ///
    /// # Errors
    /// 401 without either, and with one that isn't known; 400 with two that differ; 429 where too many wrong ones came from one address.
    pub(super) async fn principal(&self, service: &Service, head: &Parts) -> Result<Principal, Refusal> {
        let door = door(&head.headers);
        let Some(given) = given(&head.headers)? else {
            return match self.keys {
                None => Ok(Principal::new("keyless", Role::Admin, door)),
                Some(_) => Err(refused("no key was given")),
            };
        };
        // Both are always looked at, so that how long it takes says nothing of either.
        let by_key = self.keys.as_ref().and_then(|keys| keys.find(given.as_bytes()));
        let by_key = by_key.map(|(name, role)| Principal::new(name, role, door));
        let by_token = service.principal_of(&given, door);
        match by_key.or(by_token) {
            Some(principal) => Ok(principal),
            None => Err(self.wrong(service, door, peer(head)).await),
        }
    }

    /// Counts a wrong key, and says so.
    async fn wrong(&self, service: &Service, door: Door, from: Option<IpAddr>) -> Refusal {
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
                let message = format!("too many wrong keys came from {from}");
                Refusal::new(StatusCode::TOO_MANY_REQUESTS, "too_many_guesses", message)
                    .next(format!("wait {retry_after_secs} seconds, or come with a right one"))
                    .retry_after(retry_after_secs)
            }
        }
    }
}

/// Where a request came from, by its socket.
fn peer(head: &Parts) -> Option<IpAddr> {
    head.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip().to_canonical())
}

fn refused(message: &str) -> Refusal {
    Refusal::new(StatusCode::UNAUTHORIZED, "unauthorized", message)
        .next("send an admin key or a token as X-API-KEY, or as Authorization: Bearer")
}

/// The door that a client says it stands in.
fn door(headers: &HeaderMap) -> Door {
    let agent = headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
    if agent.starts_with(CLI_AGENT) { Door::Cli } else { Door::Api }
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

    use super::{Right, door, given};

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
    fn the_command_line_is_known_by_its_agent_and_gains_nothing_by_it() {
        assert_eq!(door(&headers(&[("user-agent", "usher-cli/0.1.0")])), Door::Cli);
        assert_eq!(door(&headers(&[("user-agent", "curl/8")])), Door::Api);
        let viewer = Principal::new("v", Role::Viewer, Door::Cli);
        assert!(Right::Reads.check(&viewer).is_ok());
        assert!(Right::Changes.check(&viewer).is_err() && Right::Administers.check(&viewer).is_err());
        let editor = Principal::new("e", Role::Editor, Door::Cli);
        assert!(Right::Changes.check(&editor).is_ok() && Right::Administers.check(&editor).is_err());
    }
}
