//! The body of a request: read up to a bound, then JSON or nothing.

use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::http::{HeaderMap, StatusCode, header};
use futures_util::StreamExt as _;
use serde_json::{Map, Value, json};

use super::answer::Answer;
use super::document::fill_plugins;

/// The largest body that is taken, in bytes: 1.5 MiB, as in APISIX.
pub(super) const MAX_BODY_BYTES: u64 = 1_572_864;

/// How much of a refused body is read away so that its sender gets to see the answer, in bytes.
const DRAIN_BYTES: u64 = 16 << 20;

/// How long a whole body may take.
const READ_WITHIN: Duration = Duration::from_secs(60);

/// How long reading away what is refused may take.
const DRAIN_WITHIN: Duration = Duration::from_secs(5);

/// A body on its way in.
pub(super) struct Incoming {
    stream: BodyDataStream,
    /// What `Content-Length` promises.
    announced: Option<u64>,
    seen: u64,
    ended: bool,
    /// The client sends nothing before it is told to, so there is nothing to read away.
    waits: bool,
}

impl Incoming {
    pub(super) fn new(headers: &HeaderMap, body: Body) -> Self {
        let announced = headers
            .get(header::CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok())
            // Digits that fit into no number are a size all the same.
            .map(|text| text.parse().unwrap_or(u64::MAX));
        let waits = headers.contains_key(header::EXPECT);
        Self { stream: body.into_data_stream(), announced, seen: 0, ended: false, waits }
    }

    /// The body as JSON; `None` where there is none. With `json_only`, it has to say by `Content-Type` that it is JSON.
    ///
    /// # Errors
    /// It is too large, too slow, cut off, or no JSON.
    pub(super) async fn json(
        &mut self,
        headers: &HeaderMap,
        json_only: bool,
    ) -> Result<Option<Value>, Answer> {
        let bytes = self.bytes().await?;
        if bytes.is_empty() {
            return Ok(None);
        }
        if json_only && !is_json(headers) {
            return Err(untyped());
        }
        serde_json::from_slice(&bytes).map(Some).map_err(|error| unreadable(&error, &bytes))
    }

    /// The body as a document: YAML where `Content-Type` says `application/yaml`, else JSON, which has to be said with `json_only`.
    ///
    /// # Errors
    /// As for [`Incoming::json`], and where there is none, or it holds no members.
    pub(super) async fn document(
        &mut self,
        headers: &HeaderMap,
        json_only: bool,
    ) -> Result<Map<String, Value>, Answer> {
        let bytes = self.bytes().await?;
        if bytes.is_empty() {
            return Err(Answer::bad("invalid request body: empty request body"));
        }
        let is_yaml = essence(headers) == "application/yaml";
        let value = if is_yaml {
            yaml(&bytes)?
        } else if json_only && !is_json(headers) {
            return Err(untyped());
        } else {
            serde_json::from_slice(&bytes).map_err(|error| no_document(&error))?
        };
        match value {
            Value::Object(mut members) => {
                if is_yaml {
                    fill_plugins(&mut members);
                }
                Ok(members)
            }
            _ => Err(no_document(&"expected an object of lists, such as {\"routes\": []}")),
        }
    }

    async fn bytes(&mut self) -> Result<Vec<u8>, Answer> {
        match tokio::time::timeout(READ_WITHIN, self.read()).await {
            Ok(bytes) => bytes,
            Err(_) => Err(Answer::error(
                StatusCode::REQUEST_TIMEOUT,
                format!("invalid request body: it did not arrive within {} seconds", READ_WITHIN.as_secs()),
            )),
        }
    }

    async fn read(&mut self) -> Result<Vec<u8>, Answer> {
        if let Some(size) = self.announced.filter(|size| *size > MAX_BODY_BYTES) {
            return Err(too_large(size));
        }
        self.waits = false;
        let mut bytes = Vec::new();
        while let Some(chunk) = self.stream.next().await {
            let Ok(chunk) = chunk else {
                self.ended = true;
                return Err(Answer::bad("invalid request body: it ended too early"));
            };
            self.seen += chunk.len() as u64;
            if self.seen > DRAIN_BYTES {
                return Err(too_large(self.seen));
            }
            // Beyond the limit it is only counted, so that the sentence can name the size.
            if self.seen <= MAX_BODY_BYTES {
                bytes.extend_from_slice(&chunk);
            } else {
                bytes = Vec::new();
            }
        }
        self.ended = true;
        if self.seen > MAX_BODY_BYTES { Err(too_large(self.seen)) } else { Ok(bytes) }
    }

    /// Whether more is announced than is even read away.
    pub(super) fn is_endless(&self) -> bool {
        self.announced.is_some_and(|size| size > DRAIN_BYTES)
    }

    /// Reads away what nobody has asked for, within bounds.
    pub(super) async fn drain(&mut self) {
        // What is announced to be more than is read away isn't waited for at all.
        if self.ended || self.waits || self.is_endless() {
            return;
        }
        let rest = async {
            while let Some(Ok(chunk)) = self.stream.next().await {
                self.seen += chunk.len() as u64;
                if self.seen > DRAIN_BYTES {
                    return;
                }
            }
        };
        // Whoever is slower than that has to do without the answer.
        let _ = tokio::time::timeout(DRAIN_WITHIN, rest).await;
    }
}

fn too_large(size: u64) -> Answer {
    // APISIX's own bound is answered with 400; nginx's in front of it with 413.
    let status = if size > DRAIN_BYTES { StatusCode::PAYLOAD_TOO_LARGE } else { StatusCode::BAD_REQUEST };
    let sentence = format!(
        "invalid request body: request size {size} is greater than the maximum size {MAX_BODY_BYTES} allowed"
    );
    Answer::error(status, sentence)
}

/// 415 where a body has to say what it is, because no key keeps pages out.
fn untyped() -> Answer {
    Answer::error(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "a body has to come with Content-Type: application/json",
    )
}

/// 400 with what is wrong and the body, as APISIX has it.
fn unreadable(error: &dyn std::fmt::Display, bytes: &[u8]) -> Answer {
    Answer::json(
        StatusCode::BAD_REQUEST,
        &json!({
            "error_msg": format!("invalid request body: {error}"),
            "req_body": String::from_utf8_lossy(bytes),
        }),
    )
}

/// 400 with what is wrong. A whole configuration isn't shown again: keys stand in it.
fn no_document(error: &dyn std::fmt::Display) -> Answer {
    Answer::bad(format!("invalid request body: {error}"))
}

/// YAML with the parser's budgets on, so that a few aliases can't stand for gigabytes.
fn yaml(bytes: &[u8]) -> Result<Value, Answer> {
    let text = std::str::from_utf8(bytes).map_err(|error| no_document(&error))?;
    serde_saphyr::from_str(text).map_err(|error| no_document(error.without_snippet()))
}

/// `application/json`, or a type that is written in it.
fn is_json(headers: &HeaderMap) -> bool {
    let essence = essence(headers);
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

/// The media type without its parameters.
fn essence(headers: &HeaderMap) -> String {
    let named = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    named.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}
