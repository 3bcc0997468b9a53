//! A route as others see it: its own members, and what it takes over from its service and plugin config.

use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::Value;
use usher_model::kind::{Key, Kind};
use usher_model::resource::Route;

use super::super::ServiceError;
use super::super::escape::{plain, shortened};
use super::super::world::World;

/// Hosts or paths of one route that a line names.
const NAMED: usize = 3;

/// A route with what it leans on.
pub(super) struct Seen {
    pub(super) key: Key,
    pub(super) route: Route,
    pub(super) value: Arc<Value>,
    pub(super) service: Option<Arc<Value>>,
    pub(super) plugin_config: Option<Arc<Value>>,
    /// Lower case; empty takes every host.
    pub(super) hosts: Vec<String>,
    /// The revision that made it; newer than all where it isn't stored yet.
    pub(super) created: u64,
}

/// The route as it will be. `None` where it won't.
pub(super) async fn after(world: &mut World<'_>, key: &Key) -> Result<Option<Seen>, ServiceError> {
    see(world, key, true).await
}

/// The route as it is stored. `None` where it isn't.
pub(super) async fn before(world: &mut World<'_>, key: &Key) -> Result<Option<Seen>, ServiceError> {
    see(world, key, false).await
}

async fn see(world: &mut World<'_>, key: &Key, later: bool) -> Result<Option<Seen>, ServiceError> {
    let Some(value) = at(world, key, later).await? else { return Ok(None) };
    let Ok(route) = Route::from_value(&value) else { return Ok(None) };
    let service = match &route.service_id {
        Some(id) => at(world, &Key::new(Kind::Service, id.as_str()), later).await?,
        None => None,
    };
    let plugin_config = match &route.plugin_config_id {
        Some(id) => at(world, &Key::new(Kind::PluginConfig, id.as_str()), later).await?,
        None => None,
    };
    let mut hosts: Vec<String> = route.hosts().map(str::to_ascii_lowercase).collect();
    if hosts.is_empty() {
        let inherited = service.as_ref().and_then(|service| service.get("hosts")?.as_array().cloned());
        hosts = inherited.iter().flatten().filter_map(Value::as_str).map(str::to_ascii_lowercase).collect();
    }
    let created = world.stored(key).await?.map_or(u64::MAX, |held| held.created);
    Ok(Some(Seen { key: key.clone(), route, value, service, plugin_config, hosts, created }))
}

pub(super) async fn at(
    world: &mut World<'_>,
    key: &Key,
    later: bool,
) -> Result<Option<Arc<Value>>, ServiceError> {
    if later {
        world.after(key).await
    } else {
        Ok(world.stored(key).await?.map(|held| Arc::clone(&held.value)))
    }
}

impl Seen {
    /// One line that tells it apart: id, name, methods, hosts, paths.
    pub(super) fn line(&self) -> String {
        let mut line = format!("route {}", plain(&self.key.id));
        if let Some(name) = self.route.name.as_deref().filter(|name| *name != self.key.id) {
            // Writing to a string can't fail.
            let _ = write!(line, " ({})", shortened(name, 60));
        }
        line.push(':');
        for part in [self.route.methods.join(","), several(self.hosts.iter()), several(self.route.uris())] {
            if !part.is_empty() {
                line.push(' ');
                line.push_str(&part);
            }
        }
        line
    }

    /// Whether further conditions decide, so that it takes only some of the requests for its paths.
    pub(super) fn is_conditional(&self) -> bool {
        self.route.remote_addrs().next().is_some() || self.condition().is_some()
    }

    /// The condition in `vars` that decides, if any.
    pub(super) fn condition(&self) -> Option<&Value> {
        let vars = self.route.vars.as_ref();
        vars.filter(|vars| !vars.is_null() && vars.as_array().is_none_or(|list| !list.is_empty()))
    }

    /// Whether some method is taken by both.
    pub(super) fn shares_methods(&self, other: &Self) -> bool {
        let (own, others) = (&self.route.methods, &other.route.methods);
        own.is_empty() || others.is_empty() || own.iter().any(|method| others.contains(method))
    }

    /// Whether every method of the other is taken by this one too.
    pub(super) fn covers_methods(&self, other: &Self) -> bool {
        let (own, others) = (&self.route.methods, &other.route.methods);
        own.is_empty() || (!others.is_empty() && others.iter().all(|method| own.contains(method)))
    }

    /// The plugin bodies that run for it, the winning one of each name.
    pub(super) fn plugins(&self) -> Vec<(&str, &Value)> {
        let mut found: Vec<(&str, &Value)> = Vec::new();
        let layers = [Some(&self.value), self.plugin_config.as_ref(), self.service.as_ref()];
        for layer in layers.into_iter().flatten() {
            for (name, body) in layer.get("plugins").and_then(Value::as_object).into_iter().flatten() {
                if !found.iter().any(|(known, _)| known == name) {
                    found.push((name, body));
                }
            }
        }
        found
    }
}

fn several<T: AsRef<str>>(texts: impl Iterator<Item = T>) -> String {
    let texts: Vec<T> = texts.collect();
    let shown: Vec<String> = texts.iter().take(NAMED).map(|text| shortened(text.as_ref(), 80)).collect();
    let more = texts.len().saturating_sub(NAMED);
    if more > 0 { format!("{} and {more} more", shown.join(",")) } else { shown.join(",") }
}
