//! What all connections of one worker share, and nobody else: its clock, buffers, pools, view of the configuration. And the worker as plugins see it.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::{LocalBoxFuture, ready};
use tokio::sync::Notify;
use usher_pipeline::front::{Connections, Tellers};
use usher_pipeline::shelf::Shelf;
use usher_pipeline::worker::{Answer, Call, FetchError, InnerCall, Peer, Stream, Worker};

use super::access_log::Lines;
use super::alarm::Alarms;
use super::budget::Budget;
use super::buffers::Buffers;
use super::calls;
use super::clients::{Clients, Place};
use super::clock::Clock;
use super::fetch;
use super::ingress::Ingress;
use super::inner;
use super::nodes::Nodes;
use super::pressure::Pressure;
use super::recent::Ring;
use super::settings::Settings;
use super::state::State;
use super::throttle::Throttle;
use super::tls::Handshakes;
use super::view::{View, Views};
use crate::config::Shared;
use crate::resolve::Resolver;
use crate::series::{Desk, Tally};

/// Tasks of plugins that may run behind requests.
const MOST_TASKS: usize = 1024;
/// Tasks of plugins that end with the worker.
const MOST_ATTENDED: usize = 1024;
/// States that are kept for the next exchanges.
const MOST_STATES: usize = 256;

/// What one worker's connections share.
pub(super) struct Local {
    pub(super) index: usize,
    pub(super) shared: Arc<Shared>,
    pub(super) settings: Settings,
    pub(super) clock: Clock,
    pub(super) alarms: Alarms,
    pub(super) buffers: Rc<Buffers>,
    pub(super) ingress: Ingress,
    pub(super) nodes: Nodes,
    pub(super) resolver: Arc<Resolver>,
    pub(super) retries: Budget,
    pub(super) handshakes: Handshakes,
    pub(super) lines: Option<Lines>,
    /// Those of connections of stream routes.
    pub(super) stream_lines: Option<Lines>,
    pub(super) recent: Arc<Ring>,
    /// What is counted for the time series.
    pub(super) tally: Tally,
    pub(super) pressure: Arc<Pressure>,
    /// Connections by client, where they are bounded.
    pub(super) clients: Option<Arc<Clients>>,
    pub(super) complaints: Complaints,
    /// Rings when the worker stops taking connections.
    pub(super) stop: Notify,
    /// Rings when something has ended that a stopping worker waits for.
    pub(super) ended: Notify,
    views: Views,
    #[expect(clippy::vec_box, reason = "what is lent is the box: its content is never moved")]
    states: RefCell<Vec<Box<State>>>,
    connections: Cell<usize>,
    /// Of all connections: accepted, and given a seat.
    came: Cell<(u64, u64)>,
    /// Connections that send a head.
    pub(super) reading: Busy,
    /// Requests that came.
    pub(super) requests: Cell<u64>,
    /// Connections that were given a number.
    serials: Cell<u64>,
    /// Requests that are being answered.
    pub(super) writing: Cell<u64>,
    teller: Arc<Tellers>,
    tasks: Cell<usize>,
    attended: Rc<Cell<usize>>,
    shelf: Shelf,
    draining: Cell<bool>,
    hurries: Cell<bool>,
    me: Weak<Self>,
}

/// When the log was last told of what may happen with every request.
#[derive(Default)]
pub(super) struct Complaints {
    /// A node that failed.
    pub(super) nodes: Throttle,
    /// A request that no node could be tried for.
    pub(super) unserved: Throttle,
    /// An answer that broke off.
    pub(super) bodies: Throttle,
    /// A connection that no stream route takes.
    pub(super) streams: Throttle,
    /// A connection that a plugin of its stream route refuses.
    pub(super) refused: Throttle,
    /// A load balancer that didn't say where its client is.
    pub(super) balancers: Throttle,
    /// A handshake that failed.
    pub(super) handshakes: Throttle,
}

/// What a worker is made of.
pub(super) struct Parts {
    pub(super) index: usize,
    pub(super) shared: Arc<Shared>,
    pub(super) settings: Settings,
    pub(super) ingress: Ingress,
    pub(super) resolver: Arc<Resolver>,
    pub(super) lines: Option<Lines>,
    pub(super) stream_lines: Option<Lines>,
    pub(super) pressure: Arc<Pressure>,
    pub(super) clients: Option<Arc<Clients>>,
    pub(super) desk: Arc<Desk>,
}

