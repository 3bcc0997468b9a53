//! A worker's time: looked at once a turn of a task, not once a question.
//!
//! Everything that asks within one turn hears the same time, so that a request costs two looks at the clock however much it measures.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The time as of the last turn.
pub(super) struct Clock {
    start: Instant,
    now: Cell<Instant>,
    ms: Cell<u64>,
    /// A moment of both clocks. Renewed by the sweep, so that a stepped system clock is followed.
    anchor: Cell<(Instant, Duration)>,
    date: RefCell<(u64, Rc<str>)>,
}

impl Clock {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self {
            start: now,
            now: Cell::new(now),
            ms: Cell::new(0),
            anchor: Cell::new((now, since_1970())),
            date: RefCell::new((u64::MAX, Rc::from(""))),
        }
    }

    /// Looks at the monotonic clock.
    pub(super) fn turn(&self) {
        let now = Instant::now();
        self.now.set(now);
        self.ms.set(millis(now.saturating_duration_since(self.start)));
    }

    /// Looks at the system's clock too.
    pub(super) fn anchor(&self) {
        self.turn();
        self.anchor.set((self.now.get(), since_1970()));
    }

    /// The time of this turn.
    pub(super) fn now(&self) -> Instant {
        self.now.get()
    }

    /// Milliseconds since the worker's start, for deadlines.
    pub(super) fn ms(&self) -> u64 {
        self.ms.get()
    }

    /// Time since 1970.
    pub(super) fn unix(&self) -> Duration {
        let (then, unix) = self.anchor.get();
        unix + self.now.get().saturating_duration_since(then)
    }

    /// The value of `Date`; written anew once a second.
    pub(super) fn date(&self) -> Rc<str> {
        let second = self.unix().as_secs();
        let mut date = self.date.borrow_mut();
        if date.0 != second {
            *date = (second, httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(second)).into());
        }
        Rc::clone(&date.1)
    }
}

/// A span as whole milliseconds.
pub(super) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
