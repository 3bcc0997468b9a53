//! What a space held as of the newest revision that its watch has told of: reads are served from here, also while etcd is away.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::ends::Leased;
use super::load::Loaded;
use super::names::Space;
use crate::feed::Feed;
use crate::sorted::{Sorted, page};
use crate::{Batch, Entry, Event, Listing, Revision};

/// So many objects may go at once without a question, even where they are most.
const HANDFUL: usize = 5;

/// Where in which cluster's history the mirror is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) cluster: u64,
    pub(super) revision: Revision,
    /// The key that was changed last, and by which revision: a cluster that was restored from a backup and went on from there doesn't have it.
    pub(super) witness: Option<Witness>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Witness {
    pub(super) key: Arc<str>,
    /// `None` where it was deleted.
    pub(super) modified: Option<Revision>,
}

#[derive(Debug, Default)]
struct Content {
    entries: Sorted,
    /// The leases of the few keys that have one.
    leased: HashMap<Arc<str>, i64>,
    place: Option<Place>,
}

/// What a transaction did to one key, as etcd tells it.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) key: Arc<str>,
    pub(super) after: Option<Entry>,
    /// What was there, where the mirror keeps no value.
    pub(super) before: Option<Entry>,
    /// The lease that it has now; 0 for none.
    pub(super) lease: i64,
}

/// The mirror of one space.
#[derive(Debug)]
pub(super) struct Mirror {
    pub(super) space: Space,
    pub(super) feed: Feed,
    content: Mutex<Content>,
}

