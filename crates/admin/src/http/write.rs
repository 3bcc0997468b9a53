//! PUT, POST and DELETE: each one plan that is made and applied at once.

use axum::http::StatusCode;
use serde_json::{Value, json};
use usher_model::change::{Change, Edit};
use usher_model::kind::{Key, Kind};

use super::answer::Answer;
use super::condition::{self, Condition};
use super::refusal::is_conflict;
use super::{Call, Outcome, rules};
use crate::service::{Applied, ServiceError, Wanted};

/// How often a write is tried again when somebody else was first.
pub(super) const ATTEMPTS: u64 = 32;

impl Call<'_> {
    pub(super) async fn put(&self, given: Option<Value>) -> Outcome {
        let (key, value) = rules::put(&self.target, given)?;
        let condition = Condition::of(self.headers)?;
        let expect = self.expectation(&condition, &key).await?;
        let edit = Edit { key: key.clone(), after: Some(value) };
        let applied = self.write(Wanted { edits: vec![edit], expect, ..Wanted::default() }).await;
        match applied {
            Ok(applied) => shown(&key, applied),
            Err(error) if condition.is_set() && is_conflict(&error) => Err(condition::overtaken(&key)),
            Err(ServiceError::NotFound(missing)) if missing.kind == Kind::Consumer => {
                Err(Answer::error(StatusCode::NOT_FOUND, "consumer not found"))
            }
            Err(error) => Err(error.into()),
        }
    }

    pub(super) async fn post(&self, given: Option<Value>) -> Outcome {
        let mut members = rules::post(&self.target, given)?;
        let condition = Condition::of(self.headers)?;
        let _turn = self.api.turns.take(self.target.kind.collection()).await;
        for attempt in 0..ATTEMPTS {
            let id = self.fresh_id(attempt);
            let key = self.target.key(&id);
            condition.check(&key, None)?;
            members.insert("id".to_owned(), id.into());
            let edit = Edit { key: key.clone(), after: Some(Value::Object(members.clone())) };
            let expect = vec![(key.clone(), None)];
            match self.write(Wanted { edits: vec![edit], expect, ..Wanted::default() }).await {
                Ok(applied) => return shown(&key, applied),
                Err(error) if is_conflict(&error) && attempt + 1 < ATTEMPTS => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Answer::error(StatusCode::SERVICE_UNAVAILABLE, "no free id was found; try again"))
    }

    /// The next revision's number; a later one where somebody has taken that id by hand.
    fn fresh_id(&self, attempt: u64) -> String {
        let next = self.api.service.next_id();
        match next.parse::<u64>() {
            Ok(number) if attempt > 0 => format!("{:020}", number.saturating_add(attempt)),
            _ => next,
        }
    }

    pub(super) async fn delete(&self) -> Outcome {
        let key = self.target.named()?;
        let condition = Condition::of(self.headers)?;
        let expect = self.expectation(&condition, &key).await?;
        let force = self.args.first("force") == Some("true");
        let edits = vec![Edit { key: key.clone(), after: None }];
        match self.write(Wanted { edits, expect, force, ..Wanted::default() }).await {
            Ok(applied) => {
                // It is gone either way; what can't do without it was deleted from under by `force`.
                if !applied.in_force {
                    let reasons = applied.warnings.join("; ");
                    tracing::warn!(%key, revision = applied.revision, %reasons, "a deletion left others unusable");
                }
                Ok(Answer::json(StatusCode::OK, &json!({ "key": key.path(), "deleted": "1" })))
            }
            Err(error) if condition.is_set() && is_conflict(&error) => Err(condition::overtaken(&key)),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) async fn write(&self, wanted: Wanted) -> Result<Applied, ServiceError> {
        self.api.service.write(&self.who, wanted).await
    }

    /// The revision that a write goes on from, where its caller expects one.
    async fn expectation(&self, condition: &Condition, key: &Key) -> Result<Vec<(Key, Option<u64>)>, Answer> {
        if !condition.is_set() {
            return Ok(Vec::new());
        }
        let revision = self.api.service.get(&self.who, key).await?.map(|stored| stored.modified);
        condition.check(key, revision)?;
        Ok(vec![(key.clone(), revision)])
    }
}

/// The answer to a write: the whole value, secrets masked.
pub(super) fn shown(key: &Key, applied: Applied) -> Outcome {
    in_force(&applied)?;
    let change = applied.changes.into_iter().find(|change| change.key == *key);
    let Some(Change { before, after: Some(value), .. }) = change else {
        return Err(Answer::error(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("{key} is stored as revision {}, but can't be shown; read it with GET", applied.revision),
        ));
    };
    let status = if before.is_none() { StatusCode::CREATED } else { StatusCode::OK };
    Ok(Answer::json(status, &json!({ "key": key.path(), "value": value })))
}

/// A 2xx promises that every worker serves by the change.
fn in_force(applied: &Applied) -> Result<(), Answer> {
    if applied.in_force {
        return Ok(());
    }
    Err(Answer::error(
        StatusCode::SERVICE_UNAVAILABLE,
        format!(
            "the change is stored as revision {}, but it is not in force: {}",
            applied.revision,
            applied.warnings.join("; ")
        ),
    ))
}
