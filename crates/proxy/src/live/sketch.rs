//! A request that is only described, made into one that routes and conditions can look at.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use futures_util::FutureExt as _;
use futures_util::future::{LocalBoxFuture, ready};
use usher_http1::head::Head;
use usher_model::live::Sketch;
use usher_pipeline::consumer::Nobody;
use usher_pipeline::exchange::Exchange;
use usher_pipeline::shelf::Shelf;
use usher_pipeline::worker::{Answer, Call, FetchError, Worker};

use crate::config::{Asked, BodyWord};
use crate::engine::{Spelling, judged};
use crate::options::PathRules;

/// The exchange that this request would be. Its variables are those of a real one.
///
/// # Errors
/// Why the gateway would refuse the path.
pub(crate) fn exchange(sketch: &Sketch, paths: PathRules) -> Result<Exchange, &'static str> {
    let mut exchange = Exchange::new(Rc::new(Bystander::default()), Rc::new(Nobody));
    let client = sketch.client.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    exchange.client = SocketAddr::new(client, 0);
    let (path, query) = match sketch.target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (sketch.target.as_str(), None),
    };
    let mut canonical = String::new();
    let rewritten = crate::engine::canonical(path, &mut canonical)? == Spelling::New;
    let path = if rewritten { &canonical } else { path };
    let authority = sketch.host.to_ascii_lowercase();
    let (host, port) = crate::engine::split_host(&authority);
    let mut head = Head::request("GET", "/");
    head.set_method(&sketch.method).map_err(|_| "the method can't be sent")?;
    head.set_target(&sketch.target).map_err(|_| "the target has characters that may not stand in one")?;
    let named = (!sketch.host.is_empty()).then(|| ("Host".to_owned(), sketch.host.clone()));
    for (name, value) in named.iter().chain(&sketch.headers) {
        // What could never be sent can't decide about a route either.
        let _ = head.append(name, value);
    }
    exchange.request.head = head;
    exchange.request.refill(path, query, rewritten, host, port);
    if !paths.encoded_slash
        && let Some(judged) = judged(path)?
    {
        exchange.request.judge_as(judged);
    }
    Ok(exchange)
}

/// What routes look at of it.
pub(super) fn asked(exchange: &Exchange) -> Asked<'_> {
    Asked::of(exchange, exchange.request.path(), BodyWord::Read)
}

/// A worker that only looks on: it has the time, and does nothing.
#[derive(Default)]
struct Bystander(Shelf);

impl Worker for Bystander {
    fn index(&self) -> usize {
        0
    }

    fn now(&self) -> Instant {
        Instant::now()
    }

    fn unix_ms(&self) -> u64 {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    fn fetch(&self, call: Call) -> LocalBoxFuture<'static, Result<Answer, FetchError>> {
        let reason = "the request is only described".to_owned();
        ready(Err(FetchError::Unreachable { peer: call.url, reason })).boxed_local()
    }

    fn sleep(&self, _: Duration) -> LocalBoxFuture<'static, ()> {
        ready(()).boxed_local()
    }

    fn spawn(&self, _: LocalBoxFuture<'static, ()>) -> bool {
        false
    }

    fn shelf(&self) -> &Shelf {
        &self.0
    }
}
