//! A plugin's test bench: requests in, answers out, with a clock that stands still and no socket.
//!
//! It walks the phases in the engine's order, so that what a plugin's own file tests is what a client would see of that plugin alone.
//! No program calls it, so none holds it; behind a feature it would build every room twice.

mod bench_worker;
mod outcome;
mod people;

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Map, Value};
use usher_http1::head::Head;
use usher_model::compat::Compat;
use usher_model::kind::Kind;
use usher_model::schema;

use crate::body::{Body, BodySteps};
use crate::compile::Pipeline;
use crate::consumer::Directory;
use crate::env::{Env, Metadata, Process, Target, Targets};
use crate::exchange::{AnsweredBy, Exchange, RouteFacts};
use crate::plugin::{BuildError, Flow};
use crate::registry::Registry;
use crate::reply::Reply;
use crate::spec::Spec;
use crate::stream::StreamPipeline;
use crate::worker::Worker;

pub use bench_worker::{BenchWorker, Clock};
pub use outcome::{Outcome, Seen};
pub use people::People;

/// What stands in for an upstream: sees the exchange, gives the answer.
type Upstream = Box<dyn FnMut(&mut Exchange) -> Reply>;

/// A test bench with one object's plugins on it.
pub struct Harness {
    pipeline: Pipeline,
    process: Arc<Process>,
    registry: Arc<Registry>,
    metadata: Rc<Metadata>,
    worker: Rc<BenchWorker>,
    people: Rc<People>,
    route: Arc<RouteFacts>,
    client: SocketAddr,
    upstream: Upstream,
    tls: bool,
}

/// A bench with this one plugin.
///
/// # Panics
/// When the body is refused; see [`try_harness`].
#[expect(clippy::panic, reason = "a test bench fails by panicking")]
pub fn harness(spec: &'static Spec, body: Value) -> Harness {
    try_harness(spec, body).unwrap_or_else(|error| panic!("the plugin {} was not built: {error}", spec.name))
}

/// A bench with this one plugin, or the reason why its body is refused: the Admin API's sentence.
///
/// # Errors
/// What the Admin API would say.
pub fn try_harness(spec: &'static Spec, body: Value) -> Result<Harness, BuildError> {
    let mut bodies = Map::new();
    bodies.insert(spec.name.to_owned(), body);
    try_harness_of(&[spec], bodies)
}

