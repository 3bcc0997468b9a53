//! A request as a span of OTLP, in its JSON form.

use std::time::Duration;

use serde_json::{Map, Value, json};
use usher_model::variables::Variables as _;
use usher_pipeline::exchange::Exchange;
use usher_pipeline::machine;

use super::context::Context;

/// The longest value of an attribute, in bytes.
const LONGEST: usize = 2048;
/// The most attributes that request fields become.
const MOST_FIELDS: usize = 64;

/// What spans say beside the usual.
pub(super) struct Attributes {
    variables: Vec<String>,
    fields: Vec<String>,
    prefixes: Vec<String>,
}

/// What stands in front of the spans of a batch: whose they are.
pub(super) fn start(resource: &Map<String, Value>) -> String {
    let mut attributes = vec![text("hostname", machine::name())];
    if !resource.contains_key("service.name") {
        attributes.push(text("service.name", "APISIX"));
    }
    for (name, value) in resource {
        let value = match value {
            Value::String(value) => json!({ "stringValue": value }),
            Value::Number(value) => json!({ "doubleValue": value }),
            Value::Bool(value) => json!({ "boolValue": value }),
            _ => continue,
        };
        attributes.push(json!({ "key": name, "value": value }));
    }
    format!(
        "{{\"resourceSpans\":[{{\"resource\":{},\"scopeSpans\":[{{\"scope\":{{\"name\":\"usher\"}},\"spans\":[",
        json!({ "attributes": attributes })
    )
}

impl Attributes {
    pub(super) fn new(variables: Vec<String>, fields: Vec<String>) -> Self {
        let (prefixes, fields): (Vec<_>, Vec<_>) =
            fields.into_iter().map(|name| name.to_ascii_lowercase()).partition(|name| name.ends_with('*'));
        let prefixes = prefixes.into_iter().map(|name| name.trim_end_matches('*').to_owned()).collect();
        Self { variables, fields, prefixes }
    }

    /// The span of a finished request.
    pub(super) fn span(&self, exchange: &Exchange, context: &Context) -> Value {
        let request = &exchange.request;
        let target = match request.original_query() {
            Some(query) => format!("{}?{query}", request.original_path()),
            None => request.original_path().to_owned(),
        };
        let mut all = vec![
            text("net.host.name", request.host()),
            text("http.method", request.method()),
            text("http.scheme", request.scheme()),
            text("http.target", &target),
        ];
        if let Some(agent) = request.head.get_str("user-agent") {
            all.push(text("http.user_agent", agent));
        }
        let mut name = request.method().to_owned();
        if let Some(route) = &exchange.route {
            name = format!("{name} {}", route.uri);
            all.push(text("apisix.route_id", &route.id));
            all.push(text("apisix.route_name", &route.name));
            all.push(text("http.route", &route.uri));
            if !route.service_id.is_empty() {
                all.push(text("apisix.service_id", &route.service_id));
                all.push(text("apisix.service_name", &route.service_name));
            }
        }
        for variable in &self.variables {
            if let Some(value) = exchange.variable(variable) {
                all.push(text(variable, &String::from_utf8_lossy(&value)));
            }
        }
        for (name, value) in request.head.iter() {
            let name = name.to_ascii_lowercase();
            let wanted =
                self.fields.contains(&name) || self.prefixes.iter().any(|start| name.starts_with(start));
            if wanted && all.len() < MOST_FIELDS {
                all.push(text(&name, &String::from_utf8_lossy(value)));
            }
        }
        let upstream = exchange.upstream.statuses.last().copied();
        let status = upstream.unwrap_or_else(|| exchange.answer.status());
        all.push(json!({ "key": "http.status_code", "value": { "intValue": status.to_string() } }));
        let (from, to) = nanoseconds(exchange);
        let mut span = json!({
            "traceId": context.trace_text(),
            "spanId": context.span_text(),
            "parentSpanId": context.parent_text(),
            "name": name,
            // Server.
            "kind": 2,
            "startTimeUnixNano": from.to_string(),
            "endTimeUnixNano": to.to_string(),
            "attributes": all,
        });
        if let (Some(status @ 500..), Some(members)) = (upstream, span.as_object_mut()) {
            let told = json!({ "code": 2, "message": format!("upstream response status: {status}") });
            members.insert("status".to_owned(), told);
        }
        span
    }
}

/// When the request began and ended, in nanoseconds since 1970.
fn nanoseconds(exchange: &Exchange) -> (u128, u128) {
    let took: Duration = exchange.worker().now().saturating_duration_since(exchange.times.start);
    let end = u128::from(exchange.worker().unix_ms()) * 1_000_000;
    (end.saturating_sub(took.as_nanos()), end)
}

fn text(name: &str, value: &str) -> Value {
    let cut = String::from_utf8_lossy(value.as_bytes().get(..LONGEST).unwrap_or(value.as_bytes()));
    json!({ "key": name, "value": { "stringValue": cut } })
}
