//! One commit of the data file, before and while it is written.

use std::sync::Arc;

use redb::{Durability, ReadableTable as _, ReadableTableMetadata as _, Table, WriteTransaction};

use super::rows::{COUNT, ENTRIES, FORMAT, LEASES, META, REVISION, THIS_FORMAT, decode, encode};
use super::{Fault, fault};
use crate::{Entry, Revision};

/// A commit that was begun.
pub(in super::super) struct Writing {
    transaction: WriteTransaction,
}

/// Its tables, opened once for all of its writes.
pub(in super::super) struct Tables<'a> {
    entries: Table<'a, &'static str, &'static [u8]>,
    leases: Table<'a, &'static str, u64>,
}

impl Writing {
    /// Two phases: the new pages are on the disk before the one byte that makes them count is written.
    pub(super) fn begin(database: &redb::Database) -> Result<Self, Fault> {
        let mut transaction = database.begin_write().map_err(fault)?;
        transaction.set_durability(Durability::Immediate).map_err(|error| Fault::Io(error.to_string()))?;
        transaction.set_two_phase_commit(true);
        Ok(Self { transaction })
    }

    pub(in super::super) fn tables(&self) -> Result<Tables<'_>, Fault> {
        Ok(Tables {
            entries: self.transaction.open_table(ENTRIES).map_err(fault)?,
            leases: self.transaction.open_table(LEASES).map_err(fault)?,
        })
    }

    /// Makes it durable, as this revision.
    pub(in super::super) fn commit(self, revision: Revision) -> Result<(), Fault> {
        let count = self.transaction.open_table(ENTRIES).map_err(fault)?.len().map_err(fault)?;
        {
            let mut meta = self.transaction.open_table(META).map_err(fault)?;
            for (name, value) in [(REVISION, revision), (COUNT, count), (FORMAT, THIS_FORMAT)] {
                meta.insert(name, value).map_err(fault)?;
            }
        }
        self.transaction.commit().map_err(fault)
    }

    pub(in super::super) fn abort(self) {
        if let Err(error) = self.transaction.abort() {
            tracing::warn!(%error, "could not give a transaction up cleanly");
        }
    }
}

impl Tables<'_> {
    pub(in super::super) fn get(&self, key: &str) -> Result<Option<Entry>, Fault> {
        let found = self.entries.get(key).map_err(fault)?;
        found.map(|value| decode(Arc::from(key), value.value())).transpose()
    }

    pub(in super::super) fn put(&mut self, entry: &Entry) -> Result<(), Fault> {
        self.entries.insert(&*entry.key, encode(entry).as_slice()).map_err(fault)?;
        Ok(())
    }

    pub(in super::super) fn delete(&mut self, key: &str) -> Result<(), Fault> {
        self.entries.remove(key).map_err(fault)?;
        Ok(())
    }

    /// Notes when a key ends, or that it stays.
    pub(in super::super) fn lease(&mut self, key: &str, until: Option<u64>) -> Result<(), Fault> {
        match until {
            Some(until) => self.leases.insert(key, until).map_err(fault)?,
            None => self.leases.remove(key).map_err(fault)?,
        };
        Ok(())
    }
}
