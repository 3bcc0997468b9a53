//! One readable line of an object, such as `/speaker/* GET -> conference-api [limit-count]`.

use serde_json::Value;
use usher_model::kind::Kind;

use super::text::clean;

/// Characters of a line.
const MOST: usize = 200;
/// Items that are named before the rest is counted.
const NAMED: usize = 4;

/// The line of an object.
pub(crate) fn line(kind: Kind, value: &Value) -> String {
    let parts = match kind {
        Kind::Route => route(value),
        Kind::Service => vec![list(&texts(value, "host", "hosts"), ","), to(value), plugins(value)],
        Kind::Upstream => upstream(value),
        Kind::Consumer => vec![group(value), plugins(value)],
        Kind::Ssl => ssl(value),
        Kind::StreamRoute => stream_route(value),
        Kind::CostDecoration => cost(value),
        Kind::PluginMetadata => vec![members(value)],
        Kind::Proto => vec![first(value, "desc")],
        Kind::Secret => vec![first(value, "uri"), first(value, "prefix"), first(value, "region")],
        Kind::Credential | Kind::PluginConfig | Kind::GlobalRule | Kind::ConsumerGroup => {
            vec![plugins(value)]
        }
    };
    let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    clean(&parts.join(" "), MOST)
}

/// What an object is called: its name, or a consumer's user name.
pub(super) fn name_of(value: &Value) -> Option<&str> {
    value.get("name").or_else(|| value.get("username")).and_then(Value::as_str)
}

fn route(value: &Value) -> Vec<String> {
    let hosts = texts(value, "host", "hosts");
    let uris = texts(value, "uri", "uris");
    // One host reads best as part of the path.
    let path = match hosts.as_slice() {
        [host] => list(&uris.iter().map(|uri| format!("{host}{uri}")).collect::<Vec<_>>(), " "),
        [] => list(&uris, " "),
        _ => format!("{} on {}", list(&uris, " "), list(&hosts, ",")),
    };
    let methods = list(&texts(value, "", "methods"), ",");
    let off = if value.get("status") == Some(&Value::from(0)) { "(off)" } else { "" };
    vec![path, methods, to(value), plugins(value), off.to_owned()]
}

fn upstream(value: &Value) -> Vec<String> {
    let kind = value.get("type").and_then(Value::as_str).unwrap_or("roundrobin");
    let scheme =
        value.get("scheme").and_then(Value::as_str).filter(|scheme| *scheme != "http").unwrap_or_default();
    vec![kind.to_owned(), scheme.to_owned(), list(&nodes(value), ", ")]
}

/// The names that it serves, and what the certificate itself says.
fn ssl(value: &Value) -> Vec<String> {
    let client = value.get("type").and_then(Value::as_str) == Some("client");
    let certificate = value.get("cert").and_then(Value::as_str).and_then(usher_model::certificate::line);
    let off = if value.get("status") == Some(&Value::from(0)) { "(off)" } else { "" };
    let kind = if client { "client" } else { "" };
    vec![
        kind.to_owned(),
        list(&texts(value, "sni", "snis"), ","),
        certificate.unwrap_or_default(),
        off.to_owned(),
    ]
}

fn stream_route(value: &Value) -> Vec<String> {
    let port = value.get("server_port").map(|port| format!("port {port}")).unwrap_or_default();
    let from = value.get("remote_addr").and_then(Value::as_str).map(|from| format!("from {from}"));
    vec![port, first(value, "sni"), from.unwrap_or_default(), to(value), plugins(value)]
}

fn cost(value: &Value) -> Vec<String> {
    let told = |member: &str, how: &str| {
        let what = match value.get(member)? {
            Value::Array(_) => list(&texts(value, "", member), ","),
            other => other.to_string(),
        };
        Some(format!("{how} {what}"))
    };
    let parts = [("mul_arguments", "x"), ("mul_value", "x"), ("add_arguments", "+"), ("add_value", "+")];
    let all = parts.into_iter().filter_map(|(member, how)| told(member, how));
    std::iter::once(first(value, "field_path")).chain(all).collect()
}

/// What a plugin's metadata sets.
fn members(value: &Value) -> String {
    let names = value.as_object().into_iter().flatten().map(|(name, _)| name.clone());
    let names: Vec<String> = names.filter(|name| name != "id").collect();
    list(&names, ", ")
}

