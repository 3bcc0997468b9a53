//! One request's way over instances: to the first, and from one that serves it badly to the next.
//!
//! All of it happens before the client has seen a byte of an answer. No instance is asked twice, so that the list of instances bounds it.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use serde_json::{Map, Value};
use usher_pipeline::exchange::Exchange;
use usher_pipeline::fallback::Fallback;
use usher_pipeline::plugin::Flow;
use usher_pipeline::reply::Reply;

use super::fleet::Fleet;
use crate::ai::call;
use crate::ai::protocol::Protocol;

/// One request's way.
struct Journey {
    fleet: Arc<Fleet>,
    /// What the client asks.
    body: Map<String, Value>,
    protocol: Protocol,
    /// How well each instance fits what is asked.
    scores: Vec<f64>,
    come: RefCell<Come>,
}

/// How far it has come.
struct Come {
    /// The instances that are not asked any more.
    passed: Vec<usize>,
    /// The one that is asked.
    at: usize,
    since: Instant,
    /// How many were asked after the first.
    more: u64,
}

/// Sends a request to its first instance.
pub(super) async fn begin(
    fleet: &Arc<Fleet>,
    exchange: &mut Exchange,
    body: Map<String, Value>,
    protocol: Protocol,
) -> Flow {
    let mut passed = Vec::new();
    let scores = fleet.scores(exchange, &body).await;
    let picked = fleet.pick(exchange, &mut passed, &scores, fleet.rules.out_of_tokens).await;
    let Some((at, instance)) = picked.and_then(|at| Some((at, fleet.instance(at)?))) else {
        return Reply::message(503, "no instance has tokens left").into();
    };
    let kept = fleet.rules.go_by_status().then(|| body.clone());
    if let Err(reply) = call::send(exchange, instance, body, protocol).await {
        return Flow::Reply(reply);
    }
    if let Some(body) = kept {
        passed.push(at);
        let come = RefCell::new(Come { passed, at, since: exchange.worker().now(), more: 0 });
        exchange.fallback = Some(Rc::new(Journey { fleet: Arc::clone(fleet), body, protocol, scores, come }));
    }
    Flow::Continue
}

impl Fallback for Journey {
    fn next<'a>(self: Rc<Self>, exchange: &'a mut Exchange, status: u16) -> LocalBoxFuture<'a, bool> {
        async move { self.go_on(exchange, status).await.is_some() }.boxed_local()
    }
}

impl Journey {
    async fn go_on(&self, exchange: &mut Exchange, status: u16) -> Option<()> {
        let rules = &self.fleet.rules;
        let (mut passed, last, more) = {
            let come = self.come.borrow();
            let took = exchange.worker().now().saturating_duration_since(come.since);
            let too_late = rules.within.is_some_and(|within| took > within);
            if !rules.cover(status) || too_late || rules.most.is_some_and(|most| come.more >= most) {
                return None;
            }
            (come.passed.clone(), self.fleet.instance(come.at)?, come.more)
        };
        loop {
            // What one instance may cost is no less bounded where another has failed.
            let at = self.fleet.pick(exchange, &mut passed, &self.scores, true).await?;
            passed.push(at);
            let next = self.fleet.instance(at)?;
            if !next.speaks(self.protocol) {
                continue;
            }
            last.withdraw(exchange);
            if let Err(reply) = call::send(exchange, next, self.body.clone(), self.protocol).await {
                tracing::warn!(
                    instance = &*next.name,
                    status = reply.head.status(),
                    "an instance can't be asked"
                );
                continue;
            }
            tracing::debug!(from = &*last.name, status, to = &*next.name, "another instance is asked");
            *self.come.borrow_mut() = Come { passed, at, since: exchange.worker().now(), more: more + 1 };
            return Some(());
        }
    }
}
