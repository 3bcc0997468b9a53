//! A worker's own counters of one second. A request finds its row by a few pointers and adds to it: no lock, no allocation, nothing that another
//! thread touches.
//!
//! There are two halves, for even and for odd seconds. The one that isn't being written is taken away by the worker's sweep, which gives it to whoever
//! folds the seconds of all workers together, and gets an empty one for it.

use std::cell::RefCell;
use std::hash::{Hash as _, Hasher as _};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use usher_pipeline::cause::What;
use usher_pipeline::exchange::{Exchange, RouteFacts};

use super::sum::Sum;
use crate::engine::Spans;

/// Rows of one worker and second. Beyond three quarters of them a new one is told apart by less, beyond seven eighths by its status alone.
const MOST_ROWS: usize = 1024;
/// Places of the index: a power of two, and so many that a look meets few others.
const PLACES: usize = 2048;

/// One worker's counters.
pub(crate) struct Tally {
    halves: [RefCell<Half>; 2],
    desk: Arc<Desk>,
}

/// What workers have counted and nobody has folded yet, and halves to be used again.
#[derive(Default)]
pub(crate) struct Desk {
    counted: Mutex<Vec<Half>>,
    spare: Mutex<Vec<Half>>,
}

/// Halves that wait at most: a folder that sleeps must not let them grow.
const MOST_WAITING: usize = 4096;
/// Empty halves that are kept.
const MOST_SPARE: usize = 64;

/// The counters of one second.
pub(crate) struct Half {
    /// The second since 1970.
    pub(super) second: u64,
    /// What was counted.
    pub(super) rows: Vec<Row>,
    /// For each place the number of its row, from 1; 0 where there is none.
    index: Box<[u16]>,
}

/// Requests that have everything in common.
pub(super) struct Row {
    pub(super) mark: Mark,
    pub(super) sum: Sum,
}

/// What rows are told apart by.
#[derive(Clone, Debug, Default)]
pub(super) struct Mark {
    /// `None`: no route.
    pub(super) route: Option<Arc<RouteFacts>>,
    /// `None`: nobody known.
    pub(super) consumer: Option<Arc<str>>,
    /// Only of answers of 400 and above.
    pub(super) client: Option<IpAddr>,
    pub(super) status: u16,
    pub(super) cause: Option<What>,
    pub(super) plugin: Option<&'static str>,
    /// Client and consumer are not told apart any more.
    pub(super) crowded: bool,
    /// Nor is the route.
    pub(super) packed: bool,
}

/// The same, borrowed.
#[derive(Clone, Copy)]
struct Seen<'a> {
    route: Option<&'a Arc<RouteFacts>>,
    consumer: Option<&'a Arc<str>>,
    client: Option<IpAddr>,
    status: u16,
    cause: Option<What>,
    plugin: Option<&'static str>,
    crowded: bool,
    packed: bool,
}

impl Seen<'_> {
    fn place(&self) -> usize {
        // Not std's default: it is keyed, and this is looked at with every request. Rows are few, and what collides costs one more look.
        let mut hasher = Mix(0);
        self.route.map_or(0, |route| Arc::as_ptr(route) as usize).hash(&mut hasher);
        self.consumer.map_or(0, |consumer| Arc::as_ptr(consumer).cast::<u8>() as usize).hash(&mut hasher);
        match self.client {
            Some(IpAddr::V4(address)) => hasher.write_u32(address.to_bits()),
            Some(IpAddr::V6(address)) => hasher.write_u128(address.to_bits()),
            None => {}
        }
        hasher.write_u16(self.status);
        hasher.write_u16(self.cause.map_or(u16::MAX, |cause| cause as u16));
        hasher.write_usize(self.plugin.map_or(0, |plugin| plugin.as_ptr() as usize));
        usize::try_from(hasher.finish() >> 32).unwrap_or(0) % PLACES
    }

    fn is(&self, mark: &Mark) -> bool {
        let same_route = match (self.route, &mark.route) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (None, None) => true,
            _ => false,
        };
        let same_consumer = match (self.consumer, &mark.consumer) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (None, None) => true,
            _ => false,
        };
        same_route
            && same_consumer
            && self.status == mark.status
            && self.cause == mark.cause
            && self.plugin == mark.plugin
            && self.client == mark.client
            && self.crowded == mark.crowded
            && self.packed == mark.packed
    }

    fn mark(&self) -> Mark {
        Mark {
            route: self.route.cloned(),
            consumer: self.consumer.cloned(),
            client: self.client,
            status: self.status,
            cause: self.cause,
            plugin: self.plugin,
            crowded: self.crowded,
            packed: self.packed,
        }
    }
}

