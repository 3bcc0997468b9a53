//! From a checked wish to a plan, and from a plan to the store: one transaction, then in force.

use usher_model::change::{Change, Principal};
use usher_model::kind::Key;
use usher_store::{Compare, StoreError, Transaction};

use super::impact::{Impact, assess};
use super::journal::{self, Record};
use super::plan::{Applied, Approval, Plan};
use super::plans::{End, Kept};
use super::wish::Wish;
use super::world::World;
use super::{Service, ServiceError, consent};

/// How often a commit is tried when somebody else writes to the store.
const TRIES: usize = 8;
/// The most characters of an approval that are kept.
const APPROVAL_CHARS: usize = 200;

impl Service {
    /// Checks a wish, assesses it, and keeps the plan for its owner.
    pub(super) async fn make_plan(&self, who: &Principal, wish: Wish) -> Result<Plan, ServiceError> {
        let (world, plan) = self.assessed(who, &wish).await?;
        self.keep(who, &wish, &world, &plan)?;
        Ok(plan)
    }

    async fn assessed(&self, who: &Principal, wish: &Wish) -> Result<(World<'_>, Plan), ServiceError> {
        let mut world = self.check(wish).await?;
        let impact = assess(&mut world).await?;
        let plan = self.outline(who, wish, &world, impact)?;
        Ok((world, plan))
    }

    fn keep(&self, who: &Principal, wish: &Wish, world: &World<'_>, plan: &Plan) -> Result<(), ServiceError> {
        let wish = wish.checked(world.edits()?, plan.intent.clone());
        let rules = &self.parts.rules;
        let kept = Kept::new(plan.clone(), wish, world.bound(), who, rules.plan_ttl);
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
        let Impact { risk, reasons, warnings, affected, .. } = impact;
        let rules = &self.parts.rules;
        // What the caller says of a change may repeat a secret that the change sets.
        let intent = wish.intent.as_ref().map(|intent| {
            world.drafts.iter().fold(intent.clone(), |intent, draft| match &draft.after {
                Some(value) => self.vault.scrub(draft.key.kind, value, &intent),
                None => intent,
            })
        });
        Ok(Plan {
            id: new_id()?,
            base: world.base,
            changes: world.masked(),
            affected,
            warnings,
            risk,
            reasons,
            intent,
            expires_in_secs: rules.plan_ttl.as_secs(),
            needs_person: consent::needs_person(rules, who, risk),
            undoes: wish.undoes,
        })
    }

    pub(super) async fn apply_plan(
        &self,
        who: &Principal,
        id: &str,
        approval: Approval,
    ) -> Result<Applied, ServiceError> {
        consent::may_change(who)?;
        let plan = self.lock_plans().find(who, id)?;
        if plan.needs_person && !matches!(approval, Approval::Person(_)) {
            return Err(self.needs_person(plan));
        }
        let kept = self.lock_plans().take(who, id)?;
        let approval = match approval {
            Approval::Client => "client".to_owned(),
            Approval::Person(how) => {
                format!("person: {}", how.chars().take(APPROVAL_CHARS).collect::<String>())
            }
        };
        match self.commit_kept(who, &kept, &approval).await {
            Ok(done) => {
                self.lock_plans().end(&kept, End::Applied(done.revision));
                self.bring_into_force(done, Vec::new()).await
            }
            Err(Failure::Stale(sentence)) => {
                self.lock_plans().end(&kept, End::Stale);
                let fresh = self.plan_again(who, kept.wish).await.map(Box::new);
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
    }

    pub(super) async fn write_wish(&self, who: &Principal, wish: Wish) -> Result<Applied, ServiceError> {
        consent::may_write(who)?;
        let (done, warnings) = {
            let _writing = self.writer.lock().await;
            let mut tries = 0;
            loop {
                tries += 1;
                let (world, plan) = self.assessed(who, &wish).await?;
                if plan.needs_person {
                    self.keep(who, &wish, &world, &plan)?;
                    return Err(self.needs_person(plan));
                }
                match self.commit(who, &plan, &world, "direct").await {
                    Ok(revision) => break (Done { revision, changes: plan.changes }, plan.warnings),
                    Err(ServiceError::Store(StoreError::Conflict { .. })) if tries < TRIES => {}
                    Err(error) => return Err(error),
                }
            }
        };
        self.bring_into_force(done, warnings).await
    }

    /// Commits a kept plan, where everything is still as it was planned for.
    async fn commit_kept(&self, who: &Principal, kept: &Kept, approval: &str) -> Result<Done, Failure> {
        let _writing = self.writer.lock().await;
        let mut tries = 0;
        loop {
            tries += 1;
            self.still_true(&kept.bound).await?;
            let (world, mut plan) = self.assessed(who, &kept.wish).await?;
            let same_objects = plan.changes.len() == kept.plan.changes.len()
                && plan.changes.iter().zip(&kept.plan.changes).all(|(now, then)| now.key == then.key);
            if !same_objects || plan.risk > kept.plan.risk {
                let reasons = consent::several(&plan.reasons).join("; ");
                return Err(Failure::Stale(format!(
                    "the plan does more than it did when it was made ({reasons}); look at the new plan and apply that one"
                )));
            }
            plan.id.clone_from(&kept.plan.id);
            match self.commit(who, &plan, &world, approval).await {
                Ok(revision) => return Ok(Done { revision, changes: plan.changes }),
                Err(ServiceError::Store(StoreError::Conflict { .. })) if tries < TRIES => {}
                Err(error) => return Err(Failure::Refused(error)),
            }
        }
    }

    fn needs_person(&self, plan: Plan) -> ServiceError {
        let reasons = consent::reasons(&self.parts.rules, plan.risk, &plan.reasons);
        ServiceError::NeedsPerson { plan: plan.id, reasons }
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
                return Err(Failure::Stale(format!(
                    "{key} {what} since this plan was made; look at the new plan and apply that one, or plan again"
                )));
            }
        }
        Ok(())
    }

