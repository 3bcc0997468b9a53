//! Key files in the data folder: made once, whole or not at all, for their owner's eyes alone.
//!
//! A new file is written and synced under a name of its own and then linked to its place: a crash leaves either no key or the whole key,
//! and of two processes that start together both use the one that was first.

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use usher_model::compat::Compat;
use usher_model::seal::{BadSeal, KEY_BYTES, Keyring};
use usher_model::secret::Secret;

use super::KeysError;

/// The largest key file that is read, in bytes.
const MAX_BYTES: u64 = 64 << 10;

/// What stands at the top of a keyring file.
const KEYRING_TOP: &str = "# Seals the secrets in the store: the first key seals, any of them opens. Without this file those secrets can't be read\n\
                           # again, so keep a copy where you keep backups.\n";

/// The admin key and where it is kept.
pub struct KeyFile {
    /// The file.
    pub path: PathBuf,
    /// Whether it was made just now.
    pub created: bool,
    /// The key.
    pub key: Secret<String>,
}

/// The admin key of a data folder: `admin.key`. The first call makes a random one of 32 characters.
///
/// # Errors
/// The file can't be read or made, others may read it, or it holds no usable key.
pub fn load_or_create(folder: &Path) -> Result<KeyFile, KeysError> {
    let path = folder.join("admin.key");
    let (text, created) = load_or_make(&path, || Ok(format!("{}\n", random_hex()?)))?;
    let key = text.trim_end();
    super::check("admin", key, Compat::NONE).map_err(|error| KeysError::Damaged {
        path: path.clone(),
        reason: error.to_string(),
        next: "delete it and start again for a new key",
    })?;
    Ok(KeyFile { key: Secret::new(key.to_owned()), path, created })
}

/// The keyring of a data folder: `keyring.key`. The first call makes one with a single random key.
///
/// # Errors
/// The file can't be read or made, others may read it, or it is damaged.
pub fn load_or_create_keyring(folder: &Path) -> Result<Keyring, KeysError> {
    let path = folder.join("keyring.key");
    let (text, _) = load_or_make(&path, || {
        let (_, key) = Keyring::generate()?;
        Ok(format!("{KEYRING_TOP}{}\n", keyring_line(&key)))
    })?;
    Ok(Keyring::new(&keys_of(&path, &text)?)?)
}

fn keys_of(path: &Path, text: &str) -> Result<Vec<Vec<u8>>, KeysError> {
    parse_keyring(text).map_err(|reason| KeysError::Damaged {
        path: path.to_owned(),
        reason,
        next: "put a copy of it back; without it the secrets in the store can't be read",
    })
}

/// Puts a new random key before those of a data folder's keyring: from the next start on it seals what is written, and the old ones still open
/// what they sealed. The file is replaced whole or not at all.
///
/// # Errors
/// As for [`load_or_create_keyring`]; there has to be a keyring already, because a new one beside an old store could open none of its secrets.
pub fn add_keyring_key(folder: &Path) -> Result<PathBuf, KeysError> {
    let path = folder.join("keyring.key");
    let failed = |source| KeysError::File { path: path.clone(), source };
    let text = read(&path)?.ok_or_else(|| failed(ErrorKind::NotFound.into()))?;
    keys_of(&path, &text)?;
    let (_, key) = Keyring::generate()?;
    let old: String =
        text.lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n")).collect();
    replace(folder, &path, &format!("{KEYRING_TOP}{}\n{old}", keyring_line(&key)))?;
    Ok(path)
}

/// Takes all keys but the newest out of a data folder's keyring. Nothing may be sealed by them any more: whoever asks for it has looked.
///
/// # Errors
/// As for [`add_keyring_key`].
pub fn drop_older_keyring_keys(folder: &Path) -> Result<PathBuf, KeysError> {
    let path = folder.join("keyring.key");
    let failed = |source| KeysError::File { path: path.clone(), source };
    let text = read(&path)?.ok_or_else(|| failed(ErrorKind::NotFound.into()))?;
    let newest =
        keys_of(&path, &text)?.into_iter().next().ok_or_else(|| failed(ErrorKind::InvalidData.into()))?;
    replace(folder, &path, &format!("{KEYRING_TOP}{}\n", keyring_line(&newest)))?;
    Ok(path)
}

