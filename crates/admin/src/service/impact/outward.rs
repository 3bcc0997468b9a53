//! The addresses in bodies that Usher calls: who is told a secret by them, or a protected request.
//!
//! No plugin is known by its members here. A text is an address where it is a URL, or where its member is named as addresses are, so that a plugin
//! that is written tomorrow is looked at too.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};
use usher_model::change::Risk;
use usher_model::kind::{Key, Kind};
use usher_model::mask::is_mask;
use usher_model::reference::is_reference;

use super::super::escape::{plain, shortened};
use super::super::world::World;
use super::Impact;

/// How the last word of a member's name tells that it holds an address.
const NAMES: [&str; 14] = [
    "host",
    "hosts",
    "addr",
    "addrs",
    "address",
    "addresses",
    "node",
    "nodes",
    "uri",
    "uris",
    "url",
    "urls",
    "endpoint",
    "sentinels",
];

/// Members whose own members are named by hosts.
const BY_HOST: [&str; 1] = ["broker_list"];

/// Plugins whose addresses are told nothing of a request: those are for clients, or are asked for the plugin's own sake.
const QUIET: [&str; 21] = [
    "cas-auth",
    "cors",
    "error-page",
    "fault-injection",
    "ip-restriction",
    "jwt-auth",
    "limit-conn",
    "limit-count",
    "limit-req",
    "graphql-limit-count",
    "ai-rate-limiting",
    "mocking",
    "oas-validator",
    "openid-connect",
    "proxy-rewrite",
    "real-ip",
    "redirect",
    "referer-restriction",
    "response-rewrite",
    "saml-auth",
    "uri-blocker",
];

/// Deepest level of a body that is looked at.
const DEEPEST: usize = 32;

/// Hosts that a sentence names.
const NAMED: usize = 5;

/// Looks at every edit that keeps a secret and sends it to another host.
pub(super) fn assess(world: &World<'_>, impact: &mut Impact) {
    for draft in &world.drafts {
        let (Some(before), Some(after)) = (&draft.before, &draft.after) else { continue };
        let key = &draft.key;
        let vault = &world.service.vault;
        // Masks are the same exactly where secrets are.
        let (before, after) = (vault.masked(key, &before.value), vault.masked(key, after));
        let (before, after) = (bodies(key, &before), bodies(key, &after));
        for (name, body) in after {
            let Some(known) = before.get(name) else { continue };
            let kept = secrets(known).intersection(&secrets(body)).next().is_some();
            let fresh: Vec<String> = addresses(body).difference(&addresses(known)).cloned().collect();
            if !kept || fresh.is_empty() {
                continue;
            }
            let reason = format!(
                "{} of {key} keeps its secrets and would send them to a host that is new to it: {}",
                plain(name),
                told(fresh)
            );
            impact.warn(reason.clone());
            impact.raise(Risk::High, reason);
        }
    }
}

/// Some hosts, and how many more.
pub(super) fn told(hosts: Vec<String>) -> String {
    let more = hosts.len().saturating_sub(NAMED);
    let told: Vec<String> = hosts.iter().take(NAMED).map(|host| shortened(host, 80)).collect();
    let told = told.join(", ");
    if more > 0 { format!("{told} and {more} more") } else { told }
}

/// The hosts that an object's plugins tell of its requests.
pub(super) fn told_of_requests(object: &Value) -> BTreeSet<String> {
    let plugins = object.get("plugins").and_then(Value::as_object);
    let mut found = BTreeSet::new();
    for (_, body) in plugins.into_iter().flatten().filter(|(name, _)| !QUIET.contains(&name.as_str())) {
        found.extend(addresses(body));
    }
    found
}

/// What may hold an address beside a secret: the bodies of plugins, by their names, or the object itself.
fn bodies<'a>(key: &'a Key, value: &'a Value) -> BTreeMap<&'a str, &'a Value> {
    if matches!(key.kind, Kind::Secret | Kind::PluginMetadata) {
        return BTreeMap::from([(key.own_id(), value)]);
    }
    let plugins = value.get("plugins").and_then(Value::as_object);
    plugins.into_iter().flatten().map(|(name, body)| (name.as_str(), body)).collect()
}

