//! What a plan says, and what came of it.

use usher_model::change::{Change, Risk};

/// A checked set of edits, not yet applied. Immutable; every value in it is masked.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Its handle: 10 hex digits. It gives no right: a plan belongs to who made it.
    pub id: String,
    /// The store revision it was made at.
    pub base: u64,
    /// What changes; of more than 10,000 objects the ones that matter most.
    pub changes: Vec<Change>,
    /// How many objects change in all.
    pub total: usize,
    /// How many transactions of the store it takes: 1, unless it is larger than one may be.
    pub steps: usize,
    /// Who meets the change: one line a route, at most 50 and one that counts the rest.
    pub affected: Vec<String>,
    /// What to look at before agreeing.
    pub warnings: Vec<String>,
    /// How much harm it can do.
    pub risk: Risk,
    /// Why it has this risk.
    pub reasons: Vec<String>,
    /// What the caller said it is for.
    pub intent: Option<String>,
    /// How many seconds it can still be applied.
    pub expires_in_secs: u64,
    /// Whether a person has to agree, for this principal and these rules.
    pub needs_person: bool,
    /// The revision that it takes back.
    pub undoes: Option<u64>,
}

impl Plan {
    /// The plan as people read it: its id and risk, each change field by field, who is affected, and warnings.
    #[must_use]
    pub fn text(&self) -> String {
        super::text::of(self)
    }
}

/// Who agreed to a plan.
#[derive(Clone, Debug)]
pub enum Approval {
    /// The client's own confirmation.
    Client,
    /// A person agreed; how and who, for the history.
    Person(String),
}

/// What came of a plan.
#[derive(Clone, Debug)]
pub struct Applied {
    /// The revision that it made; of several steps the last one's.
    pub revision: u64,
    /// What changed, masked; of more than 10,000 objects the ones that matter most.
    pub changes: Vec<Change>,
    /// How many objects changed in all.
    pub total: usize,
    /// Whether every worker serves by it.
    pub in_force: bool,
    /// Where it isn't in force: whether that is only because something is missing that is kept elsewhere, such as a secret or its manager. It comes
    /// into force by itself when that is there; until then it is listed as a problem.
    pub waits: bool,
    /// What did not go as wished.
    pub warnings: Vec<String>,
}
