//! `oas-validator` lets only requests pass that an OpenAPI document (3.0 or 3.1, as JSON) knows.
//!
//! Path, query, header and cookie parameters and the body are judged. A JSON body is forwarded as it was understood here, so that no other reader of
//! it finds something that was never judged. A document from a URL is fetched when it is first needed; while there is none, nobody passes.
//!
//! Example: `{"spec": "{\"openapi\":\"3.0.3\",\"info\":{\"title\":\"shop\",\"version\":\"1\"},\"paths\":{\"/x\":{\"get\":{\"parameters\":[{\"name\":\"a\",\"in\":\"query\",\"required\":true,\"schema\":{\"type\":\"integer\"}}],\"responses\":{}}}}}", "verbose_errors": true}`

mod document;
mod operation;
mod parameter;
mod path;
pub(crate) mod schema;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use usher_http1::head::Head;
use usher_model::reference::is_reference;
use usher_pipeline::body::Body;
use usher_pipeline::env::Env;
use usher_pipeline::exchange::Exchange;
use usher_pipeline::plugin::{BuildError, Flow, Hook, Phases, Plugin};
use usher_pipeline::reply::Reply;
use usher_pipeline::spec::Spec;

use crate::addresses;
use crate::kept_document::KeptDocument;
use crate::schema::{number, one_of_required, status, yes};
use document::Document;

/// `oas-validator`.
pub(crate) static PLUGIN: Spec = Spec::of::<OasValidator>().metadata::<Metadata>();

/// The largest body that is judged, in bytes.
const MAX_BODY_BYTES: u64 = 10 << 20;

/// Lets only requests pass that an OpenAPI document knows. It stands here, or at a URL.
#[derive(Deserialize, JsonSchema)]
#[schemars(transform = one_of_required(&[&["spec"], &["spec_url"]]))]
struct Config {
    /// The OpenAPI document, as JSON in a text.
    #[schemars(length(min = 1))]
    spec: Option<String>,
    /// Where the document is fetched from, as JSON.
    #[schemars(regex(pattern = "^https?://"))]
    spec_url: Option<String>,
    /// Headers that are sent along for it.
    spec_url_request_headers: Option<BTreeMap<String, String>>,
    /// Whether the certificate of its server is verified.
    #[serde(default = "yes")]
    ssl_verify: bool,
    /// Milliseconds for fetching it, 1000 to 60000.
    #[serde(default = "number::<10000>")]
    #[schemars(range(min = 1000, max = 60000))]
    timeout: u64,
    /// Tells a refused client what is wrong.
    #[serde(default)]
    verbose_errors: bool,
    /// Leaves bodies unjudged.
    #[serde(default)]
    skip_request_body_validation: bool,
    /// Leaves headers and cookies unjudged.
    #[serde(default)]
    skip_request_header_validation: bool,
    /// Leaves the query unjudged.
    #[serde(default)]
    skip_query_param_validation: bool,
    /// Leaves parameters in the path unjudged.
    #[serde(default)]
    skip_path_params_validation: bool,
    /// Refuses what doesn't fit. Otherwise it is only logged.
    #[serde(default = "yes")]
    reject_if_not_match: bool,
    /// The status of a refusal, 400 to 599.
    #[serde(default = "status::<400>")]
    #[schemars(range(min = 400, max = 599))]
    rejection_status_code: u16,
}

/// Settings of all uses.
#[derive(Deserialize, JsonSchema)]
struct Metadata {
    /// Seconds for which a fetched document is kept, at least 1.
    #[serde(default = "number::<3600>")]
    #[schemars(range(min = 1))]
    spec_url_ttl: u64,
}

/// Which parts of a request are left unjudged.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Skipped {
    pub(crate) body: bool,
    pub(crate) header: bool,
    pub(crate) query: bool,
    pub(crate) path: bool,
}

struct OasValidator {
    source: Source,
    skipped: Skipped,
    rejects: bool,
    verbose: bool,
    status: u16,
}

