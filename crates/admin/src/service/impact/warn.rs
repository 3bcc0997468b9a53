//! What is allowed and still worth a look before agreeing.

use serde_json::Value;
use usher_model::change::Risk;
use usher_model::kind::{Key, Kind};
use usher_model::resource::Upstream;

use super::super::escape::plain;
use super::super::references::{each_object_in_plugins, references};
use super::super::world::World;
use super::super::{ServiceError, scoped};
use super::route::{self, Seen};
use super::{Impact, members, paths};

/// Looks at everything that is put.
pub(super) async fn assess(world: &mut World<'_>, impact: &mut Impact) -> Result<(), ServiceError> {
    let put: Vec<_> = world
        .drafts
        .iter()
        .filter_map(|draft| Some((draft.key.clone(), draft.before.is_none(), draft.after.clone()?)))
        .collect();
    for (key, is_new, value) in put {
        plugin_members(world, impact, &key, &value);
        match key.kind {
            Kind::Upstream => upstream(impact, &key, &value),
            Kind::Service | Kind::StreamRoute => inline_upstream(impact, &key, &value),
            Kind::Route => {
                inline_upstream(impact, &key, &value);
                if let Some(seen) = route::after(world, &key).await? {
                    route_itself(impact, &seen, is_new);
                }
            }
            _ => {}
        }
    }
    dangling(world, impact).await
}

/// Members that a plugin doesn't know. Consumers carry credentials, which have another schema.
fn plugin_members(world: &World<'_>, impact: &mut Impact, key: &Key, value: &Value) {
    let registry = world.service.registry();
    for (name, body) in value.get("plugins").and_then(Value::as_object).into_iter().flatten() {
        let credential = match key.kind {
            Kind::Consumer | Kind::Credential => registry.credential_schema(name),
            _ => None,
        };
        let Some(schema) = credential.or_else(|| registry.schema(name)) else { continue };
        members::unknown(schema, body, &mut |path, near| {
            let hint = near.map_or_else(String::new, |near| format!("; did you mean {near}?"));
            impact
                .warn(format!("{key}: plugins.{name}.{} is no member that {name} knows{hint}", plain(path)));
        });
    }
}

fn inline_upstream(impact: &mut Impact, key: &Key, value: &Value) {
    if let Some(inline) = value.get("upstream") {
        upstream(impact, key, inline);
    }
}

fn upstream(impact: &mut Impact, key: &Key, value: &Value) {
    let Ok(upstream) = Upstream::from_value(value) else { return };
    if upstream.nodes.iter().all(|node| node.weight == 0) {
        let none = if upstream.nodes.is_empty() { "no nodes" } else { "only nodes of weight 0" };
        impact.warn(format!("{key} has {none}: its requests are answered with 503"));
    }
    if upstream.tls.verify == Some(false) {
        impact.warn(format!("{key} does not verify the certificates of its nodes"));
    }
}

fn route_itself(impact: &mut Impact, seen: &Seen, is_new: bool) {
    let key = &seen.key;
    let layers = [Some(&seen.value), seen.service.as_ref(), seen.plugin_config.as_ref()];
    let has_upstream = layers.into_iter().flatten().any(|layer| {
        let mut inside = layer.get("upstream").is_some() || layer.get("upstream_id").is_some();
        // A plugin may choose the upstream.
        each_object_in_plugins(layer, &mut |object, _| {
            inside |= object.get("upstream").is_some() || object.get("upstream_id").is_some();
        });
        inside
    });
    if !has_upstream {
        impact
            .warn(format!("{key} has no upstream: a request that none of its plugins answers ends with 503"));
    }
    for uri in seen.route.uris() {
        if let Some(why) = paths::never(uri) {
            impact.warn(format!("{key} gets no request for its path {}: {why}", plain(uri)));
        }
    }
    let takes_all = seen.route.uris().any(|uri| matches!(uri, "/*" | "*"));
    if takes_all && seen.hosts.iter().all(|host| host == "*") && seen.route.is_on() && !seen.is_conditional()
    {
        let sentence = format!("{key} takes every path that no other route takes");
        if is_new {
            impact.raise(Risk::Medium, sentence.clone());
        }
        impact.warn(sentence);
    }
}

/// With `force`, what refers to a deleted resource is left behind.
async fn dangling(world: &mut World<'_>, impact: &mut Impact) -> Result<(), ServiceError> {
    let deleted: Vec<Key> =
        world.drafts.iter().filter(|draft| draft.after.is_none()).map(|draft| draft.key.clone()).collect();
    for key in deleted {
        let users = world.service.look_up(|index| {
            let mark = super::super::known::Mark::Uses(key.kind, &key.id);
            index.holders(mark, 4, |user| world.draft(user).is_none())
        });
        for user in users {
            let refers = world.stored(&user).await?.is_some_and(|held| {
                references(user.kind, &held.value).iter().any(|reference| reference.target == key)
            });
            // By force it went from under what the principal may see only.
            if refers && scoped::reaches(world, &user).await? {
                impact.warn(format!("{user} still refers to {key}"));
            }
        }
    }
    Ok(())
}
