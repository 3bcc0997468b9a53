//! `agents`: the switch that lets chats and agents act, or only look.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::answer::Answer;
use super::endpoint::{Call, Nothing};
use super::refusal::Refusal;
use crate::service::{Agents, Client};

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

/// A program of an agent's that called lately.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Client")]
pub(super) struct ClientShape {
    /// What it calls itself, which decides nothing.
    name: String,
    /// Which version of it.
    version: String,
    /// As whom it comes: a token's name, or `local-agent` on loopback without one.
    principal: String,
    /// Through which door.
    door: String,
    /// When it called first, in milliseconds since 1970.
    first_unix_ms: u64,
    /// When it called last, in milliseconds since 1970.
    last_unix_ms: u64,
    /// How often it called in between.
    calls: u64,
}

/// The programs of agents that called within the last hour, the newest call first; at most 100.
#[derive(Serialize, JsonSchema)]
pub(super) struct Clients {
    /// The clients.
    clients: Vec<ClientShape>,
}

/// `GET /agents/clients`.
pub(super) async fn clients(call: Call, _: Nothing, _: Nothing) -> Result<Answer<Clients>, Refusal> {
    let clients = call.service.clients().into_iter().map(ClientShape::of).collect();
    Ok(Answer::ok(Clients { clients }))
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

impl ClientShape {
    fn of(client: Client) -> Self {
        let Client { name, version, principal, door, first_unix_ms, last_unix_ms, calls } = client;
        Self { name, version, principal, door: door.to_string(), first_unix_ms, last_unix_ms, calls }
    }
}

impl AgentsShape {
    fn of(agents: Agents) -> Self {
        let Agents { off, by, since_unix_ms, why } = agents;
        Self { on: !off, by, since_unix_ms, why }
    }
}
