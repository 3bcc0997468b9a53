//! What became of the last connections to one node: noted once per connection, and told to whoever asks which nodes refuse.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Connections that are remembered.
const MOST: u64 = 32;

/// A refusal that is older says nothing any more: nobody has asked the node since.
const REMEMBERED: Duration = Duration::from_secs(15 * 60);

/// The last connections to a node.
#[derive(Debug, Default)]
pub(crate) struct Links {
    /// The lower half: one bit a connection, the newest at the right, 1 for refused. The upper half: how many there are.
    outcomes: AtomicU64,
    /// When the last one was refused, in milliseconds since 1970.
    refused_ms: AtomicU64,
}

/// How often a node refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refusals {
    /// Connections that it refused.
    pub(super) refused: u32,
    /// Of so many.
    pub(super) of: u32,
    /// When it last did, in milliseconds since 1970.
    pub(super) unix_ms: u64,
}

impl Links {
    /// It took a connection.
    pub(crate) fn took(&self) {
        self.note(false);
    }

    /// It refused one, or didn't take it in time.
    pub(crate) fn refused(&self) {
        self.refused_ms.store(unix_ms(), Ordering::Relaxed);
        self.note(true);
    }

    fn note(&self, refused: bool) {
        let next = |known: u64| {
            let (count, bits) = (known >> 32, known & 0xffff_ffff);
            let count = (count + 1).min(MOST);
            Some((count << 32) | ((bits << 1 | u64::from(refused)) & 0xffff_ffff))
        };
        // It always gives a next value, so that there is none to be told of.
        let _ = self.outcomes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
    }

    /// How often it refused, where it did so last and not long ago.
    pub(super) fn refusals(&self) -> Option<Refusals> {
        self.refusals_at(unix_ms())
    }

    fn refusals_at(&self, now_ms: u64) -> Option<Refusals> {
        let known = self.outcomes.load(Ordering::Relaxed);
        let at = self.refused_ms.load(Ordering::Relaxed);
        let is_old = u128::from(now_ms.saturating_sub(at)) > REMEMBERED.as_millis();
        if known & 1 == 0 || is_old {
            return None;
        }
        let of = u32::try_from(known >> 32).unwrap_or(u32::MAX);
        Some(Refusals { refused: (known & 0xffff_ffff).count_ones(), of, unix_ms: at })
    }
}

fn unix_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::{Links, unix_ms};

    #[test]
    fn a_node_refuses_until_it_takes_a_connection_again() {
        let links = Links::default();
        assert_eq!(links.refusals(), None, "nobody has asked it");
        links.took();
        links.refused();
        let seen = links.refusals().map(|seen| (seen.refused, seen.of));
        assert_eq!(seen, Some((1, 2)));
        links.took();
        assert_eq!(links.refusals(), None);
        for _ in 0..40 {
            links.refused();
        }
        let seen = links.refusals().map(|seen| (seen.refused, seen.of));
        assert_eq!(seen, Some((32, 32)), "what was before is forgotten");
        assert_eq!(links.refusals_at(unix_ms() + 16 * 60 * 1000), None, "nobody has asked it since");
    }
}
