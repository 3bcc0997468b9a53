//! Passwords as they are kept: argon2id, worked out on threads that nothing else waits for, and a few at a time.

use std::sync::Arc;

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;
use tokio::sync::Semaphore;
use usher_model::secret::Secret;

use crate::service::{ServiceError, random};

/// What a new password costs: 19 MiB, two passes, one lane, as OWASP recommends for argon2id.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;

/// The most that a stored password may cost to check, so that nobody can write one that stops everything.
const MOST_MEMORY_KIB: u32 = 256 * 1024;
const MOST_PASSES: u32 = 16;

/// The length of salt and hash, in bytes.
const SALT: usize = 16;
const HASH: usize = 32;

/// Passwords that are worked out at the same time; each takes a thread and its memory.
const TOGETHER: usize = 2;

/// A password as it is stored.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Hash {
    algorithm: Kind,
    memory_kib: u32,
    passes: u32,
    salt: String,
    hash: String,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
enum Kind {
    #[serde(rename = "argon2id")]
    Argon2id,
}

impl Hash {
    fn make(password: &Secret<String>) -> Option<Self> {
        let salt = random::<SALT>().ok()?;
        let hash = work(password, &salt, MEMORY_KIB, PASSES)?;
        Some(Self {
            algorithm: Kind::Argon2id,
            memory_kib: MEMORY_KIB,
            passes: PASSES,
            salt: STANDARD_NO_PAD.encode(salt),
            hash: STANDARD_NO_PAD.encode(hash),
        })
    }

    /// A hash that no password has, and that costs as much as any to check.
    fn of_nobody() -> Self {
        Self {
            algorithm: Kind::Argon2id,
            memory_kib: MEMORY_KIB,
            passes: PASSES,
            salt: STANDARD_NO_PAD.encode([0; SALT]),
            hash: String::new(),
        }
    }

    fn is_of(&self, password: &Secret<String>) -> bool {
        let Kind::Argon2id = self.algorithm;
        if self.memory_kib > MOST_MEMORY_KIB || self.passes > MOST_PASSES {
            return false;
        }
        let (salt, hash) = (STANDARD_NO_PAD.decode(&self.salt), STANDARD_NO_PAD.decode(&self.hash));
        let (Ok(salt), Ok(hash)) = (salt, hash) else { return false };
        let worked = work(password, &salt, self.memory_kib, self.passes);
        worked.is_some_and(|worked| worked.ct_eq(hash.as_slice()).into())
    }
}

fn work(password: &Secret<String>, salt: &[u8], memory_kib: u32, passes: u32) -> Option<[u8; HASH]> {
    let params = Params::new(memory_kib, passes, 1, Some(HASH)).ok()?;
    let mut hash = [0; HASH];
    let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    argon.hash_password_into(password.expose().as_bytes(), salt, &mut hash).ok()?;
    Some(hash)
}

/// Where passwords are worked out.
pub(in crate::service) struct Hashing(Arc<Semaphore>);

impl Default for Hashing {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(TOGETHER)))
    }
}

impl Hashing {
    pub(super) async fn make(&self, password: Secret<String>) -> Result<Hash, ServiceError> {
        let made = self.aside(move || Hash::make(&password)).await.flatten();
        made.ok_or_else(|| ServiceError::Damaged("the password could not be worked out".to_owned()))
    }

    pub(super) async fn check(&self, hash: Hash, password: Secret<String>) -> bool {
        self.aside(move || hash.is_of(&password)).await.unwrap_or(false)
    }

    /// Takes as long as a check, and is never right.
    pub(super) async fn check_nobody(&self, password: Secret<String>) -> bool {
        self.check(Hash::of_nobody(), password).await
    }

    async fn aside<T: Send + 'static>(&self, f: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        // Moved into the work, so that a caller who goes away doesn't let in more than there is room for.
        let permit = Arc::clone(&self.0).acquire_owned().await.ok()?;
        tokio::task::spawn_blocking(move || {
            let done = f();
            drop(permit);
            done
        })
        .await
        .ok()
    }
}

#[cfg(test)]
mod tests {
    use usher_model::secret::Secret;

    use super::{Hash, MOST_MEMORY_KIB};

    #[test]
    fn only_the_password_itself_is_right() {
        let secret = |text: &str| Secret::new(text.to_owned());
        let hash = Hash::make(&secret("correct horse")).unwrap();
        assert!(hash.is_of(&secret("correct horse")));
        for wrong in ["correct hors", "correct horse ", "", "x"] {
            assert!(!hash.is_of(&secret(wrong)), "{wrong}");
        }
        assert_ne!(Hash::make(&secret("correct horse")).unwrap().hash, hash.hash, "the salt is another");
        assert!(!Hash::of_nobody().is_of(&secret("")));
        let dear = Hash { memory_kib: MOST_MEMORY_KIB + 1, ..hash };
        assert!(!dear.is_of(&secret("correct horse")));
    }
}
