//! Where the secrets of a resource are: what schemas mark, and besides, members of plugin bodies whose names say so.
//!
//! Whoever seals, opens or masks a resource finds its secrets here, so that none of them can overlook one, and a new plugin is covered by its
//! schema alone.

mod unmarked;

use std::collections::HashSet;
use std::sync::LazyLock;

use serde_json::Value;
use usher_model::kind::{Key, Kind, SECRET_MANAGERS};
use usher_model::mask::FieldPath;
use usher_model::schema::{schema, secret_schema};
use usher_model::seal::{BadSeal, Keyring, Opened, is_sealed};

use crate::registry::{Registry, collect_secrets};

/// One member that is secret.
#[derive(Clone, Debug)]
pub struct Place {
    /// Its path.
    pub path: FieldPath,
    /// The same as a JSON pointer; lists are stepped through without a part of their own.
    pub pointer: String,
    /// Who says that it is secret.
    pub source: Source,
}

/// Who says that a member is secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The resource's own schema: a private key, which no reader at all is shown.
    Key,
    /// The schema of a secret manager.
    Manager,
    /// A plugin's schema.
    Plugin,
    /// A member's name.
    Name,
}

impl Source {
    /// Whether APISIX encrypts this text there too: private keys where they are PEM, what plugins mark, nothing else.
    #[must_use]
    pub fn is_encrypted_by_apisix(self, plain: &str) -> bool {
        match self {
            Self::Key => plain.starts_with("---"),
            Self::Plugin => true,
            Self::Manager | Self::Name => false,
        }
    }
}

impl Place {
    fn below(parents: &[&str], path: &str, source: Source) -> Self {
        let pointer = parents.iter().copied().chain(path.split('.'));
        let pointer =
            pointer.map(|name| format!("/{}", name.replace('~', "~0").replace('/', "~1"))).collect();
        Self { path: FieldPath::below(parents, path), pointer, source }
    }

    /// The member that these names lead to. The last name of a path must not hold a dot: where it does, all texts beside it are secret too.
    fn at(names: &[&str]) -> Self {
        match names.split_last() {
            Some((last, parents)) if last.contains('.') => Self::at(parents),
            Some((last, parents)) => Self::below(parents, last, Source::Name),
            None => Self::below(&[], "", Source::Name),
        }
    }
}

/// The secrets of a resource outside its plugins, by its schema.
fn own(kind: Kind) -> &'static [Place] {
    static ALL: LazyLock<Vec<(Kind, Vec<Place>)>> = LazyLock::new(|| {
        let all = Kind::ALL.into_iter();
        all.map(|kind| {
            let mut marked = Vec::new();
            let source = if kind == Kind::Secret { Source::Manager } else { Source::Key };
            collect_secrets(schema(kind), "", &mut marked);
            if kind == Kind::Secret {
                for schema in SECRET_MANAGERS.into_iter().filter_map(secret_schema) {
                    collect_secrets(schema, "", &mut marked);
                }
            }
            (kind, marked.iter().map(|path| Place::below(&[], path, source)).collect())
        })
        .collect()
    });
    ALL.iter().find(|(known, _)| *known == kind).map_or(&[], |(_, places)| places)
}

/// Every secret of a resource: each once, and none inside another.
#[must_use]
pub fn places(registry: &Registry, key: &Key, value: &Value) -> Vec<Place> {
    let mut places = own(key.kind).to_vec();
    if key.kind == Kind::Secret {
        places.extend(unknown_of_manager(&key.id, value));
    }
    let carries_credentials = matches!(key.kind, Kind::Consumer | Kind::Credential);
    for (name, body) in value.get("plugins").and_then(Value::as_object).into_iter().flatten() {
        let parents = ["plugins", name.as_str()];
        let marked = |path: &String| Place::below(&parents, path, Source::Plugin);
        places.extend(registry.secrets(name).iter().map(marked));
        if carries_credentials {
            places.extend(registry.credential_secrets(name).iter().map(marked));
        }
        unmarked::each(body, &mut |names| places.push(Place::at(&[&parents, names].concat())));
    }
    if key.kind == Kind::PluginMetadata {
        let marked = registry.metadata_secrets(&key.id).iter();
        places.extend(marked.map(|path| Place::below(&[], path, Source::Plugin)));
        unmarked::each(value, &mut |names| places.push(Place::at(names)));
    }
    distinct(places)
}

/// The members of a secret manager that its schema doesn't know: they are kept, as in APISIX, and may be what the next version asks it with.
fn unknown_of_manager(id: &str, value: &Value) -> Vec<Place> {
    let manager = id.split('/').next().unwrap_or_default();
    let Some(schema) = secret_schema(manager) else { return Vec::new() };
    let mut found = Vec::new();
    unknown_below(schema, value, &mut Vec::new(), &mut found);
    found
}

