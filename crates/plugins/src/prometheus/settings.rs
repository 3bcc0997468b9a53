//! The process-wide settings of metrics: `plugin_attr.prometheus` in `config.yaml`.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use usher_model::nearest::nearest;

use super::labels::{self, Extra, Family};
use super::text;

/// Where metrics are read.
pub(super) const EXPORT_URI: &str = "/apisix/prometheus/metrics";
/// The upper bounds of latency buckets in milliseconds, APISIX's.
const BUCKETS_MS: [f64; 15] =
    [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0, 10000.0, 30000.0, 60000.0];
const MAX_BUCKETS: usize = 64;
/// How many label sets are kept, a histogram's buckets counted as one.
const MAX_SERIES: usize = 10_000;
const MAX_EXTRA_LABELS: usize = 8;

/// The settings, read.
pub(super) struct Settings {
    /// Stands before every name; `apisix_` by default.
    pub(super) prefix: String,
    /// Upper bounds of latency buckets in milliseconds, ascending.
    pub(super) buckets_ms: Vec<f64>,
    /// The same of what models take to their first word.
    pub(super) llm_buckets_ms: Vec<f64>,
    /// How many label sets are kept; 10,000 by default.
    pub(super) max_series: usize,
    /// Known names of APISIX's that nothing is done about.
    pub(super) without_effect: Vec<String>,
    families: [FamilySettings; Family::ALL.len()],
}

/// What may be set for one metric.
#[derive(Default)]
pub(super) struct FamilySettings {
    /// Further labels.
    pub(super) extra: Vec<Extra>,
    /// How long a label set stays that doesn't move; for ever where `None`.
    pub(super) expire: Option<Duration>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Written {
    metric_prefix: Option<String>,
    default_buckets: Option<Vec<f64>>,
    max_series: Option<usize>,
    metrics: BTreeMap<String, WrittenFamily>,
    export_uri: Option<String>,
    export_addr: Option<Value>,
    enable_export_server: Option<bool>,
    refresh_interval: Option<Value>,
    remove_expired_keys_interval: Option<Value>,
    llm_latency_buckets: Option<Vec<f64>>,
    llm_prompt_tokens_buckets: Option<Value>,
    llm_completion_tokens_buckets: Option<Value>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WrittenFamily {
    extra_labels: Vec<BTreeMap<String, String>>,
    expire: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            prefix: "apisix_".to_owned(),
            buckets_ms: BUCKETS_MS.to_vec(),
            llm_buckets_ms: BUCKETS_MS.to_vec(),
            max_series: MAX_SERIES,
            without_effect: Vec::new(),
            families: Default::default(),
        }
    }
}

impl Settings {
    /// Reads `plugin_attr.prometheus`.
    ///
    /// # Errors
    /// The setting that is unknown or wrong, and what is allowed.
    pub(super) fn read(attribute: Option<&Value>) -> Result<Self, String> {
        let mut settings = Self::default();
        let Some(attribute) = attribute.filter(|value| !value.is_null()) else { return Ok(settings) };
        let written = Written::deserialize(attribute).map_err(|error| error.to_string())?;
        settings.without_effect = without_effect(&written);
        if let Some(prefix) = written.metric_prefix {
            if !text::is_metric_name(&prefix) {
                return Err(format!(
                    "metric_prefix {prefix:?} can't begin a name; write letters, digits, _ or :, and no digit first"
                ));
            }
            settings.prefix = prefix;
        }
        if let Some(buckets) = written.default_buckets {
            settings.buckets_ms = checked_buckets("default_buckets", buckets)?;
        }
        if let Some(buckets) = written.llm_latency_buckets {
            settings.llm_buckets_ms = checked_buckets("llm_latency_buckets", buckets)?;
        }
        if let Some(most) = written.max_series {
            if most == 0 || most > 1_000_000 {
                return Err(format!("max_series {most} is out of range; write a number from 1 to 1000000"));
            }
            settings.max_series = most;
        }
        for (name, family) in written.metrics {
            match Family::ALL.into_iter().find(|known| known.name() == name) {
                Some(known) => *settings.family_mut(known) = read_family(known, family)?,
                // APISIX has further ones, which this version hasn't.
                None if name.starts_with("llm_") => settings.without_effect.push(format!("metrics.{name}")),
                None => {
                    let known = Family::ALL.map(Family::name);
                    let hint =
                        nearest(&name, known.into_iter()).map(|near| format!("; did you mean {near}?"));
                    return Err(format!("metrics.{name} is not a metric{}", hint.unwrap_or_default()));
                }
            }
        }
        Ok(settings)
    }

