//! `gateway_find`: objects of a kind, one line each, a page at a time.

use serde_json::{Value, json};
use usher_admin::service::Stored;
use usher_model::kind::Kind;

use super::arguments::Arguments;
use super::line::{line, name_of, nodes};
use super::refusal::Refusal;
use super::text::{clean, untrusted};
use super::{Answer, Call, MOST_ITEMS};

impl Call<'_> {
    pub(super) async fn find(&self, arguments: &Arguments) -> Result<Answer, Refusal> {
        let kind = arguments.kind("kind")?;
        let limit = arguments.limit(MOST_ITEMS)?;
        let text = arguments.text_or_null("text").map(str::to_lowercase);
        let label = arguments.text_or_null("label");
        let mut found = self.all(kind).await?;
        let there_are = found.len();
        found.retain(|stored| {
            text.as_deref().is_none_or(|text| mentions(kind, stored, text))
                && label.is_none_or(|label| is_labelled(stored, label))
        });
        let total = found.len();
        if let Some(cursor) = arguments.text_or_null("cursor") {
            found.retain(|stored| stored.key.id.as_str() > cursor);
        }
        let more = found.len() > limit;
        found.truncate(limit);
        let next = found.last().filter(|_| more).map(|last| last.key.id.clone());
        Ok(answer(kind, &found, there_are, total, next))
    }
}

fn answer(kind: Kind, found: &[Stored], there_are: usize, total: usize, next: Option<String>) -> Answer {
    let items: Vec<Value> = found
        .iter()
        .map(|stored| {
            json!({
                "kind": kind.schema_name(), "id": stored.key.id, "name": name_of(&stored.value).map(|name| clean(name, 100)),
                "line": line(kind, &stored.value),
            })
        })
        .collect();
    let collection = match kind {
        Kind::Credential => "credentials",
        Kind::CostDecoration => "graphql_cost_decorations",
        other => other.collection(),
    };
    let mut text = match (there_are, total) {
        (0, _) => format!("there are no {collection} yet"),
        (_, 0) => format!("none of the {there_are} {collection} fits"),
        (_, total) if total == there_are => format!("{total} {collection}"),
        (_, total) => format!("{total} of {there_are} {collection} fit"),
    };
    let mut lines = Vec::new();
    for stored in found {
        let id = clean(&stored.key.id, 200);
        let name = name_of(&stored.value).filter(|name| *name != stored.key.id);
        let name = name.map(|name| format!(" ({})", clean(name, 100))).unwrap_or_default();
        lines.push(format!("{id}{name}: {}", line(kind, &stored.value)));
    }
    if !lines.is_empty() {
        // Names and paths are what somebody wrote, perhaps for a model to read.
        text.push_str(&format!("\n{}", untrusted("objects", &lines.join("\n"), usize::MAX)));
    }
    if let Some(next) = &next {
        text.push_str(&format!(
            "\n{} shown of {total}; go on with cursor {}",
            found.len(),
            Value::from(next.as_str())
        ));
    }
    Answer { text, structured: json!({ "total": total, "items": items, "next": next }) }
}

/// Whether a word stands in what identifies an object.
pub(super) fn mentions(kind: Kind, stored: &Stored, text: &str) -> bool {
    let has = |part: &str| part.to_lowercase().contains(text);
    let member = |name: &str| stored.value.get(name).and_then(Value::as_str).is_some_and(has);
    has(&stored.key.id)
        || member("name")
        || member("desc")
        || has(&line(kind, &stored.value))
        || has_deep(&stored.value, &has)
}

/// Whether a word stands in a list or a name that the line cuts short: hosts, paths, nodes, plugins.
fn has_deep(value: &Value, has: &impl Fn(&str) -> bool) -> bool {
    let texts = |name: &str| {
        value
            .get(name)
            .and_then(Value::as_array)
            .is_some_and(|all| all.iter().filter_map(Value::as_str).any(has))
    };
    let plugins = value.get("plugins").and_then(Value::as_object);
    let has_node = |upstream: &Value| nodes(upstream).iter().any(|node| has(node));
    texts("uris")
        || texts("hosts")
        || texts("snis")
        || plugins.is_some_and(|all| all.keys().any(|name| has(name)))
        || has_node(value)
        || value.get("upstream").is_some_and(has_node)
}

/// `key`, or `key:value`.
pub(super) fn is_labelled(stored: &Stored, label: &str) -> bool {
    let Some(labels) = stored.value.get("labels").and_then(Value::as_object) else { return false };
    let exact = labels.get(label).is_some();
    exact
        || label.split_once([':', '=']).is_some_and(|(name, wanted)| {
            labels.get(name).and_then(Value::as_str).is_some_and(|value| value == wanted.trim())
        })
}
