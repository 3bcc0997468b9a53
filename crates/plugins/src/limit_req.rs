//! `limit-req` holds requests of a key to a steady rate: what comes a little too fast waits, what comes much too fast is refused.
//!
//! A bucket leaks at `rate`; a request that finds it filled beyond `burst` is refused and fills it no further, others wait until their turn would
//! have come. Buckets are shared by all workers, or through Redis by all gateways.
//!
//! Example: `{"rate": 100, "burst": 50, "key": "remote_addr", "rejected_code": 429, "rejected_msg": "slow down, please"}`

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use futures_util::FutureExt as _;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use usher_pipeline::env::Env;
use usher_pipeline::exchange::Exchange;
use usher_pipeline::plugin::{BuildError, Called, Flow, Hook, Phases, Plugin};
use usher_pipeline::reply::{FixedReply, Reply};
use usher_pipeline::spec::Spec;

use crate::keyed::{Keyed, State};
use crate::limit_key::{Key, KeyType};
use crate::redis_link::{Cluster, Redis, Script, Single, shared_name};
use crate::schema::status;

/// `limit-req`.
pub(crate) static PLUGIN: Spec = Spec::of::<LimitReq>();

/// Holds requests of a key to a steady rate.
#[derive(Deserialize, JsonSchema)]
struct Config {
    /// How many requests a second pass without waiting; more than 0.
    #[schemars(extend("exclusiveMinimum" = 0))]
    rate: f64,
    /// How many requests beyond that rate wait for their turn; further ones are refused.
    #[schemars(range(min = 0))]
    burst: f64,
    /// What requests are told apart by, as `key_type` says. Where it has no value, the client's address is taken. IPv6 addresses count by
    /// their /64 network.
    key: String,
    /// `var`: `key` is a variable's name. `var_combination`: `key` is a text with variables.
    #[serde(default)]
    key_type: KeyType,
    /// Requests within `burst` pass at once instead of waiting.
    #[serde(default)]
    nodelay: bool,
    /// The status of a refusal, 200 to 599.
    #[serde(default = "status::<503>")]
    #[schemars(range(min = 200, max = 599))]
    rejected_code: u16,
    /// The text of a refusal, sent as `{"error_msg": ...}`. Without it a refusal is the page of its status.
    #[schemars(length(min = 1))]
    rejected_msg: Option<String>,
    /// Where the buckets are: in this process, or in Redis for all gateways that use the same.
    #[serde(default)]
    policy: Policy,
    /// Lets requests pass while Redis can't be asked, instead of answering 500.
    #[serde(default)]
    allow_degradation: bool,
    #[serde(flatten)]
    redis: Single,
    #[serde(flatten)]
    cluster: Cluster,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Policy {
    #[default]
    Local,
    Redis,
    RedisCluster,
}

/// How full a key's bucket is.
#[derive(Clone, Copy)]
struct Bucket {
    /// Requests that came too fast.
    excess: f64,
    /// When it was looked at, in nanoseconds.
    at: u64,
    /// Requests a second that leak out of it.
    rate: f64,
}

impl State for Bucket {
    fn is_over(&self, now: u64) -> bool {
        self.excess < leaked(self.rate, now.saturating_sub(self.at))
    }
}

fn leaked(rate: f64, nanoseconds: u64) -> f64 {
    rate * Duration::from_nanos(nanoseconds).as_secs_f64()
}

/// The same as [`LimitReq::take`] by Redis' own clock; the delay is in microseconds.
static LEAK: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"local rate, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local kept = redis.call('HMGET', KEYS[1], 'excess', 'at')
local excess = 0
if kept[1] then
  excess = math.max(tonumber(kept[1]) - rate * math.max(now - tonumber(kept[2]), 0) + 1, 0)
end
if excess > burst then return {0, 0} end
redis.call('HSET', KEYS[1], 'excess', string.format('%.9f', excess), 'at', string.format('%.6f', now))
redis.call('PEXPIRE', KEYS[1], math.min(math.ceil((excess + 1) / rate * 1000) + 1000, 31536000000))
return {1, math.floor(excess / rate * 1000000)}",
    )
});

/// Nobody waits longer than this.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

struct LimitReq {
    rate: f64,
    burst: f64,
    key: Key,
    place: Place,
    nodelay: bool,
    rejection: FixedReply,
    allow_degradation: bool,
}

enum Place {
    Local(Arc<Keyed<Bucket>>, Arc<u64>),
    Remote(Box<Redis>, String),
}

