//! The copy of the last good file, for a start with a bad one. It holds what the file holds, variables unfilled, and only its owner may read it.

use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use usher_model::document::Format;

use super::Options;

/// The copy's name: of the file's own path, so that another file's copy is never taken for it.
fn place(options: &Options, folder: &Path) -> PathBuf {
    let path = std::path::absolute(&options.path).unwrap_or_else(|_| options.path.clone());
    let sum = crc32fast::hash(path.as_os_str().as_encoded_bytes());
    let ending = if options.format == Format::Json { "json" } else { "yaml" };
    folder.join(format!("last-good-{sum:08x}.{ending}"))
}

/// The copy, if there is one.
pub(super) fn read(options: &Options) -> Option<String> {
    let folder = options.keep.as_ref()?;
    std::fs::read_to_string(place(options, folder)).ok()
}

/// Keeps a copy: the old one or the new one is there at any time.
///
/// # Errors
/// The folder can't be written to.
pub(super) fn write(options: &Options, text: &str) -> io::Result<()> {
    let Some(folder) = &options.keep else { return Ok(()) };
    let place = place(options, folder);
    if std::fs::read_to_string(&place).is_ok_and(|known| known == text) {
        return Ok(());
    }
    let new = place.with_extension("new");
    let mut file =
        std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&new, &place)?;
    std::fs::File::open(folder)?.sync_all()
}
