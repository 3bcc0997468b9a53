//! An answer of the Admin API: what stands in the body, and which headers go with it.

use std::any::Any;

use axum::body::{Body, Bytes};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;

use super::options::Envelopes;

/// An answer. Its body is `application/json` even where it is bare text, as in APISIX; only error pages are HTML.
#[derive(Debug)]
pub(crate) struct Answer {
    status: StatusCode,
    body: Bytes,
    media: &'static str,
    /// A list rather than a map, which is large, and answers travel by value.
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Answer {
    /// Bare text, without a line's end.
    pub(crate) fn text(status: StatusCode, text: &'static str) -> Self {
        let body = Bytes::from_static(text.as_bytes());
        Self { status, body, media: "application/json", headers: Vec::new() }
    }

    /// A text of another type.
    pub(crate) fn of(status: StatusCode, media: &'static str, text: String) -> Self {
        Self { body: text.into(), media, ..Self::empty(status) }
    }

    /// Nothing but a status.
    pub(crate) fn empty(status: StatusCode) -> Self {
        Self::text(status, "")
    }

    /// JSON and one newline.
    pub(crate) fn json(status: StatusCode, value: &impl Serialize) -> Self {
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
    pub(crate) fn error(status: StatusCode, sentence: impl AsRef<str>) -> Self {
        Self::json(status, &json!({ "error_msg": sentence.as_ref() }))
    }

    /// `{"error_msg": ..}` with 400.
    pub(crate) fn bad(sentence: impl AsRef<str>) -> Self {
        Self::error(StatusCode::BAD_REQUEST, sentence)
    }

    /// What clients match on for a resource that isn't there; note `message`.
    pub(crate) fn key_not_found() -> Self {
        Self::json(StatusCode::NOT_FOUND, &json!({ "message": "Key not found" }))
    }

    /// A collection that doesn't exist, or that this version doesn't serve.
    pub(crate) fn unsupported(collection: &str) -> Self {
        Self::error(StatusCode::NOT_FOUND, format!("Unsupported resource type: {collection}"))
    }

    /// A page as nginx makes one.
    pub(crate) fn page(status: StatusCode, product: &str) -> Self {
        let title = format!("{} {}", status.as_u16(), status.canonical_reason().unwrap_or_default());
        let page = format!(
            "<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n\
             <hr><center>{product}</center>\r\n</body>\r\n</html>\r\n"
        );
        Self::of(status, "text/html; charset=utf-8", page)
    }

    /// The same with the revision that last changed the resource.
    pub(crate) fn at(self, revision: u64) -> Self {
        self.with(header::ETAG, format!("\"{revision}\""))
    }

    /// The same as an answer of a resource: it names the version of its envelopes.
    pub(crate) fn versioned(self, envelopes: Envelopes) -> Self {
        self.with(HeaderName::from_static("x-api-version"), envelopes.name())
    }

    /// The same, to be asked again after so many seconds.
    pub(crate) fn retry_after(self, secs: u64) -> Self {
        self.with(header::RETRY_AFTER, secs.to_string())
    }

    /// The same with a header; one that can't be written is left out.
    pub(crate) fn with(mut self, name: HeaderName, value: impl AsRef<str>) -> Self {
        if let Ok(value) = HeaderValue::from_str(value.as_ref()) {
            self.headers.push((name, value));
        }
        self
    }

    pub(crate) fn status(&self) -> u16 {
        self.status.as_u16()
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = self.status;
        response.headers_mut().extend(self.headers);
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(self.media));
        response
    }
}

/// What a client hears of a panic: nothing of what it was about.
pub(crate) fn panicked(_: Box<dyn Any + Send>) -> Response {
    tracing::error!("a request to the Admin API made a handler panic; this is a bug");
    Answer::error(
        StatusCode::INTERNAL_SERVER_ERROR,
        "this request met a bug in Usher; the log says where, and other requests are answered as before",
    )
    .into_response()
}
