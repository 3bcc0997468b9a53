//! Many requests at once for one answer that isn't there.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use serde_json::{Map, Value, json};
use usher_http1::head::Head;
use usher_model::compat::Compat;
use usher_pipeline::body::BodySteps;
use usher_pipeline::compile::Pipeline;
use usher_pipeline::consumer::Nobody;
use usher_pipeline::env::{Env, Process, Target, Targets};
use usher_pipeline::exchange::{AnsweredBy, Exchange};
use usher_pipeline::plugin::Flow;
use usher_pipeline::registry::Registry;
use usher_pipeline::shelf::Shelf;
use usher_pipeline::worker::{Answer, Call, FetchError, Worker};

use super::super::PLUGIN;
use super::body;

/// A worker on which nobody's patience ever ends, or everybody's at once.
struct Patient {
    now: Instant,
    patient: bool,
    shelf: Shelf,
}

impl Worker for Patient {
    fn index(&self) -> usize {
        0
    }

    fn now(&self) -> Instant {
        self.now
    }

    fn unix_ms(&self) -> u64 {
        0
    }

    fn fetch(&self, call: Call) -> LocalBoxFuture<'static, Result<Answer, FetchError>> {
        Box::pin(std::future::ready(Err(FetchError::TimedOut(call.url))))
    }

    fn sleep(&self, _: Duration) -> LocalBoxFuture<'static, ()> {
        if self.patient { Box::pin(std::future::pending()) } else { Box::pin(std::future::ready(())) }
    }

    fn spawn(&self, _: LocalBoxFuture<'static, ()>) -> bool {
        false
    }

    fn shelf(&self) -> &Shelf {
        &self.shelf
    }
}

struct NoTargets;

impl Targets for NoTargets {
    fn target(&self, _: &str, _: &Value, _: Compat) -> Result<Arc<dyn Target>, String> {
        Err("there are none here".into())
    }
}

fn pipeline(more: &Value) -> Pipeline {
    let process = Process::new(Map::new(), Compat::NONE, Box::new(NoTargets));
    let registry = Registry::new(&[&PLUGIN]);
    let bodies = Map::from_iter([("proxy-cache".to_owned(), body(more))]);
    Pipeline::compile(&bodies, &Env::new(&process, &registry, "/apisix/routes/1")).unwrap()
}

fn request() -> Exchange {
    with_patience(true)
}

fn with_patience(patient: bool) -> Exchange {
    let mut exchange = Exchange::new(
        Rc::new(Patient { now: Instant::now(), patient, shelf: Shelf::default() }),
        Rc::new(Nobody),
    );
    exchange.request.head = Head::request("GET", "/");
    exchange.request.refill("/", None, false, "a.test", None);
    exchange
}

/// Sends the answer's head through the plugin; its body follows through the steps.
fn head_comes(pipeline: &Pipeline, exchange: &mut Exchange, fields: &[(&str, &str)]) -> BodySteps {
    exchange.answered_by = AnsweredBy::Upstream;
    exchange.answer = Head::response(200);
    exchange.answer.append("Content-Length", "4").unwrap();
    for (name, value) in fields {
        exchange.answer.append(name, value).unwrap();
    }
    assert!(matches!(pipeline.header_filter(exchange), Flow::Continue));
    let mut steps = BodySteps::default();
    pipeline.body_filter(exchange, &mut steps);
    assert!(steps.keep_length(), "the client is told the length all the same");
    steps
}

type Waiting<'a> = LocalBoxFuture<'a, Flow>;

fn is_hit(waiting: &mut Waiting<'_>) -> bool {
    match waiting.now_or_never() {
        Some(Flow::Reply(reply)) => reply.head.get_str("apisix-cache-status") == Some("HIT"),
        Some(Flow::Continue) => panic!("it went to the upstream"),
        None => false,
    }
}

fn goes_on(waiting: &mut Waiting<'_>) -> bool {
    matches!(waiting.now_or_never(), Some(Flow::Continue))
}

/// One request that flies, and others that wait for it.
macro_rules! one_of_many {
    ($pipeline:ident, $first:ident, $others:ident) => {
        let mut $first = request();
        assert!(goes_on(&mut $pipeline.access(&mut $first).boxed_local()));
        let mut exchanges: Vec<Exchange> = (0..100).map(|_| request()).collect();
        let mut $others: Vec<Waiting<'_>> =
            exchanges.iter_mut().map(|exchange| $pipeline.access(exchange).boxed_local()).collect();
        assert!($others.iter_mut().all(|waiting| waiting.now_or_never().is_none()));
    };
}

#[test]
fn one_request_fetches_and_all_others_get_its_answer() {
    let pipeline = pipeline(&json!({}));
    one_of_many!(pipeline, first, others);
    let mut steps = head_comes(&pipeline, &mut first, &[]);
    steps.chunk(Bytes::from_static(b"body")).unwrap();
    assert!(!others.iter_mut().any(is_hit), "only a whole answer is one");
    steps.end(&mut Head::empty()).unwrap();
    assert!(others.iter_mut().all(is_hit));
}

