//! The Control API: what the gateway serves by, for people and scripts on the same machine (Admin API contract, section 10).
//!
//! It asks for no key, so it changes nothing, and secrets are masked. Defaults are filled in and nodes are lists, as the gateway sees them.

mod defaults;
mod health;
mod resources;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware;
use axum::response::{Html, IntoResponse as _, Response};
use serde_json::{Map, Value, json};
use tower_http::catch_panic::CatchPanicLayer;
use usher_model::change::{Door, Principal, Role};
use usher_model::kind::Kind;
use usher_model::live::UpstreamHealth;
use usher_model::schema;

use crate::http::answer::{Answer, panicked};
use crate::http::front::{Front, guard};
use crate::http::plugins;
use crate::service::Service;

/// The Control API for a port of its own. `own_hosts` are the `host:port` under which it may be asked; empty admits every name, for listeners
/// wider than loopback. `server` is the value of the header `Server`, empty for none.
pub fn router(service: Arc<Service>, own_hosts: Vec<String>, server: &str) -> Router {
    let front = Arc::new(Front::keyless("Control API", own_hosts, server));
    Router::new()
        .fallback(serve)
        .with_state(service)
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn_with_state(front, guard))
}

/// Everybody who reaches the port, who sees masks where secrets are.
fn everybody() -> Principal {
    Principal::new("control", Role::Viewer, Door::Usher)
}

async fn serve(State(service): State<Arc<Service>>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let names: Vec<&str> = path.split('/').filter(|name| !name.is_empty()).collect();
    let Some((&"v1", names)) = names.split_first() else { return nothing().into_response() };
    let method = match *request.method() {
        Method::HEAD => Method::GET,
        ref other => other.clone(),
    };
    if method == Method::GET && wants_page(request.headers()) {
        let checks = match names {
            ["healthcheck"] => Some(health::all(&service).await),
            ["healthcheck", kind, id] => Some(health::one(&service, kind, id).await.map(|one| vec![one])),
            _ => None,
        };
        match checks {
            Some(Ok(checks)) => return Html(health::page(&checks)).into_response(),
            Some(Err(answer)) => return answer.into_response(),
            None => {}
        }
    }
    let (Ok(answer) | Err(answer)) = answer(&service, &method, names).await;
    answer.into_response()
}

async fn answer(service: &Service, method: &Method, names: &[&str]) -> Result<Answer, Answer> {
    let get = *method == Method::GET;
    match names {
        ["schema"] if get => Ok(ok(&schemas(service))),
        ["healthcheck"] if get => Ok(ok(&shown_all(&health::all(service).await?))),
        ["healthcheck", kind] if get => Err(health::missing_id(kind)),
        ["healthcheck", kind, id] if get => Ok(ok(&health::shown(&health::one(service, kind, id).await?))),
        // There is no garbage collector to be started; whoever asks for one gets what APISIX says.
        ["gc"] if *method == Method::POST => Ok(Answer::empty(StatusCode::OK)),
        ["plugins", "reload"] if *method == Method::PUT => {
            plugins::reloaded(service).await?;
            Ok(Answer::text(StatusCode::OK, "done"))
        }
        ["plugin_metadatas"] if get => resources::metadata(service).await,
        ["plugin_metadata", name] if get => resources::metadata_of(service, name).await,
        ["discovery", kind] | ["discovery", kind, "dump"] if get => health::discovered(service, kind),
        [name] if get => match resources::collection(name) {
            Some(kind) => resources::all(service, kind).await,
            None => Err(nothing()),
        },
        [name, id] if get => match resources::singular(name) {
            Some(kind) => resources::one(service, kind, id).await,
            None => Err(nothing()),
        },
        _ => Err(nothing()),
    }
}

/// Schemas of resources by their singular names, and what is known of plugins.
fn schemas(service: &Service) -> Value {
    let main: Map<String, Value> = Kind::ALL
        .into_iter()
        .map(|kind| (kind.schema_name().to_owned(), schema::schema(kind).clone()))
        .collect();
    let registry = service.registry();
    json!({ "main": main, "plugins": plugins::all(registry), "stream_plugins": plugins::all_on_connections(registry) })
}

fn shown_all(checks: &[UpstreamHealth]) -> Value {
    checks.iter().map(health::shown).collect()
}

fn ok(value: &Value) -> Answer {
    Answer::json(StatusCode::OK, value)
}

fn nothing() -> Answer {
    Answer::error(StatusCode::NOT_FOUND, "not found")
}

fn wants_page(headers: &HeaderMap) -> bool {
    let accepts = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepts.into_iter().any(|accepts| accepts.contains("text/html"))
}