impl Mirror {
    pub(super) fn new(space: Space) -> Self {
        Self { space, feed: Feed::new(0), content: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where it is; `None` before it was loaded.
    pub(super) fn place(&self) -> Option<Place> {
        self.lock().place.clone()
    }

    pub(super) fn get(&self, key: &str) -> Option<Entry> {
        self.lock().entries.get(key).cloned()
    }

    pub(super) fn page(&self, prefix: &str, after: Option<&str>, limit: usize, reverse: bool) -> Listing {
        let content = self.lock();
        Listing {
            revision: content.place.as_ref().map_or(0, |place| place.revision),
            entries: page(&content.entries, prefix, after, limit, reverse),
        }
    }

    /// Which of these keys have a lease, or which of all.
    pub(super) fn leased(&self, of: Option<&[Arc<str>]>) -> Vec<Leased> {
        let content = self.lock();
        let found = |(key, lease): (&Arc<str>, &i64)| {
            Some((Arc::clone(key), content.entries.get(key)?.modified, *lease))
        };
        match of {
            Some(keys) => keys.iter().filter_map(|key| found(content.leased.get_key_value(key)?)).collect(),
            None => content.leased.iter().filter_map(found).collect(),
        }
    }

    /// Everything, and the place that it is true of.
    pub(super) fn copy(&self) -> Option<(Place, Vec<Entry>)> {
        let content = self.lock();
        Some((content.place.clone()?, content.entries.values().cloned().collect()))
    }

    /// Takes up one transaction. `ours` is told of even where it changed nothing here: somebody waits for its revision.
    pub(super) fn apply(&self, revision: Revision, changes: Vec<Change>, ours: bool) {
        let mut content = self.lock();
        let Content { entries, leased, place: Some(place) } = &mut *content else { return };
        if revision <= place.revision {
            // Seen before the stream was opened anew.
            return;
        }
        place.revision = revision;
        let mut events = Vec::with_capacity(changes.len());
        for Change { key, after, before, lease } in changes {
            match lease {
                0 => drop(leased.remove(&key)),
                lease => drop(leased.insert(Arc::clone(&key), lease)),
            }
            place.witness =
                Some(Witness { key: Arc::clone(&key), modified: after.as_ref().map(|entry| entry.modified) });
            let kept = self.space.keeps(&key);
            let known = match &after {
                Some(entry) if kept => entries.insert(Arc::clone(&key), entry.clone()),
                Some(entry) => entries.insert(Arc::clone(&key), Entry { value: "".into(), ..entry.clone() }),
                None => entries.remove(&key),
            };
            let before = if kept { known } else { before };
            if before.is_some() || after.is_some() {
                events.push(Event { key, before, after });
            }
        }
        // Published under the lock, so that what a list and its watch say fits together.
        if events.is_empty() && !ours {
            self.feed.advance(revision);
        } else {
            self.feed.publish(Batch { revision, events });
        }
    }

    /// Takes etcd's word that nothing happened here up to a revision.
    pub(super) fn advance(&self, revision: Revision) {
        let mut content = self.lock();
        if let Some(place) = content.place.as_mut().filter(|place| place.revision < revision) {
            place.revision = revision;
            self.feed.advance(revision);
        }
    }

    /// Begins with what a snapshot held.
    pub(super) fn begin(&self, cluster: u64, revision: Revision, entries: Vec<Entry>) {
        self.fill(&mut self.lock(), Loaded { cluster, revision, entries, ..Loaded::default() });
        self.feed.restart(revision);
    }

    fn fill(&self, content: &mut Content, loaded: Loaded) {
        let newest = loaded.entries.iter().max_by_key(|entry| entry.modified);
        content.place = Some(Place {
            cluster: loaded.cluster,
            revision: loaded.revision,
            witness: newest
                .map(|entry| Witness { key: Arc::clone(&entry.key), modified: Some(entry.modified) }),
        });
        content.leased = loaded.leased.into_iter().collect();
        content.entries = loaded.entries.into_iter().map(|entry| (Arc::clone(&entry.key), entry)).collect();
    }

    /// Puts what was read anew in the place of what is known. What is equal isn't told of; what differs is, as one transaction.
    ///
    /// # Errors
    /// Most of what is known would go, and nobody confirmed that; nothing was changed.
    pub(super) fn replace(&self, mut loaded: Loaded, confirmed: bool) -> Result<(), String> {
        let mut content = self.lock();
        if content.place.is_none() {
            let revision = loaded.revision;
            self.fill(&mut content, loaded);
            self.feed.restart(revision);
            return Ok(());
        }
        let known = &content.entries;
        let mut events = Vec::new();
        let mut unread = false;
        for entry in &mut loaded.entries {
            let before = known.get(&entry.key);
            if let Some(before) = before {
                entry.key = Arc::clone(&before.key);
                if before.value == entry.value {
                    entry.value = before.value.clone();
                }
            }
            let kept = self.space.keeps(&entry.key);
            let same = before.is_some_and(|before| {
                before.value == entry.value && (kept || before.modified == entry.modified)
            });
            if !same {
                unread |= !kept;
                events.push(Event {
                    key: Arc::clone(&entry.key),
                    before: before.cloned(),
                    after: Some(entry.clone()),
                });
            }
        }
        let told = events.len();
        let still_there =
            |key: &Arc<str>| loaded.entries.binary_search_by(|entry| entry.key.cmp(key)).is_ok();
        for (key, before) in known {
            if !still_there(key) {
                unread |= !self.space.keeps(key);
                events.push(Event { key: Arc::clone(key), before: Some(before.clone()), after: None });
            }
        }
        let gone = events.len() - told;
        if !confirmed && self.space == Space::Resources && gone > HANDFUL && gone * 2 > known.len() {
            return Err(format!(
                "{gone} of {} objects are gone from etcd (it may have been wiped, or restored from a backup); they stay in force until that is confirmed",
                known.len()
            ));
        }
        let revision = loaded.revision;
        let (same_place, nothing) = (revision == self.feed.newest(), events.is_empty());
        self.fill(&mut content, loaded);
        if unread {
            // Not every value is known here, so whoever watches has to read anew.
            self.feed.restart(revision);
        } else if nothing && same_place {
            // Nothing to tell.
        } else if nothing && revision > self.feed.newest() {
            self.feed.advance(revision);
        } else {
            self.feed.publish(Batch { revision, events });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::{Mirror, Space};
    use crate::Entry;
    use crate::etcd::load::Loaded;

    fn loaded(revision: u64, entries: &[(&str, &str, u64)]) -> Loaded {
        let entry = |(key, value, modified): &(&str, &str, u64)| Entry {
            key: (*key).into(),
            value: (*value).to_owned().into(),
            created: 1,
            modified: *modified,
        };
        Loaded { cluster: 7, revision, entries: entries.iter().map(entry).collect(), ..Loaded::default() }
    }

    #[test]
    fn what_is_read_anew_is_told_as_what_differs() {
        let mirror = Mirror::new(Space::Resources);
        mirror
            .replace(
                loaded(10, &[("/apisix/a", "1", 2), ("/apisix/b", "1", 3), ("/apisix/c", "1", 4)]),
                false,
            )
            .unwrap();
        let kept = mirror.get("/apisix/a").unwrap();
        let mut watch = mirror.feed.watch("", 11);
        // Nothing differs: nothing is told, but the place moves.
        mirror
            .replace(
                loaded(20, &[("/apisix/a", "1", 12), ("/apisix/b", "1", 3), ("/apisix/c", "1", 4)]),
                false,
            )
            .unwrap();
        assert!(watch.next().now_or_never().is_none());
        let now = mirror.get("/apisix/a").unwrap();
        assert_eq!((now.value.as_ptr(), now.modified), (kept.value.as_ptr(), 12));
        mirror
            .replace(
                loaded(30, &[("/apisix/a", "1", 12), ("/apisix/b", "2", 25), ("/apisix/d", "1", 26)]),
                false,
            )
            .unwrap();
        let batch = watch.next().now_or_never().unwrap().unwrap();
        let keys: Vec<_> = batch
            .events
            .iter()
            .map(|event| (&*event.key, event.before.is_some(), event.after.is_some()))
            .collect();
        assert_eq!(batch.revision, 30);
        assert_eq!(keys, [("/apisix/b", true, true), ("/apisix/d", false, true), ("/apisix/c", true, false)]);
        // Taken back with the same content: watchers learn that revisions are others now.
        mirror
            .replace(loaded(5, &[("/apisix/a", "1", 2), ("/apisix/b", "2", 3), ("/apisix/d", "1", 4)]), false)
            .unwrap();
        let batch = watch.next().now_or_never().unwrap().unwrap();
        assert_eq!((batch.revision, batch.events.len()), (5, 0));
        assert_eq!(mirror.feed.newest(), 5);
    }

    #[test]
    fn most_objects_go_only_where_a_person_says_so() {
        let keys: Vec<String> = (0..20).map(|id| format!("/apisix/routes/{id:02}")).collect();
        let some =
            |count: usize| keys.iter().take(count).map(|key| (key.as_str(), "x", 1)).collect::<Vec<_>>();
        for (before, after, confirmed, held) in [
            (20, 0, false, true),
            (20, 9, false, true),
            (20, 10, false, false),
            (20, 0, true, false),
            // A handful is no mass, whatever its share.
            (5, 0, false, false),
            (6, 0, false, true),
        ] {
            let mirror = Mirror::new(Space::Resources);
            mirror.replace(loaded(10, &some(before)), false).unwrap();
            let outcome = mirror.replace(loaded(20, &some(after)), confirmed);
            assert_eq!(outcome.is_err(), held, "{before} {after} {confirmed}");
            let left = mirror.page("", None, usize::MAX, false);
            let (entries, revision) = if held { (before, 10) } else { (after, 20) };
            assert_eq!((left.entries.len(), left.revision), (entries, revision));
        }
    }

    #[test]
    fn own_keys_whose_values_are_not_kept_make_watchers_list_anew() {
        let mirror = Mirror::new(Space::Own);
        mirror.replace(loaded(10, &[("/usher/head", "1", 2), ("/usher/history/1", "", 2)]), false).unwrap();
        let mut watch = mirror.feed.watch("/usher/", 11);
        mirror.replace(loaded(20, &[("/usher/head", "2", 15), ("/usher/history/1", "", 2)]), false).unwrap();
        assert_eq!(watch.next().now_or_never().unwrap().unwrap().events.len(), 1);
        mirror.replace(loaded(30, &[("/usher/head", "2", 15), ("/usher/history/1", "", 25)]), false).unwrap();
        assert!(watch.next().now_or_never().unwrap().is_err());
    }
}
