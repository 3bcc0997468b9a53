//! A model's message that comes in pieces, as server-sent events.

use std::io;
use std::pin::pin;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use serde_json::Value;
use sse_stream::SseStream;

use super::answer::{Answer, Call, Problem, arguments, failure, text, usage};

/// Calls that are put together at the same time.
const MOST_CALLS: usize = 64;

/// The message so far.
#[derive(Default)]
struct Pieces {
    answer: Answer,
    /// Where each call stands in the message.
    places: Vec<u64>,
    is_finished: bool,
}

/// Reads a stream to its end.
pub(super) async fn read(
    chunks: impl Stream<Item = Result<Bytes, io::Error>> + Unpin,
) -> Result<Answer, Problem> {
    let mut pieces = Pieces::default();
    let ended = events(chunks, |event| pieces.add(event)).await?;
    pieces.is_finished |= ended;
    if !pieces.is_finished {
        return Err(Problem::Cut("the stream ends without an end".to_owned()));
    }
    Ok(pieces.answer.with_ids())
}

/// Hands over each event of a stream, until one is said to be the last. Whether the last one came.
pub(super) async fn events(
    chunks: impl Stream<Item = Result<Bytes, io::Error>> + Unpin,
    mut take: impl FnMut(&Value) -> Result<bool, Problem>,
) -> Result<bool, Problem> {
    let mut events = pin!(SseStream::from_bytes_stream(chunks));
    while let Some(event) = events.next().await {
        let event = event.map_err(|error| Problem::Cut(error.to_string()))?;
        let Some(data) = event.data.filter(|data| !data.trim().is_empty()) else { continue };
        if data.trim() == "[DONE]" {
            return Ok(true);
        }
        let Ok(event) = serde_json::from_str::<Value>(&data) else {
            let begin: String = data.chars().take(80).collect();
            return Err(Problem::Nonsense(format!("an event is no JSON: {begin}")));
        };
        if take(&event)? {
            return Ok(true);
        }
    }
    Ok(false)
}

impl Pieces {
    /// Whether it was the last one is said by the stream's end.
    fn add(&mut self, event: &Value) -> Result<bool, Problem> {
        if event.get("error").is_some_and(|error| !error.is_null()) {
            return Err(failure(event));
        }
        self.answer.tokens = usage(event).or(self.answer.tokens);
        // The last event of some servers has no choices but numbers about tokens.
        let Some(choice) = event.pointer("/choices/0") else { return Ok(false) };
        if let Some(reason) = choice.get("finish_reason").and_then(Value::as_str) {
            self.is_finished = true;
            self.answer.is_cut = reason == "length";
        }
        // Some servers send the whole message in one event.
        let Some(delta) = choice.get("delta").or_else(|| choice.get("message")) else { return Ok(false) };
        self.answer.text.push_str(&text(delta.get("content")));
        self.answer.text.push_str(&text(delta.get("refusal")));
        for piece in delta.get("tool_calls").and_then(Value::as_array).into_iter().flatten() {
            self.call(piece);
        }
        Ok(false)
    }

