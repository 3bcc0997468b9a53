//! A transaction as etcd wants it: each key once, within etcd's bounds.

use std::collections::BTreeSet;

use prost::Message as _;

use super::super::load::entry;
use super::super::names::{Names, Space};
use super::super::wire::{self, KeyValue, RangeRequest, TxnRequest};
use super::touches_own;
use crate::{Compare, StoreError, Transaction, Write};

/// etcd's default for `--max-txn-ops` is 128; one is our marker's.
pub(in super::super) const MOST_WRITES: usize = 127;
/// etcd's default for `--max-request-bytes`.
const WHOLE_BYTES: usize = 3 << 19;
/// What is left of that for keys and values, behind what surrounds them and names the compared ones again.
pub(in super::super) const MOST_BYTES: usize = WHOLE_BYTES - (64 << 10);
/// The longest time to live that etcd takes is 285 years; ours is a hundred.
const LONGEST_SECS: u64 = 100 * 365 * 24 * 3600;

/// A transaction that etcd may take.
pub(super) struct Prepared {
    compare: Vec<(String, Vec<u8>, Compare)>,
    /// Each key once, in the order of their last writes.
    writes: Vec<(Vec<u8>, Write)>,
    lives: BTreeSet<u64>,
    bytes: usize,
    /// Whether it writes keys of our own.
    pub(super) own: bool,
}

impl Prepared {
    /// Checks what can be checked here.
    pub(super) fn new(names: &Names, transaction: Transaction) -> Result<Self, StoreError> {
        let named = |key: &str| match Space::of(key) {
            Some(space)
                if !key.ends_with('/') && names.of_etcd(space, &names.in_etcd(space, key)).is_some() =>
            {
                Ok(names.in_etcd(space, key))
            }
            _ => Err(StoreError::ReadOnly(format!("{key:?} is no key below /apisix/ or /usher/"))),
        };
        let (bytes, own) = (transaction.bytes(), touches_own(&transaction));
        let mut compare = Vec::with_capacity(transaction.compare.len());
        for (key, wanted) in transaction.compare {
            compare.push((named(&key)?, key, wanted));
        }
        let compare: Vec<_> = compare.into_iter().map(|(name, key, wanted)| (key, name, wanted)).collect();
        let mut seen = BTreeSet::new();
        let mut writes = Vec::with_capacity(transaction.writes.len());
        let mut lives = BTreeSet::new();
        for write in transaction.writes.into_iter().rev() {
            if seen.insert(write.key().to_owned()) {
                if let Write::Put { ttl_secs: Some(secs), .. } = &write {
                    lives.insert((*secs).clamp(1, LONGEST_SECS));
                }
                writes.push((named(write.key())?, write));
            }
        }
        writes.reverse();
        let most = writes.len().max(compare.len());
        if most > MOST_WRITES {
            return Err(StoreError::TooManyWrites { writes: most, limit: MOST_WRITES });
        }
        if bytes > MOST_BYTES {
            return Err(StoreError::TooLarge { bytes, limit: MOST_BYTES });
        }
        Ok(Self { compare, writes, lives, bytes, own })
    }

    /// The times to live that keys are given, each once, in seconds.
    pub(super) fn lives(&self) -> impl Iterator<Item = &u64> {
        self.lives.iter()
    }

    /// The request, with a lease for each time to live. Where it isn't done, it reads what is compared.
    pub(super) fn request(&self, leases: &[(u64, i64)]) -> TxnRequest {
        let lease = |ttl_secs: &Option<u64>| {
            let secs = ttl_secs.map(|secs| secs.clamp(1, LONGEST_SECS));
            leases.iter().find(|(life, _)| Some(*life) == secs).map_or(0, |(_, lease)| *lease)
        };
        let compare = self.compare.iter().map(|(_, name, wanted)| match wanted {
            Compare::Absent => wire::is_there(name.clone(), false),
            Compare::Exists => wire::is_there(name.clone(), true),
            Compare::Modified(revision) => {
                wire::modified_at(name.clone(), i64::try_from(*revision).unwrap_or(i64::MAX))
            }
        });
        let success = self.writes.iter().map(|(name, write)| match write {
            Write::Put { value, ttl_secs, .. } => wire::put(name.clone(), value.to_vec(), lease(ttl_secs)),
            Write::Delete { .. } => wire::delete(name.clone()),
        });
        let failure = self
            .compare
            .iter()
            .map(|(_, name, _)| wire::read(RangeRequest { keys_only: true, ..wire::one(name.clone()) }));
        TxnRequest { compare: compare.collect(), success: success.collect(), failure: failure.collect() }
    }

