//! The token endpoint: codes and renewal secrets against tokens, and their revocation (RFC 6749, sections 4.1.3 and 6; RFC 7009).

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde_json::json;
use usher_admin::service::{Granted, NewGrant, ServiceError};
use usher_model::secret::Secret;

use super::codes::{Redeemed, Yes};
use super::form::Form;
use super::{Server, hashed, role_of, scope_of};

/// Why nothing is given: the code of OAuth, and a sentence.
type Refused = (&'static str, String);

/// `POST /oauth/token`.
pub(super) async fn token(State(server): State<Arc<Server>>, headers: HeaderMap, body: Bytes) -> Response {
    let form = match read(&headers, &body) {
        Ok(form) => form,
        Err(refused) => return answer_no(&refused),
    };
    let outcome = match form.get("grant_type") {
        Some("authorization_code") => server.redeem(&form).await,
        Some("refresh_token") => server.renew(&form).await,
        _ => Err(("unsupported_grant_type", "grant_type is authorization_code or refresh_token".to_owned())),
    };
    match outcome {
        Ok(granted) => answer_yes(&granted),
        Err(refused) => answer_no(&refused),
    }
}

/// `POST /oauth/revoke`. What isn't there is as good as revoked.
pub(super) async fn revoke(State(server): State<Arc<Server>>, headers: HeaderMap, body: Bytes) -> Response {
    let form = match read(&headers, &body) {
        Ok(form) => form,
        Err(refused) => return answer_no(&refused),
    };
    let (Some(token), Some(client)) = (form.get("token"), form.get("client_id")) else {
        return answer_no(&("invalid_request", "token and client_id are needed".to_owned()));
    };
    match server.service.end_grant(&Secret::new(token.to_owned()), client).await {
        Ok(()) => StatusCode::OK.into_response(),
        Err(error) => answer_no(&stored(&error)),
    }
}

impl Server {
    async fn redeem(&self, form: &Form) -> Result<Granted, Refused> {
        let code = need(form, "code")?;
        let yes = match self.codes.redeem(code) {
            Redeemed::Good(yes) => *yes,
            Redeemed::Copied(made) => {
                if let Some(id) = made {
                    tracing::warn!(token = %id, "a code of OAuth came for the second time, so its token was ended");
                    self.service.end_copied_grant(&id).await.map_err(|error| stored(&error))?;
                }
                return Err(no_grant("the code was used before"));
            }
            Redeemed::Unknown => return Err(no_grant("there is no such code, or it is too old")),
        };
        let verifier = need(form, "code_verifier")?;
        let is_verifier = (43..=128).contains(&verifier.len())
            && verifier.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte));
        if need(form, "client_id")? != yes.client {
            return Err(no_grant("the code was given to another client"));
        }
        if form.get("redirect_uri").is_some_and(|redirect| redirect != yes.redirect) {
            return Err(no_grant("redirect_uri is another one than that of the code"));
        }
        if !is_verifier || hashed(verifier) != yes.challenge {
            return Err(no_grant("code_verifier does not belong to the code's challenge"));
        }
        if let Some(resource) = form.get("resource")
            && self.addresses.audience(resource).as_deref() != Some(yes.audience.as_str())
        {
            return Err(("invalid_target", "resource is another one than that of the code".to_owned()));
        }
        let Yes { client, client_name, audience, role, user, by, .. } = yes;
        let wanted = NewGrant { user, by, client, client_name, role, audience };
        let granted = self.service.grant(wanted).await.map_err(|error| stored(&error))?;
        self.codes.made(code, &granted.id);
        Ok(granted)
    }

    async fn renew(&self, form: &Form) -> Result<Granted, Refused> {
        let renewal = Secret::new(need(form, "refresh_token")?.to_owned());
        let client = need(form, "client_id")?;
        let audience = match form.get("resource") {
            Some(resource) => Some(self.addresses.audience(resource).ok_or_else(|| {
                ("invalid_target", "resource is none of this gateway's addresses".to_owned())
            })?),
            None => None,
        };
        role_of(form.get("scope"))
            .map_err(|unknown| ("invalid_scope", format!("there is no scope {unknown}")))?;
        let granted = self.service.renew_grant(&renewal, client, audience.as_deref()).await;
        granted.map_err(|error| stored(&error))?.ok_or_else(|| {
            no_grant("this renews nothing: it was used, revoked or has ended, or is another client's")
        })
    }
}

fn read(headers: &HeaderMap, body: &Bytes) -> Result<Form, Refused> {
    if headers.contains_key(AUTHORIZATION) {
        let why = "no client has a secret here: send client_id in the form, and PKCE's code_verifier";
        return Err(("invalid_client", why.to_owned()));
    }
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Err(("invalid_request", "send a form: application/x-www-form-urlencoded".to_owned()));
    }
    Form::read(&String::from_utf8_lossy(body)).map_err(|why| ("invalid_request", why))
}

fn need<'a>(form: &'a Form, name: &str) -> Result<&'a str, Refused> {
    form.need(name).map_err(|why| ("invalid_request", why))
}

fn no_grant(why: &str) -> Refused {
    ("invalid_grant", why.to_owned())
}

fn stored(error: &ServiceError) -> Refused {
    match error {
        ServiceError::Forbidden(_) => no_grant("the user has changed since; ask the person again"),
        error => {
            tracing::warn!(%error, "a token of OAuth could not be written");
            ("temporarily_unavailable", "the token can't be written; try again".to_owned())
        }
    }
}

fn answer_yes(granted: &Granted) -> Response {
    let answer = json!({
        "access_token": granted.access.expose(), "token_type": "Bearer", "expires_in": granted.expires_in_secs,
        "refresh_token": granted.renewal.expose(), "scope": scope_of(granted.role),
    });
    ([(CACHE_CONTROL, "no-store")], axum::Json(answer)).into_response()
}

fn answer_no((code, why): &Refused) -> Response {
    let status = match *code {
        "invalid_client" => StatusCode::UNAUTHORIZED,
        "temporarily_unavailable" => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::BAD_REQUEST,
    };
    let answer = json!({ "error": code, "error_description": why });
    (status, [(CACHE_CONTROL, "no-store")], axum::Json(answer)).into_response()
}
