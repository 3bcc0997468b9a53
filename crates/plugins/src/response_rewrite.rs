//! `response-rewrite` changes answers on their way to the client: status, header fields, body.
//!
//! A new body streams as any other; only filters keep a body back until it is whole, because a match may lie across two pieces of it.
//!
//! Example: `{"headers": {"set": {"X-Served-By": "usher"}, "remove": ["X-Powered-By"]}, "filters": [{"regex": "internal\\.test", "replace": "example.com", "scope": "global"}], "vars": [["status", "==", 200]]}`

mod config;
mod steps;

use std::sync::Arc;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use serde_json::Value;
use usher_http1::head::Head;
use usher_model::expr::Expr;
use usher_pipeline::body::BodyStep;
use usher_pipeline::env::Env;
use usher_pipeline::exchange::Exchange;
use usher_pipeline::plugin::{BuildError, Flow, Phases, Plugin};
use usher_pipeline::reply::Reply;
use usher_pipeline::spec::Spec;

use crate::decode::Coding;
use crate::field_edits::FieldEdits;
use crate::pattern::check_count;
use config::Config;
use steps::{Filter, Filtered, Instead};

/// `response-rewrite`.
pub(crate) static PLUGIN: Spec = Spec::of::<ResponseRewrite>();

struct ResponseRewrite {
    vars: Option<Expr>,
    status: Option<u16>,
    edits: FieldEdits,
    body: Body,
    max_body_bytes: usize,
}

enum Body {
    Kept,
    Replaced(Bytes),
    Filtered(Arc<[Filter]>),
}

/// What `header_filter` settled for this answer's body.
#[derive(Default)]
enum Plan {
    #[default]
    Untouched,
    Replace,
    Filter(Coding),
}

/// Fields that speak of the body as it was.
const OF_THE_OLD_BODY: [&str; 9] = [
    "Content-Length",
    "Content-Encoding",
    "Last-Modified",
    "ETag",
    "Content-MD5",
    "Digest",
    "Content-Digest",
    "Repr-Digest",
    "Accept-Ranges",
];

impl Plugin for ResponseRewrite {
    const NAME: &'static str = "response-rewrite";
    const PRIORITY: i32 = 899;
    const PHASES: Phases<Self> =
        Phases { header_filter: Some(Self::head), body_filter: Some(Self::body), ..Phases::NONE };
    type Config = Config;

    fn build(config: Config, _: &Env<'_>) -> Result<Self, BuildError> {
        let vars = config.vars.map(|vars| Expr::parse(&Value::Array(vars))).transpose();
        let vars = vars
            .map_err(|error| BuildError::new(format!("failed to validate the 'vars' expression: {error}")))?;
        let body = match (config.body, config.filters) {
            (Some(body), _) if config.body_base64 => Body::Replaced(decoded(&body)?),
            (None, _) if config.body_base64 => return Err(BuildError::new("invalid base64 content")),
            (Some(body), _) => Body::Replaced(body.into()),
            (None, Some(filters)) => {
                check_count("filters", filters.len())?;
                Body::Filtered(filters.iter().map(Filter::new).collect::<Result<_, _>>()?)
            }
            (None, None) => Body::Kept,
        };
        Ok(Self {
            vars,
            status: config.status_code,
            edits: config.headers.as_ref().map(FieldEdits::parse).transpose()?.unwrap_or_default(),
            body,
            max_body_bytes: usize::try_from(config.max_resp_body_size).unwrap_or(usize::MAX),
        })
    }
}

fn decoded(text: &str) -> Result<Bytes, BuildError> {
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let bytes = GeneralPurpose::new(&STANDARD, config).decode(text).ok().filter(|bytes| !bytes.is_empty());
    bytes.map(Bytes::from).ok_or_else(|| BuildError::new("invalid base64 content"))
}

