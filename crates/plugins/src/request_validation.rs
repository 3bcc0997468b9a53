//! `request-validation` lets only requests pass whose header fields and body fit a JSON schema.
//!
//! The body is forwarded as it was understood here, so that no other reader of it finds something that was never judged.
//!
//! Example: `{"body_schema": {"type": "object", "required": ["title"], "properties": {"title": {"type": "string", "maxLength": 200}}}, "rejected_code": 422, "rejected_msg": "a session needs a title"}`

mod defaults;
pub(crate) mod reading;
pub(crate) mod references;
pub(crate) mod rules;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use usher_pipeline::body::Body;
use usher_pipeline::env::Env;
use usher_pipeline::exchange::Exchange;
use usher_pipeline::plugin::{BuildError, Flow, Hook, Phases, Plugin};
use usher_pipeline::reply::Reply;
use usher_pipeline::request::Request;
use usher_pipeline::spec::Spec;

use crate::schema::{MAX_BODY_BYTES, any_of_required, number, status};
use defaults::{Defaults, NoRoom};
use reading::Read;
use rules::{HeaderRules, Rules};

/// `request-validation`.
pub(crate) static PLUGIN: Spec = Spec::of::<RequestValidation>();

/// Lets only requests pass that fit a JSON schema (draft 7); at least one of the two schemas has to be there.
#[derive(Deserialize, JsonSchema)]
#[schemars(transform = any_of_required(&[&["header_schema"], &["body_schema"]]))]
struct Config {
    /// What the header fields have to fit: an object of texts by name, in any case. A field that comes several times is a list.
    header_schema: Option<Map<String, Value>>,
    /// What the body has to fit: JSON, or an object of texts where `Content-Type` says that it is a form. Where the schema has a `default` for a
    /// member, JSON that leaves it out is forwarded with it.
    body_schema: Option<Map<String, Value>>,
    /// The status of a refusal, 200 to 599.
    #[serde(default = "status::<400>")]
    #[schemars(range(min = 200, max = 599))]
    rejected_code: u16,
    /// What a refused client reads, 1 to 256 characters; by default what is wrong.
    #[schemars(length(min = 1, max = 256))]
    rejected_msg: Option<String>,
    /// The largest body that is read, in bytes, at least 1. A larger one is answered 413.
    #[serde(default = "number::<MAX_BODY_BYTES>")]
    #[schemars(range(min = 1))]
    max_req_body_size: u64,
}

struct RequestValidation {
    header: Option<HeaderRules>,
    body: Option<Rules>,
    defaults: Defaults,
    rejected_code: u16,
    rejected_msg: Option<String>,
    max_body_bytes: u64,
}

impl Plugin for RequestValidation {
    const NAME: &'static str = "request-validation";
    const PRIORITY: i32 = 2800;
    const PHASES: Phases<Self> = Phases { rewrite: Some(Hook::Later(Self::validate)), ..Phases::NONE };
    type Config = Config;

    fn build(config: Config, _: &Env<'_>) -> Result<Self, BuildError> {
        Ok(Self {
            defaults: config.body_schema.as_ref().map(Defaults::of).unwrap_or_default(),
            body: config.body_schema.map(|schema| Rules::new("body_schema", schema)).transpose()?,
            header: config.header_schema.map(HeaderRules::new).transpose()?,
            rejected_code: config.rejected_code,
            rejected_msg: config.rejected_msg,
            max_body_bytes: config.max_req_body_size,
        })
    }
}

impl RequestValidation {
    fn validate<'a>(&'a self, exchange: &'a mut Exchange) -> LocalBoxFuture<'a, Flow> {
        self.judge(&mut exchange.request)
            .map(|outcome| outcome.map_or_else(Flow::from, |()| Flow::Continue))
            .boxed_local()
    }

