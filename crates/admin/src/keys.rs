//! The keys of the Admin API, and the key files in the data folder.
//!
//! A key is compared by its digest and in constant time, so that how long an answer takes says nothing about a key.

mod file;
mod guesses;

use std::fmt;
use std::path::PathBuf;

use aws_lc_rs::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use subtle::ConstantTimeEq as _;
use usher_model::change::Role;
use usher_model::compat::{Behaviour, Compat};
use usher_model::seal::BadSeal;
use usher_model::secret::Secret;

pub use file::{
    KeyFile, Placed, add_keyring_key, drop_older_keyring_keys, ephemeral_keyring, load_or_create,
    load_or_create_keyring, place_keyring,
};
pub use guesses::{Guess, Guesses, Passwords};

/// The keys that APISIX's documentation and older versions of it publish: an admin's and a viewer's.
const PUBLISHED: [&str; 2] = ["edd1c9f034335f136f87ad84b625c8f1", "4054f7cf07e344346cd3f287985e76a2"];

/// The least length of a key, in characters.
const LEAST: usize = 16;

/// A key as the settings give it.
#[derive(Clone, Debug)]
pub struct ConfiguredKey {
    /// The name that the history shows for changes made with it.
    pub name: String,
    /// The key itself.
    pub key: Secret<String>,
    /// What it may do.
    pub role: Role,
}

impl ConfiguredKey {
    /// A key that may do everything, named `admin`.
    #[must_use]
    pub fn admin(key: Secret<String>) -> Self {
        Self { name: "admin".to_owned(), key, role: Role::Admin }
    }
}

/// The keys that the Admin API takes.
#[derive(Clone)]
pub struct Keys {
    known: Vec<Known>,
}

#[derive(Clone)]
struct Known {
    name: String,
    role: Role,
    digest: [u8; SHA256_OUTPUT_LEN],
}

impl Keys {
    /// Checks keys; an empty list takes none. With [`Behaviour::KnownAdminKeys`], published and short keys are taken as well.
    ///
    /// # Errors
    /// A key that is published, shorter than 16 characters, given twice, of the same name as another, or that no header can carry.
    pub fn new(keys: Vec<ConfiguredKey>, compat: Compat) -> Result<Self, KeysError> {
        let mut known: Vec<Known> = Vec::with_capacity(keys.len());
        for ConfiguredKey { name, key, role } in keys {
            check(&name, key.expose(), compat)?;
            let digest = digest_of(key.expose().as_bytes());
            if let Some(first) = known.iter().find(|known| known.digest == digest) {
                return Err(KeysError::Twice { first: first.name.clone(), second: name });
            }
            if known.iter().any(|known| known.name.eq_ignore_ascii_case(&name)) {
                return Err(KeysError::SameName { name });
            }
            known.push(Known { name, role, digest });
        }
        Ok(Self { known })
    }

    /// The names of all keys.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.known.iter().map(|known| known.name.clone()).collect()
    }

    /// The role of the key of this name.
    pub(crate) fn role_of(&self, name: &str) -> Option<Role> {
        self.known.iter().find(|known| known.name == name).map(|known| known.role)
    }

    /// What tells the key of this name from another that it may have in other settings, and nothing of the key itself.
    pub(crate) fn tag_of(&self, name: &str) -> Option<[u8; SHA256_OUTPUT_LEN]> {
        let known = self.known.iter().find(|known| known.name == name)?;
        Some(digest_of(&[b"console\n", known.digest.as_slice()].concat()))
    }

    /// Name and role of the key that was given, if it is one of these.
    pub(crate) fn find(&self, given: &[u8]) -> Option<(&str, Role)> {
        let given = digest_of(given);
        let mut found = None;
        // To the end whatever was found, so that the place in the list doesn't show either.
        for known in &self.known {
            if bool::from(known.digest.ct_eq(&given)) {
                found = Some((known.name.as_str(), known.role));
            }
        }
        found
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.known.iter().map(|known| (&known.name, known.role))).finish()
    }
}

fn check(name: &str, key: &str, compat: Compat) -> Result<(), KeysError> {
    if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(KeysError::BadCharacter { name: name.to_owned() });
    }
    if compat.has(Behaviour::KnownAdminKeys) {
        return Ok(());
    }
    if PUBLISHED.contains(&key) {
        return Err(KeysError::Published { name: name.to_owned() });
    }
    if key.len() < LEAST {
        return Err(KeysError::TooShort { name: name.to_owned(), length: key.len() });
    }
    Ok(())
}

fn digest_of(key: &[u8]) -> [u8; SHA256_OUTPUT_LEN] {
    let mut copy = [0; SHA256_OUTPUT_LEN];
    copy.copy_from_slice(digest(&SHA256, key).as_ref());
    copy
}

