//! The JSON schema of every kind of resource, as `GET /schema/{name}` serves it (Admin API contract, section 6).
//!
//! Written out rather than derived, because the order of the rules decides which sentence a client reads.

use std::sync::LazyLock;

use serde_json::{Value, json};

use super::beside;
use crate::kind::Kind;

/// The schema of a kind.
#[must_use]
pub fn schema(kind: Kind) -> &'static Value {
    static ROUTE: LazyLock<Value> = LazyLock::new(route);
    static SERVICE: LazyLock<Value> = LazyLock::new(service);
    static UPSTREAM: LazyLock<Value> = LazyLock::new(upstream);
    static CONSUMER: LazyLock<Value> = LazyLock::new(consumer);
    static CREDENTIAL: LazyLock<Value> = LazyLock::new(credential);
    static PLUGIN_CONFIG: LazyLock<Value> = LazyLock::new(plugin_config);
    static GLOBAL_RULE: LazyLock<Value> = LazyLock::new(global_rule);
    static CONSUMER_GROUP: LazyLock<Value> = LazyLock::new(beside::consumer_group);
    static SSL: LazyLock<Value> = LazyLock::new(beside::ssl);
    static PLUGIN_METADATA: LazyLock<Value> = LazyLock::new(beside::plugin_metadata);
    static PROTO: LazyLock<Value> = LazyLock::new(beside::proto);
    static SECRET: LazyLock<Value> = LazyLock::new(beside::secret);
    static STREAM_ROUTE: LazyLock<Value> = LazyLock::new(beside::stream_route);
    static COST_DECORATION: LazyLock<Value> = LazyLock::new(beside::cost_decoration);
    match kind {
        Kind::Route => &ROUTE,
        Kind::Service => &SERVICE,
        Kind::Upstream => &UPSTREAM,
        Kind::Consumer => &CONSUMER,
        Kind::Credential => &CREDENTIAL,
        Kind::PluginConfig => &PLUGIN_CONFIG,
        Kind::GlobalRule => &GLOBAL_RULE,
        Kind::ConsumerGroup => &CONSUMER_GROUP,
        Kind::Ssl => &SSL,
        Kind::PluginMetadata => &PLUGIN_METADATA,
        Kind::Proto => &PROTO,
        Kind::Secret => &SECRET,
        Kind::StreamRoute => &STREAM_ROUTE,
        Kind::CostDecoration => &COST_DECORATION,
    }
}

/// The schema of what a manager of secrets is reached by, for one of [`SECRET_MANAGERS`](crate::kind::SECRET_MANAGERS).
#[must_use]
pub fn secret_schema(manager: &str) -> Option<&'static Value> {
    static ALL: LazyLock<Vec<(&str, Value)>> = LazyLock::new(|| {
        let known = crate::kind::SECRET_MANAGERS.into_iter();
        known.filter_map(|manager| Some((manager, beside::secret_of(manager)?))).collect()
    });
    ALL.iter().find(|(known, _)| *known == manager).map(|(_, schema)| schema)
}

pub(super) fn id() -> Value {
    json!({ "anyOf": [
        { "type": "string", "minLength": 1, "maxLength": 64, "pattern": "^[a-zA-Z0-9-_.]+$" },
        { "type": "integer", "minimum": 1 },
    ] })
}

pub(super) fn name() -> Value {
    json!({ "type": "string", "minLength": 1, "maxLength": 256 })
}

pub(super) fn desc() -> Value {
    json!({ "type": "string", "maxLength": 256 })
}

pub(super) fn labels() -> Value {
    json!({
        "description": "key/value pairs to specify attributes", "type": "object",
        "patternProperties": { ".*": { "type": "string", "minLength": 1, "maxLength": 256, "pattern": "^\\S+$" } },
    })
}

pub(super) fn timestamp() -> Value {
    json!({ "type": "integer" })
}

pub(super) fn plugins() -> Value {
    json!({ "type": "object" })
}

pub(super) fn host() -> Value {
    json!({ "type": "string", "maxLength": 255, "pattern": "^\\*$|^\\*?[0-9a-zA-Z-._\\[\\]:]+$" })
}

fn hosts() -> Value {
    json!({ "type": "array", "items": host(), "minItems": 1, "uniqueItems": true })
}

pub(super) fn address() -> Value {
    json!({ "anyOf": [
        { "title": "IPv4", "type": "string", "format": "ipv4" },
        { "title": "IPv4/CIDR", "type": "string", "pattern": "^([0-9]{1,3}\\.){3}[0-9]{1,3}/([12]?[0-9]|3[0-2])$" },
        { "title": "IPv6", "type": "string", "format": "ipv6" },
        { "title": "IPv6/CIDR", "type": "string", "pattern": "^([a-fA-F0-9]{0,4}:){1,8}(:[a-fA-F0-9]{0,4}){0,8}([a-fA-F0-9]{0,4})?/[0-9]{1,3}$" },
    ] })
}

