//! The JSON schemas of the kinds that stand beside the way of a request: certificates, protobuf definitions, secrets, and what plugins share.

use serde_json::{Value, json};

use super::kinds::{address, desc, host, id, labels, name, plugins, timestamp, upstream};
use crate::kind::SECRET_MANAGERS;
use crate::secret::MARK;

pub(super) fn consumer_group() -> Value {
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

fn certificate() -> Value {
    json!({ "type": "string", "minLength": 128, "maxLength": 65_536, "description": "PEM" })
}

fn private_key() -> Value {
    let mut schema = json!({ "type": "string", "minLength": 64, "maxLength": 65_536, "description": "PEM" });
    if let Some(members) = schema.as_object_mut() {
        members.insert(MARK.to_owned(), true.into());
    }
    schema
}

pub(super) fn ssl() -> Value {
    let sni = json!({ "type": "string", "pattern": "^\\*$|^\\*?[0-9a-zA-Z-.]+$" });
    json!({
        "type": "object",
        "properties": {
            "id": id(), "desc": desc(), "labels": labels(),
            "type": { "type": "string", "enum": ["server", "client"], "default": "server",
                "description": "server: shown to clients; client: shown to upstreams" },
            "cert": certificate(), "key": private_key(),
            "sni": sni, "snis": { "type": "array", "items": sni, "minItems": 1 },
            "certs": { "type": "array", "items": certificate(), "description": "further certificates, such as one with another key type" },
            "keys": { "type": "array", "items": private_key(), "description": "their private keys, in the same order" },
            "client": {
                "type": "object",
                "properties": {
                    "ca": certificate(),
                    "depth": { "type": "integer", "minimum": 0, "default": 1, "description": "certificates between a client's and the CA" },
                    "skip_mtls_uri_regex": {
                        "type": "array", "minItems": 1, "uniqueItems": true,
                        "items": { "type": "string", "description": "a pattern of URIs that need no client certificate" },
                    },
                },
                "required": ["ca"],
            },
            "status": { "type": "integer", "enum": [1, 0], "default": 1, "description": "1 serves, 0 takes the certificate out" },
            "ssl_protocols": { "type": "array", "maxItems": 3, "uniqueItems": true,
                "items": { "enum": ["TLSv1.1", "TLSv1.2", "TLSv1.3"] } },
            "create_time": timestamp(), "update_time": timestamp(),
        },
        "if": { "properties": { "type": { "enum": ["server"] } } },
        "then": { "oneOf": [{ "required": ["sni", "key", "cert"] }, { "required": ["snis", "key", "cert"] }] },
        "else": { "required": ["key", "cert"] },
        "additionalProperties": false,
    })
}

pub(super) fn plugin_metadata() -> Value {
    json!({
        "type": "object",
        "properties": { "id": { "type": "string", "minLength": 1, "maxLength": 256, "description": "the plugin's name" } },
    })
}

pub(super) fn proto() -> Value {
    json!({
        "type": "object",
        "properties": {
            "id": id(), "name": name(), "desc": desc(), "labels": labels(),
            "content": { "type": "string", "minLength": 1, "maxLength": 1_048_576,
                "description": "the text of a .proto file, or a file descriptor set in base64" },
            "create_time": timestamp(), "update_time": timestamp(),
        },
        "required": ["content"],
        "additionalProperties": false,
    })
}

pub(super) fn secret() -> Value {
    json!({
        "type": "object",
        "properties": { "id": id_below(&SECRET_MANAGERS.join("|")), "create_time": timestamp(), "update_time": timestamp() },
    })
}

fn id_below(managers: &str) -> Value {
    json!({ "type": "string", "pattern": format!("^({managers})/[a-zA-Z0-9-_.]{{1,64}}$") })
}

/// A text that is sealed in the store and masked for readers.
fn secret_text(description: &str) -> Value {
    let mut schema = json!({ "type": "string", "description": description });
    if let Some(members) = schema.as_object_mut() {
        members.insert(MARK.to_owned(), true.into());
    }
    schema
}

fn address_of_a_manager() -> Value {
    json!({ "type": "string", "pattern": "^[^\\/]+:\\/\\/([\\da-zA-Z.-]+|\\[[\\da-fA-F:]+\\])(:\\d+)?" })
}

/// What a manager of secrets is reached by. Further members are admitted, as APISIX does.
pub(super) fn secret_of(manager: &str) -> Option<Value> {
    let (mut properties, more) = match manager {
        "vault" => (
            json!({
                "uri": address_of_a_manager(),
                "prefix": { "type": "string", "description": "where the secrets are, such as kv/apisix" },
                "token": secret_text("the token that Vault is asked with"),
                "namespace": { "type": "string" },
            }),
            json!({ "required": ["uri", "prefix", "token"] }),
        ),
        "aws" => (
            json!({
                "access_key_id": secret_text("the key's id"), "secret_access_key": secret_text("the key itself"),
                "session_token": secret_text("for temporary keys"),
                "region": { "type": "string", "default": "us-east-1" }, "endpoint_url": address_of_a_manager(),
            }),
            json!({ "required": ["access_key_id", "secret_access_key"] }),
        ),
        "gcp" => (
            json!({
                "auth_config": {
                    "type": "object",
                    "properties": {
                        "client_email": { "type": "string" }, "private_key": secret_text("the account's private key, PEM"),
                        "project_id": { "type": "string" },
                        "token_uri": { "type": "string", "default": "https://oauth2.googleapis.com/token" },
                        "scope": { "type": "array", "items": { "type": "string" },
                            "default": ["https://www.googleapis.com/auth/cloud-platform"] },
                        "entries_uri": { "type": "string", "default": "https://secretmanager.googleapis.com/v1" },
                    },
                    "required": ["client_email", "private_key", "project_id"],
                },
                "ssl_verify": { "type": "boolean", "default": true },
                "auth_file": { "type": "string", "description": "the path of a file that holds auth_config" },
            }),
            json!({ "oneOf": [{ "required": ["auth_config"] }, { "required": ["auth_file"] }] }),
        ),
        _ => return None,
    };
    if let Some(members) = properties.as_object_mut() {
        members.insert("id".to_owned(), id_below(manager));
        members.insert("create_time".to_owned(), timestamp());
        members.insert("update_time".to_owned(), timestamp());
    }
    let mut schema = json!({ "type": "object", "properties": properties });
    crate::patch::merge(&mut schema, &more);
    Some(schema)
}

pub(super) fn stream_route() -> Value {
    json!({
        "type": "object",
        "properties": {
            "id": id(), "name": name(), "desc": desc(), "labels": labels(),
            "remote_addr": address(), "server_addr": address(),
            "server_port": { "type": "integer", "minimum": 1, "maximum": 65535 },
            "sni": host(),
            "upstream": upstream(), "upstream_id": id(), "service_id": id(), "plugins": plugins(),
            "protocol": {
                "type": "object",
                "properties": {
                    "name": { "type": "string" }, "superior_id": id(), "conf": { "type": "object" },
                    "logger": { "type": "array", "items": {
                        "type": "object",
                        "properties": { "name": { "type": "string" }, "filter": { "type": "array" }, "conf": { "type": "object" } },
                    } },
                },
                "required": ["name"],
            },
            "create_time": timestamp(), "update_time": timestamp(),
        },
        "additionalProperties": false,
    })
}

pub(super) fn cost_decoration() -> Value {
    let arguments = |description: &str| json!({ "type": "array", "items": { "type": "string", "minLength": 1 }, "description": description });
    let number = |default: u8, description: &str| json!({ "type": "number", "minimum": 0, "default": default, "description": description });
    json!({
        "type": "object",
        "properties": {
            "id": id(), "service_id": id(), "name": name(), "desc": desc(), "labels": labels(),
            "field_path": { "type": "string", "minLength": 1, "maxLength": 256,
                "pattern": "^[_A-Za-z][_0-9A-Za-z]*(\\.[_A-Za-z][_0-9A-Za-z]*)+$",
                "description": "a field of a type such as Query.products, or one below it such as Query.products.nodes" },
            "mul_arguments": arguments("arguments of the field whose values multiply its cost, such as first"),
            "mul_value": number(1, "multiplies the cost of what is below"),
            "add_arguments": arguments("arguments of the field whose values are added to its cost"),
            "add_value": number(1, "is added to the cost"),
            "create_time": timestamp(), "update_time": timestamp(),
        },
        "required": ["field_path"],
        "additionalProperties": false,
    })
}
