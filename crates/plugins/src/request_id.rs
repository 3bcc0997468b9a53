//! `request-id` gives each request an id that upstream, client and logs share.
//!
//! Ids tell requests apart; they are no secrets, so they come from a fast generator of the worker's own and cost no system call.
//!
//! Example: `{"header_name": "X-Request-Id", "algorithm": "uuid"}`

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use usher_http1::head::Head;
use usher_pipeline::env::Env;
use usher_pipeline::exchange::Exchange;
use usher_pipeline::plugin::{BuildError, Flow, Hook, Phases, Plugin};
use usher_pipeline::spec::Spec;
use uuid::Builder;
use uuid::fmt::Hyphenated;

use crate::schema::yes;

/// `request-id`.
pub(crate) static PLUGIN: Spec = Spec::of::<RequestId>();

/// Gives each request an id; one that the client sends along is kept.
#[derive(Deserialize, JsonSchema)]
struct Config {
    /// The header that carries the id.
    #[serde(default = "header_name")]
    header_name: String,
    /// Sends the id to the client too, unless the upstream's answer has that header already.
    #[serde(default = "yes")]
    include_in_response: bool,
    /// How ids are made.
    #[serde(default)]
    algorithm: Algorithm,
    /// What ids of the algorithm `range_id` look like.
    #[serde(default)]
    range_id: RangeId,
}

fn header_name() -> String {
    "X-Request-Id".to_owned()
}

#[derive(Clone, Copy, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Algorithm {
    /// 36 characters, random (version 4 of RFC 9562).
    #[default]
    Uuid,
    /// 21 characters that may stand in an address.
    Nanoid,
    /// As `range_id` says.
    RangeId,
    /// 27 characters, ordered by the second.
    Ksuid,
    /// 36 characters, ordered by the millisecond (version 7 of RFC 9562).
    Uuidv7,
}

/// What ids of the algorithm `range_id` look like.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(default)]
struct RangeId {
    /// How many characters an id has, 6 to 1024.
    #[schemars(range(min = 6))]
    length: usize,
    /// The characters that ids are made of, at least 6.
    #[schemars(length(min = 6))]
    char_set: String,
}

impl Default for RangeId {
    fn default() -> Self {
        // The alphabet of APISIX, letter for letter.
        Self {
            length: 16,
            char_set: "abcdefghijklmnopqrstuvwxyzABCDEFGHIGKLMNOPQRSTUVWXYZ0123456789".to_owned(),
        }
    }
}

/// The longest id that `range_id` may ask for.
const MAX_LENGTH: usize = 1024;
/// The variable that logs and other plugins read the id by.
const VARIABLE: &str = "apisix_request_id";
/// The characters of a nanoid.
const NANOID: &[u8] = b"-_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// The digits of a ksuid.
const BASE62: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Where a ksuid's clock begins, in seconds since 1970.
const KSUID_EPOCH: u64 = 1_400_000_000;

struct RequestId {
    header_name: String,
    include_in_response: bool,
    algorithm: Algorithm,
    length: usize,
    char_set: Vec<u8>,
}

impl Plugin for RequestId {
    const NAME: &'static str = "request-id";
    const PRIORITY: i32 = 12015;
    const PHASES: Phases<Self> =
        Phases { rewrite: Some(Hook::Now(Self::name)), header_filter: Some(Self::tell), ..Phases::NONE };
    type Config = Config;

    fn build(config: Config, _: &Env<'_>) -> Result<Self, BuildError> {
        let RangeId { length, char_set } = config.range_id;
        if length > MAX_LENGTH {
            return Err(BuildError::new(format!(
                "property \"range_id\" validation failed: property \"length\" validation failed: expected {length} to be at most {MAX_LENGTH}"
            )));
        }
        let mut probe = Head::empty();
        if probe.set(&config.header_name, &char_set).is_err() || !char_set.is_ascii() {
            return Err(BuildError::new(format!(
                "the header {:?} can't carry ids of the characters {char_set:?}: a header's name is letters, digits and -, an id is printable ASCII",
                config.header_name
            )));
        }
        Ok(Self {
            header_name: config.header_name,
            include_in_response: config.include_in_response,
            algorithm: config.algorithm,
            length,
            char_set: char_set.into_bytes(),
        })
    }
}

impl RequestId {
    fn name(&self, exchange: &mut Exchange) -> Flow {
        let sent = exchange.request.head.get(&self.header_name).filter(|value| !value.is_empty());
        if let Some(sent) = sent {
            let sent = String::from_utf8_lossy(sent).into_owned();
            exchange.set_variable(VARIABLE, sent);
            return Flow::Continue;
        }
        let id = self.make(exchange.worker().unix_ms());
        if let Err(error) = exchange.request.head.set(&self.header_name, &id) {
            tracing::error!(%error, "an id can't be sent");
        }
        exchange.set_variable(VARIABLE, id);
        Flow::Continue
    }

    fn tell(&self, exchange: &mut Exchange) -> Flow {
        if !self.include_in_response || exchange.answer.get(&self.header_name).is_some_and(|v| !v.is_empty())
        {
            return Flow::Continue;
        }
        // Asked of the request, not of the variable: two of this plugin may run with different headers.
        if let Some(id) = exchange.request.head.get(&self.header_name)
            && let Err(error) = exchange.answer.set(&self.header_name, id)
        {
            tracing::debug!(%error, "left out a request id");
        }
        Flow::Continue
    }

