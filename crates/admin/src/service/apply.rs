//! From a checked wish to a plan, and from a plan to the store and into force.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::Instant;
use usher_model::change::{Change, Principal, Risk};
use usher_model::kind::{Key, Kind};
use usher_model::live::Problem;
use usher_model::reference;
use usher_store::StoreError;

use super::commit::Ready;
use super::impact::{Impact, assess};
use super::journal::Author;
use super::plan::{Applied, Approval, Plan};
use super::plans::{End, Kept};
use super::wish::{Aim, Goal, Wish};
use super::world::{Move, World};
use super::{Service, ServiceError, consent, new_id, scoped};

/// How often a commit is tried when somebody else writes to the store.
const TRIES: usize = 8;
/// The most characters of an approval that are kept.
const APPROVAL_CHARS: usize = 200;
/// Edits of a change that may be on its way together with others.
const FEW: usize = 16;
/// Kinds of which putting one is judged by itself and by what it refers to. Others are unique in something, or meet every request.
const SHARING: [Kind; 5] = [Kind::Route, Kind::Service, Kind::Upstream, Kind::PluginConfig, Kind::Proto];
/// How long a change waits for secrets that are looked up because of it.
const LOOKED_UP_WITHIN: Duration = Duration::from_secs(1);
/// How often it is looked whether they are there.
const LOOKED_AT_EVERY: Duration = Duration::from_millis(10);

impl Service {
    /// Checks a wish, assesses it, and keeps the plan for its owner.
    pub(super) async fn make_plan(&self, who: &Principal, mut wish: Wish) -> Result<Plan, ServiceError> {
        // Handed over and not shared: a set may be very large, and what is checked would have to be copied.
        let edits = std::mem::take(&mut wish.edits);
        let (world, mut plan) = self.assessed(who, &wish, edits).await?;
        plan.warnings.extend(self.unreachable(&world).await);
        self.keep(who, &wish, world, &mut plan)?;
        Ok(plan)
    }

    async fn assessed(
        &self,
        who: &Principal,
        wish: &Wish,
        edits: Vec<Aim>,
    ) -> Result<(World<'_>, Plan), ServiceError> {
        let mut world = self.check(who, wish, edits).await?;
        let impact = assess(&mut world).await?;
        let plan = self.outline(who, wish, &world, impact)?;
        Ok((world, plan))
    }

    fn keep(
        &self,
        who: &Principal,
        wish: &Wish,
        world: World<'_>,
        plan: &mut Plan,
    ) -> Result<(), ServiceError> {
        let rules = &self.parts.rules;
        let bound = world.bound();
        let ready = Ready::of(world, wish)?;
        plan.steps = self.steps_of(&ready)?;
        let wish = wish.checked(plan.intent.clone());
        let goals = ready.moves.into_iter().map(|Move { key, after, .. }| Goal { key, after }).collect();
        let kept = Kept::new(plan.clone(), wish, goals, bound, who, rules.plan_ttl);
        self.lock_plans().keep(kept, rules.max_plans);
        Ok(())
    }

    fn outline(
        &self,
        who: &Principal,
        wish: &Wish,
        world: &World<'_>,
        impact: Impact,
    ) -> Result<Plan, ServiceError> {
        let Impact { risk, reasons, mut warnings, affected, .. } = impact;
        let rules = &self.parts.rules;
        let able = self.capabilities();
        if able.writable && !able.atomic && world.drafts.len() > 1 {
            warnings.push(format!(
                "the store has no transactions: the {} objects are written one after another, and a failure in between leaves what was written \
                 before it, which undo can take back",
                world.drafts.len()
            ));
        }
        // What the caller says of a change may repeat a secret that the change sets.
        let intent = wish.intent.as_ref().filter(|intent| !intent.is_empty()).map(|intent| {
            world.drafts.iter().fold(intent.clone(), |intent, draft| match &draft.after {
                Some(value) => self.vault.scrub(draft.key.kind, value, &intent),
                None => intent,
            })
        });
        Ok(Plan {
            id: new_id()?,
            base: world.base,
            changes: world.masked(),
            total: world.drafts.len(),
            steps: 1,
            affected: scoped::affected(world, who, affected),
            warnings,
            risk,
            reasons,
            intent,
            expires_in_secs: rules.plan_ttl.as_secs(),
            needs_person: consent::needs_person(rules, who, risk),
            undoes: wish.undoes,
        })
    }

