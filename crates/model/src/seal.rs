//! Seals secrets for the store: AES-256-GCM with a random nonce, bound to the record that holds them.
//!
//! A sealed text describes itself (`$usher$1$<key>$<base64>`), so that whoever reads a record can open it without its schema. The record's key
//! is additional data: a sealed text that is copied to another record doesn't open there.
//!
//! A store that was or is an APISIX's holds texts in another form, which don't describe themselves: they are opened only at places that schemas
//! mark, with the keys of its `data_encryption.keyring`.

mod apisix;
mod reseal;

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde_json::Value;

use apisix::ApisixKey;
pub use apisix::PUBLIC_KEYS as APISIX_PUBLIC_KEYS;
pub use reseal::Reseal;

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
    /// A key of APISIX's keyring has a length that AES-CBC doesn't take.
    #[error("a key of apisix.data_encryption.keyring has {0} bytes; give keys of 16 or 32 bytes")]
    ApisixKey(usize),
    /// The system gave no random bytes.
    #[error("no random bytes are to be had from the system")]
    NoRandom,
}

/// Keys: the first seals, any opens.
pub struct Keyring {
    keys: Vec<Key>,
    apisix: Vec<ApisixKey>,
    writes_apisix: bool,
}

/// What a text at a place that a schema marks turned out to be.
#[derive(Clone, PartialEq, Eq)]
pub enum Opened {
    /// It was sealed or encrypted; this is what it holds.
    Secret(String),
    /// It stands there in clear.
    Clear,
    /// It looks encrypted in APISIX's form, and no key that is here opens it: it is taken as it stands, as APISIX does.
    Foreign,
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
        if keys.is_empty() {
            Err(BadSeal::NoKey)
        } else {
            Ok(Self { keys, apisix: Vec::new(), writes_apisix: false })
        }
    }

    /// The same ring, which also opens what these keys of an APISIX's `data_encryption.keyring` encrypted (16 or 32 bytes each, the first
    /// encrypts). `write` makes it encrypt in that form instead of sealing, wherever an APISIX has to read the store.
    ///
    /// # Errors
    /// A key has another length.
    pub fn with_apisix(mut self, keys: &[Vec<u8>], write: bool) -> Result<Self, BadSeal> {
        let made = keys.iter().map(|bytes| ApisixKey::new(bytes).ok_or(BadSeal::ApisixKey(bytes.len())));
        self.apisix = made.collect::<Result<_, _>>()?;
        self.writes_apisix = write && !self.apisix.is_empty();
        Ok(self)
    }

    /// Whether it opens what an APISIX encrypted.
    #[must_use]
    pub const fn opens_apisix(&self) -> bool {
        !self.apisix.is_empty()
    }

    /// Whether secrets are written in APISIX's form.
    #[must_use]
    pub const fn writes_apisix(&self) -> bool {
        self.writes_apisix
    }

    /// Encrypts in APISIX's form; `None` where the ring has no key for that.
    #[must_use]
    pub fn encrypt_apisix(&self, plain: &str) -> Option<String> {
        self.apisix.first().and_then(|key| key.encrypt(plain))
    }

    /// Opens a text at a place that a schema marks, in whatever form it is there.
    ///
    /// # Errors
    /// It is sealed and can't be opened.
    pub fn open_marked(&self, aad: &str, text: &str) -> Result<Opened, BadSeal> {
        if is_sealed(text) {
            return self.open(aad, text).map(Opened::Secret);
        }
        if self.apisix.is_empty() {
            return Ok(Opened::Clear);
        }
        let Some(bytes) = apisix::blocks(text) else { return Ok(Opened::Clear) };
        let plain = self.apisix.iter().find_map(|key| key.decrypt(&bytes));
        Ok(plain.map_or(Opened::Foreign, Opened::Secret))
    }

    /// What a text at a marked place holds; what can't be opened holds nothing.
    #[must_use]
    pub fn plain_of(&self, aad: &str, text: &str) -> String {
        match self.open_marked(aad, text) {
            Ok(Opened::Secret(plain)) => plain,
            Ok(Opened::Clear | Opened::Foreign) => text.to_owned(),
            Err(_) => String::new(),
        }
    }

    /// The names of the keys, the newest first; they say nothing of the keys.
    #[must_use]
    pub fn ids(&self) -> Vec<&str> {
        self.keys.iter().map(|key| key.id.as_str()).collect()
    }

    /// Whether the first key sealed a text.
    #[must_use]
    pub fn is_newest(&self, sealed: &str) -> bool {
        let id = sealed.strip_prefix(PREFIX).and_then(|rest| rest.split_once('$')).map(|(id, _)| id);
        self.keys.first().is_some_and(|key| id == Some(key.id.as_str()))
    }

    /// Whether a value holds a text that another key than the first sealed: such a record has to be sealed anew before that key can go.
    #[must_use]
    pub fn has_older_seals(&self, value: &Value) -> bool {
        match value {
            Value::String(text) => is_sealed(text) && !self.is_newest(text),
            Value::Array(items) => items.iter().any(|item| self.has_older_seals(item)),
            Value::Object(members) => members.values().any(|member| self.has_older_seals(member)),
            _ => false,
        }
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
        let mut nonce = [0; NONCE_LEN];
        aws_lc_rs::rand::fill(&mut nonce).map_err(|_| BadSeal::NoRandom)?;
        self.seal_with(aad, plain, nonce)
    }

    /// Seals anew with the first key what another key of the ring sealed. The nonce follows from what there is, so that equal texts of one record
    /// become equal again, in whichever run.
    pub(crate) fn reseal(&self, aad: &str, sealed: &str) -> Result<String, BadSeal> {
        let key = self.keys.first().ok_or(BadSeal::NoKey)?;
        let plain = self.open(aad, sealed)?;
        let tag = hmac::sign(&key.mac, ["usher reseal", aad, sealed].join("\n").as_bytes());
        let mut nonce = [0; NONCE_LEN];
        nonce.iter_mut().zip(tag.as_ref()).for_each(|(to, from)| *to = *from);
        self.seal_with(aad, &plain, nonce)
    }

    fn seal_with(&self, aad: &str, plain: &str, nonce: [u8; NONCE_LEN]) -> Result<String, BadSeal> {
        let key = self.keys.first().ok_or(BadSeal::NoKey)?;
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
        self.tag(text, 3)
    }

    /// The same, long enough that no two texts have one.
    #[must_use]
    pub fn digest(&self, text: &str) -> String {
        self.tag(text, 16)
    }

    fn tag(&self, text: &str, bytes: usize) -> String {
        self.keys.first().map_or_else(String::new, |key| {
            let tag = hmac::sign(&key.mac, text.as_bytes());
            tag.as_ref().iter().take(bytes).map(|byte| format!("{byte:02x}")).collect()
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
        write!(f, "Keyring({} keys, {} of APISIX)", self.keys.len(), self.apisix.len())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{APISIX_PUBLIC_KEYS, BadSeal, Keyring, Opened, is_sealed};

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
    #[test]
    fn what_an_apisix_encrypted_is_opened_and_what_it_did_not_is_left() {
        let keys = APISIX_PUBLIC_KEYS.map(|key| key.as_bytes().to_vec());
        let ring = || Keyring::generate().unwrap().0;
        let apisix = ring().with_apisix(&keys, true).unwrap();
        // As `echo -n auth-one | openssl enc -aes-128-cbc -K <key> -iv <key> -base64` writes it.
        let known = "4y+JvURBE6ZwRbbgaryrhg==";
        assert_eq!(apisix.encrypt_apisix("auth-one").as_deref(), Some(known));
        let second = ring()
            .with_apisix(&[b"0123456789abcdef0123456789abcdef".to_vec(), keys[0].clone()], false)
            .unwrap();
        assert!(apisix.writes_apisix() && !second.writes_apisix());
        for (ring, text, wanted) in [
            (&apisix, known, Some("auth-one")),
            (&second, known, Some("auth-one")),
            (&apisix, "auth-one", None),
            (&apisix, "AAAA", None),
            (&ring(), known, None),
        ] {
            let opened = ring.open_marked("r", text).unwrap();
            assert!(
                opened == wanted.map_or(Opened::Clear, |plain| Opened::Secret(plain.to_owned())),
                "{text}"
            );
        }
        let strange = second.encrypt_apisix("auth-one").unwrap();
        assert!(apisix.open_marked("r", &strange).unwrap() == Opened::Foreign);
        assert_eq!(apisix.plain_of("r", &strange), strange);
        let sealed = apisix.seal("r", "x").unwrap();
        assert!(apisix.open_marked("r", &sealed).unwrap() == Opened::Secret("x".to_owned()));
        assert!(matches!(ring().with_apisix(&[vec![1; 24]], false), Err(BadSeal::ApisixKey(24))));
    }
}