/// A hasher of a few words.
struct Mix(u64);

impl std::hash::Hasher for Mix {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u16(&mut self, word: u16) {
        self.write_u64(u64::from(word));
    }

    fn write_u32(&mut self, word: u32) {
        self.write_u64(u64::from(word));
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0 ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    }

    fn write_u128(&mut self, word: u128) {
        self.write_u64(word as u64);
        self.write_u64((word >> 64) as u64);
    }

    fn write_usize(&mut self, word: usize) {
        self.write_u64(word as u64);
    }
}

impl Half {
    pub(super) fn new() -> Self {
        Self { second: 0, rows: Vec::with_capacity(MOST_ROWS), index: vec![0; PLACES].into() }
    }

    fn clear(&mut self) {
        self.rows.clear();
        self.index.fill(0);
    }

    /// The row of what was seen; made where it isn't there, of less than was seen where there are many.
    fn row(&mut self, mut seen: Seen<'_>) -> Option<&mut Sum> {
        loop {
            let mut place = seen.place();
            let found = loop {
                match self.index.get(place).copied() {
                    Some(0) | None => break None,
                    Some(number) => {
                        let at = usize::from(number) - 1;
                        if self.rows.get(at).is_some_and(|row| seen.is(&row.mark)) {
                            break Some(at);
                        }
                    }
                }
                place = (place + 1) % PLACES;
            };
            if let Some(at) = found {
                return self.rows.get_mut(at).map(|row| &mut row.sum);
            }
            let taken = self.rows.len();
            if taken >= MOST_ROWS * 3 / 4 && !seen.crowded {
                seen = Seen { client: None, consumer: None, crowded: true, ..seen };
                continue;
            }
            if taken >= MOST_ROWS * 7 / 8 && !seen.packed {
                seen = Seen { route: None, cause: None, plugin: None, packed: true, ..seen };
                continue;
            }
            if taken >= MOST_ROWS {
                // Every status there is has its row by then, but for a few that nobody sends.
                return self.rows.last_mut().map(|row| &mut row.sum);
            }
            let number = u16::try_from(taken + 1).ok()?;
            *self.index.get_mut(place)? = number;
            self.rows.push(Row { mark: seen.mark(), sum: Sum::NONE });
            return self.rows.last_mut().map(|row| &mut row.sum);
        }
    }
}

impl Tally {
    pub(crate) fn new(desk: Arc<Desk>) -> Self {
        Self { halves: [RefCell::new(Half::new()), RefCell::new(Half::new())], desk }
    }

    /// Counts a finished exchange.
    pub(crate) fn note(&self, exchange: &Exchange, spans: &Spans, now: Duration) {
        let second = now.as_secs();
        let Some(half) = self.halves.get(usize::from(second % 2 == 1)) else { return };
        // Nobody else holds it: the sweep takes it between two turns.
        let Ok(mut half) = half.try_borrow_mut() else { return };
        if half.rows.is_empty() {
            half.second = second;
        }
        let status = exchange.answer.status();
        let times = &exchange.times;
        let seen = Seen {
            route: exchange.route.as_ref(),
            consumer: exchange.consumer().map(|consumer| &consumer.name),
            client: (status >= 400).then(|| exchange.client.ip().to_canonical()),
            status,
            cause: exchange.cause.map(|cause| cause.what),
            plugin: exchange.answered_by_plugin(),
            crowded: false,
            packed: false,
        };
        if let Some(sum) = half.row(seen) {
            sum.add_one(spans.took, spans.upstream, times.received_bytes, times.sent_bytes);
        }
    }

