//! Why a model gave no use, each with the next step.

use std::time::Duration;

/// What went wrong with the model.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The address can't be one.
    #[error("{url:?} is no address of a model: {reason}; name one such as https://api.openai.com/v1")]
    Address {
        /// As it was given, without user and password.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Nobody answers there.
    #[error(
        "could not reach the model at {url}: {reason}; without --model-url, or a model that was chosen, plain sentences are understood"
    )]
    Unreachable {
        /// Where.
        url: String,
        /// The innermost cause.
        reason: String,
    },
    /// It refused the request.
    #[error("the model at {url} answered {status}: {said}{}", next_step(*.status))]
    Refused {
        /// Where.
        url: String,
        /// The HTTP status.
        status: u16,
        /// Its words, cut, without the key.
        said: String,
    },
    /// It stays busy.
    #[error("the model at {url} answered {status}{}{}; try again later", in_words(said), waits(*wait))]
    Busy {
        /// Where.
        url: String,
        /// The HTTP status.
        status: u16,
        /// How long it asks to wait, if it does.
        wait: Option<Duration>,
        /// Its words, cut, without the key; empty where it says nothing.
        said: String,
    },
    /// No answer in time.
    #[error("the model at {url} did not answer within {} s; try again, or a faster model with --model", within.as_secs())]
    Late {
        /// Where.
        url: String,
        /// How long was waited.
        within: Duration,
    },
    /// Its answer broke off twice.
    #[error("the answer of the model at {url} broke off twice: {reason}; try again, or with --no-stream")]
    Cut {
        /// Where.
        url: String,
        /// What was seen of it.
        reason: String,
    },
    /// Its answer doesn't end.
    #[error("the answer of the model at {url} is too large: at most {most} bytes are read; ask for less")]
    TooLarge {
        /// Where.
        url: String,
        /// How many bytes are read.
        most: usize,
    },
    /// The key can't be sent.
    #[error(
        "the key for the model can't be sent: it has a line end or another character that no header takes; give it anew"
    )]
    Key,
    /// Its answer makes no sense.
    #[error(
        "the model at {url} answered nothing that can be understood: {reason}; nothing was done because of it"
    )]
    Nonsense {
        /// Where.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// It doesn't come to an end.
    #[error("the model did not come to an end within {bound}; say it again in smaller steps")]
    Endless {
        /// The bound that it met.
        bound: String,
    },
    /// Its budget is spent.
    #[error("{said}")]
    Spent {
        /// Which bound is reached, and what to do.
        said: String,
    },
    /// It makes the same failing call again and again.
    #[error("the model made the same failing call of {tool} {times} times: {said}")]
    Stuck {
        /// Which tool.
        tool: String,
        /// How often.
        times: usize,
        /// The tool's sentence, cut.
        said: String,
    },
}

/// What a server says, behind what is said of it.
fn in_words(said: &str) -> String {
    let said = said.trim();
    if said.is_empty() { String::new() } else { format!(" ({said})") }
}

fn waits(wait: Option<Duration>) -> String {
    wait.map(|wait| format!(" and asks to wait {} s", wait.as_secs())).unwrap_or_default()
}

const fn next_step(status: u16) -> &'static str {
    match status {
        401 | 403 => "; see whether its key is one for it (USHER_MODEL_KEY, or what was given at Chat model)",
        404 => "; see whether the model's name and address are those of what is there",
        _ => "",
    }
}
