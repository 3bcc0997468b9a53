//! What is known of upstream nodes by checking them, and what registries of services have told: asked of the running proxy.

use std::collections::HashSet;

use axum::http::StatusCode;
use serde_json::{Value, json};
use usher_model::kind::{Key, Kind};
use usher_model::live::UpstreamHealth;

use super::{Answer, everybody};
use crate::service::Service;

/// The kinds that may have checkers, by their collections.
const SOURCES: [(&str, Kind); 4] = [
    ("routes", Kind::Route),
    ("services", Kind::Service),
    ("upstreams", Kind::Upstream),
    ("stream_routes", Kind::StreamRoute),
];

/// Every checker: those that are at work, and those of objects that no request has come to yet.
pub(super) async fn all(service: &Service) -> Result<Vec<UpstreamHealth>, Answer> {
    let mut all = service.live().health();
    let known: HashSet<String> = all.iter().map(|one| one.name.clone()).collect();
    for (_, kind) in SOURCES {
        for stored in service.list(&everybody(), kind).await? {
            let name = stored.key.path();
            if let Some(checked) = kind_of_checks(&stored.value)
                && !known.contains(&name)
            {
                all.push(idle(name, checked));
            }
        }
    }
    Ok(all)
}

/// How the nodes of an object are checked; `None` where they aren't.
fn kind_of_checks(value: &Value) -> Option<&str> {
    let checks = value.get("checks").or_else(|| value.pointer("/upstream/checks"))?;
    let written =
        ["/active/type", "/passive/type"].into_iter().find_map(|place| checks.pointer(place)?.as_str());
    Some(written.unwrap_or("http"))
}

/// A checker that has nothing to tell of.
fn idle(name: String, kind: &str) -> UpstreamHealth {
    UpstreamHealth { name, kind: kind.to_owned(), nodes: Vec::new(), changes: Vec::new() }
}

/// APISIX's form: a list without nodes is an object there.
pub(super) fn shown(health: &UpstreamHealth) -> Value {
    let nodes = if health.nodes.is_empty() { json!({}) } else { json!(health.nodes) };
    json!({ "name": health.name, "type": health.kind, "nodes": nodes })
}

/// The same for browsers.
pub(super) fn page(all: &[UpstreamHealth]) -> String {
    let mut rows = String::new();
    for upstream in all {
        for node in &upstream.nodes {
            let counter = node.counter;
            rows.push_str(&format!(
                "<tr><td>{}</td><td>{}</td><td>{}:{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n",
                escaped(&upstream.name),
                escaped(&upstream.kind),
                escaped(&node.ip),
                node.port,
                escaped(&node.status),
                counter.success,
                counter.http_failure,
                counter.tcp_failure,
                counter.timeout_failure,
            ));
        }
    }
    let none = if all.is_empty() { "<p>No upstream has health checks.</p>\n" } else { "" };
    format!(
        "<!DOCTYPE html>\n<html>\n<head><meta charset=\"utf-8\"><title>APISIX upstream check status</title></head>\n<body>\n\
         <table border=\"1\">\n<tr><th>Name</th><th>Type</th><th>Node</th><th>Status</th><th>Success</th><th>HTTP failures</th>\
         <th>TCP failures</th><th>Timeouts</th></tr>\n{rows}</table>\n{none}</body>\n</html>\n"
    )
}

/// Names are written by people; a page must not carry their markup.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// The checker of one resource.
///
/// # Errors
/// 400 for a kind that has no upstream, 404 where the resource or its checker is missing.
pub(super) async fn one(service: &Service, source: &str, id: &str) -> Result<UpstreamHealth, Answer> {
    let found = SOURCES.into_iter().find(|(name, _)| *name == source);
    let Some((_, kind)) = found else { return Err(Answer::bad(format!("invalid src type {source}"))) };
    let key = Key::new(kind, id);
    let stored = service.get(&everybody(), &key).await?;
    let missing = |sentence: String| Err(Answer::error(StatusCode::NOT_FOUND, sentence));
    let Some(stored) = stored else { return missing(format!("{source}[{id}] not found")) };
    let name = key.path();
    let known = service.live().health().into_iter().find(|health| health.name == name);
    match known.or_else(|| kind_of_checks(&stored.value).map(|kind| idle(name, kind))) {
        Some(health) => Ok(health),
        None => missing(format!("no checker for {source}[{id}]")),
    }
}

/// 404 for a path that stops before the id.
pub(super) fn missing_id(source: &str) -> Answer {
    Answer::error(StatusCode::NOT_FOUND, format!("missing src id for src type {source}"))
}

/// What a registry has told.
///
/// # Errors
/// It isn't set up.
pub(super) fn discovered(service: &Service, kind: &str) -> Result<Answer, Answer> {
    match service.live().discovered(kind) {
        Some(told) => Ok(Answer::json(StatusCode::OK, &told)),
        None => Err(Answer::error(
            StatusCode::NOT_FOUND,
            format!("discovery {kind} is not configured, so there is nothing to show of it"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use usher_model::live::{HealthCounters, NodeHealth, UpstreamHealth};

    use super::page;

    #[test]
    fn no_name_becomes_markup_on_the_page_of_checks() {
        let hostile = "\"><script>alert(1)</script>&".to_owned();
        let node = NodeHealth {
            ip: hostile.clone(),
            port: 80,
            hostname: hostile.clone(),
            status: hostile.clone(),
            counter: HealthCounters::default(),
        };
        let upstream =
            UpstreamHealth { name: hostile.clone(), kind: hostile, nodes: vec![node], changes: Vec::new() };
        let page = page(&[upstream]);
        assert!(!page.contains("<script") && !page.contains("\">&"), "{page}");
        assert_eq!(page.matches("&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt;&amp;").count(), 4, "{page}");
    }
}
