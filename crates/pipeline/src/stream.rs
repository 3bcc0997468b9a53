//! Plugins on connections that aren't HTTP: what they see, when they run, and how a stream route's plugins are put together.
//!
//! The same plugin type serves both tables: its configuration, its schema and its `build` are one, its hooks are others.

use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use serde_json::{Map, Value};
use usher_model::variables::Variables;

use crate::env::Env;
use crate::exchange::Choice;
use crate::meta::Meta;
use crate::moment;
use crate::plugin::{BuildError, Plugin};
use crate::secured::Secured;
use crate::worker::Worker;

/// Bytes of a client's that may be read ahead, before it is settled where its connection goes.
pub const LONGEST_FIRST: usize = 16 << 10;

/// One connection, or one client of a UDP port, from its first byte to its last.
pub struct Session {
    /// Where the client is: the socket's other end, or what a load balancer says.
    pub client: SocketAddr,
    /// Where it came to.
    pub server: SocketAddr,
    /// `TCP` or `UDP`.
    pub protocol: &'static str,
    /// What TLS has settled with the client; `None` where it came without.
    pub secured: Option<Rc<Secured>>,
    /// The stream route's id.
    pub route: Arc<str>,
    /// The stream route's name; empty where it has none.
    pub route_name: Arc<str>,
    /// The node that was chosen.
    pub upstream: Option<SocketAddr>,
    /// How it went, by nginx's numbers: 200, 403 where a plugin refused it, 502 where no node was there.
    pub status: u16,
    /// Bytes that came from the client.
    pub received: u64,
    /// Bytes that were sent to it.
    pub sent: u64,
    /// When it came.
    pub came: Instant,
    /// How long it lasted, once it is over.
    pub lasted: Duration,
    /// What plugins have noted of it, each number with the plugin that it is of.
    pub notes: Vec<(usize, u64)>,
    /// Where a plugin sends it instead of the route's own upstream.
    pub choice: Option<Choice>,
    /// What the client has said first, as far as a plugin wanted to see it ([`Verdict::Read`]). The upstream is sent it as it came.
    pub first: BytesMut,
    /// Why a plugin closes it, for the log.
    pub refused: Option<Cow<'static, str>>,
    /// The client's name for itself, where it speaks MQTT and a plugin has looked: `$mqtt_client_id`.
    pub mqtt_client_id: Option<String>,
    /// The worker that serves it; `None` where nobody does, as in a test.
    pub worker: Option<Rc<dyn Worker>>,
}

impl Session {
    /// A connection of which nothing is known but who talks with whom.
    #[must_use]
    pub fn new(protocol: &'static str, client: SocketAddr, server: SocketAddr, came: Instant) -> Self {
        Self {
            client,
            server,
            protocol,
            secured: None,
            route: Arc::default(),
            route_name: Arc::default(),
            upstream: None,
            status: 200,
            received: 0,
            sent: 0,
            came,
            lasted: Duration::ZERO,
            notes: Vec::new(),
            choice: None,
            first: BytesMut::new(),
            refused: None,
            mqtt_client_id: None,
            worker: None,
        }
    }

    /// Notes a number for the end of the connection. `owner` is the plugin itself.
    pub fn note<P>(&mut self, owner: &P, number: u64) {
        self.notes.push((std::ptr::from_ref(owner) as usize, number));
    }

    /// What this plugin has noted.
    pub fn noted<P>(&self, owner: &P) -> impl Iterator<Item = u64> {
        let owner = std::ptr::from_ref(owner) as usize;
        self.notes.iter().filter(move |(known, _)| *known == owner).map(|(_, number)| *number)
    }
}

/// What comes after a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// On to the next one.
    Continue,
    /// On to the next one; behind the last one the connection waits for so long.
    Wait(Duration),
    /// More of what the client says first is needed: the same plugin is asked again once more has come. The connection is closed where the client
    /// ends it instead, takes too long, or has sent [`LONGEST_FIRST`] bytes without a verdict.
    Read,
    /// The connection is closed.
    Close,
}

/// How far the plugins have been asked about a connection.
#[derive(Debug, Default)]
pub struct Progress {
    next: usize,
    longest: Duration,
}

/// Runs before anything is passed on of the connection.
pub type Preread<P> = fn(&P, &mut Session) -> Verdict;

/// Sees the finished connection, exactly once.
pub type Finished<P> = fn(&P, &Session);

/// A plugin that takes part on connections.
pub trait OnConnections: Plugin {
    /// Decides about a new connection.
    const PREREAD: Option<Preread<Self>> = None;
    /// Sees a finished one.
    const LOG: Option<Finished<Self>> = None;

    /// Whether it can do on connections what it was told to; some of what it does for requests may mean nothing there.
    ///
    /// # Errors
    /// The sentence of what it can't do.
    fn check_on_connections(&self) -> Result<(), BuildError> {
        Ok(())
    }
}

/// A built plugin without its type.
pub(crate) trait RunningOnConnections: Send + Sync {
    fn preread(&self, session: &mut Session) -> Verdict;
    fn log(&self, session: &Session);
}

