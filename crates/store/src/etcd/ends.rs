//! When keys end: etcd binds a key to a lease, and tells of a lease how long it has left.
//!
//! The mirrors know which keys have one, whoever wrote them, so that nothing is asked where none has.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::stream::{StreamExt as _, TryStreamExt as _, iter};

use super::fault::Fault;
use super::member::Member;
use super::mirror::Mirror;
use super::reading::{Reading, WHOLE};
use crate::{Lease, Revision, StoreError};

/// Leases that are asked for at once.
const TOGETHER: usize = 16;

/// A key with the revision that last changed it, and its lease.
pub(super) type Leased = (Arc<str>, Revision, i64);

/// When these leases end, in milliseconds since 1970. One that is over by now ends now: its keys are about to go.
///
/// # Errors
/// [`Fault`].
pub(super) async fn ask(
    member: &Member,
    leases: impl Iterator<Item = i64>,
    within: Duration,
) -> Result<HashMap<i64, u64>, Fault> {
    let leases: BTreeSet<i64> = leases.filter(|lease| *lease != 0).collect();
    let left = |lease| async move {
        let left = member.left(lease, within).await?.unwrap_or_default();
        let until =
            SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() + Duration::from_secs(left);
        Ok((lease, u64::try_from(until.as_millis()).unwrap_or(u64::MAX)))
    };
    iter(leases.into_iter().map(left)).buffer_unordered(TOGETHER).try_collect().await
}

/// The leases of keys, or of all that have one.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub(super) async fn leases(
    reading: &Reading,
    mirrors: [&Mirror; 2],
    of: Option<&[Arc<str>]>,
) -> Result<Vec<Lease>, StoreError> {
    let leased: Vec<Leased> = mirrors.into_iter().flat_map(|mirror| mirror.leased(of)).collect();
    if leased.is_empty() {
        return Ok(Vec::new());
    }
    let (leased, within) = (&leased, reading.timeout / 2);
    reading
        .ask(WHOLE, |member| async move {
            let ends = ask(&member, leased.iter().map(|(_, _, lease)| *lease), within).await?;
            let lease = |(key, modified, lease): &Leased| {
                Some(Lease { key: Arc::clone(key), modified: *modified, until_unix_ms: *ends.get(lease)? })
            };
            Ok(leased.iter().filter_map(lease).collect())
        })
        .await
}