    pub(super) fn apply_plan<'a>(
        &'a self,
        who: &'a Principal,
        id: &'a str,
        approval: Approval,
        in_steps: bool,
    ) -> BoxFuture<'a, Result<Applied, ServiceError>> {
        Box::pin(async move {
            self.may_change(who)?;
            let kept = {
                let mut plans = self.lock_plans();
                let Kept { plan, wish, .. } = plans.look(who, id)?;
                if plan.needs_person && !matches!(approval, Approval::Person(_)) {
                    return Err(self.needs_person(plan));
                }
                if plan.steps > 1 && !in_steps && !wish.in_steps {
                    return Err(self.needs_steps(plan));
                }
                plans.take(who, id)?
            };
            match self.commit_kept(who, &kept, &told(approval)).await {
                Ok(done) => {
                    self.lock_plans().end(&kept, End::Applied(done.revision));
                    self.forget_undone(kept.wish.undoes).await;
                    drop(kept);
                    self.bring_into_force(who, done, Vec::new()).await
                }
                Err(Failure::Stale(sentence)) => {
                    self.lock_plans().end(&kept, End::Stale);
                    let fresh = self.plan_again(who, &kept).await.map(Box::new);
                    let next = match fresh {
                        Some(_) => "look at the new plan and apply that one, or plan again",
                        // Such as a wish that named the revision of an object itself.
                        None => "look at what is there now, and plan again",
                    };
                    let sentence = format!("{sentence}; {next}");
                    Err(ServiceError::Stale { sentence, fresh })
                }
                Err(Failure::Refused(error)) => {
                    if may_pass(&error) {
                        self.lock_plans().restore(kept);
                    } else {
                        self.lock_plans().end(&kept, End::Refused);
                    }
                    Err(error)
                }
            }
        })
    }

    pub(super) fn write_wish<'a>(
        &'a self,
        who: &'a Principal,
        wish: Wish,
    ) -> BoxFuture<'a, Result<Applied, ServiceError>> {
        Box::pin(async move {
            self.may_change(who)?;
            consent::may_write(who)?;
            self.may_be_changed()?;
            if self.may_share(who, &wish)
                && let Some((done, warnings)) = self.write_beside(who, &wish).await?
            {
                return self.bring_into_force(who, done, warnings).await;
            }
            let (done, warnings) = {
                let writing = self.turns.alone().await;
                let mut tries = 0;
                loop {
                    tries += 1;
                    let (world, mut plan) = self.assessed(who, &wish, wish.edits.clone()).await?;
                    if plan.needs_person {
                        self.keep(who, &wish, world, &mut plan)?;
                        return Err(self.needs_person(&plan));
                    }
                    let ready = Ready::of(world, &wish)?;
                    plan.steps = self.steps_of(&ready)?;
                    if plan.steps > 1 {
                        if !wish.in_steps {
                            return Err(self.needs_steps(&plan));
                        }
                        drop(writing);
                        let warnings = plan.warnings.clone();
                        let revision = self.begin_steps(who, &plan, ready, "direct").await?;
                        break (Done::of(revision, plan), warnings);
                    }
                    let author = Author::of(who, &plan, "direct");
                    match self.commit(&author, &ready).await {
                        Ok(revision) => {
                            let warnings = std::mem::take(&mut plan.warnings);
                            break (Done::of(revision, plan), warnings);
                        }
                        Err(ServiceError::Store(StoreError::Conflict { key, .. })) if tries < TRIES => {
                            self.let_others_in(&key, ready.base).await;
                        }
                        Err(error) => return Err(error),
                    }
                }
            };
            self.bring_into_force(who, done, warnings).await
        })
    }

    /// Whether a change may be checked while others are on their way to the store. What its check leans on is compared when it is committed;
    /// what it looks up in the index is not: that must decide nothing, neither what is unique, nor what is still used, nor who has to agree.
    fn may_share(&self, who: &Principal, wish: &Wish) -> bool {
        let able = self.capabilities();
        let trusted = who.scope.is_all() && !consent::needs_person(&self.parts.rules, who, Risk::High);
        let few = wish.edits.len() <= FEW;
        let plain = wish.ttl_secs.is_none() && !self.has_ends();
        let alone = |edit: &Aim| edit.after.is_some() && SHARING.contains(&edit.key.kind);
        able.alone && able.atomic && able.writable && trusted && few && plain && wish.edits.iter().all(alone)
    }

    /// One try to write a change behind those that are on their way. `None` where it has to be made alone.
    async fn write_beside(
        &self,
        who: &Principal,
        wish: &Wish,
    ) -> Result<Option<(Done, Vec<String>)>, ServiceError> {
        let (turn, before) = self.turns.beside().await;
        if self.turns.meets(wish.edits.iter().map(|edit| &edit.key)) {
            return Ok(None);
        }
        let (world, mut plan) = match self.assessed(who, wish, wish.edits.clone()).await {
            Ok(assessed) => assessed,
            // What it lacks may be on its way.
            Err(_) if before.is_some() => return Ok(None),
            Err(error) => return Err(error),
        };
        if plan.needs_person || self.turns.meets(world.bound().iter().map(|(key, _)| key)) {
            return Ok(None);
        }
        let ready = Ready::of(world, wish)?;
        if self.steps_of(&ready)? > 1 {
            return Ok(None);
        }
        let author = Author::of(who, &plan, "direct");
        let Some(revision) = self.commit_beside(&author, ready, before, turn).await? else {
            return Ok(None);
        };
        let warnings = std::mem::take(&mut plan.warnings);
        Ok(Some((Done::of(revision, plan), warnings)))
    }

    /// Commits a kept plan, where everything is still as it was planned for.
    async fn commit_kept(&self, who: &Principal, kept: &Kept, approval: &str) -> Result<Done, Failure> {
        let writing = self.turns.alone().await;
        let mut tries = 0;
        loop {
            tries += 1;
            let (ready, plan) = self.confirmed(who, kept).await?;
            if plan.steps > 1 {
                drop(writing);
                let revision = self.begin_steps(who, &plan, ready, approval).await?;
                return Ok(Done::of(revision, plan));
            }
            let author = Author::of(who, &plan, approval);
            match self.commit(&author, &ready).await {
                Ok(revision) => return Ok(Done::of(revision, plan)),
                Err(ServiceError::Store(StoreError::Conflict { key, .. })) if tries < TRIES => {
                    self.let_others_in(&key, ready.base).await;
                }
                Err(error) => return Err(Failure::Refused(error)),
            }
        }
    }

    /// What a kept plan would write now, where it is still the plan that was agreed to.
    async fn confirmed(&self, who: &Principal, kept: &Kept) -> Result<(Ready, Plan), Failure> {
        // Where nothing at all was written since, what the checks found holds.
        if let Some(ready) = self.ready_again(kept).await? {
            return Ok((ready, kept.plan.clone()));
        }
        self.still_true(&kept.bound).await?;
        let edits = kept.whole_wish()?.edits;
        let (world, mut plan) = self.assessed(who, &kept.wish, edits).await?;
        let now = world.drafts.iter().map(|draft| &draft.key);
        let same_objects = now.eq(kept.goals.iter().map(|goal| &goal.key));
        if !same_objects || plan.risk > kept.plan.risk {
            let reasons = consent::several(&plan.reasons).join("; ");
            return Err(Failure::Stale(format!(
                "the plan does more than it did when it was made ({reasons})"
            )));
        }
        plan.id.clone_from(&kept.plan.id);
        plan.steps = kept.plan.steps;
        Ok((Ready::of(world, &kept.wish)?, plan))
    }

    fn needs_person(&self, plan: &Plan) -> ServiceError {
        let reasons = consent::reasons(&self.parts.rules, plan.risk, &plan.reasons);
        ServiceError::NeedsPerson { place: self.approval_place(&plan.id), plan: plan.id.clone(), reasons }
    }

    /// What of this is no longer as it was; `None` where all is, or where that can't be told.
    pub(super) async fn no_longer(&self, bound: &[(Key, Option<u64>)]) -> Option<String> {
        match self.still_true(bound).await {
            Err(Failure::Stale(sentence)) => Some(sentence),
            Ok(()) | Err(Failure::Refused(_)) => None,
        }
    }

    async fn still_true(&self, bound: &[(Key, Option<u64>)]) -> Result<(), Failure> {
        for (key, seen) in bound {
            let now = self.store().get(&key.path()).await.map_err(ServiceError::from)?;
            let now = now.map(|entry| entry.modified);
            if now != *seen {
                let what = match (now, seen) {
                    (None, _) => "was deleted".to_owned(),
                    (Some(revision), None) => format!("was made by revision {revision}"),
                    (Some(revision), Some(_)) => format!("was changed by revision {revision}"),
                };
                return Err(Failure::Stale(format!("{key} {what} since this plan was made")));
            }
        }
        Ok(())
    }

    async fn plan_again(&self, who: &Principal, kept: &Kept) -> Option<Plan> {
        let made = match kept.wish.undoes {
            Some(revision) => self.undo(who, Some(revision), kept.wish.intent.clone()).await,
            None => self.make_plan(who, kept.whole_wish().ok()?).await,
        };
        made.ok()
    }

    pub(super) async fn bring_into_force(
        &self,
        who: &Principal,
        done: Done,
        mut warnings: Vec<String>,
    ) -> Result<Applied, ServiceError> {
        let Done { revision, changes, total } = done;
        self.live().wait_in_force(revision, self.parts.rules.in_force_within).await?;
        // The store keeps a large change for as long as somebody hasn't taken it up. What is stored is no failure because of that.
        if total > FEW
            && let Err(error) = self.catch_up().await
        {
            tracing::warn!(%error, "the index of resources could not be brought up to a large change");
        }
        let paths: HashMap<String, bool> =
            changes.iter().map(|change| (change.key.path(), leans_elsewhere(change))).collect();
        let touched = |problem: &Problem| problem.revision == revision || paths.contains_key(&problem.key);
        // Who takes secrets from a manager waits with it.
        let moves_manager = changes.iter().any(|change| change.key.kind == Kind::Secret);
        let waits = |problem: &Problem| paths.get(&problem.key).copied().unwrap_or(moves_manager);
        let mut problems = self.live().problems();
        problems.retain(touched);
        if !problems.is_empty() && problems.iter().all(waits) {
            // What is kept elsewhere is looked up behind the commit; most often it is there a moment later.
            let until = Instant::now() + LOOKED_UP_WITHIN;
            while !problems.is_empty() && Instant::now() < until {
                tokio::time::sleep(LOOKED_AT_EVERY).await;
                problems = self.live().problems();
                problems.retain(touched);
            }
        }
        for problem in &problems {
            let told = who.scope.is_all() || paths.contains_key(&problem.key);
            warnings.push(if !told {
                "an object outside your scope can't be used by the gateway, its last good version serves"
                    .to_owned()
            } else if waits(problem) {
                format!("{} is stored and waits for what is kept elsewhere: {}", problem.key, problem.reason)
            } else {
                format!(
                    "{} can't be used by the gateway, its last good version serves: {}",
                    problem.key, problem.reason
                )
            });
        }
        let (in_force, waits) = (problems.is_empty(), problems.iter().all(waits));
        Ok(Applied { revision, changes, total, in_force, waits: !in_force && waits, warnings })
    }
}

