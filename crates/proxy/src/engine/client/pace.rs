//! How long a client was waited for while it sent a body, and what it sent in that time.

/// Slower senders than this (bytes a second) are given up once they have been waited for for [`GRACE_MS`] in all.
const SLOWEST: u64 = 240;
const GRACE_MS: u64 = 10_000;

/// One body's pace.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    since_ms: Option<u64>,
    waited_ms: u64,
    came: u64,
}

impl Pace {
    /// The sender is waited for.
    pub(super) fn wait(&mut self, now_ms: u64) {
        self.since_ms.get_or_insert(now_ms);
    }

    /// So much came. `true`: all in all it is too slow.
    pub(super) fn is_too_slow(&mut self, now_ms: u64, came: u64) -> bool {
        self.came += came;
        if let Some(since) = self.since_ms.take() {
            self.waited_ms += now_ms.saturating_sub(since);
        }
        self.waited_ms > GRACE_MS && self.came * 1000 / self.waited_ms < SLOWEST
    }
}

#[cfg(test)]
mod tests {
    use super::Pace;

    #[test]
    fn only_waiting_counts() {
        let mut pace = Pace::default();
        assert!(!pace.is_too_slow(60_000, 1));
        pace.wait(60_000);
        pace.wait(65_000);
        assert!(!pace.is_too_slow(70_000, 1), "ten seconds are its grace");
        pace.wait(70_000);
        assert!(pace.is_too_slow(70_001, 1));
        assert!(!pace.is_too_slow(70_002, 10_000), "it has caught up");
    }
}
