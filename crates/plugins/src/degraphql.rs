//! `degraphql` puts a GraphQL query behind an ordinary URL: the client sends values, the upstream gets the query with them as its variables.
//!
//! The query is read when it is written, with bounds on its depth and length, so that what goes to the upstream is always the same well-formed
//! document; values only ever stand in `variables`.
//!
//! Example: `{"query": "query ($name: String!) {\n  persons(filter: {name: $name}) {\n    id\n    email\n  }\n}", "variables": ["name"]}`

use std::fmt::Write as _;

use apollo_parser::Parser;
use apollo_parser::cst::Definition;
use futures_util::FutureExt as _;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use usher_pipeline::body::{Body, BodyError};
use usher_pipeline::env::Env;
use usher_pipeline::exchange::Exchange;
use usher_pipeline::plugin::{BuildError, Called, Flow, Hook, Phases, Plugin};
use usher_pipeline::reply::Reply;
use usher_pipeline::request::Request;
use usher_pipeline::spec::Spec;

use crate::schema::{MAX_BODY_BYTES, number};

/// `degraphql`.
pub(crate) static PLUGIN: Spec = Spec::of::<Degraphql>();

/// Puts a GraphQL query behind an ordinary URL.
#[derive(Deserialize, JsonSchema)]
struct Config {
    /// The document that the upstream gets, 1 to 1024 characters.
    #[schemars(length(min = 1, max = 1024))]
    query: String,
    /// The variables that clients may set: by the arguments of a GET, or by the members of the JSON object that a POST sends.
    #[schemars(length(min = 1))]
    variables: Option<Vec<String>>,
    /// The operation that is run; needed where the document has several.
    #[schemars(length(min = 1, max = 1024))]
    operation_name: Option<String>,
    /// The largest body that is read, in bytes, at least 1.
    #[serde(default = "number::<MAX_BODY_BYTES>")]
    #[schemars(range(min = 1))]
    max_req_body_size: u64,
}

struct Degraphql {
    query: String,
    variables: Vec<String>,
    operation_name: Option<String>,
    max_body_bytes: u64,
}

/// How deep a document may be nested.
const DEEPEST: usize = 64;
/// How many words and signs a document may have.
const MOST_TOKENS: usize = 2048;

impl Plugin for Degraphql {
    const NAME: &'static str = "degraphql";
    const PRIORITY: i32 = 509;
    const PHASES: Phases<Self> = Phases { access: Some(Hook::Either(Self::ask)), ..Phases::NONE };
    type Config = Config;

    fn build(config: Config, _: &Env<'_>) -> Result<Self, BuildError> {
        let operations = operations(&config.query)?;
        match &config.operation_name {
            None if operations.len() > 1 => {
                return Err(BuildError::new(
                    "operation_name is required if multiple operations are present in the query",
                ));
            }
            Some(name) if !operations.iter().any(|known| known.as_deref() == Some(name)) => {
                return Err(BuildError::new(format!("operation_name {name:?} is no operation of the query")));
            }
            _ => {}
        }
        Ok(Self {
            query: config.query,
            variables: config.variables.unwrap_or_default(),
            operation_name: config.operation_name,
            max_body_bytes: config.max_req_body_size,
        })
    }
}

/// The names of a document's operations, each once for every operation.
fn operations(query: &str) -> Result<Vec<Option<String>>, BuildError> {
    let failed = |why: &str| BuildError::new(format!("failed to parse query: {why}"));
    let tree = Parser::new(query).recursion_limit(DEEPEST).token_limit(MOST_TOKENS).parse();
    if let Some(error) = tree.errors().next() {
        return Err(failed(error.message()));
    }
    let mut operations = Vec::new();
    for definition in tree.document().definitions() {
        match definition {
            Definition::OperationDefinition(operation) => {
                operations.push(operation.name().map(|name| name.text().to_string()));
            }
            Definition::FragmentDefinition(_) => {}
            _ => return Err(failed("it defines a schema; write queries, mutations and fragments")),
        }
    }
    if operations.is_empty() {
        return Err(failed("it has no operation"));
    }
    Ok(operations)
}

impl Degraphql {
    fn ask<'a>(&'a self, exchange: &'a mut Exchange) -> Called<'a> {
        match exchange.request.method() {
            "GET" => Called::Now(self.get(&mut exchange.request)),
            "POST" => Called::Later(
                async move { self.post(&mut exchange.request).await.unwrap_or_else(Flow::from) }
                    .boxed_local(),
            ),
            _ => Called::Now(Reply::new(405).into()),
        }
    }

    fn get(&self, request: &mut Request) -> Flow {
        let mut query = String::new();
        let mut put = |name: &str, value: &str| {
            let start = if query.is_empty() { "" } else { "&" };
            // Writing to a String can't fail.
            let _ = write!(query, "{start}{name}=");
            encode_into(value, &mut query);
        };
        put("query", &self.query);
        if !self.variables.is_empty() {
            let given =
                |name: &String| request.argument(name).map(|value| (name.clone(), Value::from(&*value)));
            let values: Map<String, Value> = self.variables.iter().filter_map(given).collect();
            put("variables", &Value::Object(values).to_string());
        }
        if let Some(name) = &self.operation_name {
            put("operationName", name);
        }
        request.set_query(Some(&query));
        Flow::Continue
    }

