//! `approvals`: the plans of agents and other clients that wait for a person, and what the person says.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::answer::Answer;
use super::endpoint::{Call, Nothing};
use super::entrance::role_word;
use super::plans;
use super::refusal::Refusal;
use super::shapes::{AppliedShape, PlanShape};
use crate::service::{Service, ServiceError, Waiting};

/// Plans that are told of at most.
const MOST: usize = 100;
/// Changes of each that a list shows; one plan by its id shows more.
const SHOWN: usize = 20;

/// Plans that wait.
#[derive(Serialize, JsonSchema)]
pub(super) struct Approvals {
    /// The plans, oldest first; the first hundred.
    plans: Vec<WaitingShape>,
    /// How many wait in all.
    total: usize,
    /// When this gateway was started, in milliseconds since 1970: plans that were made before are forgotten.
    since_unix_ms: u64,
}

/// A plan that waits, and whose it is.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Waiting")]
pub(super) struct WaitingShape {
    /// Who made it.
    by: String,
    /// With which role.
    role: &'static str,
    /// Through which door.
    door: String,
    /// The plan.
    plan: PlanShape,
    /// Why it can't be applied any more, where what it was made for was changed since; missing where it can.
    #[serde(skip_serializing_if = "Option::is_none")]
    stale: Option<String>,
}

/// What a person says of a plan.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DecisionRequest {
    /// `true` applies it, `false` ends it.
    agree: bool,
}

/// What came of it.
#[derive(Serialize, JsonSchema)]
pub(super) struct Decided {
    /// What was applied; missing where it was declined.
    #[serde(skip_serializing_if = "Option::is_none")]
    applied: Option<AppliedShape>,
}

/// `GET /approvals`.
pub(super) async fn list(call: Call, _: Nothing, _: Nothing) -> Result<Answer<Approvals>, Refusal> {
    let waiting = call.service.waiting(&call.who)?;
    let total = waiting.len();
    let mut plans = Vec::new();
    for one in waiting.iter().take(MOST) {
        plans.push(WaitingShape::of(one, SHOWN, &call.service).await);
    }
    Ok(Answer::ok(Approvals { plans, total, since_unix_ms: call.service.keeps_plans_since() }))
}

/// `GET /approvals/{plan}`.
pub(super) async fn read(call: Call, _: Nothing, _: Nothing) -> Result<Answer<WaitingShape>, Refusal> {
    let waiting = call.service.waiting_plan(&call.who, call.parameter("plan")).map_err(settled)?;
    Ok(Answer::ok(WaitingShape::of(&waiting, super::shapes::SHOWN, &call.service).await))
}

/// `POST /approvals/{plan}`.
pub(super) async fn decide(
    call: Call,
    _: Nothing,
    request: DecisionRequest,
) -> Result<Answer<Decided>, Refusal> {
    let plan = call.parameter("plan");
    if !request.agree {
        call.service.decline(&call.who, plan).await.map_err(settled)?;
        return Ok(Answer::ok(Decided { applied: None }));
    }
    let applied = call.service.agree(&call.who, plan).await.map_err(settled)?;
    Ok(Answer::ok(Decided { applied: Some(plans::in_force(&applied)?) }))
}

/// A plan that doesn't wait any more: the next step is a person's.
fn settled(error: ServiceError) -> Refusal {
    let is_settled = matches!(error, ServiceError::UnknownPlan(_));
    let refusal = Refusal::from(error);
    if is_settled {
        return refusal.next(
            "look at the history for what was applied; if the change is still wanted, whoever asked for it plans again",
        );
    }
    refusal
}

impl WaitingShape {
    async fn of(waiting: &Waiting, most: usize, service: &Service) -> Self {
        Self {
            by: waiting.owner.name.clone(),
            role: role_word(waiting.owner.role),
            door: waiting.owner.door.to_string(),
            plan: PlanShape::of(&waiting.plan, Some(most)),
            stale: service.why_stale(waiting).await,
        }
    }
}
