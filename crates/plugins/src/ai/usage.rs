//! What an answer cost: read from it as it passes, whether it comes as a whole or word by word.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::Value;
use usher_http1::head::Head;
use usher_pipeline::body::{BodyError, BodyOut, BodyStep};
use usher_pipeline::worker::Worker;

use super::call::MOST_HEARD;
use super::frames;

/// The largest answer, or event of a stream, that is read for what it cost, in bytes. Larger ones pass all the same.
const MOST: usize = 8 << 20;

/// How many numbers of an answer's usage are told apart.
const MOST_COUNTED: usize = 100;

/// What an answer cost, in tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// What was asked.
    pub(crate) prompt: u64,
    /// What was answered.
    pub(crate) completion: u64,
    /// Both, as the provider counts them.
    pub(crate) total: u64,
    /// The sum as the provider says it.
    pub(crate) said_total: Option<u64>,
    /// Whether the provider has said anything of it.
    pub(crate) known: bool,
}

impl Usage {
    /// Takes up what a piece of an answer says of it. The numbers of streams grow, so that the largest counts.
    fn learn(&mut self, said: &Value) {
        let Some(usage) = of_usage(said) else { return };
        let number = |names: [&str; 3]| names.iter().find_map(|name| usage.get(*name)?.as_u64());
        let prompt = number(["prompt_tokens", "input_tokens", "inputTokens"]);
        let completion = number(["completion_tokens", "output_tokens", "outputTokens"]);
        self.known |= prompt.is_some() || completion.is_some();
        self.prompt = self.prompt.max(prompt.unwrap_or(0));
        self.completion = self.completion.max(completion.unwrap_or(0));
        let total = number(["total_tokens", "totalTokens", "total"]);
        // The provider's own sum counts; where it says none, what it is made of.
        self.said_total = self.said_total.max(total);
        self.total = self.said_total.unwrap_or_else(|| self.prompt.saturating_add(self.completion));
    }
}

/// What a piece of an answer says of its usage. Some protocols wrap it: the event of a response, the message that begins.
fn of_usage(said: &Value) -> Option<&Value> {
    [Some(said), said.get("response"), said.get("message")]
        .into_iter()
        .flatten()
        .find_map(|place| place.get("usage"))
}