/// What came of placing a keyring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placed {
    /// The folder had none.
    Made,
    /// The folder has it already.
    Same,
    /// The folder's had fewer of the same keys, and was replaced.
    Grown,
    /// The folder's holds a key that the given one lacks, and stays.
    Other,
}

/// Gives a data folder the keyring that is written in `given`, as machines that share a store need it. What one is there already is never lost: it is
/// replaced only where all its keys are in the given one.
///
/// # Errors
/// As for [`load_or_create_keyring`], and where `given` holds no keyring.
pub fn place_keyring(folder: &Path, given: &Path) -> Result<Placed, KeysError> {
    let failed = |path: &Path, source| KeysError::File { path: path.to_owned(), source };
    // How its permissions are is the business of whoever hands it out: secrets of containers are mounted for a group.
    let text = fs::read_to_string(given).map_err(|source| failed(given, source))?;
    let wanted = keys_of(given, &text)?;
    let path = folder.join("keyring.key");
    if write_unless_there(&path, &text)? {
        return Ok(Placed::Made);
    }
    let there = read(&path)?.ok_or_else(|| failed(&path, ErrorKind::NotFound.into()))?;
    let there = keys_of(&path, &there)?;
    if there == wanted {
        return Ok(Placed::Same);
    }
    if !there.iter().all(|key| wanted.contains(key)) {
        return Ok(Placed::Other);
    }
    replace(folder, &path, &text)?;
    Ok(Placed::Grown)
}

fn write_unless_there(path: &Path, text: &str) -> Result<bool, KeysError> {
    if read(path)?.is_some() { Ok(false) } else { write_new(path, text) }
}

/// Replaces a keyring whole or not at all.
fn replace(folder: &Path, path: &Path, text: &str) -> Result<(), KeysError> {
    let draft = folder.join(format!(".keyring.key.{}", random_hex()?));
    let placed = write_draft(&draft, text).and_then(|()| fs::rename(&draft, path));
    if placed.is_err() {
        // Litter, readable by its owner alone.
        let _ = fs::remove_file(&draft);
    }
    let failed = |source| KeysError::File { path: path.to_owned(), source };
    placed.and_then(|()| File::open(folder)?.sync_all()).map_err(failed)
}

/// A keyring that ends with the process, for a store that does too.
///
/// # Errors
/// The system gives no random bytes.
pub fn ephemeral_keyring() -> Result<Keyring, KeysError> {
    Ok(Keyring::generate().map(|(ring, _)| ring)?)
}

/// A key in base64 and the beginning of its digest, so that a damaged key is noticed before anything is sealed with it.
fn keyring_line(key: &[u8]) -> String {
    format!("{} {}", STANDARD.encode(key), hex(digest(&SHA256, key).as_ref().iter().take(4)))
}

fn parse_keyring(text: &str) -> Result<Vec<Vec<u8>>, String> {
    let mut keys = Vec::new();
    for (at, line) in text.lines().enumerate() {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let key = line.split(' ').next().and_then(|key| STANDARD.decode(key).ok());
        match key.filter(|key| key.len() == KEY_BYTES && keyring_line(key) == line) {
            Some(key) => keys.push(key),
            None => return Err(format!("line {} is no key with its checksum", at + 1)),
        }
    }
    if keys.is_empty() { Err("it holds no key".to_owned()) } else { Ok(keys) }
}

