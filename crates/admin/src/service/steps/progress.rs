//! How far a plan of several steps has come, and what is still to do, as the store keeps it.
//!
//! `/usher/steps/<plan>` tells how far; `/usher/steps/<plan>/<step>` holds one step's values, secrets sealed, and goes with its step.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use usher_model::change::{Principal, Risk};
use usher_model::kind::Key;
use usher_store::{Transaction, Write};

use super::Unfinished;
use crate::service::commit::Ready;
use crate::service::plan::Plan;
use crate::service::wish::{Aim, parsed};
use crate::service::world::Move;
use crate::service::{Service, ServiceError, encoded, pack, unix_ms};

/// What the keys of all of it begin with.
const PREFIX: &str = "/usher/steps/";

/// Unfinished plans that are kept at most.
const MOST: usize = 16;

/// Keys that are deleted in one transaction.
const TOGETHER: usize = 100;

/// How far a plan has come.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Progress {
    pub(super) plan: String,
    pub(super) principal: String,
    pub(super) intent: Option<String>,
    pub(super) risk: Risk,
    pub(super) approval: String,
    pub(super) undoes: Option<u64>,
    pub(super) ttl_secs: Option<u64>,
    pub(super) force: bool,
    pub(super) begun_unix_ms: u64,
    /// Whether every step is written down.
    pub(super) complete: bool,
    /// How many steps there are, and how many are applied.
    pub(super) of: usize,
    pub(super) done: usize,
    /// How many objects there are, and how many are written.
    pub(super) total: usize,
    pub(super) objects: usize,
}

/// One step as it is written down.
pub(super) struct Step {
    pub(super) aims: Vec<Aim>,
    pub(super) seen: Vec<(Key, Option<u64>)>,
}

#[derive(Serialize, Deserialize)]
struct Line {
    key: String,
    after: Option<Arc<Value>>,
    seen: Option<u64>,
}

impl Progress {
    /// Nothing is done yet.
    pub(super) fn begin(who: &Principal, plan: &Plan, ready: &Ready, approval: &str) -> Self {
        Self {
            plan: plan.id.clone(),
            principal: who.name.clone(),
            intent: plan.intent.clone(),
            risk: plan.risk,
            approval: approval.to_owned(),
            undoes: plan.undoes,
            ttl_secs: ready.ttl_secs(),
            force: ready.force(),
            begun_unix_ms: unix_ms(),
            complete: false,
            of: 0,
            done: 0,
            total: ready.moves.len(),
            objects: 0,
        }
    }

    pub(super) fn shown(&self) -> Unfinished {
        Unfinished {
            plan: self.plan.clone(),
            principal: self.principal.clone(),
            begun_unix_ms: self.begun_unix_ms,
            done: self.done,
            of: self.of,
        }
    }

    fn key(&self) -> String {
        format!("{PREFIX}{}", self.plan)
    }

    fn step_key(&self, step: usize) -> String {
        format!("{PREFIX}{}/{step:06}", self.plan)
    }

    /// What is written together with the next step: that it is done.
    pub(super) fn behind_step(&self, objects: usize) -> Result<Vec<Write>, ServiceError> {
        let gone = Write::Delete { key: self.step_key(self.done) };
        if self.done + 1 == self.of {
            return Ok(vec![gone, Write::Delete { key: self.key() }]);
        }
        let next = Self { done: self.done + 1, objects: self.objects + objects, ..self.clone() };
        let value = encoded(&next)?.into();
        Ok(vec![gone, Write::Put { key: self.key(), value, ttl_secs: None }])
    }
}

impl Service {
    /// How far a plan has come; `None` where it isn't unfinished.
    pub(super) async fn progress(&self, plan: &str) -> Result<Option<Progress>, ServiceError> {
        if plan.is_empty() || plan.contains('/') {
            return Ok(None);
        }
        match self.store().get(&format!("{PREFIX}{plan}")).await? {
            Some(entry) => parse(&entry).map(Some),
            None => Ok(None),
        }
    }

