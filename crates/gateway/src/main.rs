//! `usher`, the binary: an API gateway, its Admin API and its chat side.
//!
//! What it is not: it holds no logic of a room; it reads settings, puts the rooms together and speaks with the terminal.

mod acme;
mod cli;
mod demo;
mod handover;
mod server;
mod settings;
mod systemd;
mod terminal;

use std::process::ExitCode;

use clap::Parser as _;

use cli::Cli;
use cli::failure::Failure;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    // The only provider in the program; rustls panics at its first use if none or two are there.
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        terminal::complain("TLS could not be set up: another provider was installed first");
        return ExitCode::FAILURE;
    }
    let cli = Cli::parse();
    terminal::start_log(&cli.command);
    // Admin and chat need little: the gateway's workers are threads of their own.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let outcome = match runtime {
        Ok(runtime) => {
            let outcome = runtime.block_on(cli.command.run());
            // A line that is still being read from a terminal must not hold the end up.
            runtime.shutdown_background();
            outcome
        }
        Err(error) => Err(error.into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read our answers wants no more of them, as `head` does: it ends as a program does whom that signal ends.
        Err(error) if terminal::is_closed_pipe(&error) => ExitCode::from(terminal::CLOSED_PIPE),
        Err(error) => {
            terminal::complain(&format!("{error:#}"));
            ExitCode::from(Failure::code_of(&error))
        }
    }
}