fn timeout() -> Value {
    let seconds = json!({ "type": "number", "exclusiveMinimum": 0, "description": "seconds" });
    json!({
        "type": "object",
        "properties": { "connect": seconds, "send": seconds, "read": seconds },
        "required": ["connect", "send", "read"],
        "additionalProperties": false,
    })
}

fn uri() -> Value {
    json!({ "type": "string", "minLength": 1, "maxLength": 4096 })
}

fn route() -> Value {
    json!({
        "type": "object",
        "properties": {
            "id": id(), "name": name(), "desc": desc(), "labels": labels(),
            "uri": uri(),
            "uris": { "type": "array", "items": uri(), "minItems": 1, "uniqueItems": true },
            "priority": { "type": "integer", "default": 0 },
            "methods": {
                "type": "array", "uniqueItems": true,
                "items": { "type": "string", "enum": [
                    "GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "CONNECT", "TRACE", "PURGE",
                ] },
            },
            "host": host(), "hosts": hosts(),
            "remote_addr": address(),
            "remote_addrs": { "type": "array", "items": address(), "minItems": 1, "uniqueItems": true },
            "timeout": timeout(),
            "vars": { "type": "array" },
            "filter_func": { "type": "string", "minLength": 10, "pattern": "^function" },
            "script": { "type": "string", "minLength": 10, "maxLength": 102_400 },
            "script_id": id(),
            "plugins": plugins(), "plugin_config_id": id(),
            "upstream": upstream(), "upstream_id": id(), "service_id": id(),
            "enable_websocket": { "type": "boolean" },
            "status": { "type": "integer", "enum": [1, 0], "default": 1, "description": "1 serves, 0 takes the route out" },
            "create_time": timestamp(), "update_time": timestamp(),
        },
        "allOf": [{ "oneOf": [{ "required": ["uri"] }, { "required": ["uris"] }] }],
        "anyOf": [
            { "required": ["plugins"] }, { "required": ["upstream"] }, { "required": ["upstream_id"] },
            { "required": ["service_id"] }, { "required": ["script"] }, { "required": ["plugin_config_id"] },
        ],
        "not": { "anyOf": [{ "required": ["script", "plugins"] }, { "required": ["script", "plugin_config_id"] }] },
        "additionalProperties": false,
    })
}

fn service() -> Value {
    json!({
        "type": "object",
        "properties": {
            "id": id(), "name": name(), "desc": desc(), "labels": labels(),
            "plugins": plugins(), "upstream": upstream(), "upstream_id": id(),
            "script": { "type": "string", "minLength": 10, "maxLength": 102_400 },
            "enable_websocket": { "type": "boolean" }, "hosts": hosts(),
            "create_time": timestamp(), "update_time": timestamp(),
        },
        "additionalProperties": false,
    })
}

fn nodes() -> Value {
    let weight = json!({ "type": "integer", "minimum": 0 });
    json!({ "anyOf": [
        { "type": "object", "patternProperties": { ".*": weight } },
        { "type": "array", "items": {
            "type": "object",
            "properties": {
                "host": host(),
                "port": { "type": "integer", "minimum": 1, "maximum": 65535 },
                "weight": weight,
                "priority": { "type": "integer", "default": 0 },
                "metadata": { "type": "object" },
            },
            "required": ["host", "weight"],
        } },
    ] })
}

