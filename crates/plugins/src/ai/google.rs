//! Tokens of Google's service accounts: a signed statement of who asks is changed for a token (RFC 7523), which is kept for as long as it is good.

use std::time::{Duration, Instant};

use bytes::Bytes;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use usher_http1::head::Head;
use usher_model::jose::algorithm::Algorithm;
use usher_model::jose::key::SigningKey;
use usher_model::reference::is_reference;
use usher_model::secret::Secret;
use usher_pipeline::env::Env;
use usher_pipeline::exchange::Exchange;
use usher_pipeline::plugin::BuildError;
use usher_pipeline::worker::Call;

use crate::callee::check_confidential;
use crate::form;
use crate::schema::number;

/// How long a statement holds, in seconds.
const STATED_SECS: u64 = 3600;
/// What a token is good for.
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
/// How long Google's token service may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The largest answer of Google's token service, in bytes.
const MAX_BYTES: u64 = 64 << 10;
/// The account that is taken where none is written.
const VARIABLE: &str = "GCP_SERVICE_ACCOUNT";

/// A service account of Google's.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Written {
    /// The account as Google gives it in a file, as a text. Without it, the environment's variable `GCP_SERVICE_ACCOUNT` holds it.
    service_account_json: Option<Secret<String>>,
    /// For how long a token is used at most, in seconds, at least 1; as long as it is good where it isn't given.
    #[schemars(range(min = 1))]
    max_ttl: Option<u64>,
    /// How long before its end a token isn't used any more, in seconds.
    #[serde(default = "number::<60>")]
    #[schemars(range(min = 0))]
    expire_early_secs: u64,
}

/// What of an account's file is needed.
#[derive(Deserialize)]
struct File {
    client_email: String,
    private_key: Secret<String>,
    #[serde(default)]
    private_key_id: Option<String>,
    #[serde(default = "usual_token_uri")]
    token_uri: String,
}

fn usual_token_uri() -> String {
    "https://oauth2.googleapis.com/token".to_owned()
}

/// An account, and the token that it has.
pub(super) struct Account {
    email: String,
    key: SigningKey,
    key_id: Option<String>,
    token_uri: String,
    max_ttl: Option<u64>,
    early: u64,
    /// Whoever finds none asks for one; the others wait for him.
    token: Mutex<Option<(Secret<String>, Instant)>>,
}

impl Account {
    /// `None` for an account that is kept elsewhere and isn't known before it runs.
    ///
    /// # Errors
    /// There is no account, or none that can be used.
    pub(super) fn build(written: &Written, env: &Env<'_>) -> Result<Option<Self>, BuildError> {
        let wrong = |reason: &str| {
            BuildError::new(format!("property \"auth\" validation failed: gcp.service_account_json {reason}"))
        };
        let text = match &written.service_account_json {
            Some(text) => text.clone(),
            None => std::env::var(VARIABLE).map(Secret::new).map_err(|_| {
                wrong(&format!("is required where the environment's {VARIABLE} holds no account"))
            })?,
        };
        if is_reference(text.expose()) {
            return Ok(None);
        }
        // What serde says of a text may quote it.
        let file: File = serde_json::from_str(text.expose()).map_err(|_| {
            wrong("is no account: write the whole JSON of its file, with client_email and private_key")
        })?;
        check_confidential("auth.gcp.service_account_json.token_uri", &file.token_uri, false, env)?;
        let key = SigningKey::pem(Algorithm::Rs256, file.private_key.expose())
            .map_err(|reason| wrong(&format!("has a private_key that can't sign: {reason}")))?;
        Ok(Some(Self {
            email: file.client_email,
            key,
            key_id: file.private_key_id,
            token_uri: file.token_uri,
            max_ttl: written.max_ttl,
            early: written.expire_early_secs,
            token: Mutex::default(),
        }))
    }

    /// The token that requests are sent with now.
    ///
    /// # Errors
    /// Why there is none, without anything secret.
    pub(super) async fn token(&self, exchange: &Exchange) -> Result<Secret<String>, String> {
        let mut kept = self.token.lock().await;
        let now = exchange.worker().now();
        if let Some((token, until)) = &*kept
            && *until > now
        {
            return Ok(token.clone());
        }
        let (token, lasts) = self.fresh(exchange).await?;
        // One that lasts no longer than the margin is used all the same, as APISIX does.
        let lasts = lasts.checked_sub(self.early).filter(|left| *left > 0).unwrap_or(lasts);
        let lasts = self.max_ttl.map_or(lasts, |most| lasts.min(most));
        *kept = now.checked_add(Duration::from_secs(lasts)).map(|until| (token.clone(), until));
        Ok(token)
    }

    /// A new token, and for how many seconds it is good.
    async fn fresh(&self, exchange: &Exchange) -> Result<(Secret<String>, u64), String> {
        let now = exchange.worker().unix_ms() / 1000;
        let claims = json!({
            "iss": self.email, "aud": self.token_uri, "scope": SCOPE, "iat": now, "exp": now + STATED_SECS,
        });
        let assertion = self.key.token(self.key_id.as_deref(), &claims)?;
        let body = form::encode([
            ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
            ("assertion", assertion.as_str()),
        ]);
        let mut fields = Head::empty();
        let set = fields.set("Content-Type", "application/x-www-form-urlencoded");
        set.map_err(|error| error.to_string())?;
        let call = Call {
            method: "POST".to_owned(),
            url: self.token_uri.clone(),
            fields,
            body: Bytes::from(body),
            timeout: TIMEOUT,
            verify: true,
            max_answer_bytes: MAX_BYTES,
        };
        let answer = exchange.worker().fetch(call).await.map_err(|error| error.to_string())?;
        if answer.head.status() != 200 {
            return Err(format!("Google's token service answered {}", answer.head.status()));
        }
        let value: Value = serde_json::from_slice(&answer.body)
            .map_err(|_| "Google's token service answered something that is no JSON".to_owned())?;
        let token = value.get("access_token").and_then(Value::as_str);
        let token = token.ok_or("Google's token service gave no access_token")?;
        let lasts = value.get("expires_in").and_then(Value::as_u64).unwrap_or(STATED_SECS);
        Ok((Secret::new(token.to_owned()), lasts))
    }
}