    /// What is set for this metric.
    pub(super) fn family(&self, family: Family) -> &FamilySettings {
        let [status, latency, bandwidth, llm_latency, prompt, completion] = &self.families;
        match family {
            Family::Status => status,
            Family::Latency => latency,
            Family::Bandwidth => bandwidth,
            Family::LlmLatency => llm_latency,
            Family::LlmPromptTokens => prompt,
            Family::LlmCompletionTokens => completion,
        }
    }

    fn family_mut(&mut self, family: Family) -> &mut FamilySettings {
        let [status, latency, bandwidth, llm_latency, prompt, completion] = &mut self.families;
        match family {
            Family::Status => status,
            Family::Latency => latency,
            Family::Bandwidth => bandwidth,
            Family::LlmLatency => llm_latency,
            Family::LlmPromptTokens => prompt,
            Family::LlmCompletionTokens => completion,
        }
    }

    /// The further labels of all metrics.
    pub(super) fn extra_labels(&self) -> impl Iterator<Item = &Extra> {
        self.families.iter().flat_map(|family| &family.extra)
    }
}

fn without_effect(written: &Written) -> Vec<String> {
    [
        ("export_addr", written.export_addr.is_some()),
        ("enable_export_server", written.enable_export_server == Some(false)),
        ("refresh_interval", written.refresh_interval.is_some()),
        ("remove_expired_keys_interval", written.remove_expired_keys_interval.is_some()),
        ("llm_prompt_tokens_buckets", written.llm_prompt_tokens_buckets.is_some()),
        ("llm_completion_tokens_buckets", written.llm_completion_tokens_buckets.is_some()),
    ]
    .into_iter()
    .filter(|(_, given)| *given)
    .map(|(name, _)| name.to_owned())
    .collect()
}

fn checked_buckets(name: &str, buckets: Vec<f64>) -> Result<Vec<f64>, String> {
    let ascending = buckets.windows(2).all(|pair| matches!(pair, [low, high] if low < high));
    let positive = buckets.iter().all(|bound| *bound > 0.0 && bound.is_finite());
    if buckets.is_empty() || buckets.len() > MAX_BUCKETS || !ascending || !positive {
        return Err(format!(
            "{name} {buckets:?} can't be used; write 1 to {MAX_BUCKETS} milliseconds above 0, each larger than the one before"
        ));
    }
    Ok(buckets)
}

