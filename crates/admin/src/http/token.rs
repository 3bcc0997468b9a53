//! Who is asking: the key of a request, and what its role may do.

use axum::http::{HeaderMap, StatusCode, header};
use serde_json::json;
use usher_model::change::{Door, Principal, Role};
use usher_model::compat::{Behaviour, Compat};

use super::answer::Answer;
use super::args::Args;
use super::place::Verb;
use crate::keys::Keys;

/// How a principal is found.
pub(super) enum Access {
    /// By the key that comes with a request.
    Keys {
        /// The keys.
        keys: Keys,
        /// Whether query and cookie are looked at too.
        compat: Compat,
    },
    /// Everybody is this one.
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
    /// 401 in APISIX's words: no key, a wrong one, or one that may only read.
    pub(super) fn principal(
        &self,
        headers: &HeaderMap,
        args: &Args,
        verb: Verb,
    ) -> Result<Principal, Answer> {
        let principal = match self {
            Self::As(principal) => principal.clone(),
            Self::Keys { keys, compat } => {
                let given = given(headers, args, *compat).ok_or_else(|| refused("missing apikey"))?;
                let (name, role) = keys.find(&given).ok_or_else(|| refused("wrong apikey"))?;
                Principal::new(name, role, Door::AdminApi)
            }
        };
        if principal.role == Role::Viewer && verb != Verb::Get {
            return Err(refused("invalid method for role viewer"));
        }
        Ok(principal)
    }
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
