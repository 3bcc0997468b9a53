//! Who is asking: the key or token of a request, and what its role may do.

use std::net::{IpAddr, SocketAddr};

use axum::extract::ConnectInfo;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use serde_json::json;
use usher_model::change::{Door, Principal, Role};
use usher_model::compat::{Behaviour, Compat};

use super::answer::Answer;
use super::args::Args;
use super::place::Verb;
use crate::keys::{Guess, Guesses, Keys};
use crate::service::Service;

/// How a principal is found.
pub(super) enum Access {
    /// By the key that comes with a request.
    Keys {
        /// The keys.
        keys: Keys,
        /// Whether query and cookie are looked at too.
        compat: Compat,
        /// Wrong keys, by who gave them.
        guesses: Guesses,
    },
    /// Everybody is this one, but whoever a layer in front has found to be another.
    As(Principal),
}

impl Access {
    /// Where no key is needed, everybody is an admin.
    pub(super) fn everybody() -> Self {
        Self::As(Principal::new("keyless", Role::Admin, Door::AdminApi))
    }

    /// The principal of a request.
    ///
    /// # Errors
    /// 401 in APISIX's words: no key, a wrong one, or one that may only read. 429 where too many wrong ones came from the same address.
    pub(super) async fn principal(
        &self,
        service: &Service,
        head: &Parts,
        args: &Args,
        verb: Verb,
    ) -> Result<Principal, Answer> {
        let principal = match self {
            // Nothing that comes over the wire gets into extensions.
            Self::As(principal) => head.extensions.get::<Principal>().unwrap_or(principal).clone(),
            Self::Keys { keys, compat, guesses } => {
                let given = given(&head.headers, args, *compat).ok_or_else(|| refused("missing apikey"))?;
                match find(keys, service, &given) {
                    Some(principal) => principal,
                    None => return Err(wrong(guesses, service, peer(head)).await),
                }
            }
        };
        if principal.role == Role::Viewer && verb != Verb::Get {
            return Err(refused("invalid method for role viewer"));
        }
        Ok(principal)
    }
}

/// The principal of an admin key or of a token. Both are always looked at, so that how long it takes says nothing of either.
fn find(keys: &Keys, service: &Service, given: &[u8]) -> Option<Principal> {
    let by_key = keys.find(given).map(|(name, role)| Principal::new(name, role, Door::AdminApi));
    let by_token =
        std::str::from_utf8(given).ok().and_then(|token| service.principal_of(token, Door::AdminApi));
    by_key.or(by_token)
}

/// Counts a wrong key, and says so.
async fn wrong(guesses: &Guesses, service: &Service, from: Option<IpAddr>) -> Answer {
    // Without an address there is nobody to count for: only in tests, and for callers inside of this process.
    let Some(from) = from else { return refused("wrong apikey") };
    let guess = guesses.wrong(from);
    if let Guess::Wrong | Guess::Burst { .. } = guess {
        service.login_failed(Door::AdminApi, &from.to_string()).await;
    }
    match guess {
        Guess::Wrong => refused("wrong apikey"),
        Guess::Burst { retry_after_secs } => {
            tracing::warn!(%from, "too many wrong keys of the Admin API from one address");
            wait(from, retry_after_secs)
        }
        Guess::TooMany { retry_after_secs } => wait(from, retry_after_secs),
    }
}

fn wait(from: IpAddr, secs: u64) -> Answer {
    let body = json!({
        "error_msg": "failed to check token",
        "description": format!("too many wrong keys from {from}; wait {secs} seconds, or come with a right one"),
    });
    Answer::json(StatusCode::TOO_MANY_REQUESTS, &body).retry_after(secs)
}

/// Where a request came from, by its socket.
pub(super) fn peer(head: &Parts) -> Option<IpAddr> {
    head.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip().to_canonical())
}

fn refused(description: &str) -> Answer {
    let body = json!({ "error_msg": "failed to check token", "description": description });
    Answer::json(StatusCode::UNAUTHORIZED, &body)
}

/// The first key that isn't empty, in APISIX's order; no other is looked at behind it.
fn given(headers: &HeaderMap, args: &Args, compat: Compat) -> Option<Vec<u8>> {
    let wide = compat.has(Behaviour::KeyInQueryOrCookie);
    let query = || args.filled("api_key").filter(|_| wide).map(|key| key.as_bytes().to_vec());
    let header = || {
        // Several are one list, as everywhere in HTTP, and no key then.
        let all: Vec<&[u8]> = headers.get_all("x-api-key").iter().map(|value| value.as_bytes()).collect();
        Some(all.join(&b", "[..])).filter(|key| !key.is_empty())
    };
    let cookie = || cookie(headers).filter(|_| wide);
    query().or_else(header).or_else(cookie)
}

fn cookie(headers: &HeaderMap) -> Option<Vec<u8>> {
    let pairs =
        headers.get_all(header::COOKIE).iter().flat_map(|value| value.as_bytes().split(|b| *b == b';'));
    pairs
        .filter_map(|pair| pair.trim_ascii().strip_prefix(b"x_api_key="))
        .find(|key| !key.is_empty())
        .map(<[u8]>::to_vec)
}
