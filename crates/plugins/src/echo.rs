//! `echo` puts texts before, behind or in the place of an answer's body, to try a gateway out.
//!
//! Example: `{"before_body": "before ", "after_body": " after", "headers": {"X-Echo": "yes"}}`

use std::collections::BTreeMap;

use bytes::Bytes;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde_json::Value;
use usher_http1::head::Head;
use usher_pipeline::body::{BodyError, BodyOut, BodyStep};
use usher_pipeline::env::Env;
use usher_pipeline::exchange::Exchange;
use usher_pipeline::plugin::{BuildError, Flow, Phases, Plugin};
use usher_pipeline::spec::Spec;

use crate::schema::any_of_required;

/// `echo`.
pub(crate) static PLUGIN: Spec = Spec::of::<Echo>();

/// Puts texts around or in the place of an answer's body; at least one of the three has to be there.
#[derive(Deserialize, JsonSchema)]
#[schemars(transform = any_of_required(&[&["before_body"], &["body"], &["after_body"]]))]
struct Config {
    /// Sent before the body.
    before_body: Option<String>,
    /// Sent instead of the upstream's body.
    body: Option<String>,
    /// Sent behind the body.
    after_body: Option<String>,
    /// Header fields that are set on the answer.
    #[serde(default)]
    #[schemars(schema_with = "fields")]
    headers: Option<BTreeMap<String, Value>>,
}

fn fields(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "minProperties": 1 })
}

struct Echo {
    before: Bytes,
    instead: Option<Bytes>,
    after: Bytes,
    headers: Vec<(String, String)>,
}

impl Plugin for Echo {
    const NAME: &'static str = "echo";
    const PRIORITY: i32 = 412;
    const PHASES: Phases<Self> =
        Phases { header_filter: Some(Self::mark), body_filter: Some(Self::wrap), ..Phases::NONE };
    type Config = Config;

    fn build(config: Config, _: &Env<'_>) -> Result<Self, BuildError> {
        let mut headers = Vec::new();
        for (name, value) in config.headers.unwrap_or_default() {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            Head::empty().set(&name, &text).map_err(|error| {
                BuildError::new(format!("property \"headers\" validation failed: {name:?}: {error}"))
            })?;
            headers.push((name, text));
        }
        Ok(Self {
            before: config.before_body.unwrap_or_default().into(),
            instead: config.body.map(Bytes::from),
            after: config.after_body.unwrap_or_default().into(),
            headers,
        })
    }
}

/// Whether text can be put next to this answer's body: not where that is coded or a part of something.
fn takes_text(answer: &Head) -> bool {
    answer.status() != 206 && !answer.contains("content-encoding")
}

impl Echo {
    fn mark(&self, exchange: &mut Exchange) -> Flow {
        let answer = &mut exchange.answer;
        if self.instead.is_some() {
            answer.remove("content-encoding");
        }
        if self.instead.is_some() || takes_text(answer) {
            for gone in ["content-length", "etag", "last-modified", "content-md5", "content-digest"] {
                answer.remove(gone);
            }
        }
        for (name, value) in &self.headers {
            if let Err(error) = answer.set(name, value) {
                tracing::debug!(%error, "left out a field of an answer");
            }
        }
        Flow::Continue
    }

    fn wrap(&self, exchange: &mut Exchange) -> Option<Box<dyn BodyStep>> {
        (self.instead.is_some() || takes_text(&exchange.answer)).then(|| -> Box<dyn BodyStep> {
            Box::new(Step {
                before: self.before.clone(),
                instead: self.instead.clone(),
                replaces: self.instead.is_some(),
                after: self.after.clone(),
            })
        })
    }
}

struct Step {
    before: Bytes,
    instead: Option<Bytes>,
    replaces: bool,
    after: Bytes,
}

impl BodyStep for Step {
    fn chunk(&mut self, bytes: Bytes, out: &mut BodyOut) -> Result<(), BodyError> {
        out.push(std::mem::take(&mut self.before));
        if !self.replaces {
            out.push(bytes);
        }
        Ok(())
    }

    fn end(&mut self, _: &mut Head, out: &mut BodyOut) -> Result<(), BodyError> {
        out.push(std::mem::take(&mut self.before));
        out.push(self.instead.take().unwrap_or_default());
        out.push(std::mem::take(&mut self.after));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use usher_pipeline::harness::{harness, try_harness};
    use usher_pipeline::reply::Reply;

    use super::PLUGIN;

    #[test]
    fn puts_texts_around_or_in_the_place_of_a_body() {
        for (body, wanted) in [
            (json!({ "before_body": "a " }), "a middle"),
            (json!({ "after_body": " z" }), "middle z"),
            (json!({ "body": "new" }), "new"),
            (json!({ "before_body": "a ", "body": "new", "after_body": " z" }), "a new z"),
        ] {
            let mut bench = harness(&PLUGIN, body)
                .upstream(|_| Reply::text(200, "text/plain", "middle").with("ETag", "\"1\""));
            let outcome = bench.get("/");
            assert_eq!((outcome.text(), outcome.field("ETag")), (wanted, None));
        }
        let body = json!({ "before_body": "a", "headers": { "X-A": "b", "X-N": 1 } });
        let outcome = harness(&PLUGIN, body)
            .upstream(|_| Reply::text(200, "text/plain", "coded").with("Content-Encoding", "br"))
            .get("/");
        assert_eq!(
            (outcome.text(), outcome.field("X-A"), outcome.field("X-N")),
            ("coded", Some("b"), Some("1"))
        );
    }

    #[test]
    fn refuses_bodies_that_can_not_work() {
        for (body, sentence) in [
            (json!({}), "object matches none of the required"),
            (json!({ "body": 1 }), "wrong type: expected string, got number"),
            (json!({ "body": "", "headers": {} }), "property \"headers\" validation failed"),
            (json!({ "body": "", "headers": { "a b": "c" } }), "property \"headers\" validation failed"),
        ] {
            let error =
                try_harness(&PLUGIN, body.clone()).err().unwrap_or_else(|| panic!("{body} was taken"));
            assert!(error.message.contains(sentence), "{body}: {error}");
        }
    }
}
