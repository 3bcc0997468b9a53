//! What comes back for a message that was posted: one JSON message, or a stream of events with one each.

use std::pin::Pin;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Response, StatusCode};
use serde_json::Value;
use sse_stream::SseStream;

/// Bytes of a message.
const MOST: usize = 4 * 1024 * 1024;

/// An answer that is being read.
pub(super) enum Answer {
    Events(Pin<Box<dyn Stream<Item = Result<String, String>> + Send>>),
    Whole(Option<(StatusCode, Pieces)>),
}

type Pieces = Pin<Box<dyn Stream<Item = Result<Bytes, reqwest::Error>> + Send>>;

/// Why an answer ended before its end.
#[derive(Debug)]
pub(super) enum Broken {
    /// The connection, in words.
    Connection(String),
    /// It was no answer of the protocol: its status and the beginning of its text.
    Refused(StatusCode, String),
    /// A message was longer than [`MOST`].
    TooLong,
}

impl Answer {
    pub(super) fn of(response: Response) -> Self {
        let kind =
            response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if kind.starts_with("text/event-stream") {
            let events = SseStream::from_bytes_stream(response.bytes_stream());
            return Self::Events(Box::pin(events.map(|event| match event {
                Ok(event) => Ok(event.data.unwrap_or_default()),
                Err(error) => Err(error.to_string()),
            })));
        }
        Self::Whole(Some((response.status(), Box::pin(response.bytes_stream()))))
    }

    /// The next message; nothing at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Value>, Broken> {
        match self {
            Self::Events(events) => {
                while let Some(data) = events.next().await {
                    let data = data.map_err(Broken::Connection)?;
                    if data.len() > MOST {
                        return Err(Broken::TooLong);
                    }
                    // An event without a message only keeps the stream awake.
                    if let Ok(message) = serde_json::from_str(&data) {
                        return Ok(Some(message));
                    }
                }
                Ok(None)
            }
            Self::Whole(whole) => match whole.take() {
                Some((status, pieces)) => whole_message(status, pieces).await,
                None => Ok(None),
            },
        }
    }
}

async fn whole_message(status: StatusCode, mut pieces: Pieces) -> Result<Option<Value>, Broken> {
    let mut body = Vec::new();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|error| Broken::Connection(error.to_string()))?;
        if body.len() + piece.len() > MOST {
            return Err(Broken::TooLong);
        }
        body.extend_from_slice(&piece);
    }
    match serde_json::from_slice::<Value>(&body) {
        // Errors of the protocol come with a status of 4xx and are passed on as they are.
        Ok(message) if message.get("jsonrpc").is_some() => Ok(Some(message)),
        _ if status.is_success() => Ok(None),
        _ => {
            let said = String::from_utf8_lossy(&body);
            Err(Broken::Refused(
                status,
                said.chars().filter(|letter| !letter.is_control()).take(200).collect(),
            ))
        }
    }
}
