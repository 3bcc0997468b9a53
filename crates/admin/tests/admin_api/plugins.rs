//! Plugins that exist in these tests alone: one with a bounded member, one that authenticates, one with metadata.

use schemars::JsonSchema;
use serde::Deserialize;
use usher_model::secret::Secret;
use usher_pipeline::env::Env;
use usher_pipeline::plugin::{BuildError, Phases, Plugin};
use usher_pipeline::spec::{Credential, Spec};

/// All of them.
pub(crate) static ALL: &[&Spec] = &[&LIMIT, &KEY_AUTH, &NOTES, &SPLIT];

static LIMIT: Spec = Spec::of::<Limit>();
static KEY_AUTH: Spec = Spec::of::<KeyAuth>().auth::<KeyCredential>();
static NOTES: Spec = Spec::of::<Notes>().metadata::<NotesMetadata>();
static SPLIT: Spec = Spec::of::<Split>();

#[derive(Deserialize, JsonSchema)]
#[expect(dead_code, reason = "only its schema is looked at")]
struct LimitConfig {
    #[schemars(range(min = 1))]
    count: u32,
    #[schemars(range(min = 1))]
    time_window: u32,
    rejected_code: Option<u16>,
    /// A secret, so that masks can be seen on routes too.
    redis_password: Option<Secret<String>>,
}

struct Limit;

impl Plugin for Limit {
    const NAME: &'static str = "limit-count";
    const PRIORITY: i32 = 1002;
    const PHASES: Phases<Self> = Phases::NONE;
    type Config = LimitConfig;

    fn build(_: LimitConfig, _: &Env<'_>) -> Result<Self, BuildError> {
        Ok(Self)
    }
}

#[derive(Deserialize, JsonSchema)]
struct NoConfig {}

struct KeyAuth;

#[derive(Deserialize, JsonSchema)]
struct KeyCredential {
    key: Secret<String>,
}

impl Credential for KeyCredential {
    const UNIQUE: &'static str = "key";

    fn unique(&self) -> &str {
        self.key.expose()
    }
}

impl Plugin for KeyAuth {
    const NAME: &'static str = "key-auth";
    const PRIORITY: i32 = 2500;
    const PHASES: Phases<Self> = Phases::NONE;
    type Config = NoConfig;

    fn build(_: NoConfig, _: &Env<'_>) -> Result<Self, BuildError> {
        Ok(Self)
    }
}

#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is looked at")]
struct NotesMetadata {
    log_format: Option<String>,
}

struct Notes;

impl Plugin for Notes {
    const NAME: &'static str = "notes";
    const PRIORITY: i32 = 10;
    const PHASES: Phases<Self> = Phases::NONE;
    type Config = NoConfig;

    fn build(_: NoConfig, _: &Env<'_>) -> Result<Self, BuildError> {
        Ok(Self)
    }
}

#[derive(Deserialize, JsonSchema)]
#[expect(dead_code, reason = "only its schema is looked at")]
struct SplitConfig {
    upstream_id: Option<String>,
}

struct Split;

impl Plugin for Split {
    const NAME: &'static str = "traffic-split";
    const PRIORITY: i32 = 966;
    const PHASES: Phases<Self> = Phases::NONE;
    type Config = SplitConfig;

    fn build(_: SplitConfig, _: &Env<'_>) -> Result<Self, BuildError> {
        Ok(Self)
    }
}
