//! What of a resource others are looked up by.

use serde_json::Value;
use usher_model::kind::{Key, Kind};
use usher_model::reference::Reference;
use usher_pipeline::registry::Registry;

use crate::service::references::{managers, own_id, references};

/// Hosts times paths of one route that are taken up at most: a route may name thousands of each.
pub(in crate::service) const MOST_PLACES: usize = 1024;

/// One thing that a resource can be found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::service) enum Mark<'a> {
    /// It refers to this resource.
    Uses(Kind, &'a str),
    /// Its name is this; a credential's own id counts as a name too.
    Named(Kind, &'a str),
    /// It holds this plugin's credential with this unique attribute.
    Credential(&'a str, &'a str),
    /// It carries this plugin.
    Plugin(&'a str),
    /// A route that takes this host (lower case, empty for all) and path pattern.
    Place(&'a str, &'a str),
}

/// Calls `f` for everything a resource can be found by. Secrets have to be clear.
pub(in crate::service) fn each_mark(
    registry: &Registry,
    key: &Key,
    value: &Value,
    f: &mut dyn FnMut(Mark<'_>),
) {
    for reference in references(key.kind, value) {
        f(Mark::Uses(reference.target.kind, &reference.target.id));
    }
    // A manager's own token comes from the environment at most; otherwise one could refer to itself.
    for (manager, _) in managers(value).into_iter().filter(|_| key.kind != Kind::Secret) {
        f(Mark::Uses(Kind::Secret, &manager.id));
    }
    for plugin in value.get("plugins").and_then(Value::as_object).into_iter().flat_map(|all| all.keys()) {
        f(Mark::Plugin(plugin));
    }
    if let Some(name) = value.get("name").and_then(Value::as_str) {
        f(Mark::Named(key.kind, name));
    }
    match key.kind {
        Kind::Route => {
            let mut hosts = texts(value, "host", "hosts");
            if hosts.is_empty() {
                hosts.push("");
            }
            let uris = texts(value, "uri", "uris");
            let places = uris.iter().flat_map(|uri| hosts.iter().map(move |host| (host, uri)));
            for (host, uri) in places.take(MOST_PLACES) {
                f(Mark::Place(&host.to_ascii_lowercase(), uri));
            }
        }
        Kind::Consumer | Kind::Credential => {
            if let Some(id) = own_id(key) {
                f(Mark::Named(key.kind, id));
            }
            for (plugin, unique) in credentials(registry, value) {
                f(Mark::Credential(&plugin, &unique));
            }
        }
        _ => {}
    }
}

/// The credentials of a consumer or credential with clear secrets: plugin and unique attribute.
pub(in crate::service) fn credentials(registry: &Registry, value: &Value) -> Vec<(String, String)> {
    let plugins = value.get("plugins").and_then(Value::as_object);
    plugins
        .into_iter()
        .flatten()
        .filter(|(name, _)| registry.unique_attribute(name).is_some())
        .filter_map(|(name, body)| Some((name, registry.credential(name, body).ok()?.unique)))
        // What only a secret manager knows is told apart by the gateway, once it is looked up.
        .flat_map(|(name, unique)| {
            let known = of_environment(&unique);
            known.into_iter().chain([unique]).map(|unique| (name.clone(), unique))
        })
        .collect()
}

/// What a reference into the environment stands for, where this process knows it.
fn of_environment(text: &str) -> Option<String> {
    let Ok(Reference::Environment { name, key }) = Reference::parse(text)? else { return None };
    let value = std::env::var(name).ok()?;
    let Some(key) = key else { return Some(value) };
    serde_json::from_str::<Value>(&value).ok()?.get(&key)?.as_str().map(str::to_owned)
}

fn texts<'a>(value: &'a Value, one: &str, several: &str) -> Vec<&'a str> {
    let list = value.get(several).and_then(Value::as_array).into_iter().flatten();
    value.get(one).into_iter().chain(list).filter_map(Value::as_str).collect()
}