    async fn post(&self, request: &mut Request) -> Result<Flow, Reply> {
        let body = request.body.read_whole(self.max_body_bytes).await;
        let body = body.map_err(|error| {
            tracing::debug!(%error, "a body can't be made variables of");
            Reply::new(if matches!(error, BodyError::TooLarge { .. }) { 503 } else { error.status() })
        })?;
        let mut new = Map::new();
        new.insert("query".to_owned(), self.query.as_str().into());
        if !self.variables.is_empty() {
            let Ok(Value::Object(mut members)) = serde_json::from_slice(&body) else {
                return Err(Reply::new(400));
            };
            let given = |name: &String| Some((name.clone(), members.remove(name)?));
            let values: Map<String, Value> = self.variables.iter().filter_map(given).collect();
            new.insert("variables".to_owned(), Value::Object(values));
        }
        if let Some(name) = &self.operation_name {
            new.insert("operationName".to_owned(), name.as_str().into());
        }
        request.body = Body::Full(Value::Object(new).to_string().into());
        request.head.remove("content-encoding");
        if let Err(error) = request.head.set("Content-Type", "application/json") {
            tracing::error!(%error, "a type can't be sent");
        }
        Ok(Flow::Continue)
    }
}

/// Percent-encodes everything that has a meaning in a query.
fn encode_into(text: &str, out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            // Writing to a String can't fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use usher_pipeline::harness::{harness, try_harness};

    use super::PLUGIN;

    const QUERY: &str = "query ($name: String!, $age: Int) { persons(name: $name, age: $age) { id } }";

    #[test]
    fn a_post_becomes_a_query_with_variables() {
        let body = json!({ "query": QUERY, "variables": ["name", "age"] });
        let mut bench = harness(&PLUGIN, body);
        for (sent, variables) in [
            (
                json!({ "name": "\") { evil }", "age": 3, "other": 1 }),
                json!({ "name": "\") { evil }", "age": 3 }),
            ),
            (json!({ "name": { "deep": [1] } }), json!({ "name": { "deep": [1] } })),
            (json!({}), json!({})),
        ] {
            let outcome = bench.send("POST", "/", &[("Content-Type", "text/plain")], sent.to_string());
            let seen = outcome.expect_status(200).seen();
            let got: Value = serde_json::from_slice(&seen.body).unwrap();
            assert_eq!(got, json!({ "query": QUERY, "variables": variables }));
            assert_eq!(seen.head.get_str("Content-Type"), Some("application/json"));
        }
        for sent in ["", "[]", "no json", "{\"name\":"] {
            bench.send("POST", "/", &[], sent).expect_status(400);
        }
        bench.send("PUT", "/", &[], "{}").expect_status(405);
        let small = json!({ "query": QUERY, "variables": ["name"], "max_req_body_size": 4 });
        harness(&PLUGIN, small).send("POST", "/", &[], "{\"name\":1}").expect_status(503);
    }

    #[test]
    fn a_get_becomes_arguments() {
        let body = json!({ "query": "query A($name: String) { a } query B { b }", "variables": ["name"], "operation_name": "A" });
        let outcome = harness(&PLUGIN, body).get("/?name=a%26b%22&other=1");
        let target = &outcome.expect_status(200).seen().target;
        assert!(target.starts_with("/?query=query%20A%28"), "{target}");
        assert!(
            target.ends_with("&variables=%7B%22name%22%3A%22a%26b%5C%22%22%7D&operationName=A"),
            "{target}"
        );
        let bare = harness(&PLUGIN, json!({ "query": "{ a }" })).send("POST", "/", &[], "anything");
        assert_eq!(bare.expect_status(200).seen().body, "{\"query\":\"{ a }\"}");
    }

    #[test]
    fn refuses_documents_that_can_not_be_asked() {
        let deep = format!("{{{}}}", "a{".repeat(100) + &"}".repeat(100));
        for (body, sentence) in [
            (json!({}), "property \"query\" is required"),
            (json!({ "query": "" }), "string too short"),
            (json!({ "query": "x".repeat(1025) }), "string too long"),
            (json!({ "query": "query {" }), "failed to parse query: "),
            (json!({ "query": deep }), "failed to parse query: "),
            (json!({ "query": "type A { a: Int }" }), "it defines a schema"),
            (json!({ "query": "fragment F on A { a }" }), "it has no operation"),
            (
                json!({ "query": "query A { a } query B { b }" }),
                "operation_name is required if multiple operations are present in the query",
            ),
            (json!({ "query": "query A { a }", "operation_name": "C" }), "is no operation of the query"),
            (json!({ "query": "{ a }", "variables": [] }), "expect array to have at least 1 items"),
        ] {
            let error =
                try_harness(&PLUGIN, body.clone()).err().unwrap_or_else(|| panic!("{body} was taken"));
            assert!(error.message.contains(sentence), "{body}: {error}");
        }
    }
}
