//! The question to a person before a plan of high risk is applied, in both eras of MCP.
//!
//! Older clients are asked through their session while the call waits. Since 2026-07-28 the call ends with a question, and the client makes it
//! again with the answer; what it brings back is only a handle, good once, for this caller and this plan. A client that can't ask is refused:
//! the default is no.

use std::time::Duration;

use rmcp::model::{
    BooleanSchema, CallToolRequestParams, ClientCapabilities, ElicitRequest, ElicitRequestParams,
    ElicitResult, ElicitationAction, ElicitationSchema, ErrorData, InputRequest, InputRequests,
    InputRequiredResult, PrimitiveSchemaDefinition, ProtocolVersion,
};
use rmcp::service::{RequestContext, RoleServer, ServiceError};
use serde_json::Value;
use tokio::sync::Semaphore;
use usher_admin::service::Plan;
use usher_model::change::Principal;

use super::questions::{OPEN, Questions, THINKING};
use crate::tools::{Agreement, Refusal, Tools, clean, clean_lines, without_a_person};

/// The one tool that may need a person.
const TOOL: &str = "gateway_apply";
/// The name of the question and of the answer's one member.
const AGREE: &str = "agree";
/// Characters of a plan that a person is shown. A longer one isn't cut: nobody can agree to what they don't see.
const MOST_SHOWN: usize = 20_000;

/// What comes of a call.
pub(super) enum Decision {
    /// It goes on, with what was agreed to.
    Go(Agreement),
    /// The person said no: this plan ends, and the client is told.
    No(String, Refusal),
    /// The client has to ask first.
    Ask(Box<InputRequiredResult>),
    /// What was brought back belongs to no question: an error of the protocol, because no tool has run.
    Reject(ErrorData),
}

/// Who was asked what.
pub(super) struct Consent {
    /// What clients of 2026-07-28 went away with.
    questions: Questions,
    /// How many calls of older ones wait.
    waiting: Semaphore,
}

impl Default for Consent {
    fn default() -> Self {
        Self { questions: Questions::default(), waiting: Semaphore::new(OPEN) }
    }
}

impl Consent {
    /// Settles who agrees to a call. Only `gateway_apply` of a plan that needs a person is asked about.
    pub(super) async fn settle(
        &self,
        tools: &Tools,
        who: &Principal,
        call: &CallToolRequestParams,
        context: &RequestContext<RoleServer>,
    ) -> Result<Decision, Refusal> {
        if call.name != TOOL {
            return Ok(Decision::Go(Agreement::Client));
        }
        let plan = tools.plan_to_apply(who, &call.arguments.clone().unwrap_or_default())?;
        if !plan.needs_person {
            return Ok(Decision::Go(Agreement::Client));
        }
        if !can_ask(context.client_capabilities().as_ref()) {
            let reasons = clean(&plan.reasons.join("; "), 500);
            return Err(Refusal::new(format!(
                "plan {} needs a person's yes, and this client can't ask one: {reasons}",
                plan.id
            ))
            .next(without_a_person(&plan.id, tools.service().approval_place(&plan.id).as_deref())));
        }
        let question = question(&plan)?;
        let how = format!("asked through {}", client_name(context));
        if context.protocol_version().is_some_and(|version| version >= ProtocolVersion::V_2026_07_28) {
            return self.settle_by_retry(who, &plan, call, question, how);
        }
        let Ok(_open) = self.waiting.try_acquire() else { return Err(too_many()) };
        let asked = tokio::select! {
            // The timeout counts from when the question is on its way; a client that takes nothing off its connection is waited for no longer.
            () = tokio::time::sleep(THINKING + Duration::from_secs(5)) => return Err(unanswered(&plan)),
            asked = context.peer.create_elicitation_with_timeout(question, Some(THINKING)) => asked,
            // Whoever called has gone, and so has the person's question.
            () = context.ct.cancelled() => return Err(Refusal::new("the call was cancelled; nothing was applied")),
        };
        match asked {
            Ok(answer) => agreed(&plan, &answer, how),
            Err(ServiceError::Timeout { .. }) => Err(unanswered(&plan)),
            Err(error) => Err(Refusal::new(format!(
                "the person could not be asked: {}",
                clean(&error.to_string(), 200)
            ))
            .next("nothing was applied; ask again with gateway_apply")),
        }
    }

