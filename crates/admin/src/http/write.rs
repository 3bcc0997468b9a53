//! PUT, POST and DELETE: each one plan that is made and applied at once.

use axum::http::{HeaderName, StatusCode};
use serde_json::Value;
use usher_model::change::{Change, Edit};
use usher_model::kind::{Key, Kind};

use super::answer::Answer;
use super::condition::{self, Condition};
use super::envelope::Action;
use super::place::Verb;
use super::refusal::{RETRY_AFTER_SECS, is_conflict};
use super::{Call, Outcome, rules};
use crate::service::{Applied, ServiceError, Wanted};

/// How often a write is tried again when somebody else was first.
pub(super) const ATTEMPTS: u64 = 32;

impl Call<'_> {
    pub(super) async fn put(&self, given: Option<Value>) -> Outcome {
        let (key, value) = rules::put(&self.target, given)?;
        if key.kind == Kind::PluginMetadata && self.api.service.registry().find(&key.id).is_none() {
            return Err(Answer::bad("invalid plugin name"));
        }
        let condition = Condition::of(self.headers)?;
        let expect = self.expectation(&condition, &key).await?;
        let edits = vec![Edit { key: key.clone(), after: Some(value) }];
        let wanted = Wanted { edits, expect, ttl_secs: self.ttl_secs, ..Wanted::default() };
        match self.write(wanted).await {
            Ok(applied) => self.shown(Action::Set, &key, applied),
            Err(error) if condition.is_set() && is_conflict(&error) => Err(condition::overtaken(&key)),
            Err(error) => Err(self.refused(error)),
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
            let wanted = Wanted { edits: vec![edit], expect, ttl_secs: self.ttl_secs, ..Wanted::default() };
            match self.write(wanted).await {
                Ok(applied) => return self.shown(Action::Create, &key, applied),
                Err(error) if is_conflict(&error) && attempt + 1 < ATTEMPTS => {}
                Err(error) => return Err(self.refused(error)),
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
        let key = self.target.named(Verb::Delete)?;
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
                Ok(self.api.form.envelopes.deleted(&key))
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

    /// The answer to a write: the whole value, secrets masked.
    pub(super) fn shown(&self, action: Action, key: &Key, applied: Applied) -> Outcome {
        in_force(&applied)?;
        let waits = applied.waits.then(|| applied.warnings.join("; "));
        let change = applied.changes.into_iter().find(|change| change.key == *key);
        let Some(Change { before, after: Some(value), .. }) = change else {
            return Err(Answer::error(
                StatusCode::INTERNAL_SERVER_ERROR,
                format!(
                    "{key} is stored as revision {}, but can't be shown; read it with GET",
                    applied.revision
                ),
            ));
        };
        let status = if before.is_none() { StatusCode::CREATED } else { StatusCode::OK };
        let answer = self.api.form.envelopes.written(status, action, key, &value).at(applied.revision);
        Ok(match waits {
            Some(why) => answer.with(HeaderName::from_static("x-usher-warning"), in_a_header(&why)),
            None => answer,
        })
    }

    /// What lives below another resource needs that one.
    fn refused(&self, error: ServiceError) -> Answer {
        match (error, self.target.above()) {
            (ServiceError::NotFound(missing), Some(above)) if missing == above => super::orphan(&above),
            (error, _) => error.into(),
        }
    }
}

/// A 2xx promises that every worker serves by the change, but for one that waits for what is kept elsewhere: that is told in a header.
pub(super) fn in_force(applied: &Applied) -> Result<(), Answer> {
    if applied.in_force || applied.waits {
        return Ok(());
    }
    Err(Answer::error(
        StatusCode::SERVICE_UNAVAILABLE,
        format!(
            "the change is stored as revision {}, but it is not in force: {}",
            applied.revision,
            applied.warnings.join("; ")
        ),
    )
    .retry_after(RETRY_AFTER_SECS))
}

/// A text as a header carries it.
fn in_a_header(text: &str) -> String {
    text.chars().map(|letter| if letter.is_ascii_graphic() || letter == ' ' { letter } else { '?' }).collect()
}
