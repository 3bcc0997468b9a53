//! Who is logged in at the console: sessions, each known by the digest of a secret that only a browser's cookie holds.
//!
//! A session names whose it is and no right: role and name are looked up anew with each request, so that a user who was deleted, or given another
//! role or password, is so in the console at once. They are kept over a restart, but for those that a provider vouched for: what gives these people
//! their roles is in the settings, which a restart may have changed.

mod file;

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use usher_model::change::Role;

use crate::service::unix_ms;
use file::Kept;
pub(super) use file::SessionFile;

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
/// How often it is written down that sessions are used.
const SAVED_EVERY: Duration = Duration::from_secs(60);

type Digest = [u8; 32];

/// Whose a session is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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
        /// Tells this key from another of the same name.
        tag: [u8; 32],
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
pub(super) struct Sessions {
    table: Mutex<Table>,
    file: Option<SessionFile>,
}

#[derive(Default)]
struct Table {
    known: HashMap<Digest, Session>,
    /// Those that a restart ended.
    left: HashSet<Digest>,
    /// When they were last written down; `None` before they were read.
    saved: Option<Instant>,
}

impl Sessions {
    /// Those of a file, read when one is first asked for: while a process takes over from another one, that one still writes it. `None`: none are kept.
    pub(super) fn kept(file: Option<SessionFile>) -> Self {
        Self { table: Mutex::default(), file }
    }

    /// Begins a session that lasts so long at most, however much it is used. The secret is told this once; `None` where the system gives no randomness.
    pub(super) fn begin(&self, whose: Whose, longest: Duration) -> Option<String> {
        let mut bytes = [0; SECRET];
        aws_lc_rs::rand::fill(&mut bytes).ok()?;
        let secret = URL_SAFE_NO_PAD.encode(bytes);
        let now = Instant::now();
        let mut table = self.lock();
        let sessions = &mut table.known;
        sessions.retain(|_, session| session.lasts(now));
        let of_name = |session: &Session| session.whose.name() == whose.name();
        if sessions.values().filter(|session| of_name(session)).count() >= MOST_EACH {
            end_quietest(sessions, of_name);
        }
        if sessions.len() >= MOST {
            end_quietest(sessions, |_| true);
        }
        sessions.insert(digest_of(&secret), Session { whose, began: now, seen: now, longest });
        self.save(&mut table, now);
        Some(secret)
    }

    /// Whose a session is, and how long it may still last; it counts as used.
    pub(super) fn find(&self, secret: &str) -> Option<(Whose, Duration)> {
        let now = Instant::now();
        let mut table = self.lock();
        let session = table.known.get_mut(&digest_of(secret)).filter(|session| session.lasts(now))?;
        session.seen = now;
        let found =
            (session.whose.clone(), session.longest.saturating_sub(now.duration_since(session.began)));
        if table.saved.is_some_and(|saved| now.duration_since(saved) >= SAVED_EVERY) {
            self.save(&mut table, now);
        }
        Some(found)
    }

    /// Ends a session.
    pub(super) fn end(&self, secret: &str) {
        let mut table = self.lock();
        if table.known.remove(&digest_of(secret)).is_some() {
            self.save(&mut table, Instant::now());
        }
    }

    /// Why a session that lets nobody in is none, as far as it is known: for the page where one logs in.
    pub(super) fn why_ended(&self, secret: &str) -> &'static str {
        let (now, digest) = (Instant::now(), digest_of(secret));
        let table = self.lock();
        match table.known.get(&digest) {
            Some(session) if now.duration_since(session.began) >= session.longest => {
                "the session lasted as long as one may: log in again"
            }
            Some(session) if !session.lasts(now) => {
                "nobody used the session for two hours, so that it ended: log in again"
            }
            Some(_) => {
                "the session ended, because the role or password was changed, or the user or key is gone: log in with what holds now"
            }
            None if table.left.contains(&digest) => {
                "Usher was started again, and a login by the provider doesn't outlive that: log in again"
            }
            None => {
                "the session isn't known here: it ended, or was begun at another gateway or before its data folder was changed; log in again"
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if table.saved.is_none() {
            let now = Instant::now();
            table.saved = Some(now);
            for kept in self.file.iter().flat_map(SessionFile::load) {
                table.take(kept, now);
            }
        }
        table
    }

    fn save(&self, table: &mut Table, now: Instant) {
        table.saved = Some(now);
        let Some(file) = &self.file else { return };
        let wall = unix_ms();
        let then = |at: Instant| {
            let ago = u64::try_from(now.duration_since(at).as_millis()).unwrap_or(u64::MAX);
            wall.saturating_sub(ago)
        };
        let lasting = table.known.iter().filter(|(_, session)| session.lasts(now));
        let kept: Vec<Kept> = lasting
            .map(|(digest, session)| Kept {
                digest: *digest,
                whose: session.whose.clone(),
                began_unix_ms: then(session.began),
                seen_unix_ms: then(session.seen),
                longest_secs: session.longest.as_secs(),
            })
            .collect();
        file.save(&kept);
    }
}

impl Table {
    /// Takes a session up again that was kept, where it may outlive a restart.
    fn take(&mut self, kept: Kept, now: Instant) {
        let Kept { digest, whose, began_unix_ms, seen_unix_ms, longest_secs } = kept;
        if matches!(whose, Whose::Provided { .. }) {
            self.left.insert(digest);
            return;
        }
        let wall = unix_ms();
        let at = |then: u64| now.checked_sub(Duration::from_millis(wall.saturating_sub(then)));
        let (Some(began), Some(seen)) = (at(began_unix_ms), at(seen_unix_ms)) else { return };
        let longest = Duration::from_secs(longest_secs).min(LONGEST);
        self.known.insert(digest, Session { whose, began, seen, longest });
    }
}

impl Whose {
    fn name(&self) -> &str {
        match self {
            Self::User { name, .. } | Self::Key { name, .. } | Self::Provided { name, .. } => name,
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
        Whose::Key { name: name.to_owned(), tag: [7; 32] }
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
        assert!(sessions.why_ended(&first).contains("two hours"));
        assert!(sessions.why_ended("something else").contains("isn't known"));
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
        assert_eq!(sessions.lock().known.len(), MOST_EACH);
        for number in 0..MOST {
            sessions.begin(key(&number.to_string()), LONGEST).unwrap();
        }
        assert_eq!(sessions.lock().known.len(), MOST);
    }
}
