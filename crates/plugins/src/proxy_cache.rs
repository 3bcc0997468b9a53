//! `proxy-cache` keeps answers of upstreams and gives them again.
//!
//! Everything that is kept has come whole, is small enough, and is for others too: what says `private`, `no-store` or `no-cache`, sets a cookie or
//! was made for credentials is not kept. Of many requests for one missing answer one goes to the upstream and the others wait for it. A request
//! with the method PURGE takes away what is kept for its URL; the route has to admit that method.
//!
//! On disk, answers outlive the process: each lies in a file that is written beside its place and moved there whole, and is checked before it is sent.
//!
//! Example: `{"cache_strategy": "memory", "cache_zone": "memory_cache", "cache_ttl": 60}`

mod config;
mod disk;
mod entry;
mod fill;
mod flights;
mod keep;
mod key;
mod record;
mod rules;
mod zone;
mod zones;

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use futures_util::FutureExt as _;
use futures_util::future::{Either, LocalBoxFuture, select};
use usher_http1::head::Head;
use usher_pipeline::body::{Body, BodyError};
use usher_pipeline::env::Env;
use usher_pipeline::exchange::Exchange;
use usher_pipeline::plugin::{BuildError, Flow, Hook, Phases, Plugin};
use usher_pipeline::reply::Reply;
use usher_pipeline::spec::Spec;

use config::{Config, Method, Strategy};
use entry::{Kept, Kind};
use fill::Fill;
use flights::{Flight, Joined};
use key::{Part, Recipe, any_is_set};
use rules::{Directives, Rules};
use zone::Zone;
pub(crate) use zones::Zones;

/// `proxy-cache`.
pub(crate) static PLUGIN: Spec = Spec::of::<ProxyCache>();

/// The field that says what the cache did.
const STATUS: &str = "Apisix-Cache-Status";
/// The variable that says the same, for logs.
const VARIABLE: &str = "upstream_cache_status";
/// What is told where an answer is kept that the client finds too old.
const STALE: &str = "STALE";
/// How long a request waits for another that fetches the same answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// The largest body of a POST that is looked at to tell its answer from others', in bytes.
const MAX_POST_BYTES: u64 = 1 << 20;

struct ProxyCache {
    zone: Arc<Zone>,
    recipe: Recipe,
    methods: Vec<Method>,
    bypass: Vec<Part>,
    no_cache: Vec<Part>,
    rules: Rules,
    hide: bool,
    max_body_bytes: u64,
}

/// What is known of one request.
#[derive(Default)]
struct Progress {
    /// What the client is told the cache did.
    told: Option<&'static str>,
    /// How its answer would be kept.
    plan: Option<Plan>,
    /// Its answer, being kept.
    fill: Option<Fill>,
}

/// How an answer would be kept.
struct Plan {
    key: Vec<u8>,
    kind: Kind,
    /// The request's fields as they were at this point: what later requests are compared with, at the same point.
    seen: Head,
    /// Whether the request carries credentials that the key doesn't tell apart.
    credentials: bool,
    purges: u64,
    flight: Option<Flight>,
}

/// What a look into the cache found.
enum Look {
    Hit(Box<Reply>),
    /// Nothing that can be used; the word says why.
    Miss(&'static str),
}

impl Plugin for ProxyCache {
    const NAME: &'static str = "proxy-cache";
    const PRIORITY: i32 = 1085;
    const PHASES: Phases<Self> = Phases {
        access: Some(Hook::Later(Self::answer)),
        header_filter: Some(Self::judge),
        body_filter: Some(Self::keep),
        log: Some(Self::forget),
        ..Phases::NONE
    };
    type Config = Config;

