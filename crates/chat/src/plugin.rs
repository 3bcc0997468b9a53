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

const LOGO: &[u8] = include_bytes!("../assets/logo.png");

/// The plugin's files, with addresses below `public_url`.
pub(crate) fn router(public_url: &str) -> Router {
    let public_url = public_url.trim_end_matches('/');
    let document = openapi::document(public_url);
    let json = format!("{document:#}");
    // A document of texts, numbers and lists always has a YAML form; JSON is one too.
    let yaml = serde_saphyr::to_string(&document).unwrap_or_else(|_| json.clone());
    Router::new()
        .route(
            "/.well-known/ai-plugin.json",
            file("application/json", format!("{:#}", manifest::manifest(public_url))),
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
