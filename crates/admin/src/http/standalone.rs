//! `/configs` where the configuration is one document: read as a whole, replaced collection by collection (Admin API contract, section 7).

use std::collections::{HashMap, HashSet};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::http::request::Parts;
use axum::http::{HeaderName, StatusCode, header};
use serde_json::{Map, Value};
use tokio::sync::Mutex;
use usher_model::change::{Edit, Principal};
use usher_model::kind::{Key, Kind};

use super::answer::Answer;
use super::args::Args;
use super::body::Incoming;
use super::configs::shape;
use super::document::{COLLECTIONS, Item, duplicate, identifier, item, place_id};
use super::envelope::strip;
use super::place::Verb;
use super::{Api, Outcome};
use crate::service::{Stored, Wanted};

/// The header, and the member, that names a document's version.
const DIGEST: &str = "X-Digest";
/// The header, and the member, that says when a document was taken, in seconds since 1970.
const MODIFIED: &str = "X-Last-Modified";

/// What is known of the document beside its resources. It ends with the process, as in APISIX: whoever writes the document sends it again.
#[derive(Default)]
pub(super) struct Standalone(Mutex<State>);

#[derive(Clone, Default)]
struct State {
    digest: Option<String>,
    modified_secs: Option<u64>,
    versions: HashMap<Kind, Value>,
    indexes: HashMap<Key, u64>,
}

impl State {
    fn version(&self, kind: Kind) -> Value {
        self.versions.get(&kind).cloned().unwrap_or_else(|| 0.into())
    }

    fn signed(&self, mut answer: Answer) -> Answer {
        if let Some(digest) = &self.digest {
            answer = answer.with(HeaderName::from_static("x-digest"), digest);
        }
        if let Some(secs) = self.modified_secs {
            answer = answer.with(HeaderName::from_static("x-last-modified"), secs.to_string());
        }
        answer
    }
}

impl Api {
    pub(super) async fn document(
        &self,
        who: &Principal,
        head: &Parts,
        body: &mut Incoming,
        verb: Verb,
    ) -> Outcome {
        if verb == Verb::Put { self.replace(who, head, body).await } else { self.show(who, head).await }
    }

    async fn show(&self, who: &Principal, head: &Parts) -> Outcome {
        let state = self.standalone.0.lock().await;
        let mut document = Map::new();
        for kind in COLLECTIONS {
            let mut items = Vec::new();
            for mut stored in self.stored(who, kind).await? {
                strip(&mut stored);
                items.push(shown(stored, &state.indexes));
            }
            if !items.is_empty() {
                document.insert(kind.collection().to_owned(), Value::Array(items));
            }
            document.insert(version_name(kind), state.version(kind));
        }
        if let (Some(digest), Some(secs)) = (&state.digest, state.modified_secs) {
            document.insert(DIGEST.to_owned(), digest.as_str().into());
            document.insert(MODIFIED.to_owned(), secs.into());
        }
        let accepts =
            head.headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let answer = if accepts.starts_with("application/yaml") {
            let text = serde_saphyr::to_string(&document).map_err(|error| {
                Answer::error(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    format!("the document can't be written as YAML: {error}"),
                )
            })?;
            Answer::of(StatusCode::OK, "application/yaml", text)
        } else {
            Answer::json(StatusCode::OK, &document)
        };
        Ok(state.signed(answer))
    }