fn unknown_below<'v>(schema: &Value, value: &'v Value, above: &mut Vec<&'v str>, found: &mut Vec<Place>) {
    let Some(known) = schema.get("properties") else { return };
    for (name, member) in value.as_object().into_iter().flatten() {
        above.push(name);
        match known.get(name) {
            None => found.push(Place { source: Source::Manager, ..Place::at(above) }),
            Some(below) => unknown_below(below, member, above, found),
        }
        above.pop();
    }
}

/// What is masked twice has another mask.
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

/// What opening a resource's secrets came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// All are open.
    Whole,
    /// Something looks as if an APISIX had encrypted it with a key that isn't here, and is left as it stands.
    Foreign,
}

/// Opens every secret of a stored resource: sealed texts wherever they are, since those tell what they are, and what an APISIX encrypted at the
/// places of secrets.
///
/// # Errors
/// The first sealed text that can't be opened. All others are opened all the same.
pub fn open(
    keyring: &Keyring,
    registry: &Registry,
    key: &Key,
    value: &mut Value,
) -> Result<Opening, BadSeal> {
    let record = key.path();
    let mut opening = Opening::Whole;
    if keyring.opens_apisix() {
        for place in places(registry, key, value).iter().filter(|place| place.source != Source::Name) {
            place.path.for_each_mut(value, &mut |text| match keyring.open_marked(&record, text) {
                Ok(Opened::Secret(plain)) if !is_sealed(text) => *text = plain,
                Ok(Opened::Foreign) => opening = Opening::Foreign,
                _ => {}
            });
        }
    }
    let mut shut = None;
    each_sealed(value, &mut |text| match keyring.open(&record, text) {
        Ok(plain) => *text = plain,
        Err(error) => shut = shut.take().or(Some(error)),
    });
    shut.map_or(Ok(opening), Err)
}

fn each_sealed(value: &mut Value, f: &mut impl FnMut(&mut String)) {
    match value {
        Value::String(text) if is_sealed(text) => f(text),
        Value::Array(items) => items.iter_mut().for_each(|item| each_sealed(item, f)),
        Value::Object(members) => members.values_mut().for_each(|member| each_sealed(member, f)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use usher_model::kind::{Key, Kind};
    use usher_model::seal::{APISIX_PUBLIC_KEYS, Keyring};

    use super::{Opening, Source, open, places};
    use crate::registry::Registry;

    #[test]
    fn private_keys_and_tokens_are_found_by_the_schemas_of_their_kinds() {
        let registry = Registry::new(&[]);
        let found = |kind| -> Vec<String> {
            let found = places(&registry, &Key::new(kind, "x"), &json!({})).into_iter();
            found.map(|place| place.pointer).collect()
        };
        for (kind, wanted) in [
            (Kind::Ssl, vec!["/key", "/keys"]),
            (Kind::Upstream, vec!["/tls/client_key"]),
            (Kind::Route, vec!["/upstream/tls/client_key"]),
            (Kind::Service, vec!["/upstream/tls/client_key"]),
            (Kind::StreamRoute, vec!["/upstream/tls/client_key"]),
            (
                Kind::Secret,
                vec![
                    "/token",
                    "/access_key_id",
                    "/session_token",
                    "/secret_access_key",
                    "/auth_config/private_key",
                ],
            ),
            (Kind::Consumer, vec![]),
        ] {
            assert_eq!(found(kind), wanted, "{kind}");
        }
        let metadata = json!({ "endpoint": { "Authorization": "Bearer x" } });
        let named = places(&registry, &Key::new(Kind::PluginMetadata, "x"), &metadata);
        assert_eq!((named[0].pointer.as_str(), named[0].source), ("/endpoint/Authorization", Source::Name));
    }

    #[test]
    fn what_an_apisix_wrote_opens_only_where_secrets_are() {
        let (ring, _) = Keyring::generate().unwrap();
        let ring = ring.with_apisix(&[APISIX_PUBLIC_KEYS[0].as_bytes().to_vec()], false).unwrap();
        let key = Key::new(Kind::Ssl, "1");
        let pem = "-----BEGIN PRIVATE KEY-----";
        let encrypted = ring.encrypt_apisix(pem).unwrap();
        let mut value = json!({ "key": encrypted, "keys": [encrypted, pem], "desc": encrypted });
        assert_eq!(open(&ring, &Registry::new(&[]), &key, &mut value), Ok(Opening::Whole));
        assert_eq!(value, json!({ "key": pem, "keys": [pem, pem], "desc": encrypted }));
        let mut foreign = json!({ "key": "AAAAAAAAAAAAAAAAAAAAAA==" });
        assert_eq!(open(&ring, &Registry::new(&[]), &key, &mut foreign), Ok(Opening::Foreign));
        let strange = Keyring::generate().unwrap().0.seal("r", "x").unwrap();
        assert!(open(&ring, &Registry::new(&[]), &key, &mut json!({ "desc": strange })).is_err());
    }
}
