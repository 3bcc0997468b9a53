//! The secrets of resources: where they are, and how they are sealed for the store, opened for a check, masked for readers.
//!
//! Which members are secret is what schemas mark, so that a new plugin is covered by its schema alone; and besides, those of plugin bodies whose
//! names say so.

mod addresses;
mod unmarked;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde_json::Value;
use usher_model::kind::{Key, Kind};
use usher_model::mask::{FieldPath, is_mask, mask, mask_at, unmask};
use usher_model::seal::{BadSeal, Keyring, is_sealed};
use usher_pipeline::registry::Registry;

use super::references::pointer_part;

/// What is shown where a sentence would repeat a secret.
const HIDDEN: &str = "***";

/// Secrets shorter than this are hidden only where they stand in quotes: as bare text they would take ordinary words to pieces.
const TELLING: usize = 4;

/// Finds, seals, opens and masks secrets.
pub(super) struct Vault {
    keyring: Arc<Keyring>,
    registry: Arc<Registry>,
}

/// One member that is secret.
struct Place {
    path: FieldPath,
    pointer: String,
}

impl Place {
    fn below(parents: &[&str], path: &str) -> Self {
        let pointer = parents.iter().copied().chain(path.split('.'));
        Self {
            path: FieldPath::below(parents, path),
            pointer: pointer.map(|name| format!("/{}", pointer_part(name))).collect(),
        }
    }

    /// The member that these names lead to. The last name of a path must not hold a dot: where it does, all texts beside it are secret too.
    fn at(names: &[&str]) -> Self {
        match names.split_last() {
            Some((last, parents)) if last.contains('.') => Self::at(parents),
            Some((last, parents)) => Self::below(parents, last),
            None => Self::below(&[], ""),
        }
    }
}

/// The secret that a resource holds outside its plugins.
fn own_place(kind: Kind) -> Option<Place> {
    match kind {
        Kind::Upstream => Some(Place::below(&[], "tls.client_key")),
        Kind::Route | Kind::Service => Some(Place::below(&["upstream"], "tls.client_key")),
        _ => None,
    }
}

/// Each place once, and none inside another: what is masked twice has another mask.
fn distinct(mut places: Vec<Place>) -> Vec<Place> {
    if places.len() > 1 {
        places.sort_by_key(|place| place.pointer.len());
        let mut known: HashSet<String> = HashSet::new();
        places.retain(|place| {
            let mut above =
                place.pointer.match_indices('/').skip(1).filter_map(|(at, _)| place.pointer.get(..at));
            !above.any(|above| known.contains(above)) && known.insert(place.pointer.clone())
        });
    }
    places
}

impl Vault {
    pub(super) const fn new(keyring: Arc<Keyring>, registry: Arc<Registry>) -> Self {
        Self { keyring, registry }
    }

    fn places(&self, kind: Kind, value: &Value) -> Vec<Place> {
        let mut places = Vec::from_iter(own_place(kind));
        let carries_credentials = matches!(kind, Kind::Consumer | Kind::Credential);
        for (name, body) in value.get("plugins").and_then(Value::as_object).into_iter().flatten() {
            let parents = ["plugins", name.as_str()];
            places.extend(self.registry.secrets(name).iter().map(|path| Place::below(&parents, path)));
            if carries_credentials {
                let credential = self.registry.credential_secrets(name);
                places.extend(credential.iter().map(|path| Place::below(&parents, path)));
            }
            unmarked::each(body, &mut |names| places.push(Place::at(&[&parents, names].concat())));
        }
        distinct(places)
    }

    /// Masks every secret of a value, sealed or not.
    pub(super) fn mask(&self, key: &Key, value: &mut Value) {
        let record = key.path();
        let paths: Vec<FieldPath> =
            self.places(key.kind, value).into_iter().map(|place| place.path).collect();
        mask_at(&self.keyring, &record, value, &paths);
        // What was sealed by a schema that has changed since stays a secret.
        each_text_mut(value, &mut |text| {
            if is_sealed(text) {
                *text = mask(&self.keyring, &self.keyring.open(&record, text).unwrap_or_default());
            }
        });
    }

    /// Masks what no reader at all is shown: an upstream's private key.
    pub(super) fn mask_own(&self, key: &Key, value: &mut Value) {
        if let Some(place) = own_place(key.kind) {
            mask_at(&self.keyring, &key.path(), value, &[place.path]);
        }
    }

    /// The value as readers without a right to secrets see it.
    pub(super) fn masked(&self, key: &Key, value: &Value) -> Value {
        let mut copy = value.clone();
        self.mask(key, &mut copy);
        copy
    }

    /// Opens every sealed text. `false` where one can't be opened; it stays sealed then.
    pub(super) fn open(&self, key: &Key, value: &mut Value) -> bool {
        let record = key.path();
        let mut all = true;
        each_text_mut(value, &mut |text| {
            if is_sealed(text) {
                match self.keyring.open(&record, text) {
                    Ok(plain) => *text = plain,
                    Err(_) => all = false,
                }
            }
        });
        all
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
        for place in self.places(key.kind, value) {
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
        let places = self.places(key.kind, clear);
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
                if is_sealed(text) || usher_model::mask::is_reference(text) {
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
        for place in self.places(kind, value) {
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
        secrets.retain(|secret| !secret.is_empty() && !usher_model::mask::is_reference(secret));
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

    use serde_json::{Value, json};
    use usher_model::kind::{Key, Kind};
    use usher_model::schema::schema;
    use usher_model::seal::Keyring;
    use usher_model::secret::MARK;
    use usher_pipeline::registry::Registry;

    use super::{Vault, sealed_inside};

    fn vault() -> Vault {
        Vault::new(Arc::new(Keyring::generate().unwrap().0), Arc::new(Registry::new(&[])))
    }

    fn marked(schema: &Value, path: &str, found: &mut Vec<String>) {
        if schema.get(MARK).is_some() {
            found.push(path.to_owned());
        }
        for (name, below) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            marked(below, &format!("{path}/{name}"), found);
        }
    }

    #[test]
    fn every_mark_of_a_resource_schema_is_known_here() {
        for kind in Kind::ALL {
            let mut wanted = Vec::new();
            marked(schema(kind), "", &mut wanted);
            let known: Vec<String> =
                vault().places(kind, &json!({})).into_iter().map(|place| place.pointer).collect();
            assert_eq!(known, wanted, "{kind}");
        }
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
