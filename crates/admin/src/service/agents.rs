//! The switch for agents: while it is off, chats and agents may look and nothing else, on every gateway of this store.
//!
//! It is kept in the store and followed like tokens are, so that it holds with the next call, over restarts, and wherever somebody comes in. What
//! people do with a key or session of their own goes on.

use serde::{Deserialize, Serialize};
use usher_model::change::{Door, Principal, Role};
use usher_store::Transaction;

use super::access::Row;
use super::audit::{AuditEvent, Event};
use super::escape::{plain, shortened};
use super::{Service, ServiceError, consent, encoded, unix_ms};

const KEY: &str = "/usher/agents/switch";
/// Characters of a reason.
const MOST_WHY: usize = 300;

/// How the switch stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Agents {
    /// Whether agents may only look.
    pub off: bool,
    /// Who set it last; `None` where nobody did.
    pub by: Option<String>,
    /// When, in milliseconds since 1970.
    pub since_unix_ms: Option<u64>,
    /// Why, where it was said.
    pub why: Option<String>,
}

/// The switch as it is stored.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Switch {
    off: bool,
    by: String,
    at_unix_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

impl Row for Switch {
    const PREFIX: &'static str = "/usher/agents/";
    type Id = ();

    fn id(&self) -> Option<Self::Id> {
        Some(())
    }
}

impl Service {
    /// How the switch stands.
    #[must_use]
    pub fn agents(&self) -> Agents {
        self.agents.find(&()).map_or_else(Agents::default, |switch| Agents {
            off: switch.off,
            by: Some(switch.by),
            since_unix_ms: Some(switch.at_unix_ms),
            why: switch.why,
        })
    }

    /// Lets agents act, or only look; the audit tells of it. Only an unscoped admin may.
    ///
    /// # Errors
    /// [`ServiceError::Forbidden`], or the store.
    pub async fn switch_agents(
        &self,
        who: &Principal,
        on: bool,
        why: Option<String>,
    ) -> Result<Agents, ServiceError> {
        self.noted(who, consent::may_rule(who)).await?;
        let why = why.map(|why| shortened(&why, MOST_WHY)).filter(|why| !why.trim().is_empty());
        let switch = Switch { off: !on, by: who.name.clone(), at_unix_ms: unix_ms(), why };
        let event = if on { AuditEvent::AgentsOn } else { AuditEvent::AgentsOff };
        let about = switch.why.clone().unwrap_or_default();
        let transaction = Transaction::default().put(KEY.to_owned(), encoded(&switch)?);
        self.told_with(who, Event::new(event, &about), transaction).await?;
        Ok(self.agents())
    }

    /// Whether this principal may plan and apply at the moment.
    pub(super) fn may_change(&self, who: &Principal) -> Result<(), ServiceError> {
        consent::may_change(who)?;
        self.agents_may_act(who)
    }

    /// Whether this principal is no agent, or agents may do more than look.
    pub(super) fn agents_may_act(&self, who: &Principal) -> Result<(), ServiceError> {
        if !is_agent(who) {
            return Ok(());
        }
        let agents = self.agents();
        if !agents.off {
            return Ok(());
        }
        let by = agents.by.as_deref().map(plain).unwrap_or_default();
        let why = agents.why.as_deref().map(|why| format!(" ({})", plain(why))).unwrap_or_default();
        Err(ServiceError::Forbidden(format!(
            "agents may only look: {by} has switched them off{why}; a person can switch them on again with `usher agents on`"
        )))
    }
}

/// Whether this is a chat or an agent, and not a person or a program with a key of its own.
fn is_agent(who: &Principal) -> bool {
    who.role == Role::Chat || matches!(who.door, Door::Mcp | Door::Chat | Door::Plugin)
}
