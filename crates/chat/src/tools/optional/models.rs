//! `gateway_models`: which objects lead to models, and how they are limited. Only members that are known to hold no secret are told.

use serde_json::{Map, Value, json};
use usher_model::kind::Kind;

use crate::tools::refusal::Refusal;
use crate::tools::shorten::shorten;
use crate::tools::text::{clean_value, untrusted};
use crate::tools::{Answer, Call, MOST_ITEMS};

/// Where plugins stand that requests meet.
const HOLDERS: [Kind; 5] =
    [Kind::Route, Kind::Service, Kind::PluginConfig, Kind::GlobalRule, Kind::ConsumerGroup];
/// The members of each plugin that are told; those of `instances` are below.
const TOLD: [(&str, &[&str]); 6] = [
    ("ai-proxy", &["provider", "options", "timeout"]),
    ("ai-proxy-multi", &["balancer", "fallback_strategy", "instances", "timeout"]),
    ("ai-rate-limiting", &["limit", "time_window", "limit_strategy", "instances", "rules", "rejected_code"]),
    (
        "ai-prompt-guard",
        &["match_all_roles", "match_all_conversation_history", "allow_patterns", "deny_patterns"],
    ),
    ("ai-prompt-decorator", &["prepend", "append"]),
    ("ai-prompt-template", &["templates"]),
];
/// The members of an instance that are told.
const OF_INSTANCE: [&str; 8] =
    ["name", "provider", "weight", "priority", "options", "limit", "time_window", "limit_strategy"];
/// The members of a model's options that are told: a provider may take others, and nobody knows what is in them.
const OF_OPTIONS: [&str; 5] = ["model", "max_tokens", "temperature", "top_p", "stream"];
/// Characters of one object's plugins.
const MOST_EACH: usize = 700;

impl Call<'_> {
    pub(super) async fn models(&self) -> Result<Answer, Refusal> {
        let mut items = Vec::new();
        let mut total = 0_usize;
        for kind in HOLDERS {
            for stored in self.all(kind).await? {
                let Some(mut plugins) = stored.value.get("plugins").and_then(told) else { continue };
                total += 1;
                if items.len() < MOST_ITEMS {
                    shorten(&mut plugins, MOST_EACH);
                    items.push(json!({ "kind": kind.schema_name(), "id": stored.key.id, "plugins": clean_value(&plugins) }));
                }
            }
        }
        let lines: Vec<String> = items.iter().map(line).collect();
        let text = match total {
            0 => "nothing leads to a model; gateway_plugin_help of ai-proxy says how a route does".to_owned(),
            total => {
                let more = if total > items.len() {
                    format!("\n{} more", total - items.len())
                } else {
                    String::new()
                };
                format!("{}{more}", untrusted("objects", &lines.join("\n"), usize::MAX))
            }
        };
        Ok(Answer { text, structured: json!({ "total": total, "items": items }) })
    }
}

/// What is told of an object's plugins; `None` where none of them is about models.
fn told(plugins: &Value) -> Option<Value> {
    let mut found = Map::new();
    for (name, members) in TOLD {
        let Some(body) = plugins.get(name) else { continue };
        let mut kept = picked(body, members);
        if let Some(instances) = kept.get_mut("instances").and_then(Value::as_array_mut) {
            for instance in instances {
                *instance = with_options(picked(instance, &OF_INSTANCE)).into();
            }
        }
        found.insert(name.to_owned(), with_options(kept).into());
    }
    (!found.is_empty()).then(|| found.into())
}

fn with_options(mut kept: Map<String, Value>) -> Map<String, Value> {
    if let Some(options) = kept.get_mut("options") {
        *options = picked(options, &OF_OPTIONS).into();
    }
    kept
}

fn picked(body: &Value, members: &[&str]) -> Map<String, Value> {
    let found = members.iter().filter_map(|name| Some(((*name).to_owned(), body.get(*name)?.clone())));
    found.collect()
}

fn line(item: &Value) -> String {
    let text = |name: &str| item.get(name).and_then(Value::as_str).unwrap_or_default();
    let plugins = item.get("plugins").map(Value::to_string).unwrap_or_default();
    format!("{} {}: {plugins}", text("kind"), text("id"))
}
