//! `objects`: reading single objects and lists, with secrets masked whoever asks. Changes go through plans.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use usher_model::kind::Key;

use super::answer::Answer;
use super::endpoint::{Call, Nothing};
use super::names;
use super::refusal::Refusal;
use crate::service::{Keeps, PageQuery, Stored};

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
    /// When it is deleted by itself, in milliseconds since 1970; missing where it stays.
    #[serde(skip_serializing_if = "Option::is_none")]
    ends_unix_ms: Option<u64>,
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
    /// Only objects of whose id, name, description, paths or hosts one holds this text, in whatever case.
    q: Option<String>,
    /// Only objects that name this host, or a pattern such as `*.a.test` that covers it.
    host: Option<String>,
    /// Only objects that carry this plugin themselves.
    plugin: Option<String>,
    /// Only ids behind this one.
    after: Option<String>,
    /// At most so many, 1 to 200000. Default 1000.
    limit: Option<usize>,
}

/// `GET /objects/{kind}`.
pub(super) async fn list(call: Call, filter: Filter, _: Nothing) -> Result<Answer<Objects>, Refusal> {
    let kind = names::kind(call.parameter("kind"))?;
    check_labels(filter.label.as_deref().unwrap_or_default())?;
    let limit = filter.limit.unwrap_or(USUAL).clamp(1, MOST);
    let keeps = |key: &Key, value: &Value| filter.keeps(&key.id, value);
    let query = PageQuery {
        after: filter.after.as_deref(),
        limit,
        keeps: (!filter.is_empty()).then_some(&keeps as &Keeps<'_>),
    };
    let page = call.service.page(&call.who, kind, query).await?;
    let next = page.objects.last().filter(|_| page.more).map(|stored| stored.key.id.clone());
    let objects = page.objects.into_iter().map(Object::of).collect();
    Ok(Answer::ok(Objects { objects, total: page.total, next }))
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
            ends_unix_ms: stored.ends_unix_ms,
            value: stored.value,
        }
    }
}

impl Filter {
    fn is_empty(&self) -> bool {
        let conditions = [&self.name, &self.label, &self.uri, &self.q, &self.host, &self.plugin];
        conditions.iter().all(|condition| condition.is_none())
    }

    fn keeps(&self, id: &str, value: &Value) -> bool {
        let name = value.get("name").and_then(Value::as_str).unwrap_or_default();
        let named =
            self.name.as_ref().is_none_or(|part| id.contains(part.as_str()) || name.contains(part.as_str()));
        let reached = self
            .uri
            .as_ref()
            .is_none_or(|wanted| texts(value, &["uri", "uris"]).any(|uri| uri.starts_with(wanted.as_str())));
        let hosted = self.host.as_ref().is_none_or(|wanted| {
            texts(value, &["host", "hosts", "sni", "snis"]).any(|host| covers(host, wanted))
        });
        let plugged = self.plugin.as_ref().is_none_or(|plugin| {
            value.get("plugins").is_some_and(|plugins| plugins.get(plugin.as_str()).is_some())
        });
        let found = self.q.as_ref().is_none_or(|part| {
            let part = part.to_lowercase();
            let members = ["name", "desc", "username", "uri", "uris", "host", "hosts", "sni", "snis"];
            std::iter::once(id).chain(texts(value, &members)).any(|text| text.to_lowercase().contains(&part))
        });
        let labelled = self.label.as_ref().is_none_or(|labels| has(value, labels));
        named && reached && hosted && plugged && found && labelled
    }
}

/// The texts in these members, alone or in lists.
fn texts<'a>(value: &'a Value, members: &'a [&'a str]) -> impl Iterator<Item = &'a str> {
    members.iter().filter_map(|member| value.get(member)).flat_map(|found| {
        let several = found.as_array().into_iter().flatten().filter_map(Value::as_str);
        several.chain(found.as_str())
    })
}

/// Whether a host or pattern covers a host.
fn covers(pattern: &str, host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    let pattern = pattern.to_ascii_lowercase();
    match pattern.strip_prefix('*') {
        Some(end) => host.len() > end.len() && host.ends_with(end) || host == pattern,
        None => pattern == host,
    }
}

/// Whether a list of labels can be meant so.
///
/// # Errors
/// 422 with the part that is no label.
pub(super) fn check_labels(labels: &str) -> Result<(), Refusal> {
    let is_label = |label: &str| {
        let (name, value) = label.split_once('=').map_or((label, None), |(name, value)| (name, Some(value)));
        !name.is_empty() && value.is_none_or(|value| !value.is_empty())
    };
    match labels.split(',').find(|label| !is_label(label)) {
        Some(bad) if !labels.is_empty() => Err(Refusal::invalid(format!("{bad:?} is no label"))
            .at("label")
            .next("write name=value, or a name alone; several with commas")),
        _ => Ok(()),
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

    use super::{Filter, has};

    #[test]
    fn objects_are_found_by_what_people_know_of_them() {
        let value = json!({ "name": "Speakers", "uris": ["/speaker/*"], "hosts": ["*.a.test"], "plugins": { "key-auth": {} } });
        let some = |text: &str| Some(text.to_owned());
        for (filter, wanted) in [
            (Filter::default(), true),
            (Filter { q: some("speak"), ..Filter::default() }, true),
            (Filter { q: some("A.TEST"), ..Filter::default() }, true),
            (Filter { q: some("r1"), ..Filter::default() }, true),
            (Filter { q: some("key-auth"), ..Filter::default() }, false),
            (Filter { host: some("x.A.test"), ..Filter::default() }, true),
            (Filter { host: some("a.test"), ..Filter::default() }, false),
            (Filter { plugin: some("key-auth"), ..Filter::default() }, true),
            (Filter { plugin: some("jwt-auth"), ..Filter::default() }, false),
            (Filter { uri: some("/speaker"), name: some("eak"), ..Filter::default() }, true),
        ] {
            assert_eq!(
                filter.keeps("r1", &value),
                wanted,
                "{:?} {:?} {:?}",
                filter.q,
                filter.host,
                filter.plugin
            );
        }
    }

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
