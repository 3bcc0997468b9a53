//! An answer that went well: a shape of the document, or bare text and bytes of a named type.

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;

/// An answer with its shape.
pub(super) struct Answer<A> {
    content: Content<A>,
    etag: Option<String>,
    cookies: Vec<String>,
}

enum Content<A> {
    Shape(A),
    Bare { media: &'static str, body: Body },
}

/// The shape of an answer that is text or bytes, such as an export.
#[derive(Serialize, JsonSchema)]
pub(super) struct Bare {}

impl<A> Answer<A> {
    /// An answer with this.
    pub(super) const fn ok(content: A) -> Self {
        Self { content: Content::Shape(content), etag: None, cookies: Vec::new() }
    }

    /// The same with the tag of this version.
    pub(super) fn tagged(self, tag: impl std::fmt::Display) -> Self {
        Self { etag: Some(format!("\"{tag}\"")), ..self }
    }

    /// The same that sets a cookie.
    pub(super) fn with_cookie(mut self, line: String) -> Self {
        self.cookies.push(line);
        self
    }
}

impl Answer<Bare> {
    /// An answer with text or bytes of this type.
    pub(super) fn bare(media: &'static str, body: impl Into<Body>) -> Self {
        Self { content: Content::Bare { media, body: body.into() }, etag: None, cookies: Vec::new() }
    }
}

/// An answer, ready to be sent.
pub(super) struct Told {
    status: StatusCode,
    media: &'static str,
    body: Body,
    etag: Option<String>,
    cookies: Vec<String>,
}

impl Told {
    /// The answer's bytes.
    pub(super) fn of<A: Serialize>(answer: Answer<A>) -> Self {
        let Answer { content, etag, cookies } = answer;
        let status = StatusCode::OK;
        match content {
            Content::Bare { media, body } => Self { status, media, body, etag, cookies },
            Content::Shape(value) => match line(&value) {
                Ok(body) => Self { status, media: "application/json", body: body.into(), etag, cookies },
                Err(error) => {
                    tracing::error!(%error, "an answer could not be written as JSON");
                    Self::text("text/plain; charset=utf-8", String::new())
                        .with(StatusCode::INTERNAL_SERVER_ERROR)
                }
            },
        }
    }

    /// 200 with a text.
    pub(super) fn text(media: &'static str, text: String) -> Self {
        Self { status: StatusCode::OK, media, body: text.into(), etag: None, cookies: Vec::new() }
    }

    /// The same with another status.
    pub(super) fn with(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }
}

impl IntoResponse for Told {
    fn into_response(self) -> Response {
        let mut response = Response::new(self.body);
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.media));
        // What is answered here depends on who asks, and is old the moment after.
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(etag) = self.etag.and_then(|tag| HeaderValue::try_from(tag).ok()) {
            headers.insert(header::ETAG, etag);
        }
        for cookie in self.cookies.into_iter().filter_map(|line| HeaderValue::try_from(line).ok()) {
            headers.append(header::SET_COOKIE, cookie);
        }
        response
    }
}

/// JSON and one newline.
pub(super) fn line(value: &impl Serialize) -> Result<Bytes, serde_json::Error> {
    let mut bytes = serde_json::to_vec(value)?;
    bytes.push(b'\n');
    Ok(bytes.into())
}
