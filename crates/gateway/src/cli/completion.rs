//! `usher completion`: a script that completes commands and options in a shell.

use clap::{Args, CommandFactory as _, ValueEnum};

use super::Cli;
use crate::terminal::put;

/// Options of `usher completion`.
#[derive(Args, Debug)]
pub(crate) struct Completion {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Shell {
    /// source <(usher completion bash)
    Bash,
    /// usher completion zsh > ~/.zfunc/_usher
    Zsh,
    /// usher completion fish > ~/.config/fish/completions/usher.fish
    Fish,
}

impl Completion {
    /// Prints the script.
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let shell = match self.shell {
            Shell::Bash => clap_complete::Shell::Bash,
            Shell::Zsh => clap_complete::Shell::Zsh,
            Shell::Fish => clap_complete::Shell::Fish,
        };
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Cli::command(), "usher", &mut script);
        put(&script)
    }
}
