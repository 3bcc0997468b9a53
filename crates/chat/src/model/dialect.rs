//! The three ways in which models are asked: chat completions, OpenAI's responses, and Anthropic's messages.
//!
//! A conversation is kept as chat completions have it, and put into another form where it is sent. What comes back is one [`Answer`] in all of them.

use std::io;

use bytes::Bytes;
use futures_util::Stream;
use reqwest::RequestBuilder;
use serde_json::{Value, json};

use super::answer::{self, Answer, Problem};
use super::{Functions, messages, responses, stream};
use crate::assistant::{ModelApi, ModelOptions};

/// The revision of Anthropic's API that is spoken.
const ANTHROPIC_VERSION: &str = "2023-06-01";

/// What is told apart by its path's end, and what its address is completed with.
const fn tail(api: ModelApi) -> &'static str {
    match api {
        ModelApi::Completions => "/chat/completions",
        ModelApi::Responses => "/responses",
        ModelApi::Messages => "/messages",
    }
}

/// Which way is spoken at an address, where nobody said it: its path's end tells, or a host that is known for one.
pub(crate) fn spoken(options: &ModelOptions) -> ModelApi {
    if let Some(api) = options.api {
        return api;
    }
    let Ok(url) = reqwest::Url::parse(options.base_url.trim()) else { return ModelApi::Completions };
    let path = url.path().trim_end_matches('/');
    let all = [ModelApi::Completions, ModelApi::Responses, ModelApi::Messages];
    match all.into_iter().find(|api| path.ends_with(tail(*api))) {
        Some(api) => api,
        None if url.host_str() == Some("api.anthropic.com") => ModelApi::Messages,
        None => ModelApi::Completions,
    }
}

/// Where answers are asked for.
pub(super) fn endpoint(base: &str, api: ModelApi) -> Result<reqwest::Url, String> {
    let mut url = reqwest::Url::parse(base.trim()).map_err(|error| error.to_string())?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("only http and https are spoken".to_owned());
    }
    let path = url.path().trim_end_matches('/').to_owned();
    if !path.ends_with(tail(api)) {
        let version = if path.is_empty() { "/v1" } else { "" };
        url.set_path(&format!("{path}{version}{}", tail(api)));
    }
    Ok(url)
}

/// A request with what the server wants to see beside its body.
pub(super) fn signed(request: RequestBuilder, api: ModelApi, key: Option<&str>) -> RequestBuilder {
    match (api, key) {
        (ModelApi::Messages, key) => {
            let request = request.header("anthropic-version", ANTHROPIC_VERSION);
            key.into_iter().fold(request, |request, key| request.header("x-api-key", key))
        }
        (_, Some(key)) => request.bearer_auth(key),
        (_, None) => request,
    }
}

/// What is asked.
pub(super) fn body(
    options: &ModelOptions,
    api: ModelApi,
    said: &[Value],
    functions: &Functions,
    strict: bool,
) -> Value {
    match api {
        ModelApi::Completions => json!({
            "model": options.model, "messages": said, "tools": functions.offered(strict), "stream": options.stream,
        }),
        ModelApi::Responses => responses::body(options, said, functions, strict),
        ModelApi::Messages => messages::body(options, said, functions),
    }
}

/// Reads a whole answer.
pub(super) fn read(api: ModelApi, body: &[u8]) -> Result<Answer, Problem> {
    match api {
        ModelApi::Completions => answer::read(body),
        ModelApi::Responses => responses::read(&answer::parsed(body)?),
        ModelApi::Messages => messages::read(&answer::parsed(body)?),
    }
}

/// Reads an answer that comes in pieces.
pub(super) async fn read_stream(
    api: ModelApi,
    chunks: impl Stream<Item = Result<Bytes, io::Error>> + Unpin,
) -> Result<Answer, Problem> {
    match api {
        ModelApi::Completions => stream::read(chunks).await,
        ModelApi::Responses => responses::read_stream(chunks).await,
        ModelApi::Messages => messages::read_stream(chunks).await,
    }
}

#[cfg(test)]
mod tests {
    use super::{ModelApi, ModelOptions, endpoint, spoken};

    #[test]
    fn the_address_is_completed_as_far_as_it_needs_to_be() {
        for (base, api, wanted) in [
            (
                "https://api.openai.com/v1",
                ModelApi::Completions,
                "https://api.openai.com/v1/chat/completions",
            ),
            (
                "https://api.openai.com/v1/",
                ModelApi::Completions,
                "https://api.openai.com/v1/chat/completions",
            ),
            ("http://localhost:11434", ModelApi::Completions, "http://localhost:11434/v1/chat/completions"),
            (
                "https://a.test/openai/deployments/x",
                ModelApi::Completions,
                "https://a.test/openai/deployments/x/chat/completions",
            ),
            (
                "https://a.test/x/chat/completions?api-version=1",
                ModelApi::Completions,
                "https://a.test/x/chat/completions?api-version=1",
            ),
            (
                "https://api.openai.com/v1/responses",
                ModelApi::Responses,
                "https://api.openai.com/v1/responses",
            ),
            ("https://api.anthropic.com", ModelApi::Messages, "https://api.anthropic.com/v1/messages"),
            ("http://127.0.0.1:1/v1/messages", ModelApi::Messages, "http://127.0.0.1:1/v1/messages"),
        ] {
            let options = ModelOptions {
                base_url: base.to_owned(),
                api_key: None,
                model: "m".to_owned(),
                stream: false,
                api: None,
            };
            assert_eq!(spoken(&options), api, "{base}");
            assert_eq!(endpoint(base, api).unwrap().as_str(), wanted, "{base}");
            let said = ModelOptions { api: Some(ModelApi::Responses), ..options };
            assert_eq!(spoken(&said), ModelApi::Responses);
        }
        for base in ["ftp://a.test", "a.test"] {
            assert!(endpoint(base, ModelApi::Completions).is_err(), "{base}");
        }
    }
}
