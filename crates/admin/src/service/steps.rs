//! Plans that are larger than one transaction of the store: applied step by step, each checked again and each in the history.
//!
//! What is still to do is written down before the first step, so that it can go on after a crash. What others lean on comes first and goes last,
//! so that nothing dangles in between.

mod progress;
mod split;
mod void;

use futures_util::future::BoxFuture;
use usher_model::change::Principal;
use usher_store::{Capabilities, StoreError};

use super::apply::{Done, may_pass};
use super::commit::{Ready, too_large};
use super::escape::shortened;
use super::journal::Author;
use super::plan::{Applied, Approval, Plan};
use super::wish::Wish;
use super::{Service, ServiceError, consent};

use progress::Progress;

/// How often a step is tried when somebody else writes to the store.
const TRIES: usize = 8;

/// A plan whose steps were not all applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfinished {
    /// The plan's id.
    pub plan: String,
    /// Whose it is.
    pub principal: String,
    /// When it was begun, in milliseconds since 1970.
    pub begun_unix_ms: u64,
    /// How many steps were applied.
    pub done: usize,
    /// Of how many.
    pub of: usize,
}

impl Service {
    /// As [`Service::apply`], but a plan that is larger than one transaction of the store is applied step by step. Called again with a plan
    /// whose steps were not all applied, also after a restart, it goes on with the next one.
    ///
    /// # Errors
    /// As for [`Service::apply`], and [`ServiceError::Partial`] where a step failed behind others.
    pub async fn apply_in_steps(
        &self,
        who: &Principal,
        plan: &str,
        approval: Approval,
    ) -> Result<Applied, ServiceError> {
        let outcome = match self.apply_plan(who, plan, approval, true).await {
            Err(ServiceError::UnknownPlan(sentence)) => match self.progress(plan).await? {
                Some(progress) => self.go_on(who, progress).await,
                None => Err(ServiceError::UnknownPlan(sentence)),
            },
            outcome => outcome,
        };
        self.noted(who, outcome).await
    }

    /// The plans whose steps were not all applied and that can still go on, oldest first; with a scope, one's own.
    ///
    /// # Errors
    /// The store.
    pub async fn unfinished(&self, who: &Principal) -> Result<Vec<Unfinished>, ServiceError> {
        let mut all = Vec::new();
        for progress in self.all_progress().await? {
            if !self.is_void(&progress).await? {
                all.push(progress.shown());
            }
        }
        all.retain(|plan: &Unfinished| who.scope.is_all() || plan.principal == who.name);
        all.sort_by_key(|plan| plan.begun_unix_ms);
        Ok(all)
    }

    /// Gives up the steps of a plan that are still to do. Those that were applied stay, and undo takes them back as one.
    ///
    /// # Errors
    /// [`ServiceError::NoSuch`], [`ServiceError::Forbidden`] for the plan of somebody else, or the store.
    pub async fn give_up_steps(&self, who: &Principal, plan: &str) -> Result<(), ServiceError> {
        self.may_change(who)?;
        let progress = self.progress(plan).await?.ok_or_else(|| {
            ServiceError::NoSuch(format!(
                "no plan {} is unfinished; look at the list of those",
                shortened(plan, 40)
            ))
        })?;
        self.is_theirs(who, &progress)?;
        self.forget_progress(&progress).await
    }

    /// Into how many steps a change falls.
    ///
    /// # Errors
    /// It falls into several, and ends by itself: its parts would end one after another.
    pub(super) fn steps_of(&self, ready: &Ready) -> Result<usize, ServiceError> {
        let able = self.capabilities();
        let Some(ttl_secs) = ready.ttl_secs() else { return Ok(split::count(&ready.moves, &able)) };
        // Beside each object stands a note of its end.
        let able = Capabilities { most_writes: able.most_writes / 2, ..able };
        match split::count(&ready.moves, &able) {
            1 => Ok(1),
            _ => Err(ServiceError::Invalid {
                sentence: format!(
                    "ttl={ttl_secs} is refused for {} objects: they take several steps, and would end one after another; give fewer at a time",
                    ready.moves.len()
                ),
                key: None,
                pointer: String::new(),
                near: None,
            }),
        }
    }

    /// The refusal of a plan that nobody asked to be applied in steps.
    pub(super) fn needs_steps(&self, plan: &Plan) -> ServiceError {
        let able = self.capabilities();
        let error = too_large(plan.total, plan.total, able.most_bytes, &able);
        ServiceError::NeedsSteps(format!("{error}: plan {} takes {} steps", plan.id, plan.steps))
    }

