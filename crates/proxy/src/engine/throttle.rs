//! Log lines about what may happen a thousand times a second: one in ten seconds, with the number of those left out.

use std::cell::Cell;

const SPAN_MS: u64 = 10_000;

/// Decides when one kind of line is written.
#[derive(Default)]
pub(super) struct Throttle {
    last_ms: Cell<Option<u64>>,
    silent: Cell<u64>,
}

impl Throttle {
    /// `Some` when it is time for a line: how many were left out since the last one.
    pub(super) fn speak(&self, now_ms: u64) -> Option<u64> {
        if self.last_ms.get().is_some_and(|last| now_ms.saturating_sub(last) < SPAN_MS) {
            self.silent.set(self.silent.get() + 1);
            return None;
        }
        self.last_ms.set(Some(now_ms));
        Some(self.silent.replace(0))
    }
}

#[cfg(test)]
mod tests {
    use super::Throttle;

    #[test]
    fn one_line_in_ten_seconds_says_how_many_were_left_out() {
        let throttle = Throttle::default();
        let spoken: Vec<_> = [0, 1, 9_999, 10_000, 30_000].map(|ms| throttle.speak(ms)).to_vec();
        assert_eq!(spoken, [Some(0), None, None, Some(2), Some(0)]);
    }
}
