//! A plugin without its type: what the registry, the Admin API and the manual know of it.

use std::any::Any;
use std::sync::Arc;

use futures_util::future::LocalBoxFuture;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::body::BodyStep;
use crate::env::{Env, Process};
use crate::exchange::Exchange;
use crate::plugin::{BuildError, Called, Flow, Hook, Plugin};
use crate::read::read;
use crate::reply::Reply;
use crate::schema;
use crate::stream::{self, OnConnections, StreamBuild};

/// A plugin without its type, built in a constant; `Spec::of::<X>()` is the one line a plugin needs to exist.
pub struct Spec {
    /// As the Admin API spells it.
    pub name: &'static str,
    /// Higher runs first.
    pub priority: i32,
    /// What it does when.
    pub phases: PhaseNames,
    pub(crate) outermost: bool,
    pub(crate) schema: fn() -> Value,
    pub(crate) build: Build,
    pub(crate) credential: Option<CredentialSpec>,
    authenticates: bool,
    pub(crate) metadata: Option<fn() -> Value>,
    pub(crate) on_connections: Option<StreamBuild>,
    for_requests: bool,
    /// Headers that it vouches for towards the upstream: dropped from every client's request before any plugin runs. Lower case.
    pub identity: &'static [&'static str],
    /// Its own URLs.
    pub endpoints: &'static [Endpoint],
    /// Other plugins whose metadata it goes by.
    pub reads_metadata_of: &'static [&'static str],
    /// Whether a global rule's is passed over where the route has the plugin too (APISIX's `run_policy = "prefer_route"`).
    pub prefers_route: bool,
    /// Whether it serves the gateway as a whole and does nothing on a route (APISIX's `scope = "global"`): clients don't offer it there.
    pub serves_all: bool,
}

type Build = fn(Value, &Env<'_>) -> Result<Arc<dyn Running>, BuildError>;

/// The phases of a plugin, for people: explain, manual.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PhaseNames {
    /// Takes part in rewrite.
    pub rewrite: bool,
    /// Takes part in access.
    pub access: bool,
    /// Takes part in before_proxy.
    pub before_proxy: bool,
    /// May change request bodies.
    pub request_body: bool,
    /// Sees answers' heads.
    pub header_filter: bool,
    /// May change answers' bodies.
    pub body_filter: bool,
    /// May change the gateway's own answers.
    pub exit: bool,
    /// Takes out of the finished exchange what nobody may log.
    pub mask: bool,
    /// Sees the finished exchange.
    pub log: bool,
}

impl PhaseNames {
    /// Their names in order.
    #[must_use]
    pub fn names(self) -> Vec<&'static str> {
        [
            (self.rewrite, "rewrite"),
            (self.access, "access"),
            (self.before_proxy, "before_proxy"),
            (self.request_body, "request_body"),
            (self.header_filter, "header_filter"),
            (self.body_filter, "body_filter"),
            (self.exit, "exit"),
            (self.mask, "mask"),
            (self.log, "log"),
        ]
        .into_iter()
        .filter_map(|(on, name)| on.then_some(name))
        .collect()
    }
}

/// A credential's body in a consumer.
pub trait Credential: DeserializeOwned + JsonSchema + Send + Sync + 'static {
    /// The attribute that no two consumers may share, such as `key`.
    const UNIQUE: &'static str;

    /// That attribute's value.
    fn unique(&self) -> &str;
}

#[derive(Clone, Copy)]
pub(crate) struct CredentialSpec {
    pub(crate) schema: fn() -> Value,
    pub(crate) unique: &'static str,
    pub(crate) parse: fn(Value) -> Result<ParsedCredential, BuildError>,
}

/// A credential's body, parsed.
pub struct ParsedCredential {
    /// The value of its unique attribute.
    pub unique: String,
    /// The body, of the plugin's own type.
    pub config: Arc<dyn Any + Send + Sync>,
}

/// A URL of a plugin's own, reached through `public-api` or a listener of its own.
pub struct Endpoint {
    /// The path, such as `/apisix/prometheus/metrics`.
    pub uri: &'static str,
    /// The member of the plugin's process-level settings that puts it at another path.
    pub moved_by: Option<&'static str>,
    /// The methods it takes.
    pub methods: &'static [&'static str],
    /// How it is answered.
    pub answer: Answers,
}

