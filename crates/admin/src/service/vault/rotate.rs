//! Changing the key that secrets are sealed with: which records an older key sealed, and sealing those anew.
//!
//! The history holds the sealed texts of the resources that it tells of; all are sealed anew alike, so that an undo still finds what it expects.
//! Once nothing is left, the older key can be taken out of the keyring. Nothing that anybody reads changes, so the history says nothing of it.

use std::collections::HashSet;

use serde_json::Value;
use usher_model::change::{Principal, Role};
use usher_model::kind::Key;
use usher_model::seal::{BadSeal, Reseal};
use usher_store::{Compare, Entry, StoreError, Transaction};

use super::super::{Service, ServiceError, pack};

/// What the keys begin with of all records that hold sealed texts: resources, the history, and plans of several steps.
const PREFIXES: [&str; 4] = ["/apisix/", "/usher/history/", "/usher/history-parts/", "/usher/steps/"];

/// Records that are read at a time.
const PAGE: usize = 200;

/// Records and bytes that one transaction seals anew; every store takes so many. A larger record goes alone.
const WRITES: usize = 50;
const BYTES: usize = 512 << 10;

/// How often a page is tried when somebody else writes to its records.
const TRIES: usize = 8;

/// A record that holds something which an older key sealed.
struct Older {
    key: String,
    modified: u64,
    value: Value,
    packed: bool,
}

impl Service {
    /// The keys in the store, of resources and of the history, that hold a secret which another key than the first of the keyring sealed.
    ///
    /// # Errors
    /// Only admins may know; the store can't be read.
    pub async fn older_seals(&self, who: &Principal) -> Result<Vec<String>, ServiceError> {
        only_admins(who)?;
        let mut found = Vec::new();
        for prefix in PREFIXES {
            let mut after = None;
            loop {
                let (older, next) = self.older(prefix, after.as_deref()).await?;
                found.extend(older.into_iter().map(|older| older.key));
                after = next;
                if after.is_none() {
                    break;
                }
            }
        }
        Ok(found)
    }

    /// Seals anew with the first key what older ones sealed, and says how many records that were. What it did stays done when it fails, so that
    /// it can simply be called again. Objects that end by themselves are left to that.
    ///
    /// # Errors
    /// Only admins may; a secret can't be opened with any key that is here; the store can't be written.
    pub async fn seal_anew(&self, who: &Principal) -> Result<usize, ServiceError> {
        only_admins(who)?;
        let ending: HashSet<String> =
            self.store().leases().await?.into_iter().map(|lease| lease.key.to_string()).collect();
        let mut run = Reseal::new(&self.parts.keyring);
        let mut count = 0;
        for prefix in PREFIXES {
            let (mut after, mut tries) = (None, 0);
            loop {
                let _writing = self.writer.lock().await;
                let (mut older, next) = self.older(prefix, after.as_deref()).await?;
                older.retain(|older| !ending.contains(&older.key));
                match self.write_anew(&mut run, older).await {
                    Ok(done) => count += done,
                    Err(ServiceError::Store(StoreError::Conflict { .. })) if tries < TRIES => {
                        tries += 1;
                        continue;
                    }
                    Err(error) => return Err(error),
                }
                (after, tries) = (next, 0);
                if after.is_none() {
                    break;
                }
            }
        }
        tracing::info!(principal = %who.name, records = count, "secrets were sealed anew with the newest key");
        Ok(count)
    }

    /// The records of a page that an older key sealed, and where the next page begins.
    async fn older(
        &self,
        prefix: &str,
        after: Option<&str>,
    ) -> Result<(Vec<Older>, Option<String>), ServiceError> {
        let entries = self.store().list_page(prefix, after, PAGE, false).await?.entries;
        let next = entries.last().filter(|_| entries.len() == PAGE).map(|entry| entry.key.to_string());
        let older =
            entries.iter().filter_map(read).filter(|older| self.parts.keyring.has_older_seals(&older.value));
        Ok((older.collect(), next))
    }

    async fn write_anew(&self, run: &mut Reseal<'_>, older: Vec<Older>) -> Result<usize, ServiceError> {
        let (mut count, mut bytes, mut writes, mut transaction) = (0, 0, 0, Transaction::default());
        for mut older in older {
            seal(run, &older.key, &mut older.value)
                .map_err(|error| ServiceError::Damaged(error.to_string()))?;
            let text =
                serde_json::to_vec(&older.value).map_err(|error| ServiceError::Damaged(error.to_string()))?;
            let text = if older.packed { pack::pack(&text)? } else { text.into() };
            if writes == WRITES || (writes > 0 && bytes + text.len() > BYTES) {
                self.store().commit(std::mem::take(&mut transaction)).await?;
                (bytes, writes) = (0, 0);
            }
            (count, bytes, writes) = (count + 1, bytes + text.len(), writes + 1);
            transaction =
                transaction.expect(older.key.clone(), Compare::Modified(older.modified)).put(older.key, text);
        }
        if writes > 0 {
            self.store().commit(transaction).await?;
        }
        Ok(count)
    }
}

fn only_admins(who: &Principal) -> Result<(), ServiceError> {
    if who.role == Role::Admin {
        return Ok(());
    }
    Err(ServiceError::Forbidden("only an admin may change the key that secrets are sealed with".to_owned()))
}

fn read(entry: &Entry) -> Option<Older> {
    let (value, packed) = match serde_json::from_slice(&entry.value) {
        Ok(value) => (value, false),
        Err(_) => (serde_json::from_slice(&pack::unpack(&entry.value)?).ok()?, true),
    };
    Some(Older { key: entry.key.to_string(), modified: entry.modified, value, packed })
}

/// Seals anew inside a record. An entry of the history, a part of one, or a step lists what it tells of, each with the record that its secrets
/// belong to.
fn seal(run: &mut Reseal<'_>, key: &str, value: &mut Value) -> Result<(), BadSeal> {
    if Key::parse(key).is_some() {
        return run.value(key, value).map(drop);
    }
    let list = match value {
        Value::Object(members) => members.get_mut("changes"),
        list => Some(list),
    };
    for told in list.and_then(Value::as_array_mut).into_iter().flatten() {
        let Some(record) = told.get("key").and_then(Value::as_str).map(str::to_owned) else { continue };
        for side in ["before", "after"] {
            if let Some(value) = told.get_mut(side) {
                run.value(&record, value)?;
            }
        }
    }
    Ok(())
}
