//! `traffic-split` spreads a route's requests over several upstreams: canary and blue-green releases.
//!
//! Turns are taken in common by all workers, so that a split of 1 to 9 is one request of ten whoever serves it, and they follow the plugin's
//! body: an edit elsewhere in the route goes on where it was.
//!
//! On stream routes it spreads connections; rules then go by variables of connections, such as `remote_addr` and `server_port`.
//!
//! Example: `{"rules": [{"match": [{"vars": [["http_x_beta", "==", "yes"]]}], "weighted_upstreams": [{"upstream": {"type": "roundrobin", "nodes": {"127.0.0.1:1981": 1}}, "weight": 1}, {"weight": 9}]}]}`

mod config;
mod wheel;

use std::sync::Arc;

use serde_json::Value;
use usher_model::expr::Expr;
use usher_model::variables::Variables;
use usher_pipeline::env::{Env, Target};
use usher_pipeline::exchange::{Choice, Exchange};
use usher_pipeline::plugin::{BuildError, Flow, Hook, Phases, Plugin};
use usher_pipeline::reply::Reply;
use usher_pipeline::spec::Spec;
use usher_pipeline::stream::{OnConnections, Preread, Session, Verdict};

use config::{Config, Weighted};
use wheel::Wheel;

/// `traffic-split`.
pub(crate) static PLUGIN: Spec = Spec::of::<TrafficSplit>().on_connections::<TrafficSplit>();

struct TrafficSplit(Arc<Kept>);

/// What is found again after an edit of something else: whose turn it is, here and inside of the upstreams that are written here.
struct Kept(Arc<Split>);

/// The rules, ready to run, and the body that they were made of.
struct Split {
    config: Config,
    rules: Vec<Rule>,
}

struct Rule {
    /// One of them has to be true; with none the rule is always taken.
    matches: Vec<Expr>,
    destinations: Vec<Destination>,
    wheel: Wheel,
}

enum Destination {
    /// The route's own upstream.
    Own,
    /// The upstream of this id.
    Id(Arc<str>),
    /// An upstream written here.
    Target(Arc<dyn Target>),
}

impl Plugin for TrafficSplit {
    const NAME: &'static str = "traffic-split";
    const PRIORITY: i32 = 966;
    const PHASES: Phases<Self> = Phases { access: Some(Hook::Now(Self::choose)), ..Phases::NONE };
    type Config = Config;

    fn build(config: Config, env: &Env<'_>) -> Result<Self, BuildError> {
        let rules = config.rules.iter().enumerate();
        let rules = rules.map(|(at, rule)| Rule::new(rule, at + 1, env)).collect::<Result<_, _>>()?;
        let made = Arc::new(Split { config, rules });
        let kept = env.keep(&env.own_key(), || Kept(Arc::clone(&made)));
        // A checksum is no proof: requests never go where another body said.
        Ok(Self(if kept.0.config == made.config { kept } else { Arc::new(Kept(made)) }))
    }
}

impl Rule {
    fn new(rule: &config::Rule, number: usize, env: &Env<'_>) -> Result<Self, BuildError> {
        let in_vars =
            |error: &str| BuildError::new(format!("failed to validate the 'vars' expression: {error}"));
        let matches = rule.r#match.iter().flatten().map(|one| {
            let vars = one.vars.clone().ok_or_else(|| in_vars("missing argument rule"))?;
            Expr::parse(&Value::Array(vars)).map_err(|error| in_vars(&error.0))
        });
        let matches = matches.collect::<Result<_, _>>()?;
        let weighted = rule.weighted_upstreams.iter().enumerate();
        let destinations = weighted
            .map(|(at, entry)| {
                let place = format!("rules[{number}].weighted_upstreams[{}]", at + 1);
                Destination::new(entry, &place, env)
                    .map_err(|error| BuildError::new(format!("{place}.upstream: {error}")))
            })
            .collect::<Result<_, _>>()?;
        let wheel = Wheel::new(rule.weighted_upstreams.iter().map(|entry| entry.weight)).ok_or_else(|| {
            BuildError::new(format!(
                "rules[{number}].weighted_upstreams: every weight is 0, so that requests could go nowhere; give one entry a weight above 0"
            ))
        })?;
        Ok(Self { matches, destinations, wheel })
    }

    fn holds(&self, variables: &dyn Variables) -> bool {
        self.matches.is_empty() || self.matches.iter().any(|vars| vars.eval(variables))
    }

    /// Whose turn it is; `None` where that is the route's own upstream.
    fn turn(&self) -> Option<Choice> {
        match self.destinations.get(self.wheel.turn())? {
            Destination::Id(id) => Some(Choice::Id(Arc::clone(id))),
            Destination::Target(target) => Some(Choice::Target(Arc::clone(target))),
            Destination::Own => None,
        }
    }
}