    /// Writes down what is to do, and does it. Gives the revision of the last step.
    pub(super) fn begin_steps<'a>(
        &'a self,
        who: &'a Principal,
        plan: &'a Plan,
        ready: Ready,
        approval: &'a str,
    ) -> BoxFuture<'a, Result<u64, ServiceError>> {
        Box::pin(async move {
            self.may_be_written(&self.capabilities(), ready.ttl_secs())?;
            let mut progress = Progress::begin(who, plan, &ready, approval);
            let steps = split::steps(ready.moves, &self.capabilities());
            self.write_down(&mut progress, steps).await?;
            self.do_steps(who, progress).await
        })
    }

    /// Goes on with what a crash or a failure left.
    async fn go_on(&self, who: &Principal, progress: Progress) -> Result<Applied, ServiceError> {
        self.may_change(who)?;
        self.is_theirs(who, &progress)?;
        if self.is_taken_back(&progress).await? {
            self.forget_progress(&progress).await?;
            return Err(ServiceError::UnknownPlan(format!(
                "the steps of plan {} that were applied were taken back since, so that it can't go on; plan again",
                progress.plan
            )));
        }
        if !progress.complete {
            self.forget_progress(&progress).await?;
            return Err(ServiceError::UnknownPlan(format!(
                "plan {} was broken off before its first step, so nothing was changed; plan again",
                progress.plan
            )));
        }
        let total = progress.total;
        let revision = self.do_steps(who, progress).await?;
        self.bring_into_force(who, Done { revision, changes: Vec::new(), total }, Vec::new()).await
    }

    fn is_theirs(&self, who: &Principal, progress: &Progress) -> Result<(), ServiceError> {
        if progress.principal == who.name { Ok(()) } else { consent::may_rule(who) }
    }

    async fn do_steps(&self, who: &Principal, mut progress: Progress) -> Result<u64, ServiceError> {
        let mut revision = 0;
        while progress.done < progress.of {
            match self.do_step(who, &mut progress).await {
                Ok(committed) => revision = committed,
                Err(error) => return Err(self.stopped(&progress, error).await),
            }
        }
        Ok(revision)
    }

    /// Does the next step: checks it against what is there by now, and commits it together with how far the plan has come.
    async fn do_step(&self, who: &Principal, progress: &mut Progress) -> Result<u64, ServiceError> {
        let _writing = self.turns.alone().await;
        let step = self.read_step(progress).await?;
        let wish = Wish {
            expect: step.seen,
            force: progress.force,
            ttl_secs: progress.ttl_secs,
            ..Wish::exact(Vec::new(), false)
        };
        let mut tries = 0;
        loop {
            tries += 1;
            let world = self.check(who, &wish, step.aims.clone()).await?;
            let mut ready = Ready::of(world, &wish)?;
            let objects = ready.moves.len();
            ready.beside = progress.behind_step(objects)?;
            let author = Author {
                who,
                plan: &progress.plan,
                intent: progress.intent.as_deref(),
                risk: progress.risk,
                undoes: progress.undoes,
                approval: &progress.approval,
                step: Some((progress.done + 1, progress.of)),
            };
            match self.commit(&author, &ready).await {
                Ok(revision) => {
                    progress.done += 1;
                    progress.objects += objects;
                    return Ok(revision);
                }
                Err(ServiceError::Store(StoreError::Conflict { key, .. })) if tries < TRIES => {
                    self.let_others_in(&key, ready.base).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// What is said of a step that failed, and whether the rest may follow later.
    async fn stopped(&self, progress: &Progress, error: ServiceError) -> ServiceError {
        let later = may_pass(&error);
        if !later && let Err(error) = self.forget_progress(progress).await {
            tracing::warn!(plan = %progress.plan, %error, "the steps of a plan that is over could not be deleted");
        }
        if progress.done == 0 && !later {
            return error;
        }
        let next = if later {
            "apply the same plan in steps again to go on, or undo takes back what was applied"
        } else {
            "undo takes back what was applied, or plan the rest again"
        };
        ServiceError::Partial {
            sentence: format!(
                "step {} of {} of plan {} failed: {error}; {} steps are applied; {next}",
                progress.done + 1,
                progress.of,
                progress.plan,
                progress.done
            ),
            done: progress.objects,
            total: progress.total,
        }
    }
}