/// How a URL of a plugin's own is answered.
pub enum Answers {
    /// At once, by what the process keeps.
    Now(fn(&Process) -> Reply),
    /// By something that reads the request and may wait: built with whatever serves the URL, with the metadata of the plugin whose URL it is.
    Built(fn(&Env<'_>) -> Result<Box<dyn Serve>, BuildError>),
}

/// Answers requests for a URL of a plugin's own.
pub trait Serve: Send + Sync {
    /// Answers one.
    fn serve<'a>(&'a self, exchange: &'a mut Exchange) -> LocalBoxFuture<'a, Reply>;
}

impl Spec {
    /// The plugin `P`.
    #[must_use]
    pub const fn of<P: Plugin>() -> Self {
        Self {
            name: P::NAME,
            priority: P::PRIORITY,
            phases: PhaseNames {
                rewrite: P::PHASES.rewrite.is_some(),
                access: P::PHASES.access.is_some(),
                before_proxy: P::PHASES.before_proxy.is_some(),
                request_body: P::PHASES.request_body.is_some(),
                header_filter: P::PHASES.header_filter.is_some(),
                body_filter: P::PHASES.body_filter.is_some(),
                exit: P::PHASES.exit.is_some(),
                mask: P::PHASES.mask.is_some(),
                log: P::PHASES.log.is_some(),
            },
            outermost: P::OUTERMOST,
            schema: schema::of::<P::Config>,
            build: build::<P>,
            credential: None,
            authenticates: false,
            metadata: None,
            on_connections: None,
            for_requests: true,
            identity: &[],
            endpoints: &[],
            reads_metadata_of: &[],
            prefers_route: false,
            serves_all: false,
        }
    }

    /// It authenticates: consumers carry a credential of type `C`.
    #[must_use]
    pub const fn auth<C: Credential>(mut self) -> Self {
        self.credential =
            Some(CredentialSpec { schema: schema::of::<C>, unique: C::UNIQUE, parse: parse_credential::<C> });
        self
    }

    /// It authenticates by means of other plugins: consumers carry no credential of its own.
    #[must_use]
    pub const fn authenticates(mut self) -> Self {
        self.authenticates = true;
        self
    }

    /// It has metadata of type `M`, the same for every use of it.
    #[must_use]
    pub const fn metadata<M: JsonSchema>(mut self) -> Self {
        self.metadata = Some(schema::of::<M>);
        self
    }

    /// It takes part on stream routes too.
    #[must_use]
    pub const fn on_connections<P: OnConnections>(mut self) -> Self {
        self.on_connections = Some(stream::build::<P>);
        self
    }

    /// It takes part on stream routes, and nowhere else.
    #[must_use]
    pub const fn only_on_connections<P: OnConnections>(mut self) -> Self {
        self.for_requests = false;
        self.on_connections::<P>()
    }

    /// It sets these headers towards the upstream (lower case), so that clients may not.
    #[must_use]
    pub const fn identity(mut self, headers: &'static [&'static str]) -> Self {
        self.identity = headers;
        self
    }

    /// It has URLs of its own.
    #[must_use]
    pub const fn endpoints(mut self, endpoints: &'static [Endpoint]) -> Self {
        self.endpoints = endpoints;
        self
    }

    /// It goes by the metadata of these plugins too, and is built anew when that is edited.
    #[must_use]
    pub const fn reads_metadata_of(mut self, plugins: &'static [&'static str]) -> Self {
        self.reads_metadata_of = plugins;
        self
    }

    /// Whether it takes part on stream routes.
    #[must_use]
    pub const fn is_on_connections(&self) -> bool {
        self.on_connections.is_some()
    }

    /// Whether it takes part on requests.
    #[must_use]
    pub const fn is_for_requests(&self) -> bool {
        self.for_requests
    }

    /// It serves the gateway as a whole, by a URL of its own, and does nothing on a route.
    #[must_use]
    pub const fn serves_all(mut self) -> Self {
        self.serves_all = true;
        self
    }

