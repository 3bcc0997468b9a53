//! `exit-transformer` lets functions of Luau make other answers of those that the gateway gives itself: status, body, header fields.
//!
//! A function sees what a plugin answers in the place of an upstream, and what the gateway says where no route or no upstream is there. It doesn't
//! see answers of upstreams, nor what goes wrong on the way to them. One that fails leaves the answer as it is, and the log says why.
//!
//! Example: `{"functions": ["return (function(code, body, header) if code == 401 then return 403, {message = 'not for you'}, header end return code, body, header end)(...)"]}`

use std::sync::atomic::{AtomicU64, Ordering};

use schemars::JsonSchema;
use serde::Deserialize;
use usher_pipeline::env::Env;
use usher_pipeline::exchange::Exchange;
use usher_pipeline::plugin::{BuildError, Flow, Hook, Phases, Plugin};
use usher_pipeline::reply::Reply;
use usher_pipeline::spec::Spec;
use usher_script::{Script, exit};

/// `exit-transformer`.
pub(crate) static PLUGIN: Spec = Spec::of::<ExitTransformer>();

/// Between two complaints of one use of the plugin, in milliseconds.
const COMPLAINS_EVERY_MS: u64 = 1000;

/// Lets functions make other answers of those that the gateway gives itself.
#[derive(Deserialize, JsonSchema)]
struct Config {
    /// Sources in Luau. Each is handed `...`: the status, the body (a table where it is JSON, a string, or nil) and the header fields, and returns
    /// those three as they are to be sent. They run in this order, each stopped after 50 ms.
    #[schemars(length(max = 64))]
    functions: Vec<String>,
}

struct ExitTransformer {
    scripts: Vec<Script>,
    complained_ms: AtomicU64,
}

/// Marks a request whose answers are this plugin's business.
#[derive(Default)]
struct Passed(bool);

impl Plugin for ExitTransformer {
    const NAME: &'static str = "exit-transformer";
    const PRIORITY: i32 = 22950;
    const PHASES: Phases<Self> =
        Phases { rewrite: Some(Hook::Now(Self::begin)), exit: Some(Self::transform), ..Phases::NONE };
    type Config = Config;

    fn build(config: Config, _: &Env<'_>) -> Result<Self, BuildError> {
        let sources = config.functions.iter().enumerate();
        let scripts = sources.map(|(at, source)| {
            let name = format!("functions[{at}]");
            Script::chunk(&name, source).map_err(|error| BuildError::new(error.to_string()))
        });
        Ok(Self { scripts: scripts.collect::<Result<_, _>>()?, complained_ms: AtomicU64::new(0) })
    }
}

impl ExitTransformer {
    fn begin(&self, exchange: &mut Exchange) -> Flow {
        exchange.slot::<_, Passed>(self).0 = true;
        Flow::Continue
    }

    fn transform(&self, exchange: &mut Exchange, mut reply: Reply) -> Reply {
        if !exchange.existing_slot::<_, Passed>(self).is_some_and(|passed| passed.0) {
            return reply;
        }
        for script in &self.scripts {
            reply = exit(script, exchange, reply).unwrap_or_else(|failed| {
                let (error, reply) = *failed;
                self.complain(exchange, &error.to_string());
                reply
            });
        }
        reply
    }

    /// Not more often than once a second, because it may fail with every request.
    fn complain(&self, exchange: &Exchange, error: &str) {
        let now = exchange.worker().unix_ms();
        let before = self.complained_ms.swap(now, Ordering::Relaxed);
        if now < before.saturating_add(COMPLAINS_EVERY_MS) {
            self.complained_ms.store(before, Ordering::Relaxed);
            return;
        }
        let route = exchange.route.as_ref().map(|route| &*route.id);
        tracing::error!(
            route,
            error,
            "a function of exit-transformer failed, and the answer stayed as it was"
        );
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};
    use usher_pipeline::harness::{Harness, Outcome, harness, try_harness, try_harness_of};

    use super::PLUGIN;

    /// With a plugin that refuses everything behind it.
    fn refused(functions: &[&str]) -> Outcome {
        with(functions, "key-auth", json!({}), &crate::key_auth::PLUGIN).get("/")
    }

