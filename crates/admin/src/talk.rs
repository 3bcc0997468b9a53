//! What the service API asks of the built-in chat, without knowing it: `chat` implements the trait and `gateway` hands it in.

use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use serde::Serialize;
use usher_model::change::Principal;

use crate::service::{ChosenModel, ModelApi};

/// The built-in chat.
pub trait Talk: Send + Sync + 'static {
    /// Works on a sentence for this principal; what happens comes as events, of which [`TalkEvent::Ended`] is the last. A conversation that isn't
    /// named begins anew.
    ///
    /// # Errors
    /// [`TalkError`].
    fn say(&self, who: &Principal, conversation: Option<&str>, sentence: &str) -> Result<Spoken, TalkError>;

    /// All that is remembered of a conversation of this principal's, and what happens further, up to the end of the sentence that is worked on.
    ///
    /// # Errors
    /// [`TalkError::Unknown`].
    fn hear(&self, who: &Principal, conversation: &str) -> Result<Spoken, TalkError>;

    /// Ends the sentence that is worked on in a conversation of this principal's; what is asked is a no. `false`: there is none.
    ///
    /// # Errors
    /// [`TalkError::Unknown`].
    fn stop(&self, who: &Principal, conversation: &str) -> Result<bool, TalkError>;

    /// Answers an open question of this principal's. `false`: there is none.
    fn answer(&self, who: &Principal, question: &str, agrees: bool) -> bool;

    /// The model that the settings name, which no choice at runtime changes; `None`: they name none.
    fn fixed(&self) -> Option<FixedModel>;

    /// The name of the model that leads new sentences; `None`: plain sentences are understood.
    fn leads(&self) -> Option<String>;

    /// Asks a model something small, with a tool at hand as the chat has them; `None` asks the one that leads. Its words, or why there are none:
    /// a sentence without the key.
    fn attempt(&self, model: Option<ChosenModel>) -> BoxFuture<'static, Result<String, String>>;
}

/// A model that the settings name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FixedModel {
    /// Where it answers, as it may be shown.
    pub url: String,
    /// Its name there.
    pub name: String,
    /// How it is asked.
    pub api: ModelApi,
    /// Whether it has a key.
    pub has_key: bool,
    /// What names it, such as `chat.model of the settings`.
    pub by: &'static str,
}

/// A sentence that is worked on.
pub struct Spoken {
    /// The conversation that it belongs to.
    pub conversation: String,
    /// What happens.
    pub events: BoxStream<'static, TalkEvent>,
}

/// What happens while a sentence is worked on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum TalkEvent {
    /// Which conversation this is; the first event.
    Conversation {
        /// Its id, for the next sentence.
        id: String,
    },
    /// The person says a sentence; told only to whoever comes back to a conversation.
    Asked {
        /// The sentence.
        text: String,
    },
    /// Something is said.
    Said {
        /// What.
        text: String,
    },
    /// A plan is shown, before anybody is asked about it.
    Plan {
        /// Its text.
        text: String,
    },
    /// The person is asked, and has five minutes.
    Question {
        /// What the answer names.
        id: String,
        /// The question.
        text: String,
    },
    /// A question was answered.
    Answered {
        /// Which.
        id: String,
        /// Whether with a yes.
        agree: bool,
    },
    /// A plan was applied.
    Applied {
        /// The revision since which it is in force.
        revision: u64,
    },
    /// A model calls a tool.
    Tool {
        /// Its name.
        name: String,
    },
    /// The sentence is done with.
    Ended {
        /// Whether what was asked was done.
        done: bool,
        /// Why it came to no end.
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
}

impl TalkEvent {
    /// The event's name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Conversation { .. } => "conversation",
            Self::Asked { .. } => "asked",
            Self::Said { .. } => "said",
            Self::Plan { .. } => "plan",
            Self::Question { .. } => "question",
            Self::Answered { .. } => "answered",
            Self::Applied { .. } => "applied",
            Self::Tool { .. } => "tool",
            Self::Ended { .. } => "ended",
        }
    }

    /// About how much room it takes, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let text = match self {
            Self::Asked { text }
            | Self::Said { text }
            | Self::Plan { text }
            | Self::Question { text, .. } => text.len(),
            Self::Tool { name } => name.len(),
            Self::Ended { error, .. } => error.as_ref().map_or(0, String::len),
            Self::Conversation { .. } | Self::Answered { .. } | Self::Applied { .. } => 0,
        };
        text + 64
    }
}

/// Why a sentence isn't worked on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TalkError {
    /// No such conversation of this principal's.
    #[error(
        "there is no conversation {0} of yours; it ended, or is another's: leave `conversation` out to begin anew"
    )]
    Unknown(String),
    /// The last sentence is still worked on.
    #[error("the last sentence of this conversation is still being worked on; answer its question, or wait")]
    Busy,
    /// The chosen model can't be asked.
    #[error("{0}")]
    NoModel(String),
    /// Too many conversations.
    #[error("too many conversations are open; try again in a minute")]
    TooMany,
}
