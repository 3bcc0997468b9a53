//! Seals secrets for the store: AES-256-GCM with a random nonce, bound to the record that holds them.
//!
//! A sealed text describes itself (`$usher$1$<key>$<base64>`), so that whoever reads a record can open it without its schema. The record's key
//! is additional data: a sealed text that is copied to another record doesn't open there.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde_json::Value;

const PREFIX: &str = "$usher$1$";

/// The length of a key, in bytes.
pub const KEY_BYTES: usize = 32;

/// A text that can't be opened, or a key that can't be used. Says where, never what.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSeal {
    /// Damaged, or sealed for another record.
    #[error("a secret of {0} can't be opened: it is damaged, or was sealed for another record")]
    Damaged(String),
    /// No key of the ring sealed it.
    #[error(
        "a secret of {0} was sealed with a key that is not in the keyring; bring back the keyring that was in use then"
    )]
    UnknownKey(String),
    /// No key, or one of the wrong length.
    #[error("the keyring needs at least one key, each of 32 bytes")]
    NoKey,
    /// The system gave no random bytes.
    #[error("no random bytes are to be had from the system")]
    NoRandom,
}

/// Keys: the first seals, any opens.
pub struct Keyring {
    keys: Vec<Key>,
}

struct Key {
    id: String,
    aead: LessSafeKey,
    mac: hmac::Key,
}

impl Keyring {
    /// A ring of these keys, 32 bytes each, the newest first.
    ///
    /// # Errors
    /// There is none, or one has another length.
    pub fn new(keys: &[Vec<u8>]) -> Result<Self, BadSeal> {
        let keys: Vec<Key> = keys.iter().map(|bytes| Key::new(bytes)).collect::<Result<_, _>>()?;
        if keys.is_empty() { Err(BadSeal::NoKey) } else { Ok(Self { keys }) }
    }

    /// A ring with one new random key, and the key itself for keeping.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub fn generate() -> Result<(Self, Vec<u8>), BadSeal> {
        let mut bytes = vec![0; KEY_BYTES];
        aws_lc_rs::rand::fill(&mut bytes).map_err(|_| BadSeal::NoRandom)?;
        Ok((Self::new(std::slice::from_ref(&bytes))?, bytes))
    }

    /// Seals a text for the record `aad`.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub fn seal(&self, aad: &str, plain: &str) -> Result<String, BadSeal> {
        let key = self.keys.first().ok_or(BadSeal::NoKey)?;
        let mut nonce = [0; NONCE_LEN];
        aws_lc_rs::rand::fill(&mut nonce).map_err(|_| BadSeal::NoRandom)?;
        let mut sealed = plain.as_bytes().to_vec();
        key.aead
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(aad.as_bytes()),
                &mut sealed,
            )
            .map_err(|_| BadSeal::Damaged(aad.to_owned()))?;
        let body = [nonce.as_slice(), &sealed].concat();
        Ok(format!("{PREFIX}{}${}", key.id, STANDARD_NO_PAD.encode(body)))
    }

    /// Opens a sealed text of the record `aad`.
    ///
    /// # Errors
    /// It is damaged, of another record, or sealed with a key that isn't here.
    pub fn open(&self, aad: &str, sealed: &str) -> Result<String, BadSeal> {
        let damaged = || BadSeal::Damaged(aad.to_owned());
        let (id, body) =
            sealed.strip_prefix(PREFIX).and_then(|rest| rest.split_once('$')).ok_or_else(damaged)?;
        let key =
            self.keys.iter().find(|key| key.id == id).ok_or_else(|| BadSeal::UnknownKey(aad.to_owned()))?;
        let mut body = STANDARD_NO_PAD.decode(body).map_err(|_| damaged())?;
        if body.len() < NONCE_LEN {
            return Err(damaged());
        }
        let mut rest = body.split_off(NONCE_LEN);
        let nonce = Nonce::try_assume_unique_for_key(&body).map_err(|_| damaged())?;
        let plain =
            key.aead.open_in_place(nonce, Aad::from(aad.as_bytes()), &mut rest).map_err(|_| damaged())?;
        String::from_utf8(plain.to_vec()).map_err(|_| damaged())
    }

    /// Opens every sealed text inside a value of the record `aad`.
    ///
    /// # Errors
    /// The first that can't be opened; the value may be half opened then and must not be used.
    pub fn open_all(&self, aad: &str, value: &mut Value) -> Result<(), BadSeal> {
        match value {
            Value::String(text) if is_sealed(text) => {
                *text = self.open(aad, text)?;
                Ok(())
            }
            Value::Array(items) => items.iter_mut().try_for_each(|item| self.open_all(aad, item)),
            Value::Object(members) => members.values_mut().try_for_each(|member| self.open_all(aad, member)),
            _ => Ok(()),
        }
    }

    /// A short fingerprint of a text: equal texts have equal ones, and nobody without the key can make one.
    #[must_use]
    pub fn fingerprint(&self, text: &str) -> String {
        self.keys.first().map_or_else(String::new, |key| {
            let tag = hmac::sign(&key.mac, text.as_bytes());
            tag.as_ref().iter().take(3).map(|byte| format!("{byte:02x}")).collect()
        })
    }
}

