//! HashiCorp Vault's key-value engine, version 1 and 2, over HTTP with a token.

use std::net::SocketAddr;

use serde::Deserialize;
use serde_json::Value;
use usher_http1::head::Head;
use usher_model::secret::Secret;

use super::member;
use crate::ask::{Answer, Ask, ask, field};

/// How a Vault is reached.
#[derive(Deserialize)]
pub(in crate::config) struct Vault {
    /// Scheme, host and port.
    uri: String,
    /// The engine's mount, and the path below it that every secret's path is behind.
    prefix: String,
    token: Secret<String>,
    namespace: Option<String>,
}

impl Vault {
    pub(super) async fn look_up(
        &self,
        path: &str,
        key: &str,
        own: &[SocketAddr],
    ) -> Result<Secret<String>, String> {
        let prefix = self.prefix.trim_matches('/');
        let mut answer = self.get(&format!("{prefix}/{path}"), own).await?;
        if answer.status == 404 && is_versioned(&answer) {
            // Version 2 has the data of `mount/path` at `mount/data/path`; a prefix may be written either way.
            let (mount, below) = prefix.split_once('/').unwrap_or((prefix, ""));
            let slash = if below.is_empty() { "" } else { "/" };
            answer = self.get(&format!("{mount}/data/{below}{slash}{path}"), own).await?;
        }
        let value = answer.json("Vault")?;
        let data = value.get("data").ok_or("Vault's answer has no data")?;
        // Version 2 wraps the data once more, with what it knows of the version beside it.
        let data = data.get("data").filter(|_| data.get("metadata").is_some()).unwrap_or(data);
        member::of_value(data, key).map_err(|error| format!("what Vault keeps at {path} {error}"))
    }

    async fn get(&self, path: &str, own: &[SocketAddr]) -> Result<Answer, String> {
        let mut fields = Head::empty();
        field(&mut fields, "X-Vault-Token", self.token.expose())?;
        if let Some(namespace) = &self.namespace {
            field(&mut fields, "X-Vault-Namespace", namespace)?;
        }
        let url = format!("{}/v1/{path}", self.uri.trim_end_matches('/'));
        ask(Ask { method: "GET", url: &url, fields, body: &[], verify: true }, own).await
    }
}

fn is_versioned(answer: &Answer) -> bool {
    let value: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let warnings = value.get("warnings").and_then(Value::as_array);
    warnings.into_iter().flatten().filter_map(Value::as_str).any(|warning| warning.contains("versioned"))
}
