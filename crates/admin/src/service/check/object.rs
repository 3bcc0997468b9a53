//! Checks one resource by itself: masks, identity, times, schema, meaning, plugins, nodes.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};
use usher_model::kind::{Key, Kind, whole};
use usher_model::mask::is_reference;
use usher_model::resource::{BadResource, Consumer, Plugins, Route, Service as ServiceResource, Upstream};
use usher_model::schema::{self, Near, unsupported};
use usher_pipeline::env::Env;
use usher_pipeline::plugin::BuildError;

use super::super::references::{id_text, plugin_pointer};
use super::super::vault::sealed_inside;
use super::super::wish::{Times, Wish};
use super::super::world::Held;
use super::super::{Service, ServiceError};
use super::{calls, invalid, invalid_near, nodes};

/// How deep a value may be nested; the history wraps it a little deeper, and has to be read again.
const DEEPEST: usize = 64;

/// The value as it would be stored, with secrets in clear.
pub(super) fn check(
    service: &Service,
    wish: &Wish,
    key: &Key,
    before: Option<&Held>,
    mut value: Value,
) -> Result<Value, ServiceError> {
    if is_deeper(&value, DEEPEST) {
        return Err(invalid(format!("{key} is nested deeper than {DEEPEST} levels; flatten it"), key, ""));
    }
    if wish.trusted {
        service.vault.open(key, &mut value);
    } else {
        if let Some(pointer) = sealed_inside(&value) {
            let sentence =
                format!("{pointer} holds a sealed secret; give the secret itself, or leave its mask");
            return Err(invalid(sentence, key, pointer));
        }
        as_lua_writes(&mut value);
        service.vault.open_given(key, &mut value);
        let stored = before.map(|held| &*held.value);
        service
            .vault
            .unmask(key, &mut value, stored)
            .map_err(|(sentence, pointer)| invalid(sentence, key, pointer))?;
    }
    // From here on the value has secrets in clear, so every sentence about it is scrubbed.
    judge(service, wish, key, before, &mut value).map_err(|error| match error {
        ServiceError::Invalid { sentence, key: Some(key), pointer, near } => {
            let scrubbed = |sentence: &str| service.vault.scrub(key.kind, &value, sentence);
            let near = near.map(|near| Box::new(Near { sentence: scrubbed(&near.sentence), ..*near }));
            let sentence = scrubbed(&sentence);
            ServiceError::Invalid { sentence, key: Some(key), pointer, near }
        }
        other => other,
    })?;
    Ok(value)
}

