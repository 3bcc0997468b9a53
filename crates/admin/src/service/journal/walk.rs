//! Looking through the history, newest first, a page at a time.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::{Moved, PREFIX, Record, key, part, sequence_of};
use crate::service::{Service, ServiceError};

/// Entries that are read at a time: few at first, because mostly the newest are wanted and one may be of a mebibyte, then ever more up to this.
const PAGE: usize = 100;
const FIRST_PAGE: usize = 20;

/// Changes of an entry that a list tells of.
pub(super) const FIRST: usize = 10;

/// The newest entry's revision, and the store's when that was read.
#[derive(Default)]
pub(in crate::service) struct Newest(Mutex<Option<(u64, Option<u64>)>>);

/// An entry that was read, with its place.
pub(in crate::service) struct Found {
    pub(in crate::service) sequence: u64,
    pub(in crate::service) revision: u64,
    pub(in crate::service) record: Record,
}

/// The same before it is parsed.
pub(super) struct Raw {
    sequence: u64,
    pub(super) entry: usher_store::Entry,
}

/// Walks through the history, newest first, a page at a time.
pub(in crate::service) struct Walk<'a> {
    service: &'a Service,
    page: std::vec::IntoIter<usher_store::Entry>,
    last: Option<String>,
    size: usize,
    ended: bool,
}

impl<'a> Walk<'a> {
    /// Begins with the newest.
    pub(in crate::service) fn new(service: &'a Service) -> Self {
        Self { service, page: Vec::new().into_iter(), last: None, size: FIRST_PAGE, ended: false }
    }

    /// Begins with the first one that may have this revision: there are never more entries than revisions.
    pub(super) fn near(service: &'a Service, revision: u64) -> Self {
        Self { last: Some(key(revision.saturating_add(1))), ..Self::new(service) }
    }

    pub(super) async fn next_raw(&mut self) -> Result<Option<Raw>, ServiceError> {
        loop {
            if let Some(entry) = self.page.next() {
                self.last = Some(entry.key.to_string());
                if let Some(sequence) = sequence_of(&entry.key) {
                    return Ok(Some(Raw { sequence, entry }));
                }
            } else if self.ended {
                return Ok(None);
            } else {
                let page = self
                    .service
                    .store()
                    .list_page(PREFIX, self.last.as_deref(), self.size, true)
                    .await?
                    .entries;
                self.ended = page.len() < self.size;
                self.size = (self.size * 2).min(PAGE);
                self.page = page.into_iter();
            }
        }
    }

    /// The next older entry.
    pub(in crate::service) async fn next(&mut self) -> Result<Option<Found>, ServiceError> {
        self.next_raw().await?.map(parse).transpose()
    }
}

pub(super) fn parse(raw: Raw) -> Result<Found, ServiceError> {
    let Raw { sequence, entry } = raw;
    let revision = entry.created;
    let record = serde_json::from_slice(&entry.value).map_err(|_| damaged(revision))?;
    Ok(Found { sequence, revision, record })
}

/// An entry with no more than its first changes, and how many objects changed in all. The others are not even kept while they are read.
pub(super) fn first(raw: Raw) -> Result<(Found, usize), ServiceError> {
    let Raw { sequence, entry } = raw;
    let revision = entry.created;
    let record: Record<First> = serde_json::from_slice(&entry.value).map_err(|_| damaged(revision))?;
    let all = if record.parts == 0 { record.changes.count } else { record.total };
    Ok((Found { sequence, revision, record: record.with(|first| first.changes) }, all))
}

/// The first changes of an entry, and how many it holds.
struct First {
    changes: Vec<Moved>,
    count: usize,
}

impl<'de> Deserialize<'de> for First {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        struct Reads;
        impl<'de> Visitor<'de> for Reads {
            type Value = First;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of changes")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<First, A::Error> {
                let mut changes = Vec::with_capacity(FIRST);
                while changes.len() < FIRST {
                    match list.next_element()? {
                        Some(moved) => changes.push(moved),
                        None => return Ok(First { count: changes.len(), changes }),
                    }
                }
                let mut count = changes.len();
                while list.next_element::<IgnoredAny>()?.is_some() {
                    count += 1;
                }
                Ok(First { changes, count })
            }
        }
        reader.deserialize_seq(Reads)
    }
}

pub(super) fn damaged(revision: u64) -> ServiceError {
    ServiceError::Damaged(format!("the history entry of revision {revision} can't be read: it is damaged"))
}

impl Service {
    /// The entry of one revision.
    pub(in crate::service) async fn record(&self, revision: u64) -> Result<Option<Found>, ServiceError> {
        // A store that was filled from a copy may have given its entries later revisions than they count: then from the newest on.
        for mut walk in [Walk::near(self, revision), Walk::new(self)] {
            while let Some(raw) = walk.next_raw().await? {
                if raw.entry.created == revision {
                    return parse(raw).map(Some);
                }
                if raw.entry.created < revision {
                    break;
                }
            }
        }
        Ok(None)
    }

    /// The revision of the newest change that the history tells of; `None` where there was none, or the store can't say.
    pub async fn changed_at(&self) -> Option<u64> {
        // Asked every few seconds by each overview, of an entry that may be of a mebibyte.
        let now = self.revision();
        let known = *self.newest.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, newest)) = known.filter(|(at, _)| *at == now) {
            return newest;
        }
        let newest = self.store().list_page(PREFIX, None, 1, true).await.ok()?.entries;
        let newest = newest.first().map(|entry| entry.created);
        *self.newest.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((now, newest));
        newest
    }

    /// The revision of the oldest entry that is kept.
    pub(in crate::service) async fn oldest_entry(&self) -> Result<Option<u64>, ServiceError> {
        let oldest = self.store().list_page(PREFIX, None, 1, false).await?.entries;
        Ok(oldest.first().map(|entry| entry.created))
    }

    /// Brings the parts of an entry into it.
    pub(in crate::service) async fn fill(&self, found: &mut Found) -> Result<(), ServiceError> {
        found.record.changes = self.all_changes(found).await?;
        found.record.parts = 0;
        Ok(())
    }

    /// Every change of an entry, its parts with it.
    pub(in crate::service) async fn all_changes(
        &self,
        found: &mut Found,
    ) -> Result<Vec<Moved>, ServiceError> {
        let mut changes = std::mem::take(&mut found.record.changes);
        for at in 0..found.record.parts {
            changes.extend(part::read(self, found.sequence, at).await?);
        }
        Ok(changes)
    }
}