    fn settle_by_retry(
        &self,
        who: &Principal,
        plan: &Plan,
        call: &CallToolRequestParams,
        question: ElicitRequestParams,
        how: String,
    ) -> Result<Decision, Refusal> {
        let answer = call.input_responses.as_ref().and_then(|answers| answers.get(AGREE));
        let (Some(answer), Some(handle)) = (answer, &call.request_state) else {
            return self.ask(who, plan, question);
        };
        if !self.questions.close(handle, who, &plan.id) {
            return Ok(Decision::Reject(ErrorData::invalid_params(
                format!(
                    "this answer belongs to no open question: it was used, is too old, or is about another plan; \
                     gateway_apply {{\"plan_id\":\"{}\"}} asks again",
                    plan.id
                ),
                None,
            )));
        }
        let answer: ElicitResult = serde_json::from_value(answer.clone())
            .map_err(|error| Refusal::new(format!("the answer to the question can't be read: {error}")))?;
        agreed(plan, &answer, how)
    }

    fn ask(&self, who: &Principal, plan: &Plan, question: ElicitRequestParams) -> Result<Decision, Refusal> {
        let handle = self.questions.ask(who, &plan.id).ok_or_else(too_many)?;
        let request = InputRequest::Elicitation(ElicitRequest::new(question));
        let requests = InputRequests::from([(AGREE.to_owned(), request)]);
        Ok(Decision::Ask(Box::new(InputRequiredResult::new(Some(requests), Some(handle)))))
    }
}

/// The plan as the person sees it, with one box to tick.
fn question(plan: &Plan) -> Result<ElicitRequestParams, Refusal> {
    let text = plan.text();
    let shown = clean_lines(&text, MOST_SHOWN);
    if text.chars().count() > MOST_SHOWN {
        return Err(Refusal::new(format!("plan {} is too long to be shown to a person", plan.id))
            .next("split it into several plans"));
    }
    let agree = BooleanSchema::new().title("Apply this plan").with_default(false);
    let schema = ElicitationSchema::builder()
        .required_property(AGREE, PrimitiveSchemaDefinition::Boolean(agree))
        .build()
        .map_err(Refusal::new)?;
    Ok(ElicitRequestParams::FormElicitationParams { meta: None, message: shown, requested_schema: schema })
}

fn agreed(plan: &Plan, answer: &ElicitResult, how: String) -> Result<Decision, Refusal> {
    let ticked = answer.content.as_ref().and_then(|content| content.get(AGREE)) == Some(&Value::Bool(true));
    if answer.action == ElicitationAction::Accept && ticked {
        return Ok(Decision::Go(Agreement::Person(how)));
    }
    let refusal = Refusal::new(format!("the person did not agree to plan {}; nothing was applied", plan.id))
        .next("ask the person what they want instead");
    // Whoever only closed the question may be asked again.
    if answer.action == ElicitationAction::Cancel {
        return Err(refusal);
    }
    Ok(Decision::No(plan.id.clone(), refusal))
}

/// Whether the client declared that it can show a form. A capability without a mode means a form, as before modes there were no others.
fn can_ask(capabilities: Option<&ClientCapabilities>) -> bool {
    capabilities
        .and_then(|capabilities| capabilities.elicitation.as_ref())
        .is_some_and(|modes| modes.form.is_some() || modes.url.is_none())
}

fn client_name(context: &RequestContext<RoleServer>) -> String {
    context.client_info().map_or_else(|| "an unnamed client".to_owned(), |client| clean(&client.name, 60))
}

fn unanswered(plan: &Plan) -> Refusal {
    let minutes = THINKING.as_secs() / 60;
    Refusal::new(format!("nobody answered within {minutes} minutes; plan {} was not applied", plan.id))
        .next(format!("gateway_apply {{\"plan_id\":\"{}\"}} asks again, once a person is there", plan.id))
}

fn too_many() -> Refusal {
    Refusal::new("too many questions to people are open")
        .next("nothing was applied; ask again in a few minutes")
}