/// Notes the numbers in an object by their names, and those of the objects in it behind a dot.
fn note(counted: &mut BTreeMap<String, f64>, before: &str, object: &Value) {
    for (name, value) in object.as_object().into_iter().flatten() {
        let name = format!("{before}{name}");
        match value.as_f64() {
            Some(number) if counted.len() < MOST_COUNTED => {
                let known = counted.entry(name).or_insert(number);
                *known = known.max(number);
            }
            Some(_) => {}
            None if before.matches('.').count() < 3 => {
                note(counted, &format!("{name}."), value);
            }
            None => {}
        }
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

/// How an answer comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// As one JSON.
    Whole,
    /// As a stream of events, in lines.
    Events,
    /// As a stream of Amazon's frames.
    Frames,
}

impl Way {
    /// By its media type.
    pub(crate) fn of(kind: &str) -> Self {
        if kind.starts_with("text/event-stream") {
            Self::Events
        } else if kind.starts_with("application/vnd.amazon.eventstream") {
            Self::Frames
        } else {
            Self::Whole
        }
    }
}

/// Whom a meter tells.
pub(crate) struct Telling {
    /// What the answer cost.
    pub(crate) usage: Rc<Cell<Usage>>,
    /// How long its first word took; of an answer that comes as a whole, its last.
    pub(crate) first_word: Rc<Cell<Option<Duration>>>,
    /// What is answered, where anybody wants to know.
    pub(crate) heard: Option<Rc<RefCell<String>>>,
    /// All numbers of its usage, where anybody counts by them.
    pub(crate) counted: Option<Rc<RefCell<BTreeMap<String, f64>>>>,
}

impl Telling {
    /// Takes up all numbers of what a piece of an answer says of its usage. Those of streams grow, so that the largest counts.
    fn count(&self, said: &Value) {
        if let (Some(counted), Some(usage)) = (&self.counted, of_usage(said)) {
            note(&mut counted.borrow_mut(), "", usage);
        }
    }

    /// Adds what a piece of an answer says, up to a bound.
    fn hear(&self, said: &Value) {
        let Some(heard) = &self.heard else { return };
        let text = [
            "/choices/0/message/content",
            "/choices/0/delta/content",
            // Anthropic's and Amazon's pieces.
            "/delta/text",
            // The events of a response.
            "/delta",
        ];
        let mut heard = heard.borrow_mut();
        let mut add = |text: &str| {
            let left = MOST_HEARD.saturating_sub(heard.len()).min(text.len());
            let end = (0..=left).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
            heard.push_str(text.get(..end).unwrap_or_default());
        };
        if let Some(text) = text.iter().find_map(|place| said.pointer(place)?.as_str()) {
            return add(text);
        }
        // The parts of messages as wholes: Anthropic's, Amazon's, and a response's.
        let parts = said.get("content").or_else(|| said.pointer("/output/message/content"));
        let responses = said.get("output").and_then(Value::as_array).into_iter().flatten();
        let responses = responses.filter_map(|item| item.get("content"));
        for part in parts.into_iter().chain(responses).filter_map(Value::as_array).flatten() {
            if let Some(text) = part.get("text").and_then(Value::as_str) {
                add(text);
            }
        }
    }
}

/// Passes an answer on as it comes, and reads what it cost.
pub(crate) struct Meter {
    told: Telling,
    worker: Rc<dyn Worker>,
    started: Instant,
    bounds: Bounds,
    passed: u64,
    held: Vec<u8>,
    way: Way,
    /// Whether it is too large to be read.
    gave_up: bool,
}

impl Meter {
    pub(crate) fn new(
        told: Telling,
        worker: Rc<dyn Worker>,
        started: Instant,
        bounds: Bounds,
        way: Way,
    ) -> Self {
        Self { told, worker, started, bounds, passed: 0, held: Vec::new(), way, gave_up: false }
    }

    /// What it has read so far.
    pub(super) fn usage(&self) -> Rc<Cell<Usage>> {
        Rc::clone(&self.told.usage)
    }

    fn learn(&self, text: &[u8]) {
        // Most events of a stream say nothing of it.
        if self.told.heard.is_none() && memchr::memmem::find(text, b"\"usage\"").is_none() {
            return;
        }
        if let Ok(said) = serde_json::from_slice(text) {
            self.told.hear(&said);
            self.told.count(&said);
            let mut usage = self.told.usage.get();
            usage.learn(&said);
            self.told.usage.set(usage);
        }
    }

    fn read_frames(&mut self) {
        let held = std::mem::take(&mut self.held);
        let mut rest = held.as_slice();
        loop {
            match frames::first(rest) {
                Ok(Some((payload, length))) => {
                    self.learn(payload);
                    rest = rest.get(length..).unwrap_or_default();
                }
                Ok(None) => break,
                Err(()) => {
                    self.gave_up = true;
                    return;
                }
            }
        }
        self.held = rest.to_vec();
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
        if self.way != Way::Whole {
            if self.bounds.time.is_some_and(|time| took > time) {
                return Err(BodyError::TimedOut);
            }
            self.told.first_word.set(self.told.first_word.get().or(Some(took)));
        }
        if !self.gave_up {
            self.held.extend_from_slice(&bytes);
            match self.way {
                Way::Events => self.read_lines(),
                Way::Frames => self.read_frames(),
                Way::Whole => {}
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
        match self.way {
            Way::Events => {
                self.held.push(b'\n');
                self.read_lines();
            }
            // What is left is no whole frame.
            Way::Frames => {}
            Way::Whole => {
                self.told.first_word.set(Some(self.worker.now().saturating_duration_since(self.started)));
                if !self.gave_up {
                    self.learn(&self.held);
                }
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
            (vec![json!({ "usage": { "inputTokens": 3, "outputTokens": 4, "totalTokens": 8 } })], (3, 4, 8)),
            (
                vec![json!({ "usage": { "prompt_tokens": 8, "completion_tokens": 5, "total_tokens": 10 } })],
                (8, 5, 10),
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