    /// Gives away what was counted in seconds that are over; with `all`, also what was counted in this one.
    pub(crate) fn hand_over(&self, now: Duration, all: bool) {
        for half in &self.halves {
            let Ok(mut half) = half.try_borrow_mut() else { continue };
            if half.rows.is_empty() || (half.second == now.as_secs() && !all) {
                continue;
            }
            let empty = self.desk.lend();
            let full = std::mem::replace(&mut *half, empty);
            drop(half);
            self.desk.put(full);
        }
    }
}

impl Desk {
    fn lend(&self) -> Half {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_else(Half::new)
    }

    fn put(&self, full: Half) {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        if counted.len() < MOST_WAITING {
            counted.push(full);
        }
    }

    /// Everything that workers have given since the last look.
    pub(super) fn take(&self) -> Vec<Half> {
        std::mem::take(&mut *self.counted.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Halves that may be used again.
    pub(super) fn give_back(&self, halves: Vec<Half>) {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        for mut half in halves {
            if spare.len() >= MOST_SPARE {
                break;
            }
            half.clear();
            spare.push(half);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use usher_http1::head::Head;
    use usher_model::live::Sketch;
    use usher_pipeline::exchange::{Exchange, RouteFacts};

    use super::{Desk, MOST_ROWS, Spans, Tally};

    fn exchange(status: u16, route: Option<&Arc<RouteFacts>>, client: [u8; 4]) -> Exchange {
        let sketch = Sketch { method: "GET".into(), target: "/".into(), ..Sketch::default() };
        let mut exchange = crate::live::exchange(&sketch, crate::options::PathRules::default()).unwrap();
        exchange.answer = Head::response(status);
        exchange.route = route.cloned();
        exchange.client.set_ip(client.into());
        exchange
    }

    fn note(tally: &Tally, exchange: &Exchange, now: Duration) {
        tally.note(exchange, &Spans::of(exchange), now);
    }

    #[test]
    fn a_second_is_given_away_once_it_is_over() {
        let desk = Arc::new(Desk::default());
        let tally = Tally::new(Arc::clone(&desk));
        let route = Arc::new(RouteFacts { id: "r".into(), ..RouteFacts::default() });
        let at = Duration::from_secs;
        for _ in 0..3 {
            note(&tally, &exchange(200, Some(&route), [10, 0, 0, 1]), at(100));
        }
        note(&tally, &exchange(200, Some(&route), [10, 0, 0, 2]), at(100));
        note(&tally, &exchange(404, None, [10, 0, 0, 2]), at(100));
        tally.hand_over(at(100), false);
        assert!(desk.take().is_empty(), "the second isn't over");
        note(&tally, &exchange(200, Some(&route), [10, 0, 0, 1]), at(101));
        tally.hand_over(at(101), false);
        let taken = desk.take();
        assert_eq!(taken.len(), 1);
        let rows: Vec<_> = taken[0]
            .rows
            .iter()
            .map(|row| (row.mark.status, row.mark.client.is_some(), row.sum.requests))
            .collect();
        assert_eq!((taken[0].second, rows), (100, vec![(200, false, 4), (404, true, 1)]));
        desk.give_back(taken);
        tally.hand_over(at(101), true);
        assert_eq!(desk.take()[0].second, 101);
    }

    #[test]
    fn a_crowd_of_clients_is_counted_in_full_though_not_by_name() {
        let desk = Arc::new(Desk::default());
        let tally = Tally::new(Arc::clone(&desk));
        let at = Duration::from_secs(7);
        let many = 5_000_u16;
        for number in 0..many {
            let [high, low] = number.to_be_bytes();
            note(&tally, &exchange(401, None, [10, 1, high, low]), at);
        }
        tally.hand_over(at, true);
        let taken = desk.take();
        assert!(taken[0].rows.len() < MOST_ROWS);
        assert_eq!(taken[0].rows.iter().map(|row| row.sum.requests).sum::<u64>(), u64::from(many));
        let rest: Vec<_> = taken[0].rows.iter().filter(|row| row.mark.crowded).collect();
        assert_eq!((rest.len(), rest[0].mark.status), (1, 401));
    }
}
