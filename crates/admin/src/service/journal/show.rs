//! The history as readers see it: masked, and only what lies in their scope.

use usher_model::change::Principal;
use usher_model::kind::Key;

use super::Moved;
use super::walk::{FIRST, Found, Walk, first, parse};
use crate::service::request::{Entry, HistoryQuery};
use crate::service::{Service, ServiceError};

/// Entries that a query gives unless it says otherwise, and at most.
const USUAL: usize = 20;
const MOST: usize = 200;

/// How many objects changed.
#[derive(Clone, Copy)]
pub(super) struct Of {
    /// In all.
    pub(super) all: usize,
    /// Of those, as many as the reader may know of.
    pub(super) seen: usize,
}

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
            let (mut found, all) = if who.scope.is_all() && wanted.is_none() {
                first(raw)?
            } else {
                let found = parse(raw)?;
                let all = found.record.total();
                (found, all)
            };
            let mut changes = match wanted {
                Some(_) => self.all_changes(&mut found).await?,
                None => std::mem::take(&mut found.record.changes),
            };
            let is_wanted = |moved: &Moved| wanted.as_ref().is_none_or(|path| moved.key == *path);
            if wanted.is_some() && !changes.iter().any(is_wanted) {
                continue;
            }
            changes = self.in_scope(who, changes, found.revision).await?;
            let of = Of { all, seen: if who.scope.is_all() { all } else { changes.len() } };
            // Of a large change that is asked for by one object, that object is shown whatever its place.
            changes.retain(is_wanted);
            entries.extend(self.told(who, found, &changes, of));
        }
        Ok(entries)
    }

    /// An entry as a reader may see it, with the first of what it changed; `None` where nothing of it lies in the reader's scope.
    pub(super) fn told(&self, who: &Principal, found: Found, changes: &[Moved], of: Of) -> Option<Entry> {
        let Found { revision, record, .. } = found;
        if !who.scope.is_all() && changes.is_empty() {
            return None;
        }
        let whole = of.seen == of.all;
        Some(Entry {
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
            total: of.seen,
            changes: changes.iter().take(FIRST).cloned().filter_map(|moved| self.masked(moved)).collect(),
            step: record.step,
            undoes: record.undoes,
            missed: record.missed.as_ref().filter(|_| who.scope.is_all()).map_or(0, |missed| missed.total),
            missed_keys: record
                .missed
                .filter(|_| who.scope.is_all())
                .map(|missed| missed.keys.iter().filter_map(|key| Key::parse(key)).collect())
                .unwrap_or_default(),
        })
    }
}