impl Plugin for LimitReq {
    const NAME: &'static str = "limit-req";
    const PRIORITY: i32 = 1001;
    const PHASES: Phases<Self> = Phases { access: Some(Hook::Either(Self::limit)), ..Phases::NONE };
    type Config = Config;

    fn build(config: Config, env: &Env<'_>) -> Result<Self, BuildError> {
        let remote = match config.policy {
            Policy::Local => None,
            Policy::Redis => Some(config.redis.redis()?),
            Policy::RedisCluster => Some(config.redis.cluster(&config.cluster)?),
        };
        let place = match remote {
            Some(redis) => Place::Remote(Box::new(redis), format!("usher-limit-req:{}", env.shared_key())),
            None => {
                let buckets = env.process().permanent("limit-req", Keyed::<Bucket>::default);
                let space = env.keep(&env.own_key(), || buckets.new_space());
                Place::Local(buckets, space)
            }
        };
        Ok(Self {
            rate: config.rate,
            burst: config.burst,
            key: Key::new(config.key_type, &config.key),
            place,
            nodelay: config.nodelay,
            rejection: match &config.rejected_msg {
                Some(message) => Reply::error_msg(config.rejected_code, message),
                None => Reply::new(config.rejected_code),
            }
            .fixed(),
            allow_degradation: config.allow_degradation,
        })
    }
}

impl LimitReq {
    fn limit<'a>(&'a self, exchange: &'a mut Exchange) -> Called<'a> {
        match &self.place {
            Place::Local(buckets, space) => {
                let key = self.key.counter(exchange, buckets, **space);
                let start = |at| Bucket { excess: -1.0, at, rate: self.rate };
                let wait =
                    buckets.with(key, exchange.worker().now(), start, |bucket, now| self.take(bucket, now));
                match wait {
                    None => Called::Now(self.rejection.reply().into()),
                    Some(wait) if self.nodelay || wait < SHORTEST_WAIT => Called::Now(Flow::Continue),
                    Some(wait) => {
                        Called::Later(exchange.worker().sleep(wait).map(|()| Flow::Continue).boxed_local())
                    }
                }
            }
            Place::Remote(redis, prefix) => {
                Called::Later(self.limit_there(exchange, redis, prefix).boxed_local())
            }
        }
    }

    /// How long a request waits; `None` where it is refused.
    fn take(&self, bucket: &mut Bucket, now: u64) -> Option<Duration> {
        let excess = (bucket.excess - leaked(self.rate, now.saturating_sub(bucket.at)) + 1.0).max(0.0);
        if excess > self.burst {
            return None;
        }
        *bucket = Bucket { excess, at: now.max(bucket.at), rate: self.rate };
        Some(Duration::try_from_secs_f64(excess / self.rate).unwrap_or(LONGEST_WAIT).min(LONGEST_WAIT))
    }

    async fn limit_there(&self, exchange: &Exchange, redis: &Redis, prefix: &str) -> Flow {
        let name = shared_name(prefix, &self.key.bytes(exchange));
        let worker = exchange.worker();
        let arguments = [self.rate.to_string(), self.burst.to_string()];
        match redis.run::<(i64, i64)>(worker, &LEAK, &name, &arguments).await {
            Ok((1, wait)) => {
                let wait = Duration::from_micros(u64::try_from(wait).unwrap_or(0)).min(LONGEST_WAIT);
                if !self.nodelay && wait >= SHORTEST_WAIT {
                    worker.sleep(wait).await;
                }
                Flow::Continue
            }
            Ok(_) => self.rejection.reply().into(),
            Err(error) => {
                tracing::error!(%error, "failed to limit req");
                if self.allow_degradation { Flow::Continue } else { Reply::new(500).into() }
            }
        }
    }
}

