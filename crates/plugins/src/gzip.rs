//! `gzip` compresses answers on their way to clients that take it.
//!
//! Bodies are compressed piece by piece as they come, each piece flushed, so that a stream of events stays a stream. It comes behind all other
//! plugins: what they make of a body is what is compressed.
//!
//! Example: `{"types": ["text/html", "application/json"], "min_length": 100, "comp_level": 5, "vary": true}`

use std::io;

use flate2::Compression;
use flate2::write::GzEncoder;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use usher_pipeline::body::BodyStep;
use usher_pipeline::env::Env;
use usher_pipeline::exchange::Exchange;
use usher_pipeline::plugin::{BuildError, Flow, Phases, Plugin};
use usher_pipeline::spec::Spec;

use crate::coded::{Encoder, Least, Rules, Step, Types};
use crate::schema::number;

/// `gzip`.
pub(crate) static PLUGIN: Spec = Spec::of::<Gzip>();

/// Compresses answers.
#[derive(Deserialize, JsonSchema)]
struct Config {
    /// The types of answers that are compressed, or `"*"` for all.
    #[serde(default)]
    types: Types,
    /// Answers whose length is known to be less, in bytes, are left alone.
    #[serde(default = "number::<20>")]
    #[schemars(range(min = 1))]
    min_length: u64,
    /// 1 is fastest, 9 is smallest.
    #[serde(default = "level")]
    #[schemars(range(min = 1, max = 9))]
    comp_level: u32,
    /// The least version of HTTP that a client has to speak.
    #[serde(default)]
    http_version: Least,
    /// Accepted for APISIX's sake: a piece of a body is compressed as it comes, whatever its size.
    #[serde(default)]
    #[expect(dead_code, reason = "nginx's own buffers, which are not here")]
    buffers: Buffers,
    /// Says in `Vary` that the answer depends on `Accept-Encoding`.
    #[serde(default)]
    vary: Option<bool>,
}

/// nginx's buffers for what is compressed.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(default)]
struct Buffers {
    /// How many, at least 1.
    #[schemars(range(min = 1))]
    number: u64,
    /// How large one is, in bytes, at least 1.
    #[schemars(range(min = 1))]
    size: u64,
}

impl Default for Buffers {
    fn default() -> Self {
        Self { number: 32, size: 4096 }
    }
}

const fn level() -> u32 {
    1
}

struct Gzip {
    rules: Rules,
    level: Compression,
}

/// Marks an answer whose body is compressed.
#[derive(Default)]
struct Coded;

impl Plugin for Gzip {
    const NAME: &'static str = "gzip";
    const PRIORITY: i32 = 995;
    const PHASES: Phases<Self> =
        Phases { header_filter: Some(Self::announce), body_filter: Some(Self::compress), ..Phases::NONE };
    const OUTERMOST: bool = true;
    type Config = Config;

    fn build(config: Config, _: &Env<'_>) -> Result<Self, BuildError> {
        let rules = Rules {
            types: config.types,
            least_length: config.min_length,
            least_version: config.http_version,
            vary: config.vary.unwrap_or(false),
            // Those of nginx, whose compression this is in APISIX.
            statuses: &[200, 403, 404],
            coding: "gzip",
        };
        Ok(Self { rules, level: Compression::new(config.comp_level) })
    }
}

impl Gzip {
    fn announce(&self, exchange: &mut Exchange) -> Flow {
        if self.rules.apply(exchange) {
            exchange.slot::<_, Coded>(self);
        }
        Flow::Continue
    }

    fn compress(&self, exchange: &mut Exchange) -> Option<Box<dyn BodyStep>> {
        exchange.existing_slot::<_, Coded>(self)?;
        Some(Box::new(Step::new(GzEncoder::new(Vec::new(), self.level))))
    }
}

impl Encoder for GzEncoder<Vec<u8>> {
    fn made(&mut self) -> &mut Vec<u8> {
        self.get_mut()
    }

