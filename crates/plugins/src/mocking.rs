//! `mocking` answers instead of an upstream that isn't there yet: with an example, or with what fits a schema.
//!
//! Example: `{"response_status": 201, "content_type": "application/json", "response_example": "{\"id\": \"$arg_id\"}", "response_headers": {"X-Draft": "yes"}}`
//! Example: `{"response_schema": {"type": "object", "properties": {"id": {"type": "integer", "example": 7}, "name": {"type": "string"}}}}`

mod made;

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::FutureExt as _;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use usher_model::compat::{APISIX_VERSION, Behaviour};
use usher_pipeline::env::Env;
use usher_pipeline::exchange::Exchange;
use usher_pipeline::plugin::{BuildError, Called, Flow, Hook, Phases, Plugin};
use usher_pipeline::reply::Reply;
use usher_pipeline::spec::Spec;

use crate::schema::{any_of_required, status, yes};
use crate::text::Text;
use made::Made;

/// `mocking`.
pub(crate) static PLUGIN: Spec = Spec::of::<Mocking>();

/// Answers instead of the upstream; an example or a schema of the answer has to be there.
#[derive(Deserialize, JsonSchema)]
#[schemars(transform = any_of_required(&[&["response_example"], &["response_schema"]]))]
struct Config {
    /// Seconds that the answer takes.
    #[serde(default = "number_zero")]
    #[schemars(range(min = 0))]
    delay: u64,
    /// The status of the answer, from 100 on.
    #[serde(default = "status::<200>")]
    #[schemars(range(min = 100, max = 999))]
    response_status: u16,
    /// What the answer is: `application/json`, `application/xml`, `text/xml`, `text/plain` or `text/html`, with or without parameters.
    #[serde(default = "json_type")]
    content_type: String,
    /// The answer's body: a text with variables.
    response_example: Option<String>,
    /// A JSON schema (draft 4) of the answer: an object, whose members' `example`s are taken where there are any, and random values elsewhere.
    response_schema: Option<Map<String, Value>>,
    /// Says in `X-Mock-By` that the answer is none of the upstream's.
    #[serde(default = "yes")]
    with_mock_header: bool,
    /// Further header fields of the answer.
    response_headers: Option<BTreeMap<String, Value>>,
}

const fn number_zero() -> u64 {
    0
}

fn json_type() -> String {
    "application/json;charset=utf8".to_owned()
}

struct Mocking {
    status: u16,
    content_type: String,
    body: Body,
    mocked_by: Option<String>,
    headers: Vec<(String, String)>,
    delay: Duration,
}

enum Body {
    Example(Text),
    Schema(Box<Made>),
}

/// What an answer may be, and whether it is XML.
const TYPES: [(&str, bool); 5] = [
    ("application/json", false),
    ("application/xml", true),
    ("text/xml", true),
    ("text/plain", false),
    ("text/html", false),
];

impl Plugin for Mocking {
    const NAME: &'static str = "mocking";
    const PRIORITY: i32 = 10900;
    const PHASES: Phases<Self> = Phases { access: Some(Hook::Either(Self::mock)), ..Phases::NONE };
    type Config = Config;

    fn build(config: Config, env: &Env<'_>) -> Result<Self, BuildError> {
        if config.response_status < 200 {
            return Err(BuildError::new(format!(
                "property \"response_status\" validation failed: {} only announces an answer; set 200 or more",
                config.response_status
            )));
        }
        let kind = config.content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let Some((_, is_xml)) = TYPES.iter().find(|(known, _)| *known == kind) else {
            let known: Vec<&str> = TYPES.iter().map(|(known, _)| *known).collect();
            return Err(BuildError::new(format!(
                "unsupported content type! {:?} is none of {}",
                config.content_type,
                known.join(", ")
            )));
        };
        let body = match (&config.response_example, config.response_schema) {
            (Some(example), _) => Body::Example(Text::parse(example)),
            (None, Some(schema)) => Body::Schema(Box::new(Made::new(Value::Object(schema), *is_xml)?)),
            (None, None) => return Err(BuildError::new("response_example or response_schema is required")),
        };
        let mut headers = Vec::new();
        for (name, value) in config.response_headers.unwrap_or_default() {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            usher_http1::head::Head::empty().set(&name, &text).map_err(|error| {
                BuildError::new(format!("property \"response_headers\" validation failed: {name:?}: {error}"))
            })?;
            headers.push((name, text));
        }
        let product = if env.process().compat().has(Behaviour::ApisixNames) {
            format!("APISIX/{APISIX_VERSION}")
        } else {
            format!("Usher/{}", env!("CARGO_PKG_VERSION"))
        };
        Ok(Self {
            status: config.response_status,
            content_type: config.content_type,
            body,
            mocked_by: config.with_mock_header.then_some(product),
            headers,
            delay: Duration::from_secs(config.delay.min(86_400)),
        })
    }
}

