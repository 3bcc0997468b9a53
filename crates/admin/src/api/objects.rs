//! `objects`: reading single objects and lists, with secrets masked whoever asks. Changes go through plans.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::answer::Answer;
use super::endpoint::{Call, Nothing};
use super::names;
use super::refusal::Refusal;
use crate::service::Stored;

/// Objects of a list, where nobody asks for another number, and at most.
const USUAL: usize = 1000;
const MOST: usize = 200_000;

/// One object.
#[derive(Serialize, JsonSchema)]
pub(super) struct Object {
    /// Its kind, such as `route`.
    kind: &'static str,
    /// Its id.
    id: String,
    /// The revision that last changed it; also its ETag.
    revision: u64,
    /// The revision that made it.
    created_revision: u64,
    /// The object itself, secrets masked.
    value: Value,
}

/// Objects of one kind.
#[derive(Serialize, JsonSchema)]
pub(super) struct Objects {
    /// Those that were asked for, by their ids in byte order.
    objects: Vec<Object>,
    /// How many there are in all, with these filters.
    total: usize,
    /// Where the next page begins: give it as `after`. Missing at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// Which objects are wanted.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Filter {
    /// Only objects whose id or name holds this text.
    name: Option<String>,
    /// Only objects with these labels: `name=value`, or a name alone, several with commas.
    label: Option<String>,
    /// Only routes and services that a path which begins like this could reach: compared with `uri` and `uris` as text.
    uri: Option<String>,
    /// Only ids behind this one.
    after: Option<String>,
    /// At most so many, 1 to 200000. Default 1000.
    limit: Option<usize>,
}

/// `GET /objects/{kind}`.
pub(super) async fn list(call: Call, filter: Filter, _: Nothing) -> Result<Answer<Objects>, Refusal> {
    let kind = names::kind(call.parameter("kind"))?;
    let limit = filter.limit.unwrap_or(USUAL).clamp(1, MOST);
    let mut all = call.service.list(&call.who, kind).await?;
    all.retain(|stored| filter.keeps(stored));
    let total = all.len();
    if let Some(after) = &filter.after {
        all.retain(|stored| stored.key.id.as_str() > after.as_str());
    }
    let more = all.len() > limit;
    all.truncate(limit);
    let next = all.last().filter(|_| more).map(|stored| stored.key.id.clone());
    Ok(Answer::ok(Objects { objects: all.into_iter().map(Object::of).collect(), total, next }))
}

/// `GET /objects/{kind}/{id}`.
pub(super) async fn read(call: Call, _: Nothing, _: Nothing) -> Result<Answer<Object>, Refusal> {
    let kind = names::kind(call.parameter("kind"))?;
    let key = names::key(kind, call.parameter("id"))?;
    let stored = call.service.get(&call.who, &key).await?.ok_or_else(|| {
        Refusal::no_object(format!("{key} does not exist"))
            .next(format!("GET /usher/v1/objects/{} lists those that do", names::plural(kind)))
    })?;
    let revision = stored.modified;
    Ok(Answer::ok(Object::of(stored)).tagged(revision))
}

impl Object {
    fn of(stored: Stored) -> Self {
        Self {
            kind: stored.key.kind.schema_name(),
            id: stored.key.id,
            revision: stored.modified,
            created_revision: stored.created,
            value: stored.value,
        }
    }
}

impl Filter {
    fn keeps(&self, stored: &Stored) -> bool {
        let text = |name: &str| stored.value.get(name).and_then(Value::as_str).unwrap_or_default();
        let named = self
            .name
            .as_ref()
            .is_none_or(|name| stored.key.id.contains(name) || text("name").contains(name.as_str()));
        let uris = || stored.value.get("uris").and_then(Value::as_array).into_iter().flatten();
        let reached = self.uri.as_ref().is_none_or(|wanted| {
            let mut all = uris().filter_map(Value::as_str).chain([text("uri")]);
            all.any(|uri| uri.starts_with(wanted.as_str()))
        });
        named && reached && self.label.as_ref().is_none_or(|labels| has(&stored.value, labels))
    }
}

/// Whether an object carries all of these labels.
pub(super) fn has(value: &Value, labels: &str) -> bool {
    labels.split(',').filter(|label| !label.is_empty()).all(|label| {
        let (name, wanted) = label.split_once('=').map_or((label, None), |(name, value)| (name, Some(value)));
        let found = value.get("labels").and_then(|labels| labels.get(name));
        found.is_some_and(|found| wanted.is_none_or(|wanted| found.as_str() == Some(wanted)))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::has;

    #[test]
    fn labels_are_told_apart_by_name_and_value() {
        let value = json!({ "labels": { "team": "pay", "env": "prod" } });
        for (labels, wanted) in [
            ("team=pay", true),
            ("team", true),
            ("team=pay,env=prod", true),
            ("team=pay,env=test", false),
            ("owner", false),
            ("", true),
        ] {
            assert_eq!(has(&value, labels), wanted, "{labels}");
        }
    }
}
