//! Changing the key that secrets are sealed with: which records an older key sealed, and sealing those anew.
//!
//! The history holds the sealed texts of the resources that it tells of; all are sealed anew alike, in whichever run, so that an undo still finds
//! what it expects. Once nothing is left, the older key can be taken out of the keyring. Nothing that anybody reads changes, so the history says
//! nothing of it; the audit does.

use std::collections::HashSet;

use serde_json::Value;
use usher_model::change::Principal;
use usher_model::kind::Key;
use usher_model::seal::{BadSeal, Reseal};
use usher_store::{Compare, Entry, StoreError, Transaction};

use super::super::audit::{AuditEvent, Event};
use super::super::{Service, ServiceError, chat_model, consent, pack, ring};

/// What the keys begin with of all records that hold sealed texts: resources, the chat's model, the history, and plans of several steps.
const PREFIXES: [&str; 5] =
    ["/apisix/", chat_model::PREFIX, "/usher/history/", "/usher/history-parts/", "/usher/steps/"];

/// Records that are read at a time.
const PAGE: usize = 200;

/// Pages of one call: the next one goes on behind them.
const PAGES: usize = 10;

/// Records and bytes that one transaction seals anew; every store takes so many. A larger record goes alone.
const WRITES: usize = 50;
const BYTES: usize = 512 << 10;

/// How often a page is tried when somebody else writes to its records.
const TRIES: usize = 8;

/// The keys that secrets are sealed with, and what is left for the older ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyringState {
    /// The names of the keys, the newest first; they say nothing of the keys.
    pub keys: Vec<String>,
    /// The keys in the store of records that hold a secret which an older key sealed.
    pub older: Vec<String>,
}

/// How far a part of sealing anew came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resealed {
    /// Records that were sealed anew.
    pub records: usize,
    /// What to begin the next part behind; `None`: all is done.
    pub next: Option<String>,
}

/// A record that holds something which an older key sealed.
struct Older {
    key: String,
    modified: u64,
    value: Value,
    packed: bool,
}

impl Service {
    /// The keys of the keyring, and which records an older one sealed.
    ///
    /// # Errors
    /// Only an admin of everything may know; the store can't be read.
    pub async fn keyring(&self, who: &Principal) -> Result<KeyringState, ServiceError> {
        let older = self.older_seals(who).await?;
        let keys = self.parts.keyring.ids().into_iter().map(str::to_owned).collect();
        Ok(KeyringState { keys, older })
    }

    /// The keys in the store, of resources, of the history and of Usher itself, that hold something which another key than the first of the
    /// keyring sealed.
    ///
    /// # Errors
    /// Only an admin of everything may know; the store can't be read.
    pub async fn older_seals(&self, who: &Principal) -> Result<Vec<String>, ServiceError> {
        consent::may_rule(who)?;
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
        if ring::is_older(self.store(), &self.parts.keyring).await? {
            found.push(ring::KEY.to_owned());
        }
        Ok(found)
    }

    /// Seals anew with the first key what older ones sealed, and says how many records that were. What it did stays done when it fails, so that
    /// it can simply be called again. Objects that end by themselves are left to that.
    ///
    /// # Errors
    /// As for [`Service::seal_some_anew`].
    pub async fn seal_anew(&self, who: &Principal) -> Result<usize, ServiceError> {
        let (mut count, mut after) = (0, None);
        loop {
            let Resealed { records, next } = self.seal_some_anew(who, after.as_deref()).await?;
            count += records;
            after = next;
            if after.is_none() {
                return Ok(count);
            }
        }
    }

    /// The same for at most 2,000 records behind `after`: others get their turn in between, and whoever asked can tell how far it is.
    ///
    /// # Errors
    /// Only an admin of everything may; a plan in steps is unfinished, whose steps expect the objects as they were; a secret can't be opened with
    /// any key that is here; the store can't be written.
    pub async fn seal_some_anew(
        &self,
        who: &Principal,
        after: Option<&str>,
    ) -> Result<Resealed, ServiceError> {
        self.noted(who, consent::may_rule(who)).await?;
        self.may_be_written(&self.capabilities(), None)?;
        if let Some(open) = self.unfinished(who).await?.first() {
            return Err(ServiceError::Conflict(format!(
                "plan {} is unfinished, and its steps expect the objects as they are; finish it, or give it up, and seal anew then",
                open.plan
            )));
        }
        let outcome = self.seal_part(after).await;
        if let Ok(Resealed { records, .. }) = &outcome
            && *records > 0
        {
            let about = format!("{records} records were sealed anew with the newest key");
            let event = Event::new(AuditEvent::Resealed, &about).of(*records);
            self.told_with(who, event, Transaction::default()).await?;
            tracing::info!(principal = %who.name, records, "secrets were sealed anew with the newest key");
        }
        outcome
    }

    async fn seal_part(&self, after: Option<&str>) -> Result<Resealed, ServiceError> {
        let ending: HashSet<String> =
            self.store().leases().await?.into_iter().map(|lease| lease.key.to_string()).collect();
        let run = Reseal::new(&self.parts.keyring);
        let begun = after.and_then(|after| PREFIXES.iter().position(|prefix| after.starts_with(prefix)));
        let (mut count, mut pages, mut after) = (0, 0, after.map(str::to_owned));
        for prefix in PREFIXES.into_iter().skip(begun.unwrap_or_default()) {
            after = after.filter(|after| after.starts_with(prefix));
            let mut tries = 0;
            loop {
                if pages == PAGES {
                    // Where the page before was the last of its kind, the next part begins with the next kind.
                    return Ok(Resealed {
                        records: count,
                        next: Some(after.unwrap_or_else(|| prefix.to_owned())),
                    });
                }
                let _writing = self.turns.alone().await;
                let (mut older, next) = self.older(prefix, after.as_deref()).await?;
                older.retain(|older| !ending.contains(&older.key));
                match self.write_anew(run, older).await {
                    Ok(done) => count += done,
                    Err(ServiceError::Store(StoreError::Conflict { .. })) if tries < TRIES => {
                        tries += 1;
                        continue;
                    }
                    Err(error) => return Err(error),
                }
                (after, tries) = (next, 0);
                pages += 1;
                if after.is_none() {
                    break;
                }
            }
        }
        // Last of all: as long as this is sealed by an older key, nobody without that key is let in.
        count += usize::from(ring::leave_anew(self.store(), &self.parts.keyring).await?);
        Ok(Resealed { records: count, next: None })
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

    async fn write_anew(&self, run: Reseal<'_>, older: Vec<Older>) -> Result<usize, ServiceError> {
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

fn read(entry: &Entry) -> Option<Older> {
    let (value, packed) = match serde_json::from_slice(&entry.value) {
        Ok(value) => (value, false),
        Err(_) => (serde_json::from_slice(&pack::unpack(&entry.value)?).ok()?, true),
    };
    Some(Older { key: entry.key.to_string(), modified: entry.modified, value, packed })
}

/// Seals anew inside a record. An entry of the history, a part of one, or a step lists what it tells of, each with the record that its secrets
/// belong to.
fn seal(run: Reseal<'_>, key: &str, value: &mut Value) -> Result<(), BadSeal> {
    if Key::parse(key).is_some() || key.starts_with(chat_model::PREFIX) {
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
