//! How many retries a worker may make: a fifth of its requests, so that a failing upstream isn't hit harder for it (reliability rule D2).

use std::cell::Cell;

/// Counted over spans of this length.
const SPAN_MS: u64 = 10_000;
/// Retries in a span that need no requests to justify them.
const FREE: u64 = 100;

/// The budget of one worker.
#[derive(Default)]
pub(super) struct Budget {
    span: Cell<u64>,
    requests: Cell<u64>,
    retries: Cell<u64>,
}

impl Budget {
    /// Counts a request.
    pub(super) fn earn(&self, now_ms: u64) {
        let span = now_ms / SPAN_MS;
        if self.span.get() != span {
            self.span.set(span);
            self.requests.set(0);
            self.retries.set(0);
        }
        self.requests.set(self.requests.get() + 1);
    }

    /// Takes one retry; `false` when too many were made already.
    pub(super) fn spend(&self) -> bool {
        let within = self.retries.get() < FREE + self.requests.get() / 5;
        if within {
            self.retries.set(self.retries.get() + 1);
        }
        within
    }
}

#[cfg(test)]
mod tests {
    use super::Budget;

    #[test]
    fn retries_are_a_fifth_of_the_requests_and_a_few_more() {
        let budget = Budget::default();
        (0..1000).for_each(|_| budget.earn(5));
        assert_eq!((0..2000).filter(|_| budget.spend()).count(), 300);
        budget.earn(10_000);
        assert!(budget.spend());
    }
}
