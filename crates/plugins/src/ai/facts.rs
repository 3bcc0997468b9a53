//! What metrics are told of requests to models: which model, how long to the first word, what it cost, and how many are under way.
//!
//! Names of models come from clients too. Those that the configuration names are told apart, and so are those that a provider has answered for, up to
//! a bound; everything else is one name, so that no client makes a metric grow.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use usher_pipeline::env::Process;
use usher_pipeline::exchange::Exchange;

use super::asked;
use super::usage::Usage;

/// Names of models that are told apart, and their longest, in bytes.
const MOST_MODELS: usize = 200;
const LONGEST_NAME: usize = 128;
/// Label sets of requests under way.
const MOST_KINDS: usize = 1_000;
/// What stands for everything that isn't told apart.
const OTHER: &str = "other";

/// What a process knows of its requests to models.
#[derive(Default)]
pub(crate) struct Models {
    names: RwLock<Vec<Arc<str>>>,
    under_way: Mutex<HashMap<Labels, Arc<AtomicU64>>>,
}

/// What tells requests under way apart.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Labels {
    pub(crate) route: Arc<str>,
    pub(crate) service: Arc<str>,
    pub(crate) consumer: Arc<str>,
    /// The instance.
    pub(crate) node: Arc<str>,
    pub(crate) request_type: &'static str,
    pub(crate) request_model: Arc<str>,
    pub(crate) model: Arc<str>,
}

/// A request that is under way; ends when it is dropped.
pub(crate) struct UnderWay(Arc<AtomicU64>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a finished request to a model came to.
#[derive(Clone)]
pub(crate) struct Told {
    pub(crate) node: Arc<str>,
    pub(crate) request_type: &'static str,
    pub(crate) request_model: Arc<str>,
    pub(crate) model: Arc<str>,
    /// To the first word of an answer that streams, or to the end of another one.
    pub(crate) first_word: Option<Duration>,
    pub(crate) usage: Usage,
}

impl Models {
    /// Those of this process.
    pub(crate) fn of(process: &Process) -> Arc<Self> {
        process.permanent("models", Self::default)
    }

    /// Tells a model apart from now on.
    pub(crate) fn know(&self, name: &str) {
        if name.is_empty() || name.len() > LONGEST_NAME || self.find(name).is_some() {
            return;
        }
        let mut names = self.names.write().unwrap_or_else(PoisonError::into_inner);
        if names.len() < MOST_MODELS && !names.iter().any(|known| **known == *name) {
            names.push(name.into());
        }
    }

    fn find(&self, name: &str) -> Option<Arc<str>> {
        let names = self.names.read().unwrap_or_else(PoisonError::into_inner);
        names.iter().find(|known| ***known == *name).cloned()
    }

    /// The name as a metric may say it.
    fn bounded(&self, name: &str) -> Arc<str> {
        if name.is_empty() { Arc::default() } else { self.find(name).unwrap_or_else(|| OTHER.into()) }
    }

    /// A request goes out to an instance.
    pub(crate) fn begin(&self, exchange: &mut Exchange) -> UnderWay {
        let known = asked(exchange).clone();
        let route = exchange.route.as_deref();
        let labels = Labels {
            route: route.map(|route| Arc::clone(&route.id)).unwrap_or_default(),
            service: route.map(|route| Arc::clone(&route.service_id)).unwrap_or_default(),
            consumer: exchange.consumer().map(|consumer| Arc::clone(&consumer.name)).unwrap_or_default(),
            node: known.instance.clone().unwrap_or_default(),
            request_type: known.request_type,
            request_model: self.bounded(&known.request_model),
            model: self.bounded(&known.model),
        };
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        if under_way.len() >= MOST_KINDS && !under_way.contains_key(&labels) {
            under_way.retain(|_, count| count.load(Ordering::Relaxed) > 0);
        }
        let labels = if under_way.len() < MOST_KINDS || under_way.contains_key(&labels) {
            labels
        } else {
            let other: Arc<str> = OTHER.into();
            let (route, service, consumer) = (Arc::clone(&other), Arc::clone(&other), Arc::clone(&other));
            let (node, request_model) = (Arc::clone(&other), Arc::clone(&other));
            Labels { route, service, consumer, node, request_type: OTHER, request_model, model: other }
        };
        let count = Arc::clone(under_way.entry(labels).or_default());
        count.fetch_add(1, Ordering::Relaxed);
        UnderWay(count)
    }

    /// How many requests are under way, in the order of their labels.
    pub(crate) fn under_way(&self) -> Vec<(Labels, u64)> {
        let under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> =
            under_way.iter().map(|(labels, count)| (labels.clone(), count.load(Ordering::Relaxed))).collect();
        drop(under_way);
        all.sort();
        all
    }

    /// What a finished request came to; `None` where no model was asked.
    pub(crate) fn told(&self, exchange: &mut Exchange) -> Option<Told> {
        let is_good = exchange.answer.status() < 300;
        let known = asked(exchange);
        let node = known.instance.clone()?;
        if is_good {
            // The provider has such a model.
            self.know(&known.model);
        }
        Some(Told {
            node,
            request_type: known.request_type,
            request_model: self.bounded(&known.request_model),
            model: self.bounded(&known.model),
            first_word: known.first_word.get(),
            usage: known.usage.get(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{LONGEST_NAME, MOST_MODELS, Models};

    #[test]
    fn names_of_models_have_a_bound() {
        let models = Models::default();
        for number in 0..MOST_MODELS + 50 {
            models.know(&format!("model-{number}"));
        }
        models.know(&"x".repeat(LONGEST_NAME + 1));
        for (name, shown) in [("model-0", "model-0"), ("", ""), ("made-up", "other"), ("model-240", "other")]
        {
            assert_eq!(&*models.bounded(name), shown);
        }
    }
}
