//! The command line: what can be typed, and where it leads.

mod agents;
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
mod keyring;
#[cfg(test)]
mod manual;
pub(crate) mod mcp;
pub(crate) mod options;
pub(crate) mod output;
mod package;
pub(crate) mod people;
mod planned;
mod ready;
pub(crate) mod remote;
mod restore;
pub(crate) mod sample_api;
pub(crate) mod serve;
pub(crate) mod signals;
mod tail;
mod traffic;
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
    /// Serve the sample API alone, to try routes against: REST, GraphQL, gRPC, a WebSocket, and a mirror of requests
    SampleApi(sample_api::SampleApi),
    /// Talk to a running Usher: one sentence, or a conversation
    Chat(chat::Chat),
    /// Speak MCP on standard input and output for a running Usher
    Mcp(mcp::Mcp),
    /// Write the files that a chat program takes to reach this gateway: a plugin, an extension, settings, a link
    ChatPackage(package::Package),
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
    /// Show the requests that are served, as they come: status, time, route, node, consumer, and why one failed
    Tail(tail::Tail),
    /// Show what was served: requests, errors and latency by route, consumer, status or whatever one asks for
    Traffic(traffic::Traffic),
    /// Write the configuration as a document that can be imported again
    Export(export::Export),
    /// Make an export real, or a document of APISIX or ADC
    Import(apply::Import),
    /// Check files without a server, by the schemas and plugins of this program
    Validate(validate::Validate),
    /// Make, list and revoke tokens
    Token(people::Token),
    /// Make, change, list and remove users of the console
    User(people::User),
    /// Let chats and agents act, or only look
    Agents(agents::Agents),
    /// Show who did what and who was denied what, and check that nobody changed that record
    Audit(history::Audit),
    /// Show how a running Usher and its store are
    Status(history::Status),
    /// Change the key that seals secrets: add one, seal anew with it, take the older ones out
    Keyring(keyring::Keyring),
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
            Self::SampleApi(api) => api.run().await,
            Self::Chat(chat) => chat.run().await,
            Self::Mcp(mcp) => mcp.run().await,
            Self::ChatPackage(package) => package.run().await,
            Self::Get(get) => get.run().await,
            Self::List(list) => list.run().await,
            Self::Apply(apply) => apply.run().await,
            Self::Diff(diff) => diff.run().await,
            Self::Delete(delete) => delete.run().await,
            Self::History(history) => history.run().await,
            Self::Undo(undo) => undo.run().await,
            Self::Explain(explain) => explain.run().await,
            Self::Tail(tail) => tail.run().await,
            Self::Traffic(traffic) => traffic.run().await,
            Self::Export(export) => export.run().await,
            Self::Import(import) => import.run().await,
            Self::Validate(validate) => validate.run().await,
            Self::Token(token) => token.run().await,
            Self::User(user) => user.run().await,
            Self::Agents(agents) => agents.run().await,
            Self::Audit(audit) => audit.run().await,
            Self::Status(status) => status.run().await,
            Self::Keyring(keyring) => keyring.run().await,
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
