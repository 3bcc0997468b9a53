//! The arithmetic of one key's window: what is used, what is left, and when it starts anew.
//!
//! No clock and no map here, so that every edge can be tested with plain numbers. Times are nanoseconds on a monotonic clock.

use crate::keyed::State;

/// Nanoseconds in a second.
const SECOND: u64 = 1_000_000_000;

impl State for Window {
    fn is_over(&self, now: u64) -> bool {
        now >= self.end().saturating_add(self.length)
    }
}

/// How requests are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limit {
    /// Requests that a window admits; at least 1.
    pub(super) count: u64,
    /// The window's length in nanoseconds; at least 1.
    pub(super) window: u64,
    /// Whether the window before weighs in, by the share of it that a window ending now would still hold.
    pub(super) sliding: bool,
}

impl Limit {
    /// A limit by whole seconds.
    pub(super) const fn new(count: u64, window_secs: u64, sliding: bool) -> Self {
        Self { count, window: window_secs.saturating_mul(SECOND), sliding }
    }
}

/// The state of one key.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Window {
    start: u64,
    length: u64,
    used: u64,
    before: u64,
}

/// What a request is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    /// Whether the request may pass.
    pub(super) admitted: bool,
    /// How many more may pass in this window; 0 for a rejected one.
    pub(super) remaining: u64,
    /// Nanoseconds until there is room again.
    pub(super) reset: u64,
}

impl Window {
    /// A window that starts with the request at `now`.
    pub(super) const fn starting(now: u64, limit: &Limit) -> Self {
        Self { start: now, length: limit.window, used: 0, before: 0 }
    }

    const fn end(&self) -> u64 {
        self.start.saturating_add(self.length)
    }

    /// Counts one request.
    pub(super) fn take(&mut self, now: u64, limit: &Limit) -> Verdict {
        if limit.sliding { self.take_sliding(now, limit) } else { self.take_fixed(now, limit) }
    }

    fn take_fixed(&mut self, now: u64, limit: &Limit) -> Verdict {
        if now >= self.end() {
            *self = Self::starting(now, limit);
        }
        let reset = self.end().saturating_sub(now).min(self.length);
        if self.used >= limit.count {
            return Verdict { admitted: false, remaining: 0, reset };
        }
        self.used += 1;
        Verdict { admitted: true, remaining: limit.count - self.used, reset }
    }

    fn take_sliding(&mut self, now: u64, limit: &Limit) -> Verdict {
        if State::is_over(self, now) {
            *self = Self::starting(now, limit);
        } else if now >= self.end() {
            *self = Self { start: self.end(), length: self.length, used: 0, before: self.used };
        }
        let left = self.end().saturating_sub(now).min(self.length);
        let (count, used) = (u128::from(limit.count), u128::from(self.used));
        let (length, before) = (u128::from(self.length.max(1)), u128::from(self.before).min(count));
        // Everything times the window's length, so that shares stay whole numbers. Both factors are below 2^64.
        let carried = before * u128::from(left);
        if used >= count {
            return Verdict { admitted: false, remaining: 0, reset: left };
        }
        if (used * length).saturating_add(carried) >= count.saturating_mul(length) {
            // The old window's share has to shrink until one more fits.
            let freed = (count - used).saturating_mul(length).checked_div(before).unwrap_or(0);
            let reset = u128::from(left).saturating_sub(freed);
            return Verdict { admitted: false, remaining: 0, reset: u64::try_from(reset).unwrap_or(left) };
        }
        self.used += 1;
        let room = ((count - used - 1) * length).saturating_sub(carried) / length;
        Verdict { admitted: true, remaining: u64::try_from(room).unwrap_or(u64::MAX), reset: left }
    }
}

#[cfg(test)]
mod tests {
    use super::{Limit, SECOND, Window};

    /// Requests at these times in milliseconds, each with what is expected: admitted, remaining, reset in milliseconds.
    fn check(limit: &Limit, steps: &[(u64, bool, u64, u64)]) {
        let ms = |ms: u64| ms * (SECOND / 1000);
        let mut window = Window::default();
        for (at, admitted, remaining, reset) in steps {
            let verdict = window.take(ms(*at), limit);
            let found = (verdict.admitted, verdict.remaining, verdict.reset / (SECOND / 1000));
            assert_eq!(found, (*admitted, *remaining, *reset), "at {at} ms");
        }
    }

    #[test]
    fn a_fixed_window_starts_with_the_first_request() {
        let limit = Limit::new(2, 10, false);
        check(
            &limit,
            &[
                (50_000, true, 1, 10_000),
                (50_250, true, 0, 9750),
                (59_999, false, 0, 1),
                (60_000, true, 1, 10_000),
                (60_001, true, 0, 9999),
                (60_002, false, 0, 9998),
            ],
        );
    }

    #[test]
    fn a_sliding_window_remembers_a_share_of_the_one_before() {
        let limit = Limit::new(10, 10, true);
        let mut steps: Vec<_> = (0..10).map(|n| (100_000, true, 9 - n, 10_000)).collect();
        steps.push((100_500, false, 0, 9500));
        // 10 before, half of the window left: 5 carried over.
        steps.extend([(115_000, true, 4, 5000), (115_000, true, 3, 5000), (115_000, true, 2, 5000)]);
        steps.extend([(115_000, true, 1, 5000), (115_000, true, 0, 5000), (115_000, false, 0, 0)]);
        steps.extend([(116_000, true, 0, 4000), (116_000, false, 0, 0)]);
        // Two windows later nothing is left of it.
        steps.push((130_000, true, 9, 10_000));
        check(&limit, &steps);
    }

    #[test]
    fn a_sliding_window_says_when_there_is_room_again() {
        let limit = Limit::new(2, 10, true);
        check(
            &limit,
            &[
                (0, true, 1, 10_000),
                (0, true, 0, 10_000),
                (10_000, false, 0, 0),
                (11_000, true, 0, 9000),
                (12_000, false, 0, 3000),
            ],
        );
    }

    #[test]
    fn a_clock_that_seems_to_go_back_changes_nothing() {
        for sliding in [false, true] {
            let limit = Limit::new(2, 10, sliding);
            check(
                &limit,
                &[(20_000, true, 1, 10_000), (19_000, true, 0, 10_000), (19_000, false, 0, 10_000)],
            );
        }
    }

    #[test]
    fn huge_numbers_do_not_overflow() {
        let limit = Limit::new((1 << 53) - 1, u64::MAX, true);
        let mut window = Window::default();
        assert!(window.take(u64::MAX - 1, &limit).admitted);
        assert!(window.take(u64::MAX, &limit).admitted);
    }

    #[test]
    fn never_admits_more_than_the_limit_in_one_fixed_window() {
        let limit = Limit::new(7, 1, false);
        let mut window = Window::default();
        for round in 0..50 {
            let start = SECOND * 10 + round * 3 * SECOND;
            let admitted =
                (0..20).filter(|n| window.take(start + n * (SECOND / 20 - 1), &limit).admitted).count();
            assert_eq!(admitted, 7, "round {round}");
        }
    }
}
