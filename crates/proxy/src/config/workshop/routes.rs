//! Routes: merged with what they lean on (data plane contract, section 4), and kept in the index.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;
use usher_model::resource;
use usher_pipeline::exchange::RouteFacts;

use super::refusal::{Flaw, place_of, refusing};
use super::services::Service;
use super::{Moved, Workshop, shrink};
use crate::config::route::{Origin, Refused, Route};
use crate::config::router::Rule;

/// What is known of all routes.
#[derive(Default)]
pub(super) struct Routes {
    known: HashMap<Arc<str>, Known>,
    next_order: u64,
    next_build: u64,
    /// What facts say where there is nothing to say.
    blank: Arc<str>,
}

/// A route of the store, whether it is served or not.
struct Known {
    /// Its place among all routes, kept as long as its id is.
    order: u64,
    /// The build that is served.
    served: Option<Arc<Route>>,
}

impl Routes {
    /// Lets go of room that much fewer routes don't need.
    pub(super) fn shrink(&mut self) {
        shrink(&mut self.known);
    }

    #[cfg(test)]
    pub(super) fn room(&self) -> usize {
        self.known.capacity()
    }
}

impl Workshop {
    /// A route was written or deleted, or something that it leans on has changed.
    pub(super) fn move_route(&mut self, moved: &Moved) {
        let value = self.read(moved);
        match &moved.now {
            None => self.delete_route(moved),
            Some((bytes, _)) => self.write_route(moved, bytes, value),
        }
    }

    fn delete_route(&mut self, moved: &Moved) {
        if let Some((id, known)) = self.routes.known.remove_entry(moved.key.id.as_str()) {
            if let Some(route) = known.served {
                self.router.remove(&route);
            }
            self.traffic.forget(&id);
        }
        self.settle(moved, Ok(()));
    }

    fn write_route(&mut self, moved: &Moved, bytes: &Bytes, value: Result<Option<Value>, String>) {
        let read = value.and_then(|value| {
            resource::Route::from_value(&value.unwrap_or_default()).map_err(|error| error.to_string())
        });
        let (written, unread) = match read {
            Ok(written) => (written, None),
            Err(reason) => (place_of(bytes), Some(reason)),
        };
        let (id, order, served) = self.enter(moved);
        let built = match unread {
            Some(reason) => Err(reason.into()),
            None if written.is_on() => self.build_route(moved, &id, &written, order).map(Some),
            None => Ok(None),
        };
        let verdict = match built {
            Ok(route) => {
                self.serve(&id, served.as_ref(), route);
                Ok(())
            }
            Err(flaw) => {
                let flaw = Flaw { reason: self.without_secrets(moved, flaw.reason), ..flaw };
                let serves = served.as_ref().is_some_and(|served| served.refused.is_none());
                if flaw.missing.is_some() || !serves {
                    let refusing = written.is_on().then(|| self.refuse_route(&id, &written, order, &flaw));
                    self.serve(&id, served.as_ref(), refusing.flatten());
                }
                Err(flaw.reason)
            }
        };
        self.settle(moved, verdict);
    }

    /// Puts a route in the place of its last build, or leaves that empty.
    fn serve(&mut self, id: &Arc<str>, before: Option<&Arc<Route>>, route: Option<Route>) {
        if let Some(before) = before {
            self.router.remove(before);
        }
        let route = route.map(Arc::new);
        if let Some(route) = &route {
            self.router.insert(route);
        }
        if let Some(known) = self.routes.known.get_mut(id) {
            known.served = route;
        }
    }

    /// A route's id, its place among all routes and the build that is served.
    fn enter(&mut self, moved: &Moved) -> (Arc<str>, u64, Option<Arc<Route>>) {
        let routes = &mut self.routes;
        let id = moved.key.id.as_str();
        let id = routes.known.get_key_value(id).map_or_else(|| id.into(), |(id, _)| Arc::clone(id));
        let next_order = routes.next_order;
        let known = routes.known.entry(Arc::clone(&id)).or_insert_with(|| {
            routes.next_order += 1;
            Known { order: next_order, served: None }
        });
        (id, known.order, known.served.clone())
    }

