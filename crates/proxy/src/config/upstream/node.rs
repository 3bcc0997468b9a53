//! What the process remembers of one node over requests, workers and edits: its health, requests under way, how fast it answers, and whether it has
//! just failed several times in a row.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::health::Health;
use super::links::Links;

/// So many failures in a row, and a node that nobody checks is passed over for a while (reliability figure B15).
const FAILURES: u32 = 3;
/// For so long at first; each further failure doubles it.
const REST_MS: u64 = 1_000;
/// And for so long at most.
const LONGEST_REST_MS: u64 = 30_000;

/// After so long, what a latency was counts for a third (APISIX's `ewma`).
const DECAY_SECS: f64 = 10.0;

/// What is remembered of one node.
#[derive(Debug, Default)]
pub(crate) struct NodeState {
    /// What checks have found; only looked at where the upstream has checks.
    pub(crate) health: Health,
    /// What became of the last connections to it.
    pub(super) links: Arc<Links>,
    /// Failures in a row.
    failures: AtomicU32,
    /// Until when it rests; 0: it doesn't.
    rests_until_ms: AtomicU64,
    /// Requests under way.
    in_flight: AtomicU32,
    /// The bits of a decaying average of latencies in seconds; 0 where none is known.
    latency: AtomicU64,
    /// When that was.
    latency_ms: AtomicU64,
    /// Where the last probe went, of a node that is a name.
    probed: Mutex<Option<IpAddr>>,
}

/// Milliseconds since the process first asked: one clock for all workers.
pub(crate) fn since_start_ms(now: Instant) -> u64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    let span = now.saturating_duration_since(*START).as_millis();
    // Never 0, which stands for "no time".
    u64::try_from(span).unwrap_or(u64::MAX).saturating_add(1)
}

impl NodeState {
    /// Whether it doesn't rest.
    pub(super) fn is_awake(&self, now_ms: u64) -> bool {
        let until = self.rests_until_ms.load(Ordering::Relaxed);
        until == 0 || until <= now_ms
    }

    /// A request goes to it. Of those that come behind a rest only the first does, until it is known how that went.
    pub(super) fn take(&self, now_ms: u64) {
        let until = self.rests_until_ms.load(Ordering::Relaxed);
        if until != 0 && until <= now_ms {
            let again = now_ms + self.rest_ms();
            // Whoever came first has set it.
            let _ = self.rests_until_ms.compare_exchange(until, again, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// It answered.
    pub(super) fn did_well(&self) {
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
            self.rests_until_ms.store(0, Ordering::Relaxed);
        }
    }

    /// It failed. `true` where it rests from now on.
    pub(super) fn failed(&self, now_ms: u64) -> bool {
        let failures = self.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if failures < FAILURES {
            return false;
        }
        self.rests_until_ms.store(now_ms + self.rest_ms(), Ordering::Relaxed);
        failures == FAILURES
    }

    fn rest_ms(&self) -> u64 {
        let beyond = self.failures.load(Ordering::Relaxed).saturating_sub(FAILURES).min(10);
        (REST_MS << beyond).min(LONGEST_REST_MS)
    }

    /// A probe went to this address.
    pub(crate) fn probed_at(&self, address: IpAddr) {
        *self.probed.lock().unwrap_or_else(PoisonError::into_inner) = Some(address);
    }

    /// Where the last probe went.
    pub(super) fn address(&self) -> Option<IpAddr> {
        *self.probed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Requests under way.
    pub(super) fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// How long it is expected to take, in seconds: what it took, fading away.
    pub(super) fn expected_secs(&self, now_ms: u64) -> f64 {
        let known = f64::from_bits(self.latency.load(Ordering::Relaxed));
        known * fading(now_ms.saturating_sub(self.latency_ms.load(Ordering::Relaxed)))
    }

    fn took(&self, span: Duration, now_ms: u64) {
        // Two workers that note at once may lose one of the notes: an average doesn't mind.
        let keep = fading(now_ms.saturating_sub(self.latency_ms.load(Ordering::Relaxed)));
        let known = f64::from_bits(self.latency.load(Ordering::Relaxed));
        let next =
            if known == 0.0 { span.as_secs_f64() } else { known * keep + span.as_secs_f64() * (1.0 - keep) };
        self.latency.store(next.to_bits(), Ordering::Relaxed);
        self.latency_ms.store(now_ms, Ordering::Relaxed);
    }
}

#[expect(clippy::cast_precision_loss, reason = "a span that a float can't tell exactly has faded long ago")]
fn fading(since_ms: u64) -> f64 {
    (-(since_ms as f64) / (DECAY_SECS * 1000.0)).exp()
}

/// One request under way at a node. Dropped, it is under way no more, however that came.
#[derive(Debug)]
pub(crate) struct Flight {
    node: Arc<NodeState>,
    since: Instant,
}

impl Flight {
    pub(super) fn begin(node: &Arc<NodeState>, now: Instant) -> Self {
        node.in_flight.fetch_add(1, Ordering::Relaxed);
        Self { node: Arc::clone(node), since: now }
    }

    /// The answer was there at this time.
    pub(crate) fn answered(&self, at: Instant) {
        self.node.took(at.saturating_duration_since(self.since), since_start_ms(at));
    }

    /// There was none: a node that refuses at once must not look fast.
    pub(crate) fn failed(&self, at: Instant) {
        self.node.took(at.saturating_duration_since(self.since) + Duration::from_secs(1), since_start_ms(at));
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.node.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use super::{Flight, NodeState, since_start_ms};

    #[test]
    fn three_failures_in_a_row_make_a_node_rest_longer_and_longer() {
        let node = NodeState::default();
        assert!(!node.failed(10) && !node.failed(10));
        node.did_well();
        assert!(!node.failed(10) && !node.failed(10) && node.is_awake(10));
        assert!(node.failed(10), "it rests from now on");
        assert!(!node.is_awake(1009) && node.is_awake(1010));
        node.take(1010);
        assert!(!node.is_awake(1011), "one request goes there, and the others wait how it fares");
        assert!(!node.failed(1020));
        assert!(!node.is_awake(3019) && node.is_awake(3020));
        for _ in 0..40 {
            node.failed(4000);
        }
        assert!(!node.is_awake(33_999) && node.is_awake(34_000));
        node.did_well();
        assert!(node.is_awake(5000));
    }

    #[test]
    fn what_is_under_way_is_counted_exactly() {
        let node = Arc::new(NodeState::default());
        let now = Instant::now();
        let flights: Vec<_> = (0..5).map(|_| Flight::begin(&node, now)).collect();
        assert_eq!(node.in_flight(), 5);
        drop(flights);
        assert_eq!(node.in_flight(), 0);
    }

    #[test]
    fn latencies_fade_away() {
        let node = Arc::new(NodeState::default());
        let start = Instant::now() + Duration::from_secs(1);
        let flight = Flight::begin(&node, start);
        flight.answered(start + Duration::from_secs(2));
        let ms = |secs: u64| since_start_ms(start + Duration::from_secs(secs));
        assert!((node.expected_secs(ms(2)) - 2.0).abs() < 1e-9);
        assert!((node.expected_secs(ms(12)) - 2.0 / std::f64::consts::E).abs() < 1e-3);
        flight.failed(start + Duration::from_secs(2));
        assert!(
            (node.expected_secs(ms(2)) - 2.0).abs() < 1e-2,
            "what comes at the same moment weighs nothing yet"
        );
    }
}
