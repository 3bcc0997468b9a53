//! The protocols that clients speak with models.

use serde_json::{Map, Value};
use usher_pipeline::request::Request;

/// A protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// `OpenAI`'s chat completions.
    Chat,
    /// `OpenAI`'s responses.
    Responses,
    /// `OpenAI`'s embeddings.
    Embeddings,
    /// Anthropic's messages.
    Messages,
    /// Amazon's conversations.
    Converse,
}

impl Protocol {
    /// All of them.
    pub(crate) const ALL: [Self; 5] =
        [Self::Chat, Self::Responses, Self::Embeddings, Self::Messages, Self::Converse];

    /// As users write it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Chat => "openai-chat",
            Self::Responses => "openai-responses",
            Self::Embeddings => "openai-embeddings",
            Self::Messages => "anthropic-messages",
            Self::Converse => "bedrock-converse",
        }
    }

    /// The protocol of a request, by its path, then by what it holds.
    pub(crate) fn of(request: &Request, body: &Map<String, Value>) -> Option<Self> {
        let path = request.path();
        if path.ends_with("/messages") && body.contains_key("messages") {
            Some(Self::Messages)
        } else if path.ends_with("/responses") && body.contains_key("input") {
            Some(Self::Responses)
        } else if path.ends_with("/embeddings") && body.contains_key("input") {
            Some(Self::Embeddings)
        } else if path.ends_with("/converse") && body.get("messages").is_some_and(Value::is_array) {
            Some(Self::Converse)
        } else if body.get("messages").is_some_and(Value::is_array) {
            Some(Self::Chat)
        } else {
            None
        }
    }

    /// The member that bounds an answer's length, with those that clients write instead of it; `None` where there is nothing to bound.
    pub(crate) const fn bound(self, newer: bool) -> Option<(&'static str, &'static [&'static str])> {
        match self {
            Self::Chat if newer => Some(("max_completion_tokens", &["max_completion_tokens", "max_tokens"])),
            Self::Chat => Some(("max_tokens", &["max_completion_tokens", "max_tokens"])),
            Self::Responses => Some(("max_output_tokens", &["max_output_tokens"])),
            Self::Messages => Some(("max_tokens", &["max_tokens"])),
            // Of Amazon's, it stands deeper.
            Self::Embeddings | Self::Converse => None,
        }
    }
}

/// Whether the client wants the answer word by word.
pub(crate) fn streams(body: &Map<String, Value>) -> bool {
    body.get("stream") == Some(&Value::Bool(true))
}