    async fn judge(&self, request: &mut Request) -> Result<(), Reply> {
        if let Some(header) = &self.header {
            header.check(&request.head).map_err(|why| self.refusal(why))?;
        }
        let Some(rules) = &self.body else { return Ok(()) };
        let body = request.body.read_whole(self.max_body_bytes).await;
        let body = body.map_err(|error| Reply::new(error.status()))?;
        if body.is_empty() {
            return Err(self.refusal(""));
        }
        let mut read = read(request, &body).map_err(|why| self.refusal(why))?;
        rules.check(&read.value).map_err(|why| self.refusal(why))?;
        if !self.defaults.is_empty() {
            // What is filled in may be as large as what is taken.
            let mut room = usize::try_from(self.max_body_bytes).unwrap_or(usize::MAX);
            read.fill(&self.defaults, &mut room).map_err(|NoRoom| Reply::new(413))?;
        }
        if read.written != body {
            request.body = Body::Full(read.written.into());
        }
        Ok(())
    }

    /// The configured message, or else what is wrong; without either the page of the status.
    fn refusal(&self, why: impl Into<Bytes>) -> Reply {
        let why = self.rejected_msg.clone().map_or_else(|| why.into(), Bytes::from);
        if why.is_empty() {
            return Reply::new(self.rejected_code);
        }
        Reply::text(self.rejected_code, "text/plain; charset=utf-8", why)
    }
}

