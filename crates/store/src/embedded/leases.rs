//! Which keys end by themselves, and when: the order in which the writer deletes them.
//!
//! The times are the clock's on the wall, because they have to hold across restarts; a clock that is set back lengthens them.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::database::Until;

/// The keys that end, in two orders.
#[derive(Debug, Default)]
pub(super) struct Leases {
    until: HashMap<Arc<str>, u64>,
    order: BTreeSet<(u64, Arc<str>)>,
}

impl Leases {
    pub(super) fn new(leases: Vec<Until>) -> Self {
        let mut made = Self::default();
        for (key, until) in leases {
            made.set(&key, Some(until));
        }
        made
    }

    /// Notes when a key ends, or that it stays; false where that was so already.
    pub(super) fn set(&mut self, key: &Arc<str>, until: Option<u64>) -> bool {
        let before = match until {
            Some(until) => self.until.insert(Arc::clone(key), until),
            None => self.until.remove(key),
        };
        if before == until {
            return false;
        }
        if let Some(before) = before {
            self.order.remove(&(before, Arc::clone(key)));
        }
        if let Some(until) = until {
            self.order.insert((until, Arc::clone(key)));
        }
        true
    }

    /// When a key ends; `None` where it stays.
    pub(super) fn until(&self, key: &str) -> Option<u64> {
        self.until.get(key).copied()
    }

    /// When the next one ends, in milliseconds since 1970.
    pub(super) fn next(&self) -> Option<u64> {
        self.order.first().map(|(until, _)| *until)
    }

    /// At most `limit` of those that have ended.
    pub(super) fn ended(&self, now: u64, limit: usize) -> Vec<Arc<str>> {
        let ended = self.order.iter().take_while(|(until, _)| *until <= now);
        ended.take(limit).map(|(_, key)| Arc::clone(key)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::Leases;

    #[test]
    fn a_key_ends_at_its_last_time_and_only_once() {
        let key = |name: &str| Arc::<str>::from(name);
        let mut leases = Leases::new(vec![(key("a"), 30), (key("b"), 10), (key("c"), 20)]);
        assert!(leases.set(&key("b"), Some(40)));
        assert!(!leases.set(&key("b"), Some(40)));
        assert!(leases.set(&key("c"), None));
        assert!(!leases.set(&key("c"), None));
        assert_eq!(leases.next(), Some(30));
        assert_eq!(leases.ended(29, 9), Vec::<Arc<str>>::new());
        assert_eq!(leases.ended(99, 9), [key("a"), key("b")]);
        assert_eq!(leases.ended(99, 1), [key("a")]);
    }
}
