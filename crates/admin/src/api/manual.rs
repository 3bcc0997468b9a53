//! `plugins` and `schemas`: what there is to be configured, as forms and agents need it.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use usher_model::schema;
use usher_pipeline::spec::Spec;

use super::answer::Answer;
use super::endpoint::{Call, Nothing};
use super::names;
use super::refusal::Refusal;

/// All plugins, highest priority first.
#[derive(Serialize, JsonSchema)]
pub(super) struct Plugins {
    /// The plugins.
    plugins: Vec<Line>,
}

/// A plugin in a list.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "PluginLine")]
struct Line {
    /// Its name.
    name: &'static str,
    /// What it does, in a sentence.
    summary: String,
    /// Plugins of a higher one run first.
    priority: i32,
    /// Where on a request's way it takes part.
    phases: Vec<&'static str>,
    /// Whether it finds out which consumer calls.
    auth: bool,
    /// Whether it takes part on requests.
    requests: bool,
    /// Whether it takes part on stream routes.
    stream: bool,
    /// Whether consumers have credentials for it.
    credential: bool,
    /// Whether it has settings for the whole gateway.
    metadata: bool,
}

/// One plugin, whole.
#[derive(Serialize, JsonSchema)]
pub(super) struct Plugin {
    /// The same as in the list.
    #[serde(flatten)]
    line: Line,
    /// Everything that is said of it.
    description: String,
    /// Its page in the manual, in Markdown.
    #[serde(skip_serializing_if = "Option::is_none")]
    page: Option<&'static str>,
    /// The JSON schema of its settings on routes and services.
    schema: Value,
    /// The JSON schema of a consumer's credential.
    #[serde(skip_serializing_if = "Option::is_none")]
    credential_schema: Option<Value>,
    /// The JSON schema of its metadata.
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata_schema: Option<Value>,
}

/// The JSON schema of a kind.
#[derive(Serialize, JsonSchema)]
pub(super) struct SchemaOf {
    /// The kind.
    kind: &'static str,
    /// The schema.
    schema: Value,
}

/// `GET /plugins`.
pub(super) async fn plugins(call: Call, _: Nothing, _: Nothing) -> Result<Answer<Plugins>, Refusal> {
    let plugins = call.service.registry().list().iter().map(|spec| line(&call, spec)).collect();
    Ok(Answer::ok(Plugins { plugins }))
}

/// `GET /plugins/{name}`.
pub(super) async fn plugin(call: Call, _: Nothing, _: Nothing) -> Result<Answer<Plugin>, Refusal> {
    let registry = call.service.registry();
    let name = call.parameter("name");
    let spec = registry.find(name).ok_or_else(|| {
        let refusal = Refusal::not_found(format!("there is no plugin {name:?}"));
        match registry.nearest(name) {
            Some(meant) => refusal.next(format!("did you mean {meant}?")),
            None => refusal.next("GET /usher/v1/plugins lists those that there are"),
        }
    })?;
    Ok(Answer::ok(Plugin {
        line: line(&call, spec),
        description: description(&call, spec).to_owned(),
        page: (call.pages)(spec.name),
        schema: registry.public_schema(spec.name).unwrap_or_default(),
        credential_schema: registry.credential_schema(spec.name).cloned(),
        metadata_schema: registry.metadata_schema(spec.name),
    }))
}

/// `GET /schemas/{kind}`.
pub(super) async fn of_kind(call: Call, _: Nothing, _: Nothing) -> Result<Answer<SchemaOf>, Refusal> {
    let kind = names::kind(call.parameter("kind"))?;
    Ok(Answer::ok(SchemaOf { kind: kind.schema_name(), schema: schema::schema(kind).clone() }))
}

fn line(call: &Call, spec: &'static Spec) -> Line {
    let text = description(call, spec);
    let summary = text.split_once(". ").map_or(text, |(first, _)| first).trim_end_matches('.').to_owned();
    Line {
        name: spec.name,
        summary,
        priority: spec.priority,
        phases: spec.phases.names(),
        auth: spec.is_auth(),
        requests: call.service.registry().for_requests(spec.name).is_some_and(Spec::is_for_requests),
        stream: call.service.registry().on_connections(spec.name).is_some(),
        credential: call.service.registry().credential_schema(spec.name).is_some(),
        metadata: call.service.registry().has_metadata(spec.name),
    }
}

fn description<'a>(call: &'a Call, spec: &Spec) -> &'a str {
    let schema = call.service.registry().schema(spec.name);
    schema.and_then(|schema| schema.get("description")).and_then(Value::as_str).unwrap_or_default()
}