    fn call(&mut self, piece: &Value) {
        let id = piece.get("id").and_then(Value::as_str).unwrap_or_default();
        let function = piece.get("function");
        let name = function.and_then(|function| function.get("name")?.as_str()).unwrap_or_default();
        let index = piece.get("index").and_then(Value::as_u64);
        let place = match index {
            Some(index) => self.places.iter().rposition(|place| *place == index),
            // Without a number a piece belongs to the call with its id, else to the last one.
            None if !id.is_empty() => self.answer.calls.iter().rposition(|call| call.id == id),
            None => self.answer.calls.len().checked_sub(1),
        };
        // Some servers count every call as the first; another id and a name begin a new one.
        let place = place.filter(|at| {
            self.answer
                .calls
                .get(*at)
                .is_some_and(|call| id.is_empty() || name.is_empty() || call.id.is_empty() || call.id == id)
        });
        let at = match place {
            Some(at) => at,
            None if self.answer.calls.len() >= MOST_CALLS => return,
            None => {
                self.answer.calls.push(Call::default());
                self.places.push(index.unwrap_or(self.answer.calls.len() as u64));
                self.answer.calls.len() - 1
            }
        };
        let Some(call) = self.answer.calls.get_mut(at) else { return };
        if call.id.is_empty() {
            id.clone_into(&mut call.id);
        }
        if call.name.is_empty() {
            name.clone_into(&mut call.name);
        }
        call.arguments.push_str(&arguments(function.and_then(|function| function.get("arguments"))));
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures_util::stream;

    use super::super::answer::{Answer, Call, Problem};
    use super::read;

    async fn streamed(text: &str, size: usize) -> Result<Answer, Problem> {
        let chunks: Vec<_> =
            text.as_bytes().chunks(size).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
        read(stream::iter(chunks)).await
    }

    fn events(data: &[&str]) -> String {
        data.iter().map(|data| format!("data: {data}\n\n")).collect()
    }

    #[tokio::test]
    async fn pieces_are_put_together_whatever_the_chunks() {
        let text = events(&[
            r#"{"choices":[{"delta":{"role":"assistant","content":"Loo"}}]}"#,
            r#"{"choices":[{"delta":{"content":"king ü"}}]}"#,
            r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{\"x\""}}]}}]}"#,
            r#"{"choices":[{"delta":{"tool_calls":[{"index":1,"id":"b","function":{"name":"g","arguments":""}}]}}]}"#,
            r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":":1}"}},{"index":1,"function":{"arguments":"{}"}}]}}]}"#,
            r#"{"choices":[{"delta":{},"finish_reason":"tool_calls"}]}"#,
            r#"{"choices":[],"usage":{"total_tokens":3}}"#,
            "[DONE]",
        ]);
        let call = |id: &str, name: &str, arguments: &str| Call {
            id: id.to_owned(),
            name: name.to_owned(),
            arguments: arguments.to_owned(),
        };
        let wanted = Answer {
            text: "Looking ü".to_owned(),
            calls: vec![call("a", "f", "{\"x\":1}"), call("b", "g", "{}")],
            is_cut: false,
            tokens: Some(3),
        };
        for size in [1, 7, 64, 100_000] {
            assert_eq!(streamed(&text, size).await, Ok(wanted.clone()), "chunks of {size}");
        }
    }

    #[tokio::test]
    async fn odd_servers_are_understood() {
        let both_first = events(&[
            r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{}"}}]}}]}"#,
            r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"b","function":{"name":"g","arguments":"{}"}}]},"finish_reason":"stop"}]}"#,
        ]);
        let names = |answer: Answer| answer.calls.into_iter().map(|call| call.name).collect::<Vec<_>>();
        assert_eq!(names(streamed(&both_first, 50).await.unwrap()), ["f", "g"]);
        let unnumbered = events(&[
            r#"{"choices":[{"delta":{"tool_calls":[{"id":"a","function":{"name":"f","arguments":{"x":1}}}]}}]}"#,
            r#"{"choices":[{"delta":{"tool_calls":[{"id":"b","function":{"name":"g"}},{"function":{"arguments":"{}"}}]}}]}"#,
            "[DONE]",
        ]);
        let answer = streamed(&unnumbered, 50).await.unwrap();
        assert_eq!(answer.calls[1].arguments, "{}");
        assert_eq!(names(answer), ["f", "g"]);
        let whole = events(&[r#"{"choices":[{"message":{"content":"hi"},"finish_reason":"length"}]}"#]);
        let answer = streamed(&whole, 50).await.unwrap();
        assert!(answer.text == "hi" && answer.is_cut);
    }

    #[tokio::test]
    async fn a_stream_without_an_end_is_cut_and_one_without_sense_is_nonsense() {
        let cut = events(&[r#"{"choices":[{"delta":{"content":"I will del"}}]}"#]);
        assert!(matches!(streamed(&cut, 50).await, Err(Problem::Cut(_))));
        for text in [events(&["not json"]), events(&[r#"{"error":{"message":"overloaded"}}"#])] {
            assert!(matches!(streamed(&text, 50).await, Err(Problem::Nonsense(_))), "{text}");
        }
    }
}
