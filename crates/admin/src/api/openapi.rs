//! The OpenAPI 3.1 document, made of the table.

use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::BASE;
use super::endpoint::{Endpoint, Entrance, Shape};
use super::refusal::Failure;

/// What the document says of the API as a whole.
const ABOUT: &str = "Plans, history, undo, audit, tokens, users, explain and export. Every change is a plan first: it says what it would do, \
    who is affected and how much harm it can do, and is applied by its id, once, to the state that it was made for. Errors are \
    {\"error\": {\"code\", \"message\", \"field\", \"next\", \"help\"}}. A member that is not known is an error.";

/// The document as YAML.
pub(super) fn yaml(table: &[Endpoint]) -> String {
    match serde_saphyr::to_string(&document(table)) {
        Ok(text) => text,
        Err(error) => {
            tracing::error!(%error, "the OpenAPI document could not be written as YAML; it is given as JSON");
            json(table)
        }
    }
}

/// The document as JSON.
pub(super) fn json(table: &[Endpoint]) -> String {
    format!("{:#}\n", document(table))
}

fn document(table: &[Endpoint]) -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.definitions_path = "/components/schemas".into();
    settings.meta_schema = None;
    let mut shapes = settings.into_generator();
    let failure = shapes.subschema_for::<Failure>().to_value();
    let mut paths = Map::new();
    for endpoint in table {
        let operation = operation(endpoint, &mut shapes, &failure);
        let path = paths.entry(format!("{BASE}{}", endpoint.path)).or_insert_with(|| json!({}));
        if let Some(methods) = path.as_object_mut() {
            methods.insert(endpoint.method.as_str().to_ascii_lowercase(), operation);
        }
    }
    let mut schemas = shapes.take_definitions(true);
    schemas.sort_keys();
    json!({
        "openapi": "3.1.0",
        "info": { "title": "Usher's service API", "version": "1", "description": ABOUT, "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" } },
        "servers": [{ "url": "http://127.0.0.1:9180", "description": "the Admin port" }],
        "security": [{ "key": [] }, { "bearer": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "key": { "type": "apiKey", "in": "header", "name": "X-API-KEY", "description": "an admin key or a token" },
                "bearer": { "type": "http", "scheme": "bearer", "description": "an admin key or a token" },
            },
            "schemas": schemas,
        },
    })
}

fn operation(endpoint: &Endpoint, shapes: &mut SchemaGenerator, failure: &Value) -> Value {
    let mut operation = Map::new();
    operation.insert("operationId".to_owned(), endpoint.id.into());
    operation.insert("summary".to_owned(), endpoint.summary.into());
    let needed = match &endpoint.entrance {
        Entrance::Public { because, .. } => {
            operation.insert("security".to_owned(), json!([]));
            format!("Needs no key: {because}.")
        }
        Entrance::Open { because, .. } => {
            operation.insert("security".to_owned(), json!([]));
            format!("Needs no key: {because}.")
        }
        Entrance::Needs { right, .. } => format!("Needs a key or token: {}.", right.words()),
    };
    operation.insert("description".to_owned(), needed.into());
    let parameters = parameters(endpoint, shapes);
    if !parameters.is_empty() {
        operation.insert("parameters".to_owned(), parameters.into());
    }
    if let Some(shape) = endpoint.body {
        let schema = shape(shapes).to_value();
        // Nothing at all counts as `{}`, where that is of the shape.
        let required = has_needed_members(&schema, shapes);
        let content = json!({ "application/json": { "schema": schema } });
        operation.insert("requestBody".to_owned(), json!({ "required": required, "content": content }));
    }
    let (media, schema) = match endpoint.answer {
        Some(shape) => ("application/json", shape(shapes).to_value()),
        None => bare(endpoint),
    };
    let answer = json!({ "description": "done", "content": { media: { "schema": schema } } });
    let mut answers = Map::new();
    answers.insert(endpoint.status.as_str().to_owned(), answer);
    if !matches!(endpoint.entrance, Entrance::Public { .. }) {
        let refused = json!({ "description": "refused, with the reason and the next step", "content": { "application/json": { "schema": failure } } });
        answers.insert("default".to_owned(), refused);
    }
    operation.insert("responses".to_owned(), answers.into());
    operation.into()
}

/// Whether a body of this shape has to have a member.
fn has_needed_members(schema: &Value, shapes: &SchemaGenerator) -> bool {
    let name = schema.get("$ref").and_then(Value::as_str).and_then(|place| place.rsplit('/').next());
    let whole = name.and_then(|name| shapes.definitions().get(name)).unwrap_or(schema);
    ["required", "anyOf", "oneOf"]
        .iter()
        .any(|word| whole.get(word).and_then(Value::as_array).is_some_and(|list| !list.is_empty()))
}

/// The type and shape of an answer that is none of our shapes.
fn bare(endpoint: &Endpoint) -> (&'static str, Value) {
    match endpoint.id {
        "openapi_json" => ("application/json", json!({ "type": "object" })),
        // An empty document of APISIX's is a remark alone.
        "export" => ("application/yaml", json!({ "type": ["object", "null"] })),
        // An event is a name and data; programs differ in what they take for the value of a stream of them.
        "chat" => (
            "text/event-stream",
            json!({ "description": "events: conversation, said, plan, done, ended and others" }),
        ),
        "export_audit" | "backup" => ("application/x-ndjson", json!({ "type": "string" })),
        _ => ("application/yaml", json!({ "type": "object" })),
    }
}

fn parameters(endpoint: &Endpoint, shapes: &mut SchemaGenerator) -> Vec<Value> {
    let mut found: Vec<Value> = endpoint
        .path
        .split('/')
        .filter_map(|step| step.strip_prefix('{').and_then(|name| name.strip_suffix('}')))
        .map(|name| {
            json!({ "name": name, "in": "path", "required": true, "description": path_words(endpoint, name), "schema": { "type": "string" } })
        })
        .collect();
    if let Some(shape) = endpoint.query {
        found.extend(of_query(shape, shapes));
    }
    if endpoint.conditional {
        let words = "the ETag of what the request was made for: of the object, for a plan of one change; of the plan, to apply it";
        found.push(json!({ "name": "If-Match", "in": "header", "description": words, "schema": { "type": "string" } }));
    }
    found
}

fn path_words(endpoint: &Endpoint, name: &str) -> &'static str {
    match (name, endpoint.path.starts_with("/objects")) {
        ("plan", _) => "a plan's id",
        ("kind", _) => "such as routes, upstreams or plugin_configs",
        ("id", true) => {
            "its id, with %2F for a slash inside: jack%2Fc1 is the credential c1 of the consumer jack"
        }
        ("name", _) => "its name",
        _ => "its id",
    }
}

/// The members of a query's shape as parameters.
fn of_query(shape: Shape, shapes: &mut SchemaGenerator) -> Vec<Value> {
    let members =
        shape(shapes).to_value().get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
    members
        .into_iter()
        .map(|(name, mut schema)| {
            let words = schema.as_object_mut().and_then(|schema| schema.shift_remove("description"));
            without_null(&mut schema);
            json!({ "name": name, "in": "query", "required": false, "description": words, "schema": schema })
        })
        .collect()
}

/// A parameter that isn't given is left out, so none can be null.
fn without_null(schema: &mut Value) {
    let Some(members) = schema.as_object_mut() else { return };
    if members.get("default") == Some(&Value::Null) {
        members.shift_remove("default");
    }
    if let Some(Value::Array(types)) = members.get("type")
        && let Some(only) = types.iter().find(|name| *name != "null").cloned()
    {
        members.insert("type".to_owned(), only);
    }
}
