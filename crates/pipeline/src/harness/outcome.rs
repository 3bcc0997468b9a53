//! What came of a request on the bench: the client's answer, and what the upstream saw.

use bytes::Bytes;
use serde_json::Value;
use usher_http1::head::Head;

use super::BenchTarget;
use crate::body::Body;
use crate::exchange::{Choice, Exchange};

/// What reached the upstream.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Method and fields.
    pub head: Head,
    /// Path and query.
    pub target: String,
    /// The body.
    pub body: Bytes,
    /// The upstream id that a plugin chose.
    pub upstream_id: Option<String>,
    /// The upstream that a plugin brought along, as its JSON.
    pub target_json: Option<Value>,
}

impl Seen {
    pub(super) fn of(exchange: &Exchange) -> Self {
        let request = &exchange.request;
        let query = request.query().map(|query| format!("?{query}")).unwrap_or_default();
        let body = match &request.body {
            Body::Full(bytes) => bytes.clone(),
            Body::Empty | Body::Stream(_) => Bytes::new(),
        };
        let (mut upstream_id, mut target_json) = (None, None);
        match &exchange.choice {
            Some(Choice::Id(id)) => upstream_id = Some(id.to_string()),
            Some(Choice::Target(target)) => {
                target_json = target.as_any().downcast_ref::<BenchTarget>().map(|target| target.0.clone());
            }
            None => {}
        }
        Self {
            head: request.head.clone(),
            target: format!("{}{query}", request.sent_path()),
            body,
            upstream_id,
            target_json,
        }
    }
}

/// What the client got, and what the upstream saw.
pub struct Outcome {
    /// The answer's status and fields.
    pub head: Head,
    /// The answer's body.
    pub body: Bytes,
    /// What reached the upstream; `None` when the gateway answered by itself.
    pub upstream: Option<Seen>,
    /// The exchange at its end.
    pub exchange: Exchange,
}

impl Outcome {
    /// The status.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.head.status()
    }

    /// A field of the answer as text.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        self.head.get_str(name)
    }

    /// The body as text.
    ///
    /// # Panics
    /// When it isn't UTF-8.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a test bench fails by panicking")]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a body of text")
    }

    /// What reached the upstream.
    ///
    /// # Panics
    /// When nothing did.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a test bench fails by panicking")]
    pub fn seen(&self) -> &Seen {
        self.upstream.as_ref().expect("the request to reach the upstream")
    }

    /// Checks the status.
    ///
    /// # Panics
    /// When it is another.
    pub fn expect_status(&self, status: u16) -> &Self {
        assert_eq!(self.status(), status, "status, with the body {:?}", String::from_utf8_lossy(&self.body));
        self
    }
}