pub(crate) type StreamBuild = fn(Value, &Env<'_>) -> Result<Arc<dyn RunningOnConnections>, BuildError>;

pub(crate) fn build<P: OnConnections>(
    body: Value,
    env: &Env<'_>,
) -> Result<Arc<dyn RunningOnConnections>, BuildError> {
    let plugin = P::build(crate::read::read(body)?, env)?;
    plugin.check_on_connections()?;
    Ok(Arc::new(Built(plugin)))
}

struct Built<P>(P);

impl<P: OnConnections> RunningOnConnections for Built<P> {
    fn preread(&self, session: &mut Session) -> Verdict {
        P::PREREAD.map_or(Verdict::Continue, |run| run(&self.0, session))
    }

    fn log(&self, session: &Session) {
        if let Some(run) = P::LOG {
            run(&self.0, session);
        }
    }
}

/// A stream route's plugins, the highest priority first. Cheap to clone.
#[derive(Clone, Default)]
pub struct StreamPipeline {
    parts: Vec<Part>,
}

#[derive(Clone)]
struct Part {
    name: &'static str,
    priority: i32,
    /// `None` where `_meta.disable` leaves it out.
    plugin: Option<Arc<dyn RunningOnConnections>>,
}

impl fmt::Debug for StreamPipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.parts.iter().map(|part| part.name)).finish()
    }
}

impl StreamPipeline {
    /// Builds the plugins of one object.
    ///
    /// # Errors
    /// The first plugin that is unknown on connections or can't be built; its name is in the sentence.
    pub fn compile(bodies: &Map<String, Value>, env: &Env<'_>) -> Result<Self, BuildError> {
        let mut all = Self::default();
        for (name, body) in bodies {
            all.parts.push(part(name, body, env)?);
        }
        all.sort();
        Ok(all)
    }

    /// The same of what a service carries, for routes of both kinds: plugins that have nothing to do with connections are left out.
    ///
    /// # Errors
    /// As for [`StreamPipeline::compile`].
    pub fn compile_shared(bodies: &Map<String, Value>, env: &Env<'_>) -> Result<Self, BuildError> {
        let runs = |name: &str| env.registry().on_connections(name).is_some();
        let some: Map<String, Value> = bodies
            .iter()
            .filter(|(name, _)| runs(name))
            .map(|(name, body)| (name.clone(), body.clone()))
            .collect();
        Self::compile(&some, env)
    }

    /// The same plugins with those of another pipeline in the place of their namesakes.
    #[must_use]
    pub fn under(&self, over: &Self) -> Self {
        let below = self.parts.iter().filter(|part| !over.parts.iter().any(|known| known.name == part.name));
        let mut all = Self { parts: below.chain(&over.parts).cloned().collect() };
        all.sort();
        all
    }

    /// Asks each plugin about a new connection, until one closes it or wants to read more; then it goes on with that one. Where several let it wait,
    /// it waits for the longest time.
    pub fn preread(&self, session: &mut Session, progress: &mut Progress) -> Verdict {
        for plugin in self.running().skip(progress.next) {
            match plugin.preread(session) {
                Verdict::Continue => {}
                Verdict::Wait(time) => progress.longest = progress.longest.max(time),
                stopped @ (Verdict::Read | Verdict::Close) => return stopped,
            }
            progress.next += 1;
        }
        if progress.longest.is_zero() { Verdict::Continue } else { Verdict::Wait(progress.longest) }
    }

    /// Shows each plugin a finished connection.
    pub fn log(&self, session: &Session) {
        self.running().for_each(|plugin| plugin.log(session));
    }

    fn running(&self) -> impl Iterator<Item = &Arc<dyn RunningOnConnections>> {
        self.parts.iter().filter_map(|part| part.plugin.as_ref())
    }

    fn sort(&mut self) {
        self.parts.sort_by_key(|part| (std::cmp::Reverse(part.priority), part.name));
    }
}

fn part(name: &str, body: &Value, env: &Env<'_>) -> Result<Part, BuildError> {
    let registry = env.registry();
    let unknown = || BuildError::new(format!("unknown plugin [{name}]"));
    let spec = registry.on_connections(name).ok_or_else(unknown)?;
    let build = spec.on_connections.ok_or_else(unknown)?;
    let in_plugin = |error: BuildError| {
        BuildError::new(format!("failed to check the configuration of stream plugin [{name}]: {error}"))
    };
    if !body.is_object() {
        return Err(BuildError::new(format!("invalid plugin conf {body} for plugin [{name}]")));
    }
    let meta = Meta::of(body).map_err(in_plugin)?;
    if meta.filter.is_some() {
        return Err(in_plugin(BuildError::new(
            "`_meta.filter` is not supported on stream routes by this version of Usher; remove it",
        )));
    }
    let plugin = if meta.disable {
        None
    } else {
        Some(registry.build_on_connections(spec, build, body, env).map_err(in_plugin)?)
    };
    Ok(Part { name: spec.name, priority: meta.priority.unwrap_or(spec.priority), plugin })
}

impl Variables for Session {
    fn variable(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        let text = match name {
            "remote_addr" => self.client.ip().to_canonical().to_string(),
            "remote_port" => self.client.port().to_string(),
            "server_addr" => self.server.ip().to_canonical().to_string(),
            "server_port" => self.server.port().to_string(),
            "protocol" => self.protocol.to_owned(),
            "status" => self.status.to_string(),
            "bytes_received" => self.received.to_string(),
            "bytes_sent" => self.sent.to_string(),
            "session_time" => format!("{:.3}", self.lasted.as_secs_f64()),
            "upstream_addr" => self.upstream?.to_string(),
            "route_id" => self.route.as_ref().to_owned(),
            "route_name" => self.route_name.as_ref().to_owned(),
            "time_local" => moment::local(self.worker.as_ref()?.unix_ms() / 1000),
            "time_iso8601" => moment::iso8601(self.worker.as_ref()?.unix_ms() / 1000),
            "mqtt_client_id" => self.mqtt_client_id.clone()?,
            _ => self.secured.as_ref()?.variable(name)?,
        };
        Some(text.into_bytes().into())
    }
}