/// Whether an object needs something that is kept elsewhere: it refers to a secret, or says where secrets are looked up.
fn leans_elsewhere(change: &Change) -> bool {
    let Some(after) = &change.after else { return false };
    let mut refers = change.key.kind == Kind::Secret;
    reference::each(after, &mut |_, _| refers = true);
    refers
}

/// A committed change.
pub(super) struct Done {
    pub(super) revision: u64,
    pub(super) changes: Vec<Change>,
    pub(super) total: usize,
}

impl Done {
    fn of(revision: u64, plan: Plan) -> Self {
        Self { revision, total: plan.total, changes: plan.changes }
    }
}

/// An approval as the history tells it.
pub(super) fn told(approval: Approval) -> String {
    match approval {
        Approval::Client => "client".to_owned(),
        Approval::Person(how) => format!("person: {}", how.chars().take(APPROVAL_CHARS).collect::<String>()),
    }
}

/// Why a kept plan was not committed.
enum Failure {
    Stale(String),
    Refused(ServiceError),
}

impl From<ServiceError> for Failure {
    fn from(error: ServiceError) -> Self {
        Self::Refused(error)
    }
}

/// Whether the same plan may succeed a moment later.
pub(super) const fn may_pass(error: &ServiceError) -> bool {
    matches!(
        error,
        ServiceError::Store(
            StoreError::Busy | StoreError::Full | StoreError::Unavailable(_) | StoreError::Conflict { .. }
        )
    )
}