impl ResponseRewrite {
    fn head(&self, exchange: &mut Exchange) -> Flow {
        // An answer that hands the connection over to another protocol is no text to be changed.
        if exchange.answer.status() == 101 || self.vars.as_ref().is_some_and(|vars| !vars.eval(exchange)) {
            return Flow::Continue;
        }
        let plan = self.plan(&exchange.answer);
        if matches!(plan, Plan::Filter(_)) && self.is_too_large(&exchange.answer) {
            tracing::warn!(limit = self.max_body_bytes, "an answer is too large to be filtered");
            return Reply::new(502).into();
        }
        if !matches!(plan, Plan::Untouched) {
            for name in OF_THE_OLD_BODY {
                exchange.answer.remove(name);
            }
            *exchange.slot::<_, Plan>(self) = plan;
        }
        if let Some(status) = self.status {
            exchange.answer.set_status(status);
        }
        let edited = self.edits.apply(
            exchange,
            |exchange| &mut exchange.answer,
            |exchange, text| text.render(exchange),
        );
        if let Err(error) = edited {
            tracing::warn!(%error, "left out a field of an answer");
        }
        Flow::Continue
    }

    fn plan(&self, answer: &Head) -> Plan {
        match &self.body {
            Body::Kept => Plan::Untouched,
            Body::Replaced(_) => Plan::Replace,
            Body::Filtered(_) => match Coding::of(answer) {
                Some(coding) => Plan::Filter(coding),
                None => {
                    tracing::warn!("an answer is in a coding that filters can't read");
                    Plan::Untouched
                }
            },
        }
    }

    fn is_too_large(&self, answer: &Head) -> bool {
        let length = answer.get_str("content-length").and_then(|length| length.parse::<u64>().ok());
        length.is_some_and(|length| length > self.max_body_bytes as u64)
    }

