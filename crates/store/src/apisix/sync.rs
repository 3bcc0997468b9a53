//! Takes over what others changed at the far side.

use std::sync::atomic::Ordering;

use futures_util::future::BoxFuture;
use serde_json::Value;
use usher_model::kind::{Key, PREFIX};

use super::client::Trouble;
use super::list::{self, Found};
use super::object::{self, Object};
use super::{Held, Known};
use crate::{Entry, MAX_TRANSACTION_BYTES, Store as _, StoreError, Transaction};

/// Objects that seem to be gone and are asked for one by one; where there are more, everything is read a second time.
const ASKED_FOR: usize = 50;

/// Losing at least so many objects at once, and more than half of all, is held back until somebody confirms it: the far side may have lost its
/// data, or be another one. So is losing all of them, where that is more than one: nobody can tell the deletion of a single object from a loss.
const MANY: usize = 20;

/// Bytes of one transaction, far below what a store takes.
const BATCH_BYTES: usize = MAX_TRANSACTION_BYTES / 8;

impl Held {
    /// Reads everything and takes over what is new. What we wrote meanwhile makes the look void; the next one sees it.
    pub(super) async fn look(&self) -> Result<(), Trouble> {
        let before = self.written.load(Ordering::SeqCst);
        let mut rounds = std::mem::take(&mut self.turn.lock().await.rounds);
        let found = list::everything(&self.far, &mut rounds).await;
        let mut known = self.turn.lock().await;
        known.rounds = rounds;
        let found = found?;
        if self.written.load(Ordering::SeqCst) == before {
            self.take_over(&mut known, found).await?;
        }
        self.is_back();
        Ok(())
    }

    /// The same while a change is being made.
    pub(super) async fn look_now(&self, known: &mut Known) -> Result<(), Trouble> {
        let found = list::everything(&self.far, &mut known.rounds).await?;
        self.take_over(known, found).await?;
        self.is_back();
        Ok(())
    }

    fn take_over<'a>(&'a self, known: &'a mut Known, mut found: Found) -> BoxFuture<'a, Result<(), Trouble>> {
        Box::pin(async move {
            let local = self.copy.list(PREFIX).await.map_err(own)?.entries;
            let gone = self.gone(&local, &mut found, &mut known.rounds).await?;
            if self.is_held_back(&local, &gone) {
                return Ok(());
            }
            let mut transaction = Transaction::default();
            let mut bytes = 0;
            for key in &gone {
                transaction = transaction.delete(key.path());
                known.marks.remove(key);
            }
            for object in found.objects.into_values() {
                let path = object.key.path();
                let at = local.binary_search_by(|entry| (*entry.key).cmp(path.as_str()));
                let entry = at.ok().and_then(|at| local.get(at));
                let Some(value) = self.news(known, &object, entry)? else { continue };
                bytes += path.len() + value.len();
                transaction = transaction.put(path, value);
                if bytes > BATCH_BYTES {
                    self.copy.commit(std::mem::take(&mut transaction)).await.map_err(own)?;
                    bytes = 0;
                }
            }
            if !transaction.writes.is_empty() {
                let changes = transaction.writes.len();
                let committed = self.copy.commit(transaction).await.map_err(own)?;
                tracing::info!(
                    revision = committed.revision,
                    changes,
                    "changes of others were taken over from the APISIX"
                );
            }
            self.settle(known).await.map_err(own)
        })
    }

    /// The value to be kept where an object isn't the one that is there.
    pub(super) fn news(
        &self,
        known: &mut Known,
        object: &Object,
        entry: Option<&Entry>,
    ) -> Result<Option<Vec<u8>>, Trouble> {
        let mark = known.marks.insert(object.key.clone(), object.mark);
        if let Some(entry) = entry {
            if object.mark.1 > 0 && mark == Some(object.mark) {
                return Ok(None);
            }
            if self.opened(&object.key, &entry.value).is_some_and(|value| object::same(&value, &object.value))
            {
                return Ok(None);
            }
        }
        let mut value = object.value.clone();
        if !(self.sealing.seal)(&object.key, &mut value) {
            return Err(Trouble::Away(format!("the secrets of {} could not be sealed", object.key)));
        }
        serde_json::to_vec(&value).map(Some).map_err(|error| Trouble::Away(error.to_string()))
    }

    /// A stored value with its secrets open; `None` where that can't be done.
    pub(super) fn opened(&self, key: &Key, bytes: &[u8]) -> Option<Value> {
        let mut value: Value = serde_json::from_slice(bytes).ok()?;
        (self.sealing.open)(key, &mut value).then_some(value)
    }

    /// What is gone for certain: a page may have passed an object by.
    async fn gone(
        &self,
        local: &[Entry],
        found: &mut Found,
        rounds: &mut list::Rounds,
    ) -> Result<Vec<Key>, Trouble> {
        let keys = local.iter().filter_map(|entry| Key::parse(&entry.key));
        let mut gone: Vec<Key> = keys.filter(|key| found.lacks(key)).collect();
        if gone.len() > ASKED_FOR {
            let again = list::everything(&self.far, rounds).await?;
            gone.retain(|key| again.lacks(key));
            return Ok(gone);
        }
        let mut certain = Vec::new();
        for key in gone {
            match self.fresh(&key).await? {
                Some(object) => {
                    found.objects.insert(key, object);
                }
                None => certain.push(key),
            }
        }
        Ok(certain)
    }

    /// One object as it is now.
    pub(super) async fn fresh(&self, key: &Key) -> Result<Option<Object>, Trouble> {
        match self.far.get(&object::path(key)).await {
            Ok(Some(read)) => Ok(Object::of(key.kind, &read.body)
                .filter(|object| object.key == *key)
                .map(|object| Object { etag: read.etag, ..object })),
            // What lives below something that is gone is gone too.
            Ok(None) | Err(Trouble::Refused { status: 404, .. }) => Ok(None),
            Err(trouble) => Err(trouble),
        }
    }

    fn is_held_back(&self, local: &[Entry], gone: &[Key]) -> bool {
        let mut health = self.health();
        let most = gone.len() >= MANY && gone.len() * 2 > local.len();
        let all = gone.len() > 1 && gone.len() == local.len();
        let confirmed = self.accepted.swap(false, Ordering::SeqCst);
        if confirmed || !(most || all) {
            health.held = None;
            return false;
        }
        let sentence = format!(
            "{} of {} objects are gone from the APISIX at once; their copies are served until somebody confirms that this is meant",
            gone.len(),
            local.len()
        );
        if health.held.as_ref() != Some(&sentence) {
            tracing::error!(
                gone = gone.len(),
                of = local.len(),
                "most objects are gone from the APISIX; that is held back"
            );
        }
        health.held = Some(sentence);
        true
    }
}

/// Trouble with the copy is trouble of our own; it is told the same way.
fn own(error: StoreError) -> Trouble {
    Trouble::Away(format!("the copy beside it: {error}"))
}