enum Source {
    Written(Document),
    Fetched(KeptDocument<Document>),
    /// A reference that was not looked up.
    Unknown,
}

impl Plugin for OasValidator {
    const NAME: &'static str = "oas-validator";
    const PRIORITY: i32 = 512;
    const PHASES: Phases<Self> = Phases { access: Some(Hook::Later(Self::validate)), ..Phases::NONE };
    type Config = Config;

    fn build(config: Config, env: &Env<'_>) -> Result<Self, BuildError> {
        let source = match (&config.spec, &config.spec_url) {
            (Some(spec), _) if is_reference(spec) => Source::Unknown,
            (Some(spec), _) => Source::Written(Document::parse(spec.as_bytes()).map_err(|reason| {
                BuildError::new(format!("property \"spec\" validation failed: {reason}"))
            })?),
            (None, Some(url)) => {
                addresses::check_url("spec_url", url, env)?;
                let mut fields = Head::empty();
                for (name, value) in config.spec_url_request_headers.iter().flatten() {
                    fields.set(name, value).map_err(|error| {
                        BuildError::new(format!(
                            "property \"spec_url_request_headers\" validation failed: {name:?} can't be sent: {error}"
                        ))
                    })?;
                }
                let metadata = env.metadata::<Metadata>()?;
                let keep = metadata.map_or(3600, |metadata| metadata.spec_url_ttl.min(31_536_000));
                Source::Fetched(KeptDocument {
                    url: url.clone(),
                    fields,
                    verify: config.ssl_verify,
                    timeout: Duration::from_millis(config.timeout),
                    keep: Duration::from_secs(keep),
                    kept: env.keep(&env.own_key(), Mutex::default),
                })
            }
            (None, None) => Source::Unknown,
        };
        Ok(Self {
            source,
            skipped: Skipped {
                body: config.skip_request_body_validation,
                header: config.skip_request_header_validation,
                query: config.skip_query_param_validation,
                path: config.skip_path_params_validation,
            },
            rejects: config.reject_if_not_match,
            verbose: config.verbose_errors,
            status: config.rejection_status_code,
        })
    }
}

impl OasValidator {
    fn validate<'a>(&'a self, exchange: &'a mut Exchange) -> LocalBoxFuture<'a, Flow> {
        async move {
            let fetched;
            let document = match &self.source {
                Source::Written(document) => document,
                Source::Unknown => return unusable(),
                Source::Fetched(document) => match document.get(exchange, Document::parse).await {
                    Ok(document) => {
                        fetched = document;
                        &*fetched
                    }
                    Err(_) => return unusable(),
                },
            };
            match self.judge(document, exchange).await {
                Ok(()) => Flow::Continue,
                Err(Refused::Body(status)) => Reply::new(status).into(),
                Err(Refused::Unfit(reason)) if self.rejects => {
                    let told = if self.verbose { reason.as_str() } else { "" };
                    Reply::message(self.status, &format!("failed to validate request. {told}")).into()
                }
                Err(Refused::Unfit(reason)) => {
                    tracing::warn!(reason, "let a request pass that does not fit its OpenAPI document");
                    Flow::Continue
                }
            }
        }
        .boxed_local()
    }

    async fn judge(&self, document: &Document, exchange: &mut Exchange) -> Result<(), Refused> {
        let body = if self.skipped.body {
            Bytes::new()
        } else {
            let read = exchange.request.body.read_whole(MAX_BODY_BYTES).await;
            read.map_err(|error| Refused::Body(error.status()))?
        };
        let written = document.judge(&exchange.request, &body, self.skipped).map_err(Refused::Unfit)?;
        if let Some(written) = written.filter(|written| *written != body) {
            exchange.request.body = Body::Full(written.into());
        }
        Ok(())
    }
}

/// Why a request doesn't pass.
enum Refused {
    /// It doesn't fit; in words.
    Unfit(String),
    /// Its body can't be read; the status.
    Body(u16),
}

fn unusable() -> Flow {
    Reply::json(500, &json!({ "message": "failed to parse openapi spec" })).into()
}

#[cfg(test)]
mod tests;
