//! Messages of a conversation: what users write of them, and what they hold.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// One message.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Prompt {
    /// Who says it.
    role: Role,
    /// What is said, at least one character.
    #[schemars(length(min = 1))]
    content: String,
}

/// Who says a message.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Role {
    /// Whoever runs the model.
    System,
    /// Whoever asks it.
    User,
    /// The model itself.
    Assistant,
}

impl Prompt {
    /// As it stands in a request.
    pub(crate) fn value(&self) -> Value {
        json!({ "role": self.role, "content": self.content })
    }
}

/// The messages of a conversation, wherever this protocol has them; made where there are none.
pub(crate) fn messages(body: &mut Map<String, Value>) -> Option<&mut Vec<Value>> {
    let name =
        if !body.contains_key("messages") && body.contains_key("input") { "input" } else { "messages" };
    let place = body.entry(name.to_owned()).or_insert_with(|| Value::Array(Vec::new()));
    // The protocol of responses takes a bare text for a message of the user's.
    if let Value::String(text) = place {
        *place = json!([{ "role": "user", "content": text.as_str() }]);
    }
    place.as_array_mut()
}

/// Whatever text a message holds: its content, or the texts among its parts.
pub(crate) fn text(message: &Value) -> String {
    match message.get("content") {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => {
            let texts = parts.iter().filter_map(|part| part.get("text")?.as_str());
            texts.collect::<Vec<_>>().join(" ")
        }
        _ => String::new(),
    }
}

/// Whether a message is the user's.
pub(crate) fn is_users(message: &Value) -> bool {
    message.get("role").and_then(Value::as_str) == Some("user")
}
