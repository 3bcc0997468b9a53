//! A browser's session: what a login gave, and for how long.

use aws_lc_rs::rand;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use usher_model::jose::token::{Token, encode};

use super::config::{Config, SessionConfig};

/// How many seconds pass between two notes that a session is still used; fewer where it ends soon without use.
pub(super) const NOTE_SECONDS: u64 = 60;

/// What a login gave. It lies encrypted in the browser, or in a Redis.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Session {
    /// Which session this is, so that it can be ended.
    pub(super) id: String,
    made: u64,
    seen: u64,
    rolled: u64,
    pub(super) access_token: Option<String>,
    /// When the access token ends, in seconds since 1970.
    access_until: Option<u64>,
    pub(super) refresh_token: Option<String>,
    pub(super) id_token: String,
    pub(super) user: Option<Value>,
    /// Where the browser wanted to go when it logged in.
    #[serde(default)]
    pub(super) target: String,
}

impl Session {
    /// A new one; `None` where there is no randomness for its id.
    pub(super) fn begin(now: u64, id_token: String, user: Option<Value>, target: &str) -> Option<Self> {
        let mut id = [0; 16];
        rand::fill(&mut id).ok()?;
        Some(Self {
            id: encode(id),
            made: now,
            seen: now,
            rolled: now,
            access_token: None,
            access_until: None,
            refresh_token: None,
            id_token,
            user,
            target: target.to_owned(),
        })
    }

    /// The same with the tokens of this answer. A provider that gives no new refresh token means the old one to stay.
    pub(super) fn with_tokens(mut self, config: &Config, now: u64, tokens: &Map<String, Value>) -> Self {
        let text = |name: &str| tokens.get(name).and_then(Value::as_str).map(str::to_owned);
        self.access_token = text("access_token");
        let lasts = match tokens.get("expires_in") {
            Some(Value::String(seconds)) => seconds.parse().ok(),
            Some(seconds) => seconds.as_u64(),
            None => config.access_token_expires_in,
        };
        let early = config.access_token_expires_leeway;
        self.access_until = lasts.map(|seconds| now.saturating_add(seconds).saturating_sub(early));
        self.refresh_token = text("refresh_token").or(self.refresh_token);
        self.rolled = now;
        self.seen = now;
        self
    }

    /// Whether it is still valid.
    pub(super) fn is_alive(&self, config: &SessionConfig, now: u64) -> bool {
        let within = |since: u64, limit: u64| limit == 0 || now.saturating_sub(since) < limit;
        within(self.made, config.lifetime()) && within(self.seen, config.idling_timeout)
    }

    /// Whether its access token has ended.
    pub(super) fn needs_tokens(&self, now: u64) -> bool {
        self.access_until.is_some_and(|until| now >= until)
    }

    /// Notes that it is used; `true` where the cookie has to be made anew for that.
    pub(super) fn note(&mut self, config: &SessionConfig, now: u64) -> bool {
        let often = match config.idling_timeout {
            0 => u64::MAX,
            idling => NOTE_SECONDS.min((idling / 4).max(1)),
        };
        let is_due = now.saturating_sub(self.seen) >= often;
        let rolls = config.rolling_timeout > 0 && now.saturating_sub(self.rolled) >= config.rolling_timeout;
        if is_due || rolls {
            self.seen = now;
            self.rolled = now;
        }
        is_due || rolls
    }

    /// The id token's claims, which were verified when the session began.
    pub(super) fn id_claims(&self) -> Option<Value> {
        Token::parse(&self.id_token).ok().map(|token| Value::Object(token.into_claims()))
    }
}