    /// Where a route has it, that of a global rule is passed over.
    #[must_use]
    pub const fn prefer_route(mut self) -> Self {
        self.prefers_route = true;
        self
    }

    /// Whether it authenticates.
    #[must_use]
    pub const fn is_auth(&self) -> bool {
        self.credential.is_some() || self.authenticates
    }
}

fn build<P: Plugin>(body: Value, env: &Env<'_>) -> Result<Arc<dyn Running>, BuildError> {
    let config: P::Config = read(body)?;
    Ok(Arc::new(Built(P::build(config, env)?)))
}

fn parse_credential<C: Credential>(body: Value) -> Result<ParsedCredential, BuildError> {
    let config: C = read(body)?;
    Ok(ParsedCredential { unique: config.unique().to_owned(), config: Arc::new(config) })
}

/// A built plugin without its type. Each method is one virtual call; which hook it is was settled when the program was compiled.
pub(crate) trait Running: Send + Sync {
    fn rewrite<'a>(&'a self, exchange: &'a mut Exchange) -> Called<'a>;
    fn access<'a>(&'a self, exchange: &'a mut Exchange) -> Called<'a>;
    fn before_proxy<'a>(&'a self, exchange: &'a mut Exchange) -> Called<'a>;
    fn request_body(&self, exchange: &mut Exchange) -> Option<Box<dyn BodyStep>>;
    fn header_filter(&self, exchange: &mut Exchange) -> Flow;
    fn body_filter(&self, exchange: &mut Exchange) -> Option<Box<dyn BodyStep>>;
    fn exit(&self, exchange: &mut Exchange, reply: Reply) -> Reply;
    fn mask(&self, exchange: &mut Exchange);
    fn log(&self, exchange: &mut Exchange);
    fn passed_over(&self, exchange: &mut Exchange);
}

struct Built<P>(P);

fn call<'a, P>(hook: Option<&Hook<P>>, plugin: &'a P, exchange: &'a mut Exchange) -> Called<'a> {
    match hook {
        Some(Hook::Now(run)) => Called::Now(run(plugin, exchange)),
        Some(Hook::Later(run)) => Called::Later(run(plugin, exchange)),
        Some(Hook::Either(run)) => run(plugin, exchange),
        None => Called::Now(Flow::Continue),
    }
}

impl<P: Plugin> Running for Built<P> {
    fn rewrite<'a>(&'a self, exchange: &'a mut Exchange) -> Called<'a> {
        call(const { &P::PHASES.rewrite }.as_ref(), &self.0, exchange)
    }

    fn access<'a>(&'a self, exchange: &'a mut Exchange) -> Called<'a> {
        call(const { &P::PHASES.access }.as_ref(), &self.0, exchange)
    }

    fn before_proxy<'a>(&'a self, exchange: &'a mut Exchange) -> Called<'a> {
        call(const { &P::PHASES.before_proxy }.as_ref(), &self.0, exchange)
    }

    fn request_body(&self, exchange: &mut Exchange) -> Option<Box<dyn BodyStep>> {
        P::PHASES.request_body.and_then(|run| run(&self.0, exchange))
    }

    fn header_filter(&self, exchange: &mut Exchange) -> Flow {
        P::PHASES.header_filter.map_or(Flow::Continue, |run| run(&self.0, exchange))
    }

    fn body_filter(&self, exchange: &mut Exchange) -> Option<Box<dyn BodyStep>> {
        P::PHASES.body_filter.and_then(|run| run(&self.0, exchange))
    }

    fn exit(&self, exchange: &mut Exchange, reply: Reply) -> Reply {
        match P::PHASES.exit {
            Some(run) => run(&self.0, exchange, reply),
            None => reply,
        }
    }

    fn mask(&self, exchange: &mut Exchange) {
        if let Some(run) = P::PHASES.mask {
            run(&self.0, exchange);
        }
    }

    fn log(&self, exchange: &mut Exchange) {
        if let Some(run) = P::PHASES.log {
            run(&self.0, exchange);
        }
    }

    fn passed_over(&self, exchange: &mut Exchange) {
        self.0.passed_over(exchange);
    }
}