    fn with(
        functions: &[&str],
        name: &str,
        body: Value,
        plugin: &'static usher_pipeline::spec::Spec,
    ) -> Harness {
        let bodies = Map::from_iter([
            ("exit-transformer".to_owned(), json!({ "functions": functions })),
            (name.to_owned(), body),
        ]);
        try_harness_of(&[&PLUGIN, plugin], bodies).unwrap()
    }

    #[test]
    fn what_a_plugin_answers_becomes_another_answer() {
        let was = "{\"message\":\"Missing API key in request\"}\n";
        let challenge = Some("apikey realm=\"key\"");
        for (functions, status, text, field) in [
            (&[] as &[&str], 401, was, challenge),
            (
                &[
                    "return (function(code, body, header) if code == 401 and body.message == 'Missing API key in request' then return 403, {message = 'no'}, header end return code, body, header end)(...)",
                ],
                403,
                "{\"message\":\"no\"}\n",
                challenge,
            ),
            (
                &["local code, body, header = ... return 405, 'text', {['WWW-Authenticate'] = 'x'}"],
                405,
                "text",
                Some("x"),
            ),
            (&["local code, body, header = ... return code, body, header"], 401, was, challenge),
            (
                &[
                    "local code, body = ... return code + 1, body",
                    "local code, body = ... return code + 1, body",
                ],
                403,
                was,
                challenge,
            ),
            (
                &["local _, body = ... body.more = { 1, 2 } return 400, body"],
                400,
                "{\"message\":\"Missing API key in request\",\"more\":[1,2]}\n",
                challenge,
            ),
            (&["return 402, ngx.var.uri"], 402, "/", challenge),
            (&["local code = ... return code"], 401, "", challenge),
            // What fails changes nothing.
            (&["error('mine')"], 401, was, challenge),
            (&["while true do end"], 401, was, challenge),
            (&["return 'no status'"], 401, was, challenge),
            (&["return 99"], 401, was, challenge),
            (&["return"], 401, was, challenge),
            (&["ngx.exit(403)"], 401, was, challenge),
            (&["local c, b, h = ... return 403, b, {['a b'] = 'c'}"], 401, was, challenge),
            (&["local c, b, h = ... return 403, b, {a = 'b\\r\\nc: d'}"], 401, was, challenge),
            (&["error('mine')", "local _, b = ... return 403, b"], 403, was, challenge),
        ] {
            let outcome = refused(functions);
            assert_eq!((outcome.status(), outcome.text()), (status, text), "{functions:?}");
            assert_eq!(outcome.field("www-authenticate"), field, "{functions:?}");
        }
        let outcome = refused(&["local code = ... return code"]);
        assert_eq!(outcome.field("content-type"), None);
    }

    #[test]
    fn an_upstreams_answer_is_none_of_its_business() {
        let mut bench = harness(&PLUGIN, json!({ "functions": ["return 500"] }));
        assert_eq!((bench.get("/").status(), bench.get("/").text()), (200, "ok"));
    }

    #[test]
    fn what_ends_a_request_before_its_rewrite_phase_is_none_of_its_business() {
        let body = json!({ "functions": ["return 200, 'all is well'"], "_meta": { "priority": 1 } });
        let bodies =
            Map::from_iter([("exit-transformer".to_owned(), body), ("key-auth".to_owned(), json!({}))]);
        let mut bench = try_harness_of(&[&PLUGIN, &crate::key_auth::PLUGIN], bodies).unwrap();
        assert_eq!(bench.get("/").status(), 401);
    }

    #[test]
    fn what_is_no_source_is_refused_with_its_line() {
        for (source, said) in [
            ("return (", "functions[0]:1: "),
            ("return 1\nlocal 1x = 2", "functions[0]:2: "),
            ("end local function f()", "functions[0]:1: "),
        ] {
            let refused = try_harness(&PLUGIN, json!({ "functions": [source] })).err().unwrap().message;
            assert!(refused.contains(said), "{source}: {refused}");
        }
    }
}
