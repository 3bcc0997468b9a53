//! Looking for records of the audit: newest or oldest first, by who, what happened, what it was about, how it ended, and when.
//!
//! Nothing but the order of records is indexed, so that a search reads them; one search reads so many and says where the next one goes on.

use std::ops::RangeInclusive;

use usher_model::change::Principal;

use super::{AuditEvent, AuditRecord, USUAL, chain, consent};
use crate::service::{Service, ServiceError};

/// Records that are given at most.
const MOST: usize = 1000;

/// Records that are read at a time.
const PAGE: usize = 500;

/// Records that one search reads at most.
const READ: usize = 20_000;

/// How something ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditOutcome {
    /// It was done.
    Done,
    /// Somebody was denied it: a change, a login, a person's yes.
    Denied,
    /// It was begun and not brought to its end.
    Failed,
}

impl AuditEvent {
    /// How what it tells of ended.
    #[must_use]
    pub const fn outcome(self) -> AuditOutcome {
        match self {
            Self::Denied | Self::Declined | Self::LoginRefused | Self::FailedLogins => AuditOutcome::Denied,
            Self::Failed => AuditOutcome::Failed,
            _ => AuditOutcome::Done,
        }
    }
}

/// Which records are looked for; what isn't said may be anything.
#[derive(Clone, Debug)]
pub struct AuditSearch {
    /// Newest first.
    pub newest: bool,
    /// Only records on the far side of this number: behind it, or before it where the newest come first.
    pub from: Option<u64>,
    /// At most so many; 0 is 100, more than 1,000 is 1,000.
    pub limit: usize,
    /// A part of the name of who it was, whatever the case.
    pub who: Option<String>,
    /// What happened.
    pub event: Option<AuditEvent>,
    /// How it ended.
    pub outcome: Option<AuditOutcome>,
    /// A part of what it was about: of its sentence, or of a changed object as `route/1`. Of a change, the first hundred objects are known.
    pub object: Option<String>,
    /// When, in milliseconds since 1970.
    pub unix_ms: RangeInclusive<u64>,
}

impl Default for AuditSearch {
    fn default() -> Self {
        Self {
            newest: false,
            from: None,
            limit: 0,
            who: None,
            event: None,
            outcome: None,
            object: None,
            unix_ms: 0..=u64::MAX,
        }
    }
}

/// What a search found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditFound {
    /// The records, in the order asked for.
    pub records: Vec<AuditRecord>,
    /// Where the next search goes on, as [`AuditSearch::from`]; `None`: there is nothing more.
    pub next: Option<u64>,
    /// How many records were read for it.
    pub read: usize,
}

impl AuditSearch {
    fn fits(&self, record: &AuditRecord) -> bool {
        let has = |text: &str, part: &str| text.to_lowercase().contains(&part.to_lowercase());
        self.unix_ms.contains(&record.unix_ms)
            && self.event.is_none_or(|event| event == record.event)
            && self.outcome.is_none_or(|outcome| outcome == record.event.outcome())
            && self.who.as_deref().is_none_or(|who| has(&record.principal, who))
            && self.object.as_deref().is_none_or(|object| {
                has(&record.about, object)
                    || record.changes.iter().any(|change| has(&named(&change.key), object))
            })
    }

    /// Whether no record behind this one can fit: they were written in the order of time, which a clock that was set may have bent by a day.
    fn is_past(&self, record: &AuditRecord) -> bool {
        const BENT_MS: u64 = 86_400_000;
        if self.newest {
            record.unix_ms.saturating_add(BENT_MS) < *self.unix_ms.start()
        } else {
            record.unix_ms > self.unix_ms.end().saturating_add(BENT_MS)
        }
    }
}

/// A key as people write it: `route/1` for `/apisix/routes/1`.
fn named(key: &str) -> String {
    let Some((kind, id)) = key.strip_prefix("/apisix/").and_then(|rest| rest.split_once('/')) else {
        return key.to_owned();
    };
    format!("{}/{id}", kind.strip_suffix('s').unwrap_or(kind))
}

impl Service {
    /// Looks for records. Only an unscoped admin may.
    ///
    /// # Errors
    /// [`ServiceError::Forbidden`], or the store.
    pub async fn search_audit(
        &self,
        who: &Principal,
        search: &AuditSearch,
    ) -> Result<AuditFound, ServiceError> {
        self.noted(who, consent::may_rule(who)).await?;
        let limit = if search.limit == 0 { USUAL } else { search.limit.min(MOST) };
        let mut found = AuditFound { records: Vec::new(), next: None, read: 0 };
        let mut last = search.from.map(chain::key);
        loop {
            let page =
                self.store().list_page(chain::PREFIX, last.as_deref(), PAGE, search.newest).await?.entries;
            for entry in &page {
                let record = chain::read(entry)?;
                found.read += 1;
                if search.is_past(&record) {
                    return Ok(found);
                }
                let number = record.number;
                if search.fits(&record) {
                    found.records.push(record);
                }
                if found.records.len() == limit || found.read == READ {
                    found.next = Some(number);
                    return Ok(found);
                }
            }
            if page.len() < PAGE {
                return Ok(found);
            }
            last = page.last().map(|entry| entry.key.to_string());
        }
    }
}
