//! What an answer cost: read from it as it passes, whether it comes as a whole or word by word.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::Value;
use usher_http1::head::Head;
use usher_pipeline::body::{BodyError, BodyOut, BodyStep};
use usher_pipeline::worker::Worker;

/// The largest answer, or event of a stream, that is read for what it cost, in bytes. Larger ones pass all the same.
const MOST: usize = 8 << 20;

/// What an answer cost, in tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// What was asked.
    pub(crate) prompt: u64,
    /// What was answered.
    pub(crate) completion: u64,
    /// Both, as the provider counts them.
    pub(crate) total: u64,
    /// Whether the provider has said anything of it.
    pub(crate) known: bool,
}

impl Usage {
    /// Takes up what a piece of an answer says of it. The numbers of streams grow, so that the largest counts.
    fn learn(&mut self, said: &Value) {
        // Some protocols wrap it: the event of a response, the message that begins.
        let places = [Some(said), said.get("response"), said.get("message")];
        let Some(usage) = places.into_iter().flatten().find_map(|place| place.get("usage")) else { return };
        let number = |names: [&str; 2]| names.iter().find_map(|name| usage.get(*name)?.as_u64());
        let (prompt, completion) =
            (number(["prompt_tokens", "input_tokens"]), number(["completion_tokens", "output_tokens"]));
        self.known |= prompt.is_some() || completion.is_some();
        self.prompt = self.prompt.max(prompt.unwrap_or(0));
        self.completion = self.completion.max(completion.unwrap_or(0));
        let total = usage.get("total_tokens").and_then(Value::as_u64);
        self.total = self.total.max(total.unwrap_or(0)).max(self.prompt.saturating_add(self.completion));
    }
}

/// What holds an answer back.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Bounds {
    /// The largest answer, in bytes.
    pub(crate) bytes: Option<u64>,
    /// The longest time that it may take.
    pub(crate) time: Option<Duration>,
}

/// Whom a meter tells.
pub(crate) struct Telling {
    /// What the answer cost.
    pub(crate) usage: Rc<Cell<Usage>>,
    /// How long its first word took; of an answer that comes as a whole, its last.
    pub(crate) first_word: Rc<Cell<Option<Duration>>>,
}

/// Passes an answer on as it comes, and reads what it cost.
pub(crate) struct Meter {
    told: Telling,
    worker: Rc<dyn Worker>,
    started: Instant,
    bounds: Bounds,
    passed: u64,
    held: Vec<u8>,
    /// Whether it comes as a stream of events.
    streams: bool,
    /// Whether it is too large to be read.
    gave_up: bool,
}

impl Meter {
    pub(crate) fn new(
        told: Telling,
        worker: Rc<dyn Worker>,
        started: Instant,
        bounds: Bounds,
        streams: bool,
    ) -> Self {
        Self { told, worker, started, bounds, passed: 0, held: Vec::new(), streams, gave_up: false }
    }

    fn learn(&self, text: &[u8]) {
        // Most events of a stream say nothing of it.
        if memchr::memmem::find(text, b"\"usage\"").is_none() {
            return;
        }
        if let Ok(said) = serde_json::from_slice(text) {
            let mut usage = self.told.usage.get();
            usage.learn(&said);
            self.told.usage.set(usage);
        }
    }

    fn read_lines(&mut self) {
        let held = std::mem::take(&mut self.held);
        let mut rest = held.as_slice();
        while let Some(at) = memchr::memchr(b'\n', rest) {
            let (line, behind) = rest.split_at(at);
            if let Some(data) = line.strip_prefix(b"data:") {
                self.learn(data.trim_ascii());
            }
            rest = behind.get(1..).unwrap_or_default();
        }
        self.held = rest.to_vec();
    }
}

impl BodyStep for Meter {
    fn chunk(&mut self, bytes: Bytes, out: &mut BodyOut) -> Result<(), BodyError> {
        self.passed += bytes.len() as u64;
        if let Some(limit) = self.bounds.bytes.filter(|limit| self.passed > *limit) {
            return Err(BodyError::TooLarge { limit });
        }
        let took = self.worker.now().saturating_duration_since(self.started);
        if self.streams {
            if self.bounds.time.is_some_and(|time| took > time) {
                return Err(BodyError::TimedOut);
            }
            self.told.first_word.set(self.told.first_word.get().or(Some(took)));
        }
        if !self.gave_up {
            self.held.extend_from_slice(&bytes);
            if self.streams {
                self.read_lines();
            }
            if self.held.len() > MOST {
                self.gave_up = true;
                self.held = Vec::new();
            }
        }
        out.push(bytes);
        Ok(())
    }

    fn end(&mut self, _: &mut Head, _: &mut BodyOut) -> Result<(), BodyError> {
        if self.streams {
            self.held.push(b'\n');
            self.read_lines();
        } else {
            self.told.first_word.set(Some(self.worker.now().saturating_duration_since(self.started)));
            if !self.gave_up {
                self.learn(&self.held);
            }
        }
        Ok(())
    }

    fn keeps_length(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Usage;

    #[test]
    fn every_protocol_says_what_it_cost() {
        for (said, wanted) in [
            (
                vec![json!({ "usage": { "prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 9 } })],
                (3, 4, 9),
            ),
            (vec![json!({ "response": { "usage": { "input_tokens": 3, "output_tokens": 4 } } })], (3, 4, 7)),
            (
                vec![
                    json!({ "type": "message_start", "message": { "usage": { "input_tokens": 10, "output_tokens": 1 } } }),
                    json!({ "type": "message_delta", "usage": { "output_tokens": 25 } }),
                ],
                (10, 25, 35),
            ),
            (vec![json!({ "usage": null })], (0, 0, 0)),
            (vec![json!({ "usage": { "prompt_tokens": "many" } })], (0, 0, 0)),
            (
                vec![json!({ "usage": { "prompt_tokens": u64::MAX, "completion_tokens": 5 } })],
                (u64::MAX, 5, u64::MAX),
            ),
        ] {
            let mut usage = Usage::default();
            said.iter().for_each(|said| usage.learn(said));
            assert_eq!((usage.prompt, usage.completion, usage.total), wanted, "{said:?}");
            assert_eq!(usage.known, wanted.2 > 0);
        }
    }
}
