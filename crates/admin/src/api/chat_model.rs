//! `chat/model`: which model leads the built-in chat, chosen and tried at runtime. What the settings name stands over a choice.

use std::time::{Duration, Instant};

use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use usher_model::secret::Secret;

use super::answer::Answer;
use super::chat::off;
use super::endpoint::{Call, Nothing};
use super::refusal::Refusal;
use crate::service::{ModelApi, ModelInfo, NewModel};
use crate::talk::FixedModel;

/// How long a model that is tried may take.
const WITHIN: Duration = Duration::from_secs(60);

/// A model as somebody wants it.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ModelRequest {
    /// Where it answers, such as `https://api.openai.com/v1` or `http://127.0.0.1:11434/v1`.
    url: String,
    /// Its name there, such as `gpt-5`.
    name: String,
    /// How it is asked; left out: as the address says, which is messages at api.anthropic.com and completions elsewhere.
    #[serde(default)]
    api: Option<ModelApi>,
    /// Its key. Left out, the one that is stored stays, if it is for the same scheme, host and port; empty: it has none.
    #[serde(default)]
    key: Option<Secret<String>>,
}

/// Which model is to be tried.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TryRequest {
    /// A model as it would be chosen; left out: the one that leads the chat.
    model: Option<ModelRequest>,
}

/// Which model leads the chat.
#[derive(Serialize, JsonSchema)]
pub(super) struct ChatModel {
    /// What names the model where it isn't a choice: `chat.model of the settings` or `USHER_MODEL_URL of the environment`. A choice doesn't hold
    /// as long as it does; null: a choice holds.
    fixed_by: Option<&'static str>,
    /// The model; null: the chat understands plain sentences.
    model: Option<ModelShape>,
}

/// A model.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Model")]
pub(super) struct ModelShape {
    /// Where it answers.
    url: String,
    /// Its name there.
    name: String,
    /// How it is asked; null: as the address says.
    api: Option<ModelApi>,
    /// `***` and a tag by which two keys can be told apart; null: it has no key.
    key: Option<String>,
    /// Who chose it; null where the settings name it.
    by: Option<String>,
    /// When, in milliseconds since 1970.
    since_unix_ms: Option<u64>,
}

/// What came back of a model that was tried.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "TriedModel")]
pub(super) struct Heard {
    /// Its words, cut at 1,000 characters.
    answer: String,
    /// How long it took, in milliseconds.
    took_ms: u64,
}

/// `GET /chat/model`.
pub(super) async fn read(call: Call, _: Nothing, _: Nothing) -> Result<Answer<ChatModel>, Refusal> {
    let Some(talk) = &call.talk else { return Err(off()) };
    let chosen = call.service.show_model(&call.who).await?;
    Ok(Answer::ok(match talk.fixed() {
        Some(fixed) => ChatModel { fixed_by: Some(fixed.by), model: Some(ModelShape::fixed(fixed)) },
        None => ChatModel { fixed_by: None, model: chosen.map(ModelShape::of) },
    }))
}

/// `PUT /chat/model`.
pub(super) async fn choose(
    call: Call,
    _: Nothing,
    request: ModelRequest,
) -> Result<Answer<ChatModel>, Refusal> {
    is_free(&call)?;
    let model = call.service.choose_model(&call.who, request.wanted()).await?;
    Ok(Answer::ok(ChatModel { fixed_by: None, model: Some(ModelShape::of(model)) }))
}

/// `DELETE /chat/model`.
pub(super) async fn forget(call: Call, _: Nothing, _: Nothing) -> Result<Answer<ChatModel>, Refusal> {
    is_free(&call)?;
    call.service.forget_model(&call.who).await?;
    Ok(Answer::ok(ChatModel { fixed_by: None, model: None }))
}

/// `POST /chat/model/try`.
pub(super) async fn attempt(call: Call, _: Nothing, request: TryRequest) -> Result<Answer<Heard>, Refusal> {
    let Some(talk) = call.talk.clone() else { return Err(off()) };
    let model = match request.model {
        Some(wanted) => {
            let wanted = call.service.judge_model(&call.who, wanted.wanted()).await;
            Some(wanted.map_err(|error| Refusal::from(error).inside("/model"))?)
        }
        None => None,
    };
    let (name, url) = match (&model, talk.fixed()) {
        (Some(model), _) => (model.name.clone(), model.url.clone()),
        (None, Some(fixed)) => (fixed.name, fixed.url),
        (None, None) => match call.service.show_model(&call.who).await? {
            Some(chosen) => (chosen.name, chosen.url),
            None => {
                let message = "no model leads the chat, so that there is none to try";
                return Err(Refusal::not_found(message).next("name one as `model`, or choose one first"));
            }
        },
    };
    // Before it is asked: a request goes out on this person's word.
    call.service.model_tried(&call.who, &name, &url).await;
    let began = Instant::now();
    let heard = tokio::time::timeout(WITHIN, talk.attempt(model)).await;
    let heard = heard.unwrap_or_else(|_| {
        Err(format!("the model did not answer within {} s; name a faster one", WITHIN.as_secs()))
    });
    let answer = heard.map_err(|sentence| {
        Refusal::new(StatusCode::BAD_GATEWAY, "model_failed", sentence)
            .next("mend the address, the name or the key, and try it again; nothing was stored")
    })?;
    let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(Answer::ok(Heard { answer, took_ms }))
}

/// Refuses a choice that would not hold.
fn is_free(call: &Call) -> Result<(), Refusal> {
    let Some(talk) = &call.talk else { return Err(off()) };
    let Some(fixed) = talk.fixed() else { return Ok(()) };
    let FixedModel { name, by, .. } = fixed;
    let message = format!("{by} names the model {name}, and that stands over every choice");
    Err(Refusal::new(StatusCode::CONFLICT, "fixed", message)
        .next("take it out there and start Usher again, or change it there"))
}

impl ModelRequest {
    fn wanted(self) -> NewModel {
        let Self { url, name, api, key } = self;
        NewModel { url, name, api, key }
    }
}

impl ModelShape {
    fn of(model: ModelInfo) -> Self {
        let ModelInfo { url, name, api, key, by, since_unix_ms } = model;
        Self { url, name, api, key, by: Some(by), since_unix_ms: Some(since_unix_ms) }
    }

    fn fixed(model: FixedModel) -> Self {
        let FixedModel { url, name, api, has_key, .. } = model;
        let key = has_key.then(|| "***".to_owned());
        Self { url, name, api: Some(api), key, by: None, since_unix_ms: None }
    }
}