    /// Whether all of it, as it is sent, is within etcd's bound.
    pub(super) fn check_whole(&self, request: &TxnRequest) -> Result<(), StoreError> {
        // etcd wraps the request into a record of its own.
        if request.encoded_len() + 512 > WHOLE_BYTES {
            return Err(StoreError::TooLarge { bytes: self.bytes, limit: MOST_BYTES });
        }
        Ok(())
    }

    /// The first comparison that doesn't hold.
    pub(super) fn conflict(&self, found: &[KeyValue]) -> Option<StoreError> {
        self.compare.iter().find_map(|(key, name, wanted)| {
            let there = found.iter().find(|one| one.key == *name);
            let there = there.map(|one| entry(key.as_str().into(), one.clone()));
            wanted.check(key, there.as_ref()).err()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{MOST_BYTES, MOST_WRITES, Prepared};
    use crate::etcd::names::Names;
    use crate::etcd::wire::{self, KeyValue};
    use crate::{Compare, StoreError, Transaction};

    fn prepare(transaction: Transaction) -> Result<Prepared, StoreError> {
        Prepared::new(&Names::new("/apisix"), transaction)
    }

    #[test]
    fn each_key_is_written_once_and_the_last_write_wins() {
        let transaction = Transaction::default()
            .put("/apisix/routes/1", "a")
            .put_for("/apisix/routes/2", "b", Some(60))
            .delete("/apisix/routes/1");
        let request = prepare(transaction).unwrap().request(&[(60, 7)]);
        let wanted = [
            wire::put(b"/apisix/routes/2".to_vec(), b"b".to_vec(), 7),
            wire::delete(b"/apisix/routes/1".to_vec()),
        ];
        assert_eq!(request.success, wanted);
    }

    #[test]
    fn what_etcd_would_refuse_is_refused_before() {
        let many = |count: usize| {
            (0..count).fold(Transaction::default(), |all, id| all.put(format!("/apisix/routes/{id}"), "x"))
        };
        assert!(prepare(many(MOST_WRITES)).is_ok());
        assert_eq!(
            prepare(many(MOST_WRITES + 1)).err(),
            Some(StoreError::TooManyWrites { writes: MOST_WRITES + 1, limit: MOST_WRITES })
        );
        let large = Transaction::default().put("/apisix/routes/1", vec![b'x'; MOST_BYTES]);
        assert!(matches!(prepare(large).err(), Some(StoreError::TooLarge { .. })));
        for key in ["/other/1", "/apisix/", "/apisix/usher/writers/1", "/usher/", "/apisix"] {
            let refused = prepare(Transaction::default().put(key, "x")).err();
            assert!(matches!(refused, Some(StoreError::ReadOnly(_))), "{key}: {refused:?}");
        }
    }

    #[test]
    fn a_conflict_names_what_was_expected_and_found() {
        let transaction = Transaction::default()
            .expect("/apisix/routes/1", Compare::Modified(3))
            .expect("/apisix/routes/2", Compare::Absent);
        let prepared = prepare(transaction).unwrap();
        let at =
            |key: &str, revision| KeyValue { key: key.into(), mod_revision: revision, ..KeyValue::default() };
        assert_eq!(prepared.conflict(&[at("/apisix/routes/1", 3)]), None);
        let found = [at("/apisix/routes/1", 3), at("/apisix/routes/2", 9)];
        let conflict = StoreError::Conflict {
            key: "/apisix/routes/2".to_owned(),
            expected: "nothing".to_owned(),
            found: "revision 9".to_owned(),
        };
        assert_eq!(prepared.conflict(&found), Some(conflict));
    }
}
