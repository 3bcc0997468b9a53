//! `csrf` lets a browser change something only for pages that can read this site's cookie.
//!
//! Each answer brings a signed token in a cookie; a request that isn't `GET`, `HEAD` or `OPTIONS` has to send it back as cookie and as header.
//! Another site's page can make a browser send the cookie, but not read it.
//!
//! Example: `{"key": "a secret of this gateway", "expires": 3600}`

use std::time::{Duration, UNIX_EPOCH};

use aws_lc_rs::{hmac, rand};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use usher_model::jose::token::encode;
use usher_model::secret::Secret;
use usher_pipeline::env::Env;
use usher_pipeline::exchange::Exchange;
use usher_pipeline::plugin::{BuildError, Flow, Hook, Phases, Plugin};
use usher_pipeline::reply::Reply;
use usher_pipeline::spec::Spec;

use crate::alike::alike;
use crate::schema::number;
use crate::stranger::header_name;

/// `csrf`.
pub(crate) static PLUGIN: Spec = Spec::of::<Csrf>();

/// Lets a browser change something only for pages that can read this site's cookie.
#[derive(Deserialize, JsonSchema)]
struct Config {
    /// The secret that tokens are signed with, at least 1 character; sealed in the store.
    #[schemars(length(min = 1))]
    key: Secret<String>,
    /// How long a token is valid, in seconds; 0 is for ever.
    #[serde(default = "number::<7200>")]
    expires: u64,
    /// The name of cookie and header.
    #[serde(default = "name")]
    name: String,
}

fn name() -> String {
    "apisix-csrf-token".to_owned()
}

struct Csrf {
    key: hmac::Key,
    expires: u64,
    name: String,
}

/// A token, as the cookie carries it in base64.
#[derive(Deserialize)]
struct Token {
    random: String,
    /// When it was made, in seconds since 1970.
    expires: u64,
    sign: String,
}

impl Plugin for Csrf {
    const NAME: &'static str = "csrf";
    const PRIORITY: i32 = 2980;
    const PHASES: Phases<Self> =
        Phases { access: Some(Hook::Now(Self::check)), header_filter: Some(Self::bring), ..Phases::NONE };
    type Config = Config;

    fn build(config: Config, _: &Env<'_>) -> Result<Self, BuildError> {
        header_name("name", &config.name)?;
        Ok(Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, config.key.expose().as_bytes()),
            // More than that has no date, and is more than any browser keeps.
            expires: config.expires.min(3_153_600_000),
            name: config.name,
        })
    }
}

impl Csrf {
    fn check(&self, exchange: &mut Exchange) -> Flow {
        let request = &exchange.request;
        if matches!(request.method(), "GET" | "HEAD" | "OPTIONS") {
            return Flow::Continue;
        }
        let refuse = |message| Reply::error_msg(401, message).into();
        let Some(header) = request.head.get(&self.name).filter(|sent| !sent.is_empty()) else {
            return refuse("no csrf token in headers");
        };
        let Some(cookie) = request.cookie(&self.name).filter(|sent| !sent.is_empty()) else {
            return refuse("no csrf cookie");
        };
        if !alike(header, cookie.as_bytes()) {
            return refuse("csrf token mismatch");
        }
        if !self.is_own(cookie, exchange.worker().unix_ms() / 1000) {
            return refuse("Failed to verify the csrf token signature");
        }
        Flow::Continue
    }

    fn is_own(&self, cookie: &str, now: u64) -> bool {
        let decoded = STANDARD.decode(cookie).ok();
        let token = decoded.and_then(|text| serde_json::from_slice::<Token>(&text).ok());
        let Some(token) = token else { return false };
        let is_young = self.expires == 0 || now.saturating_sub(token.expires) <= self.expires;
        is_young && alike(self.sign(&token.random, token.expires).as_bytes(), token.sign.as_bytes())
    }

    fn sign(&self, random: &str, made: u64) -> String {
        encode(hmac::sign(&self.key, format!("{made}.{random}").as_bytes()))
    }

