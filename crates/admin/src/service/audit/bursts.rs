//! Counts what comes in bursts, so that nobody can fill the audit with what was refused.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How long a burst is counted together.
const WINDOW: Duration = Duration::from_secs(60);

/// Failed logins in a window from which on they are told; again at ten, a hundred, a thousand times as many.
const LOGINS: u64 = 10;

/// Denials, and likewise refused logins, in a window that are told one by one.
const DENIALS: u64 = 60;

/// What was counted in the window that is open.
#[derive(Default)]
pub(in crate::service) struct Bursts(Mutex<Counts>);

#[derive(Default)]
struct Counts {
    logins: Window,
    passwords: Window,
    denials: OneByOne,
    refusals: OneByOne,
}

/// What is told one by one, as long as it is little.
#[derive(Default)]
struct OneByOne {
    window: Window,
    passed_over: u64,
}

impl OneByOne {
    /// Counts one more. Where it is to be told: how many were not told before it.
    fn one_more(&mut self) -> Option<u64> {
        if self.window.one_more() <= DENIALS {
            return Some(std::mem::take(&mut self.passed_over));
        }
        self.passed_over += 1;
        None
    }
}

#[derive(Default)]
struct Window {
    begun: Option<Instant>,
    count: u64,
}

impl Window {
    /// How many there are with this one.
    fn one_more(&mut self) -> u64 {
        let now = Instant::now();
        if self.begun.is_none_or(|begun| now - begun >= WINDOW) {
            *self = Self { begun: Some(now), count: 0 };
        }
        self.count += 1;
        self.count
    }
}

impl Bursts {
    /// How many logins failed, where it is time to tell.
    pub(super) fn login_failed(&self) -> Option<u64> {
        let count = self.lock(|counts| counts.logins.one_more());
        Self::is_mark(count).then_some(count)
    }

    /// The same for a wrong password, of which a few are told one by one.
    pub(super) fn password_failed(&self) -> Option<u64> {
        let count = self.lock(|counts| counts.passwords.one_more());
        (count < LOGINS || Self::is_mark(count)).then_some(count)
    }

    fn is_mark(count: u64) -> bool {
        let mut mark = LOGINS;
        while mark < count {
            mark = mark.saturating_mul(10);
        }
        count == mark
    }

    /// Counts a denial. Where it is to be told: how many were not told before it.
    pub(super) fn denied(&self) -> Option<u64> {
        self.lock(|counts| counts.denials.one_more())
    }

    /// Counts a login that was refused to somebody whom a provider sent; likewise.
    pub(super) fn refused(&self) -> Option<u64> {
        self.lock(|counts| counts.refusals.one_more())
    }

    fn lock<T>(&self, f: impl FnOnce(&mut Counts) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::{Bursts, DENIALS, WINDOW};

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_told_in_few_records() {
        let bursts = Bursts::default();
        let told: Vec<u64> = (0..5000).filter_map(|_| bursts.login_failed()).collect();
        assert_eq!(told, [10, 100, 1000]);
        let told = (0..DENIALS + 5).filter_map(|_| bursts.denied()).count();
        assert_eq!(told as u64, DENIALS);
        tokio::time::advance(WINDOW).await;
        assert_eq!(bursts.denied(), Some(5));
        assert_eq!(bursts.denied(), Some(0));
        assert!((0..9).all(|_| bursts.login_failed().is_none()));
        assert_eq!(bursts.login_failed(), Some(10));
        let told: Vec<u64> = (0..5000).filter_map(|_| bursts.password_failed()).collect();
        assert_eq!(told, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 100, 1000]);
    }
}
