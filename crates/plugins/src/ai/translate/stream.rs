//! A stream of `OpenAI`'s chat completions, as the events of a message of Anthropic's.
//!
//! There, a message begins and ends, and so does each of its parts: a text, or a call of a tool. The reason of its end and what it cost come in one
//! event at the end, so that they are kept until then.

use serde_json::{Value, json};
use usher_pipeline::body::BodyError;

use super::answer::{stop_reason, usage};
use super::{Translate, refused};

/// The longest line, in bytes.
const MOST: usize = 8 << 20;

/// Makes of chunks events.
#[derive(Default)]
pub(super) struct Stream {
    line: Vec<u8>,
    begun: bool,
    ended: bool,
    /// The part that is open, and its number.
    open: Option<(Part, usize)>,
    /// How many parts have begun.
    parts: usize,
    reason: Option<&'static str>,
    usage: Option<Value>,
}

/// What a part is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Text,
    /// The call of this number.
    Call(u64),
}

impl Translate for Stream {
    fn chunk(&mut self, bytes: &[u8]) -> Result<Vec<u8>, BodyError> {
        let mut out = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.line.len() + piece.len() > MOST {
                return Err(refused("has a line of more than 8 MiB"));
            }
            self.line.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                let line = std::mem::take(&mut self.line);
                self.read(&line, &mut out);
            }
        }
        Ok(out)
    }

    fn end(&mut self) -> Result<Vec<u8>, BodyError> {
        let mut out = Vec::new();
        let line = std::mem::take(&mut self.line);
        self.read(&line, &mut out);
        self.finish(&mut out);
        Ok(out)
    }
}

impl Stream {
    fn read(&mut self, line: &[u8], out: &mut Vec<u8>) {
        let Some(data) = line.strip_prefix(b"data:").map(<[u8]>::trim_ascii) else { return };
        if data == b"[DONE]" {
            self.finish(out);
            return;
        }
        // What is no JSON is no part of the protocol.
        let Ok(chunk) = serde_json::from_slice::<Value>(data) else { return };
        if let Some(error) = chunk.get("error") {
            let said = error.get("message").and_then(Value::as_str).unwrap_or("the provider gave up");
            event(out, "error", &json!({ "error": { "type": "api_error", "message": said } }));
            self.ended = true;
            return;
        }
        if self.ended {
            return;
        }
        self.begin(&chunk, out);
        if chunk.get("usage").is_some_and(Value::is_object) {
            self.usage = Some(usage(&chunk));
        }
        let Some(choice) = chunk.pointer("/choices/0") else { return };
        if let Some(text) = choice.pointer("/delta/content").and_then(Value::as_str)
            && !text.is_empty()
        {
            let index = self.part(Part::Text, || json!({ "type": "text", "text": "" }), out);
            delta(out, index, &json!({ "type": "text_delta", "text": text }));
        }
        for call in choice.pointer("/delta/tool_calls").and_then(Value::as_array).into_iter().flatten() {
            let number = call.get("index").and_then(Value::as_u64).unwrap_or(0);
            let start = || {
                let name = call.pointer("/function/name");
                json!({ "type": "tool_use", "id": call.get("id"), "name": name, "input": {} })
            };
            let index = self.part(Part::Call(number), start, out);
            if let Some(text) = call.pointer("/function/arguments").and_then(Value::as_str)
                && !text.is_empty()
            {
                delta(out, index, &json!({ "type": "input_json_delta", "partial_json": text }));
            }
        }
        if let Some(reason) = choice.get("finish_reason").and_then(Value::as_str) {
            self.reason = Some(stop_reason(reason));
        }
    }

    fn begin(&mut self, chunk: &Value, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.begun, true) {
            return;
        }
        let message = json!({
            "id": chunk.get("id"), "type": "message", "role": "assistant", "model": chunk.get("model"), "content": [],
            "stop_reason": null, "stop_sequence": null, "usage": { "input_tokens": 0, "output_tokens": 0 },
        });
        event(out, "message_start", &json!({ "message": message }));
    }

    /// The number of this part, which is begun where another is open.
    fn part(&mut self, part: Part, start: impl Fn() -> Value, out: &mut Vec<u8>) -> usize {
        if let Some((open, index)) = self.open
            && open == part
        {
            return index;
        }
        self.close(out);
        let index = self.parts;
        self.parts += 1;
        self.open = Some((part, index));
        event(out, "content_block_start", &json!({ "index": index, "content_block": start() }));
        index
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        if let Some((_, index)) = self.open.take() {
            event(out, "content_block_stop", &json!({ "index": index }));
        }
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        if !self.begun || std::mem::replace(&mut self.ended, true) {
            return;
        }
        self.close(out);
        let usage = self.usage.take().unwrap_or_else(|| json!({ "output_tokens": 0 }));
        let delta = json!({ "stop_reason": self.reason.unwrap_or("end_turn"), "stop_sequence": null });
        event(out, "message_delta", &json!({ "delta": delta, "usage": usage }));
        event(out, "message_stop", &json!({}));
    }
}