    fn bring(&self, exchange: &mut Exchange) -> Flow {
        let mut random = [0; 16];
        if rand::fill(&mut random).is_err() {
            tracing::error!("no random bytes for a csrf token");
            return Flow::Continue;
        }
        let random = encode(random);
        let made = exchange.worker().unix_ms() / 1000;
        let token = json!({ "random": random, "expires": made, "sign": self.sign(&random, made) });
        let until = match self.expires {
            0 => String::new(),
            seconds => {
                let until = UNIX_EPOCH + Duration::from_secs(made + seconds);
                format!(";Expires={}", httpdate::fmt_http_date(until))
            }
        };
        let token = STANDARD.encode(token.to_string());
        let cookie = format!("{}={token};path=/;SameSite=Lax{until}", self.name);
        if let Err(error) = exchange.answer.append("Set-Cookie", cookie) {
            tracing::warn!(%error, "left out the csrf cookie");
        }
        Flow::Continue
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde_json::{Value, json};
    use usher_pipeline::harness::{Harness, harness, try_harness};

    use super::PLUGIN;

    fn bench() -> Harness {
        harness(&PLUGIN, json!({ "key": "k", "expires": 60 }))
    }

    fn token(bench: &mut Harness) -> String {
        let outcome = bench.get("/");
        let cookie = outcome.field("set-cookie").unwrap().to_owned();
        let (name, rest) = cookie.split_once('=').unwrap();
        assert_eq!(name, "apisix-csrf-token");
        let (token, attributes) = rest.split_once(';').unwrap();
        assert_eq!(attributes, "path=/;SameSite=Lax;Expires=Fri, 15 Jan 2027 08:01:00 GMT");
        token.to_owned()
    }

    fn post(bench: &mut Harness, header: Option<&str>, cookie: Option<&str>) -> (u16, String) {
        let cookie = cookie.map(|token| format!("a=1; apisix-csrf-token={token}"));
        let mut fields = Vec::new();
        fields.extend(header.map(|token| ("apisix-csrf-token", token)));
        fields.extend(cookie.as_deref().map(|cookie| ("Cookie", cookie)));
        let outcome = bench.send("POST", "/", &fields, "");
        (outcome.status(), outcome.text().to_owned())
    }

    #[test]
    fn a_change_needs_the_token_twice() {
        let mut bench = bench();
        let token = token(&mut bench);
        assert_eq!(post(&mut bench, Some(&token), Some(&token)).0, 200);
        for (header, cookie, message) in [
            (None, Some(token.as_str()), "no csrf token in headers"),
            (Some(token.as_str()), None, "no csrf cookie"),
            (Some("x"), Some(&token), "csrf token mismatch"),
            (Some("x"), Some("x"), "Failed to verify the csrf token signature"),
        ] {
            let wanted = (401, format!("{{\"error_msg\":\"{message}\"}}\n"));
            assert_eq!(post(&mut bench, header, cookie), wanted);
        }
        for method in ["GET", "HEAD", "OPTIONS"] {
            bench.send(method, "/", &[], "").expect_status(200);
        }
        for method in ["PUT", "PATCH", "DELETE", "PURGE"] {
            bench.send(method, "/", &[], "").expect_status(401);
        }
    }

    #[test]
    fn tokens_are_signed_end_and_belong_to_their_key() {
        let mut bench = bench();
        let token = token(&mut bench);
        let mut other = harness(&PLUGIN, json!({ "key": "another" }));
        assert_eq!(post(&mut other, Some(&token), Some(&token)).0, 401);
        let mut told: Value = serde_json::from_slice(&STANDARD.decode(&token).unwrap()).unwrap();
        told["expires"] = json!(told["expires"].as_u64().unwrap() + 1000);
        let forged = STANDARD.encode(told.to_string());
        assert_eq!(post(&mut bench, Some(&forged), Some(&forged)).0, 401);
        bench.pass(Duration::from_secs(60));
        assert_eq!(post(&mut bench, Some(&token), Some(&token)).0, 200);
        bench.pass(Duration::from_secs(1));
        assert_eq!(post(&mut bench, Some(&token), Some(&token)).0, 401);
    }

    #[test]
    fn bodies_that_can_not_work_are_refused() {
        for body in [
            json!({}),
            json!({ "key": "" }),
            json!({ "key": "k", "name": "a b" }),
            json!({ "key": "k", "expires": "1" }),
        ] {
            assert!(try_harness(&PLUGIN, body.clone()).is_err(), "{body}");
        }
        let outcome = harness(&PLUGIN, json!({ "key": "k", "expires": u64::MAX })).get("/");
        assert!(outcome.field("set-cookie").unwrap().contains(" 2126 "));
        let outcome = harness(&PLUGIN, json!({ "key": "k", "expires": 0 })).get("/");
        assert!(outcome.field("set-cookie").unwrap().ends_with(";path=/;SameSite=Lax"));
    }
}
