//! What a schema can't say of a resource, as far as no other object is needed to know it (Admin API contract, section 5).

mod hash_key;
mod ssl;
mod stream;

use serde_json::Value;

use super::Violation;
use crate::expr::Expr;
use crate::json_path::JsonPath;
use crate::kind::Kind;
use crate::protobuf;
use crate::reference::is_reference;

pub(super) fn check(kind: Kind, value: &Value) -> Result<(), Violation> {
    match kind {
        Kind::Route => {
            for (one, several) in [("host", "hosts"), ("remote_addr", "remote_addrs")] {
                if value.get(one).is_some() && value.get(several).is_some() {
                    return Err(plain(format!("only one of {one} or {several} is allowed"), several));
                }
            }
            inline(value)?;
            if let Some(vars) = value.get("vars") {
                conditions(vars).map_err(|error| {
                    plain(format!("failed to validate the 'vars' expression: {error}"), "vars")
                })?;
            }
            Ok(())
        }
        Kind::Service => inline(value),
        Kind::StreamRoute => inline(value).and_then(|()| stream::check(value)),
        Kind::Upstream => upstream(value, ""),
        Kind::Ssl => ssl::check(value),
        Kind::Proto => match text(value, "content").filter(|content| !is_reference(content)) {
            Some(content) => protobuf::compile(content)
                .map(drop)
                .map_err(|error| plain(format!("invalid content: {error}"), "content")),
            None => Ok(()),
        },
        Kind::Secret => {
            // Only GCP's is more than a text to those who ask with it.
            let key = value.pointer("/auth_config/private_key").and_then(Value::as_str);
            let is_gcp = text(value, "id").is_some_and(|id| id.starts_with("gcp/"));
            match key.filter(|key| is_gcp && !is_reference(key)) {
                Some(key) => crate::certificate::check_rsa_key(key).map_err(|error| {
                    plain(format!("invalid private_key: {error}"), "auth_config/private_key")
                }),
                None => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

/// The conditions of a route: an expression whose places in a body can be places.
fn conditions(vars: &Value) -> Result<(), String> {
    let expression = Expr::parse(vars).map_err(|error| error.to_string())?;
    let paths = expression.names().filter_map(|name| name.strip_prefix("post_arg."));
    match paths.into_iter().find(|path| JsonPath::parse(path).is_none()) {
        Some(path) => Err(format!(
            "invalid expression: post_arg.{path} is no path into a body; write one such as post_arg.messages[*].role"
        )),
        None => Ok(()),
    }
}

fn inline(value: &Value) -> Result<(), Violation> {
    value.get("upstream").map_or(Ok(()), |below| upstream(below, "/upstream"))
}

fn plain(sentence: String, member: &str) -> Violation {
    Violation::at(&format!("/{member}"), sentence, false)
}

fn text<'a>(value: &'a Value, member: &str) -> Option<&'a str> {
    value.get(member).and_then(Value::as_str)
}

fn upstream(value: &Value, at: &str) -> Result<(), Violation> {
    let here = |sentence: String, member: &str, prefixed: bool| {
        Err(Violation::at(&format!("{at}/{member}"), sentence, prefixed))
    };
    if text(value, "pass_host") == Some("rewrite") && text(value, "upstream_host").is_none_or(str::is_empty) {
        return here(
            "`upstream_host` can't be empty when `pass_host` is `rewrite`".to_owned(),
            "upstream_host",
            false,
        );
    }
    if text(value, "type") == Some("chash")
        && text(value, "hash_on") != Some("consumer")
        && value.get("key").is_none()
    {
        return here("missing key".to_owned(), "key", false);
    }
    if text(value, "type") == Some("chash")
        && let Some(key) = text(value, "key")
        && let Some(pattern) = hash_key::refusal(text(value, "hash_on").unwrap_or("vars"), key)
    {
        return here(format!("failed to match pattern \"{pattern}\" with \"{key}\""), "key", true);
    }
    match value.get("nodes") {
        Some(Value::Object(nodes)) => {
            for address in nodes.keys() {
                let (host, port) = split_port(address);
                if let Some(port) = port
                    && port.parse::<u16>().map_or(true, |port| port == 0)
                {
                    return here(format!("invalid port {port}"), "nodes", false);
                }
                if host.is_empty() {
                    return here(
                        format!("property \"nodes\" validation failed: node \"{address}\" has no host"),
                        "nodes",
                        true,
                    );
                }
            }
        }
        Some(Value::Array(nodes)) => {
            for host in nodes.iter().filter_map(|node| text(node, "host")) {
                if host.contains(':') && !(host.starts_with('[') && host.ends_with(']')) {
                    return here("IPv6 address must be enclosed with '[' and ']'".to_owned(), "nodes", true);
                }
            }
        }
        _ => {}
    }
    Ok(())
}

/// Host and port of a node's address such as `a.example:80` or `[::1]:80`.
fn split_port(address: &str) -> (&str, Option<&str>) {
    if let Some(end) = address.rfind(']') {
        let (host, rest) = address.split_at(end + 1);
        return (host, rest.strip_prefix(':'));
    }
    match address.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (address, None),
    }
}
