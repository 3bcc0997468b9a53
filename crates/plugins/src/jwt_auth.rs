//! `jwt-auth` lets in who carries a token that a consumer's key signed.
//!
//! The claim `key_claim_name` says whose token it is; algorithm and key come from that consumer's credential and never from the token. Headers
//! such as `kid`, `jku` or `jwk` play no part: nothing is looked up that a stranger names.
//!
//! Example: `{"hide_credentials": true, "claims_to_verify": ["exp"]}`

mod credential;

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use usher_model::jose::claims::Times;
use usher_model::jose::token::Token;
use usher_pipeline::consumer::Found;
use usher_pipeline::env::Env;
use usher_pipeline::exchange::Exchange;
use usher_pipeline::plugin::{BuildError, Flow, Hook, Phases, Plugin};
use usher_pipeline::spec::Spec;

use crate::cookies::remove_cookie;
use crate::stranger::{Stranger, header_name};
use credential::JwtAuthCredential;

/// `jwt-auth`.
pub(crate) static PLUGIN: Spec = Spec::of::<JwtAuth>().auth::<JwtAuthCredential>();

/// The variable that holds a token's claims where `store_in_ctx` is on.
const CLAIMS_VARIABLE: &str = "jwt_auth_payload";

/// Lets in who carries a token that a consumer's key signed.
#[derive(Deserialize, JsonSchema)]
struct Config {
    /// The header that carries the token, with or without `Bearer ` before it. It is asked first.
    #[serde(default = "header")]
    header: String,
    /// The query argument that carries the token where the header is absent.
    #[serde(default = "jwt")]
    query: String,
    /// The cookie that carries the token where header and argument are absent.
    #[serde(default = "jwt")]
    cookie: String,
    /// Takes the token out of the request before the upstream sees it.
    #[serde(default)]
    hide_credentials: bool,
    /// The claim that holds the consumer's `key`, 1 to 256 characters.
    #[serde(default = "key")]
    #[schemars(length(min = 1, max = 256))]
    key_claim_name: String,
    /// Keeps the claims for later plugins and logs, as the variable `$jwt_auth_payload`.
    #[serde(default)]
    store_in_ctx: bool,
    /// The realm that the answer 401 names.
    #[serde(default = "jwt")]
    realm: String,
    /// The consumer as which requests go on that carry no valid token. Without it they are answered 401.
    anonymous_consumer: Option<String>,
    /// Claims that have to be there. `exp` and `nbf` are judged wherever they are, whether or not they stand here.
    #[serde(default)]
    #[schemars(extend("uniqueItems" = true))]
    claims_to_verify: Vec<TimeClaim>,
}

/// A claim that says when a token is valid.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum TimeClaim {
    Exp,
    Nbf,
}

fn header() -> String {
    "authorization".to_owned()
}

fn jwt() -> String {
    "jwt".to_owned()
}

fn key() -> String {
    "key".to_owned()
}

struct JwtAuth {
    header: String,
    query: String,
    cookie: String,
    hide_credentials: bool,
    key_claim_name: String,
    store_in_ctx: bool,
    needs_exp: bool,
    needs_nbf: bool,
    stranger: Stranger,
}

impl Plugin for JwtAuth {
    const NAME: &'static str = "jwt-auth";
    const PRIORITY: i32 = 2510;
    const PHASES: Phases<Self> = Phases { rewrite: Some(Hook::Now(Self::authenticate)), ..Phases::NONE };
    type Config = Config;

    fn build(config: Config, _: &Env<'_>) -> Result<Self, BuildError> {
        header_name("header", &config.header)?;
        let needs = |claim| config.claims_to_verify.contains(&claim);
        Ok(Self {
            stranger: Stranger::new(Self::NAME, "Bearer", &config.realm, config.anonymous_consumer)?,
            needs_exp: needs(TimeClaim::Exp),
            needs_nbf: needs(TimeClaim::Nbf),
            header: config.header,
            query: config.query,
            cookie: config.cookie,
            hide_credentials: config.hide_credentials,
            key_claim_name: config.key_claim_name,
            store_in_ctx: config.store_in_ctx,
        })
    }
}

impl JwtAuth {
    fn authenticate(&self, exchange: &mut Exchange) -> Flow {
        match self.judge(exchange) {
            Ok((found, claims)) => {
                exchange.attach(&found);
                if let Some(claims) = claims {
                    exchange.set_variable(CLAIMS_VARIABLE, claims);
                }
            }
            Err(problem) => {
                if let Err(refusal) = self.stranger.meet(exchange, problem) {
                    return refusal;
                }
            }
        }
        if self.hide_credentials {
            self.hide(exchange);
        }
        Flow::Continue
    }

    /// Whose token the request carries, and its claims where they are kept.
    fn judge(&self, exchange: &Exchange) -> Result<(Found, Option<String>), &'static str> {
        const FAILED: &str = "failed to verify jwt";
        let text = self.token(exchange).ok_or("Missing JWT token in request")?;
        let token = Token::parse(&text).map_err(|_| "JWT token invalid")?;
        let key = token.claims().get(&self.key_claim_name).ok_or("missing user key in JWT token")?;
        let key = key.as_str().unwrap_or_default();
        let found =
            exchange.find_credential(Self::NAME, key.as_bytes()).ok_or("Invalid user key in JWT token")?;
        let credential = found.config.downcast_ref::<JwtAuthCredential>().ok_or(FAILED)?;
        if !credential.verifies(&token) {
            return Err(FAILED);
        }
        let times = Times {
            leeway_secs: credential.grace_secs(),
            needs_exp: self.needs_exp,
            needs_nbf: self.needs_nbf,
        };
        times.check(token.claims(), exchange.worker().unix_ms()).map_err(|reason| {
            tracing::debug!(reason, "a token of jwt-auth is not valid");
            FAILED
        })?;
        let claims = self.store_in_ctx.then(|| Value::Object(token.into_claims()).to_string());
        Ok((found, claims))
    }

    fn token<'e>(&self, exchange: &'e Exchange) -> Option<Cow<'e, str>> {
        let request = &exchange.request;
        if request.head.contains(&self.header) {
            // Bytes that are no text are no token either.
            let field = request.head.get_str(&self.header).unwrap_or_default();
            let bearer =
                field.split_at_checked(7).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer "));
            return Some(bearer.map_or(field, |(_, token)| token.trim_start()).into());
        }
        request.argument(&self.query).or_else(|| request.cookie(&self.cookie).map(Cow::Borrowed))
    }

    fn hide(&self, exchange: &mut Exchange) {
        exchange.request.head.remove(&self.header);
        exchange.request.remove_argument(&self.query);
        remove_cookie(&mut exchange.request.head, &self.cookie);
    }
}

#[cfg(test)]
mod tests;
