//! One small call of a model, made as those of a conversation are: to see whether it answers, and what it says where it doesn't.

use serde_json::json;

use super::{Client, Functions, ModelError, Trouble};
use crate::client::Offered;
use crate::tools::clean;

/// What it is asked.
const QUESTION: &str = "This is a test of the connection. Answer with the one word: ready";
/// Characters of its words that are shown.
const SHOWN: usize = 1000;

impl Client {
    /// What the model says to a small question. It is asked once: whoever tries it wants to read what went wrong, and not to wait.
    ///
    /// # Errors
    /// What went wrong.
    pub(crate) async fn attempt(&self) -> Result<String, ModelError> {
        let messages = [json!({ "role": "user", "content": QUESTION })];
        // A chat stands on tools, and a model that takes none of them is best found here.
        let functions = Functions::new(vec![Offered {
            name: "gateway_overview".to_owned(),
            description: "Says how the gateway is".to_owned(),
            input: json!({ "type": "object", "properties": {}, "required": [], "additionalProperties": false }),
        }]);
        let mut outcome = self.once(&messages, &functions).await;
        if let Err(Trouble::Strict) = &outcome {
            self.strict.store(false, std::sync::atomic::Ordering::Relaxed);
            outcome = self.once(&messages, &functions).await;
        }
        let answer = outcome.map_err(|trouble| match trouble {
            Trouble::Busy { status, wait, said } => {
                ModelError::Busy { url: self.shown(), status, wait, said }
            }
            Trouble::Cut(reason) => ModelError::Cut { url: self.shown(), reason },
            Trouble::Strict => ModelError::Refused {
                url: self.shown(),
                status: 400,
                said: "it takes no functions".to_owned(),
            },
            Trouble::Final(error) => error,
        })?;
        let text = answer.text.trim();
        Ok(match answer.calls.first() {
            _ if !text.is_empty() => self.scrubbed_to(text, SHOWN),
            Some(call) => format!("(it called {})", clean(&call.name, 64)),
            None => {
                return Err(ModelError::Nonsense {
                    url: self.shown(),
                    reason: "its message is empty".to_owned(),
                });
            }
        })
    }
}
