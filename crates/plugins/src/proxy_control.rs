//! `proxy-control` settles whether a request's body is gathered before the upstream sees any of it.
//!
//! The gateway sends bodies on as they come. With this plugin the upstream is spared slow clients: it is connected to when the whole body is
//! there, or when so much of it is that no more is kept.
//!
//! Example: `{"request_buffering": true}`

use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::FutureExt as _;
use schemars::JsonSchema;
use serde::Deserialize;
use usher_http1::head::Head;
use usher_pipeline::body::{Body, BodyError, BodyRead};
use usher_pipeline::env::Env;
use usher_pipeline::exchange::Exchange;
use usher_pipeline::plugin::{BuildError, Called, Flow, Hook, Phases, Plugin};
use usher_pipeline::reply::Reply;
use usher_pipeline::spec::Spec;

use crate::schema::yes;

/// `proxy-control`.
pub(crate) static PLUGIN: Spec = Spec::of::<ProxyControl>();

/// Settles whether requests' bodies are gathered before they are sent on.
#[derive(Deserialize, JsonSchema)]
struct Config {
    /// `true` gathers up to 1 MiB of a body before the upstream sees any of it; `false` sends it on as it comes.
    #[serde(default = "yes")]
    request_buffering: bool,
}

struct ProxyControl {
    gathers: bool,
}

/// What is gathered of one body, in bytes.
const MOST: usize = 1 << 20;

impl Plugin for ProxyControl {
    const NAME: &'static str = "proxy-control";
    const PRIORITY: i32 = 21990;
    const PHASES: Phases<Self> = Phases { rewrite: Some(Hook::Either(Self::gather)), ..Phases::NONE };
    type Config = Config;

    fn build(config: Config, _: &Env<'_>) -> Result<Self, BuildError> {
        Ok(Self { gathers: config.request_buffering })
    }
}

impl ProxyControl {
    fn gather<'a>(&'a self, exchange: &'a mut Exchange) -> Called<'a> {
        if !self.gathers || !matches!(exchange.request.body, Body::Stream(_)) {
            return Called::Now(Flow::Continue);
        }
        let body = &mut exchange.request.body;
        Called::Later(
            async move {
                match gather(body).await {
                    Ok(()) => Flow::Continue,
                    Err(error) => Reply::new(error.status()).into(),
                }
            }
            .boxed_local(),
        )
    }
}

async fn gather(body: &mut Body) -> Result<(), BodyError> {
    let Body::Stream(mut stream) = std::mem::take(body) else { return Ok(()) };
    let mut gathered = Vec::new();
    while let Some(piece) = std::future::poll_fn(|context| stream.poll_read(context)).await {
        gathered.extend_from_slice(&piece?);
        if gathered.len() >= MOST {
            *body = Body::Stream(Box::new(Gathered { first: Some(gathered.into()), rest: stream }));
            return Ok(());
        }
    }
    match stream.take_trailers() {
        // Only streams carry trailers.
        Some(trailers) => {
            *body = Body::Stream(Box::new(Whole { body: gathered.into(), trailers: Some(trailers) }))
        }
        None if gathered.is_empty() => {}
        None => *body = Body::Full(gathered.into()),
    }
    Ok(())
}

/// What was gathered, and the rest as it comes.
struct Gathered {
    first: Option<Bytes>,
    rest: Box<dyn BodyRead>,
}

impl BodyRead for Gathered {
    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        match self.first.take() {
            Some(first) => Poll::Ready(Some(Ok(first))),
            None => self.rest.poll_read(context),
        }
    }

    fn remaining(&self) -> Option<u64> {
        Some(self.rest.remaining()? + self.first.as_ref().map_or(0, |first| first.len() as u64))
    }

    fn take_trailers(&mut self) -> Option<Head> {
        self.rest.take_trailers()
    }
}

/// A whole body with trailers.
struct Whole {
    body: Bytes,
    trailers: Option<Head>,
}

impl BodyRead for Whole {
    fn poll_read(&mut self, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        let body = std::mem::take(&mut self.body);
        Poll::Ready((!body.is_empty()).then_some(Ok(body)))
    }

    fn remaining(&self) -> Option<u64> {
        // Where trailers follow, the length is not announced.
        None
    }

    fn take_trailers(&mut self) -> Option<Head> {
        self.trailers.take()
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll};

    use bytes::Bytes;
    use futures_util::FutureExt as _;
    use serde_json::json;
    use usher_http1::head::Head;
    use usher_pipeline::body::{Body, BodyError, BodyRead};
    use usher_pipeline::harness::{harness, try_harness};

    use super::{MOST, PLUGIN, gather};

    /// So many pieces of a size, then trailers or an error.
    struct Pieces(usize, usize, Option<Head>, Option<BodyError>);

    impl BodyRead for Pieces {
        fn poll_read(&mut self, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
            if self.0 == 0 {
                return Poll::Ready(self.3.take().map(Err));
            }
            self.0 -= 1;
            Poll::Ready(Some(Ok(vec![b'x'; self.1].into())))
        }

        fn remaining(&self) -> Option<u64> {
            Some((self.0 * self.1) as u64)
        }

        fn take_trailers(&mut self) -> Option<Head> {
            self.2.take()
        }
    }

    fn gathered(pieces: Pieces) -> (Body, Result<(), BodyError>) {
        let mut body = Body::Stream(Box::new(pieces));
        let outcome = gather(&mut body).now_or_never().unwrap();
        (body, outcome)
    }

    #[test]
    fn bodies_are_gathered_up_to_a_bound() {
        let (body, _) = gathered(Pieces(3, 10, None, None));
        assert!(matches!(body, Body::Full(bytes) if bytes.len() == 30));
        let (mut body, _) = gathered(Pieces(4, MOST / 2, None, None));
        assert!(matches!(body, Body::Stream(_)));
        assert_eq!(body.known_length(), Some(MOST as u64 * 2));
        let whole = body.read_whole(u64::MAX).now_or_never().unwrap().unwrap();
        assert_eq!(whole.len(), MOST * 2);
        let (body, _) = gathered(Pieces(1, 5, Some(Head::empty()), None));
        let Body::Stream(mut stream) = body else { panic!("trailers are kept") };
        assert!(stream.take_trailers().is_some());
        let (_, outcome) = gathered(Pieces(1, 5, None, Some(BodyError::Closed)));
        assert_eq!(outcome, Err(BodyError::Closed));
    }

    #[test]
    fn a_whole_body_goes_on_as_it_is() {
        for body in [json!({}), json!({ "request_buffering": false })] {
            let outcome = harness(&PLUGIN, body).send("POST", "/", &[], "abc");
            assert_eq!(outcome.expect_status(200).seen().body, "abc");
        }
        let error = try_harness(&PLUGIN, json!({ "request_buffering": 1 })).err().unwrap();
        assert!(error.message.contains("expected boolean, got number"), "{error}");
    }
}
