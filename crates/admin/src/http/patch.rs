//! PATCH: reads a resource, changes it, and writes it back if nobody else did meanwhile; else once more from the start.

use serde_json::Value;
use usher_model::change::Edit;
use usher_model::patch::{merge, replace_at};

use super::answer::Answer;
use super::condition::{self, Condition};
use super::envelope::Action;
use super::place::Verb;
use super::refusal::{is_conflict, overtaken};
use super::write::ATTEMPTS;
use super::{Call, Outcome, rules};
use crate::service::{Stored, Wanted};

impl Call<'_> {
    pub(super) async fn patch(&self, given: Option<Value>) -> Outcome {
        let key = self.target.named(Verb::Patch)?;
        let given = given.ok_or_else(|| Answer::bad("missing new configuration"))?;
        if self.target.sub_path.is_empty() && !given.is_object() {
            return Err(Answer::bad("invalid configuration"));
        }
        rules::patch(&self.target, &given)?;
        let condition = Condition::of(self.headers)?;
        let _turn = self.api.turns.take(&key.path()).await;
        for _ in 0..ATTEMPTS {
            let stored = self.api.service.get(&self.who, &key).await?;
            condition.check(&key, stored.as_ref().map(|stored| stored.modified))?;
            let Stored { value, modified, .. } = stored.ok_or_else(Answer::key_not_found)?;
            let value = self.patched(value, &given)?;
            let wanted = Wanted {
                edits: vec![Edit { key: key.clone(), after: Some(value) }],
                expect: vec![(key.clone(), Some(modified))],
                keep_times: true,
                ttl_secs: self.ttl_secs,
                ..Wanted::default()
            };
            match self.write(wanted).await {
                Ok(applied) => return self.shown(Action::CompareAndSwap, &key, applied),
                Err(error) if !is_conflict(&error) => return Err(error.into()),
                Err(_) if condition.is_set() => return Err(condition::overtaken(&key)),
                Err(_) => {}
            }
        }
        Err(overtaken())
    }

    /// The value with the patch in it. The time of the change is now, unless the patch itself gives one.
    fn patched(&self, mut value: Value, given: &Value) -> Result<Value, Answer> {
        let sub_path = &self.target.sub_path;
        let keeps_time = if sub_path.is_empty() {
            merge(&mut value, given);
            given.get("update_time").is_some()
        } else {
            replace_at(&mut value, sub_path, given.clone()).map_err(Answer::bad)?;
            false
        };
        if !keeps_time && let Some(members) = value.as_object_mut() {
            members.shift_remove("update_time");
        }
        rules::patched(&self.target, self.target.id.as_deref().unwrap_or_default(), value)
    }
}
