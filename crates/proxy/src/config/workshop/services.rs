//! What routes start from: services and plugin configs, each with its plugins built once for all its routes.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;
use usher_model::kind::Kind;
use usher_model::resource;
use usher_pipeline::compile::Pipeline;
use usher_pipeline::stream::StreamPipeline;

use super::refusal::Flaw;
use super::{Moved, Tools, Workshop};
use crate::config::route::Origin;
use crate::config::router::hosts_of;

/// A service, ready for its routes.
pub(super) struct Service {
    pub(super) id: Arc<str>,
    pub(super) name: Arc<str>,
    pub(super) hosts: Box<[Arc<str>]>,
    pub(super) origin: Origin,
    pub(super) websocket: Option<bool>,
    /// Its plugins on connections, or why they can't be had: that is its stream routes' business alone.
    pub(super) streams: Result<StreamPipeline, String>,
    pipeline: Arc<Pipeline>,
    /// Whether it could ever be built; of one that could not, only the hosts are known.
    usable: bool,
}

/// All services and plugin configs.
#[derive(Default)]
pub(super) struct Bases {
    services: HashMap<String, Arc<Service>>,
    /// `None` for one that could never be built.
    plugin_configs: HashMap<String, Option<Arc<Pipeline>>>,
    /// A service's plugins with a plugin config's laid over them, for routes that have both.
    pairs: HashMap<(String, String), Arc<Pipeline>>,
    /// For routes that have neither.
    empty: Arc<Pipeline>,
}

impl Bases {
    /// The service that a route names.
    ///
    /// # Errors
    /// There is none, or it could never be built.
    pub(super) fn service(&self, id: Option<&str>) -> Result<Option<Arc<Service>>, Flaw> {
        let Some(id) = id else { return Ok(None) };
        match self.services.get(id) {
            None => Err(Flaw::missing(404, format!("the service {id}, which it refers to, does not exist"))),
            Some(service) if !service.usable => Err(unusable("service", id)),
            Some(service) => Ok(Some(Arc::clone(service))),
        }
    }

    /// The hosts of a service, as far as they are known.
    pub(super) fn hosts(&self, id: Option<&str>) -> &[Arc<str>] {
        id.and_then(|id| self.services.get(id)).map_or(&[], |service| &service.hosts)
    }

    /// The plugins of the plugin config that a route names.
    ///
    /// # Errors
    /// There is none, or it could never be built.
    pub(super) fn plugin_config(&self, id: Option<&str>) -> Result<Option<Arc<Pipeline>>, Flaw> {
        let Some(id) = id else { return Ok(None) };
        match self.plugin_configs.get(id) {
            None => {
                Err(Flaw::missing(503, format!("the plugin config {id}, which it refers to, does not exist")))
            }
            Some(None) => Err(unusable("plugin config", id)),
            Some(found) => Ok(found.clone()),
        }
    }

    /// The plugins that a route has from its service and plugin config; the plugin config's win.
    pub(super) fn pipeline(
        &mut self,
        service: Option<&Service>,
        plugin_config: Option<(&str, Arc<Pipeline>)>,
    ) -> Arc<Pipeline> {
        match (service, plugin_config) {
            (None, None) => Arc::clone(&self.empty),
            (Some(service), None) => Arc::clone(&service.pipeline),
            (None, Some((_, over))) => over,
            (Some(service), Some((over_id, over))) => {
                let pair = (service.id.to_string(), over_id.to_owned());
                let joined =
                    self.pairs.entry(pair).or_insert_with(|| Arc::new(service.pipeline.under(&over)));
                Arc::clone(joined)
            }
        }
    }
}

fn unusable(kind: &str, id: &str) -> Flaw {
    Flaw::missing(503, format!("the {kind} {id}, which it refers to, can't be used; mend that one first"))
}

impl Workshop {
    /// A service or plugin config moved. Its routes are the caller's business.
    pub(super) fn move_base(&mut self, moved: &Moved, value: Result<Option<Value>, String>) {
        let verdict = if moved.key.kind == Kind::Service {
            self.move_service(moved, value)
        } else {
            self.move_plugin_config(moved, value)
        };
        let (id, is_service) = (moved.key.id.as_str(), moved.key.kind == Kind::Service);
        self.bases.pairs.retain(|(service, over), _| id != if is_service { service } else { over });
        self.settle(moved, verdict);
    }

    fn move_service(&mut self, moved: &Moved, value: Result<Option<Value>, String>) -> Result<(), String> {
        let id = moved.key.id.as_str();
        let built =
            self.tools.guard(|tools| value?.map(|value| build_service(tools, moved, &value)).transpose());
        let services = &mut self.bases.services;
        match built {
            Ok(None) => drop(services.remove(id)),
            Ok(Some(service)) => drop(services.insert(id.to_owned(), Arc::new(service))),
            Err(reason) => {
                if services.get(id).is_none_or(|known| !known.usable) {
                    let bytes = moved.now.as_ref().map_or(&[][..], |(bytes, _)| bytes);
                    services.insert(id.to_owned(), Arc::new(hosts_alone(id, bytes)));
                }
                return Err(reason);
            }
        }
        Ok(())
    }

    fn move_plugin_config(
        &mut self,
        moved: &Moved,
        value: Result<Option<Value>, String>,
    ) -> Result<(), String> {
        let id = moved.key.id.as_str();
        let built = self.tools.guard(|tools| {
            let Some(value) = value? else { return Ok(None) };
            let written = resource::Plugins::from_value(&value).map_err(|error| error.to_string())?;
            tools.compile(moved, &written.plugins).map(|pipeline| Some(Arc::new(pipeline)))
        });
        let plugin_configs = &mut self.bases.plugin_configs;
        match built {
            Ok(None) => drop(plugin_configs.remove(id)),
            Ok(pipeline) => drop(plugin_configs.insert(id.to_owned(), pipeline)),
            Err(reason) => {
                plugin_configs.entry(id.to_owned()).or_default();
                return Err(reason);
            }
        }
        Ok(())
    }
}

fn build_service(tools: &Tools, moved: &Moved, value: &Value) -> Result<Service, String> {
    let written = resource::Service::from_value(value).map_err(|error| error.to_string())?;
    let id = moved.key.id.as_str();
    let origin = match (written.upstream_id, &written.upstream) {
        (Some(upstream), _) => Origin::Id(upstream.into()),
        (None, Some(upstream)) => Origin::Own(Arc::new(tools.upstream(&format!("service/{id}"), upstream)?)),
        (None, None) => Origin::None,
    };
    Ok(Service {
        id: id.into(),
        name: written.name.unwrap_or_default().into(),
        hosts: hosts_of(written.hosts.iter().map(String::as_str))?,
        origin,
        websocket: written.enable_websocket,
        streams: tools.compile_stream(moved, &written.plugins, true),
        pipeline: Arc::new(tools.compile(moved, &written.plugins)?),
        usable: true,
    })
}

/// What keeps the routes of a service that can't be built in their places.
fn hosts_alone(id: &str, bytes: &[u8]) -> Service {
    let value: Option<Value> = serde_json::from_slice(bytes).ok();
    let hosts = value.as_ref().and_then(|value| value.get("hosts")).and_then(Value::as_array);
    let hosts = hosts_of(hosts.into_iter().flatten().filter_map(Value::as_str));
    Service {
        id: id.into(),
        name: Arc::default(),
        hosts: hosts.unwrap_or_default(),
        origin: Origin::None,
        websocket: None,
        streams: Ok(StreamPipeline::default()),
        pipeline: Arc::default(),
        usable: false,
    }
}
