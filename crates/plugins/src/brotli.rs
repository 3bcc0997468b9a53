//! `brotli` compresses answers on their way to clients that take `br`, smaller than `gzip` does.
//!
//! Bodies are compressed piece by piece as they come, each piece flushed, so that a stream of events stays a stream. It comes behind all other
//! plugins, and before `gzip`, which leaves alone what is compressed already.
//!
//! Example: `{"types": ["text/html", "application/json"], "min_length": 100, "comp_level": 5}`

use std::io;

use brotli::CompressorWriter;
use brotli::enc::BrotliEncoderParams;
use brotli::enc::backward_references::BrotliEncoderMode;
use schemars::JsonSchema;
use serde::Deserialize;
use usher_pipeline::body::BodyStep;
use usher_pipeline::env::Env;
use usher_pipeline::exchange::Exchange;
use usher_pipeline::plugin::{BuildError, Flow, Phases, Plugin};
use usher_pipeline::spec::Spec;

use crate::coded::{Encoder, Least, Rules, Step, Types};
use crate::schema::{number, yes};

/// `brotli`.
pub(crate) static PLUGIN: Spec = Spec::of::<Brotli>();

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
    /// What is compressed: 0 anything, 1 text, 2 fonts.
    #[serde(default = "small::<0>")]
    #[schemars(range(min = 0, max = 2))]
    mode: u8,
    /// 0 is fastest, 11 is smallest.
    #[serde(default = "small::<6>")]
    #[schemars(range(min = 0, max = 11))]
    comp_level: u8,
    /// How far back repetitions are looked for: 2 to this power, in bytes; 0 stands for 19. A stream takes about as much memory.
    #[serde(default = "small::<WINDOW>")]
    #[schemars(extend("enum" = [0, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24]))]
    lgwin: u8,
    /// The size of a block: 2 to this power, in bytes; 0 leaves it to the level.
    #[serde(default = "small::<0>")]
    #[schemars(extend("enum" = [0, 16, 17, 18, 19, 20, 21, 22, 23, 24]))]
    lgblock: u8,
    /// The least version of HTTP that a client has to speak.
    #[serde(default)]
    http_version: Least,
    /// Says in `Vary` that the answer depends on `Accept-Encoding`.
    #[serde(default = "yes")]
    vary: bool,
}

/// The window where nothing else is asked for.
const WINDOW: u8 = 19;

const fn small<const N: u8>() -> u8 {
    N
}

struct Brotli {
    rules: Rules,
    mode: u8,
    level: u8,
    window: u8,
    block: u8,
}

/// Marks an answer whose body is compressed.
#[derive(Default)]
struct Coded;

impl Plugin for Brotli {
    const NAME: &'static str = "brotli";
    const PRIORITY: i32 = 996;
    const PHASES: Phases<Self> =
        Phases { header_filter: Some(Self::announce), body_filter: Some(Self::compress), ..Phases::NONE };
    const OUTERMOST: bool = true;
    type Config = Config;

    fn build(config: Config, _: &Env<'_>) -> Result<Self, BuildError> {
        let rules = Rules {
            types: config.types,
            least_length: config.min_length,
            least_version: config.http_version,
            vary: config.vary,
            statuses: &[],
            coding: "br",
        };
        Ok(Self {
            rules,
            mode: config.mode,
            level: config.comp_level,
            window: if config.lgwin == 0 { WINDOW } else { config.lgwin },
            block: config.lgblock,
        })
    }
}

/// What the encoder holds back before it is asked for it, in bytes.
const BUFFER: usize = 4096;

impl Brotli {
    fn announce(&self, exchange: &mut Exchange) -> Flow {
        if self.rules.apply(exchange) {
            exchange.slot::<_, Coded>(self);
        }
        Flow::Continue
    }

    fn compress(&self, exchange: &mut Exchange) -> Option<Box<dyn BodyStep>> {
        exchange.existing_slot::<_, Coded>(self)?;
        let params = BrotliEncoderParams {
            quality: i32::from(self.level),
            lgwin: i32::from(self.window),
            lgblock: i32::from(self.block),
            mode: match self.mode {
                1 => BrotliEncoderMode::BROTLI_MODE_TEXT,
                2 => BrotliEncoderMode::BROTLI_MODE_FONT,
                _ => BrotliEncoderMode::BROTLI_MODE_GENERIC,
            },
            ..BrotliEncoderParams::default()
        };
        Some(Box::new(Step::new(CompressorWriter::with_params(Vec::new(), BUFFER, &params))))
    }
}

impl Encoder for CompressorWriter<Vec<u8>> {
    fn made(&mut self) -> &mut Vec<u8> {
        self.get_mut()
    }

    fn finished(self) -> io::Result<Vec<u8>> {
        Ok(self.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use brotli_decompressor::Decompressor;
    use serde_json::{Map, json};
    use usher_pipeline::harness::{harness, try_harness, try_harness_of};
    use usher_pipeline::reply::Reply;

    use super::PLUGIN;

    const TEXT: &str = "a text that is long enough, that is long enough, that is long enough";

    fn plain(coded: &[u8]) -> String {
        let mut text = String::new();
        Decompressor::new(coded, 4096).read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn compresses_what_suits_in_every_mode() {
        for more in [
            json!({}),
            json!({ "mode": 1, "comp_level": 0 }),
            json!({ "mode": 2, "comp_level": 11, "lgwin": 10, "lgblock": 16 }),
            json!({ "lgwin": 0, "http_version": 1.1 }),
        ] {
            let mut bench = harness(&PLUGIN, more.clone()).upstream(|_| Reply::text(200, "text/html", TEXT));
            let outcome = bench.send("GET", "/", &[("Accept-Encoding", "gzip, br")], "");
            assert_eq!(plain(&outcome.body), TEXT, "{more}");
            assert_eq!(
                (outcome.field("Content-Encoding"), outcome.field("Vary")),
                (Some("br"), Some("Accept-Encoding"))
            );
            assert_eq!(bench.send("GET", "/", &[("Accept-Encoding", "gzip")], "").text(), TEXT);
        }
    }

    #[test]
    fn comes_before_gzip_where_a_client_takes_both() {
        let bodies = Map::from_iter([("gzip".to_owned(), json!({})), ("brotli".to_owned(), json!({}))]);
        let mut bench = try_harness_of(&[&PLUGIN, &crate::gzip::PLUGIN], bodies)
            .unwrap()
            .upstream(|_| Reply::text(200, "text/html", TEXT));
        for (takes, wanted) in [("gzip, br", "br"), ("gzip", "gzip"), ("br", "br")] {
            let outcome = bench.send("GET", "/", &[("Accept-Encoding", takes)], "");
            assert_eq!(outcome.field("Content-Encoding"), Some(wanted));
        }
    }

    #[test]
    fn refuses_bodies_that_can_not_work() {
        for (body, sentence) in [
            (json!({ "mode": 3 }), "expected 3 to be at most 2"),
            (json!({ "comp_level": 12 }), "expected 12 to be at most 11"),
            (json!({ "lgwin": 9 }), "property \"lgwin\" validation failed: matches none of the enum values"),
            (json!({ "lgblock": 5 }), "matches none of the enum values"),
        ] {
            let error =
                try_harness(&PLUGIN, body.clone()).err().unwrap_or_else(|| panic!("{body} was taken"));
            assert!(error.message.contains(sentence), "{body}: {error}");
        }
    }
}
