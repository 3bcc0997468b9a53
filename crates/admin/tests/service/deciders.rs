//! Plugins of the bench that decide who may come without being of the auth kind.

use schemars::JsonSchema;
use serde::Deserialize;
use usher_pipeline::env::Env;
use usher_pipeline::plugin::{BuildError, Phases, Plugin};
use usher_pipeline::spec::Spec;

pub(crate) static FORWARD_AUTH: Spec = Spec::of::<ForwardAuth>();
pub(crate) static IP_RESTRICTION: Spec = Spec::of::<IpRestriction>();

/// Asks another service.
struct ForwardAuth;

#[derive(Deserialize, JsonSchema)]
struct ForwardAuthConfig {
    uri: String,
}

impl Plugin for ForwardAuth {
    const NAME: &'static str = "forward-auth";
    const PRIORITY: i32 = 2002;
    const PHASES: Phases<Self> = Phases::NONE;
    type Config = ForwardAuthConfig;

    fn build(config: ForwardAuthConfig, _: &Env<'_>) -> Result<Self, BuildError> {
        if config.uri.contains("refuse") {
            return Err(BuildError::new(format!("the uri {:?} can't be called", config.uri)));
        }
        Ok(Self)
    }
}

/// Looks at the client's address.
struct IpRestriction;

#[derive(Deserialize, JsonSchema)]
#[expect(dead_code, reason = "only checked, never run")]
struct IpRestrictionConfig {
    whitelist: Option<Vec<String>>,
    blacklist: Option<Vec<String>>,
}

impl Plugin for IpRestriction {
    const NAME: &'static str = "ip-restriction";
    const PRIORITY: i32 = 3000;
    const PHASES: Phases<Self> = Phases::NONE;
    type Config = IpRestrictionConfig;

    fn build(_: IpRestrictionConfig, _: &Env<'_>) -> Result<Self, BuildError> {
        Ok(Self)
    }
}
