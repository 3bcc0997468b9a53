//! What the policy agent is told of a request.

use serde_json::{Map, Value, json};
use usher_model::variables::Variables as _;
use usher_pipeline::exchange::Exchange;

/// How many query arguments are told.
const MAX_ARGUMENTS: usize = 256;

/// What is told beside the request.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct With {
    pub(super) route: bool,
    pub(super) service: bool,
    pub(super) consumer: bool,
}

/// The document `{"input": ...}`.
pub(super) fn of(exchange: &Exchange, with: With) -> Value {
    let request = &exchange.request;
    let client = exchange.client.ip().to_canonical().to_string();
    let mut input = json!({
        "type": "http",
        "request": {
            "scheme": request.scheme(),
            "method": request.method(),
            "host": request.host(),
            "port": exchange.server.port(),
            "path": request.path(),
            "headers": headers(exchange),
            "query": query(exchange),
        },
        "var": {
            "server_port": exchange.server.port().to_string(),
            "remote_addr": client,
            "remote_port": exchange.client.port().to_string(),
            "timestamp": exchange.worker().unix_ms() / 1000,
        },
    });
    let Some(members) = input.as_object_mut() else { return Value::Null };
    if let Some(address) = exchange.variable("server_addr")
        && let Some(variables) = members.get_mut("var").and_then(Value::as_object_mut)
    {
        variables.insert("server_addr".to_owned(), text(&address).into());
    }
    let route = exchange.route.as_deref();
    if with.route
        && let Some(route) = route
    {
        let told = json!({
            "id": &*route.id, "name": &*route.name, "uri": &*route.uri, "host": &*route.host,
            "service_id": &*route.service_id,
        });
        members.insert("route".to_owned(), without_empty(told));
    }
    if with.service
        && let Some(route) = route.filter(|route| !route.service_id.is_empty())
    {
        let told = json!({ "id": &*route.service_id, "name": &*route.service_name });
        members.insert("service".to_owned(), without_empty(told));
    }
    if with.consumer
        && let Some(consumer) = exchange.consumer()
    {
        let told = json!({
            "username": &*consumer.name, "consumer_name": &*consumer.name,
            "group_id": consumer.group_id.as_deref().unwrap_or_default(), "labels": consumer.labels,
        });
        members.insert("consumer".to_owned(), without_empty(told));
    }
    json!({ "input": input })
}

fn without_empty(value: Value) -> Value {
    match value {
        Value::Object(members) => members.into_iter().filter(|(_, value)| *value != json!("")).collect(),
        other => other,
    }
}

/// Fields by their names in lower case; one that comes several times is a list.
fn headers(exchange: &Exchange) -> Map<String, Value> {
    let mut all = Map::new();
    for (name, value) in exchange.request.head.iter() {
        add(&mut all, name.to_ascii_lowercase(), text(value).into());
    }
    all
}

/// Arguments by name, decoded; one without a value is `true`, as in APISIX.
fn query(exchange: &Exchange) -> Map<String, Value> {
    let mut all = Map::new();
    let pairs = exchange.request.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
    for pair in pairs.take(MAX_ARGUMENTS) {
        match pair.split_once('=') {
            Some((name, value)) => {
                add(&mut all, crate::form::decode(name), crate::form::decode(value).into())
            }
            None => add(&mut all, crate::form::decode(pair), true.into()),
        }
    }
    all
}

fn add(all: &mut Map<String, Value>, name: String, value: Value) {
    match all.get_mut(&name) {
        None => drop(all.insert(name, value)),
        Some(Value::Array(list)) => list.push(value),
        Some(one) => *one = Value::Array(vec![one.take(), value]),
    }
}

fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value).into_owned()
}