/// Masks and references: texts that stand for secrets.
fn secrets(body: &Value) -> BTreeSet<&str> {
    fn walk<'a>(value: &'a Value, depth: usize, found: &mut BTreeSet<&'a str>) {
        match value {
            Value::String(text) if is_mask(text) || is_reference(text) => {
                found.insert(text);
            }
            Value::Array(items) if depth > 0 => items.iter().for_each(|item| walk(item, depth - 1, found)),
            Value::Object(members) if depth > 0 => {
                members.values().for_each(|member| walk(member, depth - 1, found));
            }
            _ => {}
        }
    }
    let mut found = BTreeSet::new();
    walk(body, DEEPEST, &mut found);
    found
}

/// The hosts of a body's addresses, in lower case.
fn addresses(body: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    if let Value::Object(members) = body {
        walk(members, DEEPEST, &mut found);
    }
    found
}

fn walk(members: &Map<String, Value>, depth: usize, found: &mut BTreeSet<String>) {
    // `$schema` and the like name documents of a JSON schema.
    for (name, member) in members.iter().filter(|(name, _)| *name != "_meta" && !name.starts_with('$')) {
        let is_named = name.rsplit(['_', '-']).next().is_some_and(|word| NAMES.contains(&word));
        if let (true, Value::Object(hosts)) = (BY_HOST.contains(&name.as_str()), member) {
            found.extend(hosts.keys().filter_map(|host| host_of(host)));
        }
        texts(member, is_named, depth, found);
    }
}

fn texts(value: &Value, is_named: bool, depth: usize, found: &mut BTreeSet<String>) {
    match value {
        Value::String(text) if is_named || is_url(text) => found.extend(host_of(text)),
        Value::Array(items) if depth > 0 => {
            items.iter().for_each(|item| texts(item, is_named, depth - 1, found));
        }
        Value::Object(members) if depth > 0 => walk(members, depth - 1, found),
        _ => {}
    }
}

/// Whether a text is a URL as a whole: one that only holds some, such as a template, is none.
fn is_url(text: &str) -> bool {
    let is_scheme = |scheme: &str| {
        !scheme.is_empty()
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
    };
    text.split_once("://").is_some_and(|(scheme, _)| is_scheme(scheme)) && !text.contains(char::is_whitespace)
}

/// The host of `http://user@host:port/path`, or of `host:port`. `None` for what is a path or stands for something else.
fn host_of(text: &str) -> Option<String> {
    if is_reference(text) || is_mask(text) {
        return None;
    }
    let authority = text.split_once("://").map_or(text, |(_, rest)| rest).split(['/', '?', '#']).next()?;
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if !host.ends_with(':') && port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    };
    (!host.is_empty()).then(|| host.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{addresses, told_of_requests};

    #[test]
    fn addresses_are_found_by_their_form_and_their_names() {
        for (body, wanted) in [
            (json!({ "uri": "http://Logs.test:80/x", "auth_header": "x" }), "logs.test"),
            (json!({ "host": "10.0.0.1", "port": 514 }), "10.0.0.1"),
            (json!({ "redis_cluster_nodes": ["a:1", "b:2"], "redis_host": "c" }), "a b c"),
            (json!({ "instances": [{ "override": { "endpoint": "https://ai.test/v1" } }] }), "ai.test"),
            (json!({ "brokers": [{ "host": "k" }], "broker_list": { "l": 9092 } }), "k l"),
            (json!({ "endpoint_addrs": ["http://u:p@[::1]:9200/"], "ldap_uri": "ldap:389" }), "[::1] ldap"),
            (
                json!({ "template": "<a xmlns=\"http://x\">", "body": { "$schema": "http://json-schema.org" } }),
                "",
            ),
            (json!({ "uri": "/a/$1", "name": "plain", "_meta": { "filter": ["x://y"] } }), ""),
        ] {
            let found: Vec<String> = addresses(&body).into_iter().collect();
            assert_eq!(found.join(" "), wanted, "{body}");
        }
        let route =
            json!({ "plugins": { "redirect": { "uri": "http://a" }, "http-logger": { "uri": "http://b" } } });
        assert_eq!(told_of_requests(&route).into_iter().collect::<Vec<_>>(), ["b"]);
    }
}
