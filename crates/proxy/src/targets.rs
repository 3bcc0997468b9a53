//! Upstreams that are written inside a plugin's body.

use std::any::Any;
use std::sync::Arc;

use serde_json::Value;
use usher_model::compat::Compat;
use usher_model::kind::Kind;
use usher_model::live::UpstreamHealth;
use usher_model::schema;
use usher_pipeline::env::{Process, Target, Targets};

use crate::config::{Keeper, Place, Upstream};

/// Makes upstreams of their JSON, for [`usher_pipeline::env::Process`].
#[must_use]
pub fn targets() -> Box<dyn Targets> {
    Box::<Inline>::default()
}

/// What is remembered of the upstreams inside plugins, and so of all others beside them.
pub(crate) fn keeper(process: &Process) -> Arc<Keeper> {
    let targets: &dyn Any = process.targets();
    // Whoever brings targets of his own has none of ours.
    targets.downcast_ref::<Inline>().map_or_else(Arc::default, |inline| Arc::clone(&inline.keeper))
}

#[derive(Default)]
struct Inline {
    keeper: Arc<Keeper>,
}

impl Targets for Inline {
    fn target(&self, name: &str, upstream: &Value, compat: Compat) -> Result<Arc<dyn Target>, String> {
        schema::check(Kind::Upstream, upstream).map_err(|violation| violation.to_string())?;
        let place = Place { compat, own: &[], certificates: None, keeper: &self.keeper };
        Ok(Arc::new(Upstream::build(name.into(), upstream, place)?))
    }

    fn health(&self) -> Vec<UpstreamHealth> {
        self.keeper.health()
    }

    fn condition(&self, source: &str) -> Result<(), String> {
        crate::config::filter(source).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use usher_model::compat::Compat;

    use super::targets;
    use crate::config::Upstream;

    #[test]
    fn an_upstream_inside_a_plugin_is_one_of_ours() {
        let value = json!({ "nodes": { "10.0.0.1:80": 1, "10.0.0.2:80": 1 }, "type": "roundrobin" });
        let target = targets().target("route/1", &value, Compat::NONE).unwrap();
        let upstream = target.as_any().downcast_ref::<Upstream>().unwrap();
        assert_eq!((&*upstream.name, upstream.fleet().tries(None)), ("route/1", 2));
    }

    #[test]
    fn a_bad_one_is_refused_with_a_sentence() {
        for (value, part) in [
            (json!({ "nodes": { "10.0.0.1:80": -1 } }), "property \"nodes\" validation failed"),
            (json!({ "nodes": { "10.0.0.1:0": 1 } }), "invalid port 0"),
            (json!({ "nodes": {}, "colour": 1 }), "additional properties forbidden, found colour"),
            (json!({ "nodes": {}, "type": "mine" }), "\"mine\" is not known"),
            (json!({ "nodes": { "169.254.169.254:80": 1 } }), "link-local"),
            (json!([]), "expected object"),
        ] {
            let refused = targets().target("route/1", &value, Compat::NONE).map(drop).unwrap_err();
            assert!(refused.contains(part), "{value}: {refused}");
        }
    }
}
