//! Reading: plugin fields clear for an admin on the Admin API, everything secret masked for everybody else.

use std::sync::Arc;

use serde_json::Value;
use usher_model::change::{Door, Principal, Role};
use usher_model::kind::{Key, Kind};
use usher_store::Entry;

use super::known::Mark;
use super::references::own_id;
use super::request::Stored;
use super::world::Held;
use super::{Service, ServiceError};

/// Resources of one name that are given at most.
const NAMESAKES: usize = 100;

impl Service {
    /// A resource as the store has it.
    pub(super) async fn held(&self, key: &Key) -> Result<Option<Held>, ServiceError> {
        let Some(entry) = self.store().get(&key.path()).await? else { return Ok(None) };
        // What can't be read is nothing that anybody knows, but it can be replaced and deleted.
        let value = Arc::new(parse(&entry).unwrap_or_else(|error| {
            tracing::warn!(%error, "an object can't be read");
            Value::Null
        }));
        Ok(Some(Held { value, created: entry.created, modified: entry.modified }))
    }

    pub(super) async fn read(&self, who: &Principal, key: &Key) -> Result<Option<Stored>, ServiceError> {
        let Some(held) = self.visible(who, key).await? else { return Ok(None) };
        if held.value.is_null() {
            return Err(ServiceError::Damaged(format!(
                "what is stored under {} can't be read: it is no JSON object; put a good one in its place, or delete it",
                key.path()
            )));
        }
        let Held { value, created, modified } = held;
        Ok(Some(Stored {
            key: key.clone(),
            value: self.shown(who, key, Arc::unwrap_or_clone(value)),
            created,
            modified,
            ends_unix_ms: self.ends_at(key, modified),
        }))
    }

    /// What stands below a prefix and is of this kind.
    pub(super) async fn read_all(
        &self,
        who: &Principal,
        prefix: &str,
        kind: Kind,
    ) -> Result<Vec<Stored>, ServiceError> {
        let listing = self.store().list(prefix).await?;
        let mut all = Vec::with_capacity(listing.entries.len());
        for entry in listing.entries {
            let Some(key) = Key::parse(&entry.key).filter(|key| key.kind == kind) else { continue };
            let value = match parse(&entry) {
                Ok(value) => value,
                Err(error) => {
                    tracing::warn!(%error, "an object is left out of a list");
                    continue;
                }
            };
            if !self.may_see(who, &key, &value).await? {
                continue;
            }
            all.push(self.stored(who, key, value, &entry));
        }
        Ok(all)
    }

    /// The keys of a kind whose id or name is this, an id first.
    pub(super) async fn find(
        &self,
        who: &Principal,
        kind: Kind,
        id_or_name: &str,
    ) -> Result<Vec<Key>, ServiceError> {
        let mut found = Vec::new();
        let exact = Key::new(kind, id_or_name);
        if Key::parse(&exact.path()).as_ref() == Some(&exact) && self.visible(who, &exact).await?.is_some() {
            found.push(exact);
        }
        self.catch_up().await?;
        let mut named = self
            .look_up(|index| index.holders(Mark::Named(kind, id_or_name), NAMESAKES, |key| key.kind == kind));
        named.sort();
        for key in named.into_iter().filter(|key| !found.contains(key)).collect::<Vec<_>>() {
            let Some(held) = self.visible(who, &key).await? else { continue };
            let is_called = own_id(&key) == Some(id_or_name)
                || held.value.get("name").and_then(Value::as_str) == Some(id_or_name);
            if is_called {
                found.push(key);
            }
        }
        Ok(found)
    }

    /// A resource as the store has it, where this principal may see it.
    async fn visible(&self, who: &Principal, key: &Key) -> Result<Option<Held>, ServiceError> {
        let Some(held) = self.held(key).await? else { return Ok(None) };
        Ok(self.may_see(who, key, &held.value).await?.then_some(held))
    }

    /// A resource as this principal may see it.
    pub(super) fn stored(&self, who: &Principal, key: Key, value: Value, entry: &Entry) -> Stored {
        Stored {
            value: self.shown(who, &key, value),
            created: entry.created,
            modified: entry.modified,
            ends_unix_ms: self.ends_at(&key, entry.modified),
            key,
        }
    }

    pub(super) fn shown(&self, who: &Principal, key: &Key, mut value: Value) -> Value {
        let clear = who.role == Role::Admin && who.door == Door::AdminApi;
        if !clear {
            self.vault.mask(key, &mut value);
        } else if !self.vault.open(key, &mut value) {
            tracing::warn!(%key, "a secret can't be opened; it is shown masked");
            self.vault.mask(key, &mut value);
        } else {
            self.vault.mask_own(key, &mut value);
        }
        value
    }
}

pub(super) fn parse(entry: &Entry) -> Result<Value, ServiceError> {
    let damaged = |what: &str| {
        ServiceError::Damaged(format!("what is stored under {} can't be read: it is no {what}", entry.key))
    };
    let value: Value = serde_json::from_slice(&entry.value).map_err(|_| damaged("JSON"))?;
    // Another program may have written anything; whoever reads a resource reads members of it.
    if value.is_object() { Ok(value) } else { Err(damaged("JSON object")) }
}
