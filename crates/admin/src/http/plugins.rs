//! `/plugins`: which plugins there are, and their schemas.

use std::time::Duration;

use axum::http::StatusCode;
use serde_json::{Map, Value, json};
use usher_pipeline::registry::Registry;
use usher_pipeline::spec::Spec;

use super::Outcome;
use super::answer::Answer;
use super::args::Args;
use super::place::Verb;
use super::refusal::RETRY_AFTER_SECS;
use crate::service::Service;

/// Plugins have no version of their own here; APISIX's are nearly all at this one, and dashboards want a number.
const PLUGIN_VERSION: f64 = 0.1;

/// How long a reload may take.
const RELOADED_WITHIN: Duration = Duration::from_secs(5);

/// `GET /plugins/list`: names, highest priority first.
pub(super) fn list(registry: &Registry, args: &Args) -> Outcome {
    let names: Vec<&str> = match args.first("subsystem") {
        None | Some("http") => for_requests(registry).map(|spec| spec.name).collect(),
        Some("stream") => on_connections(registry).map(|spec| spec.name).collect(),
        Some(_) => return Err(Answer::text(StatusCode::BAD_REQUEST, "invalid subsystem passed")),
    };
    Ok(Answer::json(StatusCode::OK, &names))
}

/// `/plugins/reload`: plugins are part of the program, and their metadata comes with the configuration; so what is there to be read again is the
/// store, and `done` means that every worker serves by all of it.
pub(super) async fn reload(service: &Service, verb: Verb) -> Outcome {
    if verb != Verb::Put {
        let method = verb.name();
        return Err(Answer::error(
            StatusCode::METHOD_NOT_ALLOWED,
            format!("please use PUT method to reload the plugins, {method} method is not allowed."),
        ));
    }
    reloaded(service).await?;
    Ok(Answer::text(StatusCode::OK, "done"))
}

/// Waits until all workers serve by the newest revision.
///
/// # Errors
/// 503 where they don't.
pub(crate) async fn reloaded(service: &Service) -> Result<(), Answer> {
    let in_force = service.live().wait_in_force(service.revision(), RELOADED_WITHIN).await;
    in_force.map_err(|error| {
        Answer::error(StatusCode::SERVICE_UNAVAILABLE, error.to_string()).retry_after(RETRY_AFTER_SECS)
    })
}

/// `GET /plugins/{name}`: one schema; with `all=true` what is known of all plugins.
pub(super) fn one(registry: &Registry, name: Option<&str>, args: &Args) -> Outcome {
    let subsystem = args.first("subsystem").unwrap_or("http");
    let http = match subsystem {
        "http" => true,
        "stream" => false,
        other => return Err(Answer::bad(format!("unsupported subsystem: {other}"))),
    };
    if args.first("all") == Some("true") {
        let all = if http { all(registry) } else { all_on_connections(registry) };
        return Ok(Answer::json(StatusCode::OK, &all));
    }
    let is_there = |name: &&str| {
        if http { is_for_requests(registry, name) } else { registry.on_connections(name).is_some() }
    };
    let name = name.filter(is_there).ok_or_else(|| {
        Answer::error(StatusCode::NOT_FOUND, format!("plugin not found in subsystem {subsystem}"))
    })?;
    let schema = match args.first("schema_type") {
        Some("consumer") => registry.credential_schema(name).cloned(),
        Some("metadata") => registry.metadata_schema(name),
        _ => registry.public_schema(name),
    };
    let schema = schema.ok_or_else(|| Answer::bad("not found schema"))?;
    Ok(Answer::json(StatusCode::OK, &schema))
}

/// The plugins that take part on stream routes.
fn on_connections(registry: &Registry) -> impl Iterator<Item = &'static Spec> {
    registry.list().iter().copied().filter(|spec| registry.on_connections(spec.name).is_some())
}

/// The plugins that take part on requests.
fn for_requests(registry: &Registry) -> impl Iterator<Item = &'static Spec> {
    registry.list().iter().copied().filter(|spec| is_for_requests(registry, spec.name))
}

fn is_for_requests(registry: &Registry, name: &str) -> bool {
    registry.for_requests(name).is_some_and(Spec::is_for_requests)
}

/// What is known of every plugin for requests, by name.
pub(crate) fn all(registry: &Registry) -> Map<String, Value> {
    facts_of(registry, for_requests(registry))
}

/// The same of those for connections.
pub(crate) fn all_on_connections(registry: &Registry) -> Map<String, Value> {
    facts_of(registry, on_connections(registry))
}

fn facts_of(registry: &Registry, specs: impl Iterator<Item = &'static Spec>) -> Map<String, Value> {
    let facts = |spec: &Spec| {
        let name = spec.name;
        let mut facts = Map::new();
        facts.insert("priority".to_owned(), spec.priority.into());
        facts.insert("version".to_owned(), PLUGIN_VERSION.into());
        facts.insert("schema".to_owned(), registry.public_schema(name).unwrap_or_else(|| json!({})));
        let schemas = [
            ("metadata_schema", registry.metadata_schema(name)),
            ("consumer_schema", registry.credential_schema(name).cloned()),
            ("type", spec.is_auth().then(|| "auth".into())),
            ("scope", spec.serves_all.then(|| "global".into())),
        ];
        for (member, value) in schemas {
            if let Some(value) = value {
                facts.insert(member.to_owned(), value);
            }
        }
        Value::Object(facts)
    };
    specs.map(|spec| (spec.name.to_owned(), facts(spec))).collect()
}
