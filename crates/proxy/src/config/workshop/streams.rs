//! Stream routes: merged with their services, and kept under the names that they ask for.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::{Map, Value};
use usher_pipeline::env::Env;
use usher_pipeline::stream::StreamPipeline;
use usher_store::Revision;

use super::{Moved, Tools, Workshop, shrink};
use crate::config::route::Origin;
use crate::config::stream::{Rule, StreamRoute, StreamRoutes, Tried};
use crate::config::tree::Slot;

/// All of them. The first that was created is tried first, as in APISIX's list.
#[derive(Default)]
pub(super) struct Streams {
    known: HashMap<Arc<str>, (Revision, Arc<StreamRoute>)>,
    by_sni: HashMap<Box<str>, BTreeMap<Rank, Arc<StreamRoute>>>,
    others: BTreeMap<Rank, Arc<StreamRoute>>,
    served: StreamRoutes,
}

type Rank = (Revision, Arc<str>);

impl Streams {
    fn put(&mut self, created: Revision, route: Arc<StreamRoute>) {
        self.remove(&route.id);
        let rank = (created, Arc::clone(&route.id));
        match &route.rule.sni {
            Some(sni) => drop(self.by_sni.entry(sni.clone()).or_default().insert(rank, Arc::clone(&route))),
            None => drop(self.others.insert(rank, Arc::clone(&route))),
        }
        self.serve(route.rule.sni.as_deref());
        self.known.insert(Arc::clone(&route.id), (created, route));
    }

    fn remove(&mut self, id: &str) {
        let Some((created, route)) = self.known.remove(id) else { return };
        let rank = (created, Arc::clone(&route.id));
        match &route.rule.sni {
            Some(sni) => {
                if let Some(tried) = self.by_sni.get_mut(sni) {
                    tried.remove(&rank);
                    if tried.is_empty() {
                        self.by_sni.remove(sni);
                    }
                }
            }
            None => drop(self.others.remove(&rank)),
        }
        self.serve(route.rule.sni.as_deref());
    }

    /// Puts in force what is there under one name, or under none.
    fn serve(&mut self, sni: Option<&str>) {
        let all = |tried: &BTreeMap<Rank, Arc<StreamRoute>>| -> Tried { tried.values().cloned().collect() };
        match sni {
            None => self.served.others = all(&self.others),
            Some(sni) => match self.by_sni.get(sni) {
                Some(tried) => self.served.by_sni.set(Slot::Exact, sni.as_bytes(), all(tried)),
                None => self.served.by_sni.clear(Slot::Exact, sni.as_bytes()),
            },
        }
    }

    /// What is in force.
    pub(super) fn served(&self) -> StreamRoutes {
        self.served.clone()
    }

    /// Lets go of room that much fewer objects don't need.
    pub(super) fn shrink(&mut self) {
        shrink(&mut self.known);
        shrink(&mut self.by_sni);
    }
}

impl Workshop {
    /// A stream route was written or deleted, or something that it leans on has changed. One that can't be built keeps its last good version; where
    /// its service is gone, its connections are closed.
    pub(super) fn move_stream_route(&mut self, moved: &Moved) {
        let value = self.read(moved);
        let built =
            value.and_then(|value| value.map(|value| self.build_stream_route(moved, &value)).transpose());
        let verdict = match built {
            Ok(Some(Some(route))) => {
                self.streams.put(moved.created, Arc::new(route));
                Ok(())
            }
            Ok(Some(None) | None) => {
                self.streams.remove(&moved.key.id);
                Ok(())
            }
            Err(reason) => {
                self.close_stream_route(moved);
                Err(reason)
            }
        };
        self.settle(moved, verdict);
    }

    /// What was never good keeps its place all the same, and closes its connections: they must not fall to a wider route, past whatever protects
    /// them.
    fn close_stream_route(&mut self, moved: &Moved) {
        let id = moved.key.id.as_str();
        if self.streams.known.contains_key(id) {
            return;
        }
        let bytes = moved.now.as_ref().map_or(&[][..], |(bytes, _)| bytes);
        let value: Value = serde_json::from_slice(bytes).unwrap_or_default();
        if value.pointer("/protocol/superior_id").is_some() {
            return;
        }
        let Ok(rule) = Rule::of(&value) else { return };
        let route = StreamRoute {
            id: id.into(),
            name: Arc::default(),
            plugins: StreamPipeline::default(),
            upstream: Origin::None,
            closed: true,
            rule,
        };
        self.streams.put(moved.created, Arc::new(route));
    }

    /// `None` for one that no connection takes by itself.
    fn build_stream_route(&self, moved: &Moved, value: &Value) -> Result<Option<StreamRoute>, String> {
        if value.pointer("/protocol/superior_id").is_some() {
            return Ok(None);
        }
        if let Some(name) = value.pointer("/protocol/name").and_then(Value::as_str) {
            return Err(format!(
                "`protocol.name` \"{name}\" is not supported by this version of Usher: connections are passed on without looking into them; leave \
                 `protocol` out"
            ));
        }
        let id = |member: &str| match value.get(member) {
            Some(Value::String(text)) => Some(text.clone()),
            Some(Value::Number(number)) => Some(number.to_string()),
            _ => None,
        };
        let service = self.bases.service(id("service_id").as_deref()).map_err(|flaw| flaw.reason)?;
        let rule = Rule::of(value)?;
        let own = value.get("plugins").and_then(Value::as_object);
        let plugins = self.tools.guard(|tools| {
            let below = service
                .as_ref()
                .map_or_else(|| Ok(StreamPipeline::default()), |service| service.streams.clone())?;
            let own = own.map(|own| tools.compile_stream(moved, own, false)).transpose()?;
            Ok(own.map_or_else(|| below.clone(), |own| below.under(&own)))
        })?;
        let route_id = moved.key.id.as_str();
        let upstream = match (id("upstream_id"), &service, value.get("upstream")) {
            (Some(upstream), _, _) => Origin::Id(upstream.as_str().into()),
            (None, Some(service), None) => service.origin.clone(),
            (None, _, Some(upstream)) => {
                let name = format!("stream_route/{route_id}");
                Origin::Own(Arc::new(self.tools.guard(|tools| tools.upstream(&name, upstream))?))
            }
            (None, None, None) => Origin::None,
        };
        let name = value.get("name").and_then(Value::as_str).unwrap_or_default();
        Ok(Some(StreamRoute {
            id: route_id.into(),
            name: name.into(),
            plugins,
            upstream,
            closed: false,
            rule,
        }))
    }
}

impl Tools {
    /// The plugins of an object on connections. `shared`: it carries plugins for requests too, which are left out.
    pub(super) fn compile_stream(
        &self,
        moved: &Moved,
        plugins: &Map<String, Value>,
        shared: bool,
    ) -> Result<StreamPipeline, String> {
        let env = Env::new(&self.process, &self.registry, &moved.path);
        let env = env.created(moved.created).with_metadata(&self.metadata);
        let compiled = if shared {
            StreamPipeline::compile_shared(plugins, &env)
        } else {
            StreamPipeline::compile(plugins, &env)
        };
        compiled.map_err(|error| error.to_string())
    }
}
