//! A transaction: what it expects of keys, and what it writes.

use bytes::Bytes;

use crate::{Entry, MAX_TRANSACTION_BYTES, Revision, StoreError};

/// What a key has to look like for a transaction to commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compare {
    /// Nothing is there.
    Absent,
    /// Something is there.
    Exists,
    /// It was last changed by this revision.
    Modified(Revision),
}

/// One write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Puts a value under a key.
    Put {
        /// The key.
        key: String,
        /// The value.
        value: Bytes,
        /// After how many seconds the store deletes the key by itself; `None` keeps it.
        ttl_secs: Option<u64>,
    },
    /// Deletes a key; nothing happens where there is none.
    Delete {
        /// The key.
        key: String,
    },
}

impl Write {
    /// The key that it writes.
    pub(crate) fn key(&self) -> &str {
        let (Self::Put { key, .. } | Self::Delete { key }) = self;
        key
    }
}

/// Comparisons and writes that happen together or not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transaction {
    /// What keys have to look like.
    pub compare: Vec<(String, Compare)>,
    /// What is written; a later write of the same key wins.
    pub writes: Vec<Write>,
}

impl Transaction {
    /// The same with one more comparison.
    #[must_use]
    pub fn expect(mut self, key: impl Into<String>, compare: Compare) -> Self {
        self.compare.push((key.into(), compare));
        self
    }

    /// The same with one more value.
    #[must_use]
    pub fn put(self, key: impl Into<String>, value: impl Into<Bytes>) -> Self {
        self.put_for(key, value, None)
    }

    /// The same with one more value, which the store deletes after so many seconds unless it is written again.
    #[must_use]
    pub fn put_for(mut self, key: impl Into<String>, value: impl Into<Bytes>, ttl_secs: Option<u64>) -> Self {
        self.writes.push(Write::Put { key: key.into(), value: value.into(), ttl_secs });
        self
    }

    /// The same with one more deletion.
    #[must_use]
    pub fn delete(mut self, key: impl Into<String>) -> Self {
        self.writes.push(Write::Delete { key: key.into() });
        self
    }

    /// The bytes of the keys and values that it writes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let bytes = self.writes.iter().map(|write| match write {
            Write::Put { key, value, .. } => key.len() + value.len(),
            Write::Delete { key } => key.len(),
        });
        bytes.sum()
    }

    pub(crate) fn check_size(&self) -> Result<(), StoreError> {
        let bytes = self.bytes();
        if bytes > MAX_TRANSACTION_BYTES {
            return Err(StoreError::TooLarge { bytes, limit: MAX_TRANSACTION_BYTES });
        }
        Ok(())
    }
}

impl Compare {
    pub(crate) fn check(self, key: &str, found: Option<&Entry>) -> Result<(), StoreError> {
        let good = match self {
            Self::Absent => found.is_none(),
            Self::Exists => found.is_some(),
            Self::Modified(revision) => found.is_some_and(|entry| entry.modified == revision),
        };
        if good {
            return Ok(());
        }
        let expected = match self {
            Self::Absent => "nothing".to_owned(),
            Self::Exists => "something".to_owned(),
            Self::Modified(revision) => format!("revision {revision}"),
        };
        let found =
            found.map_or_else(|| "nothing".to_owned(), |entry| format!("revision {}", entry.modified));
        Err(StoreError::Conflict { key: key.to_owned(), expected, found })
    }
}
