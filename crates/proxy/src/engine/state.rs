//! Everything that one exchange needs while it runs, in one place that is lent for its duration and used again.
//!
//! It is boxed once: futures hold a reference, so that nothing large is moved around. An idle connection holds none.

use std::rc::Rc;

use smallvec::SmallVec;
use usher_pipeline::consumer::Directory;
use usher_pipeline::exchange::Exchange;
use usher_pipeline::worker::Worker;

use super::far::Far;
use super::ingress::Said;
use super::outbound::Outbound;
use crate::config::Flight;

/// Text beyond this isn't kept for the next exchange.
const KEPT_TEXT: usize = 256 << 10;

/// The state of one exchange.
pub(super) struct State {
    /// What plugins see.
    pub(super) exchange: Exchange,
    /// Towards the client.
    pub(super) down: Outbound,
    /// Towards the upstream.
    pub(super) up: Outbound,
    /// The upstream's side.
    pub(super) far: Far,
    /// What the client said of where it comes from.
    pub(super) said: Said,
    /// The canonical path, while it is made.
    pub(super) path: String,
    /// The `Host` as it came, and where in it the host ends and which port follows: most requests of a connection ask for the same.
    pub(super) authority: String,
    pub(super) host_end: usize,
    pub(super) port: Option<u16>,
    /// The target that is forwarded, where it isn't the client's own.
    pub(super) target: String,
    /// The nodes that were tried.
    pub(super) tried: SmallVec<[usize; 8]>,
    /// The try that is under way, where the choice of nodes goes by such.
    pub(super) flight: Option<Flight>,
    /// Bytes of the answer's body that were handed to `down`.
    pub(super) body_bytes: u64,
}

impl State {
    pub(super) fn new(worker: Rc<dyn Worker>, directory: Rc<dyn Directory>) -> Box<Self> {
        Box::new(Self {
            exchange: Exchange::new(worker, directory),
            down: Outbound::default(),
            up: Outbound::default(),
            far: Far::default(),
            said: Said::default(),
            path: String::new(),
            authority: String::new(),
            host_end: 0,
            port: None,
            target: String::new(),
            tried: SmallVec::new(),
            flight: None,
            body_bytes: 0,
        })
    }

    /// Makes it ready for the next exchange; the exchange's head was filled already.
    pub(super) fn begin(&mut self, directory: &Rc<dyn Directory>) {
        self.exchange.reset(directory);
        self.down.clear();
        self.up.clear();
        self.tried.clear();
        self.flight = None;
        self.body_bytes = 0;
    }

    /// Lets go of what the last exchange left: a spare state must not keep an old configuration alive.
    pub(super) fn forget(&mut self, directory: &Rc<dyn Directory>) {
        self.exchange.reset(directory);
    }

    /// Whether it is worth keeping.
    pub(super) fn is_small(&self) -> bool {
        self.down.capacity() + self.up.capacity() + self.target.capacity() < KEPT_TEXT
    }
}
