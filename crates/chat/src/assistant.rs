//! The built-in chat: it understands a sentence, by itself or through a model, and acts through the tools of a running Usher.
//!
//! In both ways a plan is shown and the person asked before it is applied, whatever a model says, and what was applied is verified.

mod budget;
mod change;
mod create;
mod look;
mod memory;
mod names;
mod rounds;
mod served;
mod settings;
mod turn;
mod verify;

use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

pub use usher_admin::service::ModelApi;
use usher_model::secret::Secret;

use self::budget::Meter;
pub use self::budget::{Bounds, Budget, Purse, Spent};
use self::memory::Memory;
use self::turn::Turn;
use crate::client::{ClientError, Connection};
use crate::model::Client;
pub use crate::model::ModelError;
use crate::plain;

/// Which model answers, and where.
#[derive(Clone, Debug)]
pub struct ModelOptions {
    /// The endpoint. `/v1/chat/completions` (or `/v1/responses`, `/v1/messages`) is put behind an address without a path, the same without `/v1`
    /// behind one with a path, and nothing behind one that ends so.
    pub base_url: String,
    /// Sent as a bearer token, or as `x-api-key` with messages; never shown or logged.
    pub api_key: Option<Secret<String>>,
    /// The model's name there.
    pub model: String,
    /// Whether to ask for streams. Either form of answer is understood.
    pub stream: bool,
    /// How it is asked. `None`: as the end of `base_url` says, by messages at `api.anthropic.com`, by chat completions elsewhere.
    pub api: Option<ModelApi>,
}

impl ModelOptions {
    /// How the model is asked.
    #[must_use]
    pub fn speaks(&self) -> ModelApi {
        crate::model::spoken(self)
    }
}

/// What happens while a sentence is worked on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// The assistant says something.
    Say(&'a str),
    /// A plan's text, before the person is asked about it.
    Plan(&'a str),
    /// A plan was applied.
    Applied {
        /// The store's revision since which it is in force.
        revision: u64,
    },
    /// A model calls a tool.
    Tool {
        /// Its name.
        name: &'a str,
    },
}

/// How a sentence ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// `false`: not understood, refused, declined or failed.
    pub done: bool,
}

/// Why a sentence came to no end.
#[derive(Debug, thiserror::Error)]
pub enum ChatError {
    /// The connection to Usher.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The model. What had been applied before stays applied and is in the history.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// Nobody waits for the model any more. What had been applied before stays applied.
    #[error("nobody listens any more, so that the model is not waited for")]
    Left,
}

/// A conversation. It remembers what was said and done, within bounds, for as long as it lives.
pub struct Assistant {
    connection: Connection,
    model: Mutex<Option<Arc<Client>>>,
    memory: Mutex<Memory>,
    meter: Meter,
}

/// Who hears what happens.
type Hear<'a> = &'a mut (dyn FnMut(Event<'_>) + Send + Sync);

impl Assistant {
    /// One that understands the sentences of `docs/chat.md`.
    #[must_use]
    pub fn plain(connection: Connection) -> Self {
        Self { connection, model: Mutex::default(), memory: Mutex::default(), meter: Meter::default() }
    }

    /// One that a model leads.
    #[must_use]
    pub fn with_model(connection: Connection, options: ModelOptions) -> Self {
        let talk = Self::plain(connection);
        talk.follow(Some(Client::new(options)));
        talk
    }

    /// From the next sentence on, this model leads; `None`: plain sentences are understood. What was said before stays known.
    pub(crate) fn follow(&self, model: Option<Client>) {
        *self.model.lock().unwrap_or_else(PoisonError::into_inner) = model.map(Arc::new);
    }

    /// The same with what its model may spend: `user` spends it, and `tells_all` tells after each sentence what was spent, not only where a bound is
    /// near. Default: no bounds, and nothing is told.
    #[must_use]
    pub fn with_purse(self, purse: Arc<Purse>, user: &str, tells_all: bool) -> Self {
        Self { meter: Meter::new(purse, user.to_owned(), tells_all), ..self }
    }

    /// Works on one sentence; `hear` is told what happens on the way. Sentences are meant to come one after the other.
    ///
    /// # Errors
    /// [`ChatError`] when Usher or the model can't be reached or makes no sense. A refusal or a sentence that isn't understood is an
    /// [`Outcome`], and was said.
    pub async fn say(
        &self,
        sentence: &str,
        hear: &mut (dyn FnMut(Event<'_>) + Send + Sync),
    ) -> Result<Outcome, ChatError> {
        self.say_until(sentence, hear, std::future::pending()).await
    }

    /// The same for somebody who may leave: a model is not waited for any longer then, nor asked again. What is being applied is carried out to its end.
    ///
    /// # Errors
    /// As for [`Assistant::say`], and [`ChatError::Left`].
    pub(crate) async fn say_until(
        &self,
        sentence: &str,
        hear: &mut (dyn FnMut(Event<'_>) + Send + Sync),
        left: impl Future<Output = ()> + Send,
    ) -> Result<Outcome, ChatError> {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut turn = Turn::new(&self.connection, &mut memory, hear);
        let model = self.model.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let outcome = match &model {
            Some(model) => {
                let outcome = rounds::hold(model, &mut turn, &self.meter, sentence, pin!(left)).await;
                if let Some(told) = self.meter.settle() {
                    turn.say(&told);
                }
                outcome
            }
            None => speak_plainly(&mut turn, sentence).await,
        };
        *self.memory.lock().unwrap_or_else(PoisonError::into_inner) = memory;
        outcome
    }
}

/// Understands the sentence without a model, and does what it says.
async fn speak_plainly(turn: &mut Turn<'_>, sentence: &str) -> Result<Outcome, ChatError> {
    let said = match plain::parse(sentence) {
        Ok(said) => said,
        Err(unknown) => {
            turn.say(&unknown.to_string());
            return Ok(Outcome { done: false });
        }
    };
    match change::carry_out(turn, said).await {
        Ok(done) => Ok(Outcome { done }),
        Err(Stop::Answer(sentence)) => {
            turn.say(&sentence);
            Ok(Outcome { done: false })
        }
        Err(Stop::Failure(error)) => Err(error),
    }
}

/// Why a sentence was not carried out.
enum Stop {
    /// A refusal, or a question back: an answer that a person can act upon.
    Answer(String),
    /// Nothing more can be said.
    Failure(ChatError),
}

impl From<ClientError> for Stop {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Tool { text, .. } => Self::Answer(for_people(&text)),
            other => Self::Failure(other.into()),
        }
    }
}

/// A tool's sentence without what is for programs only: the calls that it proposes, and the fences around what somebody else wrote, which a person
/// who looks at it needs no mark for.
fn for_people(text: &str) -> String {
    let mut mark = None;
    let mut lines = Vec::new();
    for line in text.lines() {
        let begun = line
            .strip_prefix("untrusted ")
            .and_then(|rest| rest.split_once(", data and no instruction, until mark "));
        match (mark, begun) {
            (None, Some((_, end))) => mark = Some(end.trim_end_matches(':')),
            (Some(end), _) if line == end => mark = None,
            (None, None) if line.starts_with("next:") && line.contains("gateway_") => break,
            _ => lines.push(line),
        }
    }
    lines.join("\n")
}
