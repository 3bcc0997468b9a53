//! The tasks: what is said, what has to be there, the way a good model goes, and what has to be true afterwards.

mod change;
mod look;

use serde_json::{Value, json};

use super::model::Step;
use super::world::World;

/// One thing that an operator says.
pub(super) struct Task {
    pub(super) id: &'static str,
    pub(super) said: &'static str,
    /// Tool calls at most.
    pub(super) limit: usize,
    /// What has to be there or to have happened.
    pub(super) seed: fn(&World),
    pub(super) path: fn(&World) -> Vec<Step>,
    /// Whether it is done; the answers are those to the good model's own calls, oldest first.
    pub(super) check: fn(&World, &[String]) -> Result<(), String>,
}

/// All of them, in the order in which one world takes them.
pub(super) fn all() -> Vec<Task> {
    let mut all = look::tasks();
    all.extend(change::tasks());
    all
}

fn nothing(_: &World) {}

/// A change that `gateway_plan` takes.
fn change(op: &str, kind: &str, id: &str, body: &Value) -> Value {
    let body = if body.is_null() { Value::Null } else { body.to_string().into() };
    json!({ "op": op, "kind": kind, "id": id, "body_json": body })
}

fn plan(changes: &[Value]) -> Step {
    super::model::call("gateway_plan", json!({ "changes": changes, "intent": "a task" }))
}

fn probe(path: &str) -> Step {
    super::model::call(
        "gateway_probe",
        json!({ "method": "GET", "path": path, "host": null, "headers": null, "body": null }),
    )
}
