//! Google's Secret Manager: a signed statement of who asks is changed for a token, and the token for secrets.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;
use usher_http1::head::Head;
use usher_model::secret::Secret;

use super::manager::read;
use super::member;
use crate::ask::{Ask, ask, field};

/// How long a statement holds.
const STATED: Duration = Duration::from_secs(3600);
/// A token isn't used any more this long before its end.
const BEFORE_END: Duration = Duration::from_secs(60);

/// How Google is reached.
pub(in crate::config) struct Gcp {
    account: Account,
    key: RsaKeyPair,
    verify: bool,
    token: Mutex<Option<Token>>,
}

#[derive(Clone)]
struct Token {
    text: Secret<String>,
    until: Instant,
}

#[derive(Deserialize)]
struct Written {
    auth_config: Option<Account>,
    auth_file: Option<String>,
    #[serde(default = "yes")]
    ssl_verify: bool,
}

/// A service account, as Google gives it in a file.
#[derive(Deserialize)]
struct Account {
    client_email: String,
    private_key: Secret<String>,
    project_id: String,
    #[serde(default = "usual_token_uri")]
    token_uri: String,
    #[serde(default = "usual_entries_uri")]
    entries_uri: String,
    #[serde(default, alias = "scopes")]
    scope: Vec<String>,
}

const fn yes() -> bool {
    true
}

fn usual_token_uri() -> String {
    "https://oauth2.googleapis.com/token".to_owned()
}

fn usual_entries_uri() -> String {
    "https://secretmanager.googleapis.com/v1".to_owned()
}

const USUAL_SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";

impl Gcp {
    /// A manager of its value; the account may stand in a file.
    ///
    /// # Errors
    /// The file can't be read, or the account can't be used.
    pub(super) fn build(value: Value) -> Result<Self, String> {
        let written: Written = read(value)?;
        let account = match (written.auth_config, written.auth_file) {
            (Some(account), _) => account,
            (None, Some(path)) => {
                let text = std::fs::read(&path)
                    .map_err(|error| format!("`auth_file` {path} can't be read: {error}"))?;
                let value = serde_json::from_slice(&text)
                    .map_err(|_| format!("`auth_file` {path} holds no JSON object"))?;
                read(value).map_err(|error| format!("`auth_file` {path} is no account: {error}"))?
            }
            (None, None) => return Err("it needs `auth_config` or `auth_file`".to_owned()),
        };
        let bad = "`private_key` is no RSA key in PEM; give the one of the account's file".to_owned();
        let der = PrivateKeyDer::from_pem_slice(account.private_key.expose().as_bytes());
        let key = match der {
            Ok(PrivateKeyDer::Pkcs8(key)) => RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()).ok(),
            Ok(PrivateKeyDer::Pkcs1(key)) => RsaKeyPair::from_der(key.secret_pkcs1_der()).ok(),
            _ => None,
        };
        let key = key.ok_or(bad)?;
        Ok(Self { account, key, verify: written.ssl_verify, token: Mutex::default() })
    }

    pub(super) async fn look_up(
        &self,
        name: &str,
        key: &str,
        own: &[SocketAddr],
    ) -> Result<Secret<String>, String> {
        let token = match self.kept_token() {
            Some(token) => token,
            None => self.fresh_token(own).await?,
        };
        let mut fields = Head::empty();
        field(&mut fields, "Authorization", &format!("Bearer {}", token.expose()))?;
        let Account { entries_uri, project_id, .. } = &self.account;
        let url = format!(
            "{}/projects/{project_id}/secrets/{name}/versions/latest:access",
            entries_uri.trim_end_matches('/')
        );
        let answer =
            ask(Ask { method: "GET", url: &url, fields, body: &[], verify: self.verify }, own).await?;
        if answer.status == 401 {
            // Taken back before its time; the next look-up begins with another.
            *self.token.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
        let value = answer.json("Google")?;
        let data = value.pointer("/payload/data").and_then(Value::as_str);
        let data = data.and_then(|data| STANDARD.decode(data).ok());
        let text = data.and_then(|data| String::from_utf8(data).ok());
        let text = text.ok_or("Google's answer holds no text in Base64 at payload.data")?;
        member::of_text(&text, key).map_err(|error| format!("what Google keeps as {name} {error}"))
    }

    fn kept_token(&self) -> Option<Secret<String>> {
        let token = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        token.as_ref().filter(|token| token.until > Instant::now()).map(|token| token.text.clone())
    }

    async fn fresh_token(&self, own: &[SocketAddr]) -> Result<Secret<String>, String> {
        let assertion = self.statement()?;
        let body =
            format!("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion={assertion}");
        let mut fields = Head::empty();
        field(&mut fields, "Content-Type", "application/x-www-form-urlencoded")?;
        let url = &self.account.token_uri;
        let asked = Ask { method: "POST", url, fields, body: body.as_bytes(), verify: self.verify };
        let value = ask(asked, own).await?.json("Google's token service")?;
        let text = value.get("access_token").and_then(Value::as_str);
        let text = Secret::new(text.ok_or("Google's token service gave no access_token")?.to_owned());
        let lasts = value.get("expires_in").and_then(Value::as_u64).map_or(STATED, Duration::from_secs);
        let until = Instant::now() + lasts.min(STATED).saturating_sub(BEFORE_END);
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(Token { text: text.clone(), until });
        Ok(text)
    }

    /// A signed JWT (RFC 7523): who asks, for what, until when.
    fn statement(&self) -> Result<String, String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let scope = match self.account.scope.as_slice() {
            [] => USUAL_SCOPE.to_owned(),
            several => several.join(" "),
        };
        let claims = json!({
            "iss": self.account.client_email, "aud": self.account.token_uri, "scope": scope,
            "iat": now.as_secs(), "exp": (now + STATED).as_secs(),
        });
        let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let text = format!("{}.{}", part(json!({ "alg": "RS256", "typ": "JWT" })), part(claims));
        let mut signature = vec![0; self.key.public_modulus_len()];
        self.key
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature)
            .map_err(|_| "the statement for Google could not be signed".to_owned())?;
        Ok(format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}
