//! One node's health: a state and four counters in one number, moved by signs exactly as lua-resty-healthcheck moves its own.
//!
//! A sign that says what is certain already counts nothing. A good one clears what spoke against the node, a bad one what spoke for it. Reading is one
//! load, so that a request costs nothing by it.

use std::sync::atomic::{AtomicU64, Ordering};

use usher_model::resource::HealthBounds;

/// What is known of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// Good, and nothing speaks against it.
    Healthy,
    /// Good, but something speaks against it.
    MostlyHealthy,
    /// Bad, but something speaks for it.
    MostlyUnhealthy,
    /// Bad.
    Unhealthy,
}

impl Status {
    /// As APISIX spells it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::MostlyHealthy => "mostly_healthy",
            Self::MostlyUnhealthy => "mostly_unhealthy",
            Self::Unhealthy => "unhealthy",
        }
    }

    /// Whether it gets requests.
    pub(crate) const fn is_up(self) -> bool {
        matches!(self, Self::Healthy | Self::MostlyHealthy)
    }

    const fn of(bits: u64) -> Self {
        match bits & 3 {
            0 => Self::Healthy,
            1 => Self::MostlyHealthy,
            2 => Self::MostlyUnhealthy,
            _ => Self::Unhealthy,
        }
    }
}

/// Something that was seen of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sign {
    /// It did well.
    Good,
    /// It answered with a bad status, or with no HTTP.
    Http,
    /// The connection was refused or broke.
    Tcp,
    /// It took too long.
    Timeout,
}

impl Sign {
    /// What an answer's status says; `None` for one that says nothing.
    pub(crate) fn of_status(status: u16, bounds: &HealthBounds) -> Option<Self> {
        if bounds.good_statuses.binary_search(&status).is_ok() {
            Some(Self::Good)
        } else if bounds.bad_statuses.binary_search(&status).is_ok() {
            Some(Self::Http)
        } else {
            None
        }
    }

    const fn limit(self, bounds: &HealthBounds) -> u8 {
        match self {
            Self::Good => bounds.successes,
            Self::Http => bounds.http_failures,
            Self::Tcp => bounds.tcp_failures,
            Self::Timeout => bounds.timeouts,
        }
    }

    /// Where its counter lies: 8 bits each, above those of the state.
    const fn shift(self) -> u32 {
        match self {
            Self::Good => 8,
            Self::Http => 16,
            Self::Tcp => 24,
            Self::Timeout => 32,
        }
    }
}

/// The counters, as the Control API shows them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    pub(crate) success: u8,
    pub(crate) http_failure: u8,
    pub(crate) tcp_failure: u8,
    pub(crate) timeout_failure: u8,
}

/// One node's health.
#[derive(Debug, Default)]
pub(crate) struct Health(AtomicU64);

const STATE: u64 = 0xff;
const GOOD: u64 = 0xff << 8;
const BAD: u64 = 0xff_ffff << 16;

impl Health {
    /// What is known.
    pub(crate) fn status(&self) -> Status {
        Status::of(self.0.load(Ordering::Relaxed))
    }

    /// What was counted.
    pub(crate) fn counters(&self) -> Counters {
        let bits = self.0.load(Ordering::Relaxed);
        #[expect(clippy::cast_possible_truncation, reason = "one byte is meant")]
        let count = |sign: Sign| (bits >> sign.shift()) as u8;
        Counters {
            success: count(Sign::Good),
            http_failure: count(Sign::Http),
            tcp_failure: count(Sign::Tcp),
            timeout_failure: count(Sign::Timeout),
        }
    }

