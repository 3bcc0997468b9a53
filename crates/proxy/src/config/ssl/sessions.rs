//! Sessions that clients may resume: one bounded cache for all objects, in which each object sees its own alone.
//!
//! An object that is built anew begins with none: what was agreed upon by its old rules doesn't outlive them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use moka::sync::Cache;
use rustls::server::StoresServerSessions;

/// Bytes of sessions that are kept, with what keeping one costs: some 40,000 sessions without client certificates.
const MOST_BYTES: u64 = 16 << 20;

/// What keeping one costs beside its bytes.
const OVERHEAD: usize = 160;

/// A session is found by the object it is of, and by its id.
#[derive(PartialEq, Eq, Hash)]
struct Key(u64, Box<[u8]>);

type All = Cache<Key, Box<[u8]>>;

/// All sessions.
pub(super) struct Sessions {
    all: All,
    next: AtomicU64,
}

impl Sessions {
    /// Empty; a session may be resumed for this long.
    pub(super) fn new(timeout: Duration) -> Self {
        let all = All::builder()
            .max_capacity(MOST_BYTES)
            .weigher(|key, value| u32::try_from(key.1.len() + value.len() + OVERHEAD).unwrap_or(u32::MAX))
            .time_to_live(timeout)
            .build();
        Self { all, next: AtomicU64::new(0) }
    }

    /// The sessions of one build of one object.
    pub(super) fn of_one(&self) -> Arc<SessionsOfOne> {
        let owner = self.next.fetch_add(1, Ordering::Relaxed);
        Arc::new(SessionsOfOne { all: self.all.clone(), owner })
    }
}

/// The sessions of one object.
pub(super) struct SessionsOfOne {
    all: All,
    owner: u64,
}

impl std::fmt::Debug for SessionsOfOne {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Their content is secret.
        formatter.debug_struct("SessionsOfOne").field("owner", &self.owner).finish_non_exhaustive()
    }
}

impl StoresServerSessions for SessionsOfOne {
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        self.all.insert(Key(self.owner, key.into()), value.into());
        true
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.all.get(&Key(self.owner, key.into())).map(Vec::from)
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.all.remove(&Key(self.owner, key.into())).map(Vec::from)
    }

    fn can_cache(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustls::server::StoresServerSessions as _;

    use super::Sessions;

    #[test]
    fn an_object_sees_its_own_sessions_alone() {
        let sessions = Sessions::new(Duration::from_secs(60));
        let (one, other) = (sessions.of_one(), sessions.of_one());
        assert!(one.put(b"id".to_vec(), b"secret".to_vec()));
        assert_eq!((one.get(b"id"), other.get(b"id")), (Some(b"secret".to_vec()), None));
        assert_eq!((other.take(b"id"), one.take(b"id")), (None, Some(b"secret".to_vec())));
        assert_eq!(one.take(b"id"), None, "it is used once");
        assert!(!format!("{one:?}").contains("secret"));
    }
}
