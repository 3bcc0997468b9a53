//! `traffic-label` sets header fields on requests by rules and by shares, so that those behind can tell them apart.
//!
//! Example: `{"rules": [{"match": [["arg_env", "==", "test"]], "actions": [{"set_headers": {"X-Group": "test-$arg_env"}, "weight": 3}, {"weight": 1}]}]}`

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use usher_http1::head::Head;
use usher_model::expr::Expr;
use usher_pipeline::env::Env;
use usher_pipeline::exchange::Exchange;
use usher_pipeline::plugin::{BuildError, Flow, Hook, Phases, Plugin};
use usher_pipeline::spec::Spec;

use crate::text::Text;

/// `traffic-label`.
pub(crate) static PLUGIN: Spec = Spec::of::<TrafficLabel>();

/// Sets header fields on requests by rules and by shares.
#[derive(Deserialize, JsonSchema)]
struct Config {
    /// Looked at in order; only the first whose `match` holds is taken.
    rules: Vec<Rule>,
}

/// One rule.
#[derive(Deserialize, JsonSchema)]
struct Rule {
    /// An expression over variables; without it the rule is always taken.
    r#match: Option<Vec<Value>>,
    /// What is done, by weight.
    #[schemars(length(min = 1, max = 20))]
    actions: Vec<Action>,
}

/// What is done with a request.
#[derive(Deserialize, JsonSchema)]
struct Action {
    /// Header fields that are set on the request; values are texts with variables. Without it nothing is done.
    set_headers: Option<BTreeMap<String, Value>>,
    /// Its share of the rule's requests, from 1 on.
    #[serde(default = "one")]
    #[schemars(range(min = 1))]
    weight: u64,
}

const fn one() -> u64 {
    1
}

struct TrafficLabel {
    rules: Vec<(Option<Expr>, Shares)>,
    /// How many requests each rule has taken.
    turns: Arc<Vec<AtomicU64>>,
}

struct Shares {
    actions: Vec<(u64, Vec<(String, Text)>)>,
    total: u64,
}

impl Plugin for TrafficLabel {
    const NAME: &'static str = "traffic-label";
    const PRIORITY: i32 = 967;
    const PHASES: Phases<Self> = Phases { access: Some(Hook::Now(Self::label)), ..Phases::NONE };
    type Config = Config;

    fn build(config: Config, env: &Env<'_>) -> Result<Self, BuildError> {
        let rules = config.rules.into_iter().map(|rule| {
            let only = rule.r#match.map(|list| crate::vars::parse(&Value::Array(list))).transpose()?;
            Ok((only, Shares::new(rule.actions)?))
        });
        let rules = rules.collect::<Result<Vec<_>, BuildError>>()?;
        let turns = env.keep(&env.own_key(), || rules.iter().map(|_| AtomicU64::new(0)).collect::<Vec<_>>());
        Ok(Self { rules, turns })
    }
}

impl Shares {
    fn new(actions: Vec<Action>) -> Result<Self, BuildError> {
        let mut total: u64 = 0;
        let mut made = Vec::new();
        for action in actions {
            total = total.saturating_add(action.weight);
            let mut headers = Vec::new();
            for (name, value) in action.set_headers.unwrap_or_default() {
                Head::empty().set(&name, "").map_err(|_| {
                    BuildError::new(format!(
                        "property \"set_headers\" validation failed: {name:?} is not a header name"
                    ))
                })?;
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                headers.push((name, Text::parse(&text)));
            }
            made.push((action.weight, headers));
        }
        Ok(Self { actions: made, total })
    }

    /// The action of this turn. Turns step through the shares by about the golden ratio of them, so that small ones don't come in a row.
    fn of_turn(&self, turn: u64) -> Option<&[(String, Text)]> {
        let mut place = step(turn, self.total);
        for (weight, headers) in &self.actions {
            if place < *weight {
                return Some(headers);
            }
            place -= weight;
        }
        None
    }
}

