//! What must hold of any bytes that are read as an archive or found on a disk: used by the fuzz targets, and by tests that replay their
//! corpora on the stable compiler.

use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use usher_store::archive::{self, Archive};
use usher_store::embedded::{Embedded, Options};
use usher_store::simulated::Simulated;
use usher_store::{Entry, Store as _, StoreError, Transaction};

const FOLDER: &str = "/data";

fn options(disk: &Simulated) -> Options {
    // Nothing ends, and a log is folded soon.
    Options { disk: Arc::new(disk.clone()), clock: Arc::new(|| 1), least_fold_bytes: 2048 }
}

fn open(disk: &Simulated) -> Result<Embedded, StoreError> {
    Embedded::open_on(Path::new(FOLDER), options(disk))
}

fn wait<T>(future: impl Future<Output = T>) -> Result<T, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(|error| error.to_string())?;
    Ok(runtime.block_on(future))
}

fn entries(store: &Embedded) -> Result<Vec<Entry>, String> {
    Ok(wait(store.list("/"))?.map_err(|error| error.to_string())?.entries)
}

fn entries_of(archive: Archive) -> Vec<Entry> {
    archive.entries.into_iter().map(|archived| archived.entry).collect()
}

/// An archive: refused, or a store is made of it that gives the same archive again.
///
/// # Errors
/// What doesn't hold.
pub fn archive(data: &[u8]) -> Result<(), String> {
    let Ok(read) = archive::read(data) else { return Ok(()) };
    let disk = Simulated::new();
    let text = |error: &dyn std::error::Error| error.to_string();
    archive::restore_on(Path::new(FOLDER), data, options(&disk)).map_err(|error| text(&error))?;
    let store = open(&disk).map_err(|error| text(&error))?;
    if store.revision() != read.info.revision {
        return Err(format!("revision {} was restored as {}", read.info.revision, store.revision()));
    }
    let mut again = Vec::new();
    wait(archive::write(&store, &mut again))?.map_err(|error| text(&error))?;
    let again = archive::read(&*again).map_err(|error| text(&error))?;
    if entries_of(again) != entries_of(read) {
        return Err("what was restored is something else".to_owned());
    }
    Ok(())
}

/// The files of a store, and what it holds.
type Good = (Vec<(PathBuf, Vec<u8>)>, Vec<Entry>);

/// A good one: a database, a snapshot and the logs around it.
static GOOD: LazyLock<Result<Good, String>> = LazyLock::new(|| {
    let disk = Simulated::new();
    let store = open(&disk).map_err(|error| error.to_string())?;
    for turn in 0..24_u64 {
        let mut transaction = Transaction::default()
            .put(format!("/apisix/routes/{}", turn % 9), format!("value {turn} {}", "x".repeat(150)));
        if turn % 5 == 4 {
            transaction = transaction.delete(format!("/apisix/routes/{}", (turn + 3) % 9));
        }
        wait(store.commit(transaction))?.map_err(|error| error.to_string())?;
    }
    let entries = entries(&store)?;
    drop(store);
    let mut files = disk.content();
    files.retain(|(path, _)| !path.ends_with("usher.lock"));
    Ok((files, entries))
});

/// Damages the files of a good store: six bytes choose a file, a place in it (3 bytes), what is done, and with which byte.
fn damage(files: &mut [(PathBuf, Vec<u8>)], data: &[u8]) -> Vec<usize> {
    let mut damaged = Vec::new();
    for chunk in data.chunks_exact(6) {
        let [file, a, b, c, what, byte] = *chunk else { continue };
        let chosen = usize::from(file) % files.len();
        let Some((_, bytes)) = files.get_mut(chosen) else { continue };
        if bytes.is_empty() {
            continue;
        }
        let at = (usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c)) % bytes.len();
        let (before, behind) = bytes.split_at_mut(at);
        match what % 5 {
            0 => behind.iter_mut().take(1).for_each(|place| *place = byte),
            1 => behind.iter_mut().take(512).for_each(|place| *place = byte),
            2 => behind.iter_mut().zip(before).for_each(|(to, from)| *to = *from),
            3 => bytes.truncate(at),
            _ => bytes.extend(std::iter::repeat_n(byte, at.min(8192))),
        }
        damaged.push(chosen);
    }
    damaged
}

/// Damaged files: the store comes back, or refuses by name; it never shows what never was, and loses nothing while one half is whole.
///
/// # Errors
/// What doesn't hold.
pub fn image(data: &[u8]) -> Result<(), String> {
    let (files, expected) = GOOD.as_ref().map_err(Clone::clone)?;
    let mut files = files.clone();
    let damaged = damage(&mut files, data);
    let is_database = |at: &&usize| files.get(**at).is_some_and(|(path, _)| path.ends_with("usher.redb"));
    let hit_database = damaged.iter().filter(is_database).count() > 0;
    let hit_others = damaged.iter().filter(is_database).count() < damaged.len();
    let disk = Simulated::with_files(files);
    let store = match open(&disk) {
        Ok(store) => store,
        // A flipped version number reads as a file of a later version, which is left as it is.
        Err(StoreError::Folder { .. }) if hit_database => return Ok(()),
        Err(StoreError::Damaged { .. }) if hit_database && hit_others => return Ok(()),
        Err(error) => return Err(format!("it can't be opened: {error}")),
    };
    let found = entries(&store)?;
    if !(hit_database && hit_others) && found != *expected {
        return Err(format!("{} entries are there, {} were", found.len(), expected.len()));
    }
    let revision = store.revision();
    let put = Transaction::default().put("/apisix/routes/new", "new");
    let committed = wait(store.commit(put))?.map_err(|error| format!("it takes no write: {error}"))?;
    if committed.revision != revision + 1 {
        return Err(format!("behind {revision} comes {}", committed.revision));
    }
    let with_new = entries(&store)?;
    drop(store);
    let again = open(&disk).map_err(|error| format!("it can't be opened again: {error}"))?;
    if again.describe().recovered.is_some() || entries(&again)? != with_new {
        return Err("the next start finds something else".to_owned());
    }
    Ok(())
}