/// Why keys can't be used. Names keys and files, never what is in them.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// Everybody knows it.
    #[error(
        "the admin key \"{name}\" is one that APISIX publishes, so everybody knows it; choose another, or allow it with \
         compat: [known-admin-keys]"
    )]
    Published {
        /// The key's name.
        name: String,
    },
    /// It could be guessed.
    #[error(
        "the admin key \"{name}\" has {length} characters, but at least {LEAST} are needed; `openssl rand -hex 16` makes a good one"
    )]
    TooShort {
        /// The key's name.
        name: String,
        /// Its length, in characters.
        length: usize,
    },
    /// The header `X-API-KEY` can't carry it.
    #[error(
        "the admin key \"{name}\" is empty, or holds a blank or a character outside ASCII; use letters and digits"
    )]
    BadCharacter {
        /// The key's name.
        name: String,
    },
    /// Two keys are the same, so the history couldn't tell who acted.
    #[error("the admin keys \"{first}\" and \"{second}\" are the same; give each its own")]
    Twice {
        /// The first key's name.
        first: String,
        /// The second one's.
        second: String,
    },
    /// Two keys have one name, so the history couldn't tell who acted.
    #[error(
        "two admin keys have the name \"{name}\"; give each its own, so that the history tells who acted"
    )]
    SameName {
        /// The name.
        name: String,
    },
    /// Others than its owner may use the file.
    #[error("{} may be read by others (mode {mode:o}); run chmod 600 {}", path.display(), path.display())]
    Readable {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The file holds something else than it should.
    #[error("{} is damaged: {reason}; {next}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
        /// What to do.
        next: &'static str,
    },
    /// The file can't be read or made.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What happened.
        source: std::io::Error,
    },
    /// The keyring can't be used.
    #[error(transparent)]
    Keyring(#[from] BadSeal),
}

#[cfg(test)]
mod tests {
    use usher_model::change::Role;
    use usher_model::compat::{Behaviour, Compat};
    use usher_model::secret::Secret;

    use super::{ConfiguredKey, Keys, PUBLISHED};

    fn named(name: &str, key: &str) -> ConfiguredKey {
        ConfiguredKey { name: name.to_owned(), key: Secret::new(key.to_owned()), role: Role::Viewer }
    }

    #[test]
    fn finds_a_key_by_the_whole_of_it() {
        let keys = Keys::new(
            vec![
                named("ops", "abcdefghijklmnop"),
                ConfiguredKey::admin(Secret::new("qrstuvwxyz012345".to_owned())),
            ],
            Compat::NONE,
        )
        .unwrap();
        for (given, wanted) in [
            ("abcdefghijklmnop", Some(("ops", Role::Viewer))),
            ("qrstuvwxyz012345", Some(("admin", Role::Admin))),
            ("abcdefghijklmno", None),
            ("abcdefghijklmnopq", None),
            ("", None),
        ] {
            assert_eq!(keys.find(given.as_bytes()), wanted, "{given}");
        }
        assert!(!format!("{keys:?}").contains("abcdef"));
        let other = Keys::new(vec![named("ops", "another-key-of-that-name")], Compat::NONE).unwrap();
        assert_eq!(keys.tag_of("ops"), keys.tag_of("ops"));
        assert!(keys.tag_of("ops") != other.tag_of("ops") && other.tag_of("admin").is_none());
        assert_eq!(Keys::new(Vec::new(), Compat::NONE).unwrap().find(b""), None);
    }

    #[test]
    fn refuses_keys_that_protect_nothing() {
        for (keys, part) in [
            (vec![named("a", PUBLISHED[0])], "publishes"),
            (vec![named("a", PUBLISHED[1])], "known-admin-keys"),
            (vec![named("a", "short")], "has 5 characters"),
            (vec![named("a", "")], "is empty"),
            (vec![named("a", "with a blank in it")], "blank"),
            (vec![named("a", "ümlauts-are-no-good")], "ASCII"),
            (
                vec![named("a", "abcdefghijklmnop"), named("b", "abcdefghijklmnop")],
                "\"a\" and \"b\" are the same",
            ),
            (vec![named("a", "abcdefghijklmnop"), named("A", "qrstuvwxyz012345")], "have the name \"A\""),
        ] {
            let text = Keys::new(keys, Compat::NONE).unwrap_err().to_string();
            assert!(text.contains(part), "{part} is missing in: {text}");
        }
    }

    #[test]
    fn takes_published_and_short_keys_only_when_told_to() {
        let compat = Compat::NONE.with(Behaviour::KnownAdminKeys);
        let keys = Keys::new(vec![named("a", PUBLISHED[0]), named("b", "short")], compat).unwrap();
        assert_eq!(keys.find(PUBLISHED[0].as_bytes()), Some(("a", Role::Viewer)));
        assert!(Keys::new(vec![named("a", "")], compat).is_err());
    }
}
