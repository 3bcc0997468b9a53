//! `workflow` does one thing with a request, chosen by rules: answers it, or counts it by a limit of the rule's own.
//!
//! A limit inside of a rule stands in for the route's own plugin of that name, which is left out for the request.
//!
//! Example: `{"rules": [{"case": [["uri", "==", "/closed"]], "actions": [["return", {"code": 403}]]}, {"case": [["arg_plan", "==", "free"]], "actions": [["limit-count", {"count": 10, "time_window": 60, "rejected_code": 429}]]}]}`

use futures_util::FutureExt as _;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde_json::{Map, Value};
use usher_model::expr::Expr;
use usher_pipeline::compile::Pipeline;
use usher_pipeline::env::Env;
use usher_pipeline::exchange::Exchange;
use usher_pipeline::plugin::{BuildError, Called, Flow, Hook, Phases, Plugin};
use usher_pipeline::reply::{FixedReply, Reply};
use usher_pipeline::spec::Spec;

/// `workflow`.
pub(crate) static PLUGIN: Spec = Spec::of::<Workflow>();

/// Does one thing with a request, chosen by rules.
#[derive(Deserialize, JsonSchema)]
struct Config {
    /// Looked at in order; only the first whose `case` holds is taken.
    rules: Vec<Rule>,
}

/// One rule.
#[derive(Deserialize, JsonSchema)]
struct Rule {
    /// An expression over variables; without it the rule is always taken.
    #[schemars(length(min = 1))]
    case: Option<Vec<Value>>,
    /// What is done: a list of pairs of a name and its configuration, of which the first is run. `["return", {"code": 403}]`,
    /// `["limit-count", {...}]` or `["limit-conn", {...}]`.
    #[schemars(schema_with = "actions")]
    actions: Vec<Vec<Value>>,
}

fn actions(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array", "minItems": 1, "items": { "type": "array", "minItems": 1 } })
}

struct Workflow {
    rules: Vec<(Option<Expr>, Action)>,
}

enum Action {
    Return(FixedReply),
    Limit(&'static str, Pipeline),
}

/// Plugins that a rule may run.
const LIMITS: [&str; 2] = ["limit-count", "limit-conn"];

impl Plugin for Workflow {
    const NAME: &'static str = "workflow";
    const PRIORITY: i32 = 1006;
    const PHASES: Phases<Self> = Phases {
        access: Some(Hook::Either(Self::run)),
        header_filter: Some(Self::tell),
        log: Some(Self::end),
        ..Phases::NONE
    };
    type Config = Config;

    fn build(config: Config, env: &Env<'_>) -> Result<Self, BuildError> {
        let rules = config.rules.iter().enumerate().map(|(at, rule)| {
            // A rule counts for itself, also where another says the same limit.
            let env = &env.part(at);
            let case =
                rule.case.as_ref().map(|case| crate::vars::parse(&Value::Array(case.clone()))).transpose()?;
            // All are checked, and the first is run.
            let mut all =
                rule.actions.iter().map(|action| Action::new(action, env)).collect::<Result<Vec<_>, _>>()?;
            if all.is_empty() {
                return Err(BuildError::new("a rule needs an action"));
            }
            Ok((case, all.swap_remove(0)))
        });
        Ok(Self { rules: rules.collect::<Result<_, BuildError>>()? })
    }
}

impl Action {
    fn new(action: &[Value], env: &Env<'_>) -> Result<Self, BuildError> {
        let name = action.first().and_then(Value::as_str).ok_or_else(|| {
            BuildError::new("an action begins with its name, such as [\"return\", {\"code\": 403}]")
        })?;
        let body = action.get(1).cloned().unwrap_or_else(|| Value::Object(Map::new()));
        if name == "return" {
            let code = body.get("code").and_then(Value::as_u64).ok_or_else(|| {
                BuildError::new("failed to validate the 'return' action: property \"code\" is required")
            })?;
            let code =
                u16::try_from(code).ok().filter(|code| (200..=599).contains(code)).ok_or_else(|| {
                    BuildError::new(format!(
                        "failed to validate the 'return' action: code {code} is not from 200 to 599"
                    ))
                })?;
            return Ok(Self::Return(Reply::error_msg(code, "rejected by workflow").fixed()));
        }
        let Some(limit) = LIMITS.into_iter().find(|limit| *limit == name) else {
            return Err(BuildError::new(format!(
                "unsupported action: {name}; there are return, limit-count and limit-conn"
            )));
        };
        let pipeline = env
            .build_plugins(&Map::from_iter([(name.to_owned(), body)]))
            .map_err(|error| BuildError::new(format!("failed to validate the '{name}' action: {error}")))?;
        Ok(Self::Limit(limit, pipeline))
    }
}

/// The rule that was taken.
#[derive(Default)]
struct Taken(Option<usize>);

impl Workflow {
    fn run<'a>(&'a self, exchange: &'a mut Exchange) -> Called<'a> {
        let holds = |case: &Option<Expr>| case.as_ref().is_none_or(|case| case.eval(exchange));
        let Some((at, (_, action))) = self.rules.iter().enumerate().find(|(_, (case, _))| holds(case)) else {
            return Called::Now(Flow::Continue);
        };
        match action {
            Action::Return(reply) => Called::Now(reply.reply().into()),
            Action::Limit(name, pipeline) => {
                exchange.slot::<_, Taken>(self).0 = Some(at);
                Called::Later(
                    async move {
                        let flow = pipeline.access(exchange).await;
                        exchange.stand_in_for(name);
                        flow
                    }
                    .boxed_local(),
                )
            }
        }
    }