impl Destination {
    fn new(entry: &Weighted, place: &str, env: &Env<'_>) -> Result<Self, BuildError> {
        match (&entry.upstream_id, &entry.upstream) {
            (Some(id), _) => Ok(Self::Id(id.text())),
            (None, Some(upstream)) => {
                env.target(&format!("{}#traffic-split.{place}", env.resource()), upstream).map(Self::Target)
            }
            (None, None) => Ok(Self::Own),
        }
    }
}

impl TrafficSplit {
    fn choose(&self, exchange: &mut Exchange) -> Flow {
        let Some(rule) = self.0.0.rules.iter().find(|rule| rule.holds(exchange)) else {
            return Flow::Continue;
        };
        for destination in &rule.destinations {
            if let Destination::Id(id) = destination
                && !exchange.has_upstream(id)
            {
                let message = format!("failed to fetch upstream info by upstream id: {id}");
                tracing::error!(upstream = %id, "an upstream of traffic-split does not exist");
                return Reply::text(500, "text/plain; charset=utf-8", message).into();
            }
        }
        exchange.choice = rule.turn();
        Flow::Continue
    }

    /// A connection whose upstream isn't there finds no node, and is told of in the log.
    fn choose_for_connection(&self, session: &mut Session) -> Verdict {
        if let Some(rule) = self.0.0.rules.iter().find(|rule| rule.holds(session)) {
            session.choice = rule.turn();
        }
        Verdict::Continue
    }
}

