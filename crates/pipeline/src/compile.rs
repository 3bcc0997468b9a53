//! What a set of plugin bodies becomes: one list per phase, in order, with empty lists where nobody takes part.

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};
use usher_model::expr::Expr;
use usher_model::variables::names_body;

use crate::body::BodySteps;
use crate::env::Env;
use crate::exchange::Exchange;
use crate::meta::Meta;
use crate::plugin::{BuildError, Called, Flow};
use crate::reply::Reply;
use crate::spec::{Running, Spec};

/// A route's (or global rule's) plugins, ready to run. Shared by all workers; cheap to clone.
#[derive(Clone, Default)]
pub struct Pipeline {
    parts: Vec<Part>,
    /// Plugins that `_meta.disable` leaves out here, and out of whatever this is laid over.
    left_out: Vec<&'static str>,
    rewrite: Vec<Step>,
    access: Vec<Step>,
    before_proxy: Vec<Step>,
    request_body: Vec<Step>,
    header_filter: Vec<Step>,
    body_filter: Vec<Step>,
    exit: Vec<Step>,
    mask: Vec<Step>,
    log: Vec<Step>,
    /// Whether a plugin's body names variables of the request's body.
    reads_body: bool,
}

#[derive(Clone)]
struct Part {
    spec: &'static Spec,
    priority: i32,
    step: Step,
    /// Came in by an overlay under a name that the base didn't have.
    fresh: bool,
    /// Names variables of the request's body.
    reads_body: bool,
}

#[derive(Clone)]
struct Step {
    name: &'static str,
    prefers_route: bool,
    plugin: Arc<dyn Running>,
    guard: Option<Arc<Guard>>,
}

/// What `_meta` puts around a plugin.
struct Guard {
    filter: Option<Expr>,
    error_response: Option<Value>,
}

impl Step {
    fn admits(&self, exchange: &mut Exchange) -> bool {
        let Some(guard) = &self.guard else { return true };
        let Some(filter) = &guard.filter else { return true };
        exchange.judged(Arc::as_ptr(guard) as usize, |exchange| filter.eval(exchange))
    }

    fn refused(&self, reply: Box<Reply>) -> Flow {
        match self.guard.as_ref().and_then(|guard| guard.error_response.as_ref()) {
            Some(response) if reply.head.status() >= 400 => {
                let mut made = match response {
                    Value::String(text) => {
                        Reply::text(reply.head.status(), "text/plain; charset=utf-8", text.clone())
                    }
                    other => Reply::json(reply.head.status(), other),
                };
                for (name, value) in reply.head.iter() {
                    if !name.eq_ignore_ascii_case("content-type") {
                        made = made.with(name, value);
                    }
                }
                made.into()
            }
            _ => Flow::Reply(reply),
        }
    }
}

/// Runs one phase of steps that may wait.
macro_rules! walk {
    ($steps:expr, $hook:ident, $exchange:ident) => {{
        for step in $steps {
            if !step.admits($exchange) {
                step.plugin.passed_over($exchange);
                continue;
            }
            $exchange.note_run(step.name, stringify!($hook));
            let flow = match step.plugin.$hook($exchange) {
                Called::Now(flow) => flow,
                Called::Later(waiting) => waiting.await,
            };
            $exchange.note_ran();
            if let Flow::Reply(reply) = flow {
                $exchange.note_reply(step.name);
                return step.refused(reply);
            }
        }
        Flow::Continue
    }};
}

impl fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.specs().map(|spec| spec.name)).finish()
    }
}

impl Pipeline {
    /// Builds the plugins of one object; `_meta.disable` leaves one out.
    ///
    /// # Errors
    /// The first plugin that is unknown or can't be built; its name is in the sentence.
    pub fn compile(bodies: &Map<String, Value>, env: &Env<'_>) -> Result<Self, BuildError> {
        let (parts, left_out) = parts(bodies, env)?;
        Ok(Self::of_parts(parts, left_out))
    }

    /// The same plugins with others laid over them: a consumer's over its route's. Plugins that aren't replaced stay the very same.
    ///
    /// # Errors
    /// As for [`Pipeline::compile`].
    pub fn overlay(&self, bodies: &Map<String, Value>, env: &Env<'_>) -> Result<Self, BuildError> {
        Ok(self.under(&Self::compile(bodies, env)?))
    }

