//! `chat`: the built-in chat as a stream of events, for the console and whoever else shows a conversation.

use std::convert::Infallible;

use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use futures_util::{StreamExt as _, stream};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::answer::{Answer, Bare};
use super::endpoint::{Call, Nothing};
use super::refusal::Refusal;
use crate::talk::{Spoken, TalkError, TalkEvent};

/// Characters of a sentence.
const LONGEST: usize = 4_000;

/// A sentence.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Sentence {
    /// What is said, at most 4,000 characters.
    sentence: String,
    /// The conversation that it goes on; a new one begins where it is left out.
    #[serde(default)]
    conversation: Option<String>,
}

/// An answer to a question.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Answered {
    /// The question's id, from the event `question`.
    question: String,
    /// Whether the person agrees.
    agree: bool,
}

/// What came of an answer.
#[derive(Serialize, JsonSchema)]
pub(super) struct Taken {
    /// Whether it was taken as a yes.
    agreed: bool,
}

/// What came of stopping a sentence.
#[derive(Serialize, JsonSchema)]
pub(super) struct Stopped {
    /// Whether there was one.
    stopped: bool,
}

/// `POST /chat`.
pub(super) async fn say(call: Call, _: Nothing, said: Sentence) -> Result<Answer<Bare>, Refusal> {
    let Some(talk) = &call.talk else { return Err(off()) };
    let length = said.sentence.chars().count();
    if said.sentence.trim().is_empty() || length > LONGEST {
        let message = format!("a sentence has 1 to {LONGEST} characters, not {length}");
        return Err(Refusal::invalid(message).at("/sentence"));
    }
    let spoken = talk.say(&call.who, said.conversation.as_deref(), &said.sentence).map_err(|error| {
        let message = error.to_string();
        match error {
            TalkError::Unknown(_) => Refusal::not_found(message).at("/conversation"),
            TalkError::Busy => Refusal::new(StatusCode::CONFLICT, "conflict", message),
            TalkError::NoModel(_) => Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "no_model", message),
            TalkError::TooMany => {
                Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "too_many", message).retry_after(60)
            }
        }
    })?;
    Ok(streamed(spoken))
}

/// `GET /chat/conversations/{conversation}`.
pub(super) async fn hear(call: Call, _: Nothing, _: Nothing) -> Result<Answer<Bare>, Refusal> {
    let Some(talk) = &call.talk else { return Err(off()) };
    talk.hear(&call.who, call.parameter("conversation")).map(streamed).map_err(|error| unknown(&error))
}

/// `DELETE /chat/conversations/{conversation}`.
pub(super) async fn stop(call: Call, _: Nothing, _: Nothing) -> Result<Answer<Stopped>, Refusal> {
    let Some(talk) = &call.talk else { return Err(off()) };
    let stopped = talk.stop(&call.who, call.parameter("conversation")).map_err(|error| unknown(&error))?;
    Ok(Answer::ok(Stopped { stopped }))
}

fn unknown(error: &TalkError) -> Refusal {
    Refusal::not_found(error.to_string()).at("conversation").next("say a sentence without one to begin anew")
}

/// The events of a conversation, as they come.
fn streamed(spoken: Spoken) -> Answer<Bare> {
    let first = TalkEvent::Conversation { id: spoken.conversation };
    let events = stream::iter([first]).chain(spoken.events);
    Answer::bare(
        "text/event-stream",
        Body::from_stream(events.map(|event| Ok::<Bytes, Infallible>(written(&event)))),
    )
}

/// `POST /chat/answers`.
pub(super) async fn answer(call: Call, _: Nothing, answered: Answered) -> Result<Answer<Taken>, Refusal> {
    let Some(talk) = &call.talk else { return Err(off()) };
    if talk.answer(&call.who, &answered.question, answered.agree) {
        return Ok(Answer::ok(Taken { agreed: answered.agree }));
    }
    Err(Refusal::not_found("this question isn't open: it was answered, is too old, or is another's")
        .at("/question")
        .next("say the sentence again"))
}

pub(super) fn off() -> Refusal {
    Refusal::not_found("the built-in chat isn't served here").next("use `usher chat`")
}

/// An event as the standard of server-sent events has it. JSON holds no line end of its own.
fn written(event: &TalkEvent) -> Bytes {
    let data = serde_json::to_string(event).unwrap_or_default();
    format!("event: {}\ndata: {data}\n\n", event.name()).into()
}
