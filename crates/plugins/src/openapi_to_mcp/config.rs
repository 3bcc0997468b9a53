//! What a user writes of the plugin, and what of it can't be used.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use usher_http1::head::Head;
use usher_model::secret::Secret;
use usher_pipeline::env::Env;
use usher_pipeline::plugin::BuildError;

use super::parameter::is_framing;
use crate::addresses;
use crate::schema::{number, one_of_required, yes};
use crate::text::Text;

/// Serves the operations of an OpenAPI document as tools of MCP. The document stands here, or at a URL.
#[derive(Deserialize, JsonSchema)]
#[schemars(transform = one_of_required(&[&["openapi"], &["openapi_url"]]))]
pub(super) struct Config {
    /// How clients and the gateway speak: only `streamable_http` is served. APISIX's default is `sse`, which is refused.
    #[serde(default)]
    transport: Transport,
    /// The OpenAPI document, 3.0 or 3.1, as JSON or YAML in a text.
    #[schemars(length(min = 1))]
    pub(super) openapi: Option<String>,
    /// Where the document is fetched from, JSON or YAML, when it is first needed. Its tools are kept for an hour.
    #[schemars(length(min = 1))]
    pub(super) openapi_url: Option<String>,
    /// Where the API is; each operation's path is put behind it. May have variables, such as `http://${http_x_backend}`: then who calls chooses the server.
    /// Without it, calls go through the gateway itself in the client's own name.
    #[schemars(length(min = 1))]
    pub(super) base_url: Option<String>,
    /// Without `base_url`: what stands before each path of the document at the gateway, such as `/shop`.
    #[serde(default)]
    #[schemars(regex(pattern = "^(/[^?#*\\s]*[^/?#*\\s])?$"))]
    pub(super) prefix: String,
    /// Header fields that are sent with each call; values may have variables, such as `Bearer ${http_x_api_token}`. Arguments can't replace them.
    pub(super) headers: Option<Secret<BTreeMap<String, String>>>,
    /// Puts all parameters at the top of a tool's arguments, instead of into `pathParameters`, `queryParameters` and `headerParameters`.
    #[serde(default)]
    pub(super) flatten_parameters: bool,
    /// The operations that become tools, by `operationId`. By default all of them.
    #[schemars(length(min = 1, max = 500))]
    pub(super) operations: Option<Vec<String>>,
    /// Pages that may call from a browser, such as `https://chat.example.com`, or `*` for all. Pages of the request's own host always may.
    #[serde(default)]
    #[schemars(length(max = 100))]
    pub(super) allowed_origins: Vec<String>,
    /// Milliseconds for fetching the document and for each call, 100 to 300000.
    #[serde(default = "number::<30000>")]
    #[schemars(range(min = 100, max = 300_000))]
    pub(super) timeout: u64,
    /// Whether the certificates of the servers are verified.
    #[serde(default = "yes")]
    pub(super) ssl_verify: bool,
}

#[derive(Clone, Copy, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Transport {
    Sse,
    #[default]
    StreamableHttp,
}

impl Config {
    /// # Errors
    /// What of it can't be used.
    pub(super) fn check(&self, env: &Env<'_>) -> Result<(), BuildError> {
        if matches!(self.transport, Transport::Sse) {
            return Err(BuildError::new(
                "property \"transport\" validation failed: \"sse\" is not served; write \"streamable_http\", and let clients connect by Streamable HTTP",
            ));
        }
        if let Some(url) = &self.openapi_url {
            addresses::check_url("openapi_url", url, env)?;
        }
        if let Some(base) = &self.base_url {
            self.check_base(base, env)?;
        }
        for (name, value) in self.headers.iter().flat_map(Secret::expose) {
            let problem = if is_framing(name) {
                Some("is the gateway's own to write".to_owned())
            } else {
                // Variables are judged when they have their values.
                let shown = if Text::parse(value).is_constant() { value.as_str() } else { "" };
                Head::empty().set(name, shown).err().map(|error| format!("can't be sent: {error}"))
            };
            if let Some(problem) = problem {
                return Err(BuildError::new(format!(
                    "property \"headers\" validation failed: {name:?} {problem}"
                )));
            }
        }
        Ok(())
    }

    fn check_base(&self, base: &str, env: &Env<'_>) -> Result<(), BuildError> {
        if !self.prefix.is_empty() {
            return Err(BuildError::new(format!(
                "property \"prefix\" validation failed: {:?} is for calls through the gateway; write it at the end of \"base_url\", or leave that out",
                self.prefix
            )));
        }
        if Text::parse(base).is_constant() {
            addresses::check_url("base_url", base, env)?;
        }
        if base.contains(['?', '#']) {
            return Err(BuildError::new(format!(
                "property \"base_url\" validation failed: {base:?} has a query; paths are put behind it, so write host and path alone"
            )));
        }
        Ok(())
    }
}
