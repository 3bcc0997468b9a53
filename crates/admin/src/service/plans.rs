//! The plans that can still be applied: few, small, and only for a while.

mod ended;

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use usher_model::change::Principal;
use usher_model::kind::Key;

use super::ServiceError;
use super::approvals::Waiting;
use super::plan::Plan;
use super::wish::{Goal, Wish, weight};

pub(super) use ended::End;
use ended::Ended;

/// The most bytes of memory that kept plans take, roughly; the oldest go first.
const MOST_BYTES: usize = 64 << 20;

/// Resources of a plan that waits which are looked at to tell whether it is stale; where it is applied, all are.
const LOOKED_AT: usize = 100;

/// A plan with what is needed to apply it.
pub(super) struct Kept {
    pub(super) plan: Plan,
    /// What it was made of, but for the edits.
    pub(super) wish: Wish,
    /// What it leads to.
    pub(super) goals: Vec<Goal>,
    /// Every resource it touches or leans on, with the revision that it was made for.
    pub(super) bound: Vec<(Key, Option<u64>)>,
    owner: Principal,
    until: Instant,
    bytes: usize,
}

impl Kept {
    pub(super) fn new(
        plan: Plan,
        wish: Wish,
        goals: Vec<Goal>,
        bound: Vec<(Key, Option<u64>)>,
        owner: &Principal,
        ttl: Duration,
    ) -> Self {
        let values = plan.changes.iter().flat_map(|change| [&change.before, &change.after]);
        let room = |goal: &Goal| 256 + 2 * goal.key.id.len() + goal.after.as_ref().map_or(0, Bytes::len);
        let bytes =
            values.flatten().map(weight).sum::<usize>() + goals.iter().map(room).sum::<usize>() + 1024;
        Self { plan, wish, goals, bound, owner: owner.clone(), until: Instant::now() + ttl, bytes }
    }

    /// What it was made of, with the edits that lead to the same.
    pub(super) fn whole_wish(&self) -> Result<Wish, ServiceError> {
        let edits = self.goals.iter().map(Goal::aim).collect::<Result<_, _>>()?;
        Ok(Wish { edits, ..self.wish.clone() })
    }

    /// A plan belongs to who made it, with the rights that one had then.
    fn is_for(&self, who: &Principal, id: &str) -> bool {
        self.plan.id == id && self.owner == *who
    }
}

/// The plans, oldest first.
#[derive(Default)]
pub(super) struct Plans {
    kept: VecDeque<Kept>,
    bytes: usize,
    ended: Ended,
}

impl Plans {
    /// Keeps a plan, and drops the oldest where there are too many.
    pub(super) fn keep(&mut self, kept: Kept, most: usize) {
        self.forget_old();
        self.bytes += kept.bytes;
        self.kept.push_back(kept);
        while self.kept.len() > 1 && (self.kept.len() > most || self.bytes > MOST_BYTES) {
            self.drop_oldest();
        }
    }

    /// Puts a plan back whose application failed for a reason that may pass.
    pub(super) fn restore(&mut self, kept: Kept) {
        self.ended.forget(&kept.plan.id);
        self.bytes += kept.bytes;
        self.kept.push_front(kept);
    }

    /// A plan of this principal that can still be applied.
    ///
    /// # Errors
    /// Why there is none, as far as it is known.
    pub(super) fn find(&mut self, who: &Principal, id: &str) -> Result<Plan, ServiceError> {
        let kept = self.look(who, id)?;
        let mut plan = kept.plan.clone();
        plan.expires_in_secs = kept.until.saturating_duration_since(Instant::now()).as_secs();
        Ok(plan)
    }

    /// The same as it is kept.
    ///
    /// # Errors
    /// As for [`Plans::find`].
    pub(super) fn look(&mut self, who: &Principal, id: &str) -> Result<&Kept, ServiceError> {
        self.forget_old();
        let found = self.kept.iter().find(|kept| kept.is_for(who, id));
        found.ok_or_else(|| ServiceError::UnknownPlan(self.ended.sentence(who, id)))
    }

    /// The same, taken out: nobody else can apply it.
    ///
    /// # Errors
    /// As for [`Plans::find`].
    pub(super) fn take(&mut self, who: &Principal, id: &str) -> Result<Kept, ServiceError> {
        self.forget_old();
        let at = self.kept.iter().position(|kept| kept.is_for(who, id));
        let Some(kept) = at.and_then(|at| self.kept.remove(at)) else {
            return Err(ServiceError::UnknownPlan(self.ended.sentence(who, id)));
        };
        self.bytes -= kept.bytes;
        self.end(&kept, End::Taken);
        Ok(kept)
    }

    /// All plans that can still be applied, whoever made them, oldest first.
    pub(super) fn all(&mut self) -> impl Iterator<Item = Waiting> {
        self.forget_old();
        let now = Instant::now();
        self.kept.iter().map(move |kept| {
            let mut plan = kept.plan.clone();
            plan.expires_in_secs = kept.until.saturating_duration_since(now).as_secs();
            let bound = kept.bound.iter().take(LOOKED_AT).cloned().collect();
            Waiting { plan, owner: kept.owner.clone(), bound }
        })
    }

    /// Why a plan doesn't wait, for a person who may agree to plans.
    pub(super) fn to_a_person(&self, id: &str) -> String {
        self.ended.to_a_person(id)
    }

    /// Remembers which person decided about a plan.
    pub(super) fn decided(&mut self, id: &str, person: &str) {
        self.ended.decided(id, person);
    }

    /// Remembers what became of a plan that was taken out.
    pub(super) fn end(&mut self, kept: &Kept, how: End) {
        self.ended.remember(&kept.plan.id, &kept.owner, how);
    }

    fn forget_old(&mut self) {
        let now = Instant::now();
        let Self { kept, bytes, ended } = self;
        kept.retain(|kept| {
            let stays = kept.until > now;
            if !stays {
                *bytes -= kept.bytes;
                ended.remember(&kept.plan.id, &kept.owner, End::Expired);
            }
            stays
        });
    }

    fn drop_oldest(&mut self) {
        if let Some(dropped) = self.kept.pop_front() {
            self.bytes -= dropped.bytes;
            self.end(&dropped, End::Dropped);
        }
    }
}
