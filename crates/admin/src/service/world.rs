//! The resources as they would be after a set of edits: the edits laid over what is stored.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;
use usher_model::change::Change;
use usher_model::kind::{Key, Kind};
use usher_model::scope::Scope;

use super::head::Head;
use super::{Service, ServiceError, encoded};

/// Changes that readers are shown of one set; of a larger one those that matter most.
const SHOWN: usize = 10_000;

/// A resource as the store has it, with its secrets sealed.
pub(super) struct Held {
    pub(super) value: Arc<Value>,
    pub(super) created: u64,
    pub(super) modified: u64,
}

/// One edit with what it meets.
pub(super) struct Draft {
    pub(super) key: Key,
    pub(super) before: Option<Arc<Held>>,
    /// What it shall be, with secrets in clear; `None` deletes it.
    pub(super) after: Option<Arc<Value>>,
    /// The same as it came from a plan or the history, with secrets sealed.
    pub(super) sealed: Option<Arc<Value>>,
}

/// What a draft does to what is stored, ready for the store: secrets sealed, and in the very bytes that are stored. A set may be very large, and as
/// a tree a value takes ten times the room.
pub(super) struct Move {
    pub(super) key: Key,
    pub(super) before: Option<Bytes>,
    pub(super) after: Option<Bytes>,
    /// The revision that last changed what is stored; `None`: nothing is there.
    pub(super) seen: Option<u64>,
}

/// The state after a set of edits.
pub(super) struct World<'a> {
    pub(super) service: &'a Service,
    /// The store's revision when the look began.
    pub(super) base: u64,
    /// The head when the look began.
    pub(super) head: Head,
    pub(super) drafts: Vec<Draft>,
    /// The part of the configuration that its principal may see: what lies outside is not there for it.
    pub(super) scope: Scope,
    at: HashMap<Key, usize>,
    stored: HashMap<Key, Option<Arc<Held>>>,
    /// What the edits lean on without changing it, with the revision that it was seen at.
    leaned: HashMap<Key, Option<u64>>,
}

impl<'a> World<'a> {
    pub(super) fn new(service: &'a Service, head: Head, scope: Scope) -> Self {
        Self {
            service,
            base: service.revision(),
            head,
            drafts: Vec::new(),
            scope,
            at: HashMap::new(),
            stored: HashMap::new(),
            leaned: HashMap::new(),
        }
    }

    /// Adds an edit; a later one of the same resource replaces an earlier one.
    pub(super) fn add(&mut self, draft: Draft) {
        match self.at.get(&draft.key).and_then(|at| self.drafts.get_mut(*at)) {
            Some(place) => *place = draft,
            None => {
                self.at.insert(draft.key.clone(), self.drafts.len());
                self.drafts.push(draft);
            }
        }
    }

    /// The edit of a resource, if it has one.
    pub(super) fn draft(&self, key: &Key) -> Option<&Draft> {
        self.at.get(key).and_then(|at| self.drafts.get(*at))
    }

    /// What is stored.
    pub(super) async fn stored(&mut self, key: &Key) -> Result<Option<Arc<Held>>, ServiceError> {
        if let Some(known) = self.stored.get(key) {
            return Ok(known.clone());
        }
        let held = self.service.held(key).await?.map(Arc::new);
        self.stored.insert(key.clone(), held.clone());
        Ok(held)
    }

    /// What will be there. Secrets are clear where it is edited and sealed where it isn't.
    pub(super) async fn after(&mut self, key: &Key) -> Result<Option<Arc<Value>>, ServiceError> {
        if let Some(draft) = self.draft(key) {
            return Ok(draft.after.clone());
        }
        Ok(self.stored(key).await?.map(|held| Arc::clone(&held.value)))
    }

    /// The same, and the plan ends when somebody changes it meanwhile.
    pub(super) async fn lean_on(&mut self, key: &Key) -> Result<Option<Arc<Value>>, ServiceError> {
        if self.draft(key).is_none() {
            let seen = self.stored(key).await?.map(|held| held.modified);
            self.leaned.insert(key.clone(), seen);
        }
        self.after(key).await
    }

    /// Every resource that the edits touch or lean on, with the revision that last changed it.
    pub(super) fn bound(&self) -> Vec<(Key, Option<u64>)> {
        let touched = self
            .drafts
            .iter()
            .map(|draft| (draft.key.clone(), draft.before.as_ref().map(|held| held.modified)));
        touched.chain(self.leaned()).collect()
    }

    /// Those that the edits lean on without changing them.
    pub(super) fn leaned(&self) -> impl Iterator<Item = (Key, Option<u64>)> {
        self.leaned.iter().map(|(key, seen)| (key.clone(), *seen))
    }

    /// The changes as readers see them: what goes first, then what changes, then what comes, where there are too many to show.
    pub(super) fn masked(&self) -> Vec<Change> {
        let vault = &self.service.vault;
        let mut drafts: Vec<&Draft> = self.drafts.iter().collect();
        if drafts.len() > SHOWN {
            drafts.sort_by_key(|draft| match (&draft.before, &draft.after) {
                (_, None) => 0,
                (Some(_), _) => 1,
                (None, _) => 2,
            });
            drafts.truncate(SHOWN);
        }
        let shown = |draft: &Draft| Change {
            key: draft.key.clone(),
            before: draft.before.as_ref().map(|held| vault.masked(&draft.key, &held.value)),
            after: draft.after.as_ref().map(|value| vault.masked(&draft.key, value)),
        };
        drafts.into_iter().map(shown).collect()
    }

    /// The changes as the store keeps them. Each draft is let go of as soon as it is spelled.
    pub(super) fn into_moves(self) -> Result<Vec<Move>, ServiceError> {
        let Self { service, drafts, stored, .. } = self;
        drop(stored);
        let spelled = |draft: Draft| {
            let Draft { key, before, after, sealed } = draft;
            let held = before.as_ref().map(|held| &*held.value);
            let known: Vec<&Value> = held.into_iter().chain(sealed.as_deref()).collect();
            let seal = |value: Arc<Value>| {
                let sealed = service.vault.seal(&key, &value, &known);
                text(&sealed.map_err(|error| ServiceError::Damaged(error.to_string()))?)
            };
            let after = after.map(seal).transpose()?;
            let seen = before.as_ref().map(|held| held.modified);
            let before = held.map(text).transpose()?;
            Ok(Move { key, before, after, seen })
        };
        drafts.into_iter().map(spelled).collect()
    }

    /// The keys of the store that begin with a prefix and hold a resource of a kind, edits laid over.
    pub(super) async fn keys_below(&self, prefix: &str, kind: Kind) -> Result<Vec<Key>, ServiceError> {
        let listing = self.service.store().list(prefix).await?;
        let stored = listing.entries.iter().filter_map(|entry| Key::parse(&entry.key));
        let mut keys: Vec<Key> = stored.filter(|key| self.draft(key).is_none()).collect();
        keys.extend(self.drafts.iter().filter(|draft| draft.after.is_some()).map(|draft| draft.key.clone()));
        keys.retain(|key| key.kind == kind && key.path().starts_with(prefix));
        Ok(keys)
    }
}

/// A value as it is stored, in no more room than it takes.
pub(super) fn text(value: &Value) -> Result<Bytes, ServiceError> {
    Ok(Bytes::from(encoded(value)?.into_boxed_slice()))
}
