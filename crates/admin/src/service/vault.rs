//! The secrets of resources: where they are, and how they are sealed for the store, opened for a check, masked for readers.
//!
//! Which members are secret is known to [`usher_pipeline::secrets`], so that the proxy opens what is sealed here.

mod addresses;
mod rotate;

pub use rotate::{KeyringState, Resealed};

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;
use usher_model::kind::{Key, Kind};
use usher_model::mask::{FieldPath, is_mask, is_reference, mask, mask_at, unmask};
use usher_model::seal::{BadSeal, Keyring, Opened, is_sealed};
use usher_pipeline::registry::Registry;
use usher_pipeline::secrets::{self, Opening, Place, Source};

use super::references::pointer_part;

/// What is shown where a sentence would repeat a secret.
const HIDDEN: &str = "***";

/// Secrets shorter than this are hidden only where they stand in quotes: as bare text they would take ordinary words to pieces.
const TELLING: usize = 4;

/// Finds, seals, opens and masks secrets.
pub(super) struct Vault {
    keyring: Arc<Keyring>,
    registry: Arc<Registry>,
    /// Whether it was said that something is encrypted with a foreign key: once is enough.
    warned: AtomicBool,
}

impl Vault {
    pub(super) const fn new(keyring: Arc<Keyring>, registry: Arc<Registry>) -> Self {
        Self { keyring, registry, warned: AtomicBool::new(false) }
    }

    fn places(&self, key: &Key, value: &Value) -> Vec<Place> {
        secrets::places(&self.registry, key, value)
    }

    /// Masks every secret of a value, sealed or not.
    pub(super) fn mask(&self, key: &Key, value: &mut Value) {
        let record = key.path();
        let paths: Vec<FieldPath> = self.places(key, value).into_iter().map(|place| place.path).collect();
        mask_at(&self.keyring, &record, value, &paths);
        // What was sealed by a schema that has changed since stays a secret.
        each_text_mut(value, &mut |text| {
            if is_sealed(text) {
                *text = mask(&self.keyring, &self.keyring.open(&record, text).unwrap_or_default());
            }
        });
    }

    /// Masks what no reader at all is shown: private keys of certificates and upstreams.
    pub(super) fn mask_own(&self, key: &Key, value: &mut Value) {
        let places = self.places(key, value).into_iter().filter(|place| place.source == Source::Key);
        let paths: Vec<FieldPath> = places.map(|place| place.path).collect();
        mask_at(&self.keyring, &key.path(), value, &paths);
    }

    /// The value as readers without a right to secrets see it.
    pub(super) fn masked(&self, key: &Key, value: &Value) -> Value {
        let mut copy = value.clone();
        self.mask(key, &mut copy);
        copy
    }

    /// Opens every secret. `false` where something sealed can't be opened; it stays sealed then.
    pub(super) fn open(&self, key: &Key, value: &mut Value) -> bool {
        match secrets::open(&self.keyring, &self.registry, key, value) {
            Ok(Opening::Foreign) if !self.warned.swap(true, Ordering::Relaxed) => {
                tracing::warn!(
                    %key,
                    "a field looks as if it was encrypted with a key that apisix.data_encryption.keyring doesn't have; it is taken as it stands"
                );
                true
            }
            opening => opening.is_ok(),
        }
    }

    /// Opens private keys that a caller gives back as an APISIX showed them: encrypted.
    pub(super) fn open_given(&self, key: &Key, value: &mut Value) {
        if !self.keyring.opens_apisix() {
            return;
        }
        let record = key.path();
        for place in self.places(key, value).iter().filter(|place| place.source == Source::Key) {
            place.path.for_each_mut(value, &mut |text| {
                if let Ok(Opened::Secret(plain)) = self.keyring.open_marked(&record, text)
                    && !is_sealed(text)
                {
                    *text = plain;
                }
            });
        }
    }

