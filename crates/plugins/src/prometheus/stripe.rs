//! One worker's side of metrics: which cells belong to which kind of request, found by one look-up without an allocation.
//!
//! The lock is the worker's own; nobody else ever waits for it. What identifies a request here are the addresses of its route's and consumer's
//! facts, which stay true because an entry keeps them alive.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use smallvec::SmallVec;
use usher_pipeline::consumer::Consumer;
use usher_pipeline::exchange::{Exchange, RouteFacts};

use super::cells::{Cell, Kind};
use super::labels::{Facts, Family, Shown, Source, node_of, write_extra};
use super::metrics::Metrics;
use crate::ai::facts::Told;

/// How many cells a worker remembers; then it forgets all and asks the table again.
const MAX_REMEMBERED: usize = 16_384;
/// Where a bandwidth cell counts what clients sent.
pub(super) const INGRESS: usize = 0;
/// Where a bandwidth cell counts what clients got.
pub(super) const EGRESS: usize = 1;

/// One worker's side of metrics. Aligned so that two workers never write to one cache line.
#[repr(align(128))]
#[derive(Default)]
pub(super) struct Stripe {
    beyond: AtomicU64,
    lookup: Mutex<Lookup>,
}

#[derive(Default)]
struct Lookup {
    known: HashMap<Key, Entry, BuildHasherDefault<Mix>>,
    remembered: usize,
    generation: u64,
    /// Refilled for each request, so that its buffer is allocated once.
    probe: Key,
}

#[derive(Clone, Default, PartialEq, Eq, Hash)]
struct Key {
    route: usize,
    consumer: usize,
    node: u128,
    source: Option<Source>,
    shown: Shown,
    extra: Vec<u8>,
}

struct Entry {
    _route: Option<Arc<RouteFacts>>,
    _consumer: Option<Arc<Consumer>>,
    latency: Arc<Cell>,
    bandwidth: Arc<Cell>,
    statuses: SmallVec<[(u16, Arc<Cell>); 4]>,
    /// Whether one of its label sets found no room.
    beyond: bool,
}

impl Stripe {
    /// Requests that were counted beyond the bound.
    pub(super) fn beyond(&self) -> u64 {
        self.beyond.load(Ordering::Relaxed)
    }

    /// Counts a finished exchange.
    pub(super) fn count(&self, one: &Counting<'_>) {
        let mut lookup = self.lookup.lock().unwrap_or_else(PoisonError::into_inner);
        lookup.forget_when_outdated(one.metrics.generation());
        lookup.probe.fill(one);
        let Lookup { known, remembered, probe, .. } = &mut *lookup;
        let beyond = match known.get_mut(probe) {
            Some(entry) => entry.count(one, remembered),
            None => {
                let mut entry = Entry::new(one);
                *remembered += 1;
                let beyond = entry.count(one, remembered);
                known.insert(probe.clone(), entry);
                beyond
            }
        };
        let beyond = one.told.as_ref().is_some_and(|told| one.add_model(told)) || beyond;
        if beyond {
            // Under the lock, so that there is one writer.
            self.beyond.store(self.beyond.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        }
    }
}

/// A finished exchange that is being counted.
pub(super) struct Counting<'a> {
    /// All metrics.
    pub(super) metrics: &'a Metrics,
    /// Which stripe its worker has.
    pub(super) stripe: usize,
    /// The exchange.
    pub(super) exchange: &'a Exchange,
    /// What its labels say.
    pub(super) shown: Shown,
    /// What a model was asked by it.
    pub(super) told: Option<Told>,
    /// When it ended.
    pub(super) now: Instant,
    /// The same in milliseconds since the first exchange.
    pub(super) now_ms: u64,
}

impl Counting<'_> {
    /// This worker's cell of the exchange's label set; `false` when it found no room.
    fn cell(&self, family: Family, code: &str) -> (Arc<Cell>, bool) {
        let extra = &self.metrics.settings.family(family).extra;
        let values: Vec<Vec<u8>> = extra
            .iter()
            .map(|extra| {
                let mut value = Vec::new();
                write_extra(self.exchange, extra, &mut value);
                value
            })
            .collect();
        let labels =
            Facts::of(self.exchange, self.shown, self.told.as_ref()).labels(family, code, extra, &values);
        self.metrics.cell(family, &labels, self.stripe, self.now_ms)
    }

    /// Where there was no answer the client went away before one, which nginx calls 499.
    fn status(&self) -> u16 {
        match self.exchange.answer.status() {
            0 => 499,
            status => status,
        }
    }

    fn add_latency(&self, cell: &Cell) {
        let times = &self.exchange.times;
        let layout = &self.metrics.latency;
        let whole_us = micros(self.now.saturating_duration_since(times.start));
        let upstream_us = times
            .upstream_start
            .map(|start| micros(times.upstream_end.unwrap_or(self.now).saturating_duration_since(start)));
        layout.observe(cell, Kind::Request, whole_us);
        if let Some(upstream_us) = upstream_us {
            layout.observe(cell, Kind::Upstream, upstream_us);
        }
        layout.observe(cell, Kind::Apisix, whole_us.saturating_sub(upstream_us.unwrap_or_default()));
    }
}

