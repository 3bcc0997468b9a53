//! The command line: what can be typed, and where it leads.

pub(crate) mod apply;
pub(crate) mod ask;
pub(crate) mod chat;
mod columns;
pub(crate) mod completion;
pub(crate) mod demo;
pub(crate) mod doctor;
pub(crate) mod explain;
pub(crate) mod export;
pub(crate) mod failure;
mod files;
pub(crate) mod get;
pub(crate) mod history;
pub(crate) mod mcp;
pub(crate) mod options;
pub(crate) mod output;
pub(crate) mod people;
mod planned;
pub(crate) mod remote;
pub(crate) mod serve;
pub(crate) mod signals;
pub(crate) mod validate;

use clap::{Parser, Subcommand};

/// An API gateway that one manages by talking to it.
///
/// `usher demo` shows everything in one minute. `usher serve` starts a gateway on 9080, its Admin API on 9180 and the chat side on 5000. The
/// other commands speak with a running Usher through its Admin port.
#[derive(Debug, Parser)]
#[command(name = "usher", version, max_term_width = 110, after_help = failure::EXIT_CODES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start the gateway, its Admin API and the chat side
    Serve(Box<serve::Serve>),
    /// Start everything with a sample API and hold a conversation with it
    Demo(Box<demo::Demo>),
    /// Talk to a running Usher: one sentence, or a conversation
    Chat(chat::Chat),
    /// Speak MCP on standard input and output for a running Usher
    Mcp(mcp::Mcp),
    /// Show one object
    Get(get::Get),
    /// List objects of a kind; or how many there are of each
    List(get::List),
    /// Make files real: shows the plan, asks, applies, and waits until it is in force
    Apply(apply::Apply),
    /// Show what applying files would change
    Diff(apply::Diff),
    /// Delete objects
    Delete(get::Delete),
    /// Show what was changed, by whom, through which door and what for
    History(history::History),
    /// Take a change back: the newest, or any earlier one
    Undo(history::Undo),
    /// Show which route a request would take and why, which plugins would run, and where it would go
    Explain(explain::Explain),
    /// Write the configuration as a document that can be imported again
    Export(export::Export),
    /// Make an export real, or a document of APISIX or ADC
    Import(apply::Import),
    /// Check files without a server, by the schemas and plugins of this program
    Validate(validate::Validate),
    /// Make, list and revoke tokens
    Token(people::Token),
    /// Make, list and remove users of the console
    User(people::User),
    /// Show who did what and who was denied what, and check that nobody changed that record
    Audit(history::Audit),
    /// Show how a running Usher and its store are
    Status(history::Status),
    /// Add a key to the keyring that seals secrets
    Keyring(export::Keyring),
    /// Save the whole store of a running Usher to a file
    Backup(export::Backup),
    /// Make a store of a backup, in a data folder that holds none
    Restore(export::Restore),
    /// Look for causes of trouble: folder, keys, ports, store, clock, limits, disk
    Doctor(Box<doctor::Doctor>),
    /// Print a script that completes commands in a shell
    Completion(completion::Completion),
    /// Print the version
    Version,
}

impl Command {
    /// Does what was asked.
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Serve(serve) => serve.run().await,
            Self::Demo(demo) => demo.run().await,
            Self::Chat(chat) => chat.run().await,
            Self::Mcp(mcp) => mcp.run().await,
            Self::Get(get) => get.run().await,
            Self::List(list) => list.run().await,
            Self::Apply(apply) => apply.run().await,
            Self::Diff(diff) => diff.run().await,
            Self::Delete(delete) => delete.run().await,
            Self::History(history) => history.run().await,
            Self::Undo(undo) => undo.run().await,
            Self::Explain(explain) => explain.run().await,
            Self::Export(export) => export.run().await,
            Self::Import(import) => import.run().await,
            Self::Validate(validate) => validate.run().await,
            Self::Token(token) => token.run().await,
            Self::User(user) => user.run().await,
            Self::Audit(audit) => audit.run().await,
            Self::Status(status) => status.run().await,
            Self::Keyring(keyring) => keyring.run(),
            Self::Backup(backup) => backup.run().await,
            Self::Restore(restore) => restore.run(),
            Self::Doctor(doctor) => doctor.run().await,
            Self::Completion(completion) => completion.run(),
            Self::Version => crate::terminal::say(concat!("usher ", env!("CARGO_PKG_VERSION"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn no_command_has_an_option_twice() {
        super::Cli::command().debug_assert();
    }
}