/// What is in a file, and whether it was made for that.
fn load_or_make(
    path: &Path,
    make: impl FnOnce() -> Result<String, KeysError>,
) -> Result<(String, bool), KeysError> {
    if let Some(text) = read(path)? {
        return Ok((text, false));
    }
    let text = make()?;
    if write_new(path, &text)? {
        return Ok((text, true));
    }
    match read(path)? {
        Some(text) => Ok((text, false)),
        None => Err(KeysError::File { path: path.to_owned(), source: ErrorKind::NotFound.into() }),
    }
}

fn read(path: &Path) -> Result<Option<String>, KeysError> {
    let failed = |source| KeysError::File { path: path.to_owned(), source };
    let damaged = |reason: &str| KeysError::Damaged {
        path: path.to_owned(),
        reason: reason.to_owned(),
        next: "put the right file in its place",
    };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let facts = file.metadata().map_err(failed)?;
    if !facts.is_file() {
        return Err(damaged("it is no file"));
    }
    let mode = facts.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(KeysError::Readable { path: path.to_owned(), mode });
    }
    let mut text = String::new();
    match file.take(MAX_BYTES + 1).read_to_string(&mut text) {
        Ok(_) if text.len() as u64 > MAX_BYTES => Err(damaged("it is far too long for a key")),
        Ok(_) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::InvalidData => Err(damaged("it is no text")),
        Err(error) => Err(failed(error)),
    }
}

/// False when somebody else made the file first.
fn write_new(path: &Path, text: &str) -> Result<bool, KeysError> {
    let failed = |source| KeysError::File { path: path.to_owned(), source };
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(failed(ErrorKind::InvalidInput.into()));
    };
    let draft = folder.join(format!(".{}.{}", name.display(), random_hex()?));
    let placed = write_draft(&draft, text).and_then(|()| match fs::hard_link(&draft, path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    });
    // A draft that stays behind is only litter, and readable by its owner alone.
    let _ = fs::remove_file(&draft);
    let placed = placed.map_err(failed)?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
    Ok(placed)
}

fn write_draft(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// 32 hex digits: 128 random bits.
fn random_hex() -> Result<String, KeysError> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| BadSeal::NoRandom)?;
    Ok(hex(bytes.iter()))
}