    fn taken(&self, exchange: &mut Exchange) -> Option<&Pipeline> {
        let Taken(at) = exchange.existing_slot::<_, Taken>(self)?;
        match self.rules.get((*at)?) {
            Some((_, Action::Limit(_, pipeline))) => Some(pipeline),
            _ => None,
        }
    }

    fn tell(&self, exchange: &mut Exchange) -> Flow {
        match self.taken(exchange) {
            Some(pipeline) => pipeline.header_filter(exchange),
            None => Flow::Continue,
        }
    }

    fn end(&self, exchange: &mut Exchange) {
        if let Some(pipeline) = self.taken(exchange) {
            pipeline.log(exchange);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};
    use usher_pipeline::harness::{Harness, try_harness_of};
    use usher_pipeline::plugin::BuildError;
    use usher_pipeline::spec::Spec;

    use super::PLUGIN;

    static SPECS: [&Spec; 3] = [&PLUGIN, &crate::limit_count::PLUGIN, &crate::limit_conn::PLUGIN];

    fn bench(rules: Value, more: Vec<(String, Value)>) -> Result<Harness, BuildError> {
        let own = ("workflow".to_owned(), json!({ "rules": rules }));
        try_harness_of(&SPECS, more.into_iter().chain([own]).collect::<Map<_, _>>())
    }

    #[test]
    fn the_first_rule_that_holds_is_taken() {
        let rules = json!([
            { "case": [["arg_a", "==", "1"]], "actions": [["return", { "code": 403 }], ["return", { "code": 500 }]] },
            { "case": ["OR", ["arg_a", "==", "1"], ["arg_b", "==", "1"]], "actions": [["return", { "code": 404 }]] },
        ]);
        let mut bench = bench(rules, Vec::new()).unwrap();
        for (target, status) in [("/?a=1", 403), ("/?b=1", 404), ("/", 200)] {
            bench.get(target).expect_status(status);
        }
        let outcome = bench.get("/?a=1");
        assert_eq!(outcome.text(), "{\"error_msg\":\"rejected by workflow\"}\n");
        assert_eq!(outcome.field("Content-Type"), Some("text/plain; charset=utf-8"));
    }

    #[test]
    fn a_limit_inside_stands_in_for_the_routes_own() {
        let limit = |count: u32| json!({ "count": count, "time_window": 60, "rejected_code": 429 });
        let rules = json!([{ "case": [["arg_free", "==", "1"]], "actions": [["limit-count", limit(1)]] }]);
        let mut bench = bench(rules, vec![("limit-count".to_owned(), limit(3))]).unwrap();
        let first = bench.get("/?free=1");
        assert_eq!(first.expect_status(200).field("X-RateLimit-Limit"), Some("1"));
        bench.get("/?free=1").expect_status(429);
        for (status, remaining) in [(200, "2"), (200, "1"), (200, "0"), (429, "0")] {
            let outcome = bench.get("/");
            assert_eq!(outcome.expect_status(status).field("X-RateLimit-Remaining"), Some(remaining));
        }
    }

    #[test]
    fn rules_with_the_same_limit_count_apart() {
        let limit = json!({ "count": 2, "time_window": 60, "rejected_code": 429 });
        let rules = json!([
            { "case": [["uri", "==", "/a"]], "actions": [["limit-count", limit]] },
            { "case": [["uri", "==", "/b"]], "actions": [["limit-count", limit]] },
        ]);
        let mut bench = bench(rules, Vec::new()).unwrap();
        for status in [200, 200, 429] {
            for target in ["/a", "/b"] {
                bench.get(target).expect_status(status);
            }
        }
    }

    #[test]
    fn requests_that_were_counted_as_on_their_way_are_released() {
        let limit = json!({ "conn": 1, "burst": 0, "default_conn_delay": 0.1, "key": "remote_addr" });
        let mut bench = bench(json!([{ "actions": [["limit-conn", limit]] }]), Vec::new()).unwrap();
        for _ in 0..3 {
            bench.get("/").expect_status(200);
        }
    }

    #[test]
    fn refuses_bodies_that_can_not_work() {
        for (rules, sentence) in [
            (json!([{}]), "property \"actions\" is required"),
            (json!([{ "actions": [] }]), "expect array to have at least 1 items"),
            (json!([{ "actions": [[1]] }]), "an action begins with its name"),
            (json!([{ "actions": [["fly", {}]] }]), "unsupported action: fly"),
            (json!([{ "actions": [["return", {}]] }]), "property \"code\" is required"),
            (json!([{ "actions": [["return", { "code": 99 }]] }]), "code 99 is not from 200 to 599"),
            (json!([{ "actions": [["limit-count", {}]] }]), "failed to validate the 'limit-count' action: "),
            (
                json!([{ "case": [["a", "=", 1]], "actions": [["return", { "code": 403 }]] }]),
                "invalid operator '='",
            ),
        ] {
            let error = bench(rules.clone(), Vec::new()).err().unwrap_or_else(|| panic!("{rules} was taken"));
            assert!(error.message.contains(sentence), "{rules}: {error}");
        }
    }
}