    fn build(config: Config, env: &Env<'_>) -> Result<Self, BuildError> {
        let recipe = Recipe::new(&config.cache_key, config.consumer_isolation)?;
        let zones = Zones::of(env.process());
        let on_disk = config.cache_strategy == Strategy::Disk;
        let parts = |values: Option<Vec<config::Value>>| values.iter().flatten().map(Part::of).collect();
        Ok(Self {
            zone: zones.zone(&config.cache_zone, on_disk).map_err(BuildError::new)?,
            recipe,
            methods: config.cache_method,
            bypass: parts(config.cache_bypass),
            no_cache: parts(config.no_cache),
            rules: Rules {
                statuses: config.cache_http_status,
                ttl: if on_disk { zones.disk_ttl() } else { Duration::from_secs(config.cache_ttl) },
                prefers_own: on_disk,
                cache_control: config.cache_control,
                set_cookie: config.cache_set_cookie,
            },
            hide: config.hide_cache_headers,
            max_body_bytes: config.max_resp_body_size,
        })
    }
}

impl ProxyCache {
    fn answer<'a>(&'a self, exchange: &'a mut Exchange) -> LocalBoxFuture<'a, Flow> {
        async move {
            if exchange.request.method() == "PURGE" {
                let known = self.zone.purge(&self.recipe.key(exchange));
                return Reply::new(if known { 200 } else { 404 }).into();
            }
            let asked = Directives::of(&exchange.request.head);
            if let Some(word) = self.leaves_aside(exchange, &asked) {
                return self.pass_by(exchange, word);
            }
            let kind = match self.kind(exchange).await {
                Ok(Some(kind)) => kind,
                Ok(None) => return self.pass_by(exchange, "BYPASS"),
                Err(error) => return Reply::new(error.status()).into(),
            };
            let key = self.recipe.key(exchange);
            let word = match self.look(exchange, &key, &kind, &asked) {
                Look::Hit(reply) => return hit(exchange, reply),
                Look::Miss(word) => word,
            };
            if self.rules.cache_control && asked.only_if_cached {
                exchange.set_variable(VARIABLE, word);
                return Reply::new(504).with(STATUS, word).into();
            }
            let mut plan = self.plan(exchange, key, kind);
            // Who finds what others fetched too old would only wait in vain.
            if word != STALE {
                match self.wait_or_fly(exchange, &plan, &asked).await {
                    Turn::Answered(reply) => return hit(exchange, reply),
                    Turn::Fly(flight) => plan.flight = flight,
                }
            }
            // An answer to HEAD has no body that could be kept for others.
            let plan = (exchange.request.method() != "HEAD").then_some(plan);
            *exchange.slot::<_, Progress>(self) = Progress { told: Some(word), plan, fill: None };
            Flow::Continue
        }
        .boxed_local()
    }

    fn pass_by(&self, exchange: &mut Exchange, word: &'static str) -> Flow {
        exchange.slot::<_, Progress>(self).told = Some(word);
        Flow::Continue
    }

    /// Why the cache has nothing to do with this request, if so.
    fn leaves_aside(&self, exchange: &Exchange, asked: &Directives) -> Option<&'static str> {
        let request = &exchange.request;
        let method = Method::of(request.method()).filter(|method| self.methods.contains(method));
        let Some(method) = method else { return Some("MISS") };
        // Whatever a GET carries in its body is not in the key; parts are cut by the upstream; a handshake is no question.
        let odd = method != Method::Post && !request.body.is_empty()
            || request.head.contains("range")
            || request.head.contains("upgrade");
        let unwanted = self.rules.cache_control && (asked.no_store || asked.no_cache);
        (odd || unwanted || any_is_set(&self.bypass, exchange)).then_some("BYPASS")
    }

    /// What tells the request apart; `None` where its body is too large to look at.
    ///
    /// # Errors
    /// The body can't be read.
    async fn kind(&self, exchange: &mut Exchange) -> Result<Option<Kind>, BodyError> {
        let route = exchange.route.as_ref().map(|route| Arc::clone(&route.id)).unwrap_or_default();
        if exchange.request.method() != "POST" {
            return Ok(Some(Kind { route, body: None }));
        }
        // Settled before the first byte is read: what was read here can't be streamed any more.
        if exchange.request.body.known_length().is_none_or(|length| length > MAX_POST_BYTES) {
            return Ok(None);
        }
        let body = exchange.request.body.read_whole(MAX_POST_BYTES).await?;
        let sum = digest(&SHA256, &body);
        Ok(Some(Kind { route, body: Some(sum.as_ref().into()) }))
    }