impl Local {
    pub(super) fn new(parts: Parts) -> Rc<Self> {
        let handshakes = Handshakes::new(parts.settings.handshakes);
        let teller = parts.shared.front().worker();
        Rc::new_cyclic(|me| Self {
            index: parts.index,
            views: Views::new(&parts.shared),
            recent: parts.shared.ring(parts.index),
            tally: Tally::new(parts.desk),
            shared: parts.shared,
            settings: parts.settings,
            clock: Clock::new(),
            alarms: Alarms::default(),
            buffers: Rc::default(),
            ingress: parts.ingress,
            nodes: Nodes::default(),
            resolver: parts.resolver,
            retries: Budget::default(),
            handshakes,
            lines: parts.lines,
            stream_lines: parts.stream_lines,
            pressure: parts.pressure,
            clients: parts.clients,
            complaints: Complaints::default(),
            stop: Notify::new(),
            ended: Notify::new(),
            states: RefCell::default(),
            connections: Cell::new(0),
            came: Cell::new((0, 0)),
            reading: Busy::default(),
            requests: Cell::new(0),
            serials: Cell::new(0),
            writing: Cell::new(0),
            teller,
            tasks: Cell::new(0),
            attended: Rc::default(),
            shelf: Shelf::default(),
            draining: Cell::new(false),
            hurries: Cell::new(false),
            me: me.clone(),
        })
    }

    /// The snapshot in force.
    pub(super) fn view(&self) -> Rc<View> {
        self.views.current()
    }

    /// A state for one exchange.
    pub(super) fn lend_state(self: &Rc<Self>) -> Box<State> {
        let spare = self.states.borrow_mut().pop();
        spare.unwrap_or_else(|| {
            let directory = Rc::clone(&self.view().directory);
            State::new(Rc::<Self>::clone(self), directory)
        })
    }

    /// Takes a state back.
    pub(super) fn give_back(&self, state: Box<State>) {
        let mut states = self.states.borrow_mut();
        if states.len() < MOST_STATES && state.is_small() {
            states.push(state);
        }
    }

    /// Lets go of what is no longer in force, or was last used by connections that are gone.
    pub(super) fn sweep(&self) {
        let view = self.view();
        self.states.borrow_mut().iter_mut().for_each(|state| state.forget(&view.directory));
        self.nodes.sweep(self.clock.ms());
    }

    /// A place for one more connection, until it is dropped; `None` when there are too many.
    pub(super) fn seat(self: &Rc<Self>, client: IpAddr) -> Option<Seat> {
        let taken = self.connections.get();
        let (accepted, seated) = self.came.get();
        self.came.set((accepted + 1, seated));
        if taken >= self.settings.connections {
            return None;
        }
        let place = match &self.clients {
            Some(clients) => Some(clients.admit(client)?),
            None => None,
        };
        self.connections.set(taken + 1);
        self.came.set((accepted + 1, seated + 1));
        Some(Seat(Rc::clone(self), place))
    }

    /// A number for one more connection, which no other one has: of four workers, the second gives 2, 6, 10 and so on.
    pub(super) fn next_serial(&self) -> u64 {
        let before = self.serials.replace(self.serials.get() + 1);
        before * self.settings.workers + self.index as u64 + 1
    }

    /// Whether the worker is stopping: connections end behind their requests.
    pub(super) fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// Whether connections that are idle end at once, because nobody will listen here any more.
    pub(super) fn hurries(&self) -> bool {
        self.hurries.get()
    }

    /// Begins to stop; in a hurry where nobody else goes on listening.
    pub(super) fn drain(&self, hurries: bool) {
        self.draining.set(true);
        self.hurries.set(hurries);
        self.stop.notify_waiters();
        self.alarms.wake_all();
    }

    /// Whether nothing runs any more.
    pub(super) fn is_idle(&self) -> bool {
        self.connections.get() == 0 && self.tasks.get() == 0
    }

    /// Tells metrics how many connections there are.
    pub(super) fn tell_of_connections(&self) {
        let (accepted, handled) = self.came.get();
        self.teller.tell(Connections {
            accepted,
            handled,
            requests: self.requests.get(),
            active: self.connections.get() as u64,
            reading: self.reading.count(),
            writing: self.writing.get(),
        });
    }