    /// Every plan that is unfinished.
    pub(super) async fn all_progress(&self) -> Result<Vec<Progress>, ServiceError> {
        let mut all = Vec::new();
        let mut last: Option<String> = None;
        loop {
            // One at a time, and past its steps: those are large.
            let page = self.store().list_page(PREFIX, last.as_deref(), 1, false).await?.entries;
            let Some(entry) = page.first() else { return Ok(all) };
            match entry.key.strip_prefix(PREFIX).and_then(|rest| rest.split_once('/')) {
                // Steps without the plan they belong to, or that come behind it.
                Some((plan, _)) => last = Some(format!("{PREFIX}{plan}/~")),
                None => {
                    all.push(parse(entry)?);
                    last = Some(format!("{}/~", entry.key));
                }
            }
        }
    }

    /// Writes all steps down.
    pub(super) async fn write_down(
        &self,
        progress: &mut Progress,
        steps: Vec<Vec<Move>>,
    ) -> Result<(), ServiceError> {
        let mut open = 0;
        for other in self.all_progress().await? {
            if self.is_void(&other).await? {
                self.forget_progress(&other).await?;
            } else {
                open += 1;
            }
        }
        if open >= MOST {
            return Err(ServiceError::Conflict(format!(
                "{MOST} plans are unfinished already; finish one of them, or give it up"
            )));
        }
        progress.of = steps.len();
        let begun = Transaction::default().put(progress.key(), encoded(progress)?);
        self.store().commit(begun).await?;
        for (at, step) in steps.into_iter().enumerate() {
            let line = |moved: Move| {
                let after = moved.after.map(|text| parsed(&moved.key, &text)).transpose()?.map(Arc::new);
                Ok(Line { key: moved.key.path(), after, seen: moved.seen })
            };
            let lines: Vec<Line> = step.into_iter().map(line).collect::<Result<_, ServiceError>>()?;
            let packed = pack::pack(&encoded(&lines)?)?;
            self.store().commit(Transaction::default().put(progress.step_key(at), packed)).await?;
        }
        progress.complete = true;
        self.store().commit(Transaction::default().put(progress.key(), encoded(progress)?)).await?;
        Ok(())
    }

    /// What the next step does.
    pub(super) async fn read_step(&self, progress: &Progress) -> Result<Step, ServiceError> {
        let key = progress.step_key(progress.done);
        let lost =
            || ServiceError::Damaged(format!("{key} can't be read, so the plan can't go on; give it up"));
        let entry = self.store().get(&key).await?.ok_or_else(lost)?;
        let text = pack::unpack(&entry.value).ok_or_else(lost)?;
        let lines: Vec<Line> = serde_json::from_slice(&text).map_err(|_| lost())?;
        let (mut aims, mut seen) = (Vec::with_capacity(lines.len()), Vec::with_capacity(lines.len()));
        for line in lines {
            let key = Key::parse(&line.key).ok_or_else(lost)?;
            seen.push((key.clone(), line.seen));
            aims.push(Aim { key, after: line.after });
        }
        Ok(Step { aims, seen })
    }

    /// Deletes what is left of an unfinished plan.
    pub(super) async fn forget_progress(&self, progress: &Progress) -> Result<(), ServiceError> {
        let steps: Vec<usize> = (progress.done..progress.of).collect();
        for some in steps.chunks(TOGETHER) {
            let gone = some.iter().fold(Transaction::default(), |transaction, step| {
                transaction.delete(progress.step_key(*step))
            });
            self.store().commit(gone).await?;
        }
        self.store().commit(Transaction::default().delete(progress.key())).await?;
        Ok(())
    }
}

fn parse(entry: &usher_store::Entry) -> Result<Progress, ServiceError> {
    serde_json::from_slice(&entry.value)
        .map_err(|_| ServiceError::Damaged(format!("what is stored under {} can't be read", entry.key)))
}