impl OnConnections for TrafficSplit {
    const PREREAD: Option<Preread<Self>> = Some(Self::choose_for_connection);
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};
    use usher_pipeline::harness::{Harness, harness, try_harness};

    use super::PLUGIN;

    fn bench(rules: &Value) -> Harness {
        harness(&PLUGIN, json!({ "rules": rules }))
            .known_upstream("a")
            .known_upstream("b")
            .known_upstream("7")
    }

    /// Where requests went: an id, the port of an inline upstream, or `own`.
    fn went(bench: &mut Harness, times: usize, target: &str) -> Vec<String> {
        let mut places = Vec::new();
        for _ in 0..times {
            let outcome = bench.get(target);
            let seen = outcome.expect_status(200).seen();
            let inline = seen.target_json.as_ref().map(|target| target["nodes"][0]["port"].to_string());
            places.push(seen.upstream_id.clone().or(inline).unwrap_or_else(|| "own".to_owned()));
        }
        places
    }

    fn inline(port: u16) -> Value {
        json!({ "type": "roundrobin", "nodes": [{ "host": "127.0.0.1", "port": port, "weight": 1 }], "scheme": "http" })
    }

    #[test]
    fn spreads_requests_by_weight() {
        let rules = json!([{ "weighted_upstreams": [
            { "upstream_id": "a", "weight": 3 }, { "upstream": inline(81), "weight": 2 }, { "weight": 1 },
        ] }]);
        let mut counts: Map<String, Value> = Map::new();
        for place in went(&mut bench(&rules), 60, "/") {
            let count = counts.get(&place).and_then(Value::as_u64).unwrap_or(0);
            counts.insert(place, (count + 1).into());
        }
        assert_eq!(Value::Object(counts), json!({ "a": 30, "81": 20, "own": 10 }));
    }

    #[test]
    fn an_id_comes_before_an_upstream_and_may_be_a_number() {
        for (entry, wanted) in [
            (json!({ "upstream_id": "a", "upstream": inline(81) }), "a"),
            (json!({ "upstream_id": 7 }), "7"),
            (json!({ "upstream": inline(81) }), "81"),
            (json!({}), "own"),
        ] {
            let rules = json!([{ "weighted_upstreams": [entry] }]);
            assert_eq!(went(&mut bench(&rules), 1, "/"), [wanted], "{rules}");
        }
        assert_eq!(went(&mut bench(&json!([{}])), 1, "/"), ["own"]);
    }

    #[test]
    fn the_first_rule_that_holds_is_taken() {
        let to = |id: &str| json!([{ "upstream_id": id }]);
        let vars = |name: &str| json!({ "vars": [[format!("arg_{name}"), "==", "1"]] });
        let rules = json!([
            { "match": [vars("x"), vars("y")], "weighted_upstreams": to("a") },
            { "match": [{ "vars": [["arg_y", "==", "1"], ["arg_z", "==", "1"]] }, vars("z")], "weighted_upstreams": to("b") },
        ]);
        let mut bench = bench(&rules);
        for (target, wanted) in
            [("/?x=1", "a"), ("/?y=1&z=1", "a"), ("/?z=1", "b"), ("/", "own"), ("/?x=2", "own")]
        {
            assert_eq!(went(&mut bench, 1, target), [wanted], "{target}");
        }
        let always = json!([{ "match": [vars("x")], "weighted_upstreams": to("a") }, { "match": [], "weighted_upstreams": to("b") }]);
        assert_eq!(went(&mut self::bench(&always), 1, "/"), ["b"]);
    }

    #[test]
    fn without_rules_the_routes_own_upstream_is_used() {
        for body in [json!({}), json!({ "rules": [] })] {
            assert_eq!(went(&mut harness(&PLUGIN, body), 1, "/"), ["own"]);
        }
    }

    #[test]
    fn turns_go_on_after_an_edit_of_something_else() {
        let rules = json!([{ "weighted_upstreams": [{ "upstream_id": "a" }, { "upstream_id": "b" }, { "weight": 1 }] }]);
        let bodies: Map<String, Value> =
            [("traffic-split".to_owned(), json!({ "rules": rules }))].into_iter().collect();
        let mut before = bench(&rules);
        assert_eq!(went(&mut before, 2, "/"), ["a", "b"]);
        let mut after = before.beside("/apisix/routes/1", &bodies).unwrap();
        assert_eq!(went(&mut after, 2, "/"), ["own", "a"]);
        let mut elsewhere = before.beside("/apisix/routes/2", &bodies).unwrap();
        assert_eq!(went(&mut elsewhere, 1, "/"), ["a"]);
    }

    #[test]
    fn an_upstream_that_does_not_exist_is_answered_500() {
        let rules = json!([{ "weighted_upstreams": [{ "upstream_id": "a", "weight": 100 }, { "upstream_id": "gone", "weight": 0 }] }]);
        let outcome = bench(&rules).get("/");
        outcome.expect_status(500);
        assert_eq!(outcome.text(), "failed to fetch upstream info by upstream id: gone");
        assert_eq!(outcome.field("Content-Type"), Some("text/plain; charset=utf-8"));
    }

    #[test]
    fn refuses_bodies_that_can_not_work() {
        let entry = |entry: Value| json!({ "rules": [{ "weighted_upstreams": [entry] }] });
        let written = |more: Value| {
            let mut upstream = inline(81);
            upstream.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            json!({ "rules": [{}, { "weighted_upstreams": [{}, { "upstream": upstream }] }] })
        };
        let many: Vec<Value> = (0..21).map(|_| json!({})).collect();
        for (body, sentence) in [
            (json!({ "rules": {} }), "wrong type: expected array, got table"),
            (json!({ "rules": [{ "weighted_upstreams": [] }] }), "expect array to have at least 1 items"),
            (json!({ "rules": [{ "weighted_upstreams": many }] }), "expect array to have at most 20 items"),
            (entry(json!({ "weight": -1 })), "expected -1 to be at least 0"),
            (entry(json!({ "weight": 0 })), "every weight is 0"),
            (entry(json!({ "upstream_id": "a b" })), "property \"upstream_id\" validation failed"),
            (entry(json!({ "upstream": {} })), "property \"upstream\" validation failed"),
            (
                entry(json!({ "upstream": { "nodes": {}, "color": 1 } })),
                "additional properties forbidden, found color",
            ),
            (
                json!({ "rules": [{ "match": [{}] }] }),
                "failed to validate the 'vars' expression: missing argument rule",
            ),
            (
                json!({ "rules": [{ "match": [{ "vars": [["arg_x", "=", "1"]] }] }] }),
                "failed to validate the 'vars' expression: invalid operator '='",
            ),
            (
                written(json!({ "pass_host": "rewrite" })),
                "rules[2].weighted_upstreams[2].upstream: `upstream_host` can't be empty when `pass_host` is `rewrite`",
            ),
            (
                written(json!({ "type": "mine" })),
                "rules[2].weighted_upstreams[2].upstream: `type` \"mine\" is not known",
            ),
            (written(json!({ "scheme": "kafka" })), "`scheme` \"kafka\" is not supported"),
        ] {
            let error =
                try_harness(&PLUGIN, body.clone()).err().unwrap_or_else(|| panic!("{body} was taken"));
            assert!(error.message.contains(sentence), "{body}: {error}");
        }
    }
}
