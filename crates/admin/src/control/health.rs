//! What is known of upstream nodes by checking them: nothing, as long as the gateway checks none by itself.

use axum::http::StatusCode;
use serde_json::{Value, json};
use usher_model::kind::{Key, Kind};

use super::{Answer, everybody};
use crate::service::Service;

/// The kinds that may have checkers, by their collections.
const SOURCES: [(&str, Kind); 4] = [
    ("routes", Kind::Route),
    ("services", Kind::Service),
    ("upstreams", Kind::Upstream),
    ("stream_routes", Kind::StreamRoute),
];

/// Every checker.
pub(super) fn all() -> Value {
    json!([])
}

/// The same for browsers.
pub(super) const fn page() -> &'static str {
    "<!DOCTYPE html>\n<html>\n<head><meta charset=\"utf-8\"><title>Health checks</title></head>\n<body>\n\
     <table border=\"1\">\n<tr><th>Name</th><th>Type</th><th>Node</th><th>Status</th></tr>\n</table>\n\
     <p>No upstream has health checks.</p>\n</body>\n</html>\n"
}

/// The checker of one resource.
///
/// # Errors
/// 400 for a kind that has no upstream, 404 where the resource or its checker is missing.
pub(super) async fn one(service: &Service, source: &str, id: &str) -> Result<Answer, Answer> {
    let found = SOURCES.into_iter().find(|(name, _)| *name == source);
    let Some((_, kind)) = found else { return Err(Answer::bad(format!("invalid src type {source}"))) };
    let stored = service.get(&everybody(), &Key::new(kind, id)).await?;
    Err(Answer::error(
        StatusCode::NOT_FOUND,
        match stored {
            Some(_) => format!("no checker for {source}[{id}]"),
            None => format!("{source}[{id}] not found"),
        },
    ))
}

/// 404 for a path that stops before the id.
pub(super) fn missing_id(source: &str) -> Answer {
    Answer::error(StatusCode::NOT_FOUND, format!("missing src id for src type {source}"))
}
