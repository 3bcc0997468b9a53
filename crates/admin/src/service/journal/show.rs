//! The history as readers see it: masked, and only what lies in their scope.

use std::sync::Arc;

use serde_json::Value;
use usher_model::change::{Change, Principal};
use usher_model::kind::Key;

use super::walk::{Found, Walk, parse};
use crate::service::request::{Entry, HistoryQuery};
use crate::service::{Service, ServiceError};

/// Entries that a query gives unless it says otherwise, and at most.
const USUAL: usize = 20;
const MOST: usize = 200;

/// Changes of an entry that a query shows.
const SHOWN: usize = 1000;

impl Service {
    pub(in crate::service) async fn read_history(
        &self,
        who: &Principal,
        query: HistoryQuery,
    ) -> Result<Vec<Entry>, ServiceError> {
        let limit = if query.limit == 0 { USUAL } else { query.limit.min(MOST) };
        let wanted = query.key.as_ref().map(Key::path);
        // The key stands in the bytes as it is, so that what speaks of others is not even parsed.
        let quoted = wanted.as_ref().map(|path| format!("\"{path}\""));
        let mut walk = match query.before {
            Some(before) => Walk::near(self, before),
            None => Walk::new(self),
        };
        let mut entries = Vec::new();
        while entries.len() < limit
            && let Some(raw) = walk.next_raw().await?
        {
            if query.before.is_some_and(|before| raw.entry.created >= before) {
                continue;
            }
            let holds = |quoted: &String| {
                std::str::from_utf8(&raw.entry.value)
                    .is_ok_and(|text| text.contains(quoted.as_str()) || text.contains("\"parts\":"))
            };
            if !quoted.as_ref().is_none_or(holds) {
                continue;
            }
            let mut found = parse(raw)?;
            if let Some(path) = &wanted {
                if found.record.parts > 0 {
                    // Of a large change that is asked for by one object, that object is shown whatever its place.
                    let mut changes = self.all_changes(&mut found).await?;
                    changes.retain(|moved| moved.key == *path);
                    found.record.changes = changes;
                }
                if !found.record.changes.iter().any(|moved| moved.key == *path) {
                    continue;
                }
            }
            entries.extend(self.shown_entry(who, found).await?);
        }
        Ok(entries)
    }

    /// An entry as a reader may see it; `None` where all of it lies outside the reader's scope.
    async fn shown_entry(&self, who: &Principal, found: Found) -> Result<Option<Entry>, ServiceError> {
        let Found { revision, record, .. } = found;
        let total = record.total();
        let shown = self.shown_moves(&who.scope, &record.changes, revision).await?;
        let changes: Vec<Change> = record
            .changes
            .into_iter()
            .zip(shown)
            .filter_map(|(moved, is_shown)| is_shown.then_some(moved))
            .take(SHOWN)
            .filter_map(|moved| {
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
            })
            .collect();
        if !who.scope.is_all() && changes.is_empty() {
            return Ok(None);
        }
        let whole = changes.len() == total || who.scope.is_all();
        Ok(Some(Entry {
            revision,
            unix_ms: record.unix_ms,
            principal: record.principal,
            role: record.role,
            door: record.door,
            // It speaks of the whole change.
            intent: record.intent.filter(|_| whole),
            plan: record.plan,
            risk: record.risk,
            approval: record.approval,
            total: if who.scope.is_all() { total } else { changes.len() },
            changes,
            step: record.step,
            undoes: record.undoes,
            missed: record.missed.as_ref().filter(|_| who.scope.is_all()).map_or(0, |missed| missed.total),
            missed_keys: record
                .missed
                .filter(|_| who.scope.is_all())
                .map(|missed| missed.keys.iter().filter_map(|key| Key::parse(key)).collect())
                .unwrap_or_default(),
        }))
    }
}
