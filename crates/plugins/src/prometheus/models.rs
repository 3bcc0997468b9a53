//! What a scrape reads of requests to models, and of lines that wait in loggers. Nothing before there are any.

use usher_pipeline::env::Process;

use super::labels::Family;
use super::metrics::Metrics;
use super::text::{Millis, Text, Type, push_label};
use crate::logs::waiting::Batches;

/// Batches that have a line; more would be more than a scrape should carry.
const MOST_BATCHES: usize = 1_000;

/// By APISIX's names.
pub(super) fn render(metrics: &Metrics, text: &mut Text<'_>) {
    under_way(metrics, text);
    tokens(
        metrics,
        Family::LlmCompletionTokens,
        "Tokens of models' answers, as their providers count them",
        text,
    );
    latency(metrics, text);
    tokens(
        metrics,
        Family::LlmPromptTokens,
        "Tokens of what models were asked, as their providers count them",
        text,
    );
}

fn under_way(metrics: &Metrics, text: &mut Text<'_>) {
    let all = metrics.models.under_way();
    if all.is_empty() {
        return;
    }
    text.describe("llm_active_connections", Type::Gauge, "Requests to models that are under way");
    for (one, count) in all {
        let mut labels = String::new();
        for (name, value) in [
            ("route_id", &*one.route),
            ("service_id", &*one.service),
            ("consumer", &*one.consumer),
            ("node", &*one.node),
            ("request_type", one.request_type),
            ("request_llm_model", &*one.request_model),
            ("llm_model", &*one.model),
        ] {
            push_label(&mut labels, name, value);
        }
        text.sample("llm_active_connections", &[&labels], count);
    }
}

fn tokens(metrics: &Metrics, family: Family, help: &str, text: &mut Text<'_>) {
    let series = metrics.series(family);
    if series.is_empty() {
        return;
    }
    text.describe(family.name(), Type::Counter, help);
    for one in series {
        let sums = one.sums(metrics.width(family));
        text.sample(family.name(), &[one.labels()], sums.first().copied().unwrap_or_default());
    }
}

fn latency(metrics: &Metrics, text: &mut Text<'_>) {
    let series = metrics.series(Family::LlmLatency);
    if series.is_empty() {
        return;
    }
    let help = "Milliseconds from asking a model to the first word of its answer; to the end of one that doesn't stream";
    text.describe(Family::LlmLatency.name(), Type::Histogram, help);
    let bounds = metrics.settings.llm_buckets_ms.iter().map(|bound| format!("le=\"{bound}\""));
    let bounds: Vec<String> = bounds.chain(["le=\"+Inf\"".to_owned()]).collect();
    for one in series {
        let sums = one.sums(metrics.width(Family::LlmLatency));
        let Some((sum_us, buckets)) = sums.split_last() else { continue };
        let mut count = 0;
        for (bound, bucket) in bounds.iter().zip(buckets) {
            count += bucket;
            text.sample("llm_latency_bucket", &[one.labels(), bound], count);
        }
        text.sample("llm_latency_sum", &[one.labels()], Millis(*sum_us));
        text.sample("llm_latency_count", &[one.labels()], count);
    }
}

/// Lines of loggers that wait to be sent, by the name of the batch and by the route.
pub(super) fn batches(process: &Process, text: &mut Text<'_>) {
    let all = Batches::of(process).waiting(MOST_BATCHES);
    if all.is_empty() {
        return;
    }
    text.describe("batch_process_entries", Type::Gauge, "Lines of loggers that wait to be sent");
    for ((name, route), count) in all {
        let mut labels = String::new();
        push_label(&mut labels, "name", &name);
        push_label(&mut labels, "route_id", &route);
        push_label(&mut labels, "server_addr", "");
        text.sample("batch_process_entries", &[&labels], count);
    }
}