/// Less than this is not waited for.
const SHORTEST_WAIT: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Map, Value, json};
    use usher_pipeline::harness::{Clock, Harness, harness, try_harness};
    use usher_pipeline::worker::Worker as _;

    use super::PLUGIN;
    use crate::redis_link::tests::Server;

    fn statuses(bench: &mut Harness, times: usize) -> Vec<u16> {
        (0..times).map(|_| bench.get("/").status()).collect()
    }

    #[test]
    fn what_comes_too_fast_waits_its_turn() {
        let mut bench = harness(&PLUGIN, json!({ "rate": 2, "burst": 3, "key": "remote_addr" }));
        let start = bench.worker().now();
        // The bench's clock moves along with who sleeps on it, so that each request comes when the one before has waited.
        for waited_ms in [0, 500, 1000] {
            bench.get("/").expect_status(200);
            assert_eq!((bench.worker().now() - start).as_millis(), waited_ms);
        }
    }

    #[test]
    fn what_comes_much_too_fast_is_refused_and_fills_the_bucket_no_further() {
        let body = json!({ "rate": 2, "burst": 1, "key": "remote_addr", "nodelay": true });
        let mut bench = harness(&PLUGIN, body);
        assert_eq!(statuses(&mut bench, 4), [200, 200, 503, 503]);
        bench.pass(Duration::from_millis(500));
        assert_eq!(statuses(&mut bench, 2), [200, 503]);
        bench.pass(Duration::from_secs(60));
        assert_eq!(statuses(&mut bench, 3), [200, 200, 503]);
        bench = bench.from("192.0.2.9");
        assert_eq!(statuses(&mut bench, 3), [200, 200, 503]);
    }

    #[test]
    fn a_refusal_looks_as_it_was_asked_for() {
        let body = json!({ "rate": 1, "burst": 0, "key": "uri" });
        let mut bench = harness(&PLUGIN, body.clone());
        bench.get("/").expect_status(200);
        assert!(bench.get("/").expect_status(503).body.is_empty(), "the page of the status is the gateway's");
        let mut told = body;
        told["rejected_code"] = 429.into();
        told["rejected_msg"] = "slow down".into();
        let mut bench = harness(&PLUGIN, told);
        bench.get("/").expect_status(200);
        assert_eq!(bench.get("/").expect_status(429).text(), "{\"error_msg\":\"slow down\"}\n");
        bench.get("/other").expect_status(200);
    }

    #[test]
    fn buckets_outlive_an_edit_of_something_else() {
        let body = json!({ "rate": 1, "burst": 0, "key": "remote_addr" });
        let mut bench = harness(&PLUGIN, body.clone());
        bench.get("/").expect_status(200);
        let bodies = |body: Value| Map::from_iter([("limit-req".to_owned(), body)]);
        bench.beside("/apisix/routes/1", &bodies(body.clone())).unwrap().get("/").expect_status(503);
        bench.beside("/apisix/routes/2", &bodies(body)).unwrap().get("/").expect_status(200);
    }

    #[test]
    fn two_gateways_share_a_bucket_in_redis() {
        let server = Server::start("");
        let body = json!({
            "rate": 0.01, "burst": 2, "key": "$remote_addr $uri", "key_type": "var_combination", "nodelay": true,
            "policy": "redis", "redis_host": "127.0.0.1", "redis_port": server.port, "redis_timeout": 5000,
        });
        let bench = || harness(&PLUGIN, body.clone()).on_runtime(Clock::Real);
        let (mut one, mut other) = (bench(), bench());
        assert_eq!((statuses(&mut one, 2), statuses(&mut other, 2)), (vec![200, 200], vec![200, 503]));
        assert_eq!(one.get("/other").status(), 200);
        drop(server);
        one.get("/").expect_status(500);
    }

    #[test]
    fn waits_as_long_as_redis_says() {
        let server = Server::start("");
        let body = json!({
            "rate": 20, "burst": 5, "key": "remote_addr", "policy": "redis", "redis_host": "127.0.0.1",
            "redis_port": server.port, "redis_timeout": 5000,
        });
        let mut bench = harness(&PLUGIN, body).on_runtime(Clock::Real);
        let begun = std::time::Instant::now();
        assert_eq!(statuses(&mut bench, 3), [200; 3]);
        assert!(begun.elapsed() >= Duration::from_millis(40), "{:?}", begun.elapsed());
    }

    #[test]
    fn refuses_bodies_that_can_not_work() {
        for (body, sentence) in [
            (json!({}), "is required"),
            (json!({ "rate": 0, "burst": 0, "key": "a" }), "property \"rate\" validation failed"),
            (json!({ "rate": 1, "burst": -1, "key": "a" }), "expected -1 to be at least 0"),
            (
                json!({ "rate": 1, "burst": 1, "key": "a", "key_type": "constant" }),
                "matches none of the enum values",
            ),
            (
                json!({ "rate": 1, "burst": 1, "key": "a", "policy": "redis" }),
                "property \"redis_host\" is required",
            ),
        ] {
            let error =
                try_harness(&PLUGIN, body.clone()).err().unwrap_or_else(|| panic!("{body} was taken"));
            assert!(error.message.contains(sentence), "{body}: {error}");
        }
    }
}
