//! One entry of the history, its changes a page at a time: a change of a hundred thousand objects is no answer that anybody could read at once.
//!
//! A page begins where the one before it ended, in which part and behind how many of its changes, so that the last page costs what the first does.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde_json::Value;
use usher_model::change::{Change, Principal};
use usher_model::kind::Key;

use super::show::Of;
use super::{Moved, part};
use crate::service::request::Entry;
use crate::service::{Service, ServiceError};

/// Changes of a page unless more are asked for, and at most.
const USUAL: usize = 100;
const MOST: usize = 1000;

/// Pieces that a page is taken from, at most: each is about a mebibyte.
const PIECES: usize = 4;

/// Which changes of an entry are wanted.
#[derive(Clone, Debug, Default)]
pub struct ChangesQuery {
    /// Which entry: the revision that it made.
    pub revision: u64,
    /// Only what it did to this object.
    pub key: Option<Key>,
    /// Where the page begins: what the page before it gave as `next`.
    pub after: Place,
    /// At most so many; 0 is 100, more than 1,000 is 1,000.
    pub limit: usize,
}

/// A page of what an entry changed.
#[derive(Clone, Debug)]
pub struct ChangesPage {
    /// The entry, with its first changes.
    pub entry: Entry,
    /// The changes of this page, masked.
    pub changes: Vec<Change>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<Place>,
}

/// A place among the changes of an entry, written as `2.100`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Which piece: 0 is what the entry holds itself, the others are its parts.
    piece: usize,
    /// Behind how many changes of it.
    at: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.piece, self.at)
    }
}

impl FromStr for Place {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (piece, at) = text.split_once('.').unwrap_or((text, ""));
        Ok(Self { piece: piece.parse()?, at: at.parse()? })
    }
}

impl Service {
    /// A page of what one entry of the history changed; `None` where there is none of this revision, or nothing of it lies in the reader's scope.
    pub(in crate::service) async fn read_changes(
        &self,
        who: &Principal,
        query: ChangesQuery,
    ) -> Result<Option<ChangesPage>, ServiceError> {
        let Some(mut found) = self.record(query.revision).await? else { return Ok(None) };
        let all = found.record.total();
        if !who.scope.is_all() {
            // What a reader may see of one object can hang on another of the same change.
            self.fill(&mut found).await?;
        }
        let (sequence, parts) = (found.sequence, found.record.parts);
        let own = std::mem::take(&mut found.record.changes);
        let own = self.in_scope(who, own, found.revision).await?;
        let of = Of { all, seen: if who.scope.is_all() { all } else { own.len() } };
        let Some(entry) = self.told(who, found, &own, of) else { return Ok(None) };
        let limit = if query.limit == 0 { USUAL } else { query.limit.min(MOST) };
        let wanted = query.key.as_ref().map(Key::path);
        let mut page = ChangesPage { entry, changes: Vec::new(), next: None };
        let (mut place, mut taken) = (query.after, 0);
        let mut own = Some(own);
        while place.piece <= parts {
            let here = match place.piece.checked_sub(1) {
                None => own.take().unwrap_or_default(),
                Some(at) => part::read(self, sequence, at).await?,
            };
            let before = page.changes.len();
            for moved in here.into_iter().skip(place.at) {
                if page.changes.len() == limit {
                    page.next = Some(place);
                    return Ok(Some(page));
                }
                place.at += 1;
                if wanted.as_ref().is_none_or(|path| moved.key == *path) {
                    page.changes.extend(self.masked(moved));
                }
            }
            place = Place { piece: place.piece + 1, at: 0 };
            taken += usize::from(page.changes.len() > before);
            if taken == PIECES && place.piece <= parts {
                page.next = Some(place);
                break;
            }
        }
        Ok(Some(page))
    }

    /// A change as it is told: secrets masked.
    pub(super) fn masked(&self, moved: Moved) -> Option<Change> {
        let key = moved.key()?;
        let masked = |value: Option<Arc<Value>>| {
            value.map(|value| {
                let mut value = Arc::unwrap_or_clone(value);
                self.vault.mask(&key, &mut value);
                value
            })
        };
        let (before, after) = (masked(moved.before), masked(moved.after));
        Some(Change { key, before, after })
    }

    /// What of a change lies in a reader's scope.
    pub(super) async fn in_scope(
        &self,
        who: &Principal,
        changes: Vec<Moved>,
        revision: u64,
    ) -> Result<Vec<Moved>, ServiceError> {
        let shown = self.shown_moves(&who.scope, &changes, revision).await?;
        Ok(changes.into_iter().zip(shown).filter_map(|(moved, is_shown)| is_shown.then_some(moved)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::Place;

    #[test]
    fn a_place_is_read_as_it_is_written() {
        for (text, place) in [("0.0", Place::default()), ("12.345", Place { piece: 12, at: 345 })] {
            assert_eq!((text.parse(), place.to_string().as_str()), (Ok(place), text));
        }
        for wrong in ["", "1", "1.", ".1", "-1.0", "1.2.3", "a.b"] {
            assert!(wrong.parse::<Place>().is_err(), "{wrong}");
        }
    }
}