    async fn plan_again(&self, who: &Principal, wish: Wish) -> Option<Plan> {
        let made = match wish.undoes {
            Some(revision) => self.undo(who, Some(revision), wish.intent).await,
            None => self.make_plan(who, wish).await,
        };
        made.ok()
    }

    /// Writes resources and history entry in one transaction, which commits only if nothing at all was written since the check.
    async fn commit(
        &self,
        who: &Principal,
        plan: &Plan,
        world: &World<'_>,
        approval: &str,
    ) -> Result<u64, ServiceError> {
        let moves = world.moves()?;
        let revision = world.base + 1;
        let mut transaction = Transaction::default().behind(world.base);
        for (key, seen) in world.bound() {
            transaction = transaction.expect(key.path(), seen.map_or(Compare::Absent, Compare::Modified));
        }
        for moved in &moves {
            let path = moved.key.path();
            transaction = match &moved.after {
                Some(value) => transaction.put(path, encoded(value)?),
                None => transaction.delete(path),
            };
        }
        let record = Record::of(who, plan, approval.to_owned(), moves);
        transaction = transaction.put(journal::key(revision), encoded(&record)?);
        if let Some(oldest) = revision.checked_sub(self.parts.rules.history_kept) {
            transaction = transaction.delete(journal::key(oldest));
        }
        let committed = self.store().commit(transaction).await?;
        tracing::info!(
            revision = committed.revision,
            principal = %who.name,
            door = %who.door,
            risk = %plan.risk,
            changes = plan.changes.len(),
            "a change was stored"
        );
        Ok(committed.revision)
    }

    async fn bring_into_force(&self, done: Done, mut warnings: Vec<String>) -> Result<Applied, ServiceError> {
        let Done { revision, changes } = done;
        self.live().wait_in_force(revision, self.parts.rules.in_force_within).await?;
        let paths: Vec<String> = changes.iter().map(|change| change.key.path()).collect();
        let mut in_force = true;
        for problem in self.live().problems() {
            if problem.revision == revision || paths.contains(&problem.key) {
                in_force = false;
                warnings.push(format!(
                    "{} can't be used by the gateway, its last good version serves: {}",
                    problem.key, problem.reason
                ));
            }
        }
        Ok(Applied { revision, changes, in_force, warnings })
    }
}

/// A committed change.
struct Done {
    revision: u64,
    changes: Vec<Change>,
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
const fn may_pass(error: &ServiceError) -> bool {
    matches!(
        error,
        ServiceError::Store(
            StoreError::Busy | StoreError::Full | StoreError::Unavailable(_) | StoreError::Conflict { .. }
        )
    )
}

fn encoded(value: &impl serde::Serialize) -> Result<Vec<u8>, ServiceError> {
    serde_json::to_vec(value).map_err(|error| ServiceError::Damaged(error.to_string()))
}

/// Ten random hex digits.
fn new_id() -> Result<String, ServiceError> {
    let mut bytes = [0; 5];
    aws_lc_rs::rand::fill(&mut bytes)
        .map_err(|_| ServiceError::Damaged("no random bytes are to be had from the system".to_owned()))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
