//! Plans of others that wait for a person, and the person who agrees to one, or doesn't.
//!
//! An agent can't agree to its own plan. Whoever may make the same change by themselves looks at the plan and lets it be applied: as the agent's, so
//! that the history names who wanted it, with the approval of the person who agreed.

use usher_model::change::{Door, Principal, Role};
use usher_model::kind::Key;

use super::audit::Event;
use super::escape::plain;
use super::plan::{Applied, Approval, Plan};
use super::plans::End;
use super::{Service, ServiceError};

/// A plan that waits, and whose it is.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// The plan.
    pub plan: Plan,
    /// Who made it.
    pub owner: Principal,
    /// What it touches or leans on, with the revisions that it was made for; the first of many.
    pub(super) bound: Vec<(Key, Option<u64>)>,
}

impl Service {
    /// Where a person agrees to a plan in the console; `None` where that isn't known.
    #[must_use]
    pub fn approval_place(&self, plan: &str) -> Option<String> {
        self.parts.rules.console_url.as_ref().map(|url| format!("{url}/ui/approve/{plan}"))
    }

    /// A page of the console, such as `objects/routes/speaker`; `None` where it isn't known where that is.
    #[must_use]
    pub fn console_place(&self, page: &str) -> Option<String> {
        self.parts.rules.console_url.as_ref().map(|url| format!("{url}/ui/{page}"))
    }

    /// Since when plans are kept here, in milliseconds since 1970: those made before were forgotten when Usher was started.
    #[must_use]
    pub const fn keeps_plans_since(&self) -> u64 {
        self.started_unix_ms
    }

    /// The plans of others that need a person, oldest first.
    ///
    /// # Errors
    /// [`ServiceError::Forbidden`] for who may not agree to them.
    pub fn waiting(&self, who: &Principal) -> Result<Vec<Waiting>, ServiceError> {
        may_agree(who)?;
        let of_others = |waiting: &Waiting| waiting.plan.needs_person && waiting.owner != *who;
        Ok(self.lock_plans().all().filter(of_others).collect())
    }

    /// A plan of somebody else that can still be applied, whether it needs a person or not.
    ///
    /// # Errors
    /// [`ServiceError::Forbidden`], or [`ServiceError::UnknownPlan`].
    pub fn waiting_plan(&self, who: &Principal, id: &str) -> Result<Waiting, ServiceError> {
        may_agree(who)?;
        let found = self.lock_plans().all().find(|waiting| waiting.plan.id == id);
        found.ok_or_else(|| self.settled(id))
    }

    /// Why a plan that waits can't be applied any more, as far as that is seen without trying; `None` where it can.
    pub async fn why_stale(&self, waiting: &Waiting) -> Option<String> {
        if waiting.plan.base == self.revision() {
            return None;
        }
        self.no_longer(&waiting.bound).await
    }

    fn settled(&self, id: &str) -> ServiceError {
        ServiceError::UnknownPlan(self.lock_plans().to_a_person(id))
    }

    /// Agrees to a plan of somebody else, and applies it as theirs.
    ///
    /// # Errors
    /// As for [`Service::waiting_plan`] and [`Service::apply`].
    pub async fn agree(&self, who: &Principal, id: &str) -> Result<Applied, ServiceError> {
        self.noted(who, may_agree(who)).await?;
        let Waiting { plan, owner, .. } = self.waiting_plan(who, id)?;
        let approval = Approval::Person(format!("{}, in the {}", who.name, who.door));
        let outcome = match self.apply_plan(&owner, id, approval, plan.steps > 1).await {
            // Somebody was faster by a moment.
            Err(ServiceError::UnknownPlan(_)) => Err(self.settled(id)),
            outcome => outcome,
        };
        if outcome.is_ok() {
            self.lock_plans().decided(id, &who.name);
        }
        self.noted(&owner, outcome).await
    }

    /// Declines a plan of somebody else: it can't be applied any more.
    ///
    /// # Errors
    /// As for [`Service::waiting_plan`].
    pub async fn decline(&self, who: &Principal, id: &str) -> Result<(), ServiceError> {
        self.noted(who, may_agree(who)).await?;
        let Waiting { owner, .. } = self.waiting_plan(who, id)?;
        let Some(plan) = self.end_declined(&owner, id, who) else {
            return Err(self.settled(id));
        };
        self.note(who, Event::declined(&plan, &owner)).await;
        Ok(())
    }

    /// Declines one's own plan, because the person whom it was shown said no: nobody else can agree to it any more.
    ///
    /// # Errors
    /// [`ServiceError::UnknownPlan`] where there is no such plan of this principal, or none any more.
    pub async fn withdraw(&self, who: &Principal, id: &str) -> Result<(), ServiceError> {
        self.lock_plans().find(who, id)?;
        let Some(plan) = self.end_declined(who, id, who) else {
            return Err(self.settled(id));
        };
        self.note(who, Event::declined(&plan, who)).await;
        Ok(())
    }

    /// Ends a plan that `person` declined; `None` where somebody was faster.
    fn end_declined(&self, owner: &Principal, id: &str, person: &Principal) -> Option<Plan> {
        let mut plans = self.lock_plans();
        let kept = plans.take(owner, id).ok()?;
        plans.end(&kept, End::Declined);
        plans.decided(id, &person.name);
        Some(kept.plan)
    }
}

/// Whether this principal may agree to what others want: who may make any change without being asked, where a person sits.
fn may_agree(who: &Principal) -> Result<(), ServiceError> {
    let sits_there = matches!(who.door, Door::Console | Door::Cli);
    if sits_there && who.role >= Role::Editor && who.scope.is_all() {
        return Ok(());
    }
    Err(ServiceError::Forbidden(format!(
        "{} may not agree to plans of others; a user with the role editor or admin may, in the console",
        plain(&who.name)
    )))
}
