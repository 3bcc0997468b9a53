//! What the tools do: each reads its arguments, asks the service, and answers with a text for reading and a value for programs.
//!
//! Nothing here decides what is allowed; the service does. What is decided here is how much is said, and how errors help on.

mod apply;
mod arguments;
mod asked;
mod explain;
mod find;
mod get;
mod health;
mod history;
mod line;
mod locate;
mod optional;
mod overview;
mod pace;
mod plan;
mod plugin_help;
mod probe;
mod refusal;
mod repair;
mod requests;
mod shorten;
mod text;
mod traffic;

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use serde_json::{Map, Value};
use tokio::sync::Semaphore;
use usher_admin::service::{CallOutcome, MadeCall, Plan, Service};
use usher_model::change::Principal;

use crate::catalogue::{self, Tool, Toolset};

pub(crate) use apply::Agreement;
pub use pace::Limits;
pub(crate) use refusal::{Refusal, without_a_person};
pub(crate) use text::{clean, clean_lines};

/// Calls worked on at the same time; more wait for [`TURN`].
const AT_ONCE: usize = 16;
/// Characters that an id of a plan may have.
const MOST_PLAN_ID: usize = 64;
/// How long a call waits for its turn.
const TURN: Duration = Duration::from_secs(10);
/// Items in one answer, and the default.
pub(crate) const MOST_ITEMS: usize = 25;

/// What a tool answers.
#[derive(Debug)]
pub(crate) struct Answer {
    /// For people and models.
    pub(crate) text: String,
    /// The same for programs, as the catalogue's output schema says.
    pub(crate) structured: Value,
}

/// The tools, acting on one service.
pub(crate) struct Tools {
    service: Arc<Service>,
    slots: Semaphore,
    pace: pace::Pace,
    asked: asked::Asked,
    sets: Vec<Toolset>,
}

/// Where a call came from, as far as the client says so.
#[derive(Clone, Debug, Default)]
pub(crate) struct CameBy {
    /// What the client calls itself.
    pub(crate) client: Option<String>,
    /// The session or conversation that the call belongs to.
    pub(crate) conversation: Option<String>,
}

/// One call: who makes it, and on what.
pub(super) struct Call<'a> {
    pub(super) who: &'a Principal,
    pub(super) service: &'a Service,
    asked: &'a asked::Asked,
}

impl Tools {
    /// The tools of a service.
    pub(crate) fn new(service: Arc<Service>, limits: Limits) -> Self {
        Self {
            service,
            slots: Semaphore::new(AT_ONCE),
            pace: pace::Pace::new(limits),
            asked: asked::Asked::default(),
            sets: Vec::new(),
        }
    }

    /// The same with the tools of these sets.
    #[must_use]
    pub(crate) fn with_sets(self, sets: Vec<Toolset>) -> Self {
        Self { sets, ..self }
    }

