//! What is printed, and where: answers on standard output, logs and complaints on standard error.

use std::io::{IsTerminal as _, Write as _};

use tracing_subscriber::filter::{FilterExt as _, filter_fn};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, fmt};

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

/// Prints bytes on standard output as they are.
///
/// # Errors
/// Standard output is closed.
pub(crate) fn put(bytes: &[u8]) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()?;
    Ok(())
}

/// The exit code of a program that the signal of a closed pipe ends, as shells tell it: 128 and SIGPIPE's number.
pub(crate) const CLOSED_PIPE: u8 = 141;

/// Whether an error is that nobody reads standard output any more.
pub(crate) fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<std::io::Error>()
            .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
    })
}

/// Prints a line beside the answer, on standard error.
pub(crate) fn note(line: &str) {
    // Nothing is left to do when standard error is closed as well.
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// Prints the reason for an end without success on standard error.
pub(crate) fn complain(reason: &str) {
    // Nothing is left to do when standard error is closed as well.
    let _ = writeln!(std::io::stderr().lock(), "usher: {reason}");
}

/// Starts logging to standard error. `USHER_LOG` chooses, such as `debug` or `usher_proxy=trace`; a demo is quiet unless asked.
///
/// Only our own crates are heard: libraries log what passes through them at `debug`, keys and bodies included.
pub(crate) fn start_log(command: &Command) {
    let default = match command {
        Command::Serve(_) => "info",
        _ => "error",
    };
    let chosen = std::env::var("USHER_LOG").unwrap_or_default();
    let filter =
        EnvFilter::try_new(if chosen.is_empty() { default } else { &chosen }).unwrap_or_else(|error| {
            complain(&format!(
                "USHER_LOG={chosen} is not understood ({error}); logging at {default} instead"
            ));
            EnvFilter::new(default)
        });
    let own = filter_fn(|metadata| metadata.target().starts_with("usher"));
    let log = fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    // A test that runs two servers in one process starts the log twice; the first one stays.
    let _ = tracing_subscriber::registry().with(log.with_filter(filter.and(own))).try_init();
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

    /// Never colours.
    #[cfg(test)]
    pub(crate) const fn plain() -> Self {
        Self { colours: false }
    }

    pub(crate) fn red(self, text: &str) -> String {
        self.marked("31", text)
    }

    pub(crate) fn green(self, text: &str) -> String {
        self.marked("32", text)
    }

    pub(crate) fn yellow(self, text: &str) -> String {
        self.marked("33", text)
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
