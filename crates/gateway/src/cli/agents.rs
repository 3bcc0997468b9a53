//! `usher agents`: lets chats and agents act, or only look, on every gateway of this store at once.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::output::clean;
use super::remote::Remote;
use crate::terminal::say;

/// Options of `usher agents`.
#[derive(Args, Debug)]
pub(crate) struct Agents {
    #[command(subcommand)]
    command: Wanted,
}

#[derive(Debug, Subcommand)]
enum Wanted {
    /// Agents may only look from now on; what people do with a key of their own goes on
    Off {
        /// Why, for the audit and for whoever is refused
        #[arg(value_name = "TEXT")]
        why: Option<String>,
        #[command(flatten)]
        remote: Remote,
    },
    /// Agents may plan and apply again
    On {
        #[command(flatten)]
        remote: Remote,
    },
    /// Show how the switch stands
    Status {
        #[command(flatten)]
        remote: Remote,
    },
}

impl Agents {
    /// Switches, and says how it stands.
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let found = match self.command {
            Wanted::Off { why, remote } => {
                remote.client()?.put(&["agents"], &json!({ "on": false, "why": why })).await?
            }
            Wanted::On { remote } => remote.client()?.put(&["agents"], &json!({ "on": true })).await?,
            Wanted::Status { remote } => remote.client()?.get(&["agents"], &[]).await?,
        };
        say(&told(&found))
    }
}

fn told(found: &Value) -> String {
    let text = |name: &str| clean(found.get(name).and_then(Value::as_str).unwrap_or_default());
    let state = if found.get("on") == Some(&Value::Bool(true)) {
        "agents may plan and apply"
    } else {
        "agents may only look"
    };
    match (text("by"), text("why")) {
        (by, _) if by.is_empty() => state.to_owned(),
        (by, why) if why.is_empty() => format!("{state}: set by {by}"),
        (by, why) => format!("{state}: set by {by} ({why})"),
    }
}
