//! What `serverless-pre-function` and `serverless-post-function` share: functions of Luau in one phase of a request.
//!
//! Functions run one after the other: what they say adds up, and the first that returns something or exits ends it. One that fails on the way
//! in is answered 500: it may have been there to refuse the request.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use usher_http1::head::Head;
use usher_pipeline::body::{BodyError, BodyOut, BodyStep};
use usher_pipeline::env::Env;
use usher_pipeline::exchange::Exchange;
use usher_pipeline::plugin::{BuildError, Flow};
use usher_pipeline::reply::Reply;
use usher_script::{BodyScript, Ended, Phase, Script, ScriptError, apply, run, said};

/// The largest body that is read for a function that asks for it, in bytes.
const MAX_BODY_BYTES: u64 = 1 << 20;

/// Between two complaints about the functions of one plugin, in milliseconds.
const COMPLAINS_EVERY_MS: u64 = 1000;

/// Runs functions written in Luau in one phase of a request. What they see as `ngx` and `apisix.core` is in docs/scripts.md; a call is stopped
/// after 50 ms.
#[derive(Deserialize, JsonSchema)]
pub(crate) struct Config {
    /// When the functions run.
    #[serde(default)]
    phase: When,
    /// The sources, each of which returns one function: `return function(conf, ctx) ... end`. A function that returns a status, and perhaps a
    /// body, answers the request.
    #[schemars(length(min = 1))]
    functions: Vec<String>,
}

/// A phase, as APISIX spells it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum When {
    Rewrite,
    #[default]
    Access,
    HeaderFilter,
    BodyFilter,
    Log,
    BeforeProxy,
}

impl When {
    const fn phase(self) -> Phase {
        match self {
            Self::Rewrite => Phase::Rewrite,
            Self::Access => Phase::Access,
            Self::HeaderFilter => Phase::HeaderFilter,
            Self::BodyFilter => Phase::BodyFilter,
            Self::Log => Phase::Log,
            Self::BeforeProxy => Phase::BeforeProxy,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Rewrite => "rewrite",
            Self::Access => "access",
            Self::HeaderFilter => "header_filter",
            Self::BodyFilter => "body_filter",
            Self::Log => "log",
            Self::BeforeProxy => "before_proxy",
        }
    }
}

/// Functions, ready to run.
pub(crate) struct Functions {
    plugin: &'static str,
    phase: Phase,
    scripts: Vec<Arc<Script>>,
    reads_body: bool,
    complained_ms: AtomicU64,
}

impl Functions {
    pub(crate) fn build(plugin: &'static str, config: Config, _: &Env<'_>) -> Result<Self, BuildError> {
        let conf = json!({ "phase": config.phase.name(), "functions": config.functions });
        let scripts = config.functions.iter().enumerate().map(|(at, source)| {
            // The place in the list is what a person knows the function by.
            let name = format!("functions[{at}]");
            match Script::function(&name, source, conf.clone()) {
                Ok(script) => Ok(Arc::new(script)),
                Err(ScriptError::NoFunction(kind)) => {
                    Err(BuildError::new(format!("only accept Lua function, the input code type is {kind}")))
                }
                Err(error) => Err(BuildError::new(format!("failed to loadstring: {error}"))),
            }
        });
        let scripts = scripts.collect::<Result<Vec<_>, _>>()?;
        let reads_body = scripts.iter().any(|script| script.reads_body());
        let phase = config.phase.phase();
        Ok(Self { plugin, phase, scripts, reads_body, complained_ms: AtomicU64::new(0) })
    }

    /// The phase on the way in that `phase` is.
    pub(crate) fn way_in<'a>(&'a self, phase: Phase, exchange: &'a mut Exchange) -> LocalBoxFuture<'a, Flow> {
        if self.phase != phase {
            return futures_util::future::ready(Flow::Continue).boxed_local();
        }
        async move {
            if self.reads_body
                && let Err(error) = exchange.request.body.read_whole(MAX_BODY_BYTES).await
            {
                return Reply::new(error.status()).into();
            }
            self.all(exchange)
        }
        .boxed_local()
    }

