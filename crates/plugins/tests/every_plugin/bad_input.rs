//! What every plugin does with a configuration that is wrong, made of its own schema: it refuses it with a sentence that names the member, or takes
//! it knowingly, and never takes long over it.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};
use usher_model::compat::Compat;
use usher_pipeline::env::{Env, Process, Target, Targets};
use usher_pipeline::registry::Registry;
use usher_pipeline::spec::Spec;

use crate::{plugin_files, registry};

/// How long a body may be looked at, in a build without optimisation.
const LONGEST: Duration = Duration::from_secs(10);

/// How long this thread has run: what other work takes of the machine is none of a plugin's.
fn worked() -> Duration {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(told.split(' ').next().unwrap().parse().unwrap())
}

/// Plugins that refuse members that they don't know; APISIX's own schemas do. All others take them, as in APISIX, and plans warn of them.
const STRICT: [&str; 2] = ["batch-requests", "prometheus"];

/// Takes every upstream that is written inside of a plugin; the proxy has tests of its own.
struct AnyTarget;

impl Target for AnyTarget {
    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Targets for AnyTarget {
    fn target(&self, _: &str, _: &Value, _: Compat) -> Result<Arc<dyn Target>, String> {
        Ok(Arc::new(Self))
    }
}

/// One plugin with a body that is good.
struct Case {
    registry: Rc<Registry>,
    process: Rc<Process>,
    spec: &'static Spec,
    schema: Value,
    good: Map<String, Value>,
}

fn cases() -> Vec<Case> {
    let registry = Rc::new(registry());
    let process = Rc::new(Process::new(Map::new(), Compat::NONE, Box::new(AnyTarget)));
    let files = plugin_files();
    let case = |spec: &&'static Spec| {
        let (.., text) = files.iter().find(|(_, name, _)| *name == spec.name).unwrap();
        let example = text.lines().find_map(|line| line.strip_prefix("//! Example: `")?.strip_suffix('`'));
        let good = serde_json::from_str(example.unwrap()).unwrap();
        let schema = registry.schema(spec.name).unwrap().clone();
        Case { registry: Rc::clone(&registry), process: Rc::clone(&process), spec, schema, good }
    };
    usher_plugins::all().iter().map(case).collect()
}

impl Case {
    /// The sentence with which a body is refused; `None` where it is taken.
    fn refusal(&self, body: &Value, what: &str) -> Option<String> {
        let (refusal, took) = self.timed(body, what);
        assert!(took < LONGEST, "{} took {took:?} over {what}", self.spec.name);
        refusal
    }

    fn timed(&self, body: &Value, what: &str) -> (Option<String>, Duration) {
        let start = worked();
        let env = Env::new(&self.process, &self.registry, "/apisix/routes/1");
        let built = catch_unwind(AssertUnwindSafe(|| {
            self.registry.check(self.spec.name, body, &env).err().map(|error| error.message)
        }));
        let took = worked().saturating_sub(start);
        let refusal = built.unwrap_or_else(|_| panic!("{} panicked over {what}", self.spec.name));
        if let Some(sentence) = &refusal {
            let long = sentence.len();
            assert!(long < 4096, "{} says {long} bytes about {what}: {sentence:.200}", self.spec.name);
        }
        (refusal, took)
    }

    /// The good body with `value` in this member, then the member alone: where members exclude each other, one of both is about it.
    fn with(&self, name: &str, value: &Value) -> [Value; 2] {
        let mut whole = self.good.clone();
        whole.insert(name.to_owned(), value.clone());
        [Value::Object(whole), json!({ name: value })]
    }
}

fn members(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    schema["properties"].as_object().into_iter().flatten()
}

/// The types that a member may have; none where it may be anything.
fn kinds(member: &Value) -> Vec<String> {
    let branches = ["oneOf", "anyOf"].iter().filter_map(|name| member[*name].as_array()).flatten();
    let mut kinds = Vec::new();
    for schema in std::iter::once(member).chain(branches) {
        match &schema["type"] {
            Value::String(kind) => kinds.push(kind.clone()),
            Value::Array(several) => {
                kinds.extend(several.iter().filter_map(|kind| Some(kind.as_str()?.to_owned())))
            }
            _ => {}
        }
    }
    kinds
}

