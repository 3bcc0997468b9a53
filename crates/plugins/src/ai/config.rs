//! What users write of a model and of how it is asked.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use usher_model::secret::Secret;

use super::{amazon, google};
use crate::schema::{MAX_BODY_BYTES, number, yes};

/// How an instance is authorized: sent to the provider, and shown to nobody.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Auth {
    /// Header fields, such as `{"Authorization": "Bearer sk-..."}`.
    #[serde(default)]
    pub(crate) header: Secret<BTreeMap<String, String>>,
    /// Arguments.
    #[serde(default)]
    pub(crate) query: Secret<BTreeMap<String, String>>,
    /// An account of Google's, for `vertex-ai`: requests are sent with its tokens.
    pub(super) gcp: Option<google::Written>,
    /// A key of Amazon's, for `bedrock`: requests are signed with it.
    pub(super) aws: Option<amazon::Written>,
}

impl Auth {
    /// Whether it needs more than fields and arguments that never change.
    pub(crate) const fn is_of_a_cloud(&self) -> bool {
        self.gcp.is_some() || self.aws.is_some()
    }
}

/// Where at a provider that has its models in regions.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Place {
    /// Such as `us-east-1` or `europe-west4`.
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[a-z0-9-]+$"))]
    pub(super) region: Option<String>,
    /// The project, at Google.
    #[schemars(length(min = 1, max = 128), regex(pattern = "^[A-Za-z0-9:._-]+$"))]
    pub(super) project_id: Option<String>,
}

/// What is set in every request to a model.
#[derive(Clone, Default, Deserialize, JsonSchema)]
pub(crate) struct Options {
    /// The model, whatever the client asks for.
    pub(super) model: Option<String>,
    /// Further members, such as `temperature`.
    #[serde(flatten)]
    pub(super) more: Map<String, Value>,
}

/// What is different from what the provider's name says.
#[derive(Clone, Default, Deserialize, JsonSchema)]
pub(crate) struct Override {
    /// Where the provider is, such as `https://models.test` or, with a path, `https://models.test/v2/chat?version=1`.
    #[schemars(length(min = 1))]
    pub(super) endpoint: Option<String>,
    /// Settings that every provider has, whatever it calls them.
    #[serde(default)]
    pub(super) llm_options: LlmOptions,
    /// Members of requests by the protocol that the provider is asked by: `openai-chat`, `openai-responses`, `openai-embeddings`,
    /// `anthropic-messages`, `bedrock-converse`.
    #[serde(default)]
    pub(super) request_body: BTreeMap<String, Map<String, Value>>,
    /// Whether `llm_options` and `request_body` count more than what the client says.
    #[serde(default)]
    pub(super) request_body_force_override: bool,
}

/// Settings that every provider has.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LlmOptions {
    /// The longest answer, in tokens, at least 1.
    #[schemars(range(min = 1))]
    pub(super) max_tokens: Option<u64>,
}

/// What log lines hold of conversations.
#[derive(Clone, Copy, Default, Deserialize, JsonSchema)]
pub(crate) struct Logging {
    /// `llm_summary`: the model, how long its first word took in milliseconds, and what the answer cost in tokens.
    #[serde(default)]
    pub(super) summaries: bool,
    /// `llm_request` and `llm_response_text`: what people say and what models answer, up to 64 KiB each. Whoever reads logs reads it.
    #[serde(default)]
    pub(super) payloads: bool,
}

/// How providers are asked.
#[derive(Clone, Deserialize, JsonSchema)]
pub(crate) struct Asking {
    /// How long connecting, sending and each pause of an answer may take, in milliseconds, 1 to 600000.
    #[serde(default = "number::<30_000>")]
    #[schemars(range(min = 1, max = 600_000))]
    pub(super) timeout: u64,
    /// Whether connections are kept for later requests.
    #[serde(default = "yes")]
    pub(super) keepalive: bool,
    /// How long a connection waits for the next request, in milliseconds, at least 1000.
    #[serde(default = "number::<60_000>")]
    #[schemars(range(min = 1000))]
    pub(super) keepalive_timeout: u64,
    /// How many connections wait, at least 1.
    #[serde(default = "number::<30>")]
    #[schemars(range(min = 1))]
    pub(super) keepalive_pool: u64,
    /// Whether the provider's certificate is verified.
    #[serde(default = "yes")]
    pub(super) ssl_verify: bool,
    /// What log lines hold of conversations.
    #[serde(default)]
    pub(super) logging: Logging,
    /// The largest request, in bytes, at least 1.
    #[serde(default = "number::<MAX_BODY_BYTES>")]
    #[schemars(range(min = 1))]
    pub(crate) max_req_body_size: u64,
    /// How long an answer that streams may take, in milliseconds; it is cut then.
    #[schemars(range(min = 1))]
    pub(crate) max_stream_duration_ms: Option<u64>,
    /// The largest answer, in bytes; it is cut there.
    #[schemars(range(min = 1))]
    pub(crate) max_response_bytes: Option<u64>,
    /// Taken, and without a meaning: what comes is passed on at once.
    #[serde(default = "number::<10>")]
    #[schemars(range(min = 0))]
    #[serde(rename = "streaming_flush_interval_ms")]
    _streaming_flush_interval_ms: u64,
}
