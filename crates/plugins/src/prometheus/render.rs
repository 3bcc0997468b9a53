//! What a scrape reads. Numbers are added up and written outside of every lock that a worker could wait for.

use usher_model::compat::{APISIX_VERSION, Behaviour};
use usher_pipeline::cause::Causes;
use usher_pipeline::env::Process;
use usher_pipeline::front::Front;
use usher_pipeline::machine;

use super::cells::Kind;
use super::front;
use super::labels::Family;
use super::metrics::Metrics;
use super::models;
use super::stripe::{EGRESS, INGRESS};
use super::text::{Millis, Text, Type, push_label};
use crate::proxy_cache::Zones;

/// Nodes that are told of; more would be more than a scrape should carry.
const MOST_NODES: usize = 10_000;

/// All metrics, families in the order of the alphabet.
pub(super) fn render(metrics: &Metrics, process: &Process) -> String {
    let mut text = Text::new(&metrics.settings.prefix);
    let beyond = metrics.beyond();
    bandwidth(metrics, &mut text);
    models::batches(process, &mut text);
    latency(metrics, &mut text);
    text.describe(
        "http_requests_total",
        Type::Gauge,
        "All requests of clients since the start, as of a tenth of a second ago, whether or not the plugin counts them",
    );
    text.sample("http_requests_total", &[], Front::of(process).connections().requests);
    status(metrics, &mut text);
    models::render(metrics, &mut text);
    text.describe(
        "nginx_metric_errors_total",
        Type::Counter,
        "Requests counted under the label value \"other\" because there are more label sets than plugin_attr.prometheus.max_series",
    );
    text.sample("nginx_metric_errors_total", &[], beyond);
    node_info(process, &mut text);
    own_answers(process, &mut text);
    cache_zones(process, &mut text);
    upstream_status(process, &mut text);
    front::render(process, &mut text);
    text.finish()
}

fn bandwidth(metrics: &Metrics, text: &mut Text<'_>) {
    let name = Family::Bandwidth.name();
    text.describe(name, Type::Counter, "Total bandwidth in bytes consumed per service");
    let series = metrics.series(Family::Bandwidth);
    for (at, kind) in [(EGRESS, "type=\"egress\""), (INGRESS, "type=\"ingress\"")] {
        for one in &series {
            let sums = one.sums(metrics.width(Family::Bandwidth));
            text.sample(name, &[kind, one.labels()], sums.get(at).copied().unwrap_or_default());
        }
    }
}

fn latency(metrics: &Metrics, text: &mut Text<'_>) {
    text.describe(
        Family::Latency.name(),
        Type::Histogram,
        "HTTP request latency in milliseconds per service; type apisix is the gateway's own part",
    );
    let bounds: Vec<String> =
        metrics.settings.buckets_ms.iter().map(|bound| format!("le=\"{bound}\"")).collect();
    let bounds: Vec<&str> = bounds.iter().map(String::as_str).chain(["le=\"+Inf\""]).collect();
    for one in metrics.series(Family::Latency) {
        let sums = one.sums(metrics.width(Family::Latency));
        for ((_, kind), numbers) in Kind::ALL.iter().zip(sums.chunks(metrics.latency.stride())) {
            let Some((sum_us, buckets)) = numbers.split_last() else { continue };
            let kind = format!("type=\"{kind}\"");
            let mut count = 0;
            if buckets.iter().all(|bucket| *bucket == 0) {
                continue;
            }
            for (bound, bucket) in bounds.iter().zip(buckets) {
                count += bucket;
                text.sample("http_latency_bucket", &[&kind, one.labels(), bound], count);
            }
            text.sample("http_latency_sum", &[&kind, one.labels()], Millis(*sum_us));
            text.sample("http_latency_count", &[&kind, one.labels()], count);
        }
    }
}

/// How often the gateway answered by itself, and why. Nothing is written before that happened once.
fn own_answers(process: &Process, text: &mut Text<'_>) {
    let causes = process.permanent(Causes::KEY, Causes::default);
    let mut counted = causes.counted().peekable();
    if counted.peek().is_none() {
        return;
    }
    text.describe(
        "own_answers_total",
        Type::Counter,
        "Requests that the gateway answered by itself, by cause and by who failed",
    );
    for (what, count) in counted {
        let cause = format!("cause=\"{}\"", what.name());
        let failed_by = format!("failed_by=\"{}\"", what.who().name());
        text.sample("own_answers_total", &[&cause, &failed_by], count);
    }
}

fn status(metrics: &Metrics, text: &mut Text<'_>) {
    let name = Family::Status.name();
    text.describe(name, Type::Counter, "HTTP status codes per service");
    for one in metrics.series(Family::Status) {
        let sums = one.sums(metrics.width(Family::Status));
        text.sample(name, &[one.labels()], sums.first().copied().unwrap_or_default());
    }
}

fn node_info(process: &Process, text: &mut Text<'_>) {
    let version =
        if process.compat().has(Behaviour::ApisixNames) { APISIX_VERSION } else { env!("CARGO_PKG_VERSION") };
    let mut labels = String::new();
    push_label(&mut labels, "hostname", machine::name());
    push_label(&mut labels, "version", version);
    text.describe("node_info", Type::Gauge, "The host and version of this gateway");
    text.sample("node_info", &[&labels], 1);
}

/// The zones of `proxy-cache` are what APISIX keeps in shared dictionaries.
fn cache_zones(process: &Process, text: &mut Text<'_>) {
    let zones = Zones::of(process);
    let sizes: Vec<(String, u64, u64)> = zones
        .sizes()
        .map(|(name, capacity, used)| {
            let mut labels = String::new();
            push_label(&mut labels, "name", name);
            (labels, capacity, capacity.saturating_sub(used))
        })
        .collect();
    if sizes.is_empty() {
        return;
    }
    text.describe("shared_dict_capacity_bytes", Type::Gauge, "The size of each memory zone of proxy-cache");
    for (labels, capacity, _) in &sizes {
        text.sample("shared_dict_capacity_bytes", &[labels], capacity);
    }
    text.describe(
        "shared_dict_free_space_bytes",
        Type::Gauge,
        "The room left in each memory zone of proxy-cache",
    );
    for (labels, _, free) in &sizes {
        text.sample("shared_dict_free_space_bytes", &[labels], free);
    }
}

/// Nodes of upstreams that have health checks and were used: 1 for those that get requests.
fn upstream_status(process: &Process, text: &mut Text<'_>) {
    let all = process.targets().health();
    if all.is_empty() {
        return;
    }
    text.describe("upstream_status", Type::Gauge, "Whether health checks find a node of an upstream healthy");
    let nodes = all.iter().flat_map(|upstream| upstream.nodes.iter().map(move |node| (upstream, node)));
    for (upstream, node) in nodes.take(MOST_NODES) {
        let mut labels = String::new();
        push_label(&mut labels, "name", &upstream.name);
        push_label(&mut labels, "ip", &node.ip);
        push_label(&mut labels, "port", &node.port.to_string());
        text.sample("upstream_status", &[&labels], u64::from(node.is_up()));
    }
}