fn read_family(family: Family, written: WrittenFamily) -> Result<FamilySettings, String> {
    let place = format!("metrics.{}", family.name());
    let mut extra: Vec<Extra> = Vec::new();
    for (label, variable) in written.extra_labels.into_iter().flatten() {
        if !text::is_label_name(&label) {
            return Err(format!(
                "{place}.extra_labels: {label:?} can't be a label; write letters, digits and _, and no digit or __ first"
            ));
        }
        if family.labels().contains(&label.as_str()) || extra.iter().any(|known| known.label == label) {
            return Err(format!(
                "{place}.extra_labels: there is a label {label} already; choose another name"
            ));
        }
        let bare = variable.strip_prefix('$').unwrap_or_default();
        if !labels::is_bounded(bare) {
            return Err(format!(
                "{place}.extra_labels: {variable} can't be the value of a label, because clients could make it grow without end; \
                 write one of {}",
                labels::bounded_variables()
            ));
        }
        extra.push(Extra { label, variable: bare.to_owned() });
    }
    if extra.len() > MAX_EXTRA_LABELS {
        return Err(format!(
            "{place}.extra_labels: {} are too many; at most {MAX_EXTRA_LABELS}",
            extra.len()
        ));
    }
    let expire = (written.expire > 0).then(|| Duration::from_secs(written.expire));
    Ok(FamilySettings { extra, expire })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::{Family, Settings};

    #[test]
    fn settings_of_apisix_are_read() {
        let settings = Settings::read(Some(&json!({
            "metric_prefix": "gw_",
            "default_buckets": [15, 55, 105.5],
            "export_uri": "/metrics",
            "export_addr": { "ip": "127.0.0.1", "port": 9091 },
            "metrics": {
                "http_status": { "extra_labels": [{ "upstream_addr": "$upstream_addr" }, { "how": "$upstream_status" }], "expire": 600 },
                "http_latency": {}, "llm_latency": { "expire": 5 }, "llm_prompt_tokens_dist": {}
            }
        })))
        .unwrap();
        assert_eq!(
            (settings.prefix.as_str(), settings.buckets_ms.as_slice()),
            ("gw_", [15.0, 55.0, 105.5].as_slice())
        );
        let status = settings.family(Family::Status);
        assert_eq!((status.extra.len(), status.expire), (2, Some(Duration::from_secs(600))));
        assert_eq!(settings.family(Family::Latency).expire, None);
        assert_eq!(settings.family(Family::LlmLatency).expire, Some(Duration::from_secs(5)));
        assert_eq!(settings.without_effect, ["export_addr", "metrics.llm_prompt_tokens_dist"]);
        assert!(Settings::read(None).is_ok_and(|settings| settings.extra_labels().next().is_none()));
    }

    #[test]
    fn wrong_settings_are_named() {
        let labels =
            |list: serde_json::Value| json!({ "metrics": { "bandwidth": { "extra_labels": list } } });
        for (attribute, wanted) in [
            (json!({ "metric_prefix": "9x" }), "metric_prefix \"9x\""),
            (json!({ "default_buckets": [] }), "default_buckets []"),
            (json!({ "llm_latency_buckets": [5, 1] }), "llm_latency_buckets [5.0, 1.0]"),
            (json!({ "default_buckets": [5, 5] }), "default_buckets [5.0, 5.0]"),
            (json!({ "default_buckets": [0, 5] }), "default_buckets [0.0, 5.0]"),
            (json!({ "max_series": 0 }), "max_series 0"),
            (json!({ "metric_prefx": "x" }), "unknown field `metric_prefx`"),
            (
                json!({ "metrics": { "http_statuss": {} } }),
                "metrics.http_statuss is not a metric; did you mean http_status?",
            ),
            (labels(json!([{ "__x": "$status" }])), "metrics.bandwidth.extra_labels: \"__x\""),
            (labels(json!([{ "node": "$status" }])), "metrics.bandwidth.extra_labels: there is a label node"),
            (
                labels(json!([{ "a": "$status" }, { "a": "$scheme" }])),
                "metrics.bandwidth.extra_labels: there is a label a",
            ),
            (labels(json!([{ "a": "$uri" }])), "metrics.bandwidth.extra_labels: $uri can't"),
            (
                labels(json!([{ "a": "$http_user_agent" }])),
                "metrics.bandwidth.extra_labels: $http_user_agent can't",
            ),
            (labels(json!([{ "a": "status" }])), "metrics.bandwidth.extra_labels: status can't"),
        ] {
            let error = Settings::read(Some(&attribute)).err().unwrap_or_default();
            assert!(error.starts_with(wanted), "{attribute}: {error}");
        }
    }
}
