//! `client-control` holds down how large requests' bodies may be.
//!
//! A body that says that it is too large is refused at once; one that turns out to be is refused as it comes.
//!
//! Example: `{"max_body_size": 1048576}`

use std::task::{Context, Poll};

use bytes::Bytes;
use schemars::JsonSchema;
use serde::Deserialize;
use usher_http1::head::Head;
use usher_pipeline::body::{Body, BodyError, BodyRead};
use usher_pipeline::env::Env;
use usher_pipeline::exchange::Exchange;
use usher_pipeline::plugin::{BuildError, Flow, Hook, Phases, Plugin};
use usher_pipeline::reply::Reply;
use usher_pipeline::spec::Spec;

/// `client-control`.
pub(crate) static PLUGIN: Spec = Spec::of::<ClientControl>();

/// Holds down how large requests' bodies may be.
#[derive(Deserialize, JsonSchema)]
struct Config {
    /// The largest body, in bytes; 0 sets no bound of its own. The gateway's own bound, if it has one, stays in force.
    #[schemars(range(min = 0))]
    max_body_size: Option<u64>,
}

struct ClientControl {
    most: Option<u64>,
}

impl Plugin for ClientControl {
    const NAME: &'static str = "client-control";
    const PRIORITY: i32 = 22000;
    const PHASES: Phases<Self> = Phases { rewrite: Some(Hook::Now(Self::hold)), ..Phases::NONE };
    type Config = Config;

    fn build(config: Config, _: &Env<'_>) -> Result<Self, BuildError> {
        Ok(Self { most: config.max_body_size.filter(|most| *most > 0) })
    }
}

impl ClientControl {
    fn hold(&self, exchange: &mut Exchange) -> Flow {
        let Some(most) = self.most else { return Flow::Continue };
        let body = &mut exchange.request.body;
        if body.known_length().is_some_and(|length| length > most) {
            return Reply::new(413).into();
        }
        if let Body::Stream(stream) = std::mem::take(body) {
            *body = Body::Stream(Box::new(Bounded { stream, most, left: most }));
            return Flow::Continue;
        }
        Flow::Continue
    }
}

/// A body that ends in an error where it turns out to be too large.
struct Bounded {
    stream: Box<dyn BodyRead>,
    most: u64,
    left: u64,
}

impl BodyRead for Bounded {
    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        let read = self.stream.poll_read(context);
        if let Poll::Ready(Some(Ok(piece))) = &read {
            match self.left.checked_sub(piece.len() as u64) {
                Some(left) => self.left = left,
                None => return Poll::Ready(Some(Err(BodyError::TooLarge { limit: self.most }))),
            }
        }
        read
    }

    fn remaining(&self) -> Option<u64> {
        self.stream.remaining()
    }

    fn take_trailers(&mut self) -> Option<Head> {
        self.stream.take_trailers()
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use serde_json::json;
    use usher_pipeline::body::{BodyError, BodyRead};
    use usher_pipeline::harness::{harness, try_harness};

    use super::{Bounded, PLUGIN};

    struct Pieces(Vec<&'static str>);

    impl BodyRead for Pieces {
        fn poll_read(&mut self, _: &mut Context<'_>) -> Poll<Option<Result<bytes::Bytes, BodyError>>> {
            let next = if self.0.is_empty() { None } else { Some(Ok(self.0.remove(0).into())) };
            Poll::Ready(next)
        }

        fn remaining(&self) -> Option<u64> {
            None
        }
    }

    #[test]
    fn a_body_that_is_too_large_is_refused() {
        for (body, sent, status) in [
            (json!({ "max_body_size": 5 }), "12345", 200),
            (json!({ "max_body_size": 5 }), "123456", 413),
            (json!({ "max_body_size": 0 }), "123456", 200),
            (json!({}), "123456", 200),
            (json!({ "max_body_size": 5 }), "", 200),
        ] {
            let outcome = harness(&PLUGIN, body.clone()).send("POST", "/", &[], sent);
            outcome.expect_status(status);
        }
        let error = try_harness(&PLUGIN, json!({ "max_body_size": -1 })).err().unwrap();
        assert!(error.message.contains("expected -1 to be at least 0"), "{error}");
    }

    #[test]
    fn a_body_that_turns_out_too_large_is_cut_where_it_does() {
        let mut context = Context::from_waker(Waker::noop());
        let mut body = Bounded { stream: Box::new(Pieces(vec!["123", "45", "6"])), most: 5, left: 5 };
        let mut read = || match body.poll_read(&mut context) {
            Poll::Ready(read) => read,
            Poll::Pending => panic!("pieces are there at once"),
        };
        assert_eq!(read(), Some(Ok("123".into())));
        assert_eq!(read(), Some(Ok("45".into())));
        assert_eq!(read(), Some(Err(BodyError::TooLarge { limit: 5 })));
    }
}
