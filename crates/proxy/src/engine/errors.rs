//! Why a request has no answer of an upstream's, and what the client is told: the one place where failures become HTTP.

use std::io;
use std::sync::Arc;

use usher_http1::reject::{self, Reject};
use usher_http1::response::BadResponse;
use usher_pipeline::body::{Body, BodyError};
use usher_pipeline::reply::Reply;

use super::connect::NoLink;

/// Why a request ends here.
#[derive(Debug)]
pub(super) enum Failure {
    /// A plugin, or the gateway itself, answers.
    Reply(Box<Reply>),
    /// The client broke the rules: the fixed answer, before or without anybody else seeing the request.
    Refused(Reject),
    /// The client's body broke off, was malformed, too large or too slow: the status.
    Body(BodyError, u16),
    /// gRPC by a protocol that can't carry its trailers.
    GrpcByHttp1,
    /// The request came through here too often.
    Circle,
    /// The gateway is short of memory.
    Overload,
    /// No route.
    NotFound,
    /// The route has no upstream and no plugin chose one.
    NoUpstream,
    /// The upstream of this id is not there.
    UnknownUpstream(Arc<str>),
    /// The upstream has no node in use.
    NoNode,
    /// The last node that was tried failed.
    Upstream(Trouble),
    /// The time for retries was over before a node answered.
    RetriesTimedOut,
    /// The client is gone: nobody to answer.
    ClientGone,
}

