//! From what somebody calls an object to its key: ids and names are taken, and an ambiguous name is asked back, never guessed.

use serde_json::Value;
use usher_admin::service::Stored;
use usher_model::kind::{Key, Kind};
use usher_model::nearest::nearest;

use super::line::{line, name_of};
use super::refusal::Refusal;
use super::text::clean;
use super::{Call, MOST_ITEMS};

/// Objects that are named where none was found.
const NAMED: usize = 5;

impl Call<'_> {
    /// The one object of this kind that has this id or name. `at` is the argument it was given in.
    pub(super) async fn locate(&self, kind: Kind, word: &str, at: &str) -> Result<Key, Refusal> {
        let found = self.service.resolve(self.who, kind, word).await.map_err(|error| self.refuse(error))?;
        if let Some(exact) = found.iter().find(|key| key.id == word) {
            return Ok(exact.clone());
        }
        match found.as_slice() {
            [one] => Ok(one.clone()),
            [] => Err(self.nobody(kind, word).await?.at(at)),
            several => {
                let mut lines = Vec::new();
                for key in several.iter().take(MOST_ITEMS) {
                    let stored = self.stored(key).await?;
                    lines.push(stored.map_or_else(
                        || key.id.clone(),
                        |stored| format!("{}  {}", key.id, line(kind, &stored.value)),
                    ));
                }
                let word = clean(word, 100);
                Err(Refusal::new(format!("{} objects are named {word:?}", several.len()))
                    .at(at)
                    .allowed(format!("one of these ids:\n{}", lines.join("\n")))
                    .next("the same call with the id"))
            }
        }
    }

    /// One object as it is stored, if it is there.
    pub(super) async fn stored(&self, key: &Key) -> Result<Option<Stored>, Refusal> {
        self.service.get(self.who, key).await.map_err(|error| self.refuse(error))
    }

    /// All objects of a kind.
    pub(super) async fn all(&self, kind: Kind) -> Result<Vec<Stored>, Refusal> {
        self.service.list(self.who, kind).await.map_err(|error| self.refuse(error))
    }

    /// The service's refusal in a model's words.
    pub(super) fn refuse(&self, error: usher_admin::service::ServiceError) -> Refusal {
        Refusal::of(error, self.service.registry())
    }

    async fn nobody(&self, kind: Kind, word: &str) -> Result<Refusal, Refusal> {
        let (meant, allowed) = self.instead(kind, word).await?;
        let next = format!("gateway_find {{\"kind\":\"{}\"}} lists what there is", kind.schema_name());
        let named = Value::from(clean(word, 100));
        let refusal = Refusal::new(format!("no {kind} has the id or name {named}"));
        Ok(refusal.meant(meant).allowed(allowed).next(next))
    }

    /// What was probably meant by a word that no object of this kind is called, and some that there are.
    pub(super) async fn instead(&self, kind: Kind, word: &str) -> Result<(Option<String>, String), Refusal> {
        let all = self.all(kind).await?;
        let names =
            all.iter().flat_map(|stored| [Some(stored.key.id.as_str()), name_of(&stored.value)]).flatten();
        let meant = nearest(word, names).map(|name| clean(&name, 100));
        if all.is_empty() {
            return Ok((meant, format!("there is no {kind} yet; gateway_plan with op create makes one")));
        }
        let mut some: Vec<String> =
            all.iter().take(NAMED).map(|stored| called(&stored.key, &stored.value)).collect();
        if all.len() > NAMED {
            some.push(format!("{} more", all.len() - NAMED));
        }
        Ok((meant, some.join(", ")))
    }
}

/// An object's id, with its name where that is another word.
fn called(key: &Key, value: &Value) -> String {
    let name = name_of(value).filter(|name| *name != key.id);
    let name = name.map(|name| format!(" ({})", clean(name, 60))).unwrap_or_default();
    format!("{}{name}", clean(&key.id, 100))
}
