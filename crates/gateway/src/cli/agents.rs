//! `usher agents`: lets chats and agents act, or only look, on every gateway of this store at once, and shows what they called.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::history;
use super::output::{self, Format, Table, clean, moment, number, word};
use super::remote::Remote;
use crate::terminal::{Style, say};

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
    /// Show which tools chats and agents called on this gateway, oldest first; what they were called with is kept as a digest alone
    Calls(Calls),
}

#[derive(Args, Debug)]
struct Calls {
    /// Check that every record is as it was written
    #[arg(long)]
    verify: bool,
    /// Only calls behind this number
    #[arg(long, value_name = "NUMBER")]
    after: Option<u64>,
    /// At most so many
    #[arg(long, short = 'n', value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// How they are shown
    #[arg(long, short = 'o', value_enum, default_value_t = Format::Table)]
    output: Format,
    #[command(flatten)]
    remote: Remote,
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
            Wanted::Calls(calls) => return calls.run().await,
        };
        say(&told(&found))
    }
}

impl Calls {
    async fn run(self) -> anyhow::Result<()> {
        let client = self.remote.client()?;
        if self.verify {
            let found = client.get(&["agents", "calls", "verify"], &[]).await?;
            return history::verdict(&found, "whoever can write to the data folder can change it");
        }
        let mut query = vec![("limit", self.limit.to_string())];
        query.extend(self.after.map(|after| ("after", after.to_string())));
        let found = client.get(&["agents", "calls"], &query).await?;
        let records = found.get("records").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        if self.output != Format::Table {
            return output::print(&json!(records), self.output);
        }
        let mut table =
            Table::new(["NUMBER", "WHEN", "WHO", "DOOR", "CLIENT", "TOOL", "OUTCOME", "PLAN", "REVISION"]);
        for record in records {
            table.row([
                number(record, "number").to_string(),
                moment(number(record, "unix_ms")),
                word(record, "principal").to_owned(),
                word(record, "door").to_owned(),
                word(record, "client").to_owned(),
                word(record, "tool").to_owned(),
                word(record, "outcome").to_owned(),
                word(record, "plan").to_owned(),
                number(record, "revision").to_string(),
            ]);
        }
        table.print(Style::detect(), "no chat and no agent has called a tool yet")
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
