//! From a change that was said, and the object as it is, to a merge patch with nothing in it but that change.

mod lists;
mod parts;
mod place;

use serde_json::{Map, Value, json};
use usher_model::kind::Kind;
use usher_model::patch;

use super::compose::{self, Links};
use super::intent::{Alteration, Node, Wish};

/// The object that is changed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Current<'a> {
    pub(crate) kind: Kind,
    pub(crate) id: &'a str,
    pub(crate) value: &'a Value,
}

impl Current<'_> {
    /// How people call it.
    pub(crate) fn called(&self) -> String {
        format!("{} {}", self.kind, self.id)
    }

    fn member(&self, name: &str) -> Option<&Value> {
        self.value.get(name).filter(|value| !value.is_null())
    }
}

/// The patch that makes the change.
///
/// # Errors
/// Why there is none, for people: what is to go isn't there, or all is so already.
pub(crate) fn patch(current: Current<'_>, alteration: &Alteration, links: &Links) -> Result<Value, String> {
    if lists::is_cut(current.value) && lists::touches(alteration) {
        return Err(lists::refusal(current));
    }
    let patch = match alteration {
        Alteration::Set(wish) => wished(current, wish, links, false)?,
        Alteration::Add(wish) => wished(current, wish, links, true)?,
        Alteration::Drop(wanted) => parts::dropped(current, wanted)?,
        Alteration::Serve(serves) => json!({ "status": u8::from(*serves) }),
    };
    if lists::is_cut(current.value) && lists::is_cut(&patch) {
        return Err(lists::refusal(current));
    }
    checked(current, patch, alteration)
}

/// The patch that gives a node of this object another weight.
///
/// # Errors
/// When it has no such node.
pub(crate) fn weigh(current: Current<'_>, node: &Node) -> Result<Value, String> {
    if lists::is_cut(current.value) {
        return Err(lists::refusal(current));
    }
    let inside = current.kind != Kind::Upstream;
    let upstream = if inside { current.member("upstream") } else { Some(current.value) };
    let upstream = upstream.ok_or_else(|| format!("{} has no nodes of its own", current.called()))?;
    let nodes = parts::nodes_of(upstream);
    if !nodes.iter().any(|(address, _)| *address == node.address) {
        return Err(parts::no_node(current, &node.address, &nodes));
    }
    let weight = node.weight.unwrap_or(1);
    let nodes = match upstream.get("nodes") {
        Some(Value::Array(all)) => {
            let mut all = all.clone();
            for item in &mut all {
                if parts::address_of(item).as_ref() == Some(&node.address)
                    && let Some(members) = item.as_object_mut()
                {
                    members.insert("weight".to_owned(), weight.into());
                }
            }
            Value::Array(all)
        }
        _ => Value::Object(Map::from_iter([(node.address.clone(), weight.into())])),
    };
    let patch = json!({ "nodes": nodes });
    let patch = if inside { json!({ "upstream": patch }) } else { patch };
    changes(current, patch)
}

fn checked(current: Current<'_>, patch: Value, alteration: &Alteration) -> Result<Value, String> {
    if let Alteration::Serve(serves) = alteration {
        // Absent means in service.
        if (current.member("status") != Some(&json!(0))) == *serves {
            let state = if *serves { "in service" } else { "out of service" };
            return Err(format!("{} is {state} already", current.called()));
        }
        return Ok(patch);
    }
    changes(current, patch)
}

fn changes(current: Current<'_>, patch: Value) -> Result<Value, String> {
    let mut after = current.value.clone();
    patch::merge(&mut after, &patch);
    if after == *current.value {
        return Err(format!("{} is so already; there is nothing to change", current.called()));
    }
    Ok(patch)
}

fn wished(current: Current<'_>, wish: &Wish, links: &Links, adds: bool) -> Result<Value, String> {
    if let Some(written) = &wish.written {
        return Ok(written.clone());
    }
    let mut members = Map::new();
    if let Some(name) = &wish.name {
        if !matches!(
            current.kind,
            Kind::Route | Kind::Service | Kind::Upstream | Kind::PluginConfig | Kind::Credential
        ) {
            return Err(format!("a {} has no name besides its id, and ids stay", current.kind));
        }
        members.insert("name".to_owned(), name.clone().into());
    }
    if wish.id.is_some() {
        return Err("ids stay as they are; a name can be changed".to_owned());
    }
    compose::traits(&mut members, wish);
    place::taken(&mut members, current, wish, adds)?;
    place::aimed(&mut members, current, wish, links, adds)?;
    let plugins = plugged(current, wish, adds)?;
    if !plugins.is_empty() {
        members.insert("plugins".to_owned(), Value::Object(plugins));
    }
    if members.is_empty() {
        return Err(format!("say what {} shall have", current.called()));
    }
    Ok(Value::Object(members))
}

/// Members of a plugin's body that rule each other out: the newly said one takes the others' place.
const EITHER: [(&str, &[&str]); 5] = [
    ("ip-restriction", &["whitelist", "blacklist"]),
    ("redirect", &["uri", "regex_uri", "http_to_https"]),
    ("proxy-rewrite", &["uri", "regex_uri"]),
    ("limit-count", &["count", "rules"]),
    ("limit-count", &["time_window", "rules"]),
];

fn plugged(current: Current<'_>, wish: &Wish, adds: bool) -> Result<Map<String, Value>, String> {
    let path =
        wish.paths.first().map(String::as_str).or_else(|| current.member("uri").and_then(Value::as_str));
    let mut plugins = compose::plugins(current.kind, wish, path)?;
    for (name, body) in &mut plugins {
        let before =
            current.member("plugins").and_then(|plugins| plugins.get(name)).and_then(Value::as_object);
        let (Some(before), Some(members)) = (before, body.as_object_mut()) else { continue };
        if name == "limit-count" && !before.contains_key("rules") {
            // What isn't spoken of stays.
            members.remove("rejected_code");
            if wish.counts_unsaid {
                members.retain(|member, _| member != "key" && member != "key_type");
            }
        }
        for (_, either) in EITHER.iter().filter(|(plugin, _)| plugin == name) {
            if !either.iter().any(|member| members.contains_key(*member)) {
                continue;
            }
            for member in *either {
                if before.contains_key(*member) && !members.contains_key(*member) {
                    members.insert((*member).to_owned(), Value::Null);
                }
            }
        }
        if adds && name == "ip-restriction" {
            join_lists(before, members);
        }
    }
    Ok(plugins)
}

/// Addresses are added to those of the same list.
fn join_lists(before: &Map<String, Value>, members: &mut Map<String, Value>) {
    for list in ["whitelist", "blacklist"] {
        let known = before.get(list).and_then(Value::as_array);
        if let (Some(known), Some(Value::Array(more))) = (known, members.get_mut(list)) {
            let mut all = known.clone();
            all.extend(more.iter().filter(|address| !known.contains(address)).cloned());
            *more = all;
        }
    }
}