pub(super) fn upstream() -> Value {
    let pem = |least: u32| json!({ "type": "string", "minLength": least, "maxLength": 65_536 });
    let mut key = pem(64);
    if let Some(members) = key.as_object_mut() {
        members.insert(crate::secret::MARK.to_owned(), true.into());
    }
    json!({
        "type": "object",
        "properties": {
            "id": id(), "name": name(), "desc": desc(), "labels": labels(),
            "nodes": nodes(),
            "type": { "type": "string", "default": "roundrobin", "description": "how a node is chosen" },
            "hash_on": { "type": "string", "default": "vars", "enum": ["vars", "header", "cookie", "consumer", "vars_combinations"] },
            "key": { "type": "string" },
            "retries": { "type": "integer", "minimum": 0 },
            "retry_timeout": { "type": "number", "minimum": 0 },
            "timeout": timeout(),
            "scheme": { "default": "http", "enum": ["grpc", "grpcs", "http", "https", "tcp", "tls", "udp", "kafka"] },
            "pass_host": { "type": "string", "enum": ["pass", "node", "rewrite"], "default": "pass" },
            "upstream_host": host(),
            "keepalive_pool": {
                "type": "object",
                "properties": {
                    "size": { "type": "integer", "default": 320, "minimum": 1 },
                    "idle_timeout": { "type": "number", "default": 60, "minimum": 0 },
                    "requests": { "type": "integer", "default": 1000, "minimum": 1 },
                },
            },
            "tls": {
                "type": "object",
                "properties": {
                    "client_cert_id": id(), "client_cert": pem(128), "client_key": key,
                    "verify": { "type": "boolean", "description": "whether the server's certificate is verified; true unless set to false" },
                },
                "dependencies": {
                    "client_cert": { "required": ["client_key"], "not": { "required": ["client_cert_id"] } },
                    "client_key": { "required": ["client_cert"], "not": { "required": ["client_cert_id"] } },
                    "client_cert_id": { "not": { "required": ["client_cert", "client_key"] } },
                },
            },
            "checks": checks(),
            "discovery_type": { "type": "string" },
            "discovery_args": { "type": "object", "properties": {
                "namespace_id": { "type": "string" }, "group_name": { "type": "string" },
            } },
            "service_name": { "type": "string", "minLength": 1, "maxLength": 256 },
            "create_time": timestamp(), "update_time": timestamp(),
        },
        "oneOf": [{ "required": ["nodes"] }, { "required": ["service_name", "discovery_type"] }],
        "additionalProperties": false,
    })
}

fn checks() -> Value {
    let statuses = json!({ "type": "array", "minItems": 1, "uniqueItems": true,
        "items": { "type": "integer", "minimum": 200, "maximum": 599 } });
    let count = |least: u32| json!({ "type": "integer", "minimum": least, "maximum": 254 });
    let kind = json!({ "type": "string", "enum": ["http", "https", "tcp"], "default": "http" });
    json!({
        "type": "object",
        "properties": {
            "active": {
                "type": "object",
                "properties": {
                    "type": kind,
                    "timeout": { "type": "number", "default": 1 },
                    "concurrency": { "type": "integer", "default": 10 },
                    "host": host(),
                    "port": { "type": "integer", "minimum": 1, "maximum": 65535 },
                    "http_path": { "type": "string", "default": "/" },
                    "http_method": { "type": "string" }, "http_req_body": { "type": "string" },
                    "https_verify_certificate": { "type": "boolean", "default": true },
                    "req_headers": { "type": "array", "minItems": 1, "items": { "type": "string" } },
                    "healthy": { "type": "object", "properties": {
                        "interval": { "type": "integer", "minimum": 1, "default": 1 },
                        "http_statuses": statuses, "successes": count(1),
                    } },
                    "unhealthy": { "type": "object", "properties": {
                        "interval": { "type": "integer", "minimum": 1, "default": 1 },
                        "http_statuses": statuses, "http_failures": count(1), "tcp_failures": count(1), "timeouts": count(1),
                    } },
                },
            },
            "passive": {
                "type": "object",
                "properties": {
                    "type": kind,
                    "healthy": { "type": "object", "properties": { "http_statuses": statuses, "successes": count(0) } },
                    "unhealthy": { "type": "object", "properties": {
                        "http_statuses": statuses, "http_failures": count(0), "tcp_failures": count(0), "timeouts": count(0),
                    } },
                },
            },
        },
        "anyOf": [{ "required": ["active"] }, { "required": ["active", "passive"] }],
        "additionalProperties": false,
    })
}

fn consumer() -> Value {
    json!({
        "type": "object",
        "properties": {
            "username": { "type": "string", "minLength": 1, "maxLength": 256, "pattern": "^[a-zA-Z0-9_\\-]+$" },
            "group_id": id(), "plugins": plugins(), "desc": desc(), "labels": labels(),
            "create_time": timestamp(), "update_time": timestamp(),
        },
        "required": ["username"],
        "additionalProperties": false,
    })
}

fn credential() -> Value {
    json!({
        "type": "object",
        "properties": {
            "id": id(), "plugins": { "type": "object", "maxProperties": 1 }, "name": name(), "desc": desc(), "labels": labels(),
            "create_time": timestamp(), "update_time": timestamp(),
        },
        "additionalProperties": false,
    })
}

fn plugin_config() -> Value {
    json!({
        "type": "object",
        "properties": {
            "id": id(), "name": name(), "desc": desc(), "labels": labels(), "plugins": plugins(),
            "create_time": timestamp(), "update_time": timestamp(),
        },
        "required": ["id", "plugins"],
        "additionalProperties": false,
    })
}

fn global_rule() -> Value {
    json!({
        "type": "object",
        "properties": { "id": id(), "plugins": plugins(), "create_time": timestamp(), "update_time": timestamp() },
        "required": ["id", "plugins"],
        "additionalProperties": false,
    })
}
