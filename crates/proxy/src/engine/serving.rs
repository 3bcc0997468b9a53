//! How many workers serve: one that ended, by a panic or because it was told to, is missed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The workers that serve, of those that should.
#[derive(Clone, Debug)]
pub(crate) struct Serving {
    wanted: usize,
    now: Arc<AtomicUsize>,
}

impl Serving {
    /// None of so many workers serves yet.
    pub(crate) fn new(wanted: usize) -> Self {
        Self { wanted, now: Arc::default() }
    }

    /// One more serves, until what this returns is dropped.
    pub(super) fn begin(self) -> Serves {
        self.now.fetch_add(1, Ordering::Relaxed);
        Serves(self)
    }

    /// How many should serve.
    pub(crate) const fn wanted(&self) -> usize {
        self.wanted
    }

    /// How many of them don't.
    pub(crate) fn missing(&self) -> usize {
        self.wanted.saturating_sub(self.now.load(Ordering::Relaxed))
    }
}

/// A worker that serves.
pub(super) struct Serves(Serving);

impl Drop for Serves {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::Serving;

    #[test]
    fn a_worker_that_ended_is_missed_however_it_ended() {
        let serving = Serving::new(2);
        assert_eq!(serving.missing(), 2);
        let first = serving.clone().begin();
        let second = serving.clone().begin();
        assert_eq!(serving.missing(), 0);
        drop(first);
        assert_eq!(serving.missing(), 1);
        let panicked = std::thread::spawn(move || {
            let _second = second;
            panic!("as a worker might");
        });
        assert!(panicked.join().is_err());
        assert_eq!(serving.missing(), 2);
    }
}
