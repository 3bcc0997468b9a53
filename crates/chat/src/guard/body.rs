//! Reads a request's body whole, within the bounds of this port, before anything is done with it.

use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::Response;

use super::Refused;
use crate::mcp::MOST_BODY;

/// How long a body may take to arrive.
const WITHIN: Duration = Duration::from_secs(30);

/// The request with its body in one piece, or the answer to a body that is too long or too slow.
pub(crate) async fn whole(request: Request) -> Result<Request<bytes::Bytes>, Response> {
    let (head, body) = request.into_parts();
    match tokio::time::timeout(WITHIN, to_bytes(body, MOST_BODY)).await {
        Ok(Ok(body)) => Ok(Request::from_parts(head, body)),
        // A client that has gone is told so too, but reads no answer.
        Ok(Err(_)) => Err(too_long()),
        Err(_) => {
            let reason = format!("the body did not arrive within {} seconds", WITHIN.as_secs());
            Err(Refused::new(StatusCode::REQUEST_TIMEOUT, reason).into_response())
        }
    }
}

/// The same with a body that is passed on.
pub(crate) async fn gathered(request: Request) -> Result<Request, Response> {
    whole(request).await.map(|request| request.map(Body::from))
}

pub(super) fn too_long() -> Response {
    let reason = format!("the body is too long: at most {MOST_BODY} bytes are taken here");
    Refused::new(StatusCode::PAYLOAD_TOO_LARGE, reason).into_response()
}
