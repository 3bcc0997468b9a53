//! What routes start from: services and plugin configs, each with its plugins built once for all its routes.

use std::collections::HashMap;
use std::sync::Arc;

use usher_model::kind::Kind;
use usher_model::resource;
use usher_pipeline::compile::Pipeline;

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
    pipeline: Arc<Pipeline>,
}

/// All services and plugin configs.
#[derive(Default)]
pub(super) struct Bases {
    services: HashMap<String, Arc<Service>>,
    plugin_configs: HashMap<String, Arc<Pipeline>>,
    /// A service's plugins with a plugin config's laid over them, for routes that have both.
    pairs: HashMap<(String, String), Arc<Pipeline>>,
    /// For routes that have neither.
    empty: Arc<Pipeline>,
}

impl Bases {
    /// The service that a route names.
    ///
    /// # Errors
    /// There is none.
    pub(super) fn service(&self, id: Option<&str>) -> Result<Option<Arc<Service>>, String> {
        let found = id.map(|id| {
            self.services
                .get(id)
                .cloned()
                .ok_or_else(|| format!("the service {id}, which it refers to, does not exist"))
        });
        found.transpose()
    }

    /// The plugins that a route has from its service and plugin config; the plugin config's win.
    ///
    /// # Errors
    /// The plugin config does not exist.
    pub(super) fn pipeline(
        &mut self,
        service: Option<&Service>,
        plugin_config: Option<&str>,
    ) -> Result<Arc<Pipeline>, String> {
        let over = plugin_config.map(|id| {
            let found = self.plugin_configs.get(id).cloned();
            let found =
                found.ok_or_else(|| format!("the plugin config {id}, which it refers to, does not exist"))?;
            Ok::<_, String>((id, found))
        });
        Ok(match (service, over.transpose()?) {
            (None, None) => Arc::clone(&self.empty),
            (Some(service), None) => Arc::clone(&service.pipeline),
            (None, Some((_, over))) => over,
            (Some(service), Some((over_id, over))) => {
                let pair = (service.id.to_string(), over_id.to_owned());
                let joined =
                    self.pairs.entry(pair).or_insert_with(|| Arc::new(service.pipeline.under(&over)));
                Arc::clone(joined)
            }
        })
    }
}

impl Workshop {
    /// A service or plugin config moved. Its routes are the caller's business.
    pub(super) fn move_base(&mut self, moved: &Moved) {
        let id = moved.key.id.as_str();
        let is_service = moved.key.kind == Kind::Service;
        let verdict = match &moved.now {
            None => {
                if is_service {
                    self.bases.services.remove(id);
                } else {
                    self.bases.plugin_configs.remove(id);
                }
                Ok(())
            }
            Some((bytes, _)) if is_service => {
                let built = self.tools.guard(|tools| build_service(tools, moved, bytes));
                built.map(|service| drop(self.bases.services.insert(id.to_owned(), Arc::new(service))))
            }
            Some((bytes, _)) => {
                let built = self.tools.guard(|tools| {
                    let plugins = resource::Plugins::from_value(&tools.read(moved, bytes)?);
                    tools.compile(moved, &plugins.map_err(|error| error.to_string())?.plugins)
                });
                built.map(|pipeline| {
                    drop(self.bases.plugin_configs.insert(id.to_owned(), Arc::new(pipeline)));
                })
            }
        };
        self.bases.pairs.retain(|(service, over), _| id != if is_service { service } else { over });
        self.settle(moved, verdict);
    }
}

fn build_service(tools: &Tools, moved: &Moved, bytes: &[u8]) -> Result<Service, String> {
    let value = tools.read(moved, bytes)?;
    let written = resource::Service::from_value(&value).map_err(|error| error.to_string())?;
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
        pipeline: Arc::new(tools.compile(moved, &written.plugins)?),
    })
}