    /// Puts what is stored back where a value holds its mask.
    ///
    /// # Errors
    /// The sentence and the JSON pointer of a mask that belongs to nothing stored.
    pub(super) fn unmask(
        &self,
        key: &Key,
        value: &mut Value,
        stored: Option<&Value>,
    ) -> Result<(), (String, String)> {
        let record = key.path();
        for place in self.places(key, value) {
            let mut holds_mask = false;
            place.path.for_each_mut(value, &mut |text| holds_mask |= is_mask(text));
            if !holds_mask {
                continue;
            }
            unmask(&self.keyring, &record, value, stored, std::slice::from_ref(&place.path))
                .map_err(|sentence| (sentence, place.pointer))?;
        }
        Ok(())
    }

    /// Seals every secret of a clear value. A secret that one of the `known` values of this resource holds sealed keeps that very text, so that
    /// an edit elsewhere doesn't touch it and an undo brings the stored bytes back.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub(super) fn seal(&self, key: &Key, clear: &Value, known: &[&Value]) -> Result<Value, BadSeal> {
        let record = key.path();
        let mut sealed = clear.clone();
        let places = self.places(key, clear);
        if places.is_empty() {
            return Ok(sealed);
        }
        let mut kept = HashMap::new();
        for value in known {
            each_text(value, &mut |text| {
                if is_sealed(text)
                    && let Ok(plain) = self.keyring.open(&record, text)
                {
                    kept.insert(plain, text.to_owned());
                }
            });
        }
        let mut failed = None;
        for place in places {
            place.path.for_each_mut(&mut sealed, &mut |text| {
                if is_sealed(text) || is_reference(text) {
                    return;
                }
                if self.keyring.writes_apisix() {
                    // Whatever reads the same store would take our seal, or a ciphertext where it expects none, for the secret itself.
                    if place.source.is_encrypted_by_apisix(text)
                        && let Some(encrypted) = self.keyring.encrypt_apisix(text)
                    {
                        *text = encrypted;
                    }
                    return;
                }
                match kept.get(text.as_str()) {
                    Some(same) => text.clone_from(same),
                    None => match self.keyring.seal(&record, text) {
                        Ok(made) => *text = made,
                        Err(error) => failed = Some(error),
                    },
                }
            });
        }
        failed.map_or(Ok(sealed), Err)
    }

    /// A sentence about a clear value, with its secrets and the users of its URLs taken out.
    pub(super) fn scrub(&self, kind: Kind, value: &Value, sentence: &str) -> String {
        let mut secrets = Vec::new();
        let mut copy = value.clone();
        let id = value.get("id").and_then(Value::as_str).unwrap_or_default();
        for place in self.places(&Key::new(kind, id), value) {
            place.path.for_each_mut(&mut copy, &mut |text| secrets.push(text.clone()));
        }
        // A whole body given as text may be nothing but the secret.
        let bodies = value.get("plugins").and_then(Value::as_object);
        secrets.extend(
            bodies
                .into_iter()
                .flat_map(|all| all.iter())
                .filter(|(name, _)| {
                    !self.registry.secrets(name).is_empty()
                        || !self.registry.credential_secrets(name).is_empty()
                })
                .filter_map(|(_, body)| body.as_str().map(str::to_owned)),
        );
        secrets.retain(|secret| !secret.is_empty() && !is_reference(secret));
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        let mut said = sentence.to_owned();
        for secret in secrets {
            let quoted =
                [format!("\"{secret}\""), Value::String(secret.clone()).to_string(), format!("{secret:?}")];
            for form in &quoted {
                said = said.replace(form, &format!("\"{HIDDEN}\""));
            }
            if secret.len() >= TELLING {
                for form in
                    std::iter::once(secret.as_str()).chain(quoted.iter().map(|form| form.trim_matches('"')))
                {
                    said = said.replace(form, HIDDEN);
                }
            }
        }
        addresses::without_users(&said)
    }
}

/// Whether a value holds a sealed text anywhere, with the JSON pointer of the first.
pub(super) fn sealed_inside(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => is_sealed(text).then(String::new),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .find_map(|(at, item)| sealed_inside(item).map(|below| format!("/{at}{below}"))),
        Value::Object(members) => members.iter().find_map(|(name, member)| {
            sealed_inside(member).map(|below| format!("/{}{below}", pointer_part(name)))
        }),
        _ => None,
    }
}