    fn body(&self, exchange: &mut Exchange) -> Option<Box<dyn BodyStep>> {
        match (std::mem::take(exchange.existing_slot::<_, Plan>(self)?), &self.body) {
            (Plan::Replace, Body::Replaced(body)) => Some(Box::new(Instead(body.clone()))),
            (Plan::Filter(coding), Body::Filtered(filters)) => Some(Box::new(Filtered {
                filters: Arc::clone(filters),
                coding,
                limit: self.max_body_bytes,
                held: Vec::new(),
            })),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use serde_json::{Value, json};
    use usher_pipeline::harness::{Harness, harness, try_harness};
    use usher_pipeline::reply::Reply;

    use super::PLUGIN;

    /// An upstream whose answer says all that speaks of a body.
    fn bench(body: Value) -> Harness {
        harness(&PLUGIN, body).upstream(|_| {
            Reply::text(200, "text/plain", "one fish, two fish")
                .with("Content-Length", "18")
                .with("ETag", "\"1\"")
                .with("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
                .with("Content-Digest", "sha-256=:x:")
                .with("X-Powered-By", "upstream")
        })
    }

    #[test]
    fn puts_another_body_in_place_and_takes_away_what_spoke_of_the_old_one() {
        for (body, wanted) in [
            (json!({ "body": "new" }), b"new".as_slice()),
            (json!({ "body": "" }), b""),
            (json!({ "body": "AAH/", "body_base64": true }), &[0, 1, 255]),
            (json!({ "body": "bmV3Cg", "body_base64": true }), b"new\n"),
        ] {
            let outcome = bench(body.clone()).get("/");
            assert_eq!(&*outcome.expect_status(200).body, wanted, "{body}");
            for gone in ["Content-Length", "Content-Encoding", "ETag", "Last-Modified", "Content-Digest"] {
                assert_eq!(outcome.field(gone), None, "{body} {gone}");
            }
            assert_eq!(outcome.field("Content-Type"), Some("text/plain"));
        }
    }

    #[test]
    fn leaves_the_body_alone_where_only_the_head_changes() {
        let outcome = bench(json!({ "status_code": 201, "headers": { "X-A": "1" } })).get("/");
        assert_eq!(outcome.expect_status(201).text(), "one fish, two fish");
        assert_eq!(outcome.field("ETag"), Some("\"1\""));
        assert_eq!(outcome.field("Content-Length"), Some("18"));
    }

    #[test]
    fn edits_fields_in_the_old_and_in_the_new_form() {
        let old = json!({ "headers": { "X-Powered-By": "$request_method", "X-Number": 5 } });
        let outcome = bench(old).get("/");
        assert_eq!(outcome.field("X-Powered-By"), Some("GET"));
        assert_eq!(outcome.field("X-Number"), Some("5"));
        let new = json!({ "headers": {
            "add": ["Set-Cookie: a=1; Max-Age=1", "Set-Cookie:b=2", "X-Powered-By: more", "X-Url: http://$host:80/"],
            "set": { "X-Status": "$status", "ETag": "W/\"2\"" },
            "remove": ["X-Powered-By", "Last-Modified"],
        } });
        let outcome = bench(new).get("/");
        let cookies: Vec<_> = outcome.head.get_all("Set-Cookie").collect();
        assert_eq!(cookies, [b"a=1; Max-Age=1".as_slice(), b"b=2"]);
        for (name, wanted) in [
            ("X-Url", Some("http://a.test:80/")),
            ("X-Status", Some("200")),
            ("ETag", Some("W/\"2\"")),
            ("X-Powered-By", None),
            ("Last-Modified", None),
        ] {
            assert_eq!(outcome.field(name), wanted, "{name}");
        }
    }

    #[test]
    fn a_field_that_is_set_to_nothing_is_taken_away() {
        for headers in [json!({ "X-Powered-By": "" }), json!({ "set": { "X-Powered-By": "$arg_none" } })] {
            let outcome = bench(json!({ "headers": headers })).get("/");
            assert_eq!(outcome.expect_status(200).field("X-Powered-By"), None, "{headers}");
        }
    }

    #[test]
    fn a_value_that_would_tear_a_line_is_left_out() {
        let body = json!({ "headers": { "set": { "X-Bad": "$arg_x", "X-Good": "1" } } });
        let outcome = bench(body).get("/?x=a%0d%0aSet-Cookie:%20b");
        outcome.expect_status(200);
        assert_eq!((outcome.field("X-Bad"), outcome.field("X-Good")), (None, Some("1")));
        assert_eq!(outcome.field("Set-Cookie"), None);
    }

    #[test]
    fn replaces_texts_in_the_body() {
        let filter = |more: Value| {
            let mut filter = json!({ "regex": "(f)ish", "replace": "$1rog" });
            filter.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            filter
        };
        for (filters, wanted) in [
            (json!([filter(json!({}))]), "one frog, two fish"),
            (json!([filter(json!({ "scope": "global" }))]), "one frog, two frog"),
            (json!([filter(json!({ "regex": "FISH" }))]), "one fish, two fish"),
            (json!([filter(json!({ "regex": "(F)ISH", "options": "ijo" }))]), "one frog, two fish"),
            (
                json!([
                    filter(json!({ "scope": "global" })),
                    filter(json!({ "regex": "frog, two", "replace": "$$" }))
                ]),
                "one $ frog",
            ),
            (json!([filter(json!({ "regex": "^one.*$", "replace": "" }))]), ""),
        ] {
            let outcome = bench(json!({ "filters": filters })).get("/");
            assert_eq!(outcome.expect_status(200).text(), wanted, "{filters}");
            assert_eq!((outcome.field("ETag"), outcome.field("Content-Length")), (None, None));
        }
    }

    #[test]
    fn reads_a_coded_body_and_sends_it_decoded() {
        let coded = || {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(b"one fish").unwrap();
            encoder.finish().unwrap()
        };
        let body =
            json!({ "filters": [{ "regex": "fish", "replace": "frog" }], "headers": { "X-Seen": "yes" } });
        for (coding, wanted, left) in [
            ("gzip", b"one frog".to_vec(), None),
            ("zstd", coded(), Some("zstd")),
            ("gzip, gzip", coded(), Some("gzip, gzip")),
        ] {
            let mut bench = harness(&PLUGIN, body.clone()).upstream(move |_| {
                Reply::text(200, "text/plain", coded()).with("Content-Encoding", coding).with("ETag", "\"1\"")
            });
            let outcome = bench.get("/");
            assert_eq!(outcome.body, wanted, "{coding}");
            assert_eq!(outcome.field("Content-Encoding"), left, "{coding}");
            assert_eq!(outcome.field("ETag").is_some(), left.is_some(), "{coding}");
            assert_eq!(outcome.field("X-Seen"), Some("yes"), "{coding}");
        }
    }

    #[test]
    fn an_answer_known_to_be_too_large_for_filters_is_answered_502() {
        let body = json!({ "filters": [{ "regex": "a", "replace": "b" }], "max_resp_body_size": 17 });
        bench(body).get("/").expect_status(502);
        let body = json!({ "body": "new", "max_resp_body_size": 17 });
        assert_eq!(bench(body).get("/").expect_status(200).text(), "new");
    }

    #[test]
    #[should_panic(expected = "a step that takes the body")]
    fn an_answer_that_grows_too_large_for_filters_is_cut() {
        let body = json!({ "filters": [{ "regex": "a", "replace": "b" }], "max_resp_body_size": 4 });
        harness(&PLUGIN, body).upstream(|_| Reply::text(200, "text/plain", "12345")).get("/");
    }

    #[test]
    fn looks_at_the_answer_before_it_changes_it() {
        let body = json!({ "status_code": 200, "body": "all is well", "vars": [["status", "==", 500]] });
        for (status, wanted, text) in [(500, 200, "all is well"), (404, 404, "gone"), (101, 101, "gone")] {
            let mut bench =
                harness(&PLUGIN, body.clone()).upstream(move |_| Reply::text(status, "text/plain", "gone"));
            assert_eq!(bench.get("/").expect_status(wanted).text(), text, "{status}");
        }
    }

    #[test]
    fn refuses_bodies_that_can_not_work() {
        for (body, sentence) in [
            (json!({ "status_code": 199 }), "expected 199 to be at least 200"),
            (json!({ "status_code": 599 }), "expected 599 to be at most 598"),
            (json!({ "body": 5 }), "wrong type: expected string, got number"),
            (json!({ "body_base64": true }), "invalid base64 content"),
            (json!({ "body": "", "body_base64": true }), "invalid base64 content"),
            (json!({ "body": "a*", "body_base64": true }), "invalid base64 content"),
            (json!({ "headers": { "set": {} } }), "property \"headers\" validation failed"),
            (json!({ "headers": { "add": ["no colon"] } }), "property \"headers\" validation failed"),
            (json!({ "headers": { "a b": "x" } }), "invalid field character in header"),
            (json!({ "headers": { "set": { "X": "a\nb" } } }), "invalid value character in header"),
            (
                json!({ "vars": [["status", "=", 1]] }),
                "failed to validate the 'vars' expression: invalid operator '='",
            ),
            (json!({ "filters": [] }), "expect array to have at least 1 items"),
            (json!({ "filters": [{ "regex": "a" }] }), "property \"replace\" is required"),
            (json!({ "filters": [{ "regex": "", "replace": "" }] }), "string too short"),
            (
                json!({ "filters": [{ "regex": "a", "replace": "", "scope": "all" }] }),
                "matches none of the enum values",
            ),
            (json!({ "filters": [{ "regex": "(", "replace": "" }] }), "regex \"(\" validation failed: "),
            (
                json!({ "filters": [{ "regex": "a", "replace": "", "options": "z" }] }),
                "regex \"a\" validation failed: unknown flag \"z\"",
            ),
            (
                json!({ "body": "x", "filters": [{ "regex": "a", "replace": "b" }] }),
                "failed to validate dependent schema for \"body\": value wasn't supposed to match schema",
            ),
            (json!({ "body": "x", "max_resp_body_size": 0 }), "expected 0 to be at least 1"),
        ] {
            let error =
                try_harness(&PLUGIN, body.clone()).err().unwrap_or_else(|| panic!("{body} was taken"));
            assert!(error.message.contains(sentence), "{body}: {error}");
        }
    }
}
