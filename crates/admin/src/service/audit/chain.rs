//! The chain itself: how a record is closed, where it is kept, and how all of it is checked.

use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use usher_model::change::{Door, Principal, Role};
use usher_store::{Entry, Transaction};

use super::{AuditAnchor, AuditEvent, AuditRecord, AuditVerdict, Event};
use crate::service::head::Head;
use crate::service::{Service, ServiceError, encoded, unix_ms};

/// What every key of the audit begins with.
pub(super) const PREFIX: &str = "/usher/audit/";

/// Records that are read at a time.
const PAGE: usize = 500;

/// Records that are cut off at a time: few enough for one transaction of any store.
const CUT: u64 = 64;

/// The newest record of the chain.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::service) struct Link {
    /// Its number.
    number: u64,
    /// Its digest, in hex.
    digest: String,
    /// The number of the last record that was cut off.
    #[serde(default)]
    cut: u64,
}

impl Link {
    /// The number of the newest record.
    pub(in crate::service) const fn number(&self) -> u64 {
        self.number
    }
}

/// The key of a record.
pub(in crate::service) fn key(number: u64) -> String {
    format!("{PREFIX}{number:020}")
}

/// The digest of what is stored, in hex.
pub(super) fn digest_of(text: &[u8]) -> String {
    hex(text)
}

