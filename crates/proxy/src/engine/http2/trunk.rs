//! The connections of HTTP/2 that one worker has to one node: a call joins one that has room, and a new one is made only where none has.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use tokio::sync::Notify;
use usher_model::resource::KeepalivePool;

use super::line::{Line, Seat};
use crate::engine::connect::NoLink;

/// Connections that a worker has to one node. With all of them full, calls wait inside of the one that has the fewest.
const MOST: usize = 16;

/// All connections to one node.
pub(in crate::engine) struct Trunk {
    lines: RefCell<Vec<Rc<Line>>>,
    rules: Cell<KeepalivePool>,
    /// Whether somebody connects: the others wait for what becomes of that, instead of connecting too.
    dialing: Cell<bool>,
    dialled: Notify,
    failed: RefCell<Option<NoLink>>,
}

/// Lets the others go on, whatever becomes of the one who connects.
struct Dialing<'a>(&'a Trunk);

impl Drop for Dialing<'_> {
    fn drop(&mut self) {
        self.0.dialing.set(false);
        self.0.dialled.notify_waiters();
    }
}

impl Trunk {
    pub(in crate::engine) fn new(rules: KeepalivePool) -> Self {
        Self {
            lines: RefCell::default(),
            rules: Cell::new(rules),
            dialing: Cell::new(false),
            dialled: Notify::new(),
            failed: RefCell::new(None),
        }
    }

    /// How connections are kept from now on.
    pub(in crate::engine) fn keep_by(&self, rules: KeepalivePool) {
        self.rules.set(rules);
    }

    /// A place on a connection that `suits`, and whether that connection is a new one. `fresh` asks for a new one.
    ///
    /// # Errors
    /// There is none, and none could be made.
    pub(in crate::engine) async fn seat(
        &self,
        mut fresh: bool,
        suits: impl Fn(&Line) -> bool,
        dial: impl AsyncFn() -> Result<Rc<Line>, NoLink>,
    ) -> Result<(Seat, bool), NoLink> {
        loop {
            if !fresh && let Some(seat) = self.find(&suits) {
                return Ok((seat, false));
            }
            if self.dialing.get() {
                self.dialled.notified().await;
                // Whatever was made meanwhile is new enough.
                fresh = false;
                if let Some(failed) = self.failed.borrow().clone() {
                    return Err(failed);
                }
                continue;
            }
            self.dialing.set(true);
            let _dialing = Dialing(self);
            *self.failed.borrow_mut() = None;
            let dialled = dial().await;
            return match dialled {
                Ok(line) => {
                    self.lines.borrow_mut().push(Rc::clone(&line));
                    Ok((line.lend(self.rules.get().requests), true))
                }
                Err(error) => {
                    *self.failed.borrow_mut() = Some(error.clone());
                    Err(error)
                }
            };
        }
    }

    fn find(&self, suits: &impl Fn(&Line) -> bool) -> Option<Seat> {
        let mut lines = self.lines.borrow_mut();
        // Those that carry calls are held by them.
        lines.retain(|line| !line.is_retired());
        let suitable = || lines.iter().filter(|line| suits(line));
        let most = self.rules.get().requests;
        let roomy = suitable().find(|line| line.has_room());
        let any = || if lines.len() >= MOST { suitable().min_by_key(|line| line.open()) } else { None };
        roomy.or_else(any).map(|line| line.lend(most))
    }

    /// Closes what nobody has used for the pool's idle time, and what has ended.
    pub(in crate::engine) fn sweep(&self, now_ms: u64) {
        let seconds = self.rules.get().idle_timeout;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "casts of floats saturate, and the schema lets no negative number in"
        )]
        let patience_ms = (seconds * 1000.0) as u64;
        self.lines.borrow_mut().retain(|line| {
            let old = patience_ms > 0
                && now_ms.checked_sub(patience_ms).is_some_and(|since| line.is_idle_since(since));
            !line.is_retired() && !old
        });
    }

    /// Whether it holds nothing.
    pub(in crate::engine) fn is_empty(&self) -> bool {
        self.lines.borrow().is_empty()
    }
}
