//! The numbers of one label set on one worker.
//!
//! Only the worker that owns a cell adds to it, under its stripe's lock, so that an addition needs no locked instruction; a scrape may read at
//! any moment and sees each number as it was a little before or after.

use std::sync::atomic::{AtomicU64, Ordering};

/// Some numbers, and when they last moved.
pub(super) struct Cell {
    numbers: Box<[AtomicU64]>,
    touched_ms: AtomicU64,
}

impl Cell {
    /// `width` zeros, at this time.
    pub(super) fn new(width: usize, now_ms: u64) -> Self {
        Self { numbers: (0..width).map(|_| AtomicU64::new(0)).collect(), touched_ms: AtomicU64::new(now_ms) }
    }

    /// Adds to the number at `at`. At most one thread may do so at a time.
    pub(super) fn add(&self, at: usize, amount: u64) {
        if let Some(number) = self.numbers.get(at) {
            number.store(number.load(Ordering::Relaxed).wrapping_add(amount), Ordering::Relaxed);
        }
    }

    /// Says that it moved at this time.
    pub(super) fn touch(&self, now_ms: u64) {
        self.touched_ms.store(now_ms, Ordering::Relaxed);
    }

    /// When it last moved, in milliseconds.
    pub(super) fn touched_ms(&self) -> u64 {
        self.touched_ms.load(Ordering::Relaxed)
    }

    /// Adds its numbers to `sums`.
    pub(super) fn add_to(&self, sums: &mut [u64]) {
        for (sum, number) in sums.iter_mut().zip(&self.numbers) {
            *sum = sum.wrapping_add(number.load(Ordering::Relaxed));
        }
    }
}

/// Where the numbers of a latency cell stand: for each type the buckets, one for what is above all of them, and the sum in microseconds.
pub(super) struct LatencyLayout {
    bounds_us: Box<[u64]>,
}

impl LatencyLayout {
    /// For buckets with these upper bounds in milliseconds, ascending.
    pub(super) fn new(bounds_ms: &[f64]) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "bounds are positive, and a cast of too large a number gives the largest one"
        )]
        let in_us = |bound: &f64| (bound * 1000.0) as u64;
        Self { bounds_us: bounds_ms.iter().map(in_us).collect() }
    }

    /// How many numbers one type takes.
    pub(super) fn stride(&self) -> usize {
        self.bounds_us.len() + 2
    }

    /// How many numbers a cell takes.
    pub(super) fn width(&self) -> usize {
        self.stride() * Kind::ALL.len()
    }

    /// Adds one observation.
    pub(super) fn observe(&self, cell: &Cell, kind: Kind, micros: u64) {
        let first = kind as usize * self.stride();
        let above = self.bounds_us.iter().position(|bound| micros <= *bound);
        cell.add(first + above.unwrap_or(self.bounds_us.len()), 1);
        cell.add(first + self.bounds_us.len() + 1, micros);
    }
}

/// What a latency was spent on.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// The whole request.
    Request,
    /// Waiting for the upstream.
    Upstream,
    /// The rest: the gateway itself, and moving bytes to and from the client.
    Apisix,
}

impl Kind {
    /// All of them, in the order of their numbers, with the value of the label `type`.
    pub(super) const ALL: [(Self, &'static str); 3] =
        [(Self::Request, "request"), (Self::Upstream, "upstream"), (Self::Apisix, "apisix")];
}

#[cfg(test)]
mod tests {
    use super::{Cell, Kind, LatencyLayout};

    #[test]
    fn an_observation_falls_into_the_first_bucket_that_holds_it() {
        let layout = LatencyLayout::new(&[0.5, 1.0, 2.0]);
        let cell = Cell::new(layout.width(), 0);
        for micros in [0, 500, 501, 1000, 2000, 2001, 9_000_000] {
            layout.observe(&cell, Kind::Upstream, micros);
        }
        let mut sums = vec![0; layout.width()];
        cell.add_to(&mut sums);
        assert_eq!(sums, [0, 0, 0, 0, 0, 2, 2, 1, 2, 9_006_002, 0, 0, 0, 0, 0]);
    }
}
