//! What is added up of requests: how many, how many bytes, and how long they took, in 64 buckets.

use std::time::Duration;

use usher_model::traffic::{Latency, Measure};

/// How many buckets there are.
pub(super) const BUCKETS: usize = 64;

/// The upper ends of the buckets, in microseconds: from 100 µs on, each a quarter above the one before. What took longer than the last lies in it.
const ENDS: [u64; BUCKETS] = ends();

const fn ends() -> [u64; BUCKETS] {
    let mut ends = [0; BUCKETS];
    let mut rest: &mut [u64] = &mut ends;
    let mut end = 100;
    while let [first, others @ ..] = rest {
        *first = end;
        end = end * 5 / 4;
        rest = others;
    }
    ends
}

/// Requests added up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sum {
    pub(super) requests: u64,
    pub(super) received: u64,
    pub(super) sent: u64,
    pub(super) took_us: u64,
    pub(super) upstream_us: u64,
    pub(super) buckets: [u32; BUCKETS],
}

impl Sum {
    pub(super) const NONE: Self =
        Self { requests: 0, received: 0, sent: 0, took_us: 0, upstream_us: 0, buckets: [0; BUCKETS] };

    /// Adds one request.
    pub(super) fn add_one(&mut self, took: Duration, upstream: Option<Duration>, received: u64, sent: u64) {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let took = micros(took);
        self.requests += 1;
        self.received = self.received.saturating_add(received);
        self.sent = self.sent.saturating_add(sent);
        self.took_us = self.took_us.saturating_add(took);
        self.upstream_us = self.upstream_us.saturating_add(upstream.map_or(0, micros));
        let at = ENDS.partition_point(|end| *end < took).min(BUCKETS - 1);
        if let Some(bucket) = self.buckets.get_mut(at) {
            *bucket = bucket.saturating_add(1);
        }
    }

    /// Adds what others have added up.
    pub(super) fn add(&mut self, other: &Self) {
        self.requests = self.requests.saturating_add(other.requests);
        self.received = self.received.saturating_add(other.received);
        self.sent = self.sent.saturating_add(other.sent);
        self.took_us = self.took_us.saturating_add(other.took_us);
        self.upstream_us = self.upstream_us.saturating_add(other.upstream_us);
        for (bucket, more) in self.buckets.iter_mut().zip(&other.buckets) {
            *bucket = bucket.saturating_add(*more);
        }
    }

    /// How long the requests took; `None` where there are none.
    pub(super) fn latency(&self) -> Option<Latency> {
        if self.requests == 0 {
            return None;
        }
        let mean = |us: u64| milli(us as f64 / self.requests as f64);
        Some(Latency {
            mean_ms: mean(self.took_us),
            upstream_mean_ms: mean(self.upstream_us),
            p50_ms: self.percentile(0.5),
            p95_ms: self.percentile(0.95),
            p99_ms: self.percentile(0.99),
        })
    }

    /// The time that this part of all requests took at most: the middle of its bucket, which is nowhere more than 12% away.
    fn percentile(&self, part: f64) -> f64 {
        let all: u64 = self.buckets.iter().copied().map(u64::from).sum();
        let wanted = part * all as f64;
        let mut seen = 0.0;
        for (count, end) in self.buckets.iter().zip(&ENDS) {
            seen += f64::from(*count);
            if *count > 0 && seen >= wanted {
                return milli(*end as f64 / 1.25_f64.sqrt());
            }
        }
        0.0
    }
}

/// Microseconds as milliseconds with two places.
fn milli(us: f64) -> f64 {
    (us / 10.0).round() / 100.0
}

/// Sums of several statuses in one.
#[derive(Clone, Debug)]
pub(super) struct Total {
    sum: Sum,
    by_class: [u64; 5],
}

impl Total {
    pub(super) const NONE: Self = Self { sum: Sum::NONE, by_class: [0; 5] };

    /// Adds what was answered with this status.
    pub(super) fn add(&mut self, status: u16, sum: &Sum) {
        self.sum.add(sum);
        if let Some(class) = self.by_class.get_mut(class_of(status)) {
            *class = class.saturating_add(sum.requests);
        }
    }

    /// As answers tell it.
    pub(super) fn measure(&self) -> Measure {
        Measure {
            requests: self.sum.requests,
            by_class: self.by_class,
            received_bytes: self.sum.received,
            sent_bytes: self.sum.sent,
            took: self.sum.latency(),
        }
    }
}

/// The place of a status among the five classes; one that isn't in 100 to 599 counts as a failure of ours.
pub(super) fn class_of(status: u16) -> usize {
    usize::from(status / 100).checked_sub(1).filter(|class| *class < 5).unwrap_or(4)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{ENDS, Sum};

    #[test]
    fn percentiles_are_within_an_eighth_of_what_was_measured() {
        assert!(ENDS.windows(2).all(|pair| pair[0] < pair[1]) && ENDS[63] > 100_000_000);
        let mut sum = Sum::NONE;
        // 1 ms to 1,000 ms, evenly.
        for ms in 1..=1000 {
            sum.add_one(Duration::from_millis(ms), Some(Duration::from_millis(ms / 2)), 10, 100);
        }
        let latency = sum.latency().unwrap();
        for (seen, wanted) in [(latency.p50_ms, 500.0), (latency.p95_ms, 950.0), (latency.p99_ms, 990.0)] {
            assert!((seen / wanted - 1.0_f64).abs() < 0.125, "{seen} for {wanted}");
        }
        assert!((latency.mean_ms - 500.5).abs() < 0.01 && (latency.upstream_mean_ms - 250.0).abs() < 0.3);
        assert_eq!((sum.requests, sum.received, sum.sent), (1000, 10_000, 100_000));
    }

    #[test]
    fn nothing_has_no_latency_and_a_day_lies_in_the_last_bucket() {
        assert_eq!(Sum::NONE.latency(), None);
        let mut sum = Sum::NONE;
        sum.add_one(Duration::from_secs(86_400), None, 0, 0);
        sum.add_one(Duration::ZERO, None, 0, 0);
        assert_eq!((sum.buckets[0], sum.buckets[63]), (1, 1));
    }
}
