//! What all loggers share: what a line says, which bodies it holds, and how lines wait and leave in batches.
//!
//! A logger is a sink for batches of lines and the settings that its users write; everything else is here, so that no sink can hurt traffic:
//! queues and bodies are bounded, and what doesn't fit is dropped and counted.

mod batch;
mod bodies;
mod entry;
mod settings;
pub(crate) mod waiting;
pub(crate) mod wire;

use std::sync::Arc;

use usher_model::compat::Behaviour;
use usher_pipeline::body::BodyStep;
use usher_pipeline::env::Env;
use usher_pipeline::exchange::Exchange;
use usher_pipeline::plugin::BuildError;
use usher_pipeline::stream::Session;
use usher_pipeline::worker::PeerTls;

pub(crate) use batch::{Batch, Line, Sending, Sink, hand_over, together};
pub(crate) use settings::{BatchSettings, Content, Metadata};

use bodies::Bodies;
use entry::Format;

/// A logger: what its lines say, and where they go.
pub(crate) struct Logger<S> {
    format: Format,
    bodies: Bodies,
    batch: Arc<Batch<S>>,
}

impl<S: Sink> Logger<S> {
    /// A logger with these settings; its sink and what waits for it stay the same after an edit of something else.
    ///
    /// # Errors
    /// A member that can't be used.
    pub(crate) fn new(
        content: &Content,
        batch: BatchSettings,
        metadata: &Metadata,
        env: &Env<'_>,
        sink: S,
    ) -> Result<Self, BuildError> {
        let most = metadata.max_pending_entries;
        let key = format!("{}\n{most}", env.own_key());
        Ok(Self {
            format: Format::new(content, metadata)?,
            bodies: Bodies::new(content, env)?,
            batch: Batch::kept(env, &key, sink, batch, most),
        })
    }

    /// Takes along what of the request's body is logged.
    pub(crate) fn request_body(&self, exchange: &mut Exchange) -> Option<Box<dyn BodyStep>> {
        self.bodies.of_request(exchange)
    }

    /// Takes along what of the answer's body is logged.
    pub(crate) fn body_filter(&self, exchange: &mut Exchange) -> Option<Box<dyn BodyStep>> {
        self.bodies.of_answer(exchange)
    }

    /// Writes a line of a finished exchange. `more` is kept beside the line for the sink.
    pub(crate) fn log(&self, exchange: &mut Exchange, more: Option<String>) {
        let at_ms = exchange.worker().unix_ms();
        self.log_at(exchange, at_ms, more);
    }

    /// The same with the time when the request began.
    pub(crate) fn log_since_start(&self, exchange: &mut Exchange, more: Option<String>) {
        let at_ms = entry::started_ms(exchange);
        self.log_at(exchange, at_ms, more);
    }

    fn log_at(&self, exchange: &mut Exchange, at_ms: u64, more: Option<String>) {
        let taken = self.bodies.take(exchange);
        let text = self.format.write(exchange, &taken);
        Batch::add(&self.batch, exchange.worker(), Line { text, at_ms, more });
    }

    /// Writes a line of a finished connection of a stream route.
    pub(crate) fn log_connection(&self, session: &Session) {
        let Some(worker) = &session.worker else { return };
        let text = self.format.write_connection(session, worker.unix_ms());
        Batch::add(&self.batch, worker, Line { text, at_ms: worker.unix_ms(), more: None });
    }

    /// Writes a line that is the request as it came: one text in JSON.
    pub(crate) fn log_request(&self, exchange: &mut Exchange) {
        let taken = self.bodies.take(exchange);
        let text = entry::request(exchange, &taken);
        let worker = exchange.worker();
        let line = Line { text, at_ms: worker.unix_ms(), more: None };
        Batch::add(&self.batch, worker, line);
    }
}

/// TLS with a server of which no setting says whether its certificate is verified: it is, unless `compat` leaves upstreams unverified.
pub(crate) fn tls(env: &Env<'_>, name: Option<String>) -> PeerTls {
    PeerTls { verify: !env.process().compat().has(Behaviour::UnverifiedUpstreams), name }
}

/// Declares the phases of a logger whose value has a field `logger`.
macro_rules! phases {
    () => {
        usher_pipeline::plugin::Phases {
            request_body: Some(|this, exchange| this.logger.request_body(exchange)),
            body_filter: Some(|this, exchange| this.logger.body_filter(exchange)),
            log: Some(Self::log),
            ..usher_pipeline::plugin::Phases::NONE
        }
    };
}
pub(crate) use phases;

#[cfg(test)]
mod tests;