#[test]
fn a_member_of_the_wrong_type_is_refused_by_its_name() {
    let samples = [
        ("string", json!("x")),
        ("integer", json!(7)),
        ("number", json!(7.5)),
        ("boolean", json!(true)),
        ("array", json!([])),
        ("object", json!({})),
        ("null", Value::Null),
    ];
    let mut problems = Vec::new();
    for case in cases() {
        for (name, member) in members(&case.schema) {
            let kinds = kinds(member);
            if kinds.is_empty() {
                continue;
            }
            for (kind, value) in &samples {
                let fits = kinds.iter().any(|known| known == kind || known == "number" && *kind == "integer");
                if fits {
                    continue;
                }
                let what = format!("{name} as {value}");
                let said = case.with(name, value).map(|body| case.refusal(&body, &what));
                match said {
                    [None, _] | [_, None] => problems.push(format!("{} took {what}", case.spec.name)),
                    [Some(one), Some(other)] if !one.contains(name) && !other.contains(name) => {
                        problems.push(format!("{} does not name {what}: {one}", case.spec.name));
                    }
                    _ => {}
                }
            }
        }
    }
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

#[test]
fn a_member_that_is_needed_and_missing_is_named() {
    let mut problems = Vec::new();
    for case in cases() {
        for name in case.schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            let mut body = case.good.clone();
            body.remove(name);
            match case.refusal(&Value::Object(body), &format!("a body without {name}")) {
                Some(sentence) if sentence.contains(name) => {}
                other => problems.push(format!("{} without {name}: {other:?}", case.spec.name)),
            }
        }
    }
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

#[test]
fn members_that_nobody_knows_are_taken_or_refused_knowingly() {
    // What is for connections alone is refused here whatever it says.
    for case in cases().into_iter().filter(|case| case.spec.is_for_requests()) {
        let mut body = case.good.clone();
        body.insert("nobody_knows_this".to_owned(), json!({ "a": [1] }));
        let refusal = case.refusal(&Value::Object(body), "an unknown member");
        let strict = STRICT.contains(&case.spec.name);
        assert_eq!(refusal.is_some(), strict, "{}: {refusal:?}", case.spec.name);
        assert!(refusal.is_none_or(|sentence| sentence.contains("nobody_knows_this")), "{}", case.spec.name);
    }
}

/// Values that are far too large for what they stand in, each as one of these types.
fn huge() -> Vec<(&'static str, &'static str, Value)> {
    let long = "x".repeat(1 << 20);
    let mut deep = json!("x");
    for _ in 0..100 {
        deep = json!({ "a": [deep] });
    }
    let wide: Map<String, Value> = (0..2_000).map(|at| (format!("m{at}"), json!("x"))).collect();
    vec![
        ("number", "1e300", json!(1e300)),
        ("number", "-1e300", json!(-1e300)),
        ("integer", "2^63 - 1", json!(i64::MAX)),
        ("integer", "2^64 - 1", json!(u64::MAX)),
        ("integer", "-2^63", json!(i64::MIN)),
        ("string", "1 MiB of text", json!(long)),
        ("string", "a text of odd letters", json!("\u{0}\r\n\u{202e}\u{1f600}\"'$${{")),
        ("array", "5000 texts", json!((0..5_000).map(|at| format!("a{at}.test")).collect::<Vec<_>>())),
        ("array", "2000 objects", json!(vec![json!({}); 2_000])),
        ("object", "2000 members", json!(wide)),
        ("object", "100 levels", deep),
    ]
}

#[test]
fn huge_values_are_refused_shortly_or_taken_and_never_looked_at_for_long() {
    let huge = huge();
    let mut problems = Vec::new();
    for case in cases() {
        for (name, member) in members(&case.schema) {
            let kinds = kinds(member);
            for (kind, label, value) in &huge {
                let fits = kinds.is_empty()
                    || kinds.iter().any(|known| {
                        known == kind
                            || known == "number" && *kind == "integer"
                            || known == "integer" && *kind == "number"
                    });
                if !fits {
                    continue;
                }
                let what = format!("{name} with {label}");
                let [body, _] = case.with(name, value);
                let (_, took) = case.timed(&body, &what);
                if took > LONGEST {
                    problems.push(format!("{} took {took:?} over {what}", case.spec.name));
                }
            }
        }
    }
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}
