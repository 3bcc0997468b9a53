//! From a wish to a new object, in the members of APISIX. Nothing is asked here: names were turned into ids before.

use serde_json::{Map, Value, json};
use usher_model::kind::{Key, Kind};

use super::clauses::strip_pattern;
use super::ids::{id_from_name, id_from_path};
use super::intent::{Backend, Node, Wish};

/// The ids of what a wish names.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Links {
    pub(crate) upstream: Option<String>,
    pub(crate) service: Option<String>,
    pub(crate) plugin_config: Option<String>,
    pub(crate) consumer: Option<String>,
}

/// The id that a new object should have, and whether it was said. `None` where nothing makes one.
pub(crate) fn wanted_id(kind: Kind, wish: &Wish, links: &Links) -> Option<(String, bool)> {
    let written = |member: &str| wish.written.as_ref()?.get(member)?.as_str().map(str::to_owned);
    let said = wish.id.clone().or_else(|| written(if kind == Kind::Consumer { "username" } else { "id" }));
    let named = || {
        let name = wish.name.clone().or_else(|| written("name"))?;
        id_from_name(&name).map(|id| (id, true))
    };
    let own = said.map(|id| (id, true)).or_else(named);
    match kind {
        Kind::Route => {
            let path = wish.paths.first().cloned().or_else(|| written("uri"));
            own.or_else(|| path.map(|path| (id_from_path(&path), false)))
        }
        Kind::Credential => {
            let (id, said) = own.unwrap_or_else(|| ("key".to_owned(), false));
            let key = |consumer: &String| Key::credential(consumer, &id).id;
            Some((links.consumer.as_ref().map_or_else(|| id.clone(), key), said))
        }
        Kind::GlobalRule | Kind::PluginConfig | Kind::ConsumerGroup => {
            own.or_else(|| wish.plugins.first().map(|(name, _)| (name.clone(), false)))
        }
        _ => own,
    }
}

/// One change of `gateway_plan`.
pub(crate) fn change(op: &str, kind: Kind, id: &str, body: Option<&Value>) -> Value {
    json!({ "op": op, "kind": kind.schema_name(), "id": id, "body_json": body.map(Value::to_string) })
}

/// A new object of this kind.
///
/// # Errors
/// What is missing, for people.
pub(crate) fn object(kind: Kind, id: &str, wish: &Wish, links: &Links) -> Result<Value, String> {
    if let Some(written) = &wish.written {
        return Ok(written.clone());
    }
    let mut members = Map::new();
    if kind == Kind::Consumer {
        members.insert("username".to_owned(), id.into());
    }
    if let Some(name) = wish.name.as_ref().filter(|name| *name != id) {
        members.insert("name".to_owned(), name.clone().into());
    }
    traits(&mut members, wish);
    if kind == Kind::Route {
        place(&mut members, wish)?;
    }
    match wish.hosts.as_slice() {
        [] => {}
        [host] if kind == Kind::Route => {
            members.insert("host".to_owned(), host.clone().into());
        }
        hosts => {
            members.insert("hosts".to_owned(), json!(hosts));
        }
    }
    aim(kind, &mut members, wish, links)?;
    let plugins = plugins(kind, wish, wish.paths.first().map(String::as_str))?;
    if !plugins.is_empty() {
        members.insert("plugins".to_owned(), Value::Object(plugins));
    }
    complete(kind, &members, wish)?;
    Ok(Value::Object(members))
}

/// Members that mean the same in a new object and in a changed one.
pub(crate) fn traits(members: &mut Map<String, Value>, wish: &Wish) {
    let mut set = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            members.insert(name.to_owned(), value);
        }
    };
    set("desc", wish.desc.clone().map(Value::from));
    let labels: Map<String, Value> =
        wish.labels.iter().map(|(key, value)| (key.clone(), value.clone().into())).collect();
    set("labels", (!labels.is_empty()).then_some(Value::Object(labels)));
    set("priority", wish.priority.map(Value::from));
    set("enable_websocket", wish.websocket.map(Value::from));
    set("timeout", wish.timeout_secs.map(|secs| json!({ "connect": secs, "send": secs, "read": secs })));
    set("retries", wish.retries.map(Value::from));
    set("status", wish.disabled.then(|| 0.into()));
}

fn place(members: &mut Map<String, Value>, wish: &Wish) -> Result<(), String> {
    if !wish.methods.is_empty() {
        members.insert("methods".to_owned(), json!(wish.methods));
    }
    let (name, value) = match wish.paths.as_slice() {
        [] => return Err("a route needs a path: say for example `for /speaker/*`".to_owned()),
        [path] => ("uri", json!(path)),
        paths => ("uris", json!(paths)),
    };
    members.insert(name.to_owned(), value);
    Ok(())
}

