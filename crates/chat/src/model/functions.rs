//! The gateway's tools as functions of a model.

use serde_json::{Value, json};
use usher_model::nearest::nearest;

use crate::client::Offered;

/// What a model may call.
#[derive(Clone, Debug)]
pub(crate) struct Functions {
    tools: Vec<Offered>,
}

impl Functions {
    pub(crate) const fn new(tools: Vec<Offered>) -> Self {
        Self { tools }
    }

    /// The functions as a request has them. The tools' schemas keep to the strict subset, so that a server may hold its model to them.
    pub(super) fn offered(&self, strict: bool) -> Value {
        let function = |tool: &Offered| {
            let mut function =
                json!({ "name": tool.name, "description": tool.description, "parameters": tool.input });
            if let Some(members) = function.as_object_mut().filter(|_| strict) {
                members.insert("strict".to_owned(), true.into());
            }
            json!({ "type": "function", "function": function })
        };
        self.tools.iter().map(function).collect()
    }

    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = &Offered> {
        self.tools.iter()
    }

    /// How long they are in a question, in characters.
    pub(crate) fn length(&self) -> usize {
        self.offered(false).to_string().len()
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.tools.iter().any(|tool| tool.name == name)
    }

    /// What a model reads that called something else.
    pub(crate) fn unknown(&self, name: &str) -> String {
        let names = || self.tools.iter().map(|tool| tool.name.as_str());
        let meant =
            nearest(name, names()).map(|meant| format!("\ndid you mean: {meant}")).unwrap_or_default();
        format!("there is no tool of that name{meant}\nallowed: {}", names().collect::<Vec<_>>().join(", "))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::{Functions, Offered};

    /// One function.
    pub(in crate::model) fn functions() -> Functions {
        Functions::new(vec![Offered {
            name: "gateway_get".to_owned(),
            description: "d".to_owned(),
            input: json!({ "type": "object" }),
        }])
    }

    #[test]
    fn functions_are_strict_until_a_server_refuses_that() {
        let functions = functions();
        assert_eq!(functions.offered(true)[0]["function"]["strict"], true);
        assert!(functions.offered(false)[0]["function"].get("strict").is_none());
        assert!(functions.unknown("gateway_gett").contains("did you mean: gateway_get"));
    }
}
