//! The port that gateways of one store ask each other at (`listen.gateways`): what is asked and answered is sealed with the keyring that they share, so
//! that it may cross any network.

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;

use crate::service::Service;
use crate::service::gateways::{MOST_QUESTION, PATH};

/// A router for a port of its own.
pub fn router(service: Arc<Service>) -> Router {
    Router::new()
        .route(PATH, post(answer))
        .fallback(|| async { StatusCode::NOT_FOUND })
        .layer(DefaultBodyLimit::max(MOST_QUESTION))
        .with_state(service)
}

async fn answer(State(service): State<Arc<Service>>, question: String) -> Response {
    match service.answer_gateway(&question).await {
        Ok(sealed) => sealed.into_response(),
        Err(reason) => (StatusCode::FORBIDDEN, reason).into_response(),
    }
}
