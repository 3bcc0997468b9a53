//! `/schema`: the schemas of resources, and the check of a value by schema alone.

use axum::http::StatusCode;
use serde_json::{Map, Value, json};
use usher_model::kind::Kind;
use usher_model::schema;
use usher_pipeline::registry::Registry;

use super::Outcome;
use super::answer::Answer;

/// `GET /schema/{name}`; the name is singular. `plugins` is the member of that name, with the schema of every plugin.
pub(super) fn one(registry: &Registry, name: &str) -> Answer {
    if name == "plugins" {
        let schemas: Map<String, Value> = registry
            .list()
            .iter()
            .filter_map(|spec| Some((spec.name.to_owned(), registry.public_schema(spec.name)?)))
            .collect();
        let schema = json!({ "type": "object", "properties": schemas, "additionalProperties": false });
        return Answer::json(StatusCode::OK, &schema);
    }
    match Kind::ALL.into_iter().find(|kind| kind.schema_name() == name) {
        Some(kind) => Answer::json(StatusCode::OK, schema::schema(kind)),
        None => Answer::bad(format!("not found schema: {name}")),
    }
}

/// `POST /schema/validate/{collection}`; the collection is plural. Plugins and references aren't looked at.
pub(super) fn validate(collection: &str, given: Option<Value>) -> Outcome {
    let plural = |kind: &Kind| match kind {
        Kind::Credential => collection == "credentials",
        Kind::CostDecoration => collection == "graphql_cost_decorations",
        other => collection == other.collection(),
    };
    let kind = Kind::ALL.into_iter().find(plural).ok_or_else(|| Answer::unsupported(collection))?;
    // What Lua has where JSON has nothing at all.
    let given = given.ok_or_else(|| Answer::bad("wrong type: expected object, got nil"))?;
    match schema::check_schema(kind, &given) {
        Ok(()) => Ok(Answer::empty(StatusCode::OK)),
        Err(violation) => Err(Answer::bad(violation.to_string())),
    }
}
