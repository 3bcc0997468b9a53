//! Routes that can't be built: they keep their place among all routes as far as it can be read, and answer every request themselves.
//!
//! Without that, their requests would fall to a wider route, past whatever protects them.

use std::sync::LazyLock;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use usher_model::resource;
use usher_pipeline::compile::Pipeline;
use usher_pipeline::env::{Env, Process};
use usher_pipeline::exchange::Exchange;
use usher_pipeline::plugin::{BuildError, Flow, Hook, Phases, Plugin};
use usher_pipeline::registry::Registry;
use usher_pipeline::reply::{FixedReply, Reply};
use usher_pipeline::spec::Spec;

/// Why a route can't be built.
pub(super) struct Flaw {
    pub(super) reason: String,
    /// What the route refers to is not there: answered with this status, before a restart as behind one. `None` lets the last good version serve on.
    pub(super) missing: Option<u16>,
}

impl Flaw {
    /// Something that the route refers to can't be had.
    pub(super) const fn missing(status: u16, reason: String) -> Self {
        Self { reason, missing: Some(status) }
    }

    /// The status that requests are answered with.
    pub(super) fn status(&self) -> u16 {
        self.missing.unwrap_or(503)
    }
}

impl From<String> for Flaw {
    fn from(reason: String) -> Self {
        Self { reason, missing: None }
    }
}

/// What says where a route stands.
const PLACE: [&str; 14] = [
    "uri",
    "uris",
    "host",
    "hosts",
    "methods",
    "priority",
    "remote_addr",
    "remote_addrs",
    "vars",
    "filter_func",
    "status",
    "name",
    "service_id",
    "plugin_config_id",
];

/// Where a route stands that can't be read as a whole; members that can't be read are left out, so that it takes rather too many requests than too
/// few. Without a path where that can't be read.
pub(super) fn place_of(bytes: &[u8]) -> resource::Route {
    let value: Value = serde_json::from_slice(bytes).unwrap_or_default();
    let mut kept = Value::Object(Map::new());
    for name in PLACE {
        let Some(member) = value.get(name) else { continue };
        let alone = Map::from_iter([(name.to_owned(), member.clone())]);
        if resource::Route::from_value(&Value::Object(alone)).is_ok()
            && let Some(kept) = kept.as_object_mut()
        {
            kept.insert(name.to_owned(), member.clone());
        }
    }
    resource::Route::from_value(&kept).unwrap_or_default()
}

/// Plugins that answer every request with the page of this status.
pub(super) fn refusing(status: u16, process: &Process) -> Result<Pipeline, String> {
    let body = Map::from_iter([(Refusal::NAME.to_owned(), json!({ "status": status }))]);
    let env = Env::new(process, &REFUSAL, "");
    Pipeline::compile(&body, &env).map_err(|error| error.to_string())
}

/// Known here alone: nobody can write this plugin.
static REFUSAL: LazyLock<Registry> = LazyLock::new(|| {
    static SPEC: Spec = Spec::of::<Refusal>();
    Registry::new(&[&SPEC])
});

struct Refusal(FixedReply);

#[derive(Deserialize, JsonSchema)]
struct RefusalConfig {
    status: u16,
}

impl Plugin for Refusal {
    const NAME: &'static str = "unusable-route";
    const PRIORITY: i32 = i32::MAX;
    const PHASES: Phases<Self> = Phases { rewrite: Some(Hook::Now(Self::refuse)), ..Phases::NONE };
    type Config = RefusalConfig;

    fn build(config: RefusalConfig, _: &Env<'_>) -> Result<Self, BuildError> {
        Ok(Self(Reply::new(config.status).fixed()))
    }
}

impl Refusal {
    fn refuse(&self, _: &mut Exchange) -> Flow {
        self.0.reply().into()
    }
}