/// A bench with several plugins on one object.
///
/// # Errors
/// What the Admin API would say of the first that is refused.
pub fn try_harness_of(specs: &[&'static Spec], bodies: Map<String, Value>) -> Result<Harness, BuildError> {
    try_harness_with(specs, bodies, Map::new())
}

/// The same with process-level settings by plugin.
///
/// # Errors
/// What the Admin API would say of the first that is refused.
pub fn try_harness_with(
    specs: &[&'static Spec],
    bodies: Map<String, Value>,
    attributes: Map<String, Value>,
) -> Result<Harness, BuildError> {
    bench(specs, &bodies, attributes, Compat::NONE, Metadata::default())
}

/// The same with what plugins know wherever they run.
///
/// # Errors
/// What the Admin API would say of the first that is refused.
pub fn try_harness_knowing(
    specs: &[&'static Spec],
    bodies: &Map<String, Value>,
    metadata: Metadata,
) -> Result<Harness, BuildError> {
    bench(specs, bodies, Map::new(), Compat::NONE, metadata)
}

/// The same with behaviours of APISIX that are off by default.
///
/// # Errors
/// What the Admin API would say of the first that is refused.
pub fn try_harness_under(
    compat: Compat,
    specs: &[&'static Spec],
    bodies: &Map<String, Value>,
) -> Result<Harness, BuildError> {
    bench(specs, bodies, Map::new(), compat, Metadata::default())
}

fn bench(
    specs: &[&'static Spec],
    bodies: &Map<String, Value>,
    attributes: Map<String, Value>,
    compat: Compat,
    metadata: Metadata,
) -> Result<Harness, BuildError> {
    let registry = Arc::new(Registry::new(specs));
    let process = Arc::new(Process::new(attributes, compat, Box::new(BenchTargets)));
    Ok(Harness {
        pipeline: compiled(&process, &registry, ROUTE, bodies, &metadata)?,
        process,
        metadata: Rc::new(metadata),
        registry,
        worker: Rc::new(BenchWorker::default()),
        people: Rc::new(People::default()),
        route: facts(ROUTE),
        client: SocketAddr::new(IpAddr::from([127, 0, 0, 1]), 40000),
        upstream: Box::new(|_| Reply::text(200, "text/plain", "ok")),
        tls: false,
    })
}

/// The object that a bench's plugins are on.
const ROUTE: &str = "/apisix/routes/1";

/// The route that requests take: the object itself, or `1` where the object is no route.
fn facts(resource: &str) -> Arc<RouteFacts> {
    let id = resource.strip_prefix("/apisix/routes/").unwrap_or("1");
    Arc::new(RouteFacts { id: id.into(), uri: "/*".into(), ..RouteFacts::default() })
}

fn compiled(
    process: &Process,
    registry: &Registry,
    resource: &str,
    bodies: &Map<String, Value>,
    metadata: &Metadata,
) -> Result<Pipeline, BuildError> {
    let env = Env::new(process, registry, resource).with_metadata(metadata);
    for (name, body) in bodies {
        registry.check(name, body, &env)?;
    }
    Pipeline::compile(bodies, &env)
}

/// An upstream written inside a plugin, as the bench knows it: its JSON.
pub struct BenchTarget(pub Value);

impl Target for BenchTarget {
    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

struct BenchTargets;

impl Targets for BenchTargets {
    fn target(&self, _: &str, upstream: &Value, _: Compat) -> Result<Arc<dyn Target>, String> {
        schema::check(Kind::Upstream, upstream).map_err(|violation| violation.sentence)?;
        match schema::unsupported(Kind::Upstream, upstream) {
            Some(sentence) => Err(sentence),
            None => Ok(Arc::new(BenchTarget(upstream.clone()))),
        }
    }
}

/// The pipeline of a stream route that uses one plugin.
///
/// # Errors
/// What the Admin API would say of a body that is refused.
pub fn try_connections(spec: &'static Spec, body: Value) -> Result<StreamPipeline, BuildError> {
    let process = Process::new(Map::new(), Compat::NONE, Box::new(BenchTargets));
    let registry = Registry::new(&[spec]);
    let env = Env::new(&process, &registry, "/apisix/stream_routes/1");
    StreamPipeline::compile(&Map::from_iter([(spec.name.to_owned(), body)]), &env)
}

impl Harness {
    /// The client's address from now on.
    ///
    /// # Panics
    /// When it is no address.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a test bench fails by panicking")]
    pub fn from(mut self, address: &str) -> Self {
        self.client.set_ip(address.parse().expect("an IP address"));
        self
    }

    /// Clients come over TLS from now on.
    #[must_use]
    pub const fn over_tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// A consumer with one credential; `custom_id` and other labels may follow in `labels`.
    ///
    /// # Panics
    /// When the credential is refused.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a test bench fails by panicking")]
    pub fn consumer(self, name: &str, plugin: &str, credential: &Value, labels: Map<String, Value>) -> Self {
        let parsed = self.registry.credential(plugin, credential).expect("a good credential");
        self.people.add(name, plugin, parsed, labels, None);
        self
    }

    /// A consumer with one credential that belongs to a consumer group.
    ///
    /// # Panics
    /// When the credential is refused.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a test bench fails by panicking")]
    pub fn consumer_of_group(self, name: &str, plugin: &str, credential: &Value, group: &str) -> Self {
        let parsed = self.registry.credential(plugin, credential).expect("a good credential");
        self.people.add(name, plugin, parsed, Map::new(), Some(group));
        self
    }

    /// An upstream id that exists.
    #[must_use]
    pub fn known_upstream(self, id: &str) -> Self {
        self.people.add_upstream(id);
        self
    }

    /// What answers behind the gateway, instead of 200 `ok`.
    #[must_use]
    pub fn upstream(mut self, answer: impl FnMut(&mut Exchange) -> Reply + 'static) -> Self {
        self.upstream = Box::new(answer);
        self
    }

    /// Gives the bench a worker on a runtime, for plugins that have tasks, timers or connections of their own. Comes before everything else.
    #[must_use]
    pub fn on_runtime(mut self, clock: Clock) -> Self {
        self.worker = Rc::new(BenchWorker::on_runtime(clock));
        self
    }

    /// Lets the runtime run until this holds.
    ///
    /// # Panics
    /// After ten seconds.
    pub fn until(&self, mut holds: impl FnMut() -> bool) {
        for _ in 0..2_000 {
            if holds() {
                return;
            }
            self.worker.pass(Duration::from_millis(5));
        }
        assert!(holds(), "what was waited for did not come");
    }

    /// What answers the plugin's own calls.
    #[must_use]
    pub fn fetches(
        self,
        answer: impl Fn(&crate::worker::Call) -> Result<crate::worker::Answer, crate::worker::FetchError>
        + 'static,
    ) -> Self {
        self.worker.answer_fetches(answer);
        self
    }

    /// A second bench in the same process, with the same clock and people: for another object such as `/apisix/routes/2`, or for
    /// `/apisix/routes/1` after an edit. It answers 200 `ok` and sees plain HTTP, like a new one.
    ///
    /// # Errors
    /// What the Admin API would say of the first plugin that is refused.
    pub fn beside(&self, resource: &str, bodies: &Map<String, Value>) -> Result<Self, BuildError> {
        Ok(Self {
            pipeline: compiled(&self.process, &self.registry, resource, bodies, &self.metadata)?,
            process: Arc::clone(&self.process),
            metadata: Rc::clone(&self.metadata),
            registry: Arc::clone(&self.registry),
            worker: Rc::clone(&self.worker),
            people: Rc::clone(&self.people),
            route: facts(resource),
            client: self.client,
            upstream: Box::new(|_| Reply::text(200, "text/plain", "ok")),
            tls: false,
        })
    }

    /// Moves the clock.
    pub fn pass(&self, time: Duration) {
        self.worker.pass(time);
    }

    /// The worker, to look at its clock and calls.
    #[must_use]
    pub fn worker(&self) -> &Rc<BenchWorker> {
        &self.worker
    }

    /// What the process keeps, such as metrics.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// A GET without fields.
    pub fn get(&mut self, target: &str) -> Outcome {
        self.send("GET", target, &[], "")
    }

    /// Any request. A `Host: a.test` is added when there is none.
    ///
    /// # Panics
    /// When the request can't be sent or a hook waits for something that the bench doesn't have.
    #[expect(clippy::expect_used, clippy::panic, reason = "a test bench fails by panicking")]
    pub fn send(
        &mut self,
        method: &str,
        target: &str,
        fields: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Outcome {
        let mut exchange = Exchange::new(
            Rc::clone(&self.worker) as Rc<dyn Worker>,
            Rc::clone(&self.people) as Rc<dyn Directory>,
        );
        exchange.client = self.client;
        exchange.server = SocketAddr::from(([127, 0, 0, 1], 9080));
        exchange.route = Some(Arc::clone(&self.route));
        let mut head = Head::request(method, target);
        for (name, value) in fields {
            head.append(name, value).expect("a field that may be sent");
        }
        if !head.contains("host") {
            head.append("Host", "a.test").expect("a field that may be sent");
        }
        let authority = head.get_str("host").unwrap_or_default().to_ascii_lowercase();
        let (host, port) = authority.split_once(':').unwrap_or((&authority, ""));
        exchange.request.head = head;
        let (path, query) =
            target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        exchange.request.refill(path, query, false, host, port.parse().ok());
        exchange.request.tls = self.tls;
        let body: Bytes = body.into();
        exchange.request.body = if body.is_empty() { Body::Empty } else { Body::Full(body) };

        let mut seen = None;
        let reply = match self.way_in(&mut exchange) {
            Some(reply) => reply,
            None => loop {
                let (asked, reply) = self.ask_upstream(&mut exchange);
                seen = Some(asked);
                let status = reply.head.status();
                exchange.answered_by = AnsweredBy::Upstream;
                exchange.upstream.statuses.push(status);
                let Some(fallback) = exchange.fallback.clone() else { break reply };
                if !self.worker.wait(fallback.next(&mut exchange, status)) {
                    break reply;
                }
            },
        };
        let reply = if seen.is_none() {
            exchange.answered_by = AnsweredBy::Gateway;
            self.pipeline.exit(&mut exchange, reply)
        } else {
            reply
        };
        exchange.answer = reply.head;
        let mut body = reply.body;
        if let Flow::Reply(reply) = self.pipeline.header_filter(&mut exchange) {
            exchange.answer = reply.head;
            body = reply.body;
        }
        let mut steps = BodySteps::default();
        self.pipeline.body_filter(&mut exchange, &mut steps);
        let body = match body {
            Body::Stream(_) => panic!("the bench does not read streams"),
            other => whole(other, &mut steps),
        };
        exchange.times.body_bytes = body.len() as u64;
        self.pipeline.mask(&mut exchange);
        self.pipeline.log(&mut exchange);
        Outcome { head: exchange.answer.clone(), body, upstream: seen, exchange }
    }

    /// The request's body through its steps, then the upstream's answer.
    fn ask_upstream(&mut self, exchange: &mut Exchange) -> (Seen, Reply) {
        let mut steps = BodySteps::default();
        self.pipeline.request_body(exchange, &mut steps);
        if !steps.is_empty() {
            let whole = whole(std::mem::take(&mut exchange.request.body), &mut steps);
            exchange.request.body = Body::Full(whole);
        }
        let seen = Seen::of(exchange);
        (seen, (self.upstream)(exchange))
    }

    fn way_in(&self, exchange: &mut Exchange) -> Option<Reply> {
        let run = async {
            for phase in 0..3 {
                let flow = match phase {
                    0 => self.pipeline.rewrite(exchange).await,
                    1 => self.pipeline.access(exchange).await,
                    _ => self.pipeline.before_proxy(exchange).await,
                };
                if let Flow::Reply(reply) = flow {
                    return Some(*reply);
                }
            }
            None
        };
        self.worker.wait(run)
    }
}

#[expect(clippy::expect_used, reason = "a test bench fails by panicking")]
fn whole(body: Body, steps: &mut BodySteps) -> Bytes {
    let bytes = match body {
        Body::Full(bytes) => bytes,
        Body::Empty | Body::Stream(_) => Bytes::new(),
    };
    if steps.is_empty() {
        return bytes;
    }
    let mut out = Vec::new();
    // Two pieces, so that a step that forgets the second one is seen.
    let middle = bytes.len() / 2;
    for piece in [bytes.slice(..middle), bytes.slice(middle..)] {
        if !piece.is_empty() {
            out.extend(steps.chunk(piece).expect("a step that takes the body").concat());
        }
    }
    out.extend(steps.end(&mut Head::empty()).expect("a step that takes the end").concat());
    out.into()
}
