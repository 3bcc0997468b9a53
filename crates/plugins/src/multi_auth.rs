//! `multi-auth` lets in who passes any one of several auth plugins.
//!
//! They are asked in order, and the first that knows the caller names the consumer. Where none does, the answer carries the challenges of all.
//!
//! Example: `{"auth_plugins": [{"key-auth": {}}, {"basic-auth": {}}]}`

use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use usher_pipeline::compile::Pipeline;
use usher_pipeline::env::Env;
use usher_pipeline::exchange::Exchange;
use usher_pipeline::plugin::{BuildError, Flow, Hook, Phases, Plugin};
use usher_pipeline::reply::Reply;
use usher_pipeline::spec::Spec;

/// `multi-auth`.
pub(crate) static PLUGIN: Spec = Spec::of::<MultiAuth>().authenticates();

/// How many plugins may be asked in turn.
const MAX_PLUGINS: usize = 16;

/// Lets in who passes any one of several auth plugins.
#[derive(Deserialize, JsonSchema)]
struct Config {
    /// The plugins in the order in which they are asked, at least 2: each a name with its configuration, such as `{"key-auth": {}}`.
    #[schemars(length(min = 2))]
    auth_plugins: Vec<Map<String, Value>>,
}

struct MultiAuth {
    plugins: Vec<Pipeline>,
}

impl Plugin for MultiAuth {
    const NAME: &'static str = "multi-auth";
    const PRIORITY: i32 = 2600;
    const PHASES: Phases<Self> = Phases { rewrite: Some(Hook::Later(Self::authenticate)), ..Phases::NONE };
    type Config = Config;

    fn build(config: Config, env: &Env<'_>) -> Result<Self, BuildError> {
        let mut plugins = Vec::new();
        for (name, body) in config.auth_plugins.iter().flatten() {
            match env.registry().for_requests(name) {
                None => return Err(BuildError::new(format!("{name} plugin did not found"))),
                Some(spec) if !spec.is_auth() || spec.name == Self::NAME => {
                    return Err(BuildError::new(format!("{name} plugin is not supported")));
                }
                Some(_) if !body.is_object() => {
                    return Err(BuildError::new(format!("invalid plugin conf {body} for plugin [{name}]")));
                }
                Some(_) => {}
            }
            if body.pointer("/_meta/disable") == Some(&Value::Bool(true)) {
                continue;
            }
            plugins.push(env.build_plugins(&Map::from_iter([(name.clone(), body.clone())]))?);
        }
        if plugins.len() > MAX_PLUGINS {
            return Err(BuildError::new(format!(
                "property \"auth_plugins\" validation failed: {} plugins; at most {MAX_PLUGINS} can be asked in turn",
                plugins.len()
            )));
        }
        Ok(Self { plugins })
    }
}

impl MultiAuth {
    fn authenticate<'a>(&'a self, exchange: &'a mut Exchange) -> LocalBoxFuture<'a, Flow> {
        async move {
            let mut refusal = Reply::message(401, "Authorization Failed");
            for plugin in &self.plugins {
                match plugin.rewrite(exchange).await {
                    // One that its own filter passes over has looked at nobody.
                    Flow::Continue if exchange.identity().is_some() => return Flow::Continue,
                    Flow::Continue => {}
                    Flow::Reply(reply) => {
                        for challenge in reply.head.get_all("www-authenticate") {
                            refusal = refusal.with("WWW-Authenticate", challenge);
                        }
                    }
                }
            }
            refusal.into()
        }
        .boxed_local()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};
    use usher_pipeline::harness::{Harness, try_harness_of};

    use super::PLUGIN;
    use crate::{basic_auth, ip_restriction, key_auth};

    fn bench(plugins: &Value) -> Result<Harness, String> {
        let bodies = Map::from_iter([("multi-auth".to_owned(), json!({ "auth_plugins": plugins }))]);
        let specs = [&PLUGIN, &basic_auth::PLUGIN, &key_auth::PLUGIN, &ip_restriction::PLUGIN];
        let bench = try_harness_of(&specs, bodies).map_err(|error| error.message)?;
        let bench = bench.consumer("jack", "key-auth", &json!({ "key": "jack-key" }), Map::new());
        let login = json!({ "username": "rose", "password": "rose" });
        Ok(bench.consumer("rose", "basic-auth", &login, Map::new()))
    }

    #[test]
    fn the_first_that_knows_the_caller_names_it() {
        let mut bench =
            bench(&json!([{ "basic-auth": {} }, { "key-auth": { "hide_credentials": true } }])).unwrap();
        // rose:rose
        for (fields, wanted) in [
            (vec![("apikey", "jack-key")], Some("jack")),
            (vec![("Authorization", "Basic cm9zZTpyb3Nl")], Some("rose")),
            (vec![("Authorization", "Basic cm9zZTpyb3Nl"), ("apikey", "jack-key")], Some("rose")),
            (vec![("Authorization", "Basic cm9zZTp4"), ("apikey", "jack-key")], Some("jack")),
            (vec![("Authorization", "Basic cm9zZTp4"), ("apikey", "x")], None),
            (vec![], None),
        ] {
            let outcome = bench.send("GET", "/", &fields, "");
            let seen = outcome.upstream.as_ref().and_then(|seen| seen.head.get_str("X-Consumer-Username"));
            assert_eq!(seen, wanted, "{fields:?}");
            if wanted.is_none() {
                outcome.expect_status(401);
                assert_eq!(outcome.text(), "{\"message\":\"Authorization Failed\"}\n");
                let challenges: Vec<&[u8]> = outcome.head.get_all("www-authenticate").collect();
                assert_eq!(challenges, [b"Basic realm=\"basic\"".as_slice(), b"apikey realm=\"key\""]);
            }
        }
    }

    #[test]
    fn a_plugin_that_is_passed_over_lets_nobody_in() {
        let filtered = json!({ "_meta": { "filter": [["arg_x", "==", "1"]] } });
        let mut bench = bench(&json!([{ "basic-auth": {} }, { "key-auth": filtered }])).unwrap();
        bench.send("GET", "/", &[("apikey", "jack-key")], "").expect_status(401);
        bench.send("GET", "/?x=1", &[("apikey", "jack-key")], "").expect_status(200);
    }

    #[test]
    fn only_auth_plugins_that_can_be_built_are_taken() {
        for (plugins, wanted) in [
            (json!([{ "key-auth": {} }]), "property \"auth_plugins\""),
            (json!([{ "key-auth": {} }, { "ip-restriction": {} }]), "ip-restriction plugin is not supported"),
            (json!([{ "key-auth": {} }, { "multi-auth": {} }]), "multi-auth plugin is not supported"),
            (json!([{ "key-auth": {} }, { "nope": {} }]), "nope plugin did not found"),
            (json!([{ "key-auth": {} }, { "basic-auth": 1 }]), "invalid plugin conf 1"),
            (json!([{ "key-auth": {} }, { "basic-auth": { "realm": 1 } }]), "property \"realm\""),
        ] {
            let error = bench(&plugins).err().unwrap_or_default();
            assert!(error.contains(wanted), "{plugins}: {error}");
        }
    }
}
