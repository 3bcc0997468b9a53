//! Routes, services, upstreams and plugin metadata as the gateway sees them.

use std::net::IpAddr;

use axum::http::StatusCode;
use serde_json::{Map, Value, json};
use usher_model::kind::{Key, Kind};
use usher_model::resource::Upstream;
use usher_model::schema;
use usher_pipeline::registry::Registry;

use super::defaults::fill;
use super::{Answer, everybody, ok};
use crate::service::{Service, Stored};

/// The kinds that are shown, by their collections.
const SHOWN: [(&str, Kind); 3] =
    [("routes", Kind::Route), ("services", Kind::Service), ("upstreams", Kind::Upstream)];

/// The kind of a collection that is shown.
pub(super) fn collection(name: &str) -> Option<Kind> {
    SHOWN.into_iter().find(|(known, _)| *known == name).map(|(_, kind)| kind)
}

/// The kind of this singular name, where it is shown.
pub(super) fn singular(name: &str) -> Option<Kind> {
    SHOWN.into_iter().find(|(_, kind)| kind.word() == name).map(|(_, kind)| kind)
}

/// A whole collection.
pub(super) async fn all(service: &Service, kind: Kind) -> Result<Answer, Answer> {
    let all = service.list(&everybody(), kind).await?;
    let items = all.into_iter().map(|stored| seen(service.registry(), stored)).collect();
    Ok(ok(&Value::Array(items)))
}

/// One resource.
///
/// # Errors
/// 404 where there is none.
pub(super) async fn one(service: &Service, kind: Kind, id: &str) -> Result<Answer, Answer> {
    let stored = service.get(&everybody(), &Key::new(kind, id)).await?;
    match stored {
        Some(stored) => Ok(ok(&seen(service.registry(), stored))),
        None => Err(Answer::error(StatusCode::NOT_FOUND, format!("{}[{id}] not found", kind.word()))),
    }
}

/// The metadata of all plugins.
pub(super) async fn metadata(service: &Service) -> Result<Answer, Answer> {
    let all = service.list(&everybody(), Kind::PluginMetadata).await?;
    Ok(ok(&Value::Array(all.into_iter().map(|stored| stored.value).collect())))
}

/// The metadata of one plugin.
///
/// # Errors
/// 404 where there is none.
pub(super) async fn metadata_of(service: &Service, name: &str) -> Result<Answer, Answer> {
    let stored = service.get(&everybody(), &Key::new(Kind::PluginMetadata, name)).await?;
    match stored {
        Some(stored) => Ok(ok(&stored.value)),
        None => Err(Answer::error(StatusCode::NOT_FOUND, format!("plugin metadata[{name}] not found"))),
    }
}

/// A resource with its defaults, its nodes as a list, and its id as text.
fn seen(registry: &Registry, stored: Stored) -> Value {
    let Stored { key, mut value, created, modified, .. } = stored;
    fill(schema::schema(key.kind), &mut value);
    let mut has_domain = false;
    if let Some(members) = value.as_object_mut() {
        members.insert("id".to_owned(), key.id.as_str().into());
        for (name, body) in members.get_mut("plugins").and_then(Value::as_object_mut).into_iter().flatten() {
            if let Some(schema) = registry.schema(name) {
                fill(schema, body);
            }
        }
        if key.kind == Kind::Upstream {
            has_domain = spread_nodes(members);
        } else if let Some(upstream) = members.get_mut("upstream").and_then(Value::as_object_mut) {
            has_domain = spread_nodes(upstream);
        }
    }
    json!({
        "key": key.path(), "value": value, "createdIndex": created, "modifiedIndex": modified, "has_domain": has_domain,
    })
}

/// Makes a list of an upstream's nodes; whether one of them is a name.
fn spread_nodes(upstream: &mut Map<String, Value>) -> bool {
    // What can't be read serves nothing, and stays as it is.
    let Ok(read) = Upstream::from_value(&Value::Object(upstream.clone())) else { return false };
    if upstream.get("nodes").is_some_and(Value::is_object) {
        let nodes = read.nodes.iter().map(|node| {
            let mut shown = json!({ "host": node.host, "weight": node.weight, "priority": node.priority });
            if let (Some(port), Some(members)) = (node.port, shown.as_object_mut()) {
                members.shift_insert(1, "port".to_owned(), port.into());
            }
            shown
        });
        upstream.insert("nodes".to_owned(), nodes.collect());
    }
    read.nodes.iter().any(|node| node.host.parse::<IpAddr>().is_err())
}
