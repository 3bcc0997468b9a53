//! What a user writes for `authz-keycloak`.

use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};
use serde_json::json;
use usher_http1::head::Head;
use usher_model::secret::Secret;
use usher_pipeline::env::Env;
use usher_pipeline::plugin::BuildError;

use crate::addresses::check_url;
use crate::callee::check_confidential;
use crate::schema::{Keepalive, number, yes};

/// Lets Keycloak decide whether the bearer of a token may do what the request does.
#[derive(Deserialize, JsonSchema)]
#[schemars(transform = rules)]
pub(super) struct Config {
    /// Keycloak's UMA discovery document: a URL that ends with `/.well-known/uma2-configuration`.
    #[schemars(length(min = 1, max = 4096))]
    pub(super) discovery: Option<String>,
    /// Where Keycloak decides; by default what discovery says.
    #[schemars(length(min = 1, max = 4096))]
    pub(super) token_endpoint: Option<String>,
    /// Where Keycloak names the resources of a path; by default what discovery says.
    #[schemars(length(min = 1, max = 4096))]
    pub(super) resource_registration_endpoint: Option<String>,
    /// The id under which Keycloak knows the protected service.
    #[schemars(length(min = 1, max = 100))]
    pub(super) client_id: String,
    /// The secret that belongs to it; sealed in the store. Needed where resources are looked up, or passwords are exchanged for tokens.
    #[schemars(length(min = 1, max = 100))]
    pub(super) client_secret: Option<Secret<String>>,
    /// Keycloak's own way to ask for a decision; there is one.
    #[serde(default)]
    pub(super) grant_type: GrantType,
    /// What becomes of a request that no permission belongs to: `ENFORCING` refuses it, `PERMISSIVE` lets Keycloak decide over all of the bearer's.
    #[serde(default)]
    pub(super) policy_enforcement_mode: Enforcement,
    /// What the bearer needs: a resource, or `resource#scope`, each 1 to 100 characters.
    #[serde(default)]
    #[schemars(inner(length(min = 1, max = 100)), extend("uniqueItems" = true))]
    pub(super) permissions: Vec<String>,
    /// Lets Keycloak name the resources of the requested path instead of `permissions`.
    #[serde(default)]
    pub(super) lazy_load_paths: bool,
    /// Asks for the request's method as the scope of each permission.
    #[serde(default)]
    pub(super) http_method_as_scope: bool,
    /// Milliseconds for each call, at least 1000.
    #[serde(default = "number::<3000>")]
    #[schemars(range(min = 1000))]
    pub(super) timeout: u64,
    /// Whether Keycloak's certificate is verified.
    #[serde(default = "yes")]
    pub(super) ssl_verify: bool,
    /// Seconds for which the discovery document is kept, at least 1.
    #[serde(default = "number::<86400>")]
    #[schemars(range(min = 1))]
    pub(super) cache_ttl_seconds: u64,
    #[serde(flatten)]
    #[expect(dead_code, reason = "the worker's pool decides")]
    keepalive: Keepalive,
    /// Where a refused client is sent to with 307, instead of 403.
    #[schemars(length(min = 1, max = 2048))]
    pub(super) access_denied_redirect_uri: Option<String>,
    /// Seconds that the gateway's own token is taken to live where Keycloak doesn't say it, at least 1.
    #[serde(default = "number::<300>")]
    #[schemars(range(min = 1))]
    pub(super) access_token_expires_in: u64,
    /// Seconds by which that token is renewed before its end.
    #[serde(default = "number::<0>")]
    pub(super) access_token_expires_leeway: u64,
    /// Accepted for APISIX's sake: a token that ended is got anew with the client's own secret.
    #[serde(default = "number::<3600>")]
    #[schemars(range(min = 1))]
    #[expect(dead_code, reason = "the gateway's own token needs no refreshing")]
    refresh_token_expires_in: u64,
    /// Accepted for APISIX's sake, as `refresh_token_expires_in`.
    #[serde(default = "number::<0>")]
    #[expect(dead_code, reason = "the gateway's own token needs no refreshing")]
    refresh_token_expires_leeway: u64,
    /// The path to which a form with `username` and `password` is posted to get a token.
    #[schemars(length(min = 1, max = 4096))]
    pub(super) password_grant_token_generation_incoming_uri: Option<String>,
    /// Of Usher: allows plain http to a Keycloak that isn't on this machine. Secrets and tokens are then sent in the clear.
    #[serde(default)]
    pub(super) allow_plain_http: bool,
}

/// How Keycloak is asked for a decision.
#[derive(Clone, Copy, Default, Serialize, Deserialize, JsonSchema)]
pub(super) enum GrantType {
    #[default]
    #[serde(rename = "urn:ietf:params:oauth:grant-type:uma-ticket")]
    UmaTicket,
}

impl GrantType {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::UmaTicket => "urn:ietf:params:oauth:grant-type:uma-ticket",
        }
    }
}

/// What becomes of a request that no permission belongs to.
#[derive(Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum Enforcement {
    #[default]
    Enforcing,
    Permissive,
}

fn rules(schema: &mut Schema) {
    let lazy = |value: bool| json!({ "lazy_load_paths": { "enum": [value] } });
    let found = json!([{ "required": ["discovery"] }, { "required": ["resource_registration_endpoint"] }]);
    schema.insert(
        "allOf".to_owned(),
        json!([
            { "anyOf": [{ "required": ["discovery"] }, { "required": ["token_endpoint"] }] },
            { "anyOf": [{ "properties": lazy(false) }, { "properties": lazy(true), "anyOf": found }] },
        ]),
    );
}

impl Config {
    /// Checks what a schema can't say.
    ///
    /// # Errors
    /// The member that can't be used.
    pub(super) fn check(&self, env: &Env<'_>) -> Result<(), BuildError> {
        if let Some(url) = &self.discovery {
            check_url("discovery", url, env)?;
            check_confidential("discovery", url, self.allow_plain_http, env)?;
        }
        let endpoints = [
            ("token_endpoint", &self.token_endpoint),
            ("resource_registration_endpoint", &self.resource_registration_endpoint),
        ];
        for (member, endpoint) in endpoints {
            if let Some(url) = endpoint {
                check_confidential(member, url, self.allow_plain_http, env)?;
            }
        }
        if self.lazy_load_paths && self.client_secret.is_none() {
            return Err(BuildError::new(
                "property \"client_secret\" is required where \"lazy_load_paths\" is true",
            ));
        }
        if let Some(uri) = &self.access_denied_redirect_uri
            && Head::empty().set("Location", uri).is_err()
        {
            return Err(BuildError::new(
                "property \"access_denied_redirect_uri\" validation failed: control characters can't be sent in a header",
            ));
        }
        Ok(())
    }
}
