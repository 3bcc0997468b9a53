//! A store is restored whole or not at all: what a failure has made by then goes away again.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use super::failure::{Code, Failure};

/// Lets `make` fill a folder. One that isn't there yet is made beside its place and put there when it is whole; from one that is there, what a failure
/// has left is taken out again.
///
/// # Errors
/// That of `make`, or the folder can't be made.
pub(super) fn into<T>(folder: &Path, make: impl FnOnce(&Path) -> Result<T, Failure>) -> Result<T, Failure> {
    let trouble = |error: &io::Error| {
        Failure::new(Code::Failed, format!("could not make {}: {error}", folder.display()))
            .next("name another folder with --data")
    };
    if folder.exists() {
        let before = names(folder).map_err(|error| trouble(&error))?;
        return make(folder).inspect_err(|_| take_out(folder, &before));
    }
    let beside = beside(folder);
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&beside).map_err(|error| trouble(&error))?;
    let made = make(&beside).and_then(|made| {
        fs::rename(&beside, folder).map_err(|error| trouble(&error))?;
        Ok(made)
    });
    if made.is_err() {
        // Nothing in it is of any use.
        let _ = fs::remove_dir_all(&beside);
    }
    made
}

/// Where a folder is made: on the same disk, so that it can be renamed.
fn beside(folder: &Path) -> PathBuf {
    let mut name = folder.components().as_path().as_os_str().to_owned();
    name.push(format!(".new-{}", std::process::id()));
    PathBuf::from(name)
}

fn names(folder: &Path) -> io::Result<HashSet<OsString>> {
    fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name())).collect()
}

fn take_out(folder: &Path, before: &HashSet<OsString>) {
    for name in names(folder).unwrap_or_default().difference(before) {
        let path = folder.join(name);
        let gone = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        if let Err(error) = gone {
            tracing::warn!(path = %path.display(), %error, "what a failed restore left could not be taken away");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::failure::{Code, Failure};
    use super::into;

    #[test]
    fn what_a_failure_left_is_gone_and_the_rest_is_as_it_was() {
        let place = tempfile::tempdir().unwrap();
        let fails = |folder: &std::path::Path| -> Result<(), Failure> {
            fs::write(folder.join("half"), "x").unwrap();
            Err(Failure::new(Code::Failed, "the disk is full"))
        };
        let fresh = place.path().join("deep/data");
        assert!(into(&fresh, fails).is_err());
        assert!(!fresh.exists());
        assert_eq!(fs::read_dir(place.path().join("deep")).unwrap().count(), 0);
        let old = place.path().join("old");
        fs::create_dir(&old).unwrap();
        fs::write(old.join("keyring.key"), "k").unwrap();
        assert!(into(&old, fails).is_err());
        assert_eq!(fs::read_dir(&old).unwrap().count(), 1);
        into(&fresh, |folder| {
            fs::write(folder.join("whole"), "x").unwrap();
            Ok(())
        })
        .unwrap();
        assert_eq!(fs::read(fresh.join("whole")).unwrap(), b"x");
    }
}
