//! One request to a model, from the client's JSON to the last word of the answer.

use std::rc::Rc;
use std::time::Duration;

use serde_json::{Map, Value, json};
use usher_pipeline::body::BodyStep;
use usher_pipeline::exchange::{AnsweredBy, Exchange};
use usher_pipeline::reply::Reply;

use super::config::Asking;
use super::instance::Instance;
use super::protocol::{Protocol, streams};
use super::translate::{self, Translation};
use super::usage::{Bounds, Meter, Telling, Way};
use super::{Asked, asked, object};

/// How much of what is said and answered log lines hold, in bytes.
pub(super) const MOST_HEARD: usize = 64 << 10;

/// What the client asks, and in which protocol.
///
/// # Errors
/// The answer to a request that is none.
pub(crate) async fn read(
    exchange: &mut Exchange,
    asking: &Asking,
) -> Result<(Map<String, Value>, Protocol), Reply> {
    let kind = exchange.request.head.get_str("content-type").unwrap_or("application/json");
    if !kind.starts_with("application/json") {
        return Err(Reply::message(
            400,
            &format!("unsupported content-type: {kind}, only application/json is supported"),
        ));
    }
    let body = object(exchange, asking.max_req_body_size).await?;
    match Protocol::of(&exchange.request, &body) {
        Some(protocol) => {
            if asking.logging.payloads {
                let known = asked(exchange);
                known.said = Some(said(&body).into());
                known.heard = Some(Rc::default());
            }
            Ok((body, protocol))
        }
        None => Err(Reply::message(400, "no matching AI protocol for the request")),
    }
}

/// Sends the request to this instance.
///
/// # Errors
/// The answer to what it can't be asked.
pub(crate) async fn send(
    exchange: &mut Exchange,
    instance: &Instance,
    body: Map<String, Value>,
    protocol: Protocol,
) -> Result<(), Box<Reply>> {
    instance.ask(exchange, body, protocol).await?;
    let now = exchange.worker().now();
    let known = asked(exchange);
    known.instance = Some(std::sync::Arc::clone(&instance.name));
    known.since = Some(now);
    known.first_word = Rc::default();
    // Whoever was asked before is no longer.
    known.under_way = None;
    let under_way = instance.models.begin(exchange);
    asked(exchange).under_way = Some(Rc::new(under_way));
    Ok(())
}

/// Reads what the answer costs as it passes.
pub(crate) fn meter(exchange: &mut Exchange, asking: &Asking) -> Option<Box<dyn BodyStep>> {
    let by_upstream = exchange.answered_by == AnsweredBy::Upstream;
    let known = asked(exchange).clone();
    if !by_upstream || known.instance.is_none() {
        return None;
    }
    let way = Way::of(exchange.answer.get_str("content-type").unwrap_or_default());
    let bounds = Bounds {
        bytes: asking.max_response_bytes,
        time: asking.max_stream_duration_ms.map(Duration::from_millis),
    };
    let started = known.since.unwrap_or(exchange.times.start);
    let Asked { usage, first_word, heard, counted, .. } = known.clone();
    let told = Telling { usage, first_word, heard, counted };
    let is_good = exchange.answer.status() == 200;
    let translation = if is_good { known.translation } else { Translation::None };
    let meter = Meter::new(told, Rc::clone(exchange.worker()), started, bounds, way);
    Some(translate::step(translation, meter, way, &known.request_model))
}

/// What a client says, as JSON: the conversation, or its beginning as a text where it is long.
fn said(body: &Map<String, Value>) -> String {
    let messages = body.get("messages").or_else(|| body.get("input")).unwrap_or(&Value::Null);
    let text = messages.to_string();
    let messages = if text.len() <= MOST_HEARD { messages.clone() } else { beginning(&text).into() };
    json!({ "messages": messages, "stream": streams(body) }).to_string()
}

/// As much of a text as log lines hold.
pub(super) fn beginning(text: &str) -> &str {
    let end = (0..=MOST_HEARD.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    end.and_then(|end| text.get(..end)).unwrap_or_default()
}

/// Tells loggers what the answer cost, and that the request is over.
pub(crate) fn tell(exchange: &mut Exchange, asking: &Asking) {
    let known = asked(exchange);
    known.under_way = None;
    if known.instance.is_none() {
        return;
    }
    let (usage, first_word) = (known.usage.get(), known.first_word.get());
    let (said, heard) = (known.said.take(), known.heard.take());
    if asking.logging.summaries {
        let summary = json!({
            "model": &*known.model,
            "duration": first_word.map(|took| took.as_millis() as f64),
            "prompt_tokens": usage.prompt,
            "completion_tokens": usage.completion,
        });
        exchange.set_variable("llm_summary", summary.to_string());
    }
    if let Some(said) = said {
        exchange.set_variable("llm_request", &*said);
    }
    if let Some(heard) = heard {
        let heard = json!({ "content": &*heard.borrow() });
        exchange.set_variable("llm_response_text", heard.to_string());
    }
    if let Some(took) = first_word {
        exchange.set_variable("llm_time_to_first_token", took.as_millis().to_string());
    }
    if usage.known {
        exchange.set_variable("llm_prompt_tokens", usage.prompt.to_string());
        exchange.set_variable("llm_completion_tokens", usage.completion.to_string());
        exchange.set_variable("llm_total_tokens", usage.total.to_string());
    }
}
