//! Consumers as plugins see them, and the directory that finds them.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Map, Value};

use crate::compile::Pipeline;

/// Somebody who calls, as named by a credential.
#[derive(Debug, Default)]
pub struct Consumer {
    /// Its user name.
    pub name: Arc<str>,
    /// The consumer group it belongs to.
    pub group_id: Option<Arc<str>>,
    /// Its label `custom_id`, sent upstream as `X-Consumer-Custom-ID`.
    pub custom_id: Option<Arc<str>>,
    /// Its labels.
    pub labels: Map<String, Value>,
    /// The bodies of its own plugins that are no credentials.
    pub plugins: Map<String, Value>,
    /// The same over those of its group, built once, to be laid over the pipelines of routes.
    pub pipeline: Pipeline,
    /// The store revision that made it so.
    pub revision: u64,
    /// Which build this is, by [`Consumer::next_build`]: what is made of a consumer and a route together is kept by it.
    pub build: u64,
}

impl Consumer {
    /// A number that no other build of a consumer has.
    #[must_use]
    pub fn next_build() -> u64 {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        NEXT.fetch_add(1, Ordering::Relaxed)
    }
}

/// A credential that was found.
#[derive(Clone)]
pub struct Found {
    /// Whose it is.
    pub consumer: Arc<Consumer>,
    /// The credential's own id, where it isn't part of the consumer.
    pub credential: Option<Arc<str>>,
    /// The credential's body, of the type that the plugin's `Spec::auth` names.
    pub config: Arc<dyn Any + Send + Sync>,
}

/// Who is calling, once a plugin has settled it.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The consumer.
    pub consumer: Arc<Consumer>,
    /// The credential's own id, where it isn't part of the consumer.
    pub credential: Option<Arc<str>>,
}

/// What plugins may look up in the configuration that the request is served by.
pub trait Directory {
    /// The credential of `plugin` whose unique attribute is `unique`. The look-up takes the same time whether or not it exists.
    fn credential(&self, plugin: &str, unique: &[u8]) -> Option<Found>;

    /// The consumer of this name.
    fn consumer(&self, name: &str) -> Option<Arc<Consumer>>;

    /// Whether there is an upstream of this id.
    fn has_upstream(&self, id: &str) -> bool;
}

/// A directory with nothing in it.
#[derive(Debug, Default)]
pub struct Nobody;

impl Directory for Nobody {
    fn credential(&self, _: &str, _: &[u8]) -> Option<Found> {
        None
    }

    fn consumer(&self, _: &str) -> Option<Arc<Consumer>> {
        None
    }

    fn has_upstream(&self, _: &str) -> bool {
        false
    }
}
