//! Who is logged in at the console: sessions in memory, each known by the digest of a secret that only a browser's cookie holds.
//!
//! A session names whose it is and no right: role and name are looked up anew with each request, so that a user who was deleted, or given another
//! role or password, is so in the console at once. They end with the process, which costs a person one more login and spares a table of secrets.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokio::time::Instant;
use usher_model::change::Role;

/// How long a session lasts that nobody uses.
const IDLE: Duration = Duration::from_secs(2 * 60 * 60);
/// How long a session of a user or of a key's holder lasts however much it is used.
pub(super) const LONGEST: Duration = Duration::from_secs(12 * 60 * 60);
/// Sessions at the same time; of more, the one that was quiet for longest ends.
const MOST: usize = 1000;
/// Sessions of one person at the same time; likewise.
const MOST_EACH: usize = 20;
/// Bytes of randomness in a session's secret.
const SECRET: usize = 32;

type Digest = [u8; 32];

/// Whose a session is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// A user's, with the password and role that were set at this time.
    User {
        /// The name.
        name: String,
        /// When password or role were last set, in milliseconds since 1970.
        changed_unix_ms: u64,
    },
    /// That of the holder of an admin key of this name.
    Key {
        /// The key's name.
        name: String,
    },
    /// That of somebody whom a provider vouched for. Nobody asks the provider again, so that the session is short.
    Provided {
        /// The name, with what shows where it comes from.
        name: String,
        /// What the rules gave at the login.
        role: Role,
    },
}

struct Session {
    whose: Whose,
    began: Instant,
    seen: Instant,
    longest: Duration,
}

/// The sessions.
#[derive(Default)]
pub(super) struct Sessions(Mutex<HashMap<Digest, Session>>);

impl Sessions {
    /// Begins a session that lasts so long at most, however much it is used. The secret is told this once; `None` where the system gives no randomness.
    pub(super) fn begin(&self, whose: Whose, longest: Duration) -> Option<String> {
        let mut bytes = [0; SECRET];
        aws_lc_rs::rand::fill(&mut bytes).ok()?;
        let secret = URL_SAFE_NO_PAD.encode(bytes);
        let now = Instant::now();
        let mut sessions = self.lock();
        sessions.retain(|_, session| session.lasts(now));
        let of_name = |session: &Session| session.whose.name() == whose.name();
        if sessions.values().filter(|session| of_name(session)).count() >= MOST_EACH {
            end_quietest(&mut sessions, of_name);
        }
        if sessions.len() >= MOST {
            end_quietest(&mut sessions, |_| true);
        }
        sessions.insert(digest_of(&secret), Session { whose, began: now, seen: now, longest });
        Some(secret)
    }

    /// Whose a session is, and how long it may still last; it counts as used.
    pub(super) fn find(&self, secret: &str) -> Option<(Whose, Duration)> {
        let now = Instant::now();
        let mut sessions = self.lock();
        let session = sessions.get_mut(&digest_of(secret)).filter(|session| session.lasts(now))?;
        session.seen = now;
        Some((session.whose.clone(), session.longest.saturating_sub(now.duration_since(session.began))))
    }

    /// Ends a session.
    pub(super) fn end(&self, secret: &str) {
        self.lock().remove(&digest_of(secret));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Digest, Session>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Whose {
    fn name(&self) -> &str {
        match self {
            Self::User { name, .. } | Self::Key { name } | Self::Provided { name, .. } => name,
        }
    }
}

impl Session {
    fn lasts(&self, now: Instant) -> bool {
        now.duration_since(self.seen) < IDLE && now.duration_since(self.began) < self.longest
    }
}

fn end_quietest(sessions: &mut HashMap<Digest, Session>, which: impl Fn(&Session) -> bool) {
    let quietest =
        sessions.iter().filter(|(_, session)| which(session)).min_by_key(|(_, session)| session.seen);
    if let Some(digest) = quietest.map(|(digest, _)| *digest) {
        sessions.remove(&digest);
    }
}

fn digest_of(secret: &str) -> Digest {
    let mut copy = Digest::default();
    copy.copy_from_slice(digest(&SHA256, secret.as_bytes()).as_ref());
    copy
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{IDLE, LONGEST, MOST, MOST_EACH, Sessions, Whose};

    fn key(name: &str) -> Whose {
        Whose::Key { name: name.to_owned() }
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_ends_when_it_is_idle_or_old_or_told_to() {
        let sessions = Sessions::default();
        let first = sessions.begin(key("a"), LONGEST).unwrap();
        assert_eq!(sessions.find(&first).unwrap().0, key("a"));
        assert!(sessions.find("something else").is_none());
        tokio::time::advance(IDLE - Duration::from_secs(1)).await;
        assert!(sessions.find(&first).is_some());
        tokio::time::advance(IDLE).await;
        assert!(sessions.find(&first).is_none());
        let used = sessions.begin(key("a"), LONGEST).unwrap();
        let mut lasted = Duration::ZERO;
        while sessions.find(&used).is_some() {
            tokio::time::advance(Duration::from_secs(3600)).await;
            lasted += Duration::from_secs(3600);
        }
        assert_eq!(lasted, LONGEST);
        let told = sessions.begin(key("a"), LONGEST).unwrap();
        sessions.end(&told);
        assert!(sessions.find(&told).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn there_are_so_many_and_the_quietest_goes() {
        let sessions = Sessions::default();
        let first = sessions.begin(key("a"), LONGEST).unwrap();
        for _ in 0..MOST_EACH {
            tokio::time::advance(Duration::from_millis(1)).await;
            sessions.begin(key("a"), LONGEST).unwrap();
        }
        assert!(sessions.find(&first).is_none());
        assert_eq!(sessions.0.lock().unwrap().len(), MOST_EACH);
        for number in 0..MOST {
            sessions.begin(key(&number.to_string()), LONGEST).unwrap();
        }
        assert_eq!(sessions.0.lock().unwrap().len(), MOST);
    }
}
