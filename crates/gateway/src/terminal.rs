//! What is printed, and where: answers on standard output, logs and complaints on standard error.

use std::io::{IsTerminal as _, Write as _};

use tracing_subscriber::EnvFilter;

use crate::cli::Command;

/// Prints a line on standard output.
///
/// # Errors
/// Standard output is closed.
pub(crate) fn say(line: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()?;
    Ok(())
}

/// Prints the reason for an end without success on standard error.
pub(crate) fn complain(reason: &str) {
    // Nothing is left to do when standard error is closed as well.
    let _ = writeln!(std::io::stderr().lock(), "usher: {reason}");
}

/// Starts logging to standard error. `USHER_LOG` chooses, such as `debug` or `usher_proxy=trace`; a demo is quiet unless asked.
pub(crate) fn start_log(command: &Command) {
    let default = match command {
        Command::Serve(_) => "info",
        Command::Demo(_) | Command::Chat(_) | Command::Mcp(_) | Command::Version => "error",
    };
    let filter = EnvFilter::try_from_env("USHER_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A test that runs two servers in one process starts the log twice; the first one stays.
    let _ = log.with_ansi(std::io::stderr().is_terminal()).try_init();
}

/// Marks text on a terminal; plain text elsewhere.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    colours: bool,
}

impl Style {
    /// Colours only where a person looks, and not against `NO_COLOR`.
    pub(crate) fn detect() -> Self {
        Self { colours: std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none() }
    }

    pub(crate) fn bold(self, text: &str) -> String {
        self.marked("1", text)
    }

    pub(crate) fn dim(self, text: &str) -> String {
        self.marked("2", text)
    }

    /// A diff, its added lines green and its removed ones red.
    pub(crate) fn diff(self, text: &str) -> String {
        let line = |line: &str| match line.trim_start().chars().next() {
            Some('+') => self.marked("32", line),
            Some('-') => self.marked("31", line),
            Some('~') => self.marked("33", line),
            _ => line.to_owned(),
        };
        text.lines().map(line).collect::<Vec<_>>().join("\n")
    }

    fn marked(self, code: &str, text: &str) -> String {
        if self.colours { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}