    /// The tools that are there, in the order in which lists show them.
    pub(crate) fn offered(&self) -> impl Iterator<Item = &'static Tool> {
        let has = |tool: &&Tool| tool.set.is_none_or(|set| self.sets.contains(&set));
        catalogue::all().iter().chain(catalogue::optional()).filter(has)
    }

    /// What they act through.
    pub(crate) fn service(&self) -> &Service {
        &self.service
    }

    /// Calls a tool. `gateway_apply` goes on `agreement`, which only a person can turn from the client's to their own.
    pub(crate) async fn call(
        &self,
        who: &Principal,
        name: &str,
        arguments: Map<String, Value>,
        agreement: Agreement,
        from: &CameBy,
    ) -> Result<Answer, Refusal> {
        let mut made = self.made(name, &arguments, from);
        if let Agreement::Person(how) = &agreement {
            made.approval = Some(how.clone());
        }
        let wanted =
            pace::Wanted { tool: name, arguments: &made.arguments, revision: self.service.revision() };
        let began = Instant::now();
        let outcome = match self.pace.admit(who, &wanted) {
            Ok(()) => {
                let outcome = self.called(who, name, arguments, agreement).await;
                self.pace.settle(who, &wanted, outcome.is_err());
                outcome
            }
            Err(refusal) => Err(refusal),
        };
        if let Ok(answer) = &outcome {
            let said = |member: &str| Some(answer.structured.get(member)?.as_str()?.to_owned());
            made.plan = said("plan_id").or(made.plan);
            made.risk = said("risk");
            made.outcome = CallOutcome::Done;
        }
        made.took = began.elapsed();
        self.service.note_call(who, made);
        match catalogue::find(name) {
            Some(tool) => outcome.map_err(|refusal| refusal.finished(tool)),
            None => outcome,
        }
    }

    /// Calls a tool that only looks for what a client shows while somebody types; neither counted nor recorded, because nobody asked for it.
    pub(crate) async fn look(
        &self,
        who: &Principal,
        name: &str,
        arguments: Map<String, Value>,
    ) -> Result<Answer, Refusal> {
        self.called(who, name, arguments, Agreement::Client).await
    }

    /// Records a call that came to nothing before its tool ran, because a person was asked, or said no.
    pub(crate) fn note_unrun(
        &self,
        who: &Principal,
        name: &str,
        arguments: &Map<String, Value>,
        from: &CameBy,
        began: Instant,
        outcome: CallOutcome,
    ) {
        let made = MadeCall { outcome, took: began.elapsed(), ..self.made(name, arguments, from) };
        self.service.note_call(who, made);
    }

    /// What is known of a call before anything came of it.
    fn made<'a>(&self, name: &'a str, arguments: &Map<String, Value>, from: &CameBy) -> MadeCall<'a> {
        MadeCall {
            tool: name,
            arguments: self.service.call_digest(arguments),
            client: from.client.clone(),
            conversation: from.conversation.clone(),
            plan: plan_of(arguments),
            risk: None,
            approval: None,
            outcome: CallOutcome::Refused,
            took: Duration::ZERO,
        }
    }

    fn called<'a>(
        &'a self,
        who: &'a Principal,
        name: &'a str,
        arguments: Map<String, Value>,
        agreement: Agreement,
    ) -> BoxFuture<'a, Result<Answer, Refusal>> {
        Box::pin(async move {
            if let Some(set) = catalogue::find(name).and_then(|tool| tool.set)
                && !self.sets.contains(&set)
            {
                return Err(switched_off(name, set));
            }
            let arguments = arguments::Arguments::read(name, arguments)?;
            let turn = tokio::time::timeout(TURN, self.slots.acquire()).await;
            let Ok(Ok(_turn)) = turn else {
                return Err(
                    Refusal::new("too many tool calls at the same time").next("call again in a few seconds")
                );
            };
            let call = Call { who, service: &self.service, asked: &self.asked };
            match name {
                "gateway_overview" => call.overview().await,
                "gateway_find" => call.find(&arguments).await,
                "gateway_get" => call.get(&arguments).await,
                "gateway_explain_request" => call.explain(&arguments).await,
                "gateway_plugin_help" => call.plugin_help(&arguments),
                "gateway_traffic" => call.traffic(&arguments).await,
                "gateway_requests" => call.requests(&arguments).await,
                "gateway_health" => call.health().await,
                "gateway_plan" => call.plan(&arguments).await,
                "gateway_import_openapi" => call.import_openapi(&arguments).await,
                "gateway_apply" => call.apply(&arguments, agreement).await,
                "gateway_history" => call.history(&arguments).await,
                "gateway_undo" => call.undo(&arguments).await,
                "gateway_probe" => call.probe(&arguments).await,
                _ => call.optional(name, &arguments).await,
            }
        })
    }

    /// The plan that a call of `gateway_apply` is about, so that a person can be shown it first.
    pub(crate) fn plan_to_apply(
        &self,
        who: &Principal,
        arguments: &Map<String, Value>,
    ) -> Result<Plan, Refusal> {
        let Some(tool) = catalogue::find("gateway_apply") else { return Err(unknown_tool("gateway_apply")) };
        let found = arguments::Arguments::read(tool.name, arguments.clone()).and_then(|arguments| {
            let found = self.service.find_plan(who, arguments.text("plan_id"));
            found.map_err(|error| Refusal::of(error, self.service.registry()))
        });
        found.map_err(|refusal| refusal.finished(tool))
    }
}

/// The plan that a call names, where what it names could be one.
fn plan_of(arguments: &Map<String, Value>) -> Option<String> {
    let id = arguments.get("plan_id")?.as_str()?;
    let could_be =
        id.len() <= MOST_PLAN_ID && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    could_be.then(|| id.to_owned())
}

fn switched_off(name: &str, set: Toolset) -> Refusal {
    Refusal::new(format!("{name} is of the toolset {}, which is off", set.name()))
        .at("the tool's name")
        .allowed("the tools of tools/list")
        .next(format!("an operator switches it on: chat.toolsets: [{}] in config.yaml", set.name()))
}

fn unknown_tool(name: &str) -> Refusal {
    let names = catalogue::all().iter().map(|tool| tool.name);
    Refusal::new(format!("there is no tool {}", clean(name, 64)))
        .meant(usher_model::nearest::nearest(name, names.clone()))
        .at("the tool's name")
        .allowed(names.collect::<Vec<_>>().join(", "))
        .next("one of these; gateway_overview is where to start")
}