    fn finished(self) -> io::Result<Vec<u8>> {
        self.finish()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flate2::read::GzDecoder;
    use serde_json::{Map, Value, json};
    use usher_pipeline::harness::{Harness, harness, try_harness, try_harness_of};
    use usher_pipeline::reply::Reply;

    use super::PLUGIN;

    const TAKES: (&str, &str) = ("Accept-Encoding", "gzip");

    fn bench(
        body: Value,
        kind: &'static str,
        text: &'static str,
        fields: &'static [(&str, &str)],
    ) -> Harness {
        harness(&PLUGIN, body).upstream(move |_| {
            let reply = Reply::text(200, kind, text).with("Content-Length", text.len().to_string());
            fields.iter().fold(reply, |reply, (name, value)| reply.with(name, value))
        })
    }

    fn plain(coded: &[u8]) -> String {
        let mut text = String::new();
        GzDecoder::new(coded).read_to_string(&mut text).unwrap();
        text
    }

    const TEXT: &str = "a text that is long enough, that is long enough, that is long enough";

    #[test]
    fn compresses_what_suits() {
        let fields: &[_] = &[("ETag", "\"1\""), ("Accept-Ranges", "bytes")];
        let outcome = bench(json!({ "vary": true }), "text/html; charset=utf-8", TEXT, fields).send(
            "GET",
            "/",
            &[TAKES],
            "",
        );
        assert_eq!(plain(&outcome.body), TEXT);
        for (name, wanted) in [
            ("Content-Encoding", Some("gzip")),
            ("Vary", Some("Accept-Encoding")),
            ("ETag", Some("W/\"1\"")),
            ("Content-Length", None),
            ("Accept-Ranges", None),
        ] {
            assert_eq!(outcome.field(name), wanted, "{name}");
        }
    }

    #[test]
    fn leaves_everything_else_alone() {
        let coded: &'static [(&str, &str)] = &[("Content-Encoding", "br")];
        let fixed: &'static [(&str, &str)] = &[("Cache-Control", "public, No-Transform")];
        for (body, kind, text, fields, request) in [
            (json!({}), "text/plain", TEXT, &[] as &[_], vec![TAKES]),
            (json!({}), "text/html", "short", &[], vec![TAKES]),
            (json!({}), "text/html", TEXT, coded, vec![TAKES]),
            (json!({}), "text/html", TEXT, fixed, vec![TAKES]),
            (json!({}), "text/html", TEXT, &[], vec![]),
            (json!({}), "text/html", TEXT, &[], vec![("Accept-Encoding", "gzip;q=0")]),
            (json!({}), "text/html", TEXT, &[], vec![TAKES, ("Range", "bytes=0-1")]),
        ] {
            let outcome = bench(body, kind, text, fields).send("GET", "/", &request, "");
            assert_eq!(outcome.text(), text, "{kind} {request:?}");
            assert!(
                outcome.field("Content-Encoding") != Some("gzip")
                    && outcome.field("Content-Length").is_some()
            );
        }
        let mut failing = harness(&PLUGIN, json!({})).upstream(|_| Reply::text(502, "text/html", TEXT));
        assert_eq!(failing.send("GET", "/", &[TAKES], "").text(), TEXT);
        let all = bench(json!({ "types": "*" }), "image/x", TEXT, &[]).send("GET", "/", &[TAKES], "");
        assert_eq!(plain(&all.body), TEXT);
        let varies = bench(json!({ "vary": true }), "text/html", TEXT, &[]).get("/");
        assert_eq!((varies.text(), varies.field("Vary")), (TEXT, Some("Accept-Encoding")));
    }

    #[test]
    fn the_least_version_of_http_is_a_number_or_a_text() {
        for version in [json!(1.1), json!(1.0), json!(1), json!("1.1"), json!("1.0")] {
            let mut bench = bench(json!({ "http_version": version }), "text/html", TEXT, &[]);
            let outcome = bench.send("GET", "/", &[TAKES], "");
            assert_eq!(outcome.field("Content-Encoding"), Some("gzip"), "{version}");
        }
    }

    #[test]
    fn comes_behind_plugins_of_lower_priority() {
        let bodies = Map::from_iter([
            ("gzip".to_owned(), json!({})),
            ("response-rewrite".to_owned(), json!({ "filters": [{ "regex": "one", "replace": "two" }] })),
        ]);
        let mut bench = try_harness_of(&[&PLUGIN, &crate::response_rewrite::PLUGIN], bodies)
            .unwrap()
            .upstream(|_| Reply::text(200, "text/html", "one one one one one one one one one"));
        let outcome = bench.send("GET", "/", &[TAKES], "");
        assert_eq!(outcome.field("Content-Encoding"), Some("gzip"));
        assert_eq!(plain(&outcome.body), "two one one one one one one one one");
    }

    #[test]
    fn refuses_bodies_that_can_not_work() {
        for (body, sentence) in [
            (json!({ "types": [] }), "types"),
            (json!({ "types": "text/html" }), "types"),
            (json!({ "comp_level": 10 }), "expected 10 to be at most 9"),
            (json!({ "min_length": 0 }), "expected 0 to be at least 1"),
            (json!({ "http_version": "2" }), "matches none of the enum values"),
            (json!({ "http_version": 2 }), "matches none of the enum values"),
            (json!({ "buffers": { "number": 0 } }), "expected 0 to be at least 1"),
        ] {
            let error =
                try_harness(&PLUGIN, body.clone()).err().unwrap_or_else(|| panic!("{body} was taken"));
            assert!(error.message.contains(sentence), "{body}: {error}");
        }
    }
}
