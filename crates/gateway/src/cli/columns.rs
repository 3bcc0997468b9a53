//! What a list shows of each kind.

use serde_json::Value;

/// A column's title, and what stands in it.
pub(crate) type Column = (&'static str, fn(&Value) -> String);

/// The columns of a kind, beside the id.
pub(crate) fn of(kind: &str) -> &'static [Column] {
    match kind {
        "route" => &[
            ("NAME", name),
            ("METHODS", methods),
            ("HOSTS", hosts),
            ("URI", uris),
            ("TO", to),
            ("PLUGINS", plugins),
            ("", switched_off),
        ],
        "service" => &[("NAME", name), ("HOSTS", hosts), ("TO", to), ("PLUGINS", plugins)],
        "upstream" => &[("NAME", name), ("TYPE", kind_of), ("NODES", nodes)],
        "consumer" => &[("GROUP", group), ("PLUGINS", plugins), ("DESCRIPTION", description)],
        "ssl" => &[("TYPE", kind_of), ("NAMES", names), ("", switched_off)],
        "stream_route" => &[("PORT", port), ("NAMES", names), ("TO", to), ("PLUGINS", plugins)],
        "proto" => &[("NAME", name), ("BYTES", size)],
        "secret" => &[("ADDRESS", address)],
        "plugin_metadata" => &[("MEMBERS", members)],
        _ => &[("NAME", name), ("PLUGINS", plugins), ("DESCRIPTION", description)],
    }
}

fn text(value: &Value, name: &str) -> String {
    match value.get(name) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// The texts of one member or of its plural.
fn several(value: &Value, one: &str, many: &str) -> String {
    let many = value.get(many).and_then(Value::as_array).into_iter().flatten();
    let all: Vec<&str> = value.get(one).into_iter().chain(many).filter_map(Value::as_str).collect();
    all.join(", ")
}

fn name(value: &Value) -> String {
    text(value, "name")
}

fn description(value: &Value) -> String {
    text(value, "desc")
}

fn methods(value: &Value) -> String {
    several(value, "", "methods")
}

fn hosts(value: &Value) -> String {
    several(value, "host", "hosts")
}

fn uris(value: &Value) -> String {
    several(value, "uri", "uris")
}

fn names(value: &Value) -> String {
    several(value, "sni", "snis")
}

fn kind_of(value: &Value) -> String {
    text(value, "type")
}

fn group(value: &Value) -> String {
    text(value, "group_id")
}

fn port(value: &Value) -> String {
    text(value, "server_port")
}

fn address(value: &Value) -> String {
    let uri = text(value, "uri");
    if uri.is_empty() { text(value, "region") } else { uri }
}

fn size(value: &Value) -> String {
    value.get("content").and_then(Value::as_str).map(|content| content.len().to_string()).unwrap_or_default()
}

/// Only what is out of the ordinary is said.
fn switched_off(value: &Value) -> String {
    if value.get("status").and_then(Value::as_u64) == Some(0) { "off".to_owned() } else { String::new() }
}

fn plugins(value: &Value) -> String {
    let names: Vec<&str> = value
        .get("plugins")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(name, _)| name.as_str())
        .collect();
    names.join(", ")
}

fn members(value: &Value) -> String {
    let all = value.as_object().into_iter().flatten().map(|(name, _)| name.as_str());
    let shown: Vec<&str> =
        all.filter(|name| !matches!(*name, "id" | "create_time" | "update_time")).collect();
    shown.join(", ")
}

/// Where requests go: an upstream or service by its id, or nodes that are written in place.
fn to(value: &Value) -> String {
    for (member, word) in [("upstream_id", "upstream"), ("service_id", "service")] {
        let id = text(value, member);
        if !id.is_empty() {
            return format!("{word} {id}");
        }
    }
    value.get("upstream").map(nodes).unwrap_or_default()
}

/// Nodes in both of their forms.
fn nodes(upstream: &Value) -> String {
    let shown: Vec<String> = match upstream.get("nodes") {
        Some(Value::Object(nodes)) => nodes.keys().cloned().collect(),
        Some(Value::Array(nodes)) => nodes
            .iter()
            .map(|node| match text(node, "port").as_str() {
                "" => text(node, "host"),
                port => format!("{}:{port}", text(node, "host")),
            })
            .collect(),
        _ => vec![text(upstream, "service_name")],
    };
    shown.join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::of;

    #[test]
    fn a_route_is_one_line() {
        let route = json!({
            "id": "1", "name": "a", "methods": ["GET", "PUT"], "uris": ["/a", "/b"], "host": "h", "status": 0,
            "upstream": { "nodes": [{ "host": "n", "port": 80, "weight": 1 }] }, "plugins": { "cors": {}, "key-auth": {} },
        });
        let cells: Vec<String> = of("route").iter().map(|(_, cell)| cell(&route)).collect();
        assert_eq!(cells, ["a", "GET, PUT", "h", "/a, /b", "n:80", "cors, key-auth", "off"]);
        let upstream = json!({ "type": "roundrobin", "nodes": { "n:80": 1 } });
        assert_eq!(of("upstream")[2].1(&upstream), "n:80");
    }
}
