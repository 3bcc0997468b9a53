//! Questions to the person at the terminal.

use std::io::{IsTerminal as _, Read as _, Write as _};

use rustix::termios::{LocalModes, OptionalActions, QueueSelector, tcflush, tcgetattr, tcsetattr};
use usher_model::secret::Secret;

use super::failure::{Code, Failure};
use crate::terminal::Style;

/// The longest password that is read, in bytes.
const LONGEST: u64 = 4096;

/// Whether a person can be asked.
pub(crate) fn is_anybody_here() -> bool {
    std::io::stdin().is_terminal()
}

/// Asks whether to go on. What was typed before the question was shown answers something else, and is dropped.
pub(crate) fn agrees(question: &str, style: Style) -> bool {
    if let Err(error) = tcflush(std::io::stdin(), QueueSelector::IFlush) {
        tracing::warn!(%error, "could not drop what was typed ahead");
        return false;
    }
    let mut out = std::io::stdout().lock();
    let asked = write!(out, "{} [y/N] ", style.bold(question)).and_then(|()| out.flush());
    drop(out);
    let mut answer = String::new();
    asked.is_ok()
        && std::io::stdin().read_line(&mut answer).is_ok()
        && matches!(answer.trim().to_lowercase().as_str(), "y" | "yes")
}

/// A new password: typed twice without being shown, or read from standard input where that is no terminal.
///
/// `example` is the command line that sends one.
///
/// # Errors
/// The two differ, or nothing can be read.
pub(crate) fn new_password(example: &str) -> anyhow::Result<Secret<String>> {
    if !is_anybody_here() {
        let mut text = String::new();
        std::io::stdin().lock().take(LONGEST).read_to_string(&mut text)?;
        let password = text.trim_end_matches(['\r', '\n']).to_owned();
        if password.is_empty() {
            return Err(Failure::new(Code::Usage, "standard input holds no password")
                .next(format!("type it at a terminal, or send it: {example}"))
                .into());
        }
        return Ok(Secret::new(password));
    }
    let first = hidden("password: ")?;
    let second = hidden("again: ")?;
    if first.expose() != second.expose() {
        return Err(Failure::new(Code::Usage, "the two passwords differ").next("try again").into());
    }
    Ok(first)
}

fn hidden(prompt: &str) -> anyhow::Result<Secret<String>> {
    let mut err = std::io::stderr().lock();
    write!(err, "{prompt}")?;
    err.flush()?;
    let mut line = String::new();
    {
        let _silence = Silence::begin()?;
        std::io::stdin().read_line(&mut line)?;
    }
    writeln!(err)?;
    Ok(Secret::new(line.trim_end_matches(['\r', '\n']).to_owned()))
}

/// The terminal doesn't show what is typed, until this is dropped.
struct Silence(rustix::termios::Termios);

impl Silence {
    fn begin() -> std::io::Result<Self> {
        let before = tcgetattr(std::io::stdin())?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(std::io::stdin(), OptionalActions::Flush, &silent)?;
        Ok(Self(before))
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        // A terminal that is gone has nothing to be restored.
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &self.0);
    }
}
