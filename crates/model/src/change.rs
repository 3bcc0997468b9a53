//! A change: what moves, from what to what, by whom, through which door.
//!
//! Every write is one of these, whether it came as a sentence, a form, a file or a PUT, so that history and undo know only one shape.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::kind::Key;
use crate::scope::Scope;

/// The door a change came through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Door {
    /// The Admin API's own port.
    AdminApi,
    /// The Admin API's paths on the chat port, as the ChatGPT plugin calls them.
    Plugin,
    /// A tool call over MCP.
    Mcp,
    /// The built-in chat.
    Chat,
    /// Usher's own service API, as scripts call it.
    Api,
    /// The command line.
    Cli,
    /// The web console.
    Console,
    /// Another program that writes to the same store, such as an APISIX.
    Outside,
    /// Usher itself, such as on import.
    Usher,
}

/// What a principal may do. The order is by power.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// May read; what a schema marks as secret is masked.
    Viewer,
    /// May read masked, plan, and apply what its consent rule admits: the role of chats and agents.
    Chat,
    /// May read masked, plan, apply and write the resources that its scope admits; no tokens, users or admin keys.
    Editor,
    /// May do everything, and reads plugin fields in clear on APISIX's paths.
    Admin,
}

/// Somebody who acts: a name, what it may do, and the door it stands in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The key's, token's or user's name; `local-plugin` for a keyless caller on loopback.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Where it came in.
    pub door: Door,
    /// What it may read and change. Default the whole configuration.
    pub scope: Scope,
}

impl Principal {
    /// A principal from its parts, for the whole configuration.
    pub fn new(name: impl Into<String>, role: Role, door: Door) -> Self {
        Self { name: name.into(), role, door, scope: Scope::ALL }
    }

    /// The same for a part of the configuration.
    #[must_use]
    pub fn within(mut self, scope: Scope) -> Self {
        self.scope = scope;
        self
    }
}

/// One resource as somebody wants it to be.
#[derive(Clone, Debug, PartialEq)]
pub struct Edit {
    /// Which resource.
    pub key: Key,
    /// What it shall be; `None` deletes it.
    pub after: Option<Value>,
}

/// One resource before and after. `None` is absence.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Which resource.
    pub key: Key,
    /// What it was.
    pub before: Option<Value>,
    /// What it becomes.
    pub after: Option<Value>,
}

/// How much harm a change can do, and so who has to agree to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Risk {
    /// Adds something that takes nothing from anybody.
    Low,
    /// Changes what some requests meet.
    Medium,
    /// Deletes, takes away authentication, or touches every request: a person has to agree.
    High,
}

impl fmt::Display for Risk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        })
    }
}

impl fmt::Display for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AdminApi => "admin-api",
            Self::Plugin => "plugin",
            Self::Mcp => "mcp",
            Self::Chat => "chat",
            Self::Api => "api",
            Self::Cli => "cli",
            Self::Console => "console",
            Self::Outside => "outside",
            Self::Usher => "usher",
        })
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Viewer => "viewer",
            Self::Chat => "chat",
            Self::Editor => "editor",
            Self::Admin => "admin",
        })
    }
}
