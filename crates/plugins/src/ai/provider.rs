//! The providers of models: where each one is, and which protocols it speaks at which path.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use usher_pipeline::plugin::BuildError;

use super::protocol::Protocol::{self, Chat, Embeddings, Messages, Responses};

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
    /// Refused: its requests have to be signed by Google's keys.
    VertexAi,
    /// Refused: its requests have to be signed by Amazon's keys.
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
    /// It has to say so, or the provider can't be asked.
    pub(crate) fn home(self) -> Result<&'static str, BuildError> {
        Ok(match self {
            Self::Openai => "https://api.openai.com",
            Self::Deepseek => "https://api.deepseek.com",
            Self::Aimlapi => "https://api.aimlapi.com",
            Self::Anthropic => "https://api.anthropic.com",
            Self::Openrouter => "https://openrouter.ai",
            Self::Gemini => "https://generativelanguage.googleapis.com",
            Self::OpenaiCompatible | Self::AzureOpenai => {
                return Err(BuildError::new(format!(
                    "property \"override\" is required: the provider {} is wherever override.endpoint says",
                    self.name()
                )));
            }
            Self::VertexAi | Self::Bedrock => return Err(self.refusal()),
        })
    }

    /// # Errors
    /// This version can't ask it.
    pub(crate) fn check(self) -> Result<(), BuildError> {
        if matches!(self, Self::VertexAi | Self::Bedrock) { Err(self.refusal()) } else { Ok(()) }
    }

    fn refusal(self) -> BuildError {
        BuildError::new(format!(
            "the provider {} is not supported by this version of Usher, which can't sign its requests; take one that is asked with a key",
            self.name()
        ))
    }

    /// The protocols it speaks, each with its path.
    const fn paths(self) -> &'static [(Protocol, &'static str)] {
        match self {
            Self::Openai | Self::OpenaiCompatible | Self::AzureOpenai | Self::VertexAi | Self::Bedrock => &[
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
        }
    }

    /// Where it takes this protocol.
    ///
    /// # Errors
    /// The sentence that says which it takes.
    pub(crate) fn path(self, protocol: Protocol) -> Result<&'static str, String> {
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
        matches!(self, Self::AzureOpenai)
    }

    /// Whether it has given the bound of an answer's length its newer name.
    pub(crate) const fn has_newer_bound(self) -> bool {
        matches!(self, Self::Openai | Self::AzureOpenai)
    }
}
