//! Wrong keys by the address they came from, and wrong passwords by address and name: after ten in a minute, further ones are told to wait.
//!
//! A right key is never held up, also not from an address that guesses: behind one address there may be many people, and one of them must not
//! be able to lock the others out. A password costs us more to try than it costs who tries, so that a name is held up at the address that guesses it,
//! and the address as a whole only after many more. The tables have a bound; where one is full, what has been quiet for longest is forgotten.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use tokio::time::Instant;

/// Wrong keys that one address may give in [`WINDOW`], and wrong passwords for one name.
const MOST: u32 = 10;

/// How long they are counted together.
const WINDOW: Duration = Duration::from_secs(60);

/// Wrong passwords that one address may give in [`LONG_WINDOW`], whatever the names.
const MOST_PASSWORDS: u32 = 100;

/// How long those are counted together.
const LONG_WINDOW: Duration = Duration::from_secs(15 * 60);

/// Entries that a table remembers at most.
const MOST_ENTRIES: usize = 4096;

/// The wrong keys of the last minute.
pub struct Guesses(Table<IpAddr>);

/// The wrong passwords of the last minutes.
pub struct Passwords {
    of_name: Table<(IpAddr, Name)>,
    of_address: Table<IpAddr>,
}

/// A name of any length, as a digest.
type Name = [u8; 16];

struct Table<K> {
    seen: Mutex<HashMap<K, Seen>>,
    most: u32,
    window: Duration,
}

struct Seen {
    since: Instant,
    wrong: u32,
}

/// What one more wrong key means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guess {
    /// One of a few.
    Wrong,
    /// The one that makes it too many: worth a record.
    Burst {
        /// How long to wait, in seconds.
        retry_after_secs: u64,
    },
    /// One of too many.
    TooMany {
        /// How long to wait, in seconds.
        retry_after_secs: u64,
    },
}

impl Default for Guesses {
    fn default() -> Self {
        Self(Table::new(MOST, WINDOW))
    }
}

impl Guesses {
    /// Counts a wrong key. Addresses of IPv6 count by their /64, which is what one client is given.
    pub fn wrong(&self, from: IpAddr) -> Guess {
        self.0.wrong(network(from))
    }

    /// How long an address has to wait, in seconds, because it gave too many wrong ones; `None` where it needn't.
    pub fn held(&self, from: IpAddr) -> Option<u64> {
        self.0.held(network(from))
    }
}

impl Default for Passwords {
    fn default() -> Self {
        Self { of_name: Table::new(MOST, WINDOW), of_address: Table::new(MOST_PASSWORDS, LONG_WINDOW) }
    }
}

impl Passwords {
    /// Counts a wrong password for this name. Whoever counts it before it is looked at lets no crowd of guesses by at the same moment, and takes it
    /// back by [`Passwords::right`].
    pub fn wrong(&self, from: IpAddr, name: &str) -> Guess {
        let from = network(from);
        let of_name = self.of_name.wrong((from, short(name)));
        match self.of_address.wrong(from) {
            Guess::Wrong => of_name,
            of_address => of_address,
        }
    }

    /// Takes back what was counted of a password that turned out to be right.
    pub fn right(&self, from: IpAddr, name: &str) {
        let from = network(from);
        self.of_name.take_back((from, short(name)));
        self.of_address.take_back(from);
    }

    /// How long this address has to wait with this name, in seconds; `None` where it needn't.
    pub fn held(&self, from: IpAddr, name: &str) -> Option<u64> {
        let from = network(from);
        self.of_address.held(from).or_else(|| self.of_name.held((from, short(name))))
    }
}

impl<K: Copy + Eq + Hash> Table<K> {
    fn new(most: u32, window: Duration) -> Self {
        Self { seen: Mutex::default(), most, window }
    }

    fn wrong(&self, whose: K) -> Guess {
        let now = Instant::now();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if !seen.contains_key(&whose) && seen.len() >= MOST_ENTRIES {
            self.make_room(&mut seen, now);
        }
        let entry = seen.entry(whose).or_insert(Seen { since: now, wrong: 0 });
        if now.duration_since(entry.since) >= self.window {
            *entry = Seen { since: now, wrong: 0 };
        }
        entry.wrong = entry.wrong.saturating_add(1);
        let retry_after_secs = secs(self.window.saturating_sub(now.duration_since(entry.since)));
        match entry.wrong {
            wrong if wrong <= self.most => Guess::Wrong,
            wrong if wrong == self.most + 1 => Guess::Burst { retry_after_secs },
            _ => Guess::TooMany { retry_after_secs },
        }
    }

