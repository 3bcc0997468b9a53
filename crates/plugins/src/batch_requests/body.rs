//! One answer of a batch, as the client reads it: status, reason, fields and body.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use usher_pipeline::worker::Answer;

/// Fields that speak of the connection inside of the gateway, which no client has.
const OF_THE_CONNECTION: [&str; 3] = ["connection", "keep-alive", "transfer-encoding"];

/// An answer in JSON. A body that is no text stands in base64, which a member `body_encoding` says.
pub(super) fn told(answer: &Answer) -> Value {
    let mut headers = Map::new();
    for (name, value) in answer.head.iter() {
        if OF_THE_CONNECTION.iter().any(|known| name.eq_ignore_ascii_case(known)) {
            continue;
        }
        let value = Value::from(String::from_utf8_lossy(value));
        match headers.get_mut(name) {
            None => drop(headers.insert(name.to_owned(), value)),
            Some(Value::Array(several)) => several.push(value),
            Some(first) => *first = json!([first.take(), value]),
        }
    }
    let mut told = json!({
        "status": answer.head.status(),
        "reason": answer.head.reason(),
        "headers": headers,
    });
    if !answer.body.is_empty()
        && let Some(members) = told.as_object_mut()
    {
        match std::str::from_utf8(&answer.body) {
            Ok(text) => drop(members.insert("body".to_owned(), text.into())),
            Err(_) => {
                members.insert("body".to_owned(), STANDARD.encode(&answer.body).into());
                members.insert("body_encoding".to_owned(), "base64".into());
            }
        }
    }
    told
}
