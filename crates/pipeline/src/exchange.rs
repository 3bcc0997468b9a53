//! One request and its answer, as a plugin sees them.
//!
//! A connection keeps one exchange and refills it for each request, so that the frame allocates nothing per request.

mod upstream;

use std::any::{Any, TypeId};
use std::borrow::Cow;
use std::cell::{OnceCell, RefCell};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use usher_http1::head::Head;

pub use self::upstream::UpstreamFacts;
use crate::body::{Body, BodyError};
use crate::cause::Cause;
use crate::consumer::{Consumer, Directory, Found, Identity};
use crate::env::Target;
use crate::fallback::Fallback;
use crate::request::{Request, decode_path};
use crate::secured::Secured;
use crate::variables::body::{BodyVariables, MOST_BYTES};
use crate::worker::Worker;

/// One request and its answer.
pub struct Exchange {
    /// The request.
    pub request: Request,
    /// The answer's status and fields, from `header_filter` on.
    pub answer: Head,
    /// Who made the answer, from `header_filter` on.
    pub answered_by: AnsweredBy,
    /// The client's address and port: the socket's, or what a trusted proxy or `real-ip` says.
    pub client: SocketAddr,
    /// The other end of the connection, whoever the client is.
    pub peer: SocketAddr,
    /// Whether another request of the client's made the gateway send itself this one.
    pub is_inner: bool,
    /// The gateway's own end of the connection: the address and port that the client came to.
    pub server: SocketAddr,
    /// The number of the client's connection; no two of this process have the same.
    pub connection: u64,
    /// Requests that have come by this connection, this one counted.
    pub connection_requests: u64,
    /// What TLS has settled with the client; `None` where it came without.
    pub secured: Option<Rc<Secured>>,
    /// The route that was taken; `None` where none matched.
    pub route: Option<Arc<RouteFacts>>,
    /// Where a plugin sends the request instead of the route's own upstream.
    pub choice: Option<Choice>,
    /// What the plugin that chose knows of further upstreams, for answers that it doesn't take.
    pub fallback: Option<Rc<dyn Fallback>>,
    /// What is known of the upstream's side.
    pub upstream: UpstreamFacts,
    /// When things happened, and how much was moved.
    pub times: Times,
    /// Why the gateway gave an answer of its own, where it did.
    pub cause: Option<Cause>,
    identity: Option<Identity>,
    shown: RefCell<Shown>,
    directory: Rc<dyn Directory>,
    worker: Rc<dyn Worker>,
    slots: Vec<Slot>,
    variables: Vec<(Cow<'static, str>, String)>,
    judged: Vec<(usize, bool)>,
    stood_in_for: Vec<&'static str>,
    body_variables: OnceCell<BodyVariables>,
    /// Made when somebody asks for it.
    pub(crate) request_id: OnceCell<String>,
    body_masks: Vec<BodyMask>,
    /// The plugins that ran, where somebody wants to know.
    trail: Option<Vec<Ran>>,
    /// The plugin whose reply ended a phase last.
    replied: Option<&'static str>,
}

/// A plugin that ran in one phase of an exchange.
#[derive(Clone, Copy, Debug)]
pub struct Ran {
    /// Its name.
    pub plugin: &'static str,
    /// The phase.
    pub phase: &'static str,
    /// When it began.
    pub began: Instant,
    /// How long it took, waiting included; `None` where it was cut short.
    pub took: Option<Duration>,
}

/// Who made an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AnsweredBy {
    /// The upstream.
    #[default]
    Upstream,
    /// A plugin or the gateway itself.
    Gateway,
}

/// Takes out of a request's body what may not be logged. The second argument says whether the body is there as a whole.
pub type BodyMask = Rc<dyn Fn(&[u8], bool) -> Vec<u8>>;

/// Where a plugin sends a request.
#[derive(Clone)]
pub enum Choice {
    /// The upstream object of this id.
    Id(Arc<str>),
    /// An upstream written inside the plugin.
    Target(Arc<dyn Target>),
}

/// What is said of a route: variables, metrics, logs.
#[derive(Clone, Debug, Default)]
pub struct RouteFacts {
    /// Its id.
    pub id: Arc<str>,
    /// Its name, or empty.
    pub name: Arc<str>,
    /// The path pattern that the request came by; of a route without a request, its first one.
    pub uri: Arc<str>,
    /// The host pattern that the request came by, or empty. Where routes are looked up by the path first, the route's first one.
    pub host: Arc<str>,
    /// Its service's id, or empty.
    pub service_id: Arc<str>,
    /// Its service's name, or empty.
    pub service_name: Arc<str>,
}

