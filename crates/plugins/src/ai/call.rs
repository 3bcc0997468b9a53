//! One request to a model, from the client's JSON to the last word of the answer.

use std::rc::Rc;
use std::time::Duration;

use serde_json::{Map, Value};
use usher_pipeline::body::BodyStep;
use usher_pipeline::exchange::{AnsweredBy, Exchange};
use usher_pipeline::reply::Reply;

use super::config::Asking;
use super::instance::Instance;
use super::protocol::Protocol;
use super::usage::{Bounds, Meter, Telling};
use super::{asked, object};

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
        Some(protocol) => Ok((body, protocol)),
        None => Err(Reply::message(400, "no matching AI protocol for the request")),
    }
}

/// Sends the request to this instance.
///
/// # Errors
/// The answer to what it can't be asked.
pub(crate) fn send(
    exchange: &mut Exchange,
    instance: &Instance,
    body: Map<String, Value>,
    protocol: Protocol,
) -> Result<(), Box<Reply>> {
    let asked_for = instance.ask(exchange, body, protocol);
    asked_for.map_err(|sentence| Box::new(Reply::message(400, &sentence)))?;
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
    let kind = exchange.answer.get_str("content-type").unwrap_or_default();
    let streams = kind.starts_with("text/event-stream");
    let bounds = Bounds {
        bytes: asking.max_response_bytes,
        time: asking.max_stream_duration_ms.map(Duration::from_millis),
    };
    let started = known.since.unwrap_or(exchange.times.start);
    let told = Telling { usage: known.usage, first_word: known.first_word };
    Some(Box::new(Meter::new(told, Rc::clone(exchange.worker()), started, bounds, streams)))
}

/// Tells loggers what the answer cost, and that the request is over.
pub(crate) fn tell(exchange: &mut Exchange) {
    let known = asked(exchange);
    known.under_way = None;
    let (usage, first_word) = (known.usage.get(), known.first_word.get());
    if let Some(took) = first_word {
        exchange.set_variable("llm_time_to_first_token", took.as_millis().to_string());
    }
    if usage.known {
        exchange.set_variable("llm_prompt_tokens", usage.prompt.to_string());
        exchange.set_variable("llm_completion_tokens", usage.completion.to_string());
        exchange.set_variable("llm_total_tokens", usage.total.to_string());
    }
}
