//! The history in the store: one entry an applied change, written in the transaction that it tells of.
//!
//! Keys carry the revision with leading zeros, so that a reverse listing gives the newest first. Values are those of the store, secrets
//! sealed for the record they belong to: an undo can put the very bytes back.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use usher_model::change::{Change, Door, Principal, Risk, Role};
use usher_model::kind::Key;

use super::plan::Plan;
use super::request::{Entry, HistoryQuery};
use super::vault::Vault;
use super::world::Move;
use super::{Service, ServiceError};

/// What every key of the history begins with.
pub(super) const PREFIX: &str = "/usher/history/";

/// Entries that a query gives unless it says otherwise, and at most.
const USUAL: usize = 20;
const MOST: usize = 200;

/// Entries that are read at a time.
const PAGE: usize = 100;

/// An entry as it is stored.
#[derive(Serialize, Deserialize)]
pub(super) struct Record {
    unix_ms: u64,
    principal: String,
    role: Role,
    door: Door,
    intent: Option<String>,
    plan: String,
    risk: Risk,
    approval: String,
    pub(super) undoes: Option<u64>,
    pub(super) changes: Vec<Moved>,
}

/// One resource before and after, as it is stored.
#[derive(Serialize, Deserialize)]
pub(super) struct Moved {
    key: String,
    pub(super) before: Option<Value>,
    pub(super) after: Option<Value>,
}

impl Moved {
    pub(super) fn key(&self) -> Option<Key> {
        Key::parse(&self.key)
    }
}

/// The key of the entry of a revision.
pub(super) fn key(revision: u64) -> String {
    format!("{PREFIX}{revision:020}")
}

impl Record {
    /// The entry of a plan that is about to be applied.
    pub(super) fn of(who: &Principal, plan: &Plan, approval: String, moves: Vec<Move>) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            unix_ms: u64::try_from(now.as_millis()).unwrap_or(u64::MAX),
            principal: who.name.clone(),
            role: who.role,
            door: who.door,
            intent: plan.intent.clone(),
            plan: plan.id.clone(),
            risk: plan.risk,
            approval,
            undoes: plan.undoes,
            changes: moves
                .into_iter()
                .map(|moved| Moved { key: moved.key.path(), before: moved.before, after: moved.after })
                .collect(),
        }
    }

    fn entry(self, revision: u64, vault: &Vault) -> Entry {
        let changes = self.changes.into_iter().filter_map(|mut moved| {
            let key = moved.key()?;
            for value in [&mut moved.before, &mut moved.after].into_iter().flatten() {
                vault.mask(&key, value);
            }
            Some(Change { key, before: moved.before, after: moved.after })
        });
        Entry {
            revision,
            unix_ms: self.unix_ms,
            principal: self.principal,
            role: self.role,
            door: self.door,
            intent: self.intent,
            plan: self.plan,
            risk: self.risk,
            approval: self.approval,
            changes: changes.collect(),
            undoes: self.undoes,
        }
    }
}

/// Walks through the history, newest first, a page at a time.
pub(super) struct Walk<'a> {
    service: &'a Service,
    page: std::vec::IntoIter<usher_store::Entry>,
    last: Option<String>,
    ended: bool,
}

impl<'a> Walk<'a> {
    /// Begins behind `before`, or with the newest.
    pub(super) fn new(service: &'a Service, before: Option<u64>) -> Self {
        Self { service, page: Vec::new().into_iter(), last: before.map(key), ended: false }
    }

    /// The next older entry's revision and bytes.
    async fn next_raw(&mut self) -> Result<Option<(u64, bytes::Bytes)>, ServiceError> {
        loop {
            if let Some(entry) = self.page.next() {
                let revision = entry.key.strip_prefix(PREFIX).and_then(|digits| digits.parse().ok());
                self.last = Some(entry.key.to_string());
                if let Some(revision) = revision {
                    return Ok(Some((revision, entry.value)));
                }
            } else if self.ended {
                return Ok(None);
            } else {
                let page =
                    self.service.store().list_page(PREFIX, self.last.as_deref(), PAGE, true).await?.entries;
                self.ended = page.len() < PAGE;
                self.page = page.into_iter();
            }
        }
    }

    /// The next older entry.
    pub(super) async fn next(&mut self) -> Result<Option<(u64, Record)>, ServiceError> {
        match self.next_raw().await? {
            Some((revision, bytes)) => Ok(Some((revision, parse(revision, &bytes)?))),
            None => Ok(None),
        }
    }
}

fn parse(revision: u64, bytes: &[u8]) -> Result<Record, ServiceError> {
    serde_json::from_slice(bytes).map_err(|_| {
        ServiceError::Damaged(format!(
            "the history entry of revision {revision} can't be read: it is damaged"
        ))
    })
}

impl Service {
    /// The entry of one revision.
    pub(super) async fn record(&self, revision: u64) -> Result<Option<Record>, ServiceError> {
        match self.store().get(&key(revision)).await? {
            Some(entry) => parse(revision, &entry.value).map(Some),
            None => Ok(None),
        }
    }

    pub(super) async fn read_history(&self, query: HistoryQuery) -> Result<Vec<Entry>, ServiceError> {
        let limit = if query.limit == 0 { USUAL } else { query.limit.min(MOST) };
        let wanted = query.key.as_ref().map(Key::path);
        // The key stands in the bytes as it is, so that what speaks of others is not even parsed.
        let quoted = wanted.as_ref().map(|path| format!("\"{path}\""));
        let mut walk = Walk::new(self, query.before);
        let mut entries = Vec::new();
        while entries.len() < limit
            && let Some((revision, bytes)) = walk.next_raw().await?
        {
            let may_fit = quoted.as_ref().is_none_or(|quoted| {
                std::str::from_utf8(&bytes).is_ok_and(|text| text.contains(quoted.as_str()))
            });
            if !may_fit {
                continue;
            }
            let record = parse(revision, &bytes)?;
            if wanted.as_ref().is_none_or(|path| record.changes.iter().any(|moved| moved.key == *path)) {
                entries.push(record.entry(revision, &self.vault));
            }
        }
        Ok(entries)
    }
}
