//! Embeddings of Vertex AI, which has a protocol of its own for them: clients speak `OpenAI`'s, and hear it.

use std::cell::Cell;
use std::rc::Rc;

use serde_json::{Map, Value, json};
use usher_pipeline::body::BodyError;

use super::{Held, Translate, refused};
use crate::ai::usage::Usage;

/// The request that Vertex AI takes.
///
/// # Errors
/// The sentence of what can't be embedded.
pub(in crate::ai) fn question(body: &Map<String, Value>) -> Result<Map<String, Value>, String> {
    let one = |text: &str| json!({ "content": text });
    let instances = match body.get("input") {
        Some(Value::String(text)) => vec![one(text)],
        Some(Value::Array(texts)) if !texts.is_empty() => {
            let texts = texts.iter().enumerate().map(|(at, text)| match text {
                Value::String(text) => Ok(one(text)),
                _ => Err(format!(
                    "`input` has no text at index {at}: vertex-ai takes texts only, and no numbers of tokens"
                )),
            });
            texts.collect::<Result<_, _>>()?
        }
        _ => return Err("`input` must be a text or a list of texts".to_owned()),
    };
    let mut question = Map::from_iter([("instances".to_owned(), Value::Array(instances))]);
    if let Some(dimensions) = body.get("dimensions") {
        question.insert("parameters".to_owned(), json!({ "outputDimensionality": dimensions }));
    }
    Ok(question)
}

/// Makes of an answer of Vertex AI's one of `OpenAI`'s.
pub(super) struct Answer {
    usage: Rc<Cell<Usage>>,
    /// The model that the client hears of.
    model: String,
    held: Held,
}

impl Answer {
    pub(super) fn new(usage: Rc<Cell<Usage>>, model: &str) -> Self {
        Self { usage, model: model.to_owned(), held: Held::default() }
    }

    fn translated(&self) -> Result<Value, &'static str> {
        let answer: Value = serde_json::from_slice(self.held.bytes()).map_err(|_| "is no JSON")?;
        let all = answer.get("predictions").and_then(Value::as_array).ok_or("has no predictions")?;
        let mut tokens = 0_u64;
        let mut data = Vec::with_capacity(all.len());
        for (index, one) in all.iter().enumerate() {
            let values = one.pointer("/embeddings/values").filter(|values| values.is_array());
            let values = values.ok_or("has a prediction without embeddings.values")?;
            // Counted in whole tokens, and written as 3.0 at times.
            let counted = one.pointer("/embeddings/statistics/token_count").and_then(Value::as_f64);
            tokens = tokens.saturating_add(counted.map_or(0, |counted| counted as u64));
            data.push(json!({ "object": "embedding", "index": index, "embedding": values }));
        }
        self.usage.set(Usage { prompt: tokens, total: tokens, known: true, ..Usage::default() });
        let usage = json!({ "prompt_tokens": tokens, "total_tokens": tokens });
        Ok(json!({ "object": "list", "data": data, "model": self.model, "usage": usage }))
    }
}

impl Translate for Answer {
    fn chunk(&mut self, bytes: &[u8]) -> Result<Vec<u8>, BodyError> {
        self.held.take(bytes)?;
        Ok(Vec::new())
    }

    fn end(&mut self) -> Result<Vec<u8>, BodyError> {
        Ok(self.translated().map_err(refused)?.to_string().into_bytes())
    }
}
