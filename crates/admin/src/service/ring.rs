//! One keyring for all who share a store: a sealed word in the store that everybody has to be able to open.
//!
//! With another keyring a gateway could open none of the secrets that are there, and would write some that nobody else can open.

use usher_model::seal::Keyring;
use usher_store::{Compare, Store, StoreError, Transaction};

use super::ServiceError;

/// Where the word is.
pub(super) const KEY: &str = "/usher/keyring";
/// What is sealed; it says nothing.
const WORD: &str = "usher";

/// Compares the keyring with the one that the store was first used with, and leaves a mark where there is none.
///
/// # Errors
/// It is another one, or the store can't be read.
pub(super) async fn check(store: &dyn Store, keyring: &Keyring) -> Result<(), ServiceError> {
    let can = store.capabilities();
    if can.alone {
        return Ok(());
    }
    match store.get(KEY).await {
        Ok(Some(entry)) => judge(keyring, &entry.value),
        Ok(None) if can.writable => leave(store, keyring).await,
        // A gateway that starts from its last known state has been let in before.
        Ok(None) | Err(StoreError::Unavailable(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn judge(keyring: &Keyring, sealed: &[u8]) -> Result<(), ServiceError> {
    let sealed = std::str::from_utf8(sealed).unwrap_or_default();
    keyring.open(KEY, sealed).map(drop).map_err(|_| {
        ServiceError::Damaged(
            "the store was first used with another keyring, and its secrets can't be opened with this one; copy keyring.key of the data \
             folder of a gateway that uses this store into this gateway's data folder, and start again"
                .to_owned(),
        )
    })
}

async fn leave(store: &dyn Store, keyring: &Keyring) -> Result<(), ServiceError> {
    let sealed = keyring.seal(KEY, WORD).map_err(|error| ServiceError::Damaged(error.to_string()))?;
    let mark = Transaction::default().expect(KEY, Compare::Absent).put(KEY, sealed.into_bytes());
    match store.commit(mark).await {
        Ok(_) | Err(StoreError::Unavailable(_)) => Ok(()),
        // Somebody was faster.
        Err(StoreError::Conflict { .. }) => match store.get(KEY).await? {
            Some(entry) => judge(keyring, &entry.value),
            None => Ok(()),
        },
        Err(error) => Err(error.into()),
    }
}

/// Whether the word is sealed by another key than the newest.
pub(super) async fn is_older(store: &dyn Store, keyring: &Keyring) -> Result<bool, ServiceError> {
    let entry = store.get(KEY).await?;
    Ok(entry
        .is_some_and(|entry| std::str::from_utf8(&entry.value).is_ok_and(|word| !keyring.is_newest(word))))
}

/// Seals the word anew with the newest key, so that the older ones can go; whether that was needed.
pub(super) async fn leave_anew(store: &dyn Store, keyring: &Keyring) -> Result<bool, ServiceError> {
    let Some(entry) = store.get(KEY).await? else { return Ok(false) };
    if !is_older(store, keyring).await? {
        return Ok(false);
    }
    judge(keyring, &entry.value)?;
    let sealed = keyring.seal(KEY, WORD).map_err(|error| ServiceError::Damaged(error.to_string()))?;
    let mark =
        Transaction::default().expect(KEY, Compare::Modified(entry.modified)).put(KEY, sealed.into_bytes());
    match store.commit(mark).await {
        // Another gateway was faster, with the same key.
        Ok(_) | Err(StoreError::Conflict { .. }) => Ok(true),
        Err(error) => Err(error.into()),
    }
}
