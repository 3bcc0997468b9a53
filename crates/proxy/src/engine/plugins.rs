//! The plugins of one request: global rules first, then the route's, with the consumer's laid over them once it is known.

use std::sync::Arc;

use usher_pipeline::body::BodySteps;
use usher_pipeline::compile::Pipeline;
use usher_pipeline::exchange::Exchange;
use usher_pipeline::plugin::Flow;
use usher_pipeline::reply::Reply;

use crate::config::{GlobalRule, Route, Shared};

/// The plugins of one request.
pub(super) struct Plugins<'a> {
    rules: &'a [Arc<GlobalRule>],
    route: Option<&'a Pipeline>,
    overlaid: Option<Arc<Pipeline>>,
}

/// Asks every pipeline in turn; the first that replies ends it.
macro_rules! each {
    ($self:ident, $phase:ident, $exchange:ident) => {{
        for rule in $self.rules {
            if let Flow::Reply(reply) = rule.pipeline.$phase($exchange).await {
                return Flow::Reply(reply);
            }
        }
        match $self.own() {
            Some(own) => own.$phase($exchange).await,
            None => Flow::Continue,
        }
    }};
}

impl<'a> Plugins<'a> {
    /// Global rules alone.
    pub(super) const fn new(rules: &'a [Arc<GlobalRule>]) -> Self {
        Self { rules, route: None, overlaid: None }
    }

    /// Adds the route's.
    pub(super) fn take_route(&mut self, route: &'a Route) {
        self.route = Some(&route.pipeline);
    }

    /// Whether no plugin takes part before the request is sent.
    pub(super) fn are_idle_on_the_way_in(&self) -> bool {
        self.rules.is_empty() && self.own().is_none_or(Pipeline::is_idle_on_the_way_in)
    }

    /// Rewrite, then access; between them the consumer's plugins come in.
    pub(super) async fn way_in(
        &mut self,
        exchange: &mut Exchange,
        route: Option<&Arc<Route>>,
        shared: &Shared,
    ) -> Flow {
        if self.all().any(Pipeline::reads_body)
            && let Err(error) = exchange.read_for_variables().await
        {
            return Reply::new(error.status()).into();
        }
        if let Flow::Reply(reply) = self.rewrite(exchange).await {
            return Flow::Reply(reply);
        }
        if let (Some(consumer), Some(route)) = (exchange.consumer(), route)
            && !consumer.pipeline.is_neutral()
        {
            let overlaid = route.with_consumer(&Arc::clone(consumer), shared);
            if overlaid.reads_body()
                && let Err(error) = exchange.read_for_variables().await
            {
                return Reply::new(error.status()).into();
            }
            let flow = overlaid.rewrite_fresh(exchange).await;
            self.overlaid = Some(overlaid);
            if let Flow::Reply(reply) = flow {
                return Flow::Reply(reply);
            }
        }
        self.access(exchange).await
    }

    async fn rewrite(&self, exchange: &mut Exchange) -> Flow {
        each!(self, rewrite, exchange)
    }

    async fn access(&self, exchange: &mut Exchange) -> Flow {
        each!(self, access, exchange)
    }

    /// After a node was chosen; again on every retry.
    pub(super) async fn before_proxy(&self, exchange: &mut Exchange) -> Flow {
        each!(self, before_proxy, exchange)
    }

    /// The steps of this request's body.
    pub(super) fn request_body(&self, exchange: &mut Exchange, steps: &mut BodySteps) {
        for pipeline in self.all() {
            pipeline.request_body(exchange, steps);
        }
    }

    /// The answer's head.
    pub(super) fn header_filter(&self, exchange: &mut Exchange) -> Flow {
        for pipeline in self.all() {
            if let Flow::Reply(reply) = pipeline.header_filter(exchange) {
                return Flow::Reply(reply);
            }
        }
        Flow::Continue
    }

    /// The steps of this answer's body.
    pub(super) fn body_filter(&self, exchange: &mut Exchange, steps: &mut BodySteps) {
        for pipeline in self.all() {
            pipeline.body_filter(exchange, steps);
        }
    }

    /// An answer of the gateway's own.
    pub(super) fn exit(&self, exchange: &mut Exchange, reply: Reply) -> Reply {
        self.all().fold(reply, |reply, pipeline| pipeline.exit(exchange, reply))
    }

    /// The finished exchange. What one plugin takes out of it no other one logs.
    pub(super) fn log(&self, exchange: &mut Exchange) {
        for pipeline in self.all() {
            pipeline.mask(exchange);
        }
        let own = self.own();
        for rule in self.rules {
            rule.pipeline.log_beside(own, exchange);
        }
        if let Some(own) = own {
            own.log(exchange);
        }
    }

    fn own(&self) -> Option<&Pipeline> {
        self.overlaid.as_deref().or(self.route)
    }

    fn all(&self) -> impl Iterator<Item = &Pipeline> {
        self.rules.iter().map(|rule| -> &Pipeline { &rule.pipeline }).chain(self.own())
    }
}
