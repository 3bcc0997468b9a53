//! The file that minutes and hours are kept in: a line that says what it is, then records with their length and checksum. It is appended to once a
//! minute, read up to the first damage, and written anew when most of it is old.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Read as _, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::book::Grain;
use super::slot::Slot;

/// The file's first line.
const HEAD: &[u8] = b"usher traffic 1\n";
/// The largest record, in bytes.
const MOST_RECORD: usize = 1 << 20;
/// The largest file: all that is ever kept has room in it.
const MOST_FILE: u64 = 64 << 20;
/// So much may be old before it is written anew, in bytes.
const SLACK: u64 = 1 << 20;

/// The file.
pub(super) struct Kept {
    path: PathBuf,
    /// `None`: nothing can be appended, and all has to be written anew.
    file: Option<File>,
    /// Its length.
    length: u64,
    /// What was in it that is needed when it was last written anew.
    needed: u64,
}

impl Kept {
    /// Reads what an earlier process has kept. What is behind a damage is left out; a file that can't be read at all counts as empty.
    pub(super) fn open(path: &Path) -> (Self, Vec<(Grain, Slot)>) {
        let bytes = read(path).unwrap_or_else(|error| {
            if error.kind() != io::ErrorKind::NotFound {
                tracing::warn!(%error, path = %path.display(), "the traffic of earlier runs can't be read");
            }
            Vec::new()
        });
        let (slots, good) = records(&bytes);
        if good < bytes.len() {
            tracing::warn!(
                path = %path.display(),
                lost_bytes = bytes.len() - good,
                "the end of the file of past traffic is damaged and left out"
            );
        }
        // It is written anew at once: what is old goes, and so does a damage.
        (Self { path: path.to_owned(), file: None, length: 0, needed: 0 }, slots)
    }

    /// Whether all has to be written anew.
    pub(super) fn is_stale(&self) -> bool {
        self.file.is_none() || self.length > MOST_FILE || self.length > 2 * self.needed + SLACK
    }

    /// Somebody else may have written it: all is written anew next time.
    pub(super) fn distrust(&mut self) {
        self.file = None;
    }

    /// Appends slots.
    pub(super) fn append(&mut self, slots: &[(Grain, Slot)]) -> io::Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let mut bytes = Vec::new();
        slots.iter().for_each(|(grain, slot)| write_record(&mut bytes, *grain, slot));
        let written = file.write_all(&bytes);
        if written.is_err() {
            // A part of it may be there, and nothing could be read behind that.
            self.file = None;
        }
        self.length += bytes.len() as u64;
        written
    }

    /// Writes all anew: beside, then in its place.
    pub(super) fn rewrite(&mut self, slots: &[(Grain, Slot)]) -> io::Result<()> {
        self.file = None;
        let mut beside = self.path.clone().into_os_string();
        beside.push(".new");
        let options = || {
            let mut options = OpenOptions::new();
            options.create(true).write(true).mode(0o600);
            options
        };
        let mut out = BufWriter::new(options().truncate(true).open(&beside)?);
        let mut length = HEAD.len() as u64;
        out.write_all(HEAD)?;
        let mut bytes = Vec::new();
        for (grain, slot) in slots {
            bytes.clear();
            write_record(&mut bytes, *grain, slot);
            out.write_all(&bytes)?;
            length += bytes.len() as u64;
        }
        out.flush()?;
        drop(out);
        std::fs::rename(&beside, &self.path)?;
        self.file = Some(OpenOptions::new().append(true).open(&self.path)?);
        self.length = length;
        self.needed = length;
        Ok(())
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // More than ever is written isn't read either.
    File::open(path)?.take(2 * MOST_FILE).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Length and checksum of the rest, the grain, the first second, the rows.
fn write_record(out: &mut Vec<u8>, grain: Grain, slot: &Slot) {
    let mut rest = Vec::with_capacity(9 + slot.bytes().len());
    rest.push(if grain == Grain::Hour { b'h' } else { b'm' });
    rest.extend_from_slice(&slot.start.to_le_bytes());
    rest.extend_from_slice(slot.bytes());
    out.extend_from_slice(&u32::try_from(rest.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(&crc32fast::hash(&rest).to_le_bytes());
    out.extend_from_slice(&rest);
}

/// The records up to the first damage, and where that is.
fn records(bytes: &[u8]) -> (Vec<(Grain, Slot)>, usize) {
    let mut slots = Vec::new();
    let Some(mut rest) = bytes.strip_prefix(HEAD) else { return (slots, 0) };
    let mut good = HEAD.len();
    while let Some((grain, slot, others)) = record(rest) {
        slots.push((grain, slot));
        good += rest.len() - others.len();
        rest = others;
    }
    (slots, good)
}

fn record(bytes: &[u8]) -> Option<(Grain, Slot, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (sum, rest) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok().filter(|length| *length <= MOST_RECORD)?;
    let (body, others) = rest.split_at_checked(length)?;
    if crc32fast::hash(body) != u32::from_le_bytes(*sum) {
        return None;
    }
    let (grain, body) = body.split_first()?;
    let (start, rows) = body.split_first_chunk::<8>()?;
    let grain = match grain {
        b'm' => Grain::Minute,
        b'h' => Grain::Hour,
        _ => return None,
    };
    Some((grain, Slot::read(u64::from_le_bytes(*start), rows), others))
}

#[cfg(test)]
mod tests {
    use super::{Grain, Kept, Slot};

    #[test]
    fn what_was_written_is_read_up_to_a_damage() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("traffic");
        let slot = |start: u64| Slot::read(start, &start.to_le_bytes());
        let (mut kept, found) = Kept::open(&path);
        assert!(found.is_empty() && kept.is_stale());
        kept.rewrite(&[(Grain::Hour, slot(0)), (Grain::Minute, slot(3_600))]).unwrap();
        kept.append(&[(Grain::Minute, slot(3_660))]).unwrap();
        drop(kept);
        let (_, found) = Kept::open(&path);
        let wanted = [(Grain::Hour, slot(0)), (Grain::Minute, slot(3_600)), (Grain::Minute, slot(3_660))];
        assert_eq!(found, wanted);
        let whole = std::fs::read(&path).unwrap();
        for end in 0..whole.len() {
            std::fs::write(&path, &whole[..end]).unwrap();
            let (_, found) = Kept::open(&path);
            assert_eq!(found, wanted[..found.len()]);
            assert!(found.len() < 3);
        }
        let mut flipped = whole.clone();
        let last = flipped.len() - 1;
        flipped[last] ^= 1;
        std::fs::write(&path, &flipped).unwrap();
        assert_eq!(Kept::open(&path).1, wanted[..2]);
    }

    #[test]
    fn it_is_written_anew_when_most_of_it_is_old() {
        let folder = tempfile::tempdir().unwrap();
        let (mut kept, _) = Kept::open(&folder.path().join("traffic"));
        kept.rewrite(&[]).unwrap();
        let large = Slot::read(0, &vec![7; 100_000]);
        let mut rounds = 0;
        while !kept.is_stale() {
            kept.append(&[(Grain::Minute, large.clone())]).unwrap();
            rounds += 1;
        }
        assert!((10..=12).contains(&rounds), "{rounds}");
        kept.rewrite(&[(Grain::Minute, large)]).unwrap();
        assert!(!kept.is_stale());
    }
}