fn hex<'a>(bytes: impl Iterator<Item = &'a u8>) -> String {
    bytes.fold(String::new(), |mut text, byte| {
        // Writing to a string can't fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::{
        Placed, add_keyring_key, load_or_create, load_or_create_keyring, parse_keyring, place_keyring,
    };

    fn write(path: &std::path::Path, text: impl AsRef<[u8]>, mode: u32) {
        fs::write(path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn the_first_call_makes_a_key_and_later_ones_find_it() {
        let folder = tempfile::tempdir().unwrap();
        let made = load_or_create(folder.path()).unwrap();
        assert!(made.created && made.key.expose().len() == 32);
        let found = load_or_create(folder.path()).unwrap();
        assert!(!found.created && found.key == made.key && found.path == made.path);
        let ring = load_or_create_keyring(folder.path()).unwrap();
        let sealed = ring.seal("r", "s3cret").unwrap();
        assert_eq!(load_or_create_keyring(folder.path()).unwrap().open("r", &sealed).unwrap(), "s3cret");
        let mut names: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .flatten()
            .map(|entry| (entry.file_name(), entry.metadata().unwrap().permissions().mode() & 0o777))
            .collect();
        names.sort();
        assert_eq!(names, [("admin.key".into(), 0o600), ("keyring.key".into(), 0o600)]);
        assert_ne!(
            load_or_create(tempfile::tempdir().unwrap().path()).unwrap().key.expose(),
            made.key.expose()
        );
    }

    #[test]
    fn a_new_first_key_seals_and_the_old_ones_open() {
        let folder = tempfile::tempdir().unwrap();
        assert!(add_keyring_key(folder.path()).is_err());
        assert!(fs::read_dir(folder.path()).unwrap().next().is_none());
        let old = load_or_create_keyring(folder.path()).unwrap();
        let sealed = old.seal("r", "s3cret").unwrap();
        let path = add_keyring_key(folder.path()).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!((parse_keyring(&text).unwrap().len(), text.matches('#').count()), (2, 2));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let new = load_or_create_keyring(folder.path()).unwrap();
        assert_eq!(new.open("r", &sealed).unwrap(), "s3cret");
        assert!(old.open("r", &new.seal("r", "s3cret").unwrap()).is_err());
        write(&path, "damaged\n", 0o600);
        assert!(add_keyring_key(folder.path()).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "damaged\n");
    }

    #[test]
    fn two_that_start_together_get_the_same_key() {
        let folder = tempfile::tempdir().unwrap();
        let keys: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..16).map(|_| scope.spawn(|| load_or_create(folder.path()).unwrap())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(keys.iter().filter(|key| key.created).count(), 1);
        assert!(keys.iter().all(|key| key.key == keys[0].key));
    }

    #[test]
    fn files_that_others_may_read_are_refused_with_the_fix() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.key");
        for mode in [0o644, 0o640, 0o620, 0o604] {
            write(&path, "abcdefghijklmnopqrstuvwx\n", mode);
            let text = load_or_create(folder.path()).err().unwrap().to_string();
            assert!(text.contains(&format!("chmod 600 {}", path.display())), "{text}");
        }
        write(&path, "abcdefghijklmnopqrstuvwx\n", 0o600);
        assert_eq!(load_or_create(folder.path()).unwrap().key.expose(), "abcdefghijklmnopqrstuvwx");
    }

    #[test]
    fn a_damaged_file_is_named_and_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let admin = folder.path().join("admin.key");
        for bytes in [&b""[..], b"short\n", b"\xff\xfe not text", b"two words of sixteen\n"] {
            write(&admin, bytes, 0o600);
            let text = load_or_create(folder.path()).err().unwrap().to_string();
            assert!(text.contains("admin.key is damaged"), "{text}");
            assert_eq!(fs::read(&admin).unwrap(), bytes);
        }
        let ring = folder.path().join("keyring.key");
        load_or_create_keyring(folder.path()).unwrap();
        let good = fs::read_to_string(&ring).unwrap();
        let cut = &good[..good.len() - 4];
        let flipped = good.replacen("= ", "= 0", 1);
        for bad in ["", "# nothing\n", cut, &flipped, "not base64 at all\n"] {
            write(&ring, bad, 0o600);
            let text = load_or_create_keyring(folder.path()).unwrap_err().to_string();
            assert!(text.contains("keyring.key is damaged") && text.contains("copy"), "{text}");
            assert_eq!(fs::read_to_string(&ring).unwrap(), bad);
        }
        assert_eq!(parse_keyring(&good.repeat(2)).unwrap().len(), 2);
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let text = load_or_create(&folder.path().join("no")).err().unwrap().to_string();
        assert!(text.contains("/no/admin.key"), "{text}");
    }

    #[test]
    fn a_keyring_that_is_handed_out_is_taken_unless_a_key_would_be_lost() {
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let sealed = load_or_create_keyring(first.path()).unwrap().seal("r", "s3cret").unwrap();
        let handed = first.path().join("keyring.key");
        let place = || place_keyring(second.path(), &handed).unwrap();
        assert_eq!((place(), place()), (Placed::Made, Placed::Same));
        let mode = fs::metadata(second.path().join("keyring.key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        add_keyring_key(first.path()).unwrap();
        assert_eq!(place(), Placed::Grown);
        assert_eq!(load_or_create_keyring(second.path()).unwrap().open("r", &sealed).unwrap(), "s3cret");
        let kept = fs::read(second.path().join("keyring.key")).unwrap();
        fs::remove_file(&handed).unwrap();
        load_or_create_keyring(first.path()).unwrap();
        assert_eq!(place(), Placed::Other);
        assert_eq!(fs::read(second.path().join("keyring.key")).unwrap(), kept);
        write(&handed, "nonsense", 0o644);
        assert!(place_keyring(second.path(), &handed).is_err());
    }
}