fn each_text(value: &Value, f: &mut impl FnMut(&str)) {
    match value {
        Value::String(text) => f(text),
        Value::Array(items) => items.iter().for_each(|item| each_text(item, f)),
        Value::Object(members) => members.values().for_each(|member| each_text(member, f)),
        _ => {}
    }
}

fn each_text_mut(value: &mut Value, f: &mut impl FnMut(&mut String)) {
    match value {
        Value::String(text) => f(text),
        Value::Array(items) => items.iter_mut().for_each(|item| each_text_mut(item, f)),
        Value::Object(members) => members.values_mut().for_each(|member| each_text_mut(member, f)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;
    use usher_model::kind::{Key, Kind};
    use usher_model::seal::{APISIX_PUBLIC_KEYS, Keyring};
    use usher_pipeline::registry::Registry;

    use super::{Vault, sealed_inside};

    fn vault() -> Vault {
        Vault::new(Arc::new(Keyring::generate().unwrap().0), Arc::new(Registry::new(&[])))
    }

    #[test]
    fn an_unchanged_secret_keeps_its_sealed_text() {
        let vault = vault();
        let key = Key::new(Kind::Upstream, "1");
        let clear = json!({ "tls": { "client_key": "one" }, "desc": "a" });
        let stored = vault.seal(&key, &clear, &[]).unwrap();
        assert_eq!(sealed_inside(&stored).as_deref(), Some("/tls/client_key"));
        let same =
            vault.seal(&key, &json!({ "tls": { "client_key": "one" }, "desc": "b" }), &[&stored]).unwrap();
        assert_eq!(same["tls"], stored["tls"]);
        let other = vault.seal(&key, &json!({ "tls": { "client_key": "two" } }), &[&stored]).unwrap();
        assert_ne!(other["tls"], stored["tls"]);
        let mut opened = stored.clone();
        assert!(vault.open(&key, &mut opened));
        assert_eq!(opened, clear);
        assert!(!vault.open(&Key::new(Kind::Upstream, "2"), &mut stored.clone()));
    }

    #[test]
    fn a_store_shared_with_an_apisix_is_written_as_it_reads() {
        let keys = APISIX_PUBLIC_KEYS.map(|key| key.as_bytes().to_vec());
        let ring = Keyring::generate().unwrap().0.with_apisix(&keys, true).unwrap();
        let encrypted = ring.encrypt_apisix("--- one").unwrap();
        let vault = Vault::new(Arc::new(ring), Arc::new(Registry::new(&[])));
        let upstream = Key::new(Kind::Upstream, "1");
        let clear = json!({ "tls": { "client_key": "--- one" } });
        let stored = vault.seal(&upstream, &clear, &[]).unwrap();
        assert_eq!(stored, json!({ "tls": { "client_key": encrypted } }));
        let mut opened = stored.clone();
        assert!(vault.open(&upstream, &mut opened));
        assert_eq!(opened, clear);
        assert_eq!(vault.masked(&upstream, &stored), vault.masked(&upstream, &clear));
        let mut given = stored.clone();
        vault.open_given(&upstream, &mut given);
        assert_eq!(given, clear);
        // What an APISIX keeps in clear stays so.
        let manager = json!({ "token": "t" });
        assert_eq!(vault.seal(&Key::new(Kind::Secret, "vault/1"), &manager, &[]).unwrap(), manager);
    }

    #[test]
    fn sentences_do_not_repeat_secrets() {
        let vault = vault();
        for (secret, sentence, wanted) in [
            (
                "hunter2",
                "failed to match pattern \"^x\" with \"hunter2\"",
                "failed to match pattern \"^x\" with \"***\"",
            ),
            (
                "a\"b\nc",
                "invalid type: string \"a\\\"b\\nc\", expected u8",
                "invalid type: string \"***\", expected u8",
            ),
            (
                "ab",
                "\"ab\" is shorter than 9 characters, about",
                "\"***\" is shorter than 9 characters, about",
            ),
            ("hunter2", "got: hunter2", "got: ***"),
        ] {
            let value = json!({ "tls": { "client_key": secret } });
            assert_eq!(vault.scrub(Kind::Upstream, &value, sentence), wanted);
        }
    }
}
