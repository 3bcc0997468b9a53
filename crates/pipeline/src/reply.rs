//! An answer made by the gateway itself.

use bytes::Bytes;
use serde_json::{Value, json};
use usher_http1::head::Head;

use crate::body::Body;

/// An answer made by a plugin or by the gateway. Without a body and with a status of 300 or more it gets the HTML page of its status,
/// as nginx makes one.
#[derive(Debug)]
pub struct Reply {
    /// Status and fields.
    pub head: Head,
    /// What is sent.
    pub body: Body,
}

impl Reply {
    /// A bare answer; see [`Reply`] for what it looks like.
    #[must_use]
    pub fn new(status: u16) -> Self {
        Self { head: Head::response(status), body: Body::Empty }
    }

    /// `{"message": ...}` and a newline, as `text/plain`: the shape of auth and restriction plugins.
    #[must_use]
    pub fn message(status: u16, message: &str) -> Self {
        Self::json(status, &json!({ "message": message }))
    }

    /// `{"error_msg": ...}` and a newline, as `text/plain`: the shape of the gateway itself and of limits.
    #[must_use]
    pub fn error_msg(status: u16, message: &str) -> Self {
        Self::json(status, &json!({ "error_msg": message }))
    }

    /// Any JSON and a newline, as `text/plain` like APISIX's (nginx's default type).
    #[must_use]
    pub fn json(status: u16, value: &Value) -> Self {
        Self::text(status, "text/plain; charset=utf-8", format!("{value}\n"))
    }

    /// A body of some type.
    #[must_use]
    pub fn text(status: u16, content_type: &str, body: impl Into<Bytes>) -> Self {
        let mut reply = Self::new(status);
        reply.body = Body::Full(body.into());
        reply.with("Content-Type", content_type)
    }

    /// The same with one more field. A value that can't be sent is left out: a header line is never torn.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        if let Err(error) = self.head.append(name, value) {
            tracing::warn!(%error, "left out a field of an answer");
        }
        self
    }

    /// The same, to be sent often and by every worker. Streaming bodies can't be sent twice and become empty.
    #[must_use]
    pub fn fixed(self) -> FixedReply {
        let body = match self.body {
            Body::Full(bytes) => Some(bytes),
            Body::Empty | Body::Stream(_) => None,
        };
        FixedReply { head: self.head, body }
    }
}

/// An answer that is made once, when a plugin is built, and sent often.
#[derive(Clone, Debug)]
pub struct FixedReply {
    head: Head,
    body: Option<Bytes>,
}

impl FixedReply {
    /// The answer, for one request.
    #[must_use]
    pub fn reply(&self) -> Reply {
        Reply { head: self.head.clone(), body: self.body.clone().map_or(Body::Empty, Body::Full) }
    }
}