    fn make(&self, unix_ms: u64) -> String {
        match self.algorithm {
            Algorithm::Uuid => spelled(Builder::from_random_bytes(random())),
            Algorithm::Uuidv7 => {
                let [_, _, _, _, _, _, tail @ ..] = random();
                spelled(Builder::from_unix_timestamp_millis(unix_ms, &tail))
            }
            Algorithm::Nanoid => characters(NANOID, 21),
            Algorithm::RangeId => characters(&self.char_set, self.length),
            Algorithm::Ksuid => ksuid((unix_ms / 1000).saturating_sub(KSUID_EPOCH)),
        }
    }
}

fn random() -> [u8; 16] {
    fastrand::u128(..).to_be_bytes()
}

fn spelled(builder: Builder) -> String {
    let mut buffer = [0; Hyphenated::LENGTH];
    builder.into_uuid().hyphenated().encode_lower(&mut buffer).to_owned()
}

fn characters(alphabet: &[u8], length: usize) -> String {
    (0..length).filter_map(|_| fastrand::choice(alphabet)).map(|byte| char::from(*byte)).collect()
}

/// 32 bits of seconds and 128 random bits, as 27 digits to the base of 62.
fn ksuid(seconds: u64) -> String {
    let random = random();
    let mut number: Vec<u8> =
        [seconds.to_be_bytes().get(4..).unwrap_or_default(), random.as_slice()].concat();
    let mut digits = Vec::with_capacity(27);
    for _ in 0..27 {
        let mut rest = 0_u32;
        for byte in &mut number {
            let value = rest << 8 | u32::from(*byte);
            // A quotient below 256: the rest is always below 62.
            *byte = (value / 62) as u8;
            rest = value % 62;
        }
        digits.extend(BASE62.get(rest as usize).map(|digit| char::from(*digit)));
    }
    digits.into_iter().rev().collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use serde_json::json;
    use usher_model::variables::Variables as _;
    use usher_pipeline::harness::{harness, try_harness};
    use usher_pipeline::reply::Reply;

    use super::{PLUGIN, ksuid};

    #[test]
    fn upstream_client_and_logs_see_the_same_new_id() {
        for (body, length) in [
            (json!({}), 36),
            (json!({ "algorithm": "uuidv7" }), 36),
            (json!({ "algorithm": "nanoid" }), 21),
            (json!({ "algorithm": "ksuid" }), 27),
            (json!({ "algorithm": "range_id" }), 16),
            (json!({ "algorithm": "range_id", "range_id": { "length": 7, "char_set": "012345" } }), 7),
        ] {
            let mut bench = harness(&PLUGIN, body.clone());
            let mut ids = HashSet::new();
            for _ in 0..20 {
                let outcome = bench.get("/");
                let id = outcome.field("X-Request-Id").unwrap().to_owned();
                assert_eq!(id.len(), length, "{body} {id}");
                assert_eq!(outcome.seen().head.get_str("X-Request-Id"), Some(id.as_str()));
                assert_eq!(outcome.exchange.variable("apisix_request_id").as_deref(), Some(id.as_bytes()));
                ids.insert(id);
            }
            assert!(ids.len() > 15, "{body} {ids:?}");
        }
    }

    #[test]
    fn uuids_carry_their_version() {
        for (algorithm, version) in [("uuid", b'4'), ("uuidv7", b'7')] {
            let outcome = harness(&PLUGIN, json!({ "algorithm": algorithm })).get("/");
            assert_eq!(outcome.field("X-Request-Id").unwrap().as_bytes()[14], version);
        }
    }

    #[test]
    fn a_ksuid_is_ordered_by_its_second() {
        assert!(ksuid(1) < ksuid(2) && ksuid(61) < ksuid(4_000_000_000));
        assert!(ksuid(0).starts_with("000"));
    }

    #[test]
    fn keeps_what_the_client_sent() {
        let mut bench = harness(&PLUGIN, json!({ "header_name": "X-Trace" }));
        let outcome = bench.send("GET", "/", &[("x-trace", "mine")], "");
        assert_eq!(outcome.field("X-Trace"), Some("mine"));
        assert_eq!(outcome.seen().head.get_all("X-Trace").count(), 1);
        assert_eq!(bench.send("GET", "/", &[("x-trace", "")], "").field("X-Trace").map(str::len), Some(36));
    }

    #[test]
    fn leaves_the_answer_alone_where_it_should() {
        let outcome = harness(&PLUGIN, json!({ "include_in_response": false })).get("/");
        assert!(outcome.field("X-Request-Id").is_none() && outcome.seen().head.contains("X-Request-Id"));
        let mut bench =
            harness(&PLUGIN, json!({})).upstream(|_| Reply::new(204).with("X-Request-Id", "theirs"));
        assert_eq!(bench.get("/").field("X-Request-Id"), Some("theirs"));
    }

    #[test]
    fn refuses_bodies_that_can_not_work() {
        for body in [
            json!({ "algorithm": "serial" }),
            json!({ "header_name": "a b" }),
            json!({ "range_id": { "length": 5 } }),
            json!({ "range_id": { "length": 1025 } }),
            json!({ "range_id": { "char_set": "abc" } }),
            json!({ "range_id": { "char_set": "abcdefg\r\n" } }),
            json!({ "range_id": { "char_set": "äöüßéèê" } }),
        ] {
            assert!(try_harness(&PLUGIN, body.clone()).is_err(), "{body}");
        }
    }
}