fn delta(out: &mut Vec<u8>, index: usize, delta: &Value) {
    event(out, "content_block_delta", &json!({ "index": index, "delta": delta }));
}

fn event(out: &mut Vec<u8>, name: &str, data: &Value) {
    let mut data = data.clone();
    if let Some(members) = data.as_object_mut() {
        members.insert("type".to_owned(), name.into());
    }
    out.extend_from_slice(format!("event: {name}\ndata: {data}\n\n").as_bytes());
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Stream, Translate as _};

    const CHUNKS: [&str; 9] = [
        r#"{"id":"c","model":"m","choices":[{"delta":{"role":"assistant","content":""}}]}"#,
        r#"{"choices":[{"delta":{"content":"Hel"}}]}"#,
        r#"{"choices":[{"delta":{"content":"lo"}}]}"#,
        r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"t0","function":{"name":"f","arguments":""}}]}}]}"#,
        r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"a\":"}}]}}]}"#,
        r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"1}"}}]}}]}"#,
        r#"{"choices":[{"delta":{"tool_calls":[{"index":1,"id":"t1","function":{"name":"g","arguments":"{}"}}]}}]}"#,
        r#"{"choices":[{"delta":{},"finish_reason":"tool_calls"}]}"#,
        r#"{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":4}}"#,
    ];

    fn events(text: &[u8]) -> Vec<Value> {
        let text = String::from_utf8(text.to_vec()).unwrap();
        let mut all = Vec::new();
        for block in text.split_terminator("\n\n") {
            let (name, data) = block.split_once('\n').unwrap();
            let data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
            assert_eq!(name, format!("event: {}", data["type"].as_str().unwrap()));
            all.push(data);
        }
        all
    }

    #[test]
    fn chunks_become_the_events_of_a_message_wherever_they_are_cut() {
        let text: String = CHUNKS.iter().map(|chunk| format!("data: {chunk}\n\n")).collect();
        let text = format!("{text}data: [DONE]\n\n");
        let start = json!({ "id": "c", "type": "message", "role": "assistant", "model": "m", "content": [],
            "stop_reason": null, "stop_sequence": null, "usage": { "input_tokens": 0, "output_tokens": 0 } });
        let text_delta = |text: &str| json!({ "type": "text_delta", "text": text });
        let json_delta = |text: &str| json!({ "type": "input_json_delta", "partial_json": text });
        let call = |id: &str, name: &str| json!({ "type": "tool_use", "id": id, "name": name, "input": {} });
        let wanted = [
            json!({ "type": "message_start", "message": start }),
            json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "text", "text": "" } }),
            json!({ "type": "content_block_delta", "index": 0, "delta": text_delta("Hel") }),
            json!({ "type": "content_block_delta", "index": 0, "delta": text_delta("lo") }),
            json!({ "type": "content_block_stop", "index": 0 }),
            json!({ "type": "content_block_start", "index": 1, "content_block": call("t0", "f") }),
            json!({ "type": "content_block_delta", "index": 1, "delta": json_delta("{\"a\":") }),
            json!({ "type": "content_block_delta", "index": 1, "delta": json_delta("1}") }),
            json!({ "type": "content_block_stop", "index": 1 }),
            json!({ "type": "content_block_start", "index": 2, "content_block": call("t1", "g") }),
            json!({ "type": "content_block_delta", "index": 2, "delta": json_delta("{}") }),
            json!({ "type": "content_block_stop", "index": 2 }),
            json!({ "type": "message_delta", "delta": { "stop_reason": "tool_use", "stop_sequence": null },
                "usage": { "input_tokens": 9, "cache_read_input_tokens": 0, "output_tokens": 4 } }),
            json!({ "type": "message_stop" }),
        ];
        for size in [1, 7, 64, text.len()] {
            let mut stream = Stream::default();
            let mut out = Vec::new();
            for piece in text.as_bytes().chunks(size) {
                out.extend(stream.chunk(piece).unwrap());
            }
            out.extend(stream.end().unwrap());
            assert_eq!(events(&out), wanted, "{size}");
        }
    }

    #[test]
    fn a_stream_that_breaks_off_or_says_why_it_does_ends_well_formed() {
        let mut cut = Stream::default();
        let mut out = cut.chunk(format!("data: {}\n\n", CHUNKS[1]).as_bytes()).unwrap();
        out.extend(cut.end().unwrap());
        assert_eq!(events(&out).last().unwrap()["type"], "message_stop");
        let mut failed = Stream::default();
        let out = failed.chunk(b"data: {\"error\":{\"message\":\"busy\"}}\n\ndata: [DONE]\n\n").unwrap();
        assert_eq!(
            events(&out),
            [json!({ "type": "error", "error": { "type": "api_error", "message": "busy" } })]
        );
        let mut nothing = Stream::default();
        assert_eq!(nothing.chunk(b": ping\n\ndata: x\n\ndata: [DONE]\n\n").unwrap(), b"");
        assert_eq!(nothing.end().unwrap(), b"");
    }
}
