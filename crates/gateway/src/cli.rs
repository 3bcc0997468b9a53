//! The command line: what can be typed, and where it leads.

pub(crate) mod chat;
pub(crate) mod demo;
pub(crate) mod mcp;
pub(crate) mod options;
pub(crate) mod serve;
pub(crate) mod signals;

use clap::{Parser, Subcommand};

/// An API gateway that one manages by talking to it.
///
/// `usher demo` shows everything in one minute. `usher serve` starts a gateway on 9080, its Admin API on 9180 and the chat side on 5000.
#[derive(Debug, Parser)]
#[command(name = "usher", version, max_term_width = 110)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start the gateway, its Admin API and the chat side
    Serve(serve::Serve),
    /// Start everything with a sample API and hold a conversation with it
    Demo(demo::Demo),
    /// Talk to a running Usher: one sentence, or a conversation
    Chat(chat::Chat),
    /// Speak MCP on standard input and output for a running Usher
    Mcp(mcp::Mcp),
    /// Print the version
    Version,
}
