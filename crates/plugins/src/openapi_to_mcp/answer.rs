//! What a tool's call came to, as MCP tells it.

use serde_json::{Value, json};
use usher_pipeline::worker::{Answer, FetchError};

/// The largest text that is told, in bytes.
const MOST_TEXT: usize = 1 << 20;

/// The call could not be made: a sentence that a model can act upon.
pub(super) fn failed(sentence: &str) -> Value {
    json!({ "content": [{ "type": "text", "text": sentence }], "isError": true })
}

/// There is no answer.
pub(super) fn unanswered(error: &FetchError) -> Value {
    failed(&match error {
        FetchError::TimedOut(_) => {
            "the API did not answer in time; what was asked for may have been done all the same".to_owned()
        }
        FetchError::BadAnswer { reason, .. } => format!("the API answered badly: {reason}"),
        FetchError::Forbidden(_) => "the API's address is one that the gateway does not call".to_owned(),
        // Where the API is, is nothing for who uses it.
        FetchError::Unreachable { .. } | FetchError::BadUrl { .. } => {
            "the API could not be reached".to_owned()
        }
    })
}

/// The API's answer.
pub(super) fn told(answer: &Answer) -> Value {
    let status = answer.head.status();
    let kind = answer.head.get_str("content-type").unwrap_or("no stated type");
    let text = match std::str::from_utf8(&answer.body) {
        Ok("") => String::new(),
        Ok(text) => cut(text),
        Err(_) => format!("({} bytes of {kind}, which are no text)", answer.body.len()),
    };
    let is_error = status >= 300;
    let text = match (status, text.as_str()) {
        (300..=399, _) => {
            let place = answer.head.get_str("location").unwrap_or("nowhere");
            format!("the API answered {status} and points to {place}; that is not followed")
        }
        (400.., "") => format!("the API answered {status} without a text"),
        (400.., text) => format!("the API answered {status}: {text}"),
        (_, "") => format!("the API answered {status} without a text"),
        _ => text,
    };
    let mut result = json!({ "content": [{ "type": "text", "text": text }], "isError": is_error });
    if answer.body.len() <= MOST_TEXT
        && let Ok(structured @ Value::Object(_)) = serde_json::from_slice(&answer.body)
        && let Some(members) = result.as_object_mut()
    {
        members.insert("structuredContent".to_owned(), structured);
    }
    result
}

/// At most [`MOST_TEXT`] bytes of a text, with a sentence where there was more.
fn cut(text: &str) -> String {
    let Some(kept) = text.get(..text.floor_char_boundary(MOST_TEXT)).filter(|kept| kept.len() < text.len())
    else {
        return text.to_owned();
    };
    format!("{kept}\n(cut here: the answer has {} bytes; ask for less)", text.len())
}
