//! The side that chats and agents connect to: one catalogue of tools, and the doors made from it.
//!
//! Every door acts through `usher_admin::service` and nothing else, so that what a chat may do is decided there and not here.

pub mod assistant;
pub mod catalogue;
pub mod client;
mod guard;
mod mcp;
mod model;
mod plain;
mod plugin;
pub mod stdio;
mod tools;

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::IntoResponse as _;
use axum::routing::any;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use tower_http::limit::RequestBodyLimitLayer;
use usher_admin::service::Service;

/// What the chat side is made of.
pub struct ChatParts {
    /// What every door acts through.
    pub service: Arc<Service>,
    /// Where clients reach this listener, such as `http://localhost:5000`; it stands in the plugin's files.
    pub public_url: String,
    /// The Admin API's paths for the keyless caller on loopback.
    pub admin_paths: Router,
    /// The names under which this listener may be asked, each `host:port`; another `Host` is refused. The name in `public_url` is one too.
    pub allowed_hosts: Vec<String>,
}

/// Everything on the chat port: the plugin's files, the Admin API's paths, and MCP on `/mcp`, all behind one guard.
///
/// Bodies are at most 1 MiB, requests at the same time 128, sessions 100. Sessions end when the router is dropped.
pub fn router(parts: ChatParts) -> Router {
    let stop = CancellationToken::new();
    let tools = Arc::new(tools::Tools::new(parts.service));
    let guard = guard::Guard::new(&parts.allowed_hosts, &parts.public_url, stop.clone().drop_guard());
    let admin = parts.admin_paths;
    // The Admin API answers unknown paths below its own in its own words, so it isn't merged but called.
    let admin = any(async move |request: Request| match guard::gathered(request).await {
        Ok(request) => admin.clone().oneshot(request).await.into_response(),
        Err(refused) => refused,
    });
    plugin::router(&parts.public_url)
        .route("/apisix/admin/{*rest}", admin)
        .merge(Router::new().route_service("/mcp", mcp::service(tools, stop)).layer(from_fn(mcp::admit)))
        .fallback(|| async { (StatusCode::NOT_FOUND, "nothing is here; / says what this port has\n") })
        .layer(RequestBodyLimitLayer::new(mcp::MOST_BODY))
        .layer(from_fn_with_state(Arc::new(guard), guard::admit))
}
