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
    /// It answered against the rules.
    #[error(transparent)]
    Malformed(#[from] BadResponse),
    /// It sent too many interim answers.
    #[error("it sent more than {0} interim answers")]
    TooManyInterims(u32),
    /// It changed the protocol though nobody had asked for it.
    #[error("it switched to a protocol that nobody had asked for")]
    Switched,
}

impl Trouble {
    /// The status that stands for it: 504 for time, 502 for everything else.
    pub(super) const fn status(&self) -> u16 {
        match self {
            Self::NoLink(NoLink::TimedOut(_)) | Self::SendTimedOut | Self::ReadTimedOut => 504,
            _ => 502,
        }
    }

    /// Whether another node may do better. One that answers against the rules is the upstream's own fault, wherever it runs.
    pub(super) const fn may_be_retried(&self) -> bool {
        !matches!(self, Self::Malformed(_) | Self::TooManyInterims(_) | Self::Switched)
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

    /// The answer; `None` where nobody is there to read one.
    pub(super) fn reply(self) -> Option<Reply> {
        Some(match self {
            Self::Reply(reply) => *reply,
            Self::Refused(reject) => Reply::new(reject.status),
            Self::Body(_, status) => Reply::new(status),
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
    let bare = matches!(reply.body, Body::Empty) && status >= 300 && status != 304;
    if !bare {
        return;
    }
    reply.body = Body::Full(reject::page(status, product).into());
    if let Err(error) = reply.head.set("Content-Type", "text/html; charset=utf-8") {
        tracing::debug!(%error, "left out the type of a page");
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
