//! `serverless-post-function` runs functions written in Luau behind the other plugins of its phase.
//!
//! Example: `{"phase": "access", "functions": ["return function(conf, ctx) if ctx.var.arg_key ~= 'open' then return 403, {message = 'say open'} end end"]}`

use usher_pipeline::env::Env;
use usher_pipeline::plugin::{BuildError, Phases, Plugin};
use usher_pipeline::spec::Spec;

use crate::serverless::{Config, Functions, phases};

/// `serverless-post-function`.
pub(crate) static PLUGIN: Spec = Spec::of::<PostFunction>();

struct PostFunction(Functions);

impl Plugin for PostFunction {
    const NAME: &'static str = "serverless-post-function";
    const PRIORITY: i32 = -2000;
    const PHASES: Phases<Self> = phases!();
    type Config = Config;

    fn build(config: Config, env: &Env<'_>) -> Result<Self, BuildError> {
        Functions::build(Self::NAME, config, env).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};
    use usher_pipeline::harness::try_harness_of;

    use super::PLUGIN;

    #[test]
    fn it_comes_behind_the_other_plugins_and_shares_their_context() {
        let pre = &crate::serverless_pre_function::PLUGIN;
        let function =
            |source: &str| json!({ "functions": [format!("return function(_, ctx) {source} end")] });
        let mut bodies: Map<String, Value> = Map::new();
        bodies.insert("serverless-post-function".to_owned(), function("return 200, ctx.trail .. ' post'"));
        bodies.insert("serverless-pre-function".to_owned(), function("ctx.trail = 'pre'"));
        let mut bench = try_harness_of(&[&PLUGIN, pre], bodies).unwrap();
        assert_eq!(bench.get("/").text(), "pre post");
    }
}