    fn build_route(
        &mut self,
        moved: &Moved,
        id: &Arc<str>,
        written: &resource::Route,
        order: u64,
    ) -> Result<Route, Flaw> {
        let plugin_config = written.plugin_config_id.as_deref();
        // In this order: it decides what a route without both answers.
        let over = self.bases.plugin_config(plugin_config)?;
        let service = self.bases.service(written.service_id.as_deref())?;
        let service = service.as_deref();
        let base = self.bases.pipeline(service, plugin_config.zip(over));
        let pipeline = self.tools.guard(|tools| {
            if written.plugins.is_empty() {
                return Ok(Arc::clone(&base));
            }
            let own = tools.compile(moved, &written.plugins)?;
            Ok(Arc::new(if base.is_empty() { own } else { base.under(&own) }))
        })?;
        let upstream = match (&written.upstream_id, &written.upstream, service) {
            (Some(upstream), _, _) => Origin::Id(upstream.as_str().into()),
            (None, Some(upstream), _) => self.own_upstream(id, upstream)?,
            (None, None, Some(service)) => service.origin.clone(),
            (None, None, None) => Origin::None,
        };
        let hosts = service.map_or(&[][..], |service| &service.hosts);
        let rule = Rule::of(written, hosts, self.tools.router, order)?;
        Ok(Route {
            facts: Arc::new(self.facts(id, written, &rule, service)),
            pipeline,
            upstream,
            timeouts: written.timeout,
            websocket: written
                .enable_websocket
                .or(service.and_then(|service| service.websocket))
                .unwrap_or(false),
            refused: None,
            traffic: self.traffic.of(id),
            rule,
            build: self.next_build(),
        })
    }

    /// The route that keeps the place of one that can't be built; `None` where no request could ever take it.
    fn refuse_route(
        &mut self,
        id: &Arc<str>,
        written: &resource::Route,
        order: u64,
        flaw: &Flaw,
    ) -> Option<Route> {
        let status = flaw.status();
        let hosts = self.bases.hosts(written.service_id.as_deref());
        let rule = Rule::of(written, hosts, self.tools.router, order);
        // A condition that can't be read holds nobody off.
        let bare = || {
            let mut bare = written.clone();
            bare.vars = None;
            bare.filter_func = None;
            bare
        };
        let rule = rule.or_else(|_| Rule::of(&bare(), hosts, self.tools.router, order)).ok()?;
        let pipeline = self.tools.guard(|tools| refusing(status, &tools.process)).ok()?;
        Some(Route {
            facts: Arc::new(self.facts(id, written, &rule, None)),
            pipeline: Arc::new(pipeline),
            upstream: Origin::None,
            timeouts: None,
            websocket: false,
            refused: Some(Refused { status, reason: flaw.reason.clone() }),
            traffic: self.traffic.of(id),
            rule,
            build: self.next_build(),
        })
    }

    fn facts(
        &self,
        id: &Arc<str>,
        written: &resource::Route,
        rule: &Rule,
        service: Option<&Service>,
    ) -> RouteFacts {
        let blank = || Arc::clone(&self.routes.blank);
        RouteFacts {
            id: Arc::clone(id),
            name: written.name.as_deref().map_or_else(blank, Arc::from),
            uri: rule.uris.first().map_or_else(blank, Arc::clone),
            host: rule.hosts.first().map_or_else(blank, Arc::clone),
            service_id: service.map_or_else(blank, |service| Arc::clone(&service.id)),
            service_name: service.map_or_else(blank, |service| Arc::clone(&service.name)),
        }
    }

    const fn next_build(&mut self) -> u64 {
        self.routes.next_build += 1;
        self.routes.next_build
    }

    fn own_upstream(&self, id: &str, value: &Value) -> Result<Origin, String> {
        let upstream = self.tools.guard(|tools| tools.upstream(&format!("route/{id}"), value))?;
        Ok(Origin::Own(Arc::new(upstream)))
    }
}