fn first(value: &Value, member: &str) -> String {
    value.get(member).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// Where it goes: an upstream by id, a service, or nodes written in place.
fn to(value: &Value) -> String {
    let id = |member: &str| match value.get(member) {
        Some(Value::String(id)) => Some(id.clone()),
        Some(Value::Number(id)) => Some(id.to_string()),
        _ => None,
    };
    if let Some(upstream) = id("upstream_id") {
        return format!("-> {upstream}");
    }
    if let Some(upstream) = value.get("upstream") {
        return format!("-> {}", list(&nodes(upstream), ", "));
    }
    id("service_id").map(|service| format!("-> service {service}")).unwrap_or_default()
}

/// `host:port`, with a weight that isn't 1 behind it.
pub(super) fn nodes(upstream: &Value) -> Vec<String> {
    let weighted = |address: String, weight: Option<u64>| match weight {
        None | Some(1) => address,
        Some(weight) => format!("{address} x{weight}"),
    };
    match upstream.get("nodes") {
        Some(Value::Object(nodes)) => {
            nodes.iter().map(|(address, weight)| weighted(address.clone(), weight.as_u64())).collect()
        }
        Some(Value::Array(nodes)) => nodes
            .iter()
            .filter_map(|node| {
                let host = node.get("host")?.as_str()?;
                let port = node.get("port").and_then(Value::as_u64);
                let address = port.map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
                Some(weighted(address, node.get("weight").and_then(Value::as_u64)))
            })
            .collect(),
        _ => Vec::new(),
    }
}

fn plugins(value: &Value) -> String {
    let names: Vec<String> = match value.get("plugins") {
        Some(Value::Object(plugins)) => plugins.keys().cloned().collect(),
        _ => Vec::new(),
    };
    let config = value
        .get("plugin_config_id")
        .map(|id| format!("config {}", id.as_str().map_or_else(|| id.to_string(), str::to_owned)));
    let all: Vec<String> = names.into_iter().chain(config).collect();
    if all.is_empty() { String::new() } else { format!("[{}]", list(&all, ", ")) }
}

fn group(value: &Value) -> String {
    value.get("group_id").and_then(Value::as_str).map(|group| format!("group {group}")).unwrap_or_default()
}

fn texts(value: &Value, one: &str, several: &str) -> Vec<String> {
    let one = value.get(one).and_then(Value::as_str).map(str::to_owned);
    let several = value.get(several).and_then(Value::as_array).map_or(&[] as &[Value], Vec::as_slice);
    one.into_iter().chain(several.iter().filter_map(Value::as_str).map(str::to_owned)).collect()
}

fn list(all: &[String], between: &str) -> String {
    let shown: Vec<&str> = all.iter().take(NAMED).map(String::as_str).collect();
    let rest = all.len().saturating_sub(NAMED);
    let more = if rest > 0 { format!(" +{rest}") } else { String::new() };
    format!("{}{more}", shown.join(between))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use usher_model::kind::Kind;

    use super::line;

    #[test]
    fn each_kind_reads_as_one_line() {
        let cases = [
            (
                Kind::Route,
                json!({ "uri": "/speaker/*", "methods": ["GET"], "upstream_id": "conference-api", "plugins": { "limit-count": {} } }),
                "/speaker/* GET -> conference-api [limit-count]",
            ),
            (
                Kind::Route,
                json!({ "uris": ["/a", "/b"], "host": "x.test", "service_id": 7, "status": 0 }),
                "x.test/a x.test/b -> service 7 (off)",
            ),
            (
                Kind::Route,
                json!({ "uri": "/a", "hosts": ["x", "y"], "upstream": { "nodes": { "h:1": 1, "i:2": 3 } }, "plugin_config_id": "pc" }),
                "/a on x,y -> h:1, i:2 x3 [config pc]",
            ),
            (Kind::Service, json!({ "hosts": ["a"], "upstream_id": 1 }), "a -> 1"),
            (
                Kind::Upstream,
                json!({ "type": "roundrobin", "scheme": "https", "nodes": [{ "host": "h", "port": 1, "weight": 0 }, { "host": "i", "weight": 1 }] }),
                "roundrobin https h:1 x0, i",
            ),
            (
                Kind::Consumer,
                json!({ "username": "jack", "group_id": "g", "plugins": { "key-auth": {} } }),
                "group g [key-auth]",
            ),
            (
                Kind::GlobalRule,
                json!({ "plugins": { "a": {}, "b": {}, "c": {}, "d": {}, "e": {} } }),
                "[a, b, c, d +1]",
            ),
            (
                Kind::Ssl,
                json!({ "snis": ["a.test", "*.a.test"], "cert": "$env://CERT", "status": 0 }),
                "a.test,*.a.test (off)",
            ),
            (Kind::Ssl, json!({ "type": "client", "cert": "$env://CERT" }), "client"),
            (
                Kind::StreamRoute,
                json!({ "server_port": 9100, "remote_addr": "10.0.0.0/8", "upstream_id": "u" }),
                "port 9100 from 10.0.0.0/8 -> u",
            ),
            (
                Kind::CostDecoration,
                json!({ "field_path": "Query.a", "mul_arguments": ["first"], "add_value": 2 }),
                "Query.a x first + 2",
            ),
            (Kind::PluginMetadata, json!({ "id": "x", "log_format": {}, "path": "" }), "log_format, path"),
            (
                Kind::Secret,
                json!({ "uri": "https://v.test", "prefix": "kv", "token": "***" }),
                "https://v.test kv",
            ),
            (Kind::ConsumerGroup, json!({ "plugins": { "limit-count": {} } }), "[limit-count]"),
            (Kind::Proto, json!({ "content": "message A {}", "desc": "greeting" }), "greeting"),
            (Kind::Route, json!({ "uri": "/\u{202e}x\n" }), "/\\u{202e}x\\u{a}"),
        ];
        for (kind, value, wanted) in cases {
            assert_eq!(line(kind, &value), wanted);
        }
    }
}