    fn take_back(&self, whose: K) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = seen.get_mut(&whose) {
            entry.wrong = entry.wrong.saturating_sub(1);
        }
    }

    fn held(&self, whose: K) -> Option<u64> {
        let now = Instant::now();
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = seen.get(&whose).filter(|entry| entry.wrong > self.most)?;
        let left = self.window.checked_sub(now.duration_since(entry.since)).filter(|left| !left.is_zero())?;
        Some(secs(left))
    }

    fn make_room(&self, seen: &mut HashMap<K, Seen>, now: Instant) {
        seen.retain(|_, entry| now.duration_since(entry.since) < self.window);
        if seen.len() < MOST_ENTRIES {
            return;
        }
        let oldest = seen.iter().min_by_key(|(_, entry)| entry.since).map(|(whose, _)| *whose);
        if let Some(oldest) = oldest {
            seen.remove(&oldest);
        }
    }
}

/// Rounded up, so that whoever waits as long as told is not too early.
fn secs(left: Duration) -> u64 {
    left.as_millis().div_ceil(1000).try_into().unwrap_or(1).max(1)
}

fn short(name: &str) -> Name {
    let mut copy = Name::default();
    copy.iter_mut().zip(digest(&SHA256, name.as_bytes()).as_ref()).for_each(|(to, from)| *to = *from);
    copy
}

/// Who an address stands for.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            IpAddr::V6(std::net::Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)))
        }
        four => four,
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::time::Duration;

    use super::{Guess, Guesses, LONG_WINDOW, MOST_ENTRIES, MOST_PASSWORDS, Passwords};

    fn at(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn ten_a_minute_are_wrong_and_the_next_are_too_many() {
        let guesses = Guesses::default();
        for _ in 0..10 {
            assert_eq!(guesses.wrong(at("192.0.2.1")), Guess::Wrong);
        }
        assert_eq!(guesses.wrong(at("192.0.2.1")), Guess::Burst { retry_after_secs: 60 });
        tokio::time::advance(Duration::from_millis(20_500)).await;
        assert_eq!(guesses.wrong(at("192.0.2.1")), Guess::TooMany { retry_after_secs: 40 });
        assert_eq!(guesses.wrong(at("192.0.2.2")), Guess::Wrong);
        assert_eq!((guesses.held(at("192.0.2.1")), guesses.held(at("192.0.2.2"))), (Some(40), None));
        tokio::time::advance(Duration::from_secs(40)).await;
        assert_eq!(guesses.held(at("192.0.2.1")), None);
        assert_eq!(guesses.wrong(at("192.0.2.1")), Guess::Wrong);
    }

    #[test]
    fn one_client_of_ipv6_is_one_however_it_changes_its_address() {
        let guesses = Guesses::default();
        for host in 0..10 {
            guesses.wrong(at(&format!("2001:db8:0:1::{host:x}")));
        }
        assert!(matches!(guesses.wrong(at("2001:db8:0:1:ffff::1")), Guess::Burst { .. }));
        assert_eq!(guesses.wrong(at("2001:db8:0:2::1")), Guess::Wrong);
        for _ in 0..10 {
            guesses.wrong(at("::ffff:192.0.2.7"));
        }
        assert!(matches!(guesses.wrong(at("192.0.2.7")), Guess::Burst { .. }));
    }

    #[tokio::test(start_paused = true)]
    async fn the_table_has_a_bound_and_forgets_the_oldest() {
        let guesses = Guesses::default();
        for _ in 0..10 {
            guesses.wrong(at("192.0.2.1"));
        }
        tokio::time::advance(Duration::from_secs(1)).await;
        for number in 0..u32::try_from(MOST_ENTRIES).unwrap() {
            guesses.wrong(IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + number)));
        }
        assert_eq!(guesses.0.seen.lock().unwrap().len(), MOST_ENTRIES);
        assert_eq!(guesses.wrong(at("192.0.2.1")), Guess::Wrong);
        assert_eq!(guesses.0.seen.lock().unwrap().len(), MOST_ENTRIES);
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_is_held_up_where_it_is_guessed_and_an_address_after_many_more() {
        let passwords = Passwords::default();
        let (guesser, other) = (at("192.0.2.1"), at("192.0.2.2"));
        for _ in 0..=10 {
            passwords.wrong(guesser, "ann");
        }
        assert_eq!(passwords.held(guesser, "ann"), Some(60));
        // The last one was right after all.
        passwords.right(guesser, "ann");
        assert_eq!(passwords.held(guesser, "ann"), None);
        passwords.wrong(guesser, "ann");
        assert_eq!(passwords.held(guesser, "ann"), Some(60));
        assert_eq!((passwords.held(guesser, "bob"), passwords.held(other, "ann")), (None, None));
        for number in 11..MOST_PASSWORDS {
            assert_eq!(passwords.wrong(guesser, &number.to_string()), Guess::Wrong);
        }
        assert_eq!(passwords.held(guesser, "bob"), None);
        assert!(matches!(passwords.wrong(guesser, "x"), Guess::Burst { .. }));
        assert_eq!(passwords.held(guesser, "bob"), Some(LONG_WINDOW.as_secs()));
        assert_eq!(passwords.held(other, "bob"), None);
        tokio::time::advance(LONG_WINDOW).await;
        assert_eq!(passwords.held(guesser, "bob"), None);
    }
}
