//! One request and its answer, as a plugin sees them.
//!
//! A connection keeps one exchange and refills it for each request, so that the frame allocates nothing per request.

use std::any::{Any, TypeId};
use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use usher_http1::head::Head;

use crate::consumer::{Consumer, Directory, Found, Identity};
use crate::env::Target;
use crate::request::Request;
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
    /// The port that the client came to.
    pub server_port: u16,
    /// The route that was taken; `None` where none matched.
    pub route: Option<Arc<RouteFacts>>,
    /// Where a plugin sends the request instead of the route's own upstream.
    pub choice: Option<Choice>,
    /// What is known of the upstream's side.
    pub upstream: UpstreamFacts,
    /// When things happened, and how much was moved.
    pub times: Times,
    identity: Option<Identity>,
    shown: RefCell<Shown>,
    directory: Rc<dyn Directory>,
    worker: Rc<dyn Worker>,
    slots: Vec<Slot>,
    variables: Vec<(&'static str, String)>,
    judged: Vec<(usize, bool)>,
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

/// Where a plugin sends a request.
#[derive(Clone)]
pub enum Choice {
    /// The upstream object of this id.
    Id(Arc<str>),
    /// An upstream written inside the plugin.
    Target(Arc<dyn Target>),
}

/// What is said of a route: variables, metrics, logs.
#[derive(Debug, Default)]
pub struct RouteFacts {
    /// Its id.
    pub id: Arc<str>,
    /// Its name, or empty.
    pub name: Arc<str>,
    /// The path pattern it is known by (its first one where it has several).
    pub uri: Arc<str>,
    /// The host pattern that it asks for, or empty.
    pub host: Arc<str>,
    /// Its service's id, or empty.
    pub service_id: Arc<str>,
    /// Its service's name, or empty.
    pub service_name: Arc<str>,
}

/// What is known of the upstream's side of an exchange.
#[derive(Debug, Default)]
pub struct UpstreamFacts {
    /// The node that was last tried.
    pub address: Option<SocketAddr>,
    /// The statuses of all tries, in order; 502 and 504 stand for connections that failed.
    pub statuses: Vec<u16>,
    /// The upstream's scheme.
    pub scheme: &'static str,
    /// The `Host` that was sent.
    pub host: String,
}

/// When things happened, and how much was moved.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// The request's head was complete.
    pub start: Instant,
    /// The upstream was first tried.
    pub upstream_start: Option<Instant>,
    /// The upstream's answer was read to its end.
    pub upstream_end: Option<Instant>,
    /// Bytes of the request, head and body.
    pub received_bytes: u64,
    /// Bytes of the answer, head and body.
    pub sent_bytes: u64,
    /// Bytes of the answer's body.
    pub body_bytes: u64,
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
            server_port: 0,
            route: None,
            choice: None,
            upstream: UpstreamFacts::default(),
            times: Times {
                start,
                upstream_start: None,
                upstream_end: None,
                received_bytes: 0,
                sent_bytes: 0,
                body_bytes: 0,
            },
            identity: None,
            shown: RefCell::default(),
            directory,
            worker,
            slots: Vec::new(),
            variables: Vec::new(),
            judged: Vec::new(),
        }
    }

    /// Makes it ready for the next request; buffers keep their room. The request itself is refilled by the engine.
    pub fn reset(&mut self, directory: &Rc<dyn Directory>) {
        self.answer.clear();
        self.answered_by = AnsweredBy::Upstream;
        self.route = None;
        self.choice = None;
        self.upstream.address = None;
        self.upstream.statuses.clear();
        self.upstream.scheme = "";
        self.upstream.host.clear();
        self.times = Times {
            start: self.worker.now(),
            upstream_start: None,
            upstream_end: None,
            received_bytes: 0,
            sent_bytes: 0,
            body_bytes: 0,
        };
        self.identity = None;
        self.shown.get_mut().clear();
        if !Rc::ptr_eq(&self.directory, directory) {
            self.directory = Rc::clone(directory);
        }
        self.slots.clear();
        self.variables.clear();
        self.judged.clear();
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
    pub fn set_variable(&mut self, name: &'static str, value: impl Into<String>) {
        let value = value.into();
        match self.variables.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => *old = value,
            None => self.variables.push((name, value)),
        }
    }

    pub(crate) fn set_variables(&self) -> &[(&'static str, String)] {
        &self.variables
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