/// When things happened, and how much was moved.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// The request's head was complete.
    pub start: Instant,
    /// The upstream was first tried.
    pub upstream_start: Option<Instant>,
    /// There was a connection to the node that was last tried.
    pub upstream_connected: Option<Instant>,
    /// The head of the upstream's answer was there.
    pub upstream_headed: Option<Instant>,
    /// The upstream's answer was read to its end.
    pub upstream_end: Option<Instant>,
    /// Bytes of the request, head and body.
    pub received_bytes: u64,
    /// Bytes of the answer, head and body.
    pub sent_bytes: u64,
    /// Bytes of the answer's body.
    pub body_bytes: u64,
    /// Bytes of the body that the node answered with that was last tried, before any plugin changed it.
    pub upstream_body_bytes: u64,
}

/// The last credential that was found: the plugin, and the unique attribute. Empty where there is none. Keeps its room from request to request.
#[derive(Default)]
struct Shown {
    plugin: String,
    unique: Vec<u8>,
}

impl Shown {
    fn clear(&mut self) {
        self.plugin.clear();
        self.unique.clear();
    }
}

struct Slot {
    owner: usize,
    kind: TypeId,
    value: Box<dyn Any>,
}

impl Exchange {
    /// An empty exchange of a worker's.
    #[must_use]
    pub fn new(worker: Rc<dyn Worker>, directory: Rc<dyn Directory>) -> Self {
        let start = worker.now();
        Self {
            request: Request::default(),
            answer: Head::empty(),
            answered_by: AnsweredBy::Upstream,
            client: SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0),
            peer: SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0),
            is_inner: false,
            server: SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0),
            connection: 0,
            connection_requests: 0,
            secured: None,
            route: None,
            choice: None,
            fallback: None,
            upstream: UpstreamFacts::default(),
            times: Times {
                start,
                upstream_start: None,
                upstream_connected: None,
                upstream_headed: None,
                upstream_end: None,
                received_bytes: 0,
                sent_bytes: 0,
                body_bytes: 0,
                upstream_body_bytes: 0,
            },
            cause: None,
            identity: None,
            shown: RefCell::default(),
            directory,
            worker,
            slots: Vec::new(),
            variables: Vec::new(),
            judged: Vec::new(),
            stood_in_for: Vec::new(),
            body_variables: OnceCell::new(),
            request_id: OnceCell::new(),
            body_masks: Vec::new(),
            trail: None,
            replied: None,
        }
    }

    /// Makes it ready for the next request; buffers keep their room. The request itself is refilled by the engine.
    pub fn reset(&mut self, directory: &Rc<dyn Directory>) {
        self.answer.clear();
        self.is_inner = false;
        self.answered_by = AnsweredBy::Upstream;
        self.route = None;
        self.choice = None;
        self.fallback = None;
        self.upstream.address = None;
        self.upstream.earlier.clear();
        self.upstream.statuses.clear();
        self.upstream.scheme = "";
        self.upstream.host.clear();
        self.upstream.node_name.clear();
        self.times = Times {
            start: self.worker.now(),
            upstream_start: None,
            upstream_connected: None,
            upstream_headed: None,
            upstream_end: None,
            received_bytes: 0,
            sent_bytes: 0,
            body_bytes: 0,
            upstream_body_bytes: 0,
        };
        self.identity = None;
        self.shown.get_mut().clear();
        if !Rc::ptr_eq(&self.directory, directory) {
            self.directory = Rc::clone(directory);
        }
        self.slots.clear();
        self.variables.clear();
        self.judged.clear();
        self.stood_in_for.clear();
        self.body_variables.take();
        self.request_id.take();
        self.body_masks.clear();
        self.trail = None;
        self.replied = None;
        self.cause = None;
    }

    /// The worker that this request runs on.
    #[must_use]
    pub fn worker(&self) -> &Rc<dyn Worker> {
        &self.worker
    }

    /// Who is calling; `None` before an auth plugin has settled it, and for anonymous requests.
    #[must_use]
    pub const fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    /// The consumer that is calling.
    #[must_use]
    pub fn consumer(&self) -> Option<&Arc<Consumer>> {
        self.identity.as_ref().map(|identity| &identity.consumer)
    }

    /// Finds a credential of `plugin` by its unique attribute.
    #[must_use]
    pub fn find_credential(&self, plugin: &str, unique: &[u8]) -> Option<Found> {
        let found = self.directory.credential(plugin, unique);
        if found.is_some() {
            let mut shown = self.shown.borrow_mut();
            shown.clear();
            shown.plugin.push_str(plugin);
            shown.unique.extend_from_slice(unique);
        }
        found
    }

    /// Whether the caller is still known to `directory`, that of a later configuration: the consumer is there, and so is the credential that named
    /// it. True where nobody was named.
    #[must_use]
    pub fn is_still_known(&self, directory: &dyn Directory) -> bool {
        let Some(Identity { consumer, .. }) = &self.identity else { return true };
        let shown = self.shown.borrow();
        if shown.plugin.is_empty() {
            return directory.consumer(&consumer.name).is_some();
        }
        let found = directory.credential(&shown.plugin, &shown.unique);
        found.is_some_and(|found| found.consumer.name == consumer.name)
    }

    /// Whether there is an upstream of this id.
    #[must_use]
    pub fn has_upstream(&self, id: &str) -> bool {
        self.directory.has_upstream(id)
    }

    /// Names the caller, and tells the upstream by the identity headers; a client's own copies were dropped before.
    pub fn attach(&mut self, found: &Found) {
        self.attach_consumer(&found.consumer, found.credential.as_ref());
    }

    /// Names the consumer `name` as the caller without a credential, for `anonymous_consumer`. `false` when there is none.
    pub fn attach_anonymous(&mut self, name: &str) -> bool {
        let Some(consumer) = self.directory.consumer(name) else { return false };
        self.shown.get_mut().clear();
        self.attach_consumer(&consumer, None);
        true
    }

    fn attach_consumer(&mut self, consumer: &Arc<Consumer>, credential: Option<&Arc<str>>) {
        let fields = [
            ("X-Consumer-Username", Some(&consumer.name)),
            ("X-Credential-Identifier", credential),
            ("X-Consumer-Custom-ID", consumer.custom_id.as_ref()),
        ];
        for (name, value) in fields {
            let set = match value {
                Some(value) => self.request.head.set(name, value.as_bytes()),
                None => {
                    self.request.head.remove(name);
                    Ok(())
                }
            };
            if let Err(error) = set {
                tracing::warn!(%error, "left out an identity header");
            }
        }
        self.identity = Some(Identity { consumer: Arc::clone(consumer), credential: credential.cloned() });
    }

    /// This plugin's own state for this request; made empty at its first use. `owner` is the plugin itself.
    pub fn slot<P, T: Any + Default>(&mut self, owner: &P) -> &mut T {
        let owner = std::ptr::from_ref(owner) as usize;
        let kind = TypeId::of::<T>();
        let found = self.slots.iter().position(|slot| slot.owner == owner && slot.kind == kind);
        let at = found.unwrap_or_else(|| {
            self.slots.push(Slot { owner, kind, value: Box::<T>::default() });
            self.slots.len() - 1
        });
        #[expect(
            clippy::indexing_slicing,
            clippy::expect_used,
            reason = "the slot was found or pushed just above, with this type"
        )]
        self.slots[at].value.downcast_mut().expect("a slot holds the type that it is found by")
    }

    /// This plugin's state for this request, if it was ever made.
    pub fn existing_slot<P, T: Any>(&mut self, owner: &P) -> Option<&mut T> {
        let owner = std::ptr::from_ref(owner) as usize;
        let kind = TypeId::of::<T>();
        self.slots.iter_mut().find(|slot| slot.owner == owner && slot.kind == kind)?.value.downcast_mut()
    }

    /// Sets a variable that this request answers from now on, such as `apisix_request_id`.
    pub fn set_variable(&mut self, name: impl Into<Cow<'static, str>>, value: impl Into<String>) {
        let (name, value) = (name.into(), value.into());
        match self.variables.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => *old = value,
            None => self.variables.push((name, value)),
        }
    }

    /// Sets the variable `uri_param_<name>` to a part of the path, which is decoded for it but for `%2F`: what was no slash to the router becomes
    /// none in whatever is made of the variable.
    pub fn set_parameter(&mut self, name: &str, part: &str) {
        let decoded: Vec<_> = part.split("%2F").map(decode_path).collect();
        self.set_variable(format!("uri_param_{name}"), decoded.join("%2F"));
    }

    /// From now on it is noted which plugins run, for [`Exchange::ran`].
    pub fn note_runs(&mut self) {
        self.trail.get_or_insert_default();
    }

    /// The plugins that ran, each `name#phase`, in order; `None` where it wasn't noted.
    #[must_use]
    pub fn ran(&self) -> Option<String> {
        let ran: Vec<String> =
            self.trail()?.iter().map(|ran| format!("{}#{}", ran.plugin, ran.phase)).collect();
        Some(if ran.is_empty() { "no plugin".to_owned() } else { ran.join(", ") })
    }

    /// The same with how long each took.
    #[must_use]
    pub fn trail(&self) -> Option<&[Ran]> {
        self.trail.as_deref()
    }

    /// The plugin that made the answer; `None` where the upstream or the gateway itself did.
    #[must_use]
    pub fn answered_by_plugin(&self) -> Option<&'static str> {
        self.replied.filter(|_| self.answered_by == AnsweredBy::Gateway)
    }

    pub(crate) const fn note_reply(&mut self, plugin: &'static str) {
        self.replied = Some(plugin);
    }

    pub(crate) fn note_run(&mut self, plugin: &'static str, phase: &'static str) {
        if let Some(trail) = &mut self.trail {
            // A worker's own clock stands still within a turn.
            trail.push(Ran { plugin, phase, began: Instant::now(), took: None });
        }
    }

    /// The plugin that was noted last is done with its phase.
    pub(crate) fn note_ran(&mut self) {
        if let Some(ran) = self.trail.as_mut().and_then(|trail| trail.last_mut()) {
            ran.took = Some(ran.began.elapsed());
        }
    }

    /// Reads the body for the variables that are looked for in it (`post_arg_x`, `graphql_name`). A body of more than 1 MiB stays unread as far as
    /// it is, and says nothing.
    ///
    /// # Errors
    /// The body broke off or was malformed.
    pub async fn read_for_variables(&mut self) -> Result<(), BodyError> {
        self.body_variables.take();
        self.request.body.read_up_to(MOST_BYTES).await.map(drop)
    }

    /// From now on nobody sees the request's body but through `mask`: neither loggers, which have looked at it before, nor variables of it.
    pub fn mask_body(&mut self, mask: BodyMask) {
        self.body_variables.take();
        self.request.body = match std::mem::take(&mut self.request.body) {
            Body::Full(bytes) => Body::Full(mask(&bytes, true).into()),
            // What of a stream is left over is nobody's any more.
            Body::Empty | Body::Stream(_) => Body::Empty,
        };
        self.body_masks.push(mask);
    }

    /// The body of the request, or its beginning where it isn't `whole`, as it may be logged.
    #[must_use]
    pub fn masked_body(&self, body: Vec<u8>, whole: bool) -> Vec<u8> {
        self.body_masks.iter().fold(body, |body, mask| mask(&body, whole))
    }

    pub(crate) fn body_variables(&self) -> &BodyVariables {
        self.body_variables.get_or_init(|| BodyVariables::of(&self.request))
    }

    /// How many variables were set by [`Exchange::set_variable`].
    #[must_use]
    pub fn own_variables(&self) -> usize {
        self.variables.len()
    }

    pub(crate) fn set_variables(&self) -> &[(Cow<'static, str>, String)] {
        &self.variables
    }

    /// A plugin has done the work of the one of this name, whose access phase is left out from now on.
    pub fn stand_in_for(&mut self, plugin: &'static str) {
        if !self.is_stood_in_for(plugin) {
            self.stood_in_for.push(plugin);
        }
    }

    pub(crate) fn is_stood_in_for(&self, plugin: &str) -> bool {
        self.stood_in_for.contains(&plugin)
    }

    /// What `judge` says, asked once per request for the same `guard`.
    pub(crate) fn judged(&mut self, guard: usize, judge: impl FnOnce(&Self) -> bool) -> bool {
        if let Some((_, verdict)) = self.judged.iter().find(|(known, _)| *known == guard) {
            return *verdict;
        }
        let verdict = judge(self);
        self.judged.push((guard, verdict));
        verdict
    }
}