    /// The answer's head: what was set before it was there, then the functions of this phase.
    pub(crate) fn header_filter(&self, exchange: &mut Exchange) -> Flow {
        apply(exchange);
        if self.phase == Phase::HeaderFilter { self.all(exchange) } else { Flow::Continue }
    }

    /// The answer's body, through each function.
    pub(crate) fn body_filter(&self, exchange: &mut Exchange) -> Option<Box<dyn BodyStep>> {
        if self.phase != Phase::BodyFilter {
            return None;
        }
        let mut steps = Vec::with_capacity(self.scripts.len());
        for script in &self.scripts {
            match BodyScript::start(Arc::clone(script), exchange, complain_of_body) {
                Ok(step) => steps.push(step),
                Err(error) => self.complain(exchange, &error),
            }
        }
        Some(Box::new(Chain(steps)))
    }

    /// The finished exchange.
    pub(crate) fn log(&self, exchange: &mut Exchange) {
        if self.phase == Phase::Log {
            self.all(exchange);
        }
    }

    fn all(&self, exchange: &mut Exchange) -> Flow {
        for script in &self.scripts {
            match run(script, self.phase, exchange) {
                Ok(Ended::On) => {}
                Ok(Ended::Reply(reply)) => return Flow::Reply(reply),
                Err(error) => {
                    self.complain(exchange, &error);
                    return Reply::new(500).into();
                }
            }
        }
        said(exchange).map_or(Flow::Continue, Flow::from)
    }

    /// Says in the log what failed; not more often than once a second, because it may fail with every request.
    fn complain(&self, exchange: &Exchange, error: &ScriptError) {
        let now = exchange.worker().unix_ms();
        let before = self.complained_ms.swap(now, Ordering::Relaxed);
        if now < before.saturating_add(COMPLAINS_EVERY_MS) {
            self.complained_ms.store(before, Ordering::Relaxed);
            return;
        }
        let route = exchange.route.as_ref().map(|route| &*route.id);
        tracing::error!(plugin = self.plugin, route, %error, "a function of a plugin failed");
    }
}

/// Declares the phases of a plugin whose one field is [`Functions`]: all of them, and each looks whether it is the one.
macro_rules! phases {
    () => {
        usher_pipeline::plugin::Phases {
            rewrite: Some(usher_pipeline::plugin::Hook::Later(|this, exchange| {
                this.0.way_in(usher_script::Phase::Rewrite, exchange)
            })),
            access: Some(usher_pipeline::plugin::Hook::Later(|this, exchange| {
                this.0.way_in(usher_script::Phase::Access, exchange)
            })),
            before_proxy: Some(usher_pipeline::plugin::Hook::Later(|this, exchange| {
                this.0.way_in(usher_script::Phase::BeforeProxy, exchange)
            })),
            header_filter: Some(|this, exchange| this.0.header_filter(exchange)),
            body_filter: Some(|this, exchange| this.0.body_filter(exchange)),
            log: Some(|this, exchange| this.0.log(exchange)),
            ..usher_pipeline::plugin::Phases::NONE
        }
    };
}
pub(crate) use phases;

fn complain_of_body(_: &Script, error: &ScriptError) {
    tracing::error!(%error, "a function failed on the body of an answer, which was cut");
}

/// Functions one behind the other.
struct Chain(Vec<BodyScript>);

impl BodyStep for Chain {
    fn chunk(&mut self, bytes: Bytes, out: &mut BodyOut) -> Result<(), BodyError> {
        let mut pieces = vec![bytes];
        for step in &mut self.0 {
            let mut passed = BodyOut::default();
            for piece in pieces {
                step.chunk(piece, &mut passed)?;
            }
            pieces = passed.take();
        }
        pieces.into_iter().for_each(|piece| out.push(piece));
        Ok(())
    }

    fn end(&mut self, trailers: &mut Head, out: &mut BodyOut) -> Result<(), BodyError> {
        let mut pieces = Vec::new();
        for step in &mut self.0 {
            let mut passed = BodyOut::default();
            for piece in pieces {
                step.chunk(piece, &mut passed)?;
            }
            step.end(trailers, &mut passed)?;
            pieces = passed.take();
        }
        pieces.into_iter().for_each(|piece| out.push(piece));
        Ok(())
    }
}
