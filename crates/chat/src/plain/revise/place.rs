//! Changes to which requests a route takes, and where they go.

use serde_json::{Map, Value, json};
use usher_model::kind::Kind;

use super::super::compose::{self, Links};
use super::super::intent::{Backend, Node, Wish};
use super::{Current, parts};

/// Paths, methods and hosts.
pub(super) fn taken(
    members: &mut Map<String, Value>,
    current: Current<'_>,
    wish: &Wish,
    adds: bool,
) -> Result<(), String> {
    if !wish.methods.is_empty() {
        let known = texts(current, "", "methods");
        if adds && known.is_empty() {
            return Err(format!("{} takes every method already", current.called()));
        }
        members.insert("methods".to_owned(), json!(joined(known, &wish.methods, adds)));
    }
    if !wish.paths.is_empty() {
        one_or_several(
            members,
            current,
            ("uri", "uris"),
            &joined(texts(current, "uri", "uris"), &wish.paths, adds),
        );
    }
    if !wish.hosts.is_empty() {
        let hosts = joined(texts(current, "host", "hosts"), &wish.hosts, adds);
        match current.kind {
            Kind::Route => one_or_several(members, current, ("host", "hosts"), &hosts),
            _ => {
                members.insert("hosts".to_owned(), json!(hosts));
            }
        }
    }
    Ok(())
}

/// Upstream, service, plugin config and nodes.
pub(super) fn aimed(
    members: &mut Map<String, Value>,
    current: Current<'_>,
    wish: &Wish,
    links: &Links,
    adds: bool,
) -> Result<(), String> {
    for (name, id) in [("service_id", &links.service), ("plugin_config_id", &links.plugin_config)] {
        if let Some(id) = id {
            members.insert(name.to_owned(), id.clone().into());
        }
    }
    if let Some(id) = &links.upstream {
        members.insert("upstream_id".to_owned(), id.clone().into());
        if current.member("upstream").is_some() {
            members.insert("upstream".to_owned(), Value::Null);
        }
    }
    let Some(Backend::Nodes(nodes)) = &wish.backend else { return Ok(()) };
    if current.kind == Kind::Upstream {
        members.extend(noded(current, current.value, nodes, adds)?);
        return Ok(());
    }
    let patch = match current.member("upstream") {
        Some(own) => noded(current, own, nodes, adds)?,
        None if adds => {
            return Err(format!("{} has no nodes of its own; add them to its upstream", current.called()));
        }
        None => compose::upstream(nodes)?,
    };
    members.insert("upstream".to_owned(), Value::Object(patch));
    if current.member("upstream_id").is_some() {
        members.insert("upstream_id".to_owned(), Value::Null);
    }
    Ok(())
}

/// The patch of an upstream that gets these nodes, in place of its own or besides them.
fn noded(
    current: Current<'_>,
    upstream: &Value,
    nodes: &[Node],
    adds: bool,
) -> Result<Map<String, Value>, String> {
    let https = compose::scheme(nodes)?;
    let was_https = upstream.get("scheme").and_then(Value::as_str) == Some("https");
    let mut patch = Map::new();
    if adds && https != was_https {
        let way = if was_https { "https" } else { "http" };
        return Err(format!(
            "the nodes of {} are reached by {way}, and so would have to be the new ones",
            current.called()
        ));
    }
    if https != was_https {
        patch.insert("scheme".to_owned(), if https { "https" } else { "http" }.into());
    }
    let known = upstream.get("nodes");
    let wanted = match known {
        // Priorities and the like stay with the nodes that stay.
        Some(Value::Array(all)) if adds => {
            let mut all: Vec<Value> = all.clone();
            all.retain(|item| {
                !nodes.iter().any(|node| Some(&node.address) == parts::address_of(item).as_ref())
            });
            all.extend(nodes.iter().map(listed));
            Value::Array(all)
        }
        Some(Value::Object(all)) if !adds => {
            let mut wanted = compose::weights(nodes);
            for address in all.keys() {
                wanted.entry(address.as_str()).or_insert(Value::Null);
            }
            Value::Object(wanted)
        }
        _ => Value::Object(compose::weights(nodes)),
    };
    patch.insert("nodes".to_owned(), wanted);
    Ok(patch)
}

/// A node as the longer form of APISIX has it.
fn listed(node: &Node) -> Value {
    let (host, port) = node.address.rsplit_once(':').unwrap_or((&node.address, "80"));
    json!({ "host": host, "port": port.parse::<u16>().unwrap_or(80), "weight": node.weight.unwrap_or(1) })
}

/// What stands in a member for one or in the one for several.
pub(super) fn texts(current: Current<'_>, one: &str, several: &str) -> Vec<String> {
    let one = current.member(one).and_then(Value::as_str).map(str::to_owned);
    let several = current.member(several).and_then(Value::as_array).map_or(&[] as &[Value], Vec::as_slice);
    one.into_iter().chain(several.iter().filter_map(Value::as_str).map(str::to_owned)).collect()
}

/// Writes one value into the member for one, several into the other, and empties what is left over.
pub(super) fn one_or_several(
    members: &mut Map<String, Value>,
    current: Current<'_>,
    (one, several): (&str, &str),
    values: &[String],
) {
    let (used, left, value) = match values {
        [value] => (one, several, json!(value)),
        values => (several, one, json!(values)),
    };
    members.insert(used.to_owned(), value);
    if current.member(left).is_some() {
        members.insert(left.to_owned(), Value::Null);
    }
}

fn joined(mut known: Vec<String>, wanted: &[String], adds: bool) -> Vec<String> {
    if !adds {
        return wanted.to_vec();
    }
    for value in wanted {
        if !known.contains(value) {
            known.push(value.clone());
        }
    }
    known
}
