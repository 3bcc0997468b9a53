//! The data file as redb sees it: on the disk, or with whatever is written kept in memory alone.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use redb::StorageBackend;

use crate::embedded::disk::DiskFile;

/// A page of an [`Overlay`].
const PAGE: usize = 4096;
/// Pages that an [`Overlay`] keeps at most: 64 MiB. Bringing a file into order writes a handful.
const MOST_PAGES: usize = 16 << 10;

/// The file itself.
#[derive(Debug)]
pub(super) struct Backend(pub(super) Box<dyn DiskFile>);

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.0.length()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read_at(offset, out)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.0.set_length(length)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync()
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_at(offset, bytes)
    }
}

/// The file to be read only: what redb has to bring in order after a crash stays in memory. So the data can be read even where the disk
/// takes no write at all.
#[derive(Debug)]
pub(super) struct Overlay {
    file: Box<dyn DiskFile>,
    changed: Mutex<Changed>,
}

#[derive(Debug)]
struct Changed {
    /// Of the file as redb sees it.
    length: u64,
    /// What is left of the file itself; beyond it are zeroes.
    kept: u64,
    pages: BTreeMap<u64, Box<[u8; PAGE]>>,
}

impl Overlay {
    pub(super) fn new(file: Box<dyn DiskFile>) -> io::Result<Self> {
        let length = file.length()?;
        Ok(Self { file, changed: Mutex::new(Changed { length, kept: length, pages: BTreeMap::new() }) })
    }

    fn lock(&self) -> MutexGuard<'_, Changed> {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One page as it would be read.
    fn page(&self, changed: &Changed, at: u64) -> io::Result<Box<[u8; PAGE]>> {
        if let Some(page) = changed.pages.get(&at) {
            return Ok(page.clone());
        }
        let mut page = Box::new([0; PAGE]);
        let start = at * PAGE as u64;
        let there = usize::try_from(changed.kept.saturating_sub(start)).map_or(PAGE, |there| there.min(PAGE));
        if let Some(part) = page.get_mut(..there) {
            self.file.read_at(start, part)?;
        }
        Ok(page)
    }
}

/// Calls `each` with every page that these bytes touch, the place in the page, and the place in the bytes.
fn pages(
    offset: u64,
    length: usize,
    mut each: impl FnMut(u64, usize, std::ops::Range<usize>) -> io::Result<()>,
) -> io::Result<()> {
    let mut done = 0;
    while done < length {
        let place = offset + done as u64;
        let inside = usize::try_from(place % PAGE as u64).map_err(io::Error::other)?;
        let part = (PAGE - inside).min(length - done);
        each(place / PAGE as u64, inside, done..done + part)?;
        done += part;
    }
    Ok(())
}

fn outside() -> io::Error {
    io::Error::from(io::ErrorKind::UnexpectedEof)
}

impl StorageBackend for Overlay {
    fn len(&self) -> io::Result<u64> {
        Ok(self.lock().length)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let changed = self.lock();
        if offset + out.len() as u64 > changed.length {
            return Err(outside());
        }
        if changed.pages.is_empty() && offset + out.len() as u64 <= changed.kept {
            return self.file.read_at(offset, out);
        }
        pages(offset, out.len(), |at, inside, range| {
            let page = self.page(&changed, at)?;
            let from = page.get(inside..inside + range.len()).ok_or_else(outside)?;
            out.get_mut(range).ok_or_else(outside)?.copy_from_slice(from);
            Ok(())
        })
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut changed = self.lock();
        changed.length = length;
        changed.kept = changed.kept.min(length);
        let behind = length.div_ceil(PAGE as u64);
        changed.pages.split_off(&behind);
        // What is cut off and lengthened again reads as zeroes.
        if let Some(page) = changed.pages.get_mut(&(length / PAGE as u64))
            && let Some(rest) =
                usize::try_from(length % PAGE as u64).ok().and_then(|inside| page.get_mut(inside..))
        {
            rest.fill(0);
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut changed = self.lock();
        pages(offset, bytes.len(), |at, inside, range| {
            let mut page = self.page(&changed, at)?;
            let from = bytes.get(range.clone()).ok_or_else(outside)?;
            page.get_mut(inside..inside + range.len()).ok_or_else(outside)?.copy_from_slice(from);
            changed.pages.insert(at, page);
            if changed.pages.len() > MOST_PAGES {
                return Err(io::ErrorKind::OutOfMemory.into());
            }
            Ok(())
        })?;
        changed.length = changed.length.max(offset + bytes.len() as u64);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{DiskFile as _, Overlay, StorageBackend as _};

    #[test]
    fn what_is_written_over_a_file_is_read_and_the_file_stays() {
        let file = tempfile::tempfile().unwrap();
        file.write_at(0, &[1; 10_000]).unwrap();
        let overlay = Overlay::new(Box::new(file.try_clone().unwrap())).unwrap();
        overlay.write(4_000, &[2; 5_000]).unwrap();
        overlay.set_len(12_000).unwrap();
        let mut expected = [vec![1; 4_000], vec![2; 5_000], vec![1; 1_000], vec![0; 2_000]].concat();
        let mut read = vec![9; 12_000];
        overlay.read(0, &mut read).unwrap();
        assert_eq!(read, expected);
        overlay.set_len(8_500).unwrap();
        overlay.set_len(9_500).unwrap();
        expected.truncate(8_500);
        expected.resize(9_500, 0);
        let mut read = vec![9; 9_500];
        overlay.read(0, &mut read).unwrap();
        assert_eq!(read, expected);
        assert!(overlay.read(9_000, &mut [0; 501]).is_err());
        let mut whole = vec![0; 10_000];
        file.read_at(0, &mut whole).unwrap();
        assert_eq!((whole, file.length().unwrap()), (vec![1; 10_000], 10_000));
    }
}
