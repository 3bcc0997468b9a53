//! Names where bodies refer to other objects by id: each is replaced by the id it stands for, and an ambiguous one is asked back.

use serde_json::Value;
use usher_model::change::Edit;
use usher_model::kind::{Key, Kind};

use super::super::Call;
use super::super::line::name_of;
use super::super::refusal::Refusal;

/// How deep plugin bodies are searched for upstreams.
const DEEPEST: usize = 16;

/// One reference by id or name.
struct Reference {
    pointer: String,
    kind: Kind,
    word: String,
}

impl Call<'_> {
    /// Puts ids where the bodies of edits call something by its name. What isn't found stays: the service says so, with the rest of its checks.
    pub(super) async fn resolve_names(&self, edits: &mut [Edit]) -> Result<(), Refusal> {
        let mut ids = Vec::new();
        for (index, edit) in edits.iter().enumerate() {
            let Some(value) = &edit.after else { continue };
            for Reference { pointer, kind, word } in references(edit.key.kind, value) {
                let at = format!("/changes/{index}/body_json{pointer}");
                if let Some(id) = self.meant(edits, kind, &word, &at).await? {
                    ids.push((index, pointer, id));
                }
            }
        }
        for (index, pointer, id) in ids {
            let after = edits.get_mut(index).and_then(|edit| edit.after.as_mut());
            if let Some(place) = after.and_then(|value| value.pointer_mut(&pointer)) {
                *place = id.into();
            }
        }
        Ok(())
    }

    /// The id that a word stands for, where it isn't an id itself and one object is called so.
    async fn meant(
        &self,
        edits: &[Edit],
        kind: Kind,
        word: &str,
        at: &str,
    ) -> Result<Option<String>, Refusal> {
        let planned = || edits.iter().filter(|edit| edit.key.kind == kind && edit.after.is_some());
        if planned().any(|edit| edit.key.id == word) {
            return Ok(None);
        }
        let found = self.service.resolve(self.who, kind, word).await.map_err(|error| self.refuse(error))?;
        if !found.is_empty() {
            let key = self.locate(kind, word, at).await?;
            return Ok(Some(key.id).filter(|id| id != word));
        }
        let mut named = planned().filter(|edit| edit.after.as_ref().and_then(name_of) == Some(word));
        Ok(match (named.next(), named.next()) {
            (Some(one), None) => Some(one.key.id.clone()),
            _ => None,
        })
    }

    /// The refusal of a reference that leads nowhere, with what there is instead.
    pub(super) async fn lost(
        &self,
        refusal: Refusal,
        value: &Value,
        pointer: &str,
    ) -> Result<Refusal, Refusal> {
        let member = pointer.rsplit('/').next().unwrap_or_default();
        let (Some(kind), Some(word)) = (referred(member), value.pointer(pointer).and_then(word)) else {
            return Ok(refusal);
        };
        let (meant, allowed) = self.instead(kind, &word).await?;
        Ok(refusal.meant(meant).allowed(allowed))
    }
}

/// The kind of object whose id a member of this name holds.
fn referred(member: &str) -> Option<Kind> {
    match member {
        "upstream_id" => Some(Kind::Upstream),
        "service_id" => Some(Kind::Service),
        "plugin_config_id" => Some(Kind::PluginConfig),
        "group_id" => Some(Kind::ConsumerGroup),
        "client_cert_id" => Some(Kind::Ssl),
        "proto_id" => Some(Kind::Proto),
        "superior_id" => Some(Kind::StreamRoute),
        _ => None,
    }
}

fn references(kind: Kind, value: &Value) -> Vec<Reference> {
    let mut found = Vec::new();
    if matches!(kind, Kind::Route | Kind::Service | Kind::StreamRoute | Kind::Consumer) {
        for member in ["upstream_id", "service_id", "plugin_config_id", "group_id"] {
            let word = value.get(member).and_then(word);
            if let (Some(kind), Some(word)) = (referred(member), word) {
                found.push(Reference { pointer: format!("/{member}"), kind, word });
            }
        }
    }
    if let Some(plugins) = value.get("plugins") {
        in_plugins(plugins, "/plugins".to_owned(), DEEPEST, &mut found);
    }
    found
}

/// Whatever the plugin, a member called `upstream_id` holds an upstream's id, as in traffic-split, and `proto_id` a proto's.
fn in_plugins(value: &Value, at: String, deep: usize, found: &mut Vec<Reference>) {
    let Some(deep) = deep.checked_sub(1) else { return };
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                let pointer = format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"));
                let kind =
                    referred(name).filter(|kind| matches!(kind, Kind::Upstream | Kind::Proto | Kind::Ssl));
                match (kind, word(member)) {
                    (Some(kind), Some(word)) => found.push(Reference { pointer, kind, word }),
                    _ => in_plugins(member, pointer, deep, found),
                }
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                in_plugins(item, format!("{at}/{index}"), deep, found);
            }
        }
        _ => {}
    }
}

/// An id or name, which may be written as a number.
fn word(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// The value that an edit gives the object of this key.
pub(super) fn after<'a>(edits: &'a [Edit], key: &Key) -> Option<&'a Value> {
    edits.iter().find(|edit| edit.key == *key)?.after.as_ref()
}
