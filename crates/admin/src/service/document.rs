//! A whole wanted state: what of it differs from what is there, as one wish.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde_json::Value;
use usher_model::change::Principal;
use usher_model::kind::{Key, Kind, PREFIX};

use super::plan::Plan;
use super::references::id_text;
use super::request::{Extent, Wanted};
use super::tokens::refused;
use super::wish::{Aim, Wish};
use super::{Service, ServiceError};

/// The most objects of one document.
const MOST: usize = 200_000;

/// Members that tell when, and not what.
const TIMES: [&str; 2] = ["create_time", "update_time"];

impl Service {
    pub(super) async fn plan_whole(
        &self,
        who: &Principal,
        objects: Vec<(Key, Value)>,
        extent: &Extent,
        intent: Option<String>,
    ) -> Result<Plan, ServiceError> {
        if objects.len() > MOST {
            let sentence =
                format!("the document has {} objects, but at most {MOST} are taken; split it", objects.len());
            return Err(refused(sentence, ""));
        }
        let edits = self.differences(who, objects, extent).await?;
        if edits.is_empty() {
            return Err(ServiceError::NothingToChange(
                "everything is as the document has it already".to_owned(),
            ));
        }
        let wish = Wish { edits, ..Wish::of(Wanted { intent, ..Wanted::default() }) };
        self.make_plan(who, wish).await
    }

    /// The edits that make the extent as the document has it. Reads each kind once.
    async fn differences(
        &self,
        who: &Principal,
        objects: Vec<(Key, Value)>,
        extent: &Extent,
    ) -> Result<Vec<Aim>, ServiceError> {
        let mut wanted: HashMap<Key, Value> = HashMap::with_capacity(objects.len());
        let mut order = Vec::with_capacity(objects.len());
        for (key, value) in objects {
            if !is_in(extent, key.kind) {
                let sentence = format!(
                    "{key} is in the document, but its kind is not among those that the document speaks for"
                );
                return Err(ServiceError::Invalid {
                    sentence,
                    key: Some(key),
                    pointer: String::new(),
                    near: None,
                });
            }
            if wanted.insert(key.clone(), value).is_some() {
                let sentence = format!("{key} stands in the document twice; leave one out");
                return Err(ServiceError::Invalid {
                    sentence,
                    key: Some(key),
                    pointer: String::new(),
                    near: None,
                });
            }
            order.push(key);
        }
        let mut same = HashSet::new();
        let mut gone = Vec::new();
        for collection in collections(extent, &order) {
            for entry in self.store().list(&format!("{PREFIX}/{collection}/")).await?.entries {
                let Some(key) = Key::parse(&entry.key).filter(|key| is_in(extent, key.kind)) else {
                    continue;
                };
                // What can't be read is replaced or deleted like anything else.
                let stored = super::read::parse(&entry).unwrap_or_default();
                if let Some(value) = wanted.get(&key) {
                    if self.may_see(who, &key, &stored).await? && self.is_same(&key, value, stored) {
                        same.insert(key);
                    }
                } else if extent.delete
                    && has_labels(&stored, &extent.labels)
                    && self.may_see(who, &key, &stored).await?
                {
                    gone.push(key);
                }
            }
        }
        // What goes with its consumer or service need not be told, and what stays there must not lose it.
        let whole: HashSet<Key> = gone.iter().filter(|key| key.kind == Kind::Consumer).cloned().collect();
        gone.retain(|key| {
            key.kind != Kind::Credential || !key.parent().is_some_and(|parent| whole.contains(&parent))
        });
        let mut edits = Vec::with_capacity(wanted.len() - same.len() + gone.len());
        for key in order {
            if let Some(value) = wanted.remove(&key).filter(|_| !same.contains(&key)) {
                edits.push(Aim { key, after: Some(Arc::new(value)) });
            }
        }
        edits.extend(gone.into_iter().map(|key| Aim { key, after: None }));
        Ok(edits)
    }

    /// Whether what is stored is what is wanted, but for its times. Masks stand for what is stored.
    fn is_same(&self, key: &Key, wanted: &Value, mut stored: Value) -> bool {
        let (Some(members), Some(held)) = (wanted.as_object(), stored.as_object()) else { return false };
        // Most that differ do so at first sight, without opening a secret.
        if !members.keys().all(|name| TIMES.contains(&name.as_str()) || held.contains_key(name)) {
            return false;
        }
        self.vault.open(key, &mut stored);
        let mut wanted = wanted.clone();
        if self.vault.unmask(key, &mut wanted, Some(&stored)).is_err() {
            return false;
        }
        let own = if key.kind == Kind::Consumer { "username" } else { "id" };
        for value in [&mut wanted, &mut stored] {
            if let Some(members) = value.as_object_mut() {
                for time in TIMES {
                    members.remove(time);
                }
                // The id may be left out, or be a number; another one is no difference but a mistake, which the check names.
                if members.get(own).and_then(id_text).is_none_or(|id| id == key.own_id()) {
                    members.remove(own);
                }
            }
        }
        wanted == stored
    }
}

fn is_in(extent: &Extent, kind: Kind) -> bool {
    extent.kinds.is_empty() || extent.kinds.contains(&kind)
}

/// The collections that have to be read: where nothing is deleted, only those that the document has something of.
fn collections(extent: &Extent, keys: &[Key]) -> Vec<&'static str> {
    let present: HashSet<Kind> = keys.iter().map(|key| key.kind).collect();
    let mut found: Vec<&str> = Kind::ALL
        .into_iter()
        .filter(|kind| is_in(extent, *kind) && (extent.delete || present.contains(kind)))
        .map(Kind::collection)
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

fn has_labels(value: &Value, labels: &[(String, String)]) -> bool {
    let carried = value.get("labels");
    labels.iter().all(|(name, wanted)| {
        carried.and_then(|carried| carried.get(name)).and_then(Value::as_str) == Some(wanted.as_str())
    })
}
