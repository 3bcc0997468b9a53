//! Why a call did not come to an answer, each with the address and the next step.

use std::error::Error;
use std::time::Duration;

use rmcp::service::{ClientInitializeError, ServiceError};
use rmcp::transport::streamable_http_client::StreamableHttpError;
use rmcp::transport::worker::WorkerQuitReason;

/// What went wrong between the chat and its Usher.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The address can't be one.
    #[error("{url:?} is no address of an Usher: {reason}; name one such as http://127.0.0.1:5000")]
    Address {
        /// As it was given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Nobody answers there.
    #[error(
        "could not reach Usher at {url}: {reason}; start it with `usher serve`, or name its chat side with --url"
    )]
    Unreachable {
        /// Where.
        url: String,
        /// The innermost cause.
        reason: String,
    },
    /// Somebody answers who doesn't speak as an Usher does.
    #[error(
        "what answers at {url} is not the chat side of an Usher: {reason}; `usher serve` prints where it listens"
    )]
    Foreign {
        /// Where.
        url: String,
        /// What it said.
        reason: String,
    },
    /// No answer in time.
    #[error("Usher at {url} did not answer {call} within {} s; look at its log, and at `what changed?` before saying it again", within.as_secs())]
    Late {
        /// Where.
        url: String,
        /// What was asked.
        call: String,
        /// How long was waited.
        within: Duration,
    },
    /// The connection broke.
    #[error("the connection to Usher at {url} broke: {reason}; see whether `usher serve` is still running")]
    Broken {
        /// Where.
        url: String,
        /// The innermost cause.
        reason: String,
    },
    /// The tool refused; its sentence is for people and models alike.
    #[error("{text}")]
    Tool {
        /// Which tool.
        tool: String,
        /// Its sentence.
        text: String,
    },
}

impl ClientError {
    pub(crate) fn unreachable(url: &str, error: &(dyn Error + 'static)) -> Self {
        Self::Unreachable { url: url.to_owned(), reason: innermost(error) }
    }

    pub(super) fn broken(url: &str, error: &ServiceError) -> Self {
        Self::Broken { url: url.to_owned(), reason: innermost(error) }
    }

    pub(super) fn late(url: &str, call: &str, within: Duration) -> Self {
        Self::Late { url: url.to_owned(), call: call.to_owned(), within }
    }

    /// A failed greeting: without a connection nobody is there, with one it is somebody else.
    pub(super) fn of_opening(url: &str, error: &ClientInitializeError) -> Self {
        let connected = causes(error)
            .filter_map(|cause| cause.downcast_ref::<reqwest::Error>())
            .all(|error| !error.is_connect() && !error.is_timeout());
        match error {
            ClientInitializeError::TransportError { .. } if !connected => Self::unreachable(url, error),
            _ => Self::Foreign { url: url.to_owned(), reason: innermost(error) },
        }
    }
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| cause(error))
}

/// The next inner error. Some layers of the protocol's library print theirs but don't call it a source.
fn cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    type Http = StreamableHttpError<reqwest::Error>;
    if let Some(ClientInitializeError::TransportError { error, .. }) = error.downcast_ref() {
        return Some(error);
    }
    if let Some(WorkerQuitReason::Fatal { error, .. }) = error.downcast_ref::<WorkerQuitReason<Http>>() {
        return Some(error);
    }
    if let Some(StreamableHttpError::Client(error)) = error.downcast_ref::<Http>() {
        return Some(error);
    }
    error.source()
}

/// The last cause, cut where a foreign answer would fill the screen.
fn innermost(error: &(dyn Error + 'static)) -> String {
    let last = causes(error).last().map(ToString::to_string).unwrap_or_default();
    last.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).take(200).collect()
}