/// Reads the body by its `Content-Type`; JSON unless that says that it is a form.
fn read(request: &Request, body: &[u8]) -> Result<Read, String> {
    let mut types = request.head.get_all("content-type");
    let kind = types.next().unwrap_or_default().trim_ascii().to_ascii_lowercase();
    if types.next().is_some() {
        return Err("the request has more than one Content-Type".to_owned());
    }
    let plain = |coding: &[u8]| coding.is_empty() || coding.eq_ignore_ascii_case(b"identity");
    if !request.head.get_all("content-encoding").all(plain) {
        return Err("a body with a Content-Encoding can't be validated: send it without".to_owned());
    }
    if kind.starts_with(b"application/x-www-form-urlencoded") {
        reading::form(body)
    } else {
        reading::json(body)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use usher_pipeline::harness::{Outcome, harness, try_harness};

    use super::PLUGIN;

    fn title() -> Value {
        json!({ "type": "object", "required": ["title"], "properties": { "title": { "type": "string", "pattern": "^[a-z ]+$" } } })
    }

    fn posted(config: &Value, fields: &[(&str, &str)], body: &str) -> Outcome {
        harness(&PLUGIN, config.clone()).send("POST", "/", fields, body.to_owned())
    }

    #[test]
    fn the_upstream_gets_what_was_judged() {
        let config = json!({ "body_schema": title() });
        let form = [("Content-Type", "Application/X-WWW-Form-Urlencoded; charset=utf-8")];
        for (fields, body, wanted) in [
            (&[] as &[_], r#"{"title":"a b"}"#, r#"{"title":"a b"}"#),
            (&[], r#"{"title": 7, "title": "a b"}"#, r#"{"title":"a b"}"#),
            (&[("Content-Type", "text/plain")], " {\"title\":\"a\"}", r#"{"title":"a"}"#),
            (&form, "title=a%20b", "title=a+b"),
        ] {
            let outcome = posted(&config, fields, body);
            assert_eq!(outcome.expect_status(200).seen().body, wanted, "{body}");
        }
    }

    #[test]
    fn the_upstream_gets_the_defaults_of_what_a_body_leaves_out() {
        let schema = json!({
            "properties": {
                "size": { "type": "integer", "default": 3 },
                "name": { "type": "string" },
                "deep": { "properties": { "on": { "default": true } } },
                "list": { "items": { "properties": { "n": { "default": [1] } } } },
            },
            "allOf": [{ "properties": { "unit": { "default": "px" } } }],
        });
        let config = json!({ "body_schema": schema, "max_req_body_size": 60 });
        for (body, wanted) in [
            (r#"{}"#, r#"{"size":3,"unit":"px"}"#),
            (r#"{"size":null,"unit":""}"#, ""),
            (r#"{"size":7,"unit":"em"}"#, r#"{"size":7,"unit":"em"}"#),
            (r#"{"deep":{},"size":1,"unit":"x"}"#, r#"{"deep":{"on":true},"size":1,"unit":"x"}"#),
            (
                r#"{"list":[{},{"n":2}],"size":1,"unit":"x"}"#,
                r#"{"list":[{"n":[1]},{"n":2}],"size":1,"unit":"x"}"#,
            ),
            ("[]", "[]"),
        ] {
            let outcome = posted(&config, &[], body);
            if wanted.is_empty() {
                outcome.expect_status(400);
                continue;
            }
            assert_eq!(outcome.expect_status(200).seen().body, wanted, "{body}");
        }
        let form = [("Content-Type", "application/x-www-form-urlencoded")];
        assert_eq!(posted(&config, &form, "name=a").expect_status(200).seen().body, "name=a");
        let many = format!("{{\"list\":[{}]}}", ["{}"; 16].join(","));
        posted(&config, &[], &many).expect_status(413);
        let needed = json!({ "body_schema": { "required": ["a"], "properties": { "a": { "default": 1 } } } });
        posted(&needed, &[], "{}").expect_status(400);
    }

    #[test]
    fn says_what_is_wrong_with_a_body() {
        let config = json!({ "body_schema": title() });
        let form = [("Content-Type", "application/x-www-form-urlencoded")];
        for (fields, body, sentence) in [
            (&[] as &[_], r#"{"name":"a"}"#, "property \"title\" is required"),
            (
                &[],
                r#"{"title":7}"#,
                "property \"title\" validation failed: wrong type: expected string, got number",
            ),
            (
                &[],
                r#"{"title":"a b","title":"A"}"#,
                "property \"title\" validation failed: failed to match pattern",
            ),
            (&[], r#"{"title":"$env://SECRET"}"#, "does not match"),
            (&[], r#"{"title":"$secret://vault/1/a"}"#, "does not match"),
            (&[], "[]", "wrong type: expected object, got table"),
            (&[], "title=a", "the body is no JSON: "),
            (&[], "{\"title\":\"a\"} {}", "the body is no JSON: trailing characters"),
            (&form, "{\"title\":\"a\"}", "property \"title\" is required"),
            (
                &form,
                "title=a&title=b",
                "property \"title\" validation failed: wrong type: expected string, got table",
            ),
            (&form, "title", "wrong type: expected string, got boolean"),
            (&[("Content-Type", "multipart/form-data; boundary=x")], "--x\r\n", "the body is no JSON"),
            (
                &[("Content-Encoding", "gzip")],
                "{\"title\":\"a\"}",
                "a body with a Content-Encoding can't be validated",
            ),
            (
                &[("Content-Type", "a/b"), ("content-type", "c/d")],
                "{\"title\":\"a\"}",
                "more than one Content-Type",
            ),
        ] {
            let outcome = posted(&config, fields, body);
            outcome.expect_status(400);
            assert!(outcome.upstream.is_none());
            assert_eq!(outcome.field("Content-Type"), Some("text/plain; charset=utf-8"));
            let text = outcome.text();
            assert!(text.contains(sentence), "{body}: {text}");
        }
    }

    #[test]
    fn refuses_with_the_status_and_message_that_were_asked_for() {
        let config =
            json!({ "body_schema": title(), "rejected_code": 422, "rejected_msg": "a title, please" });
        for body in ["", "{}", "no json"] {
            let outcome = posted(&config, &[], body);
            assert_eq!(outcome.expect_status(422).text(), "a title, please", "{body}");
        }
        let outcome = posted(&json!({ "body_schema": {} }), &[], "");
        assert!(outcome.expect_status(400).body.is_empty(), "the page of the status is the gateway's");
    }

    #[test]
    fn a_body_that_is_too_large_is_answered_413() {
        let config = json!({ "body_schema": {}, "max_req_body_size": 4 });
        posted(&config, &[], "[1]").expect_status(200);
        posted(&config, &[], "[123]").expect_status(413);
        posted(&json!({ "header_schema": {}, "max_req_body_size": 4 }), &[], "[123]").expect_status(200);
    }

    #[test]
    fn a_sentence_never_quotes_a_whole_body() {
        let body = format!("{{\"title\":\"{}\"}}", "É".repeat(100_000));
        let outcome = posted(&json!({ "body_schema": title() }), &[], &body);
        assert!(outcome.expect_status(400).text().chars().count() <= 500);
    }

    #[test]
    fn header_fields_are_judged_in_any_case() {
        let schema = json!({
            "required": ["X-Version"],
            "properties": { "X-Version": { "enum": ["1", "2"] }, "x-tags": { "type": "array" } },
            "patternProperties": { "^x-secret-": { "type": "string", "maxLength": 3 } },
        });
        let config = json!({ "header_schema": schema });
        for (fields, refused) in [
            (vec![("x-version", "1")], None),
            (vec![("X-VERSION", "2"), ("X-Tags", "a"), ("x-tags", "b")], None),
            (vec![], Some("property \"X-Version\" is required")),
            (
                vec![("x-version", "3")],
                Some("property \"X-Version\" validation failed: matches none of the enum values"),
            ),
            (vec![("x-version", "1"), ("x-version", "2")], Some("property \"X-Version\" validation failed")),
            (vec![("x-version", "1"), ("X-Tags", "a")], Some("property \"x-tags\" validation failed")),
            (vec![("x-version", "1"), ("X-Secret-A", "long")], Some("failed to validate x-secret-a")),
        ] {
            let outcome = posted(&config, &fields, "any");
            match refused {
                None => assert_eq!(outcome.expect_status(200).seen().body, "any"),
                Some(sentence) => {
                    assert!(outcome.expect_status(400).text().contains(sentence), "{}", outcome.text())
                }
            }
        }
    }

    #[test]
    fn schemas_are_of_draft_7_unless_they_say_otherwise() {
        let tuple =
            json!({ "items": [{ "type": "string" }, { "type": "number" }], "additionalItems": false });
        for (body, status) in [("[\"a\",1]", 200), ("[1]", 400), ("[\"a\",1,2]", 400)] {
            posted(&json!({ "body_schema": tuple }), &[], body).expect_status(status);
        }
        let newer = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema", "prefixItems": [{ "type": "string" }]
        });
        posted(&json!({ "body_schema": newer }), &[], "[1]").expect_status(400);
        let tree = json!({ "type": "array", "items": { "$ref": "#" } });
        posted(&json!({ "body_schema": tree }), &[], "[[],[[]]]").expect_status(200);
        posted(&json!({ "body_schema": tree }), &[], "[[],[[7]]]").expect_status(400);
    }

    #[test]
    fn refuses_bodies_that_can_not_work() {
        for (body, sentence) in [
            (json!({}), "object matches none of the required: [\"header_schema\"] or [\"body_schema\"]"),
            (json!({ "body_schema": [] }), "wrong type: expected object, got table"),
            (json!({ "body_schema": { "type": "text" } }), "property \"body_schema\" can't be used: "),
            (json!({ "header_schema": { "required": "a" } }), "property \"header_schema\" can't be used: "),
            (json!({ "body_schema": { "pattern": "(" } }), "property \"body_schema\" can't be used: "),
            (json!({ "body_schema": { "$ref": "https://a.test/x.json" } }), "leaves the document"),
            (json!({ "body_schema": { "allOf": [{ "$ref": "#" }] } }), "leads back to itself"),
            (json!({ "body_schema": {}, "rejected_code": 199 }), "expected 199 to be at least 200"),
            (json!({ "body_schema": {}, "rejected_code": 600 }), "expected 600 to be at most 599"),
            (json!({ "body_schema": {}, "rejected_msg": "" }), "string too short"),
            (json!({ "body_schema": {}, "rejected_msg": "x".repeat(257) }), "string too long"),
            (json!({ "body_schema": {}, "max_req_body_size": 0 }), "expected 0 to be at least 1"),
        ] {
            let error =
                try_harness(&PLUGIN, body.clone()).err().unwrap_or_else(|| panic!("{body} was taken"));
            assert!(error.message.contains(sentence), "{body}: {error}");
        }
    }
}