#[test]
fn where_the_first_is_gone_another_takes_over() {
    let pipeline = pipeline(&json!({}));
    one_of_many!(pipeline, first, others);
    let mut steps = head_comes(&pipeline, &mut first, &[]);
    steps.chunk(Bytes::from_static(b"bo")).unwrap();
    // The client left in the middle of the body.
    drop(steps);
    pipeline.log(&mut first);
    let going = others.iter_mut().filter_map(|waiting| waiting.now_or_never()).count();
    assert_eq!(going, 1, "one flies, the others go on waiting");
}

#[test]
fn nobody_waits_for_what_can_not_be_kept() {
    for (more, fields) in [
        (json!({}), &[("Cache-Control", "private")]),
        (json!({}), &[("Set-Cookie", "a=b")]),
        (json!({ "max_resp_body_size": 3 }), &[("X-Any", "1")]),
    ] {
        let pipeline = pipeline(&more);
        one_of_many!(pipeline, first, others);
        let mut steps = head_comes(&pipeline, &mut first, fields);
        assert!(others.iter_mut().all(goes_on), "{more} {fields:?}");
        steps.end(&mut Head::empty()).unwrap();
        // For a while, nobody even begins to wait.
        let mut next = [request(), request()];
        for exchange in &mut next {
            assert!(goes_on(&mut pipeline.access(exchange).boxed_local()), "{more} {fields:?}");
        }
    }
}

#[test]
fn a_body_that_grows_too_large_lets_all_others_go() {
    let pipeline = pipeline(&json!({ "max_resp_body_size": 6 }));
    one_of_many!(pipeline, first, others);
    let mut steps = head_comes(&pipeline, &mut first, &[]);
    for _ in 0..2 {
        let passed = steps.chunk(Bytes::from_static(b"body")).unwrap().concat();
        assert_eq!(passed, b"body", "the client gets it all the same");
    }
    assert!(others.iter_mut().all(goes_on));
}

#[test]
fn who_has_no_patience_left_goes_to_the_upstream() {
    let pipeline = pipeline(&json!({}));
    one_of_many!(pipeline, first, others);
    let mut hasty = with_patience(false);
    assert!(goes_on(&mut pipeline.access(&mut hasty).boxed_local()));
    let mut steps = head_comes(&pipeline, &mut hasty, &[]);
    steps.chunk(Bytes::from_static(b"body")).unwrap();
    steps.end(&mut Head::empty()).unwrap();
    assert!(is_hit(&mut pipeline.access(&mut request()).boxed_local()), "what it fetched is kept for all");
    pipeline.log(&mut first);
    assert!(others.iter_mut().all(is_hit));
}

#[test]
fn a_request_that_passes_two_caches_never_waits_for_itself() {
    let process = Process::new(Map::new(), Compat::NONE, Box::new(NoTargets));
    let registry = Registry::new(&[&PLUGIN]);
    let bodies = Map::from_iter([("proxy-cache".to_owned(), body(&json!({})))]);
    let build = |resource| Pipeline::compile(&bodies, &Env::new(&process, &registry, resource)).unwrap();
    let (rule, route) = (build("/apisix/global_rules/1"), build("/apisix/routes/1"));
    let mut exchange = request();
    assert!(goes_on(&mut rule.access(&mut exchange).boxed_local()));
    assert!(goes_on(&mut route.access(&mut exchange).boxed_local()));
}

#[test]
fn a_refusal_of_the_gateways_own_leaves_the_others_waiting_for_the_next() {
    let pipeline = pipeline(&json!({}));
    one_of_many!(pipeline, first, others);
    first.answered_by = AnsweredBy::Gateway;
    first.answer = Head::response(429);
    assert!(matches!(pipeline.header_filter(&mut first), Flow::Continue));
    let going = others.iter_mut().filter_map(|waiting| waiting.now_or_never()).count();
    assert_eq!(going, 1, "the next one flies");
}

#[test]
fn who_finds_the_answer_too_old_does_not_wait_for_the_next_one() {
    let pipeline = pipeline(&json!({ "cache_control": true }));
    let mut first = request();
    assert!(goes_on(&mut pipeline.access(&mut first).boxed_local()));
    let mut choosy: Vec<Exchange> = (0..10).map(|_| request()).collect();
    for exchange in &mut choosy {
        exchange.request.head.append("Cache-Control", "max-age=0").unwrap();
    }
    let mut waiting: Vec<Waiting<'_>> =
        choosy.iter_mut().map(|exchange| pipeline.access(exchange).boxed_local()).collect();
    assert!(waiting.iter_mut().all(|waiting| waiting.now_or_never().is_none()));
    let mut steps = head_comes(&pipeline, &mut first, &[("Cache-Control", "max-age=60"), ("Age", "1")]);
    steps.chunk(Bytes::from_static(b"body")).unwrap();
    steps.end(&mut Head::empty()).unwrap();
    assert!(waiting.iter_mut().all(goes_on));
}
