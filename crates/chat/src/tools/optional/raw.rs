//! `gateway_raw_get`: what a GET of the Admin API shows, for those who know its paths. Nothing is asked over HTTP: the path only names a kind and an id.

use serde_json::{Value, json};
use usher_admin::service::Stored;
use usher_model::kind::{Key, Kind};

use crate::tools::arguments::Arguments;
use crate::tools::refusal::Refusal;
use crate::tools::shorten::{MOST_JSON, shorten};
use crate::tools::text::{clean, clean_value, untrusted};
use crate::tools::{Answer, Call};

impl Call<'_> {
    pub(super) async fn raw_get(&self, arguments: &Arguments) -> Result<Answer, Refusal> {
        let given = arguments.text("path");
        let path = given.trim_start_matches("/apisix/admin").trim_matches('/');
        let (kind, id) = place(path).ok_or_else(|| {
            let collections: Vec<&str> = collections().map(Kind::collection).collect();
            Refusal::new(format!("{:?} is no path of the Admin API's objects", clean(given, 100)))
                .at("/path")
                .meant(usher_model::nearest::nearest(path, collections.iter().copied()))
                .allowed(format!("one of {}; behind it / and an id", collections.join(", ")))
        })?;
        let mut found = match id {
            Some(id) => {
                let key = Key::new(kind, id);
                let stored = self.stored(&key).await?;
                vec![stored.ok_or_else(|| self.refuse(usher_admin::service::ServiceError::NotFound(key)))?]
            }
            None => self.all(kind).await?,
        };
        let total = found.len();
        if let Some(cursor) = arguments.text_or_null("cursor") {
            found.retain(|stored| stored.key.id.as_str() > cursor);
        }
        // As many as there is room for, and at least one.
        let (mut list, mut size, mut last) = (Vec::new(), 0, None);
        let behind = found.len();
        for stored in found {
            let mut one = shown(&stored);
            shorten(&mut one, MOST_JSON);
            let length = one.to_string().len();
            if size + length > MOST_JSON && !list.is_empty() {
                break;
            }
            size += length;
            last = Some(stored.key.id);
            list.push(one);
        }
        let next = last.filter(|_| list.len() < behind);
        let text = format!(
            "{total} in all{}\n{}",
            next.as_ref()
                .map(|next| format!("; go on with cursor {}", Value::from(next.as_str())))
                .unwrap_or_default(),
            untrusted("objects", &Value::from(list.clone()).to_string(), usize::MAX)
        );
        Ok(Answer { text, structured: json!({ "total": total, "list": list, "next": next }) })
    }
}

/// The kind and the id of a path such as `routes/1` or `consumers/jack/credentials/a`.
fn place(path: &str) -> Option<(Kind, Option<&str>)> {
    let (collection, id) = match path.split_once('/') {
        Some((collection, id)) => (collection, Some(id)),
        None => (path, None),
    };
    if let (Kind::Consumer, Some((_, _))) =
        (named(collection)?, id.and_then(|id| id.split_once("/credentials/")))
    {
        return Some((Kind::Credential, id));
    }
    let kind = named(collection)?;
    // A slash belongs to the ids of secrets alone.
    let is_plain = id.is_none_or(|id| !id.is_empty() && (kind == Kind::Secret || !id.contains('/')));
    is_plain.then_some((kind, id))
}

fn named(collection: &str) -> Option<Kind> {
    collections().find(|kind| kind.collection() == collection)
}

/// The kinds that have a collection of their own; credentials and cost decorations live below others.
fn collections() -> impl Iterator<Item = Kind> {
    Kind::ALL.into_iter().filter(|kind| !matches!(kind, Kind::Credential | Kind::CostDecoration))
}

fn shown(stored: &Stored) -> Value {
    json!({
        "key": clean(&stored.key.path(), 300), "value": clean_value(&stored.value),
        "createdIndex": stored.created, "modifiedIndex": stored.modified,
    })
}
