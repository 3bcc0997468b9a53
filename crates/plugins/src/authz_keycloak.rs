//! `authz-keycloak` lets Keycloak decide whether the bearer of a token may do what the request does.
//!
//! Keycloak verifies the token as it decides. Everything that isn't its plain yes refuses: a Keycloak that is away, slow or talks nonsense, too.
//!
//! Example: `{"token_endpoint": "http://127.0.0.1:8080/realms/shop/protocol/openid-connect/token", "client_id": "shop", "permissions": ["orders#read"]}`

mod config;
mod keycloak;

use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use serde_json::{Map, Value};
use usher_model::compat::Behaviour;
use usher_pipeline::body::Body;
use usher_pipeline::env::Env;
use usher_pipeline::exchange::Exchange;
use usher_pipeline::plugin::{BuildError, Flow, Hook, Phases, Plugin};
use usher_pipeline::reply::Reply;
use usher_pipeline::spec::Spec;
use usher_pipeline::worker::Answer;

use crate::form;
use config::{Config, Enforcement};
use keycloak::{Keycloak, Known};

/// `authz-keycloak`.
pub(crate) static PLUGIN: Spec = Spec::of::<AuthzKeycloak>();

/// The largest form with a user's password that is read, in bytes.
const MAX_FORM_BYTES: u64 = 64 << 10;
/// How many permissions are asked for at once.
const MAX_PERMISSIONS: usize = 100;

struct AuthzKeycloak {
    config: Config,
    known: Arc<Known>,
    allow_plain: bool,
}

impl Plugin for AuthzKeycloak {
    const NAME: &'static str = "authz-keycloak";
    const PRIORITY: i32 = 2000;
    const PHASES: Phases<Self> = Phases { access: Some(Hook::Later(Self::ask)), ..Phases::NONE };
    type Config = Config;

    fn build(config: Config, env: &Env<'_>) -> Result<Self, BuildError> {
        config.check(env)?;
        Ok(Self {
            allow_plain: config.allow_plain_http || env.process().compat().has(Behaviour::PlainCredentials),
            known: env.keep(&env.own_key(), Known::default),
            config,
        })
    }
}

impl AuthzKeycloak {
    fn ask<'a>(&'a self, exchange: &'a mut Exchange) -> LocalBoxFuture<'a, Flow> {
        async move {
            if self.is_login(exchange) {
                return self.log_in(exchange).await.into();
            }
            let Some(token) = exchange.request.head.get("authorization").map(<[u8]>::to_vec) else {
                return Reply::message(401, "Missing JWT token in request").into();
            };
            if exchange.request.head.get_all("authorization").nth(1).is_some() {
                return Reply::message(401, "Missing JWT token in request").into();
            }
            let is_bearer = token.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"bearer "));
            let authorization = if is_bearer { token } else { [b"Bearer ", token.as_slice()].concat() };
            match self.decide(exchange, &authorization).await {
                Ok(None) => Flow::Continue,
                Ok(Some(refusal)) => refusal.into(),
                Err(error) => {
                    tracing::warn!(error, "Keycloak can't be asked");
                    Reply::new(503).into()
                }
            }
        }
        .boxed_local()
    }

    fn keycloak(&self, exchange: &Exchange) -> Keycloak<'_> {
        Keycloak {
            config: &self.config,
            known: &self.known,
            worker: std::rc::Rc::clone(exchange.worker()),
            allow_plain: self.allow_plain,
        }
    }

    /// The refusal; `None` where the request may pass.
    async fn decide(&self, exchange: &Exchange, authorization: &[u8]) -> Result<Option<Reply>, String> {
        let keycloak = self.keycloak(exchange);
        let request = &exchange.request;
        let found = if self.config.lazy_load_paths {
            let uri = match request.original_query() {
                Some(query) => format!("{}?{query}", request.original_path()),
                None => request.original_path().to_owned(),
            };
            keycloak.resources(&uri).await?
        } else {
            self.config.permissions.clone()
        };
        if found.is_empty() && self.config.policy_enforcement_mode == Enforcement::Enforcing {
            let told = r#"{"error":"access_denied","error_description":"not_authorized"}"#;
            return Ok(Some(self.denied(|| Reply::text(403, "text/plain; charset=utf-8", told))));
        }
        let scoped = found.into_iter().take(MAX_PERMISSIONS).map(|permission| {
            match (self.config.http_method_as_scope, permission.contains('#')) {
                (false, _) => permission,
                (true, true) => format!("{permission}, {}", request.method()),
                (true, false) => format!("{permission}#{}", request.method()),
            }
        });
        let permissions: Vec<String> = scoped.collect();
        let answer = keycloak.decide(authorization, &permissions).await?;
        Ok(match answer.head.status() {
            200 if is_yes(&answer.body) => None,
            200 => return Err("its answer is no decision".to_owned()),
            403 => Some(self.denied(|| passed_on(&answer))),
            status @ 400..600 => {
                tracing::debug!(status, "Keycloak refused a request");
                Some(passed_on(&answer))
            }
            status => return Err(format!("it answered {status}")),
        })
    }

    fn denied(&self, reply: impl FnOnce() -> Reply) -> Reply {
        match &self.config.access_denied_redirect_uri {
            Some(uri) => Reply::new(307).with("Location", uri),
            None => reply(),
        }
    }

    fn is_login(&self, exchange: &Exchange) -> bool {
        let Some(uri) = &self.config.password_grant_token_generation_incoming_uri else { return false };
        let request = &exchange.request;
        let kind = request.head.get_str("content-type").unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        request.method() == "POST"
            && request.original_path() == uri
            && request.original_query().is_none()
            && kind.eq_ignore_ascii_case("application/x-www-form-urlencoded")
    }

    async fn log_in(&self, exchange: &mut Exchange) -> Reply {
        let body = match exchange.request.body.read_whole(MAX_FORM_BYTES).await {
            Ok(body) => body,
            Err(error) => return Reply::new(error.status()),
        };
        let form = String::from_utf8_lossy(&body);
        let Some(user) = form::value(&form, "username") else {
            return Reply::message(422, "username is missing.");
        };
        let Some(password) = form::value(&form, "password") else {
            return Reply::message(422, "password is missing.");
        };
        match self.keycloak(exchange).log_in(&user, &password).await {
            Ok(answer) if serde_json::from_slice::<Map<String, Value>>(&answer.body).is_ok() => {
                passed_on(&answer)
            }
            Ok(_) => Reply::message(401, "Could not decode JSON from response."),
            Err(error) => {
                tracing::warn!(error, "Keycloak can't be asked");
                Reply::message(401, "Accessing token endpoint URL failed.")
            }
        }
    }
}

/// Whether this is Keycloak's plain yes: `{"result": true}`.
fn is_yes(body: &[u8]) -> bool {
    let told = serde_json::from_slice::<Map<String, Value>>(body);
    told.is_ok_and(|told| told.get("result") == Some(&Value::Bool(true)))
}

/// Keycloak's answer as the client's.
fn passed_on(answer: &Answer) -> Reply {
    let mut reply = Reply::new(answer.head.status());
    if !answer.body.is_empty() {
        reply = reply.with("Content-Type", "text/plain; charset=utf-8");
        reply.body = Body::Full(answer.body.clone());
    }
    reply
}

#[cfg(test)]
mod tests;