/// APISIX reads and writes numbers with Lua, where `1.0` is `1`: whoever compares ids and counts finds whole ones.
fn as_lua_writes(value: &mut Value) {
    match value {
        Value::Number(number) => {
            if let Some(whole) = whole(number) {
                *number = whole;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(as_lua_writes),
        Value::Object(members) => members.values_mut().for_each(as_lua_writes),
        _ => {}
    }
}

fn judge(
    service: &Service,
    wish: &Wish,
    key: &Key,
    before: Option<&Held>,
    value: &mut Value,
) -> Result<(), ServiceError> {
    if key.kind == Kind::StreamRoute && !service.parts.rules.stream_mode {
        return Err(invalid("stream mode is disabled, can not add stream routes", key, ""));
    }
    if let Some(members) = value.as_object_mut() {
        identify(key, members)?;
        // APISIX gives metadata no times, and a plugin's schema may know none.
        if key.kind != Kind::PluginMetadata {
            stamp(wish.times, before, members);
        }
    }
    if key.kind == Kind::PluginMetadata {
        metadata(service, key, value)?;
    }
    schema::check(key.kind, value)
        .map_err(|found| invalid_near(found.admin_sentence(), key, found.pointer, "", found.near))?;
    if let Some(sentence) = unsupported(key.kind, value) {
        return Err(invalid(sentence, key, ""));
    }
    plugins(service, key, value)?;
    readable(key.kind, value).map_err(|error| invalid(format!("invalid configuration: {error}"), key, ""))?;
    let own = &service.parts.rules.forbidden_nodes;
    nodes::check(own, key.kind, value)
        .and_then(|()| calls::check(own, value))
        .map_err(|(sentence, pointer)| invalid(sentence, key, pointer))?;
    buildable(service, key, value)
}

/// Whether the proxy can make the upstream that is written here: what its certificate and key are worth is known by nothing less.
fn buildable(service: &Service, key: &Key, value: &Value) -> Result<(), ServiceError> {
    let (upstream, pointer, inside) = match key.kind {
        Kind::Upstream => (Some(value), "", ""),
        Kind::Route | Kind::Service => {
            (value.get("upstream"), "/upstream", "property \"upstream\" validation failed: ")
        }
        _ => return Ok(()),
    };
    let Some(upstream) = upstream else { return Ok(()) };
    let mut upstream = upstream.clone();
    // The certificate of another object is judged with that object.
    if let Some(tls) = upstream.get_mut("tls").and_then(Value::as_object_mut) {
        tls.shift_remove("client_cert_id");
        // What is kept elsewhere is judged where it is used, and its other half with it.
        let is_elsewhere = |name: &str| tls.get(name).and_then(Value::as_str).is_some_and(is_reference);
        if is_elsewhere("client_cert") || is_elsewhere("client_key") {
            tls.shift_remove("client_cert");
            tls.shift_remove("client_key");
        }
    }
    let path = key.path();
    let env = Env::new(service.process(), service.registry(), &path);
    env.target(&path, &upstream)
        .map(drop)
        .map_err(|error| invalid(format!("invalid configuration: {inside}{}", error.message), key, pointer))
}

/// Puts the id into the value, or checks that it is the same; its JSON type is kept. A cost decoration carries its service's id too.
fn identify(key: &Key, members: &mut Map<String, Value>) -> Result<(), ServiceError> {
    if key.kind == Kind::CostDecoration
        && let Some(service) = key.parent()
    {
        let said = members.get("service_id").map(id_text);
        if said.is_some_and(|said| said.as_deref() != Some(service.id.as_str())) {
            return Err(invalid("wrong service_id, it is taken from the path", key, "/service_id"));
        }
        members.insert("service_id".to_owned(), Value::String(service.id));
    }
    let (member, own) = match key.kind {
        Kind::Consumer => ("username", key.id.as_str()),
        _ => ("id", key.own_id()),
    };
    match members.get(member) {
        Some(found) => match id_text(found) {
            Some(text) if text != own && key.kind == Kind::Consumer => {
                Err(invalid("wrong username", key, "/username"))
            }
            Some(text) if text != own => Err(invalid(format!("wrong {} id", key.kind), key, "/id")),
            // Of a wrong type altogether: the schema has the sentence.
            _ => Ok(()),
        },
        None if key.kind == Kind::Consumer => Ok(()),
        None => {
            members.shift_insert(0, member.to_owned(), Value::String(own.to_owned()));
            Ok(())
        }
    }
}

/// What a plugin knows wherever it runs, by the plugin's own schema.
fn metadata(service: &Service, key: &Key, value: &Value) -> Result<(), ServiceError> {
    let registry = service.registry();
    if registry.find(&key.id).is_none() {
        let hint =
            registry.nearest(&key.id).map_or_else(String::new, |near| format!("; did you mean {near}?"));
        return Err(invalid(format!("invalid plugin name{hint}"), key, "/id"));
    }
    let mut bare = value.clone();
    if let Some(members) = bare.as_object_mut() {
        members.shift_remove("id");
    }
    registry
        .check_metadata(&key.id, &bare)
        .map_err(|error| refused(format!("invalid configuration: {}", error.message), key, "", error.near))
}

/// What a plugin says of a body that lies at `pointer`.
fn refused(sentence: String, key: &Key, pointer: &str, near: Option<Box<Near>>) -> ServiceError {
    match near {
        Some(near) => invalid_near(sentence, key, pointer.to_owned(), pointer, *near),
        None => invalid(sentence, key, pointer),
    }
}

fn stamp(times: Times, before: Option<&Held>, members: &mut Map<String, Value>) {
    if times == Times::Exact {
        return;
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let created = before.and_then(|held| held.value.get("create_time")).cloned();
    for (member, set) in [("create_time", created.unwrap_or_else(|| now.into())), ("update_time", now.into())]
    {
        if times == Times::Set || !members.contains_key(member) {
            members.insert(member.to_owned(), set);
        }
    }
}

/// Each plugin's own check, and that of a route's script.
fn plugins(service: &Service, key: &Key, value: &Value) -> Result<(), ServiceError> {
    if let (Kind::Route, Some(source)) = (key.kind, value.get("filter_func").and_then(Value::as_str)) {
        service.process().condition(source).map_err(|sentence| invalid(sentence, key, "/filter_func"))?;
    }
    let registry = service.registry();
    let path = key.path();
    let env = Env::new(service.process(), registry, &path);
    let in_consumer = matches!(key.kind, Kind::Consumer | Kind::Credential);
    for (name, body) in value.get("plugins").and_then(Value::as_object).into_iter().flatten() {
        let refused = |error: BuildError| {
            let prefix = if in_consumer { "invalid plugins configuration: " } else { "" };
            Err(refused(format!("{prefix}{error}"), key, &plugin_pointer(name), error.near))
        };
        if key.kind == Kind::StreamRoute {
            registry.check_on_connections(name, body, &env).or_else(refused)?;
            continue;
        }
        let Some(spec) = registry.for_requests(name) else {
            let hint =
                registry.nearest(name).map_or_else(String::new, |near| format!("; did you mean {near}?"));
            return refused(BuildError::new(format!("unknown plugin [{name}]{hint}")));
        };
        if key.kind == Kind::Credential && !spec.is_auth() {
            let sentence = "only supports auth type plugins in consumer credential";
            return Err(invalid(sentence, key, plugin_pointer(name)));
        }
        let judged = if in_consumer && spec.is_auth() {
            registry.check_credential(name, body)
        } else {
            registry.check(name, body, &env)
        };
        if let Err(error) = judged {
            return refused(error);
        }
    }
    Ok(())
}

/// Whether the proxy will be able to read it.
fn readable(kind: Kind, value: &Value) -> Result<(), BadResource> {
    match kind {
        Kind::Route => {
            let route = Route::from_value(value)?;
            route.upstream.as_ref().map(Upstream::from_value).transpose().map(drop)
        }
        Kind::Service => {
            let service = ServiceResource::from_value(value)?;
            service.upstream.as_ref().map(Upstream::from_value).transpose().map(drop)
        }
        Kind::Upstream => Upstream::from_value(value).map(drop),
        Kind::Consumer => Consumer::from_value(value).map(drop),
        Kind::Credential | Kind::PluginConfig | Kind::GlobalRule | Kind::ConsumerGroup => {
            Plugins::from_value(value).map(drop)
        }
        Kind::StreamRoute => value.get("upstream").map(Upstream::from_value).transpose().map(drop),
        Kind::Ssl | Kind::PluginMetadata | Kind::Proto | Kind::Secret | Kind::CostDecoration => Ok(()),
    }
}

fn is_deeper(value: &Value, levels: usize) -> bool {
    match value {
        Value::Array(items) => levels == 0 || items.iter().any(|item| is_deeper(item, levels - 1)),
        Value::Object(members) => levels == 0 || members.values().any(|member| is_deeper(member, levels - 1)),
        _ => false,
    }
}
