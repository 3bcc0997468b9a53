//! `opentelemetry` tells an OpenTelemetry collector how long requests took (OTLP over HTTP), and passes on the trace that they belong to (W3C Trace Context).
//!
//! Where the collector is stands in the plugin's metadata. By default nothing is sampled, as in APISIX: `sampler` says what is. Spans wait in bounded
//! batches; a collector that is away costs spans and nothing else.
//!
//! Example: `{"sampler": {"name": "always_on"}, "additional_attributes": ["consumer_name"]}`

mod config;
mod context;
mod span;

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use serde::Deserialize as _;
use usher_http1::head::Head;
use usher_pipeline::env::Env;
use usher_pipeline::exchange::Exchange;
use usher_pipeline::plugin::{BuildError, Flow, Hook, Phases, Plugin};
use usher_pipeline::spec::Spec;
use usher_pipeline::worker::{Call, Worker};

use crate::addresses;
use crate::logs::{Batch, Line, Sending, Sink, hand_over, together};
use config::{Config, Metadata, Sampling, TraceIds};
use context::Context;
use span::Attributes;

/// `opentelemetry`.
pub(crate) static PLUGIN: Spec = Spec::of::<Opentelemetry>().metadata::<Metadata>();

/// The largest answer that is read: only its status counts.
const MAX_ANSWER_BYTES: u64 = 64 << 10;

struct Opentelemetry {
    sampling: Sampling,
    ids: TraceIds,
    sets_variables: bool,
    attributes: Attributes,
    batch: Arc<Batch<Collector>>,
}

/// Where spans are sent.
struct Collector {
    url: String,
    fields: Head,
    timeout: Duration,
    /// What stands in front of the spans.
    start: String,
}

/// What stands behind them.
const END: &str = "]}]}]}";

/// The trace of one request.
#[derive(Default)]
struct Traced(Option<Context>);

impl Plugin for Opentelemetry {
    const NAME: &'static str = "opentelemetry";
    const PRIORITY: i32 = 12009;
    const PHASES: Phases<Self> =
        Phases { rewrite: Some(Hook::Now(Self::begin)), log: Some(Self::end), ..Phases::NONE };
    type Config = Config;

    fn build(config: Config, env: &Env<'_>) -> Result<Self, BuildError> {
        let metadata = match (env.metadata::<Metadata>()?, env.process().attribute(Self::NAME)) {
            (Some(metadata), _) => metadata,
            // Where older versions of APISIX have it.
            (None, Some(attribute)) => Metadata::deserialize(attribute).map_err(|error| {
                BuildError::new(format!("plugin_attr.opentelemetry can't be used: {error}"))
            })?,
            (None, None) => Metadata::default(),
        };
        let address = metadata.collector.url();
        addresses::check_url("collector.address", &address, env)?;
        let collector = Collector {
            url: format!("{address}/v1/traces"),
            fields: metadata.collector.fields()?,
            timeout: Duration::from_secs(metadata.collector.request_timeout),
            start: span::start(&metadata.resource),
        };
        let key = format!("{}\n{}", env.own_key(), metadata.told());
        let settings = metadata.batch_span_processor.settings();
        let most = metadata.batch_span_processor.max_queue_size;
        Ok(Self {
            sampling: config.sampling(),
            ids: metadata.trace_id_source,
            sets_variables: metadata.set_ngx_var,
            attributes: Attributes::new(
                config.additional_attributes.unwrap_or_default(),
                config.additional_header_prefix_attributes.unwrap_or_default(),
            ),
            batch: Batch::kept(env, &key, collector, settings, most),
        })
    }
}

impl Opentelemetry {
    fn begin(&self, exchange: &mut Exchange) -> Flow {
        let came = context::read(&exchange.request.head);
        let context = Context::enter(
            came,
            || self.ids.make(&exchange.request.head),
            |trace, parent| self.sampling.samples(trace, parent),
        );
        context.write(&mut exchange.request.head);
        if self.sets_variables {
            exchange.set_variable("opentelemetry_context_traceparent", context.traceparent());
            exchange.set_variable("opentelemetry_trace_id", context.trace_text());
            exchange.set_variable("opentelemetry_span_id", context.span_text());
        }
        exchange.slot::<_, Traced>(self).0 = Some(context);
        Flow::Continue
    }

    fn end(&self, exchange: &mut Exchange) {
        let Some(Traced(context)) = exchange.existing_slot::<_, Traced>(self) else { return };
        let Some(context) = context.take().filter(|context| context.sampled) else { return };
        let worker = Rc::clone(exchange.worker());
        let text = self.attributes.span(exchange, &context).to_string();
        Batch::add(&self.batch, &worker, Line { text, at_ms: worker.unix_ms(), more: None });
    }
}

impl Sink for Collector {
    const NAME: &'static str = "opentelemetry";

    fn send<'a>(&'a self, worker: &'a Rc<dyn Worker>, lines: &'a [Line]) -> Sending<'a> {
        async move {
            let call = Call {
                method: "POST".to_owned(),
                url: self.url.clone(),
                fields: self.fields.clone(),
                body: together(lines, &self.start, ",", END).into(),
                timeout: self.timeout,
                verify: true,
                max_answer_bytes: MAX_ANSWER_BYTES,
            };
            hand_over(worker, call, "the collector").await
        }
        .boxed_local()
    }
}

#[cfg(test)]
mod tests;
