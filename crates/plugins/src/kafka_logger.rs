//! `kafka-logger` sends a line of each request to a topic of Kafka.
//!
//! The few messages of Kafka's protocol that a producer needs are spoken here, in the versions that every broker since 1.0 knows, over the same
//! dialer as all other calls of plugins: addresses that brokers name are judged like those that are written.
//!
//! Example: `{"brokers": [{"host": "127.0.0.1", "port": 9092}], "kafka_topic": "requests", "key": "gateway", "timeout": 1, "batch_max_size": 100}`

mod config;
mod producer;
mod records;
mod sasl;
mod wire;

use std::rc::Rc;

use futures_util::FutureExt as _;
use usher_pipeline::env::Env;
use usher_pipeline::exchange::Exchange;
use usher_pipeline::plugin::{BuildError, Phases, Plugin};
use usher_pipeline::spec::Spec;
use usher_pipeline::worker::Worker;

use config::{Config, MetaFormat};
use producer::Producer;

use crate::logs::{self, BatchSettings, Line, Logger, Metadata, Sending, Sink, wire::json_pieces_of};

/// `kafka-logger`.
pub(crate) static PLUGIN: Spec = Spec::of::<KafkaLogger>().metadata::<Metadata>();

struct KafkaLogger {
    logger: Logger<Topic>,
    as_it_came: bool,
}

/// Where batches go.
struct Topic {
    producer: Producer,
    single: bool,
    /// Whether lines are texts, which stand alone in a message as they are.
    are_texts: bool,
    /// The largest message, in bytes, where it holds several lines.
    most_bytes: usize,
}

impl Plugin for KafkaLogger {
    const NAME: &'static str = "kafka-logger";
    const PRIORITY: i32 = 403;
    const PHASES: Phases<Self> = logs::phases!();
    type Config = Config;

    fn build(config: Config, env: &Env<'_>) -> Result<Self, BuildError> {
        let topic = Topic {
            producer: Producer::new(&config, env)?,
            single: config.batch_max_size == 1,
            are_texts: config.meta_format == MetaFormat::Origin,
            most_bytes: usize::try_from(config.producer_batch_size).unwrap_or(usize::MAX),
        };
        let batch = BatchSettings {
            name: Some(config.name),
            batch_max_size: config.batch_max_size,
            inactive_timeout: config.inactive_timeout,
            buffer_duration: config.buffer_duration,
            max_retry_count: config.max_retry_count,
            retry_delay: config.retry_delay,
        };
        let metadata = env.metadata::<Metadata>()?.unwrap_or_default();
        Ok(Self {
            logger: Logger::new(&config.content, batch, &metadata, env, topic)?,
            as_it_came: config.meta_format == MetaFormat::Origin,
        })
    }
}

impl KafkaLogger {
    fn log(&self, exchange: &mut Exchange) {
        if self.as_it_came {
            self.logger.log_request(exchange);
        } else {
            self.logger.log(exchange, None);
        }
    }
}

impl Sink for Topic {
    const NAME: &'static str = "kafka-logger";
    const BATCH: &'static str = "kafka logger";

    fn send<'a>(&'a self, worker: &'a Rc<dyn Worker>, lines: &'a [Line]) -> Sending<'a> {
        async move {
            let mut messages = json_pieces_of(lines, self.single, self.most_bytes);
            if self.single && self.are_texts {
                for message in &mut messages {
                    if let Ok(text) = serde_json::from_str(message) {
                        *message = text;
                    }
                }
            }
            self.producer.send(worker, &messages).await
        }
        .boxed_local()
    }
}

#[cfg(test)]
mod tests;
