//! What clients read first: what this side is as a resource (RFC 9728) and as an authorization server (RFC 8414).

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use super::address::MCP;
use super::{SCOPES, Server};

fn scopes() -> Vec<&'static str> {
    SCOPES.iter().map(|(name, _)| *name).collect()
}

fn answered(document: Value) -> Response {
    ([(CACHE_CONTROL, "max-age=300")], axum::Json(document)).into_response()
}

fn resource(server: &Server, headers: &HeaderMap, below: &str) -> Response {
    let issuer = server.addresses.of(headers);
    answered(json!({
        "resource": format!("{issuer}{below}"),
        "authorization_servers": [issuer],
        "scopes_supported": scopes(),
        "bearer_methods_supported": ["header"],
        "resource_name": "Usher API gateway",
    }))
}

/// `/.well-known/oauth-protected-resource`.
pub(super) async fn whole_side(State(server): State<Arc<Server>>, headers: HeaderMap) -> Response {
    resource(&server, &headers, "")
}

/// `/.well-known/oauth-protected-resource/mcp`.
pub(super) async fn mcp(State(server): State<Arc<Server>>, headers: HeaderMap) -> Response {
    resource(&server, &headers, MCP)
}

/// `/.well-known/oauth-authorization-server`.
pub(super) async fn server(State(server): State<Arc<Server>>, headers: HeaderMap) -> Response {
    let issuer = server.addresses.of(&headers);
    answered(json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/oauth/authorize"),
        "token_endpoint": format!("{issuer}/oauth/token"),
        "registration_endpoint": format!("{issuer}/oauth/register"),
        "revocation_endpoint": format!("{issuer}/oauth/revoke"),
        "scopes_supported": scopes(),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "token_endpoint_auth_methods_supported": ["none"],
        "revocation_endpoint_auth_methods_supported": ["none"],
        "code_challenge_methods_supported": ["S256"],
        "client_id_metadata_document_supported": true,
        "authorization_response_iss_parameter_supported": true,
    }))
}