    /// Hands lines over to the logs.
    pub(super) fn hand_over_lines(&self) {
        self.lines.iter().chain(&self.stream_lines).for_each(Lines::hand_over);
    }

    /// Lets go of everything that refers back to the worker.
    pub(super) fn clear(&self) {
        self.states.borrow_mut().clear();
        self.shelf.clear();
        self.nodes.clear();
    }
}

/// Counts what is under way.
#[derive(Clone, Default)]
pub(super) struct Busy(Rc<Cell<u64>>);

/// One of them, until it is dropped.
pub(super) struct Counted(Rc<Cell<u64>>);

impl Busy {
    /// One more.
    pub(super) fn begin(&self) -> Counted {
        self.0.set(self.0.get() + 1);
        Counted(Rc::clone(&self.0))
    }

    fn count(&self) -> u64 {
        self.0.get()
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// A connection's place among the worker's.
pub(super) struct Seat(Rc<Local>, #[expect(dead_code, reason = "given back when the seat is")] Option<Place>);

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.connections.set(self.0.connections.get() - 1);
        self.0.ended.notify_one();
    }
}

struct Task(Rc<Local>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.tasks.set(self.0.tasks.get() - 1);
        self.0.ended.notify_one();
    }
}

struct Attended(Rc<Cell<usize>>);

impl Drop for Attended {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl Worker for Local {
    fn index(&self) -> usize {
        self.index
    }

    fn now(&self) -> Instant {
        self.clock.now()
    }

    fn unix_ms(&self) -> u64 {
        super::clock::millis(self.clock.unix())
    }

    fn fetch(&self, call: Call) -> LocalBoxFuture<'static, Result<Answer, FetchError>> {
        match self.me.upgrade() {
            Some(local) => fetch::fetch(local, call).boxed_local(),
            None => ready(Err(stopped(call.url))).boxed_local(),
        }
    }

    fn fetch_inside(&self, call: InnerCall) -> LocalBoxFuture<'static, Result<Answer, FetchError>> {
        match self.me.upgrade() {
            Some(local) => inner::fetch(local, call).boxed_local(),
            None => ready(Err(stopped("the gateway itself".to_owned()))).boxed_local(),
        }
    }

    fn sleep(&self, time: Duration) -> LocalBoxFuture<'static, ()> {
        tokio::time::sleep(time).boxed_local()
    }

    fn spawn(&self, task: LocalBoxFuture<'static, ()>) -> bool {
        let Some(local) = self.me.upgrade().filter(|local| local.tasks.get() < MOST_TASKS) else {
            return false;
        };
        local.tasks.set(local.tasks.get() + 1);
        let counted = Task(local);
        drop(tokio::task::spawn_local(async move {
            let _counted = counted;
            task.await;
        }));
        true
    }

    fn attend(&self, task: LocalBoxFuture<'static, ()>) -> bool {
        if self.attended.get() >= MOST_ATTENDED {
            return false;
        }
        self.attended.set(self.attended.get() + 1);
        let attended = Attended(Rc::clone(&self.attended));
        drop(tokio::task::spawn_local(async move {
            let _attended = attended;
            task.await;
        }));
        true
    }

    fn stopping(&self) -> LocalBoxFuture<'static, ()> {
        let Some(local) = self.me.upgrade() else { return ready(()).boxed_local() };
        async move {
            // Begun before the look, so that an end in between is not missed.
            let stop = local.stop.notified();
            if !local.is_draining() {
                stop.await;
            }
        }
        .boxed_local()
    }

    fn connect(&self, peer: Peer) -> LocalBoxFuture<'static, Result<Box<dyn Stream>, FetchError>> {
        match self.me.upgrade() {
            Some(local) => calls::open(local, peer).boxed_local(),
            None => ready(Err(stopped(peer.to_string()))).boxed_local(),
        }
    }

    fn send_datagram(&self, peer: Peer, bytes: Bytes) -> LocalBoxFuture<'static, Result<(), FetchError>> {
        match self.me.upgrade() {
            Some(local) => calls::send_datagram(local, peer, bytes).boxed_local(),
            None => ready(Err(stopped(peer.to_string()))).boxed_local(),
        }
    }

    fn shelf(&self) -> &Shelf {
        &self.shelf
    }
}

fn stopped(peer: String) -> FetchError {
    FetchError::Unreachable { peer, reason: "the worker is stopping".to_owned() }
}
