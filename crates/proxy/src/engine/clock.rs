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
    /// The same, since the start: spans are cheaper to reckon with than moments.
    since: Cell<Duration>,
    /// The start on the system's clock. Renewed by the sweep, so that a stepped system clock is followed.
    start_unix: Cell<Duration>,
    date: RefCell<(u64, Rc<str>)>,
}

impl Clock {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self {
            start: now,
            now: Cell::new(now),
            since: Cell::new(Duration::ZERO),
            start_unix: Cell::new(since_1970()),
            date: RefCell::new((u64::MAX, Rc::from(""))),
        }
    }

    /// Looks at the monotonic clock.
    pub(super) fn turn(&self) {
        let now = Instant::now();
        self.now.set(now);
        self.since.set(now.saturating_duration_since(self.start));
    }

    /// Looks at the system's clock too.
    pub(super) fn anchor(&self) {
        self.turn();
        self.start_unix.set(since_1970().saturating_sub(self.since.get()));
    }

    /// The time of this turn.
    pub(super) fn now(&self) -> Instant {
        self.now.get()
    }

    /// Milliseconds since the worker's start, for deadlines.
    pub(super) fn ms(&self) -> u64 {
        millis(self.since.get())
    }

    /// Time since 1970.
    pub(super) fn unix(&self) -> Duration {
        self.start_unix.get().saturating_add(self.since.get())
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
    span.as_secs().saturating_mul(1000).saturating_add(u64::from(span.subsec_millis()))
}

fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
