//! What is taken from an object. What isn't there is said, and the last host, method or node is not taken silently.

use serde_json::{Map, Value, json};
use usher_model::kind::Kind;

use super::super::intent::Part;
use super::Current;
use super::place::{one_or_several, texts};

/// The patch that takes these away.
pub(super) fn dropped(current: Current<'_>, wanted: &[Part]) -> Result<Value, String> {
    let mut members = Map::new();
    for part in wanted {
        match part {
            Part::Plugin(name) => {
                let plugins = members.entry("plugins").or_insert_with(|| json!({}));
                if let Some(plugins) = plugins.as_object_mut() {
                    plugins.insert(plugin(current, name)?, Value::Null);
                }
            }
            Part::Member(name) => member(&mut members, current, name)?,
            Part::Node(node) => drop_node(&mut members, current, &node.address)?,
            Part::Host(host) => {
                let left = without(current, ("host", "hosts"), host, "every host")?;
                one_or_several(&mut members, current, ("host", "hosts"), &left);
            }
            Part::Method(method) => {
                let left = without(current, ("", "methods"), method, "every method")?;
                members.insert("methods".to_owned(), json!(left));
            }
        }
    }
    Ok(Value::Object(members))
}

fn plugin(current: Current<'_>, name: &str) -> Result<String, String> {
    let plugins = current.member("plugins").and_then(Value::as_object);
    if plugins.is_some_and(|plugins| plugins.contains_key(name)) {
        return Ok(name.to_owned());
    }
    let names: Vec<&str> =
        plugins.map(|plugins| plugins.keys().map(String::as_str).collect()).unwrap_or_default();
    let has = if names.is_empty() { "no plugins of its own".to_owned() } else { names.join(", ") };
    Err(format!("{} has no {name}; it has {has}", current.called()))
}

fn member(members: &mut Map<String, Value>, current: Current<'_>, name: &str) -> Result<(), String> {
    // Hosts stand in one of two members.
    let places: &[&str] = if name == "hosts" { &["host", "hosts"] } else { &[name] };
    let present: Vec<&&str> = places.iter().filter(|place| current.member(place).is_some()).collect();
    if present.is_empty() {
        let word = name
            .replace("enable_", "")
            .replace("plugin_config_id", "plugin config")
            .replace("desc", "description");
        return Err(format!("{} has no {word}", current.called()));
    }
    for place in present {
        members.insert((**place).to_owned(), Value::Null);
    }
    Ok(())
}

fn without(
    current: Current<'_>,
    (one, several): (&str, &str),
    gone: &str,
    all: &str,
) -> Result<Vec<String>, String> {
    let known = texts(current, one, several);
    if !known.iter().any(|value| value == gone) {
        let has = if known.is_empty() { all.to_owned() } else { known.join(", ") };
        return Err(format!("{} does not name {gone}; it takes {has}", current.called()));
    }
    let left: Vec<String> = known.into_iter().filter(|value| value != gone).collect();
    if left.is_empty() {
        return Err(format!(
            "{gone} is the only one, and without it {} would take {all}; say `remove the {several} from {}` if that is meant",
            current.called(),
            current.called(),
        ));
    }
    Ok(left)
}

fn drop_node(members: &mut Map<String, Value>, current: Current<'_>, address: &str) -> Result<(), String> {
    let inside = current.kind != Kind::Upstream;
    let upstream = if inside { current.member("upstream") } else { Some(current.value) };
    let upstream = upstream.ok_or_else(|| format!("{} has no nodes of its own", current.called()))?;
    let nodes = nodes_of(upstream);
    if !nodes.iter().any(|(known, _)| known == address) {
        return Err(no_node(current, address, &nodes));
    }
    if nodes.len() == 1 {
        return Err(format!("{address} is the only node of {}; add another one first", current.called()));
    }
    let left = match upstream.get("nodes") {
        Some(Value::Array(all)) => all
            .iter()
            .filter(|item| address_of(item).as_deref() != Some(address))
            .cloned()
            .collect::<Vec<_>>()
            .into(),
        _ => Value::Object(Map::from_iter([(address.to_owned(), Value::Null)])),
    };
    if inside {
        members.insert("upstream".to_owned(), json!({ "nodes": left }));
    } else {
        members.insert("nodes".to_owned(), left);
    }
    Ok(())
}

/// That an object has no such node, and which it has.
pub(super) fn no_node(current: Current<'_>, address: &str, nodes: &[(String, u64)]) -> String {
    let known: Vec<&str> = nodes.iter().map(|(address, _)| address.as_str()).collect();
    format!("{} has no node {address}; it has {}", current.called(), known.join(", "))
}

/// The nodes of an upstream in either form, each `host:port` with its weight.
pub(super) fn nodes_of(upstream: &Value) -> Vec<(String, u64)> {
    match upstream.get("nodes") {
        Some(Value::Object(all)) => {
            all.iter().map(|(address, weight)| (address.clone(), weight.as_u64().unwrap_or(1))).collect()
        }
        Some(Value::Array(all)) => all
            .iter()
            .filter_map(|item| {
                Some((address_of(item)?, item.get("weight").and_then(Value::as_u64).unwrap_or(1)))
            })
            .collect(),
        _ => Vec::new(),
    }
}

/// `host:port` of a node in the longer form.
pub(super) fn address_of(item: &Value) -> Option<String> {
    let host = item.get("host")?.as_str()?;
    Some(match item.get("port").and_then(Value::as_u64) {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    })
}