    async fn replace(&self, who: &Principal, head: &Parts, body: &mut Incoming) -> Outcome {
        let digest = head.headers.get(DIGEST).and_then(|value| value.to_str().ok());
        let digest = digest.ok_or_else(|| Answer::bad("missing digest header"))?.to_owned();
        let document = body.document(&head.headers, self.json_only).await?;
        // One after the other, so that each sees the versions that the one before it left.
        let mut state = self.standalone.0.lock().await;
        if state.digest.as_ref() == Some(&digest) {
            return Ok(Answer::empty(StatusCode::NO_CONTENT));
        }
        let mut next = state.clone();
        let mut edits = Vec::new();
        for kind in COLLECTIONS {
            let (version, known) = (wanted_version(kind, &document, &state)?, state.version(kind));
            if number(&version) == number(&known) {
                continue;
            }
            next.versions.insert(kind, version);
            let items = self.items(kind, document.get(kind.collection())).await?;
            let held = self.stored(who, kind).await?;
            next.indexes.retain(|key, _| collection_of(key) != kind);
            next.indexes
                .extend(items.iter().filter_map(|item| Some((item.key.clone(), item.modified_index?))));
            edits.extend(differences(items, held));
        }
        if !edits.is_empty() {
            // What refers to something that isn't there is refused; what is deleted from under others of the document is too.
            let intent = Some("PUT /configs".to_owned());
            let wanted = Wanted { edits, intent, keep_times: true, force: true, ..Wanted::default() };
            let applied = self.service.write(who, wanted).await?;
            super::write::in_force(&applied)?;
        }
        next.digest = Some(digest);
        next.modified_secs =
            Some(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()));
        *state = next;
        // Whoever waits is told that it is in force; it is for everybody else, too.
        let waits = Args::of(head.uri.query()).number("wait").is_some_and(|ms| ms > 0.0);
        let status = if waits { StatusCode::OK } else { StatusCode::ACCEPTED };
        Ok(state.signed(Answer::empty(status)))
    }

    /// The items of a collection, each checked by itself.
    async fn items(&self, kind: Kind, given: Option<&Value>) -> Result<Vec<Item>, Answer> {
        let name = kind.collection();
        let given = match given {
            None | Some(Value::Null) => return Ok(Vec::new()),
            Some(Value::Array(items)) => items,
            Some(other) => {
                return Err(Answer::bad(format!("invalid {name}: expected a list, got {}", shape(other))));
            }
        };
        let mut items = Vec::with_capacity(given.len());
        let mut seen = HashSet::new();
        for (index, given) in given.iter().enumerate() {
            let wrong =
                |sentence: String| Answer::bad(format!("invalid {name} at index {index}, err: {sentence}"));
            let found = item(self.service.registry(), kind, index, given).map_err(wrong)?;
            let checked = self.service.check_alone(&found.key, found.value.clone()).await;
            checked.map_err(|error| wrong(error.to_string()))?;
            let (what, id) = identifier(kind, given).unwrap_or_else(|| ("id", place_id(index)));
            if !seen.insert(id.clone()) {
                return Err(Answer::bad(duplicate(kind, what, &id)));
            }
            items.push(found);
        }
        Ok(items)
    }

    /// What a collection of the document holds: with its credentials, where it is that of the consumers.
    async fn stored(&self, who: &Principal, kind: Kind) -> Result<Vec<Stored>, Answer> {
        let mut all = self.service.list(who, kind).await?;
        if kind == Kind::Consumer {
            all.extend(self.service.list(who, Kind::Credential).await?);
        }
        Ok(all)
    }
}

/// The version that a document gives a collection.
fn wanted_version(kind: Kind, document: &Map<String, Value>, state: &State) -> Result<Value, Answer> {
    let name = version_name(kind);
    let known = state.version(kind);
    match document.get(&name) {
        None | Some(Value::Null) => {
            Ok(known.as_u64().map_or_else(|| (number(&known) + 1.0).into(), |known| (known + 1).into()))
        }
        Some(Value::Number(_)) if document.get(&name).map(number) < Some(number(&known)) => {
            Err(Answer::bad(format!("{name} must be greater than or equal to ({known})")))
        }
        Some(version @ Value::Number(_)) => Ok(version.clone()),
        Some(_) => Err(Answer::bad(format!("{name} must be a number"))),
    }
}

fn number(version: &Value) -> f64 {
    version.as_f64().unwrap_or_default()
}

fn version_name(kind: Kind) -> String {
    format!("{}_conf_version", kind.collection())
}

/// The collection of the document that a resource stands in.
fn collection_of(key: &Key) -> Kind {
    if key.kind == Kind::Credential { Kind::Consumer } else { key.kind }
}

/// The edits that make of what is held what is wanted.
fn differences(items: Vec<Item>, held: Vec<Stored>) -> Vec<Edit> {
    let mut held: HashMap<Key, Stored> =
        held.into_iter().map(|stored| (stored.key.clone(), stored)).collect();
    let mut edits = Vec::new();
    for Item { key, value, .. } in items {
        let before = held.remove(&key);
        if !before.is_some_and(|before| is_same(before.value, &value)) {
            edits.push(Edit { key, after: Some(value) });
        }
    }
    edits.extend(held.into_keys().map(|key| Edit { key, after: None }));
    edits
}

/// Whether both are the same but for times that the document leaves to us.
fn is_same(mut held: Value, wanted: &Value) -> bool {
    if let Some(members) = held.as_object_mut() {
        members.retain(|name, _| !is_time(name) || wanted.get(name).is_some());
    }
    held == *wanted
}

/// A resource as the document shows it: without our times, a credential by its whole id.
fn shown(stored: Stored, indexes: &HashMap<Key, u64>) -> Value {
    let Stored { key, mut value, .. } = stored;
    if let Some(members) = value.as_object_mut() {
        members.retain(|name, _| !is_time(name));
        if key.kind == Kind::Credential {
            members.insert("id".to_owned(), key.id.as_str().into());
        }
        if let Some(index) = indexes.get(&key) {
            members.insert("modifiedIndex".to_owned(), (*index).into());
        }
    }
    value
}

fn is_time(name: &str) -> bool {
    matches!(name, "create_time" | "update_time")
}