    /// The same plugins with those of another pipeline laid over them. Nothing is built: both pipelines' plugins stay the very same, so that what
    /// several routes have from one service, plugin config or consumer is built once.
    #[must_use]
    pub fn under(&self, over: &Self) -> Self {
        let replaced = |name: &str| over.names(name) || over.left_out.contains(&name);
        let base = self.parts.iter().filter(|part| !replaced(part.spec.name));
        let base = base.map(|part| Part { fresh: false, ..part.clone() });
        let laid = over.parts.iter().map(|part| Part { fresh: !self.names(part.spec.name), ..part.clone() });
        let below = self.left_out.iter().filter(|name| !over.names(name) && !over.left_out.contains(name));
        let left_out = over.left_out.iter().chain(below).copied().collect();
        Self::of_parts(base.chain(laid).collect(), left_out)
    }

    fn names(&self, plugin: &str) -> bool {
        self.parts.iter().any(|part| part.spec.name == plugin)
    }

    fn of_parts(mut parts: Vec<Part>, left_out: Vec<&'static str>) -> Self {
        parts.sort_by_key(|part| (std::cmp::Reverse(part.priority), part.spec.name));
        let lane = |takes_part: fn(&Spec) -> bool| -> Vec<Step> {
            parts.iter().filter(|part| takes_part(part.spec)).map(|part| part.step.clone()).collect()
        };
        // What codes an answer sees it last.
        let outward = |takes_part: fn(&Spec) -> bool| -> Vec<Step> {
            let of = |outermost: bool| parts.iter().filter(move |part| part.spec.outermost == outermost);
            let taking = of(false).chain(of(true)).filter(|part| takes_part(part.spec));
            taking.map(|part| part.step.clone()).collect()
        };
        Self {
            rewrite: lane(|spec| spec.phases.rewrite),
            access: lane(|spec| spec.phases.access),
            before_proxy: lane(|spec| spec.phases.before_proxy),
            request_body: lane(|spec| spec.phases.request_body),
            header_filter: outward(|spec| spec.phases.header_filter),
            body_filter: outward(|spec| spec.phases.body_filter),
            exit: lane(|spec| spec.phases.exit),
            mask: lane(|spec| spec.phases.mask),
            log: lane(|spec| spec.phases.log),
            reads_body: parts.iter().any(|part| part.reads_body),
            parts,
            left_out,
        }
    }

    /// Whether it has no plugin at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Whether it changes nothing that it is laid over: it has no plugin, and leaves none out.
    #[must_use]
    pub fn is_neutral(&self) -> bool {
        self.parts.is_empty() && self.left_out.is_empty()
    }

