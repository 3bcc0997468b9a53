//! An answer of the Admin API: what stands in the body, and which headers go with it.

use std::any::Any;

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;

/// An answer. Its body is `application/json` even where it is bare text, as in APISIX; only error pages are HTML.
#[derive(Debug)]
pub(super) struct Answer {
    status: StatusCode,
    body: Bytes,
    html: bool,
    versioned: bool,
    etag: Option<u64>,
}

impl Answer {
    /// Bare text, without a line's end.
    pub(super) fn text(status: StatusCode, text: &'static str) -> Self {
        Self { status, body: Bytes::from_static(text.as_bytes()), html: false, versioned: false, etag: None }
    }

    /// Nothing but a status.
    pub(super) fn empty(status: StatusCode) -> Self {
        Self::text(status, "")
    }

    /// JSON and one newline.
    pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Self {
        match serde_json::to_vec(value) {
            Ok(mut bytes) => {
                bytes.push(b'\n');
                Self { body: bytes.into(), ..Self::empty(status) }
            }
            Err(error) => {
                tracing::error!(%error, "an answer could not be written as JSON");
                Self::empty(StatusCode::INTERNAL_SERVER_ERROR)
            }
        }
    }

    /// `{"error_msg": ..}`.
    pub(super) fn error(status: StatusCode, sentence: impl AsRef<str>) -> Self {
        Self::json(status, &json!({ "error_msg": sentence.as_ref() }))
    }

    /// `{"error_msg": ..}` with 400.
    pub(super) fn bad(sentence: impl AsRef<str>) -> Self {
        Self::error(StatusCode::BAD_REQUEST, sentence)
    }

    /// What clients match on for a resource that isn't there; note `message`.
    pub(super) fn key_not_found() -> Self {
        Self::json(StatusCode::NOT_FOUND, &json!({ "message": "Key not found" }))
    }

    /// A collection that doesn't exist, or that this version doesn't serve.
    pub(super) fn unsupported(collection: &str) -> Self {
        Self::error(StatusCode::NOT_FOUND, format!("Unsupported resource type: {collection}"))
    }

    /// A page as nginx makes one.
    pub(super) fn page(status: StatusCode, product: &str) -> Self {
        let title = format!("{} {}", status.as_u16(), status.canonical_reason().unwrap_or_default());
        let page = format!(
            "<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n\
             <hr><center>{product}</center>\r\n</body>\r\n</html>\r\n"
        );
        Self { body: page.into(), html: true, ..Self::empty(status) }
    }

    /// The same with the revision that last changed the resource.
    pub(super) fn at(self, revision: u64) -> Self {
        Self { etag: Some(revision), ..self }
    }

    /// The same as an answer of a resource: it names the version of its envelopes.
    pub(super) fn versioned(self) -> Self {
        Self { versioned: true, ..self }
    }

    pub(super) fn status(&self) -> u16 {
        self.status.as_u16()
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        let media = if self.html { "text/html; charset=utf-8" } else { "application/json" };
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
        if self.versioned {
            headers.insert("x-api-version", HeaderValue::from_static("v3"));
        }
        if let Some(revision) = self.etag
            && let Ok(value) = HeaderValue::try_from(format!("\"{revision}\""))
        {
            headers.insert(header::ETAG, value);
        }
        response
    }
}

/// What a client hears of a panic: nothing of what it was about.
pub(super) fn panicked(_: Box<dyn Any + Send>) -> Response {
    tracing::error!("a request to the Admin API made a handler panic; this is a bug");
    Answer::error(
        StatusCode::INTERNAL_SERVER_ERROR,
        "this request met a bug in Usher; the log says where, and other requests are answered as before",
    )
    .into_response()
}
