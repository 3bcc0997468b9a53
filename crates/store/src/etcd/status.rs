//! How things stand with etcd: for whoever asks, and for the one who waits while the store is opened.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::watch;

use crate::Health;

/// How far the first contact has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Contact {
    /// No member was found, or what was found can't be used.
    Seeking(String),
    /// A member answers; everything is being read.
    Reading,
    /// What is known is etcd's newest, or is held back for a person.
    Known,
}

#[derive(Debug)]
pub(super) struct Status {
    health: Mutex<Health>,
    contact: watch::Sender<Contact>,
}

impl Status {
    pub(super) fn new() -> Self {
        let reason = "it was not reached yet".to_owned();
        let health =
            Health { away: Some(reason.clone()), away_since_unix_ms: Some(unix_ms()), ..Health::default() };
        Self { health: Mutex::new(health), contact: watch::Sender::new(Contact::Seeking(reason)) }
    }

    fn lock(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn health(&self) -> Health {
        self.lock().clone()
    }

    pub(super) fn contact(&self) -> watch::Receiver<Contact> {
        self.contact.subscribe()
    }

    /// No member can be used.
    pub(super) fn away(&self, reason: &str) {
        let mut health = self.lock();
        if health.away_since_unix_ms.is_none() {
            tracing::warn!(reason, "etcd is away; what is in force stays");
            health.away_since_unix_ms = Some(unix_ms());
        }
        health.away = Some(reason.to_owned());
        self.contact.send_replace(Contact::Seeking(reason.to_owned()));
    }

    /// A member answers.
    pub(super) fn reading(&self) {
        self.contact.send_if_modified(|contact| {
            let seeking = matches!(contact, Contact::Seeking(_));
            if seeking {
                *contact = Contact::Reading;
            }
            seeking
        });
    }

    /// What is known is followed.
    pub(super) fn here(&self) {
        let mut health = self.lock();
        health.away = None;
        health.away_since_unix_ms = None;
        self.contact.send_replace(Contact::Known);
    }

    /// Something waits for a person, or doesn't any more.
    pub(super) fn hold(&self, held: Option<String>) {
        let mut health = self.lock();
        match &held {
            Some(reason) if health.held.is_none() => {
                tracing::error!(reason, "a change in etcd is held back until a person confirms it");
            }
            None if health.held.is_some() => tracing::info!("nothing is held back any more"),
            _ => {}
        }
        health.held = held;
    }

    pub(super) fn held(&self) -> Option<String> {
        self.lock().held.clone()
    }
}

fn unix_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::{Contact, Status};

    #[test]
    fn how_long_it_is_away_is_told_from_the_first_failure_on() {
        let status = Status::new();
        let since = status.health().away_since_unix_ms;
        assert!(since.is_some());
        status.away("h:1: connection refused");
        assert_eq!(status.health().away.as_deref(), Some("h:1: connection refused"));
        assert_eq!(status.health().away_since_unix_ms, since);
        status.here();
        assert_eq!(status.health(), crate::Health::default());
        assert_eq!(*status.contact().borrow(), Contact::Known);
    }
}