impl Mocking {
    fn mock<'a>(&'a self, exchange: &'a mut Exchange) -> Called<'a> {
        if self.delay.is_zero() {
            return Called::Now(self.answer(exchange));
        }
        let waiting = exchange.worker().sleep(self.delay);
        Called::Later(waiting.map(|()| self.answer(exchange)).boxed_local())
    }

    fn answer(&self, exchange: &Exchange) -> Flow {
        let body = match &self.body {
            Body::Example(text) => text.render(exchange).into_owned(),
            Body::Schema(made) => made.make().into_bytes(),
        };
        let mut reply = Reply::text(self.status, &self.content_type, body);
        if let Some(product) = &self.mocked_by {
            reply = reply.with("x-mock-by", product);
        }
        for (name, value) in &self.headers {
            if let Err(error) = reply.head.set(name, value) {
                tracing::debug!(%error, "left out a field of an answer");
            }
        }
        reply.into()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use usher_pipeline::harness::{harness, try_harness};
    use usher_pipeline::worker::Worker as _;

    use super::PLUGIN;

    #[test]
    fn answers_with_an_example() {
        let body = json!({
            "response_status": 201, "content_type": "text/plain", "response_example": "hello $arg_name",
            "response_headers": { "X-A": "b", "X-N": 1 }, "delay": 2
        });
        let mut bench = harness(&PLUGIN, body);
        let before = bench.worker().now();
        let outcome = bench.get("/?name=bob");
        assert_eq!(outcome.expect_status(201).text(), "hello bob");
        assert_eq!((bench.worker().now() - before).as_secs(), 2);
        assert!(outcome.upstream.is_none());
        for (name, wanted) in [
            ("Content-Type", Some("text/plain")),
            ("X-A", Some("b")),
            ("X-N", Some("1")),
            ("x-mock-by", Some(concat!("Usher/", env!("CARGO_PKG_VERSION")))),
        ] {
            assert_eq!(outcome.field(name), wanted, "{name}");
        }
    }

    #[test]
    fn answers_with_what_fits_a_schema() {
        let schema = json!({ "type": "object", "properties": {
            "id": { "type": "integer", "example": 7 },
            "name": { "type": "string" },
            "share": { "type": "number" },
            "open": { "type": "boolean" },
            "tags": { "type": "array", "items": { "type": "string", "example": "t" } },
            "inner": { "type": "object", "properties": { "list": { "type": "array", "example": [1, 2] } } },
        } });
        let mut bench = harness(&PLUGIN, json!({ "response_schema": schema, "with_mock_header": false }));
        for _ in 0..50 {
            let outcome = bench.get("/");
            assert_eq!(outcome.field("Content-Type"), Some("application/json;charset=utf8"));
            assert_eq!(outcome.field("x-mock-by"), None);
            let made: Value = serde_json::from_str(outcome.expect_status(200).text()).unwrap();
            assert_eq!((&made["id"], &made["inner"]["list"]), (&json!(7), &json!([1, 2])));
            assert!(made["name"].is_string() && made["share"].is_number() && made["open"].is_boolean());
            let tags = made["tags"].as_array().unwrap();
            assert!((1..=3).contains(&tags.len()) && tags.iter().all(|tag| tag == "t"));
        }
        let xml = json!({ "response_schema": { "type": "object", "properties": {
            "a": { "type": "string", "example": "<&" }, "b": { "type": "array", "items": { "type": "integer", "example": 1 } }
        } }, "content_type": "application/xml" });
        let text = harness(&PLUGIN, xml).get("/").text().to_owned();
        assert!(text.starts_with("<data><a>&lt;&amp;</a><b>1</b>") && text.ends_with("</data>"), "{text}");
    }

    #[test]
    fn refuses_bodies_that_can_not_work() {
        let mut deep = json!({ "type": "string" });
        for _ in 0..100 {
            deep = json!({ "type": "array", "items": deep });
        }
        for (body, sentence) in [
            (json!({}), "object matches none of the required"),
            (json!({ "response_example": "a", "content_type": "image/png" }), "unsupported content type!"),
            (json!({ "response_example": "a", "response_status": 99 }), "expected 99 to be at least 100"),
            (json!({ "response_example": "a", "response_status": 101 }), "101 only announces an answer"),
            (json!({ "response_example": "a", "delay": -1 }), "delay"),
            (json!({ "response_example": "a", "response_headers": { "a b": "c" } }), "response_headers"),
            (json!({ "response_schema": deep }), "is nested more than"),
        ] {
            let error =
                try_harness(&PLUGIN, body.clone()).err().unwrap_or_else(|| panic!("{body} was taken"));
            assert!(error.message.contains(sentence), "{body}: {error}");
        }
    }
}
