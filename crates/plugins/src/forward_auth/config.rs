//! What a user writes for `forward-auth`.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use usher_http1::head::Head;
use usher_pipeline::env::Env;
use usher_pipeline::plugin::BuildError;

use crate::addresses;
use crate::schema::{Keepalive, number, status, yes};

/// Asks another service whether a request may pass.
#[derive(Deserialize, JsonSchema)]
pub(super) struct Config {
    /// The authorization service: `http://` or `https://`, host, port, path.
    pub(super) uri: String,
    /// `GET` sends no body, `POST` the client's.
    #[serde(default)]
    pub(super) request_method: Method,
    /// Headers of the client that the service sees, beside `X-Forwarded-Proto`, `-Method`, `-Host`, `-Uri` and `-For`.
    #[serde(default)]
    pub(super) request_headers: Vec<String>,
    /// Further headers for the service; values are texts with variables.
    #[serde(default)]
    #[schemars(schema_with = "extra_headers")]
    pub(super) extra_headers: Option<BTreeMap<String, String>>,
    /// Headers of the service's answer that the upstream gets. A client's own copies never reach the upstream.
    #[serde(default)]
    pub(super) upstream_headers: Vec<String>,
    /// Headers of the service's answer that a refused client gets.
    #[serde(default)]
    pub(super) client_headers: Vec<String>,
    /// The status of a request that could not be authorized because the service failed, 200 to 599.
    #[serde(default = "status::<403>")]
    #[schemars(range(min = 200, max = 599))]
    pub(super) status_on_error: u16,
    /// Lets requests pass while the service fails.
    #[serde(default)]
    pub(super) allow_degradation: bool,
    /// Whether the service's certificate is verified.
    #[serde(default = "yes")]
    pub(super) ssl_verify: bool,
    /// Milliseconds for the whole call, 1 to 60000.
    #[serde(default = "number::<3000>")]
    #[schemars(range(min = 1, max = 60000))]
    pub(super) timeout: u64,
    /// The largest body that is sent on with `POST`, in bytes; larger ones are answered with 413.
    #[serde(default = "number::<67_108_864>")]
    #[schemars(range(min = 1))]
    pub(super) max_req_body_size: u64,
    #[serde(flatten)]
    #[expect(dead_code, reason = "the worker's pool decides")]
    keepalive: Keepalive,
}

/// How the service is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum Method {
    #[default]
    Get,
    Post,
}

impl Method {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
        }
    }
}

fn extra_headers(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "minProperties": 1, "patternProperties": { "^[^:]+$": { "type": "string" } } })
}

impl Config {
    /// Checks what a schema can't say.
    ///
    /// # Errors
    /// The member that can't be used.
    pub(super) fn check(&self, env: &Env<'_>) -> Result<(), BuildError> {
        addresses::check_url("uri", &self.uri, env)?;
        for (name, text) in self.extra_headers.iter().flatten() {
            // A value with variables is looked at again when they are known.
            if Head::empty().set("x", text).is_err() {
                return Err(BuildError::new(format!(
                    "property \"extra_headers\" validation failed: the value of {name:?} has a character that can't be sent, such as a line break; write visible text, spaces and tabs"
                )));
            }
        }
        let extra = self.extra_headers.iter().flat_map(BTreeMap::keys);
        let lists = [
            ("request_headers", &self.request_headers),
            ("upstream_headers", &self.upstream_headers),
            ("client_headers", &self.client_headers),
        ];
        let listed = lists.iter().flat_map(|(member, names)| names.iter().map(|name| (*member, name)));
        for (member, name) in extra.map(|name| ("extra_headers", name)).chain(listed) {
            if Head::empty().set(name, "").is_err() {
                return Err(BuildError::new(format!(
                    "property \"{member}\" validation failed: {name:?} is not a header name"
                )));
            }
        }
        Ok(())
    }
}
