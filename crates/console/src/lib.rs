//! The web console: a page that talks to `/usher/v1` on the origin it came from, and to nothing else.
//!
//! `ui/` holds its sources, `dist/` the built files, which are committed and lie in the binary. They say nothing of what is configured, so they are
//! served to everybody who may connect; what they show, the service API decides.
//!
//! What it is not: it knows nothing of the configuration: all it shows, a browser asks of `/usher/v1`.

mod files;
mod policy;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;

use files::{Asked, Files};

/// Where the console is.
pub const BASE: &str = "/ui/";

/// `/ui/` with everything below it, and `/ui`, which leads there.
pub fn router() -> Router {
    let files = Arc::new(Files::embedded());
    let to_base = || async { (StatusCode::MOVED_PERMANENTLY, [(header::LOCATION, BASE)]) };
    Router::new()
        .route("/ui", any(to_base))
        .route("/ui/", any(serve))
        .route("/ui/{*path}", any(serve))
        .with_state(files)
}

async fn serve(State(files): State<Arc<Files>>, request: Request) -> Response {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "GET, HEAD")]).into_response();
    }
    let path = request.uri().path().strip_prefix(BASE).unwrap_or_default();
    let mut response = match files.find(path) {
        Asked::File(file) => file.answer(request.headers()),
        Asked::Page(page) => policy::page(page),
        Asked::Nothing => (StatusCode::NOT_FOUND, "the console has no such file\n").into_response(),
    };
    policy::guard(response.headers_mut());
    if *request.method() == Method::HEAD {
        *response.body_mut() = axum::body::Body::empty();
    }
    response
}

#[cfg(test)]
mod tests;
