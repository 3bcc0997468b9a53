//! Who calls the chat side: a token, or nobody in particular where the port is this machine's own.
//!
//! A token that comes along is always looked at, so that a wrong one is never taken for none. Where tokens are required nothing but the files that say
//! what this port is are given without one.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use serde_json::json;
use usher_admin::service::Service;
use usher_model::change::{Door, Principal};

use crate::oauth::Addresses;

/// What says what this port is, and nothing of what is configured.
const PUBLIC: [&str; 6] =
    ["/", "/legal", "/logo.png", "/openapi.json", "/openapi.yaml", "/.well-known/ai-plugin.json"];

/// Whoever came in with a token; rides along with the request.
#[derive(Clone, Debug)]
pub(crate) struct Caller(pub(crate) Principal);

/// What the entrance knows.
pub(crate) struct Entrance {
    pub(crate) service: Arc<Service>,
    /// Whether nobody comes in without a token.
    pub(crate) required: bool,
    /// Under which addresses clients get tokens of their own, where they can.
    pub(crate) oauth: Option<Arc<Addresses>>,
}

impl Entrance {
    /// Who a token stands for at this path.
    fn principal_of(&self, token: &str, door: Door, path: &str) -> Option<Principal> {
        self.service.principal_of(token, door).or_else(|| {
            let addresses = self.oauth.as_ref()?;
            self.service.principal_of_grant(token, door, |audience| addresses.is_meant(audience, path))
        })
    }

    /// A refusal that says how a token is got.
    fn refused(&self, headers: &HeaderMap, path: &str, is_wrong: bool, reason: &str) -> Response {
        let error = is_wrong.then_some("invalid_token");
        let challenge = self.oauth.as_ref().map(|addresses| addresses.challenge(headers, path, error));
        refused(reason, challenge.and_then(|challenge| HeaderValue::from_str(&challenge).ok()))
    }
}

/// Lets a request in with its principal, or says why not.
pub(crate) async fn admit(
    State(entrance): State<Arc<Entrance>>,
    mut request: Request,
    next: Next,
) -> Response {
    // A preflight carries no token, and gives nothing away.
    if request.method() == Method::OPTIONS {
        return next.run(request).await;
    }
    let path = request.uri().path().to_owned();
    let headers = request.headers();
    match token(headers) {
        Ok(Some(token)) => {
            let door = if path == "/mcp" { Door::Mcp } else { Door::Api };
            let Some(who) = entrance.principal_of(&token, door, &path) else {
                entrance.service.login_failed(door, "a token of the chat side").await;
                let reason = "the token is not in force: it was revoked, has ended, or never was";
                return entrance.refused(headers, &path, true, reason);
            };
            // The Admin API's paths take their principal from here.
            request.extensions_mut().insert(who.clone());
            request.extensions_mut().insert(Caller(who));
            next.run(request).await
        }
        Ok(None) if !entrance.required || PUBLIC.contains(&path.as_str()) => next.run(request).await,
        Ok(None) => {
            let reason = "a token is needed here; an admin makes one with `usher token create`";
            entrance.refused(headers, &path, false, reason)
        }
        Err(reason) => entrance.refused(headers, &path, true, reason),
    }
}

/// The token that a request carries.
fn token(headers: &HeaderMap) -> Result<Option<String>, &'static str> {
    let mut found: Option<&str> = None;
    let bearers = headers.get_all(AUTHORIZATION).iter().map(|value| {
        let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
    });
    let keys = headers.get_all("x-api-key").iter().map(|value| value.to_str().ok().map(str::trim));
    for given in bearers.chain(keys) {
        let given = given.ok_or("the token can't be read: send Authorization: Bearer TOKEN")?;
        if found.is_some_and(|first| first != given) {
            return Err("two different tokens were given; send one of them");
        }
        found = Some(given);
    }
    Ok(found.filter(|token| !token.is_empty()).map(str::to_owned))
}

fn refused(reason: &str, challenge: Option<HeaderValue>) -> Response {
    let mut response = (StatusCode::UNAUTHORIZED, axum::Json(json!({ "error_msg": reason }))).into_response();
    let challenge = challenge.unwrap_or(HeaderValue::from_static("Bearer realm=\"usher\""));
    response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    response
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderMap;

    use super::token;

    #[test]
    fn a_token_comes_in_one_of_two_headers() {
        let of = |pairs: &[(&'static str, &'static str)]| {
            let headers: HeaderMap =
                pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
            token(&headers)
        };
        assert_eq!(of(&[]), Ok(None));
        assert_eq!(of(&[("authorization", "Bearer a")]), Ok(Some("a".to_owned())));
        assert_eq!(of(&[("x-api-key", "a"), ("authorization", "bearer a")]), Ok(Some("a".to_owned())));
        assert!(of(&[("x-api-key", "b"), ("authorization", "Bearer a")]).is_err());
        assert!(of(&[("authorization", "Basic YTpi")]).is_err());
    }
}
