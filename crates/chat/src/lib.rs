//! The side that chats and agents connect to: one catalogue of tools, and the doors made from it.
//!
//! Every door acts through `usher_admin::service` and nothing else, so that what a chat may do is decided there and not here.
//!
//! What it is not: it has no way around `usher_admin::service`.

pub mod assistant;
pub mod catalogue;
pub mod client;
mod entrance;
mod guard;
mod mcp;
mod model;
mod oauth;
pub mod package;
mod plain;
mod plugin;
pub mod skills;
pub mod stdio;
pub mod talk;
mod tools;

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::response::IntoResponse as _;
use axum::routing::any;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use tower_http::limit::RequestBodyLimitLayer;
use usher_admin::service::Service;

pub use catalogue::Toolset;
pub use oauth::Oauth;
pub use tools::Limits;

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
    /// Whether nobody comes in without a token; the plugin's files are given to everybody all the same. Default false: whoever reaches the port.
    pub token_required: bool,
    /// What ChatGPT's plugin store gave to be shown in the manifest, by its name (`openai`).
    pub verification_tokens: Vec<(String, String)>,
    /// Gives tokens to programs that a user of the console lets in, by OAuth 2.1. Nobody comes in without a token then. Default `None`: off.
    pub oauth: Option<Oauth>,
    /// The provider that people log in to the console by: with `oauth` they let programs in by it too. Default `None`: by passwords alone.
    pub oidc: Option<Arc<usher_admin::oidc::Oidc>>,
    /// What one caller may do within a minute.
    pub limits: Limits,
    /// The sets of tools that are there beside those that always are. Default: none.
    pub toolsets: Vec<Toolset>,
    /// The web console and what it asks, which lets people in by itself. Default empty: it isn't here.
    pub console: Router,
}

/// Everything on the chat port: the plugin's files, the Admin API's paths, and MCP on `/mcp`, all behind one guard.
///
/// Bodies are at most 1 MiB, requests at the same time 128, sessions 100. Sessions end when the router is dropped.
pub fn router(parts: ChatParts) -> Router {
    assembled(parts, mcp::router)
}

/// The same with another door for MCP.
fn assembled(parts: ChatParts, mcp: impl FnOnce(Arc<tools::Tools>, CancellationToken) -> Router) -> Router {
    let stop = CancellationToken::new();
    let addresses = Arc::new(oauth::Addresses::new(&parts.public_url, &parts.allowed_hosts));
    let entrance = entrance::Entrance {
        service: Arc::clone(&parts.service),
        required: parts.token_required || parts.oauth.is_some(),
        oauth: parts.oauth.map(|_| Arc::clone(&addresses)),
    };
    let auth = match parts.oauth {
        Some(_) => plugin::oauth(&parts.public_url, &parts.verification_tokens),
        None => plugin::auth(parts.token_required, &parts.verification_tokens),
    };
    // Whoever comes for a token has none yet.
    let oauth = parts.oauth.map_or_else(Router::new, |rules| {
        oauth::router(Arc::clone(&parts.service), addresses, rules, parts.oidc)
    });
    let tools = Arc::new(tools::Tools::new(parts.service, parts.limits).with_sets(parts.toolsets));
    let guard = guard::Guard::new(&parts.allowed_hosts, &parts.public_url, stop.clone().drop_guard());
    let admin = parts.admin_paths;
    // The Admin API answers unknown paths below its own in its own words, so it isn't merged but called.
    let admin = any(async move |request: Request| match guard::gathered(request).await {
        Ok(request) => admin.clone().oneshot(request).await.into_response(),
        Err(refused) => refused,
    });
    plugin::router(&parts.public_url, &auth)
        .route("/apisix/admin/{*rest}", admin)
        .merge(mcp(tools, stop))
        .fallback(|| async { (StatusCode::NOT_FOUND, "nothing is here; / says what this port has\n") })
        .layer(from_fn_with_state(Arc::new(entrance), entrance::admit))
        .merge(oauth)
        .layer(RequestBodyLimitLayer::new(mcp::MOST_BODY))
        .merge(parts.console)
        .layer(from_fn_with_state(Arc::new(guard), guard::admit))
}