    fn look(&self, exchange: &Exchange, key: &[u8], kind: &Kind, asked: &Directives) -> Look {
        let now = exchange.worker().now();
        let head = &exchange.request.head;
        let resource = self.zone.get(key);
        let stored = resource.as_ref().and_then(|resource| resource.find(kind, head));
        let Some(stored) = stored.filter(|stored| stored.for_everybody || !self.has_credentials(head)) else {
            return Look::Miss("MISS");
        };
        let Some(left) = stored.left_at(now) else { return Look::Miss("EXPIRED") };
        let age = stored.age_at(now);
        let too_old = asked.max_age.is_some_and(|most| age > Duration::from_secs(most))
            || asked.min_fresh.is_some_and(|least| left < Duration::from_secs(least));
        if self.rules.cache_control && too_old {
            return Look::Miss(STALE);
        }
        let mut reply = Reply::new(0);
        reply.head.clone_from(&stored.head);
        // A body of its own also where there is nothing in it, so that nobody makes one up.
        reply.body = match &stored.body {
            Kept::Memory(bytes) => Body::Full(bytes.clone()),
            Kept::Disk(stay) => match stay.body() {
                Ok(body) => body,
                Err(error) => {
                    tracing::warn!(%error, "dropped an answer on disk that can't be read");
                    self.zone.purge(key);
                    return Look::Miss("MISS");
                }
            },
        };
        if self.hide {
            hide_cache_headers(&mut reply.head);
        }
        Look::Hit(Box::new(reply.with("Age", age.as_secs().to_string()).with(STATUS, "HIT")))
    }

    fn has_credentials(&self, request: &Head) -> bool {
        request.contains("authorization") && !self.recipe.tells_credentials_apart()
    }

    fn plan(&self, exchange: &Exchange, key: Vec<u8>, kind: Kind) -> Plan {
        let head = &exchange.request.head;
        Plan {
            key,
            kind,
            seen: head.clone(),
            credentials: self.has_credentials(head),
            purges: self.zone.purges(),
            flight: None,
        }
    }

    async fn wait_or_fly(&self, exchange: &Exchange, plan: &Plan, asked: &Directives) -> Turn {
        let ticket = self.ticket(plan);
        let mut patience = None;
        loop {
            // What can't be kept is not worth waiting for.
            let is_head = exchange.request.method() == "HEAD";
            if plan.credentials || is_head || self.is_unkept(exchange, &plan.key) {
                return Turn::Fly(None);
            }
            let flight = match self.zone.flights.join(&ticket) {
                Joined::Crowded => return Turn::Fly(None),
                Joined::First(flight) => Some(flight),
                Joined::Wait(waiter) => {
                    let timer = patience.get_or_insert_with(|| exchange.worker().sleep(PATIENCE));
                    if let Either::Right(_) = select(waiter, timer).await {
                        return Turn::Fly(None);
                    }
                    None
                }
            };
            // Another may have landed meanwhile, also between the first look and joining.
            match self.look(exchange, &plan.key, &plan.kind, asked) {
                Look::Hit(reply) => return Turn::Answered(reply),
                Look::Miss(word) if flight.is_some() || word == STALE => return Turn::Fly(flight),
                Look::Miss(_) => {}
            }
        }
    }

    /// Who waits for whom: requests of one kind, and of one plugin, because a request that passes two of them must not wait for itself.
    fn ticket(&self, plan: &Plan) -> Vec<u8> {
        let owner = std::ptr::from_ref(self).addr().to_be_bytes();
        let body = plan.kind.body.as_deref().unwrap_or_default();
        [&owner, body, plan.kind.route.as_bytes(), b"\0", &plan.key].concat()
    }

    fn is_unkept(&self, exchange: &Exchange, key: &[u8]) -> bool {
        self.zone.get(key).is_some_and(|resource| resource.is_unkept(exchange.worker().now()))
    }
}

/// What comes of waiting.
enum Turn {
    /// Another request has fetched the answer.
    Answered(Box<Reply>),
    /// This request fetches it, and perhaps others wait for it.
    Fly(Option<Flight>),
}

/// An answer of the cache's own.
fn hit(exchange: &mut Exchange, reply: Box<Reply>) -> Flow {
    exchange.set_variable(VARIABLE, reply.head.get_str(STATUS).unwrap_or("HIT").to_owned());
    Flow::Reply(reply)
}

fn hide_cache_headers(head: &mut Head) {
    head.remove("expires");
    head.remove("cache-control");
}

#[cfg(test)]
mod tests;