impl Key {
    fn new(bytes: &[u8]) -> Result<Self, BadSeal> {
        let unbound = UnboundKey::new(&AES_256_GCM, bytes).map_err(|_| BadSeal::NoKey)?;
        let derived = |purpose: &str| digest(&SHA256, &[purpose.as_bytes(), bytes].concat());
        let id =
            derived("usher key id\n").as_ref().iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        let mac = hmac::Key::new(hmac::HMAC_SHA256, derived("usher fingerprint\n").as_ref());
        Ok(Self { id, aead: LessSafeKey::new(unbound), mac })
    }
}

/// Whether a text is a sealed one.
#[must_use]
pub fn is_sealed(text: &str) -> bool {
    text.starts_with(PREFIX)
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keyring({} keys)", self.keys.len())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{BadSeal, Keyring, is_sealed};

    #[test]
    fn a_seal_opens_for_its_record_alone() {
        let (ring, key) = Keyring::generate().unwrap();
        let sealed = ring.seal("/apisix/consumers/a", "s3cret").unwrap();
        assert!(is_sealed(&sealed) && !sealed.contains("s3cret"));
        assert_eq!(ring.open("/apisix/consumers/a", &sealed).unwrap(), "s3cret");
        assert!(matches!(ring.open("/apisix/consumers/b", &sealed), Err(BadSeal::Damaged(_))));
        assert_ne!(sealed, ring.seal("/apisix/consumers/a", "s3cret").unwrap());
        let (other, other_key) = Keyring::generate().unwrap();
        assert!(matches!(other.open("/apisix/consumers/a", &sealed), Err(BadSeal::UnknownKey(_))));
        let rotated = Keyring::new(&[other_key, key]).unwrap();
        assert_eq!(rotated.open("/apisix/consumers/a", &sealed).unwrap(), "s3cret");
    }

    #[test]
    fn every_flipped_character_is_noticed() {
        let (ring, _) = Keyring::generate().unwrap();
        let sealed = ring.seal("r", "s3cret").unwrap();
        for at in 0..sealed.len() {
            let mut bytes = sealed.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let flipped = String::from_utf8(bytes).unwrap();
            // The last character carries bits that base64 ignores only when they are zero, so no flip passes.
            assert!(ring.open("r", &flipped).is_err(), "{at}");
        }
    }

    #[test]
    fn everything_sealed_inside_a_value_is_opened() {
        let (ring, _) = Keyring::generate().unwrap();
        let seal = |text| ring.seal("r", text).unwrap();
        let mut value = json!({ "a": seal("1"), "b": [{ "c": seal("2") }], "d": "plain" });
        ring.open_all("r", &mut value).unwrap();
        assert_eq!(value, json!({ "a": "1", "b": [{ "c": "2" }], "d": "plain" }));
    }
}
