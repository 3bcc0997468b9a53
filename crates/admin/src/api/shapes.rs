//! The shapes that several endpoints give: plans, changes and their fields.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use usher_model::change::{Change, Risk};
use usher_model::diff::diff;
use usher_model::kind::Key;

use crate::service::{Applied, Plan};

/// Changes that a plan or an entry shows, where nobody asks for another number.
pub(super) const SHOWN: usize = 1000;

/// A plan: checked, not applied, and never changed again. Secrets are masked.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Plan")]
pub(super) struct PlanShape {
    /// Its id. It gives no right: a plan belongs to who made it.
    pub(super) id: String,
    /// The store's revision that it was made at.
    pub(super) base_revision: u64,
    /// `low`, `medium` or `high`.
    pub(super) risk: &'static str,
    /// Why it has this risk.
    pub(super) reasons: Vec<String>,
    /// Whether `apply` needs the approval of a person.
    pub(super) needs_person: bool,
    /// How many seconds it can still be applied.
    pub(super) expires_in_secs: u64,
    /// What it is for, in the words of who made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) intent: Option<String>,
    /// The revision that it takes back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) undoes: Option<u64>,
    /// How many objects change in all.
    pub(super) total: usize,
    /// How many transactions of the store it takes; with more than one it has to be applied in steps.
    pub(super) steps: usize,
    /// How many objects it creates, updates and deletes; of more than 10,000, of those that matter most.
    pub(super) counts: Counts,
    /// What changes, field by field; of more than 10,000 objects, those that matter most.
    pub(super) changes: Vec<ChangeShape>,
    /// Further changes that are not shown; `GET /plans/{id}?after=N` goes on behind the N-th.
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) more: usize,
    /// Who meets the change, a line a route.
    pub(super) affected: Vec<String>,
    /// What to look at before agreeing.
    pub(super) warnings: Vec<String>,
    /// The whole plan as people read it; empty where not all changes are shown.
    pub(super) text: String,
}

/// How many objects are created, updated and deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct Counts {
    /// Made new.
    pub(super) created: usize,
    /// Changed.
    pub(super) updated: usize,
    /// Deleted.
    pub(super) deleted: usize,
}

/// One object before and after, field by field. Secrets are masked.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Change")]
pub(super) struct ChangeShape {
    /// `create`, `update` or `delete`.
    pub(super) op: &'static str,
    /// The object's kind, such as `route`.
    pub(super) kind: &'static str,
    /// Its id.
    pub(super) id: String,
    /// The fields that differ.
    pub(super) fields: Vec<FieldShape>,
}

/// One field before and after; a side is missing where the field isn't there.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Field")]
pub(super) struct FieldShape {
    /// Where, such as `plugins.limit-count.count`; empty for the whole object.
    pub(super) path: String,
    /// What was there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) before: Option<Value>,
    /// What is there now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) after: Option<Value>,
}

/// An object by its kind and id.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Name")]
pub(super) struct NameShape {
    /// Its kind, such as `route`.
    pub(super) kind: &'static str,
    /// Its id.
    pub(super) id: String,
}

/// What came of a plan.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Applied")]
pub(super) struct AppliedShape {
    /// The revision that it made.
    pub(super) revision: u64,
    /// Whether every worker serves by it.
    pub(super) in_force: bool,
    /// How many objects changed in all.
    pub(super) total: usize,
    /// How many it created, updated and deleted; of more than 10,000, of those that matter most.
    pub(super) counts: Counts,
    /// The objects, the first thousand of them.
    pub(super) objects: Vec<NameShape>,
    /// What did not go as wished.
    pub(super) warnings: Vec<String>,
}

impl PlanShape {
    /// A plan with its first changes.
    pub(super) fn of(plan: &Plan, most: Option<usize>) -> Self {
        Self::page(plan, 0, most.unwrap_or(SHOWN))
    }

    /// A plan with `most` of its changes, beginning behind the first `after`.
    pub(super) fn page(plan: &Plan, after: usize, most: usize) -> Self {
        let changes: Vec<ChangeShape> =
            plan.changes.iter().skip(after).take(most).map(ChangeShape::of).collect();
        let more = plan.changes.len().saturating_sub(after + changes.len());
        let whole = after == 0 && more == 0;
        Self {
            id: plan.id.clone(),
            base_revision: plan.base,
            risk: risk_word(plan.risk),
            reasons: plan.reasons.iter().take(SHOWN).cloned().collect(),
            needs_person: plan.needs_person,
            expires_in_secs: plan.expires_in_secs,
            intent: plan.intent.clone(),
            undoes: plan.undoes,
            total: plan.total,
            steps: plan.steps,
            counts: Counts::of(&plan.changes),
            changes,
            more,
            affected: plan.affected.clone(),
            warnings: plan.warnings.iter().take(SHOWN).cloned().collect(),
            text: if whole { plan.text() } else { String::new() },
        }
    }
}

impl Counts {
    /// Counts changes; one that leaves its object as it was counts as nothing.
    pub(super) fn of(changes: &[Change]) -> Self {
        let mut counts = Self::default();
        for change in changes {
            match (&change.before, &change.after) {
                (None, Some(_)) => counts.created += 1,
                (Some(_), None) => counts.deleted += 1,
                (Some(before), Some(after)) if before != after => counts.updated += 1,
                _ => {}
            }
        }
        counts
    }
}

impl ChangeShape {
    /// A change, field by field. When an object was written says nothing of it and is left out.
    pub(super) fn of(change: &Change) -> Self {
        let fields = diff(change.before.as_ref(), change.after.as_ref());
        let op = match (&change.before, &change.after) {
            (None, _) => "create",
            (Some(_), Some(_)) => "update",
            (Some(_), None) => "delete",
        };
        let name = NameShape::of(&change.key);
        let is_time = |path: &str| matches!(path, "create_time" | "update_time");
        let fields = fields.into_iter().filter(|field| !is_time(&field.path));
        let shape = |field: usher_model::diff::FieldChange| FieldShape {
            path: field.path,
            before: field.before,
            after: field.after,
        };
        Self { op, kind: name.kind, id: name.id, fields: fields.map(shape).collect() }
    }
}

impl NameShape {
    /// The name of a key.
    pub(super) fn of(key: &Key) -> Self {
        Self { kind: key.kind.schema_name(), id: key.id.clone() }
    }
}

impl AppliedShape {
    /// What came of a plan.
    pub(super) fn of(applied: &Applied) -> Self {
        Self {
            revision: applied.revision,
            in_force: applied.in_force,
            total: applied.total,
            counts: Counts::of(&applied.changes),
            objects: applied.changes.iter().take(SHOWN).map(|change| NameShape::of(&change.key)).collect(),
            warnings: applied.warnings.clone(),
        }
    }
}

/// A risk as it is written in JSON.
pub(super) const fn risk_word(risk: Risk) -> &'static str {
    match risk {
        Risk::Low => "low",
        Risk::Medium => "medium",
        Risk::High => "high",
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference in")]
const fn is_zero(number: &usize) -> bool {
    *number == 0
}
