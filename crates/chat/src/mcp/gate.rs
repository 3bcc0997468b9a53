//! What comes before the protocol's library: a message that it couldn't read gets an answer of JSON-RPC, and an ended session a plain 204.
//!
//! The library calls unreadable JSON an unsupported media type, which sends people looking at their headers.

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use rmcp::model::ClientJsonRpcMessage;
use serde_json::{Value, json};

use crate::guard::whole;

const PARSE_ERROR: i32 = -32_700;
const INVALID_REQUEST: i32 = -32_600;

/// Lets a message through that can be read, and answers others.
pub(crate) async fn admit(request: Request, next: Next) -> Response {
    if request.method() == Method::DELETE {
        let response = next.run(request).await;
        // Clients take 200 or 204 for the end of a session; the library says 202.
        let is_ended = response.status() == StatusCode::ACCEPTED;
        return if is_ended { StatusCode::NO_CONTENT.into_response() } else { response };
    }
    if request.method() != Method::POST || !is_json(request.headers()) {
        return next.run(request).await;
    }
    let request = match whole(request).await {
        Ok(request) => request,
        Err(refused) => return refused,
    };
    match serde_json::from_slice::<ClientJsonRpcMessage>(request.body()) {
        Ok(_) => next.run(request.map(Body::from)).await,
        Err(error) => unreadable(request.body(), &error),
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json")
}

fn unreadable(body: &[u8], error: &serde_json::Error) -> Response {
    let (code, id, message) = match serde_json::from_slice::<Value>(body) {
        Err(_) => (PARSE_ERROR, Value::Null, format!("the body is no JSON: {error}")),
        Ok(Value::Array(_)) => {
            (INVALID_REQUEST, Value::Null, "batches are not taken; post one message at a time".to_owned())
        }
        Ok(message) => {
            let id = message.get("id").filter(|id| id.is_string() || id.is_number()).cloned();
            let wanted = "jsonrpc \"2.0\" with method, or with id and result or error";
            (INVALID_REQUEST, id.unwrap_or_default(), format!("the body is no message: wanted {wanted}"))
        }
    };
    let answer = json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": message } });
    (StatusCode::BAD_REQUEST, axum::Json(answer)).into_response()
}
