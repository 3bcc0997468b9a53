//! Which programs of agents were here lately: what they call themselves, as whom they come, and when they called last.
//!
//! A client says its own name, so that this tells a person who is there and decides nothing. It is kept in memory and bounded: whoever comes under
//! ever new names pushes out others and nothing else.

use std::sync::{Mutex, PoisonError};

use usher_model::change::{Door, Principal};

use super::escape::shortened;
use super::{Service, unix_ms};

/// Clients that are remembered; of more, the one that was quiet for longest goes.
const MOST: usize = 100;
/// How long one is remembered that says nothing, in milliseconds.
const LASTS_MS: u64 = 60 * 60 * 1000;
/// Characters of a name or a version.
const LONGEST: usize = 60;

/// A program that was here lately.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// What it calls itself.
    pub name: String,
    /// Which version of it.
    pub version: String,
    /// As whom it comes.
    pub principal: String,
    /// Through which door.
    pub door: Door,
    /// When it called first, in milliseconds since 1970.
    pub first_unix_ms: u64,
    /// When it called last, likewise.
    pub last_unix_ms: u64,
    /// How often it called since then.
    pub calls: u64,
}

/// Those that are remembered.
#[derive(Default)]
pub(super) struct Clients(Mutex<Vec<Client>>);

impl Clients {
    fn called(&self, who: &Principal, name: &str, version: &str, now: u64) {
        let (name, version) = (shortened(name, LONGEST), shortened(version, LONGEST));
        let mut clients = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_same = |client: &Client| {
            client.name == name
                && client.version == version
                && client.principal == who.name
                && client.door == who.door
        };
        if let Some(known) = clients.iter_mut().find(|client| is_same(client)) {
            known.last_unix_ms = now;
            known.calls = known.calls.saturating_add(1);
            return;
        }
        clients.retain(|client| now.saturating_sub(client.last_unix_ms) <= LASTS_MS);
        if clients.len() >= MOST {
            let quietest = clients.iter().enumerate().min_by_key(|(_, client)| client.last_unix_ms);
            if let Some(at) = quietest.map(|(at, _)| at) {
                clients.swap_remove(at);
            }
        }
        let (principal, door) = (who.name.clone(), who.door);
        clients.push(Client {
            name,
            version,
            principal,
            door,
            first_unix_ms: now,
            last_unix_ms: now,
            calls: 1,
        });
    }

    fn all(&self, now: u64) -> Vec<Client> {
        let clients = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let lately = clients.iter().filter(|client| now.saturating_sub(client.last_unix_ms) <= LASTS_MS);
        let mut found: Vec<Client> = lately.cloned().collect();
        found.sort_by_key(|client| std::cmp::Reverse(client.last_unix_ms));
        found
    }
}

impl Service {
    /// Remembers that a client called.
    pub fn client_called(&self, who: &Principal, name: &str, version: &str) {
        self.clients.called(who, name, version, unix_ms());
    }

    /// The clients that called within the last hour, the newest call first; at most 100.
    #[must_use]
    pub fn clients(&self) -> Vec<Client> {
        self.clients.all(unix_ms())
    }
}

#[cfg(test)]
mod tests {
    use usher_model::change::{Door, Principal, Role};

    use super::{Clients, LASTS_MS, MOST};

    #[test]
    fn clients_are_remembered_for_an_hour_and_in_bounded_number() {
        let clients = Clients::default();
        let who = |name: &str| Principal::new(name, Role::Chat, Door::Mcp);
        clients.called(&who("a"), "one", "1", 1000);
        clients.called(&who("a"), "one", "1", 2000);
        clients.called(&who("b"), "one", "1", 1500);
        let told: Vec<_> =
            clients.all(2000).into_iter().map(|client| (client.principal, client.calls)).collect();
        assert_eq!(told, [("a".to_owned(), 2), ("b".to_owned(), 1)]);
        assert_eq!(clients.all(1600 + LASTS_MS).len(), 1);
        for number in 0..2 * MOST as u64 {
            clients.called(&who("a"), &format!("{number} {}", "x".repeat(500)), "1", 3000 + number);
        }
        let all = clients.all(4000);
        assert_eq!(all.len(), MOST);
        assert!(all.iter().all(|client| client.name.chars().count() <= 63), "{all:?}");
        assert!(all.first().unwrap().name.starts_with("199 "));
    }
}
