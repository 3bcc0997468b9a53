//! `proxy-buffering` promises that answers go to the client as they come. They always do here: the gateway holds back no more of an answer than
//! one read of its connection, so that the plugin's word is true whichever way it is set.
//!
//! Example: `{"disable_proxy_buffering": true}`

use schemars::JsonSchema;
use serde::Deserialize;
use usher_pipeline::env::Env;
use usher_pipeline::plugin::{BuildError, Phases, Plugin};
use usher_pipeline::spec::Spec;

/// `proxy-buffering`.
pub(crate) static PLUGIN: Spec = Spec::of::<ProxyBuffering>();

/// Promises that answers go to the client as they come.
#[derive(Deserialize, JsonSchema)]
struct Config {
    /// Accepted for APISIX's sake: answers are never gathered before they are sent on.
    #[serde(default)]
    #[expect(dead_code, reason = "answers are never gathered")]
    disable_proxy_buffering: bool,
}

struct ProxyBuffering;

impl Plugin for ProxyBuffering {
    const NAME: &'static str = "proxy-buffering";
    const PRIORITY: i32 = 21991;
    const PHASES: Phases<Self> = Phases::NONE;
    type Config = Config;

    fn build(_: Config, _: &Env<'_>) -> Result<Self, BuildError> {
        Ok(Self)
    }
}