/// A place below `total` that each of `total` turns in a row gets once.
fn step(turn: u64, total: u64) -> u64 {
    let total = u128::from(total.max(1));
    let mut stride = (total * 618 / 1000).max(1);
    while gcd(stride, total) != 1 {
        stride += 1;
    }
    (u128::from(turn) * stride % total) as u64
}

const fn gcd(a: u128, b: u128) -> u128 {
    if b == 0 { a } else { gcd(b, a % b) }
}

impl TrafficLabel {
    fn label(&self, exchange: &mut Exchange) -> Flow {
        let holds = |only: &Option<Expr>| only.as_ref().is_none_or(|only| only.eval(exchange));
        let Some(at) = self.rules.iter().position(|(only, _)| holds(only)) else { return Flow::Continue };
        let (Some((_, shares)), Some(turns)) = (self.rules.get(at), self.turns.get(at)) else {
            return Flow::Continue;
        };
        for (name, text) in shares.of_turn(turns.fetch_add(1, Ordering::Relaxed)).unwrap_or_default() {
            let value = text.render(exchange).into_owned();
            if let Err(error) = exchange.request.head.set(name, value) {
                tracing::debug!(%error, "left out a field of a request");
            }
        }
        Flow::Continue
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use usher_pipeline::harness::{harness, try_harness};

    use super::PLUGIN;

    fn label(bench: &mut usher_pipeline::harness::Harness, target: &str) -> String {
        bench.get(target).seen().head.get_str("X-Label").unwrap_or("none").to_owned()
    }

    #[test]
    fn the_first_rule_that_holds_sets_its_headers() {
        let set = |value: &str| json!([{ "set_headers": { "X-Label": value } }]);
        let rules = json!([
            { "match": [["arg_a", "==", "1"]], "actions": set("a-$arg_b") },
            { "match": ["OR", ["arg_a", "==", "2"], ["arg_b", "==", "2"]], "actions": set("b") },
            { "actions": set("rest") },
        ]);
        let mut bench = harness(&PLUGIN, json!({ "rules": rules }));
        for (target, wanted) in [("/?a=1&b=x", "a-x"), ("/?a=2", "b"), ("/?b=2", "b"), ("/", "rest")] {
            assert_eq!(label(&mut bench, target), wanted, "{target}");
        }
    }

    #[test]
    fn shares_are_kept_exactly() {
        let actions = json!([
            { "set_headers": { "X-Label": "a" }, "weight": 3 }, { "set_headers": { "X-Label": "b" }, "weight": 2 }, { "weight": 5 },
        ]);
        let mut bench = harness(&PLUGIN, json!({ "rules": [{ "actions": actions }] }));
        let mut counts = serde_json::Map::new();
        for _ in 0..100 {
            let label = label(&mut bench, "/");
            let count = counts.get(&label).and_then(Value::as_u64).unwrap_or(0);
            counts.insert(label, (count + 1).into());
        }
        assert_eq!(Value::Object(counts), json!({ "a": 30, "none": 50, "b": 20 }));
    }

    #[test]
    fn refuses_bodies_that_can_not_work() {
        for (body, sentence) in [
            (json!({}), "property \"rules\" is required"),
            (json!({ "rules": [{}] }), "property \"actions\" is required"),
            (json!({ "rules": [{ "actions": [] }] }), "expect array to have at least 1 items"),
            (json!({ "rules": [{ "actions": [{ "weight": 0 }] }] }), "expected 0 to be at least 1"),
            (json!({ "rules": [{ "match": [["a", "=", 1]], "actions": [{}] }] }), "invalid operator '='"),
            (
                json!({ "rules": [{ "actions": [{ "set_headers": { "a b": "c" } }] }] }),
                "is not a header name",
            ),
        ] {
            let error =
                try_harness(&PLUGIN, body.clone()).err().unwrap_or_else(|| panic!("{body} was taken"));
            assert!(error.message.contains(sentence), "{body}: {error}");
        }
    }
}