impl Counting<'_> {
    /// Counts what a model was asked. `true` when a label set found no room. The table is asked each time: models take longer than that.
    fn add_model(&self, told: &Told) -> bool {
        let mut beyond = false;
        let mut add = |family: Family, add: &dyn Fn(&Cell)| {
            let (cell, within) = self.cell(family, "");
            beyond |= !within;
            add(&cell);
            cell.touch(self.now_ms);
        };
        if let Some(took) = told.first_word {
            let layout = &self.metrics.llm_latency;
            add(Family::LlmLatency, &|cell| layout.observe(cell, Kind::Request, micros(took)));
        }
        if told.usage.known {
            add(Family::LlmPromptTokens, &|cell| cell.add(0, told.usage.prompt));
            add(Family::LlmCompletionTokens, &|cell| cell.add(0, told.usage.completion));
        }
        beyond
    }
}

impl Lookup {
    fn forget_when_outdated(&mut self, generation: u64) {
        if self.generation != generation || self.remembered > MAX_REMEMBERED {
            self.known.clear();
            self.remembered = 0;
            self.generation = generation;
        }
    }
}

impl Key {
    fn fill(&mut self, one: &Counting<'_>) {
        let exchange = one.exchange;
        self.route = exchange.route.as_ref().map_or(0, |route| Arc::as_ptr(route).addr());
        self.consumer = exchange.consumer().map_or(0, |consumer| Arc::as_ptr(consumer).addr());
        self.node = node_of(exchange).map_or(0, |node| match node {
            IpAddr::V4(node) => node.to_ipv6_mapped().to_bits(),
            IpAddr::V6(node) => node.to_bits(),
        });
        self.source = Some(Source::of(exchange));
        self.shown = one.shown;
        self.extra.clear();
        for extra in one.metrics.settings.extra_labels() {
            write_extra(exchange, extra, &mut self.extra);
            // No text in UTF-8 has this byte, so that two values never read as two others.
            self.extra.push(0xff);
        }
        if let Some(told) = &one.told {
            for text in [told.request_type, &*told.request_model, &*told.model] {
                self.extra.extend_from_slice(text.as_bytes());
                self.extra.push(0xff);
            }
        }
    }
}

impl Entry {
    fn new(one: &Counting<'_>) -> Self {
        let (latency, latency_within) = one.cell(Family::Latency, "");
        let (bandwidth, bandwidth_within) = one.cell(Family::Bandwidth, "");
        Self {
            _route: one.exchange.route.clone(),
            _consumer: one.exchange.consumer().cloned(),
            latency,
            bandwidth,
            statuses: SmallVec::new(),
            beyond: !(latency_within && bandwidth_within),
        }
    }

    /// `true` when one of its label sets found no room.
    fn count(&mut self, one: &Counting<'_>, remembered: &mut usize) -> bool {
        let status = one.status();
        if !self.statuses.iter().any(|(known, _)| *known == status) {
            let (cell, within) = one.cell(Family::Status, &status.to_string());
            self.beyond |= !within;
            self.statuses.push((status, cell));
            *remembered += 1;
        }
        if let Some((_, cell)) = self.statuses.iter().find(|(known, _)| *known == status) {
            cell.add(0, 1);
            cell.touch(one.now_ms);
        }
        one.add_latency(&self.latency);
        self.latency.touch(one.now_ms);
        let times = &one.exchange.times;
        self.bandwidth.add(INGRESS, times.received_bytes);
        self.bandwidth.add(EGRESS, times.sent_bytes);
        self.bandwidth.touch(one.now_ms);
        self.beyond
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// A quick hash for keys that clients can't choose.
#[derive(Default)]
struct Mix(u64);

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u8(&mut self, value: u8) {
        self.write_u64(u64::from(value));
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = (self.0.rotate_left(5) ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn write_usize(&mut self, value: usize) {
        self.write_u64(value as u64);
    }

    fn write_u128(&mut self, value: u128) {
        #[expect(clippy::cast_possible_truncation, reason = "both halves are written")]
        let halves = [value as u64, (value >> 64) as u64];
        halves.into_iter().for_each(|half| self.write_u64(half));
    }
}
