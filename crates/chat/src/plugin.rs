//! The ChatGPT plugin of 2023 and the document of GPT Actions: manifest, OpenAPI, logo, and the pages that they point to.
//!
//! The operations themselves are the Admin API's own paths; these files only say that they are there.

mod manifest;
mod members;
mod openapi;
mod pages;

use axum::Router;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::IntoResponse;
use axum::routing::get;
use bytes::Bytes;

pub(crate) const LOGO: &[u8] = include_bytes!("../assets/logo.png");

/// The plugin's manifest, with addresses below `public_url`.
#[must_use]
pub fn manifest(public_url: &str) -> serde_json::Value {
    manifest::manifest(public_url.trim_end_matches('/'), &auth(false, &[]))
}

/// How the manifest says that callers show who they are: not at all, or with a token that the operator gives to ChatGPT.
pub(crate) fn auth(token_required: bool, verification: &[(String, String)]) -> serde_json::Value {
    if !token_required {
        return serde_json::json!({ "type": "none" });
    }
    let tokens: serde_json::Map<String, serde_json::Value> =
        verification.iter().map(|(name, token)| (name.clone(), token.as_str().into())).collect();
    serde_json::json!({ "type": "service_http", "authorization_type": "bearer", "verification_tokens": tokens })
}

/// The same for callers that a person lets in one by one. The words are those of 2023: `client_url` is where the browser goes, `authorization_url` where
/// the token is got.
pub(crate) fn oauth(public_url: &str, verification: &[(String, String)]) -> serde_json::Value {
    let public_url = public_url.trim_end_matches('/');
    let tokens: serde_json::Map<String, serde_json::Value> =
        verification.iter().map(|(name, token)| (name.clone(), token.as_str().into())).collect();
    serde_json::json!({
        "type": "oauth", "client_url": format!("{public_url}/oauth/authorize"), "scope": "chat",
        "authorization_url": format!("{public_url}/oauth/token"), "authorization_content_type": "application/x-www-form-urlencoded",
        "verification_tokens": tokens,
    })
}

/// The OpenAPI document of the plugin and of GPT Actions, with its server at `public_url`.
#[must_use]
pub fn actions(public_url: &str) -> serde_json::Value {
    openapi::document(public_url.trim_end_matches('/'))
}

/// The plugin's files, with addresses below `public_url`.
pub(crate) fn router(public_url: &str, auth: &serde_json::Value) -> Router {
    let public_url = public_url.trim_end_matches('/');
    let document = openapi::document(public_url);
    let json = format!("{document:#}");
    // A document of texts, numbers and lists always has a YAML form; JSON is one too.
    let yaml = serde_saphyr::to_string(&document).unwrap_or_else(|_| json.clone());
    Router::new()
        .route(
            "/.well-known/ai-plugin.json",
            file("application/json", format!("{:#}", manifest::manifest(public_url, auth))),
        )
        .route("/openapi.json", file("application/json", json))
        .route("/openapi.yaml", file("application/yaml", yaml))
        .route("/logo.png", file("image/png", LOGO))
        .route("/legal", file("text/html; charset=utf-8", pages::legal()))
        .route("/", file("text/html; charset=utf-8", pages::welcome(public_url)))
}

fn file(kind: &'static str, content: impl Into<Bytes>) -> axum::routing::MethodRouter {
    let content = content.into();
    get(move || {
        let content = content.clone();
        async move { served(kind, content) }
    })
}

fn served(kind: &'static str, content: Bytes) -> impl IntoResponse {
    let headers = [
        (CONTENT_TYPE, kind),
        (CACHE_CONTROL, "max-age=300"),
        (
            CONTENT_SECURITY_POLICY,
            "default-src 'none'; img-src 'self'; style-src 'unsafe-inline'; frame-ancestors 'none'",
        ),
    ];
    (headers, content)
}
