//! All metrics of a process: the table of label sets that workers share, and a stripe for each worker that none of them shares.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use serde_json::Value;
use usher_pipeline::env::Process;
use usher_pipeline::exchange::Exchange;

use super::cells::{Cell, LatencyLayout};
use super::labels::{Facts, Family, OTHER, Shown};
use super::series::{Found, Series, Table};
use super::settings::Settings;
use super::stripe::{Counting, Stripe};
use crate::ai::facts::Models;

/// How many workers have a stripe of their own; further ones share.
const STRIPES: usize = 64;

/// All metrics of a process.
pub(super) struct Metrics {
    /// The process-wide settings.
    pub(super) settings: Settings,
    /// How latencies are laid out.
    pub(super) latency: LatencyLayout,
    /// How those of models are.
    pub(super) llm_latency: LatencyLayout,
    /// What is known of models.
    pub(super) models: Arc<Models>,
    refused: Option<String>,
    epoch: OnceLock<Instant>,
    generation: AtomicU64,
    table: Mutex<Table>,
    stripes: Box<[Stripe]>,
}

impl Metrics {
    /// The metrics of this process, made at the first call.
    pub(super) fn of(process: &Process) -> Arc<Self> {
        // Made first: what is permanent is made under one lock.
        let models = Models::of(process);
        process.permanent("prometheus", || Self::new(process.attribute("prometheus"), models))
    }

    fn new(attribute: Option<&Value>, models: Arc<Models>) -> Self {
        let (settings, refused) = match Settings::read(attribute) {
            Ok(settings) => (settings, None),
            Err(reason) => (Settings::default(), Some(reason)),
        };
        for name in &settings.without_effect {
            tracing::warn!(setting = %format_args!("plugin_attr.prometheus.{name}"), "a setting of APISIX has no effect");
        }
        Self {
            latency: LatencyLayout::new(&settings.buckets_ms),
            llm_latency: LatencyLayout::new(&settings.llm_buckets_ms),
            models,
            table: Mutex::new(Table::new(settings.max_series)),
            settings,
            refused,
            epoch: OnceLock::new(),
            generation: AtomicU64::new(0),
            stripes: (0..STRIPES).map(|_| Stripe::default()).collect(),
        }
    }

    /// Why the settings can't be used; then nothing is counted.
    pub(super) fn refused(&self) -> Option<&str> {
        self.refused.as_deref()
    }

    /// Counts a finished exchange.
    pub(super) fn count(&self, exchange: &mut Exchange, shown: Shown) {
        let told = self.models.told(exchange);
        let exchange: &Exchange = exchange;
        let index = exchange.worker().index() % STRIPES;
        let Some(stripe) = self.stripes.get(index) else { return };
        let now = exchange.worker().now();
        let now_ms = self.since_epoch_ms(now);
        stripe.count(&Counting { metrics: self, stripe: index, exchange, shown, told, now, now_ms });
    }

    /// Milliseconds since the first call.
    fn since_epoch_ms(&self, now: Instant) -> u64 {
        let epoch = *self.epoch.get_or_init(|| now);
        u64::try_from(now.saturating_duration_since(epoch).as_millis()).unwrap_or(u64::MAX)
    }

    /// Changes whenever cells that workers remember may have been taken out of the table.
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Relaxed)
    }

    /// How many numbers a cell of this metric has.
    pub(super) fn width(&self, family: Family) -> usize {
        match family {
            Family::Status => 1,
            Family::Latency => self.latency.width(),
            Family::Bandwidth => 2,
            Family::LlmLatency => self.llm_latency.stride(),
            Family::LlmPromptTokens | Family::LlmCompletionTokens => 1,
        }
    }

    /// A worker's cell of a label set; `false` when it is the one that stands for all sets beyond the bound.
    pub(super) fn cell(&self, family: Family, labels: &str, stripe: usize, now_ms: u64) -> (Arc<Cell>, bool) {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found = table.find(family, labels);
        if matches!(found, Found::NoRoom { .. }) && table.make_room(now_ms) {
            self.generation.fetch_add(1, Ordering::Relaxed);
            found = table.find(family, labels);
        }
        let (series, within) = match found {
            Found::Series(series) => (series, true),
            Found::NoRoom { first } => {
                if first {
                    tracing::warn!(
                        max_series = self.settings.max_series,
                        "there are more label sets than metrics keep; further ones are counted as \"other\""
                    );
                }
                let extra = &self.settings.family(family).extra;
                let labels = Facts::beyond_the_bound().labels(family, OTHER, extra, &[]);
                (table.always(family, &labels), false)
            }
        };
        drop(table);
        (series.cell(stripe, self.width(family), now_ms), within)
    }

    /// The label sets of a metric in order, without those that have expired.
    pub(super) fn series(&self, family: Family) -> Vec<Arc<Series>> {
        let expire = self.settings.family(family).expire;
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(idle_ms) = expire.and_then(|idle| u64::try_from(idle.as_millis()).ok()) {
            // Workers tell the time by clocks of their own, which may be a little ahead.
            let now_ms = self.since_epoch_ms(Instant::now()).max(table.newest_ms(family));
            if table.expire(family, idle_ms, now_ms) {
                self.generation.fetch_add(1, Ordering::Relaxed);
            }
        }
        let mut series = table.of(family);
        drop(table);
        series.sort_by(|a, b| a.labels().cmp(b.labels()));
        series
    }

    /// How many requests were counted beyond the bound.
    pub(super) fn beyond(&self) -> u64 {
        self.stripes.iter().map(Stripe::beyond).sum()
    }
}
