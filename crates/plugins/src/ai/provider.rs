//! The providers of models: where each one is, and which protocols it speaks at which path.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use usher_pipeline::plugin::BuildError;

use super::config::Place;
use super::protocol::Protocol::{self, Chat, Converse, Embeddings, Messages, Responses};
use super::translate::Translation;
use crate::form::escaped;

/// A provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Provider {
    /// api.openai.com
    Openai,
    /// api.deepseek.com
    Deepseek,
    /// api.aimlapi.com
    Aimlapi,
    /// api.anthropic.com
    Anthropic,
    /// Whatever speaks as `OpenAI` does, at `override.endpoint`.
    OpenaiCompatible,
    /// A deployment of Azure's, at `override.endpoint`.
    AzureOpenai,
    /// openrouter.ai
    Openrouter,
    /// generativelanguage.googleapis.com
    Gemini,
    /// A region of Google's cloud, as `provider_conf` says.
    VertexAi,
    /// A region of Amazon's cloud, as `provider_conf` says.
    Bedrock,
}

impl Provider {
    /// As users write it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Openai => "openai",
            Self::Deepseek => "deepseek",
            Self::Aimlapi => "aimlapi",
            Self::Anthropic => "anthropic",
            Self::OpenaiCompatible => "openai-compatible",
            Self::AzureOpenai => "azure-openai",
            Self::Openrouter => "openrouter",
            Self::Gemini => "gemini",
            Self::VertexAi => "vertex-ai",
            Self::Bedrock => "bedrock",
        }
    }

    /// Where it is, unless `override.endpoint` says so.
    ///
    /// # Errors
    /// It has to say so, or the region is missing.
    pub(crate) fn home(self, place: &Place) -> Result<Cow<'static, str>, BuildError> {
        let home = match (self, &place.region) {
            (Self::Openai, _) => "https://api.openai.com",
            (Self::Deepseek, _) => "https://api.deepseek.com",
            (Self::Aimlapi, _) => "https://api.aimlapi.com",
            (Self::Anthropic, _) => "https://api.anthropic.com",
            (Self::Openrouter, _) => "https://openrouter.ai",
            (Self::Gemini, _) => "https://generativelanguage.googleapis.com",
            (Self::OpenaiCompatible | Self::AzureOpenai, _) => {
                return Err(BuildError::new(format!(
                    "property \"override\" is required: the provider {} is wherever override.endpoint says",
                    self.name()
                )));
            }
            (Self::VertexAi, Some(region)) => {
                return Ok(format!("https://{region}-aiplatform.googleapis.com").into());
            }
            (Self::Bedrock, Some(region)) => {
                return Ok(format!("https://bedrock-runtime.{region}.amazonaws.com").into());
            }
            (Self::VertexAi | Self::Bedrock, None) => return Err(self.homeless()),
        };
        Ok(home.into())
    }

    /// Whether a request can be addressed; `has_path` where `override.endpoint` says the path.
    ///
    /// # Errors
    /// What of `provider_conf` is missing.
    pub(crate) fn check(self, place: &Place, has_path: bool) -> Result<(), BuildError> {
        let is_complete = match self {
            // Its signatures are good for one region, wherever it is reached.
            Self::Bedrock => place.region.is_some(),
            Self::VertexAi => has_path || (place.region.is_some() && place.project_id.is_some()),
            _ => true,
        };
        if is_complete { Ok(()) } else { Err(self.homeless()) }
    }

    fn homeless(self) -> BuildError {
        let needed = if self == Self::Bedrock { "region" } else { "region and project_id" };
        BuildError::new(format!(
            "property \"provider_conf\" is required: the provider {} needs its {needed}",
            self.name()
        ))
    }

    /// The protocols it speaks, each with its path. `{region}`, `{project}` and `{model}` stand for what they say.
    const fn paths(self) -> &'static [(Protocol, &'static str)] {
        match self {
            Self::Openai | Self::OpenaiCompatible | Self::AzureOpenai => &[
                (Chat, "/v1/chat/completions"),
                (Responses, "/v1/responses"),
                (Embeddings, "/v1/embeddings"),
            ],
            Self::Deepseek => &[(Chat, "/chat/completions")],
            Self::Aimlapi => &[(Chat, "/v1/chat/completions")],
            Self::Anthropic => &[(Chat, "/v1/chat/completions"), (Messages, "/v1/messages")],
            Self::Openrouter => &[(Chat, "/api/v1/chat/completions")],
            Self::Gemini => {
                &[(Chat, "/v1beta/openai/chat/completions"), (Embeddings, "/v1beta/openai/embeddings")]
            }
            Self::VertexAi => &[
                (Chat, "/v1beta1/projects/{project}/locations/{region}/endpoints/openapi/chat/completions"),
                (
                    Embeddings,
                    "/v1/projects/{project}/locations/{region}/publishers/google/models/{model}:predict",
                ),
            ],
            Self::Bedrock => &[(Converse, "/model/{model}/converse")],
        }
    }

    /// Where it takes this protocol, for this model.
    ///
    /// # Errors
    /// The sentence that says which it takes, or that the model is missing.
    pub(crate) fn path(
        self,
        protocol: Protocol,
        place: &Place,
        model: &str,
    ) -> Result<Cow<'static, str>, String> {
        let path = self.pattern(protocol)?;
        if !path.contains('{') {
            return Ok(path.into());
        }
        if path.contains("{model}") && model.is_empty() {
            return Err(format!("the provider {} is asked by a model's name; write `model`", self.name()));
        }
        let said = |text: &Option<String>| text.clone().unwrap_or_default();
        let path = path.replace("{region}", &said(&place.region));
        let path = path.replace("{project}", &said(&place.project_id));
        // A name with a slash stays one segment.
        Ok(path.replace("{model}", &escaped(model)).into())
    }

    /// The protocol that it is asked by where a client speaks this one, and how its answers are translated.
    ///
    /// # Errors
    /// The sentence that says which it takes.
    pub(super) fn spoken(self, protocol: Protocol) -> Result<(Protocol, Translation), String> {
        match (self, protocol) {
            (Self::VertexAi, Embeddings) => Ok((Embeddings, Translation::Embeddings)),
            (_, Messages) if self.pattern(Messages).is_err() && self.pattern(Chat).is_ok() => {
                Ok((Chat, Translation::Messages))
            }
            _ => self.pattern(protocol).map(|_| (protocol, Translation::None)),
        }
    }

    fn pattern(self, protocol: Protocol) -> Result<&'static str, String> {
        let all = self.paths();
        let found = all.iter().find(|(known, _)| *known == protocol).map(|(_, path)| *path);
        found.ok_or_else(|| {
            let known: Vec<&str> = all.iter().map(|(known, _)| known.name()).collect();
            format!(
                "provider {} does not support {} protocol (supported: {})",
                self.name(),
                protocol.name(),
                known.join(", ")
            )
        })
    }

    /// Whether the path says which model it is, so that the body must not.
    pub(crate) const fn has_model_in_path(self) -> bool {
        matches!(self, Self::AzureOpenai | Self::Bedrock)
    }

    /// Whether it has given the bound of an answer's length its newer name.
    pub(crate) const fn has_newer_bound(self) -> bool {
        matches!(self, Self::Openai | Self::AzureOpenai | Self::VertexAi)
    }
}