/// The SHA-256 of some bytes, in hex.
pub(in crate::service) fn hex(bytes: &[u8]) -> String {
    digest(&SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The digest that a record has to have.
fn closing(record: &AuditRecord) -> Result<String, ServiceError> {
    let open = AuditRecord { digest: String::new(), ..record.clone() };
    Ok(hex(&encoded(&open)?))
}

/// Writes the next record into a transaction.
pub(in crate::service) fn append(
    who: &Principal,
    event: Event,
    head: &mut Head,
    transaction: Transaction,
) -> Result<Transaction, ServiceError> {
    let Event { event, about, plan, approval, changes, total, anchor } = event;
    let mut record = AuditRecord {
        number: head.audit.number + 1,
        unix_ms: unix_ms(),
        event,
        principal: who.name.clone(),
        role: who.role,
        door: who.door,
        about,
        plan,
        approval,
        changes,
        total,
        anchor,
        previous: head.audit.digest.clone(),
        digest: String::new(),
    };
    record.digest = closing(&record)?;
    head.audit.number = record.number;
    head.audit.digest.clone_from(&record.digest);
    Ok(transaction.put(key(record.number), encoded(&record)?))
}

/// A record as it is stored.
pub(super) fn read(entry: &Entry) -> Result<AuditRecord, ServiceError> {
    serde_json::from_slice(&entry.value).map_err(|_| {
        ServiceError::Damaged(format!("the record of the audit under {} can't be read", entry.key))
    })
}

/// What is said of a record whose digest is not its own.
pub(in crate::service) const ALTERED: &str = "it was altered: its digest is another";

/// Whether a record is the next one behind `before`, whose number and digest are given; the first one may be any.
pub(in crate::service) fn follows(
    before: Option<(u64, &str)>,
    number: u64,
    previous: &str,
) -> Result<(), String> {
    match before {
        Some((last, _)) if last + 1 != number => Err(format!("it follows upon number {last}")),
        Some((_, digest)) if digest != previous => {
            Err("it follows upon another record than the one before it".to_owned())
        }
        _ => Ok(()),
    }
}

/// A check on its way through the records.
struct Check {
    verdict: AuditVerdict,
    /// The record before the next one.
    before: Option<(u64, String)>,
    /// The newest anchor that was met, and the place where the records that are kept begin.
    anchor: Option<AuditAnchor>,
    begin: Option<(u64, String)>,
}

impl Check {
    fn take(&mut self, entry: &Entry) -> Result<(), String> {
        let record = read(entry).map_err(|_| "it can't be read".to_owned())?;
        let number = record.number;
        if key(number) != *entry.key {
            return Err(format!("it says that it is number {number}"));
        }
        let whole = encoded(&record).is_ok_and(|bytes| entry.value == bytes);
        if !whole || closing(&record).ok().as_ref() != Some(&record.digest) {
            return Err(ALTERED.to_owned());
        }
        let before = self.before.as_ref().map(|(number, digest)| (*number, digest.as_str()));
        follows(before, number, &record.previous)?;
        if before.is_none() {
            self.begin = Some((number, record.previous.clone()));
        }
        self.before = Some((number, record.digest));
        if record.anchor.is_some() {
            self.anchor = record.anchor;
        }
        Ok(())
    }

    /// Whether the first record is where the chain begins, and the last one where it ends.
    fn ends(&self, head: &Link) -> Result<(), (u64, String)> {
        if let Some((first, previous)) = &self.begin {
            let (number, digest) =
                self.anchor.as_ref().map_or((0, ""), |anchor| (anchor.number, anchor.digest.as_str()));
            if *first != number + 1 {
                return Err((
                    *first,
                    format!("records {} to {} before it are missing", number + 1, first - 1),
                ));
            }
            if previous != digest {
                return Err((
                    *first,
                    "it follows upon another record than the one that was cut off".to_owned(),
                ));
            }
        }
        let last = self.before.as_ref().map_or((0, ""), |(number, digest)| (*number, digest.as_str()));
        if last == (head.number, head.digest.as_str()) {
            return Ok(());
        }
        Err((last.0 + 1, format!("the audit ended with number {}", head.number)))
    }
}

impl Service {
    pub(super) async fn verify_chain(&self) -> Result<AuditVerdict, ServiceError> {
        let verdict = AuditVerdict { records: 0, first: None, last: None, broken: None };
        let mut check = Check { verdict, before: None, anchor: None, begin: None };
        // Up to the head of now: what is written meanwhile isn't looked at.
        let head = self.head().await?.audit;
        let mut last: Option<String> = None;
        'pages: loop {
            let page = self.store().list_page(PREFIX, last.as_deref(), PAGE, false).await?.entries;
            for entry in &page {
                let number = entry.key.strip_prefix(PREFIX).and_then(|digits| digits.parse::<u64>().ok());
                if number.is_some_and(|number| number > head.number) {
                    break 'pages;
                }
                let number = number.unwrap_or_default();
                check.verdict.records += 1;
                check.verdict.first = check.verdict.first.or(Some(number));
                check.verdict.last = Some(number);
                if let Err(why) = check.take(entry) {
                    check.verdict.broken = Some((number, why));
                    return Ok(check.verdict);
                }
            }
            if page.len() < PAGE {
                break;
            }
            last = page.last().map(|entry| entry.key.to_string());
        }
        check.verdict.broken = check.ends(&head).err();
        Ok(check.verdict)
    }

    /// Cuts off the oldest records where there are too many. What could not be cut now is cut next time.
    pub(in crate::service) async fn trim_audit(&self, head: &Head) {
        if !self.wants_trim(head) {
            return;
        }
        let at_once = CUT.min(self.parts.rules.audit_kept.max(1).div_ceil(2));
        if let Err(error) = self.cut_audit(at_once).await {
            tracing::warn!(%error, "the oldest records of the audit could not be cut off");
        }
    }

    /// Whether there are too many records.
    pub(in crate::service) fn wants_trim(&self, head: &Head) -> bool {
        let kept = self.parts.rules.audit_kept.max(1);
        let at_once = CUT.min(kept.div_ceil(2));
        head.audit.number - head.audit.cut >= kept + at_once
    }

    async fn cut_audit(&self, count: u64) -> Result<(), ServiceError> {
        let mut head = self.head().await?;
        let (first, last) = (head.audit.cut + 1, head.audit.cut + count);
        let Some(entry) = self.store().get(&key(last)).await? else {
            return Err(ServiceError::Damaged(format!("record {last} of the audit is missing")));
        };
        let anchor = AuditAnchor { number: last, digest: read(&entry)?.digest };
        let about =
            format!("records {first} to {last} were cut off, {} are kept", self.parts.rules.audit_kept);
        let event = Event { anchor: Some(anchor), ..Event::new(AuditEvent::Cut, &about) };
        let usher = Principal::new("usher", Role::Admin, Door::Usher);
        let begun = head.begin();
        let mut transaction = append(&usher, event, &mut head, begun)?;
        head.audit.cut = last;
        transaction = head.put(transaction)?;
        for number in first..=last {
            transaction = transaction.delete(key(number));
        }
        self.store().commit(transaction).await?;
        Ok(())
    }
}
