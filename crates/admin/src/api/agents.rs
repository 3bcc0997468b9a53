//! `agents`: the switch that lets chats and agents act, or only look.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::answer::Answer;
use super::endpoint::{Call, Nothing};
use super::refusal::Refusal;
use crate::service::Agents;

/// How the switch shall stand.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SwitchRequest {
    /// Whether agents may act; `false`: they may only look.
    on: bool,
    /// Why, for the audit and for whoever is refused; at most 300 characters.
    #[serde(default)]
    why: Option<String>,
}

/// How the switch stands.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Agents")]
pub(super) struct AgentsShape {
    /// Whether agents may act.
    on: bool,
    /// Who set it last; null where nobody did.
    by: Option<String>,
    /// When, in milliseconds since 1970.
    since_unix_ms: Option<u64>,
    /// Why.
    why: Option<String>,
}

/// `GET /agents`.
pub(super) async fn read(call: Call, _: Nothing, _: Nothing) -> Result<Answer<AgentsShape>, Refusal> {
    Ok(Answer::ok(AgentsShape::of(call.service.agents())))
}

/// `PUT /agents`.
pub(super) async fn switch(
    call: Call,
    _: Nothing,
    request: SwitchRequest,
) -> Result<Answer<AgentsShape>, Refusal> {
    let agents = call.service.switch_agents(&call.who, request.on, request.why).await?;
    Ok(Answer::ok(AgentsShape::of(agents)))
}

impl AgentsShape {
    fn of(agents: Agents) -> Self {
        let Agents { off, by, since_unix_ms, why } = agents;
        Self { on: !off, by, since_unix_ms, why }
    }
}