fn aim(kind: Kind, members: &mut Map<String, Value>, wish: &Wish, links: &Links) -> Result<(), String> {
    let mut set = |name: &str, id: &Option<String>| {
        if let Some(id) = id {
            members.insert(name.to_owned(), id.clone().into());
        }
    };
    set("service_id", &links.service);
    set("upstream_id", &links.upstream);
    set("plugin_config_id", &links.plugin_config);
    if let Some(Backend::Nodes(nodes)) = &wish.backend {
        let upstream = upstream(nodes)?;
        match kind {
            Kind::Upstream => members.extend(upstream),
            _ => {
                members.insert("upstream".to_owned(), Value::Object(upstream));
            }
        }
    }
    Ok(())
}

/// An upstream of these nodes. A backend that is reached by a name is asked by that name.
///
/// # Errors
/// When some are reached by https and some by http.
pub(crate) fn upstream(nodes: &[Node]) -> Result<Map<String, Value>, String> {
    let mut members = Map::new();
    members.insert("type".to_owned(), "roundrobin".into());
    members.insert("nodes".to_owned(), Value::Object(weights(nodes)));
    if scheme(nodes)? {
        members.insert("scheme".to_owned(), "https".into());
    }
    if nodes.iter().any(|node| node.named) {
        members.insert("pass_host".to_owned(), "node".into());
    }
    Ok(members)
}

/// Whether nodes are reached by https.
///
/// # Errors
/// When some are and some are not.
pub(crate) fn scheme(nodes: &[Node]) -> Result<bool, String> {
    let https = nodes.iter().filter(|node| node.https).count();
    if https == 0 || https == nodes.len() {
        return Ok(https > 0);
    }
    Err("all nodes of an upstream are reached the same way: either all by https or all by http".to_owned())
}

/// Nodes as APISIX writes them, `host:port` to weight.
pub(crate) fn weights(nodes: &[Node]) -> Map<String, Value> {
    nodes.iter().map(|node| (node.address.clone(), node.weight.unwrap_or(1).into())).collect()
}

/// The plugins of a wish; `path` is the one whose prefix may be taken off.
///
/// # Errors
/// When there is no prefix to take off.
pub(crate) fn plugins(kind: Kind, wish: &Wish, path: Option<&str>) -> Result<Map<String, Value>, String> {
    let mut plugins: Map<String, Value> = wish.plugins.iter().cloned().collect();
    if let Some(key) = &wish.key {
        match plugins.entry("key-auth") {
            serde_json::map::Entry::Occupied(mut entry) => {
                if let Some(members) = entry.get_mut().as_object_mut() {
                    members.insert("key".to_owned(), key.expose().clone().into());
                }
            }
            serde_json::map::Entry::Vacant(entry) => {
                entry.insert(json!({ "key": key.expose() }));
            }
        }
    }
    if wish.strips_prefix {
        let pattern = path.filter(|path| kind == Kind::Route && path.ends_with("/*")).and_then(strip_pattern);
        let pattern = pattern.ok_or("there is no prefix to strip: say which, such as `strip /api`")?;
        plugins.insert("proxy-rewrite".to_owned(), json!({ "regex_uri": pattern }));
    }
    Ok(plugins)
}

/// Plugins that answer without an upstream, or choose one.
const ANSWERS: [&str; 2] = ["redirect", "traffic-split"];

/// An object that could not work is asked back about rather than tried.
fn complete(kind: Kind, members: &Map<String, Value>, wish: &Wish) -> Result<(), String> {
    let has = |name: &str| members.contains_key(name);
    let problem = match kind {
        Kind::Route
            if !["upstream", "upstream_id", "service_id"].into_iter().any(has)
                && !wish.plugins.iter().any(|(name, _)| ANSWERS.contains(&name.as_str())) =>
        {
            "say where its requests go, such as `to http://127.0.0.1:3000` or `to the upstream conference-api`"
        }
        Kind::Upstream if !has("nodes") => {
            "an upstream needs nodes: say for example `with nodes http://127.0.0.1:3000`"
        }
        Kind::Credential if !has("plugins") => "a credential needs a key: say for example `with key ...`",
        Kind::PluginConfig | Kind::GlobalRule | Kind::ConsumerGroup if !has("plugins") => {
            "say which plugins it has, such as `with 100 requests a second`"
        }
        _ => return Ok(()),
    };
    Err(problem.to_owned())
}
