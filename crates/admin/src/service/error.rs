//! Why the service refused, each cause with the sentence that people read.

use usher_model::kind::Key;
use usher_model::live::NotInForce;
use usher_model::schema::Near;
use usher_store::StoreError;

use super::plan::Plan;

/// Why the service refused.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// A wanted resource breaks a rule.
    #[error("{sentence}")]
    Invalid {
        /// The sentence of the contract, with `invalid configuration: ` where the contract has it.
        sentence: String,
        /// The resource, where one is to blame.
        key: Option<Key>,
        /// Where in it, as a JSON pointer.
        pointer: String,
        /// The field that is nearest to the fault, where the sentence speaks of more.
        near: Option<Box<Near>>,
    },
    /// There is no such resource.
    #[error("{0} does not exist")]
    NotFound(Key),
    /// This principal may not do that.
    #[error("{0}")]
    Forbidden(String),
    /// A person has to agree first.
    #[error("plan {plan} needs a person's agreement: {}", reasons.join("; "))]
    NeedsPerson {
        /// The plan.
        plan: String,
        /// Why.
        reasons: Vec<String>,
        /// Where a person may do so: the plan's address in the console, where that is known.
        place: Option<String>,
    },
    /// A plan that never was, is another principal's, was used, or has expired: the sentence says which, as far as it is known.
    #[error("{0}")]
    UnknownPlan(String),
    /// Somebody changed one of the plan's objects since.
    #[error("{sentence}")]
    Stale {
        /// Which object, and what to do.
        sentence: String,
        /// The same wish planned against what is there now, where that is still possible.
        fresh: Option<Box<Plan>>,
    },
    /// The caller expected another revision of an object.
    #[error("{0}")]
    Conflict(String),
    /// What is to be deleted is still in use.
    #[error("{0}")]
    StillUsed(String),
    /// What is wanted is there already.
    #[error("{0}")]
    NothingToChange(String),
    /// There is nothing to undo.
    #[error("{0}")]
    NothingToUndo(String),
    /// There is no such token, user or unfinished plan.
    #[error("{0}")]
    NoSuch(String),
    /// The set is larger than one transaction of the store, and nobody asked for steps: the sentence says how large and what to do.
    #[error("{0}")]
    NeedsSteps(String),
    /// A part was written and the rest was not: the sentence says which, and how to go on or back.
    #[error("{sentence}")]
    Partial {
        /// What was done and what wasn't.
        sentence: String,
        /// How many objects were written.
        done: usize,
        /// How many were to be written.
        total: usize,
    },
    /// What is stored can't be read.
    #[error("{0}")]
    Damaged(String),
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The change is stored, but isn't served yet.
    #[error(transparent)]
    NotInForce(#[from] NotInForce),
}

impl ServiceError {
    /// Whether it isn't known if the change was written: who repeats it unseen may write it twice.
    #[must_use]
    pub const fn is_unknown_outcome(&self) -> bool {
        matches!(self, Self::Store(StoreError::Unknown(_)))
    }
}