    /// Its plugins in order.
    pub fn specs(&self) -> impl Iterator<Item = &'static Spec> {
        self.parts.iter().map(|part| part.spec)
    }

    /// The rewrite phase.
    pub async fn rewrite(&self, exchange: &mut Exchange) -> Flow {
        walk!(&self.rewrite, rewrite, exchange)
    }

    /// The rewrite phase of those plugins that an overlay brought new and that don't authenticate (data plane contract, section 4).
    pub async fn rewrite_fresh(&self, exchange: &mut Exchange) -> Flow {
        let fresh =
            self.parts.iter().filter(|part| part.fresh && !part.spec.is_auth() && part.spec.phases.rewrite);
        walk!(fresh.map(|part| &part.step), rewrite, exchange)
    }

    /// The access phase.
    pub async fn access(&self, exchange: &mut Exchange) -> Flow {
        for step in &self.access {
            if exchange.is_stood_in_for(step.name) {
                continue;
            }
            if !step.admits(exchange) {
                step.plugin.passed_over(exchange);
                continue;
            }
            exchange.note_run(step.name, "access");
            let flow = match step.plugin.access(exchange) {
                Called::Now(flow) => flow,
                Called::Later(waiting) => waiting.await,
            };
            exchange.note_ran();
            if let Flow::Reply(reply) = flow {
                exchange.note_reply(step.name);
                return step.refused(reply);
            }
        }
        Flow::Continue
    }

    /// The phase between choosing a node and sending; again on every retry.
    pub async fn before_proxy(&self, exchange: &mut Exchange) -> Flow {
        walk!(&self.before_proxy, before_proxy, exchange)
    }

    /// Whether rewrite, access and before_proxy are all empty, so that a request passes without a look.
    #[must_use]
    pub fn is_idle_on_the_way_in(&self) -> bool {
        self.rewrite.is_empty() && self.access.is_empty() && self.before_proxy.is_empty() && !self.reads_body
    }

    /// Whether variables of the request's body are asked for, so that it has to be read before the plugins run.
    #[must_use]
    pub const fn reads_body(&self) -> bool {
        self.reads_body
    }

    /// Adds this request's body steps.
    pub fn request_body(&self, exchange: &mut Exchange, steps: &mut BodySteps) {
        for step in &self.request_body {
            if step.admits(exchange)
                && let Some(body) = step.plugin.request_body(exchange)
            {
                steps.push(body);
            }
        }
    }

    /// The answer's head passes every plugin. One that replies replaces the answer.
    pub fn header_filter(&self, exchange: &mut Exchange) -> Flow {
        for step in &self.header_filter {
            if !step.admits(exchange) {
                continue;
            }
            exchange.note_run(step.name, "header_filter");
            let flow = step.plugin.header_filter(exchange);
            exchange.note_ran();
            if let Flow::Reply(reply) = flow {
                exchange.note_reply(step.name);
                return step.refused(reply);
            }
        }
        Flow::Continue
    }

    /// Adds this answer's body steps.
    pub fn body_filter(&self, exchange: &mut Exchange, steps: &mut BodySteps) {
        for step in &self.body_filter {
            if step.admits(exchange)
                && let Some(body) = step.plugin.body_filter(exchange)
            {
                steps.push(body);
            }
        }
    }

    /// An answer of the gateway's own passes the plugins that may make another of it.
    #[must_use]
    pub fn exit(&self, exchange: &mut Exchange, mut reply: Reply) -> Reply {
        for step in &self.exit {
            if step.admits(exchange) {
                reply = step.plugin.exit(exchange, reply);
            }
        }
        reply
    }

    /// What nobody may log is taken out of the finished exchange: of all pipelines before the first plugin of any logs it.
    pub fn mask(&self, exchange: &mut Exchange) {
        for step in &self.mask {
            if step.admits(exchange) {
                step.plugin.mask(exchange);
            }
        }
    }

    /// The finished exchange passes every plugin.
    pub fn log(&self, exchange: &mut Exchange) {
        self.log_beside(None, exchange);
    }

    /// The same for a global rule's plugins: those that leave the work to the route's are passed over where the route has them.
    pub fn log_beside(&self, route: Option<&Self>, exchange: &mut Exchange) {
        for step in &self.log {
            let left = step.prefers_route && route.is_some_and(|route| route.names(step.name));
            if !left && step.admits(exchange) {
                exchange.note_run(step.name, "log");
                step.plugin.log(exchange);
                exchange.note_ran();
            }
        }
    }
}

/// The plugins of these bodies, and the names of those that are switched off.
fn parts(bodies: &Map<String, Value>, env: &Env<'_>) -> Result<(Vec<Part>, Vec<&'static str>), BuildError> {
    let mut parts = Vec::with_capacity(bodies.len());
    let mut left_out = Vec::new();
    for (name, body) in bodies {
        let registry = env.registry();
        let spec = registry.for_requests(name);
        let spec = spec.ok_or_else(|| BuildError::new(format!("unknown plugin [{name}]")))?;
        let in_plugin = |error: BuildError| BuildError::new(format!("plugin {name}: {error}"));
        let meta = Meta::of(body).map_err(in_plugin)?;
        if meta.disable {
            left_out.push(spec.name);
            continue;
        }
        let plugin = registry.build(spec, body, env).map_err(in_plugin)?;
        let guarded = meta.filter.is_some() || meta.error_response.is_some();
        let guard =
            guarded.then(|| Arc::new(Guard { filter: meta.filter, error_response: meta.error_response }));
        let reads_body = names_body(&body.to_string());
        let priority = meta.priority.unwrap_or(spec.priority);
        parts.push(Part {
            spec,
            priority,
            step: Step { name: spec.name, prefers_route: spec.prefers_route, plugin, guard },
            fresh: false,
            reads_body,
        });
    }
    Ok((parts, left_out))
}
