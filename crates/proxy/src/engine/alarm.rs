//! Deadlines without timers: a connection notes when it has waited long enough, and one sweep of the worker looks at all of them.
//!
//! To arm and disarm is a store into a cell. A deadline is kept to within one sweep (a tenth of a second), which is fine for waits of
//! seconds and costs nothing per request.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::task::Waker;
use std::time::Duration;

/// How often the deadlines are looked at.
pub(super) const SWEEP: Duration = Duration::from_millis(100);

/// What a connection waits for. Several waits may run at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// Bytes from the client.
    ClientRead,
    /// Room towards the client.
    ClientWrite,
    /// Bytes from the upstream.
    UpstreamRead,
    /// Room towards the upstream.
    UpstreamWrite,
    /// What is usually there soon: from then on it is assumed that it takes longer.
    Long,
}

const WAITS: usize = 5;
const NEVER: u64 = u64::MAX;

/// The deadlines of one connection.
pub(super) struct Alarm {
    due: [Cell<u64>; WAITS],
    rang: Cell<u8>,
    waker: RefCell<Option<Waker>>,
}

impl Alarm {
    fn new() -> Self {
        Self { due: std::array::from_fn(|_| Cell::new(NEVER)), rang: Cell::new(0), waker: RefCell::new(None) }
    }

    /// Whom to wake; a connection's task has the same waker for all its life.
    pub(super) fn wakes(&self, waker: &Waker) {
        let mut known = self.waker.borrow_mut();
        if !known.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *known = Some(waker.clone());
        }
    }

    /// Notes a deadline, unless this wait has one already.
    pub(super) fn arm(&self, wait: Wait, at_ms: u64) {
        if let Some(due) = self.due.get(wait as usize)
            && due.get() == NEVER
        {
            due.set(at_ms);
        }
    }

    /// Forgets this wait's deadline.
    pub(super) fn disarm(&self, wait: Wait) {
        if let Some(due) = self.due.get(wait as usize) {
            due.set(NEVER);
        }
        self.rang.set(self.rang.get() & !bit(wait));
    }

    /// Forgets every deadline.
    pub(super) fn disarm_all(&self) {
        for due in &self.due {
            due.set(NEVER);
        }
        self.rang.set(0);
    }

    /// Whether this wait has taken too long.
    pub(super) fn rang(&self, wait: Wait) -> bool {
        self.rang.get() & bit(wait) != 0
    }

    /// Lets the connection look around.
    pub(super) fn wake(&self) {
        // Taken out first: waking may run anything.
        let waker = self.waker.borrow().clone();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Ends this wait at once.
    pub(super) fn ring(&self, wait: Wait) {
        self.rang.set(self.rang.get() | bit(wait));
        self.wake();
    }

    /// Ends every wait at once.
    fn ring_all(&self) {
        self.rang.set(u8::MAX);
        self.wake();
    }

    fn look(&self, now_ms: u64) {
        let mut rang = self.rang.get();
        let before = rang;
        for (at, due) in self.due.iter().enumerate() {
            if due.get() <= now_ms {
                due.set(NEVER);
                rang |= 1 << at;
            }
        }
        if rang != before {
            self.rang.set(rang);
            self.wake();
        }
    }
}

const fn bit(wait: Wait) -> u8 {
    1 << wait as u8
}

/// The alarms of all of a worker's connections.
#[derive(Default)]
pub(super) struct Alarms {
    all: RefCell<Vec<Weak<Alarm>>>,
}

impl Alarms {
    /// An alarm for one more connection.
    pub(super) fn add(&self) -> Rc<Alarm> {
        let alarm = Rc::new(Alarm::new());
        self.all.borrow_mut().push(Rc::downgrade(&alarm));
        alarm
    }

    /// Rings what is due, and forgets connections that are gone.
    pub(super) fn sweep(&self, now_ms: u64) {
        self.all.borrow_mut().retain(|alarm| match alarm.upgrade() {
            Some(alarm) => {
                alarm.look(now_ms);
                true
            }
            None => false,
        });
    }

    /// Wakes every connection.
    pub(super) fn wake_all(&self) {
        self.all.borrow().iter().filter_map(Weak::upgrade).for_each(|alarm| alarm.wake());
    }

    /// Ends every wait of every connection.
    pub(super) fn ring_all(&self) {
        self.all.borrow().iter().filter_map(Weak::upgrade).for_each(|alarm| alarm.ring_all());
    }
}

#[cfg(test)]
mod tests {
    use super::{Alarms, Wait};

    #[test]
    fn a_wait_rings_once_its_deadline_has_passed_and_not_before() {
        let alarms = Alarms::default();
        let alarm = alarms.add();
        alarm.arm(Wait::ClientRead, 500);
        alarm.arm(Wait::ClientRead, 100);
        alarm.arm(Wait::UpstreamRead, 900);
        alarms.sweep(499);
        assert!(!alarm.rang(Wait::ClientRead));
        alarms.sweep(500);
        assert!(alarm.rang(Wait::ClientRead) && !alarm.rang(Wait::UpstreamRead));
        alarm.disarm(Wait::ClientRead);
        assert!(!alarm.rang(Wait::ClientRead));
        drop(alarm);
        alarms.sweep(1000);
        assert!(alarms.all.borrow().is_empty());
    }
}
