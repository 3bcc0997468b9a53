//! Who writes when: one at a time, or several whose commits are under way together, so that they share a sync of the disk.
//!
//! A check has to hold when its change is committed. Whoever writes alone holds the turn until then. A change that meets nothing of what is
//! just being written may be checked while that is still on its way: it compares the head as the change before it will leave it, so that it is
//! committed directly behind that one or not at all. Then it is made once more, alone.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use usher_model::kind::Key;

use super::head::Head;

/// Commits that are under way together at most; less than a store lets wait.
const MOST: usize = 256;

/// The turns of one service.
#[derive(Default)]
pub(super) struct Turns {
    /// Held from the first look of a check until its change is on its way; by who writes alone until it is committed.
    turn: tokio::sync::Mutex<()>,
    flight: Mutex<Flight>,
    landed: Notify,
}

/// The commits under way.
#[derive(Default)]
struct Flight {
    count: usize,
    /// The head as the last of them will leave it; `None` where one of them came to nothing, so that all have to land first.
    head: Option<Head>,
    /// What they write.
    written: HashMap<Key, usize>,
}

/// A turn. Nobody else begins a check as long as it is held.
pub(super) type Turn<'a> = tokio::sync::MutexGuard<'a, ()>;

impl Turns {
    /// The turn of who writes alone: nothing is under way.
    pub(super) async fn alone(&self) -> Turn<'_> {
        let turn = self.turn.lock().await;
        self.until(|flight| flight.count == 0).await;
        turn
    }

    /// The turn of who may write behind what is under way, and the head as that will leave it, where anything is.
    pub(super) async fn beside(&self) -> (Turn<'_>, Option<Head>) {
        let turn = self.turn.lock().await;
        self.until(|flight| flight.count == 0 || (flight.count < MOST && flight.head.is_some())).await;
        let head = self.lock().head.clone();
        (turn, head)
    }

    /// Whether one of these is just being written.
    pub(super) fn meets<'k>(&self, keys: impl IntoIterator<Item = &'k Key>) -> bool {
        let flight = self.lock();
        keys.into_iter().any(|key| flight.written.contains_key(key))
    }

    /// Takes up a commit that is on its way, and that will leave this head at this revision unless something else is committed before it.
    pub(super) fn launch(&self, head: Head, written: Vec<Key>) -> Launched<'_> {
        let mut flight = self.lock();
        flight.count += 1;
        flight.head = Some(head);
        for key in &written {
            *flight.written.entry(key.clone()).or_default() += 1;
        }
        Launched { turns: self, written, good: false }
    }

    async fn until(&self, holds: impl Fn(&Flight) -> bool) {
        loop {
            let landed = self.landed.notified();
            if holds(&self.lock()) {
                return;
            }
            landed.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Flight> {
        self.flight.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A commit under way. Dropped before it landed well, it makes those behind it wait.
pub(super) struct Launched<'a> {
    turns: &'a Turns,
    written: Vec<Key>,
    good: bool,
}

impl Launched<'_> {
    /// It is over; whether it was committed.
    pub(super) fn landed(mut self, good: bool) {
        self.good = good;
    }
}

impl Drop for Launched<'_> {
    fn drop(&mut self) {
        let mut flight = self.turns.lock();
        flight.count -= 1;
        for key in &self.written {
            if let Some(count) = flight.written.get_mut(key) {
                *count -= 1;
                if *count == 0 {
                    flight.written.remove(key);
                }
            }
        }
        if flight.count == 0 || !self.good {
            flight.head = None;
        }
        drop(flight);
        self.turns.landed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use usher_model::kind::{Key, Kind};

    use super::Turns;
    use crate::service::head::Head;

    fn head(sequence: u64) -> Head {
        Head { sequence, seen: Some(sequence), ..Head::default() }
    }

    #[test]
    fn whoever_writes_alone_waits_until_all_have_landed() {
        let turns = Turns::default();
        let key = Key::new(Kind::Route, "1");
        let (turn, none) = turns.beside().now_or_never().unwrap();
        assert_eq!(none, None);
        let one = turns.launch(head(1), vec![key.clone()]);
        drop(turn);
        assert!(turns.meets([&key]) && !turns.meets([&Key::new(Kind::Route, "2")]));
        let (turn, first) = turns.beside().now_or_never().unwrap();
        assert_eq!(first, Some(head(1)));
        let two = turns.launch(head(2), vec![key.clone()]);
        drop(turn);
        assert!(turns.alone().now_or_never().is_none());
        one.landed(true);
        assert!(turns.meets([&key]) && turns.alone().now_or_never().is_none());
        assert_eq!(turns.beside().now_or_never().unwrap().1, Some(head(2)));
        two.landed(true);
        assert!(!turns.meets([&key]) && turns.alone().now_or_never().is_some());
        assert_eq!(turns.beside().now_or_never().unwrap().1, None);
    }

    #[test]
    fn behind_one_that_came_to_nothing_everybody_waits() {
        let turns = Turns::default();
        let one = turns.launch(head(1), Vec::new());
        let two = turns.launch(head(2), Vec::new());
        drop(one);
        assert!(turns.beside().now_or_never().is_none());
        two.landed(false);
        assert_eq!(turns.beside().now_or_never().unwrap().1, None);
    }
}
