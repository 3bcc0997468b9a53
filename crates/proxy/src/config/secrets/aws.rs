//! AWS Secrets Manager: one signed POST a secret.

use std::net::SocketAddr;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use usher_http1::head::Head;
use usher_model::aws::{Keys, Signed};
use usher_model::secret::Secret;

use super::member;
use crate::ask::{Ask, ask, authority, field};

/// How AWS is reached.
#[derive(Deserialize)]
pub(in crate::config) struct Aws {
    access_key_id: Secret<String>,
    secret_access_key: Secret<String>,
    session_token: Option<Secret<String>>,
    #[serde(default = "usual_region")]
    region: String,
    /// Another place than AWS's own, such as a local stand-in.
    endpoint_url: Option<String>,
}

fn usual_region() -> String {
    "us-east-1".to_owned()
}

/// What of a secret's versions is asked for, and how the question looks.
const TARGET: &str = "secretsmanager.GetSecretValue";
const TYPE: &str = "application/x-amz-json-1.1";

impl Aws {
    pub(super) async fn look_up(
        &self,
        name: &str,
        key: Option<&str>,
        own: &[SocketAddr],
    ) -> Result<Secret<String>, String> {
        let usual = || format!("https://secretsmanager.{}.amazonaws.com", self.region);
        let endpoint = self.endpoint_url.clone().unwrap_or_else(usual);
        let url = format!("{}/", endpoint.trim_end_matches('/'));
        let body = json!({ "SecretId": name, "VersionStage": "AWSCURRENT" }).to_string();
        let fields = self.signed(&url, body.as_bytes(), Timestamp::now())?;
        let ask_for = Ask { method: "POST", url: &url, fields, body: body.as_bytes(), verify: true };
        let value = ask(ask_for, own).await?.json("AWS")?;
        let text = value.get("SecretString").and_then(Value::as_str);
        let text = text.ok_or("AWS keeps no text there; only secrets with a SecretString can be used")?;
        match key {
            None => Ok(Secret::new(text.to_owned())),
            Some(key) => {
                member::of_text(text, key).map_err(|error| format!("what AWS keeps as {name} {error}"))
            }
        }
    }

    /// What is sent besides the body, with the signature over all of it.
    fn signed(&self, url: &str, body: &[u8], at: Timestamp) -> Result<Head, String> {
        let (host, path) = authority(url)?;
        let date = at.strftime("%Y%m%dT%H%M%SZ").to_string();
        let token = self.session_token.as_ref().map(Secret::expose);
        // In the order of their names, as the signature wants them.
        let signed = [("content-type", Some(TYPE)), ("host", Some(&*host)), ("x-amz-date", Some(&*date))]
            .into_iter()
            .chain([("x-amz-security-token", token.map(String::as_str)), ("x-amz-target", Some(TARGET))]);
        let signed: Vec<_> = signed.filter_map(|(name, value)| Some((name, value?))).collect();
        let keys = Keys { id: self.access_key_id.expose(), secret: self.secret_access_key.expose() };
        let request =
            Signed { method: "POST", path: &path, fields: &signed, body, date: &date, region: &self.region };
        let authorization = request.authorization("secretsmanager", &keys);
        let mut fields = Head::empty();
        for (name, value) in signed {
            field(&mut fields, name, value)?;
        }
        field(&mut fields, "Authorization", &authorization)?;
        Ok(fields)
    }
}

/// The signature of what arrived, for tests of it.
#[cfg(test)]
pub(super) fn sign_again(
    fields: &[(&str, &str)],
    body: &[u8],
    region: &str,
    (id, secret): (&str, &str),
) -> String {
    let date = fields.iter().find(|(name, _)| *name == "x-amz-date").map_or("", |(_, date)| date);
    let request = Signed { method: "POST", path: "/", fields, body, date, region };
    request.authorization("secretsmanager", &Keys { id, secret })
}