/// What went wrong with one node.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// No connection; nothing was sent.
    #[error(transparent)]
    NoLink(#[from] NoLink),
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Broken(io::Error),
    /// It was closed without an answer.
    #[error("it closed the connection without an answer")]
    Closed,
    /// It took too long to take the request.
    #[error("it did not take the request in time")]
    SendTimedOut,
    /// It took too long to answer.
    #[error("it did not answer in time")]
    ReadTimedOut,
    /// It said that it did nothing of the request.
    #[error("it took no more requests on this connection, and did nothing of this one")]
    Refused,
    /// It gave the request up.
    #[error("it reset the stream: {0}")]
    Reset(h2::Reason),
    /// It answered against the rules.
    #[error(transparent)]
    Malformed(#[from] BadResponse),
    /// It sent too many interim answers.
    #[error("it sent more than {0} interim answers")]
    TooManyInterims(u32),
    /// It changed the protocol though nobody had asked for it.
    #[error("it switched to a protocol that nobody had asked for")]
    Switched,
    /// It answered a request for a WebSocket as if there had been none.
    #[error("it did not open the WebSocket that it was asked for, but said that all is well")]
    NotSwitched,
    /// It opened a WebSocket without having read what it was asked.
    #[error("its Sec-WebSocket-Accept doesn't fit the key")]
    NotAccepted,
}

impl Trouble {
    /// The status that stands for it: 504 for time, 502 for everything else.
    pub(super) const fn status(&self) -> u16 {
        match self {
            Self::NoLink(NoLink::TimedOut(..)) | Self::SendTimedOut | Self::ReadTimedOut => 504,
            _ => 502,
        }
    }

    /// Whether another node may do better. One that answers against the rules is the upstream's own fault, wherever it runs.
    pub(super) const fn may_be_retried(&self) -> bool {
        !matches!(
            self,
            Self::Malformed(_)
                | Self::TooManyInterims(_)
                | Self::Switched
                | Self::NotSwitched
                | Self::NotAccepted
        )
    }
}

impl Failure {
    /// A body's failure with the status that its reader found.
    pub(super) fn body(error: BodyError, status: u16) -> Self {
        match error {
            BodyError::Closed => Self::ClientGone,
            error => Self::Body(error, status),
        }
    }

    /// Whether a plugin or the gateway says this of its own accord, so that `exit` phases see it. What goes wrong on a connection is no such word:
    /// in APISIX nginx makes the answer then.
    pub(super) const fn is_said(&self) -> bool {
        matches!(
            self,
            Self::Reply(_) | Self::NotFound | Self::NoUpstream | Self::NoNode | Self::UnknownUpstream(_)
        )
    }

    /// The answer; `None` where nobody is there to read one.
    pub(super) fn reply(self) -> Option<Reply> {
        Some(match self {
            Self::Reply(reply) => *reply,
            Self::Refused(reject) => Reply::new(reject.status),
            Self::Body(_, status) => Reply::new(status),
            Self::GrpcByHttp1 => Reply::error_msg(
                505,
                "gRPC needs HTTP/2: this request came by HTTP/1, which can't carry the status of a call",
            ),
            Self::Circle => Reply::new(508),
            Self::Overload => Reply::new(503),
            Self::NotFound => Reply::error_msg(404, "404 Route Not Found"),
            Self::NoUpstream | Self::NoNode => Reply::new(503),
            Self::UnknownUpstream(_) | Self::RetriesTimedOut => Reply::new(502),
            Self::Upstream(trouble) => Reply::new(trouble.status()),
            Self::ClientGone => return None,
        })
    }
}

/// Gives a bare answer of the gateway's the HTML page of its status, as nginx makes one.
pub(super) fn dress(reply: &mut Reply, product: &str) {
    let status = reply.head.status();
    if !is_bare(reply) {
        return;
    }
    reply.body = Body::Full(reject::page(status, product).into());
    if let Err(error) = reply.head.set("Content-Type", "text/html; charset=utf-8") {
        tracing::debug!(%error, "left out the type of a page");
    }
}

fn is_bare(reply: &Reply) -> bool {
    let status = reply.head.status();
    matches!(reply.body, Body::Empty) && status >= 300 && status != 304
}

/// Gives a bare answer of the gateway's the form of a gRPC answer that is trailers alone. The status of HTTP stays what it is for every other client,
/// so that logs and monitors agree; clients of gRPC go by `grpc-status` where there is one.
pub(super) fn dress_for_grpc(reply: &mut Reply) {
    if !is_bare(reply) {
        return;
    }
    let status = reply.head.status();
    // As gRPC's own mapping of HTTP's statuses has it; time that ran out is told from an upstream that is away.
    let code = match status {
        400 | 431 | 500 => "13",
        401 => "16",
        403 => "7",
        404 => "12",
        408 | 504 => "4",
        413 => "8",
        429 | 502 | 503 => "14",
        _ => "2",
    };
    let message = format!("{status} {}", usher_http1::reason::phrase(status));
    for (name, value) in
        [("Content-Type", "application/grpc"), ("grpc-status", code), ("grpc-message", &message)]
    {
        if let Err(error) = reply.head.set(name, value) {
            tracing::debug!(%error, name, "left out a field of an answer");
        }
    }
}

#[cfg(test)]
mod tests {
    use usher_pipeline::body::Body;
    use usher_pipeline::reply::Reply;

    use super::{Failure, Trouble, dress};

    fn page(failure: Failure) -> (u16, Option<String>, String) {
        let mut reply = failure.reply().unwrap();
        dress(&mut reply, "usher");
        let Body::Full(body) = reply.body else { panic!("no body") };
        let kind = reply.head.get_str("content-type").map(str::to_owned);
        (reply.head.status(), kind, String::from_utf8(body.to_vec()).unwrap())
    }

    #[test]
    fn failures_look_as_in_the_contract() {
        let html = Some("text/html; charset=utf-8".to_owned());
        let (status, kind, body) = page(Failure::NotFound);
        assert_eq!((status, body.as_str()), (404, "{\"error_msg\":\"404 Route Not Found\"}\n"));
        assert_eq!(kind.as_deref(), Some("text/plain; charset=utf-8"));
        for (failure, status, title) in [
            (Failure::Upstream(Trouble::Closed), 502, "502 Bad Gateway"),
            (Failure::Upstream(Trouble::ReadTimedOut), 504, "504 Gateway Time-out"),
            (Failure::NoNode, 503, "503 Service Temporarily Unavailable"),
            (Failure::NoUpstream, 503, "503 Service Temporarily Unavailable"),
            (Failure::UnknownUpstream("7".into()), 502, "502 Bad Gateway"),
        ] {
            let (found, kind, body) = page(failure);
            assert_eq!((found, kind), (status, html.clone()));
            assert_eq!(
                body,
                format!(
                    "<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n\
                     <hr><center>usher</center>\r\n</body>\r\n</html>\r\n"
                )
            );
        }
    }

    #[test]
    fn answers_with_a_body_of_their_own_and_304_stay_as_they_are() {
        for (mut reply, wanted) in
            [(Reply::new(304), ""), (Reply::new(204), ""), (Reply::text(500, "text/plain", "mine"), "mine")]
        {
            dress(&mut reply, "usher");
            let body = match reply.body {
                Body::Full(bytes) => bytes,
                _ => bytes::Bytes::new(),
            };
            assert_eq!(body, wanted);
        }
    }
}