    /// Forgets everything: nobody checks it any more.
    pub(crate) fn reset(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    /// Takes up a sign. `Some` where the node changed sides by it: the new status.
    pub(crate) fn note(&self, sign: Sign, bounds: &HealthBounds) -> Option<Status> {
        let limit = sign.limit(bounds);
        if limit == 0 {
            return None;
        }
        let mut bits = self.0.load(Ordering::Relaxed);
        loop {
            let before = Status::of(bits);
            let certain = if sign == Sign::Good { Status::Healthy } else { Status::Unhealthy };
            if before == certain {
                return None;
            }
            let count = ((bits >> sign.shift()) & 0xff).saturating_add(1).min(0xff);
            let others = bits & !(0xff << sign.shift()) & if sign == Sign::Good { GOOD } else { BAD };
            let counters = others | (count << sign.shift());
            let after = if count >= u64::from(limit) {
                certain
            } else if before == Status::Healthy && counters & BAD != 0 {
                Status::MostlyHealthy
            } else if before == Status::Unhealthy && counters & GOOD != 0 {
                Status::MostlyUnhealthy
            } else {
                before
            };
            let next = counters | (after as u64 & STATE);
            match self.0.compare_exchange_weak(bits, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return (before.is_up() != after.is_up()).then_some(after),
                Err(now) => bits = now,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use usher_model::resource::HealthBounds;

    use super::{Counters, Health, Sign, Status};

    fn bounds() -> HealthBounds {
        HealthBounds {
            good_statuses: vec![200, 302],
            bad_statuses: vec![429, 500],
            successes: 2,
            http_failures: 3,
            tcp_failures: 2,
            timeouts: 4,
        }
    }

    #[test]
    fn signs_move_a_node_by_the_library_s_rules() {
        use Sign::{Good, Http, Tcp, Timeout};
        use Status::{Healthy, MostlyHealthy, MostlyUnhealthy, Unhealthy};
        let health = Health::default();
        // Sign, status behind it, counters: success, http, tcp, timeout.
        for (at, (sign, status, counters)) in [
            (Good, Healthy, [0, 0, 0, 0]),
            (Http, MostlyHealthy, [0, 1, 0, 0]),
            (Timeout, MostlyHealthy, [0, 1, 0, 1]),
            (Good, MostlyHealthy, [1, 0, 0, 0]),
            (Http, MostlyHealthy, [0, 1, 0, 0]),
            (Tcp, MostlyHealthy, [0, 1, 1, 0]),
            (Good, MostlyHealthy, [1, 0, 0, 0]),
            (Good, Healthy, [2, 0, 0, 0]),
            (Tcp, MostlyHealthy, [0, 0, 1, 0]),
            (Tcp, Unhealthy, [0, 0, 2, 0]),
            (Http, Unhealthy, [0, 0, 2, 0]),
            (Good, MostlyUnhealthy, [1, 0, 0, 0]),
            (Http, MostlyUnhealthy, [0, 1, 0, 0]),
            (Good, MostlyUnhealthy, [1, 0, 0, 0]),
            (Good, Healthy, [2, 0, 0, 0]),
        ]
        .into_iter()
        .enumerate()
        {
            let before = health.status();
            let moved = health.note(sign, &bounds());
            assert_eq!(health.status(), status, "step {at}");
            let [success, http_failure, tcp_failure, timeout_failure] = counters;
            let wanted = Counters { success, http_failure, tcp_failure, timeout_failure };
            assert_eq!(health.counters(), wanted, "step {at}");
            assert_eq!(moved.is_some(), before.is_up() != status.is_up(), "step {at}");
        }
    }

    #[test]
    fn a_limit_of_0_means_that_a_sign_counts_for_nothing() {
        let bounds = HealthBounds { successes: 0, tcp_failures: 0, ..bounds() };
        let health = Health::default();
        for _ in 0..300 {
            assert_eq!(health.note(Sign::Tcp, &bounds), None);
        }
        assert_eq!(health.status(), Status::Healthy);
        health.note(Sign::Http, &bounds);
        assert_eq!(health.note(Sign::Good, &bounds), None);
        assert_eq!(health.counters().http_failure, 1, "a sign that is off clears nothing either");
    }

    #[test]
    fn statuses_of_neither_list_say_nothing() {
        let bounds = bounds();
        for (status, sign) in [
            (200, Some(Sign::Good)),
            (302, Some(Sign::Good)),
            (500, Some(Sign::Http)),
            (404, None),
            (0, None),
        ] {
            assert_eq!(Sign::of_status(status, &bounds), sign, "{status}");
        }
    }

    #[test]
    fn threads_that_report_at_once_lose_nothing() {
        let bounds = HealthBounds { http_failures: 250, ..bounds() };
        let health = Health::default();
        let flips = std::thread::scope(|scope| {
            let report = || (0..125).filter(|_| health.note(Sign::Http, &bounds).is_some()).count();
            let all: Vec<_> = (0..2).map(|_| scope.spawn(report)).collect();
            all.into_iter().map(|one| one.join().unwrap()).sum::<usize>()
        });
        assert_eq!((health.status(), flips), (Status::Unhealthy, 1));
    }
}
