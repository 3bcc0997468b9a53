//! The state of each space on the disk, so that a gateway starts while etcd is away. The files are those of the embedded store.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::mirror::Mirror;
use super::names::Space;
use crate::embedded::snapshots::Snapshots;
use crate::{Entry, Revision};

/// The key under which a snapshot holds the id of its cluster; no key of a store is named so.
const CLUSTER: &str = "cluster";
/// How soon behind a change a snapshot is written, where none was written shortly before.
const SOON: Duration = Duration::from_millis(300);
/// Between two snapshots, this many times as long as one takes, within these bounds.
const SHARE: u32 = 20;
const BETWEEN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// The folder of one space.
pub(super) fn folder_of(folder: &Path, space: Space) -> PathBuf {
    match space {
        Space::Resources => folder.to_owned(),
        Space::Own => folder.join("own"),
    }
}

/// The newest good snapshot: the cluster, the revision, and what was there.
pub(super) fn newest(snapshots: &Snapshots) -> Option<(u64, Revision, Vec<Entry>)> {
    let (revision, mut entries) = snapshots.newest()?;
    let at = entries.iter().position(|entry| &*entry.key == CLUSTER)?;
    let cluster = std::str::from_utf8(&entries.remove(at).value).ok()?.parse().ok()?;
    Some((cluster, revision, entries))
}

/// Writes a snapshot behind each change, at a bounded pace. Ends with the store.
pub(super) async fn keep(mirror: Arc<Mirror>, snapshots: Snapshots) {
    let mut changes = mirror.feed.changes();
    // What is known by now may be newer than the snapshot that it began with.
    changes.mark_changed();
    let mut next = Instant::now();
    while changes.changed().await.is_ok() {
        tokio::time::sleep_until(next.max(Instant::now() + SOON)).await;
        changes.borrow_and_update();
        let began = Instant::now();
        let (mirror, snapshots) = (Arc::clone(&mirror), snapshots.clone());
        match tokio::task::spawn_blocking(move || write(&mirror, &snapshots)).await {
            Ok(Ok(())) => next = Instant::now() + (began.elapsed() * SHARE).clamp(BETWEEN.0, BETWEEN.1),
            Ok(Err(error)) => {
                tracing::warn!(%error, "could not write a snapshot; it is tried again behind the next change");
                next = Instant::now() + BETWEEN.1;
            }
            Err(error) => tracing::error!(%error, "writing a snapshot failed inside Usher"),
        }
    }
}

fn write(mirror: &Mirror, snapshots: &Snapshots) -> io::Result<()> {
    let Some((place, mut entries)) = mirror.copy() else { return Ok(()) };
    let value = Bytes::from(place.cluster.to_string());
    entries.push(Entry { key: CLUSTER.into(), value, created: 0, modified: 0 });
    snapshots.write(place.revision, &entries)
}

#[cfg(test)]
mod tests {
    use super::{keep, newest, write};
    use crate::Entry;
    use crate::embedded::snapshots::Snapshots;
    use crate::etcd::load::Loaded;
    use crate::etcd::mirror::Mirror;
    use crate::etcd::names::Space;
    use std::sync::Arc;

    fn loaded(cluster: u64, revision: u64, ids: std::ops::Range<u64>) -> Loaded {
        let entry = |id: u64| Entry {
            key: format!("/apisix/routes/{id:03}").into(),
            value: id.to_string().into(),
            created: 1,
            modified: 1 + id,
        };
        Loaded { cluster, revision, entries: ids.map(entry).collect(), ..Loaded::default() }
    }

    fn files(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
        let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
        files.sort();
        files
    }

    #[test]
    fn what_was_written_is_read_and_a_damaged_one_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let snapshots = Snapshots::open(folder.path()).unwrap();
        assert!(newest(&snapshots).is_none());
        let mirror = Mirror::new(Space::Resources);
        for revision in 10..20 {
            mirror.replace(loaded(7, revision, 0..revision), false).unwrap();
            write(&mirror, &snapshots).unwrap();
        }
        let written = files(folder.path());
        assert_eq!(written.len(), 5);
        let (cluster, revision, entries) = newest(&snapshots).unwrap();
        assert_eq!((cluster, revision, entries.len()), (7, 19, 19));
        std::fs::write(written.last().unwrap(), "no snapshot").unwrap();
        assert_eq!(newest(&snapshots).unwrap().1, 18);
        // Another cluster, which is not as far: nothing of the former one stays.
        mirror.replace(loaded(8, 3, 0..2), true).unwrap();
        write(&mirror, &snapshots).unwrap();
        assert_eq!(newest(&snapshots).unwrap().0, 8);
        assert_eq!(files(folder.path()).len(), 1);
    }

    #[tokio::test]
    async fn a_snapshot_follows_a_change() {
        let folder = tempfile::tempdir().unwrap();
        let snapshots = Snapshots::open(folder.path()).unwrap();
        let mirror = Arc::new(Mirror::new(Space::Resources));
        let keeping = tokio::spawn(keep(Arc::clone(&mirror), snapshots.clone()));
        tokio::task::yield_now().await;
        mirror.replace(loaded(7, 30, 0..10), false).unwrap();
        while newest(&snapshots).is_none() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        assert_eq!(newest(&snapshots).unwrap().1, 30);
        keeping.abort();
    }
}
