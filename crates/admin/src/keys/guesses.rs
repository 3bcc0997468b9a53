//! Wrong keys by the address they came from: after ten in a minute, further ones are told to wait.
//!
//! A right key is never held up, also not from an address that guesses: behind one address there may be many people, and one of them must not
//! be able to lock the others out. The table has a bound; where it is full, the address that has been quiet for longest is forgotten.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Wrong keys that one address may give in [`WINDOW`].
const MOST: u32 = 10;

/// How long wrong keys are counted together.
const WINDOW: Duration = Duration::from_secs(60);

/// Addresses that are remembered at most.
const MOST_ADDRESSES: usize = 4096;

/// The wrong keys of the last minute.
#[derive(Default)]
pub struct Guesses(Mutex<HashMap<IpAddr, Seen>>);

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

impl Guesses {
    /// Counts a wrong key. Addresses of IPv6 count by their /64, which is what one client is given.
    pub fn wrong(&self, from: IpAddr) -> Guess {
        let from = network(from);
        let now = Instant::now();
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !seen.contains_key(&from) && seen.len() >= MOST_ADDRESSES {
            make_room(&mut seen, now);
        }
        let entry = seen.entry(from).or_insert(Seen { since: now, wrong: 0 });
        if now.duration_since(entry.since) >= WINDOW {
            *entry = Seen { since: now, wrong: 0 };
        }
        entry.wrong = entry.wrong.saturating_add(1);
        let left = WINDOW.saturating_sub(now.duration_since(entry.since));
        // Rounded up, so that whoever waits as long as told is not too early.
        let retry_after_secs = left.as_millis().div_ceil(1000).try_into().unwrap_or(1).max(1);
        match entry.wrong {
            wrong if wrong <= MOST => Guess::Wrong,
            wrong if wrong == MOST + 1 => Guess::Burst { retry_after_secs },
            _ => Guess::TooMany { retry_after_secs },
        }
    }
}

impl Guesses {
    /// How long an address has to wait, in seconds, because it gave too many wrong keys; `None` where it needn't.
    pub fn held(&self, from: IpAddr) -> Option<u64> {
        let now = Instant::now();
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = seen.get(&network(from)).filter(|entry| entry.wrong > MOST)?;
        let left = WINDOW.checked_sub(now.duration_since(entry.since)).filter(|left| !left.is_zero())?;
        Some(left.as_millis().div_ceil(1000).try_into().unwrap_or(1).max(1))
    }
}

fn make_room(seen: &mut HashMap<IpAddr, Seen>, now: Instant) {
    seen.retain(|_, entry| now.duration_since(entry.since) < WINDOW);
    if seen.len() < MOST_ADDRESSES {
        return;
    }
    let oldest = seen.iter().min_by_key(|(_, entry)| entry.since).map(|(address, _)| *address);
    if let Some(oldest) = oldest {
        seen.remove(&oldest);
    }
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

    use super::{Guess, Guesses, MOST_ADDRESSES};

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
        for number in 0..u32::try_from(MOST_ADDRESSES).unwrap() {
            guesses.wrong(IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + number)));
        }
        assert_eq!(guesses.0.lock().unwrap().len(), MOST_ADDRESSES);
        assert_eq!(guesses.wrong(at("192.0.2.1")), Guess::Wrong);
        assert_eq!(guesses.0.lock().unwrap().len(), MOST_ADDRESSES);
    }
}
