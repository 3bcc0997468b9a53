//! The HTTP side of the bridge: a message is one POST, and what comes back is one message or a stream of them.
//!
//! Usher never speaks outside of a request's own stream, so no second stream is held open for it.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use tokio::sync::mpsc::Sender;

use super::answer::{Answer, Broken};
use crate::client::{ClientError, own_token};

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(5);
/// The longest silence in an answer; streams are kept awake more often.
const SILENCE: Duration = Duration::from_secs(60);
/// How long a message without an answer may take.
const TELL: Duration = Duration::from_secs(10);
/// The first revision without sessions.
const WITHOUT_SESSIONS: &str = "2026-07-28";
const VERSION_MEMBER: &str = "io.modelcontextprotocol/protocolVersion";

/// The way to the server.
#[derive(Clone)]
pub(super) struct Link {
    client: Client,
    url: String,
}

/// What a greeting settled.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Session {
    id: Option<String>,
    version: Option<String>,
    greeting: Option<Value>,
}

/// Why a message did not come through.
#[derive(Debug)]
pub(super) enum Lost {
    /// The session has ended.
    Session,
    /// Something else, in words.
    Because(String),
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Session => f.write_str("the session with Usher has ended; start `usher mcp` again"),
            Self::Because(reason) => f.write_str(reason),
        }
    }
}

/// Whether a message carries its own protocol version, so that it needs no session.
pub(super) fn is_self_contained(message: &Value) -> bool {
    own_version(message).is_some_and(|version| version >= WITHOUT_SESSIONS)
}

fn own_version(message: &Value) -> Option<&str> {
    message.pointer("/params/_meta")?.get(VERSION_MEMBER)?.as_str()
}

impl Link {
    /// A way to the Usher at this address, once somebody answers there.
    pub(super) async fn open(url: &str) -> Result<Self, ClientError> {
        let unreachable = |error: &reqwest::Error| ClientError::unreachable(url, error);
        let client = Client::builder()
            // A running Usher is a neighbour: a proxy on the way would see every change.
            .no_proxy()
            .redirect(Policy::none())
            .connect_timeout(CONNECT)
            .read_timeout(SILENCE)
            .default_headers(
                own_token().map_err(|reason| ClientError::Address { url: url.to_owned(), reason })?,
            )
            .build()
            .map_err(|error| unreachable(&error))?;
        client.get(format!("{url}/")).timeout(CONNECT).send().await.map_err(|error| unreachable(&error))?;
        Ok(Self { client, url: url.to_owned() })
    }

    /// Passes the greeting on, and its answer back.
    pub(super) async fn greet(&self, greeting: Value, sender: &Sender<String>) -> Result<Session, Lost> {
        let response = self.post(&greeting, &Session::default()).await?;
        let id = session_of(&response);
        let mut version = None;
        let mut answered = false;
        let wanted = greeting.get("id").cloned();
        let mut answer = Answer::of(response);
        while let Some(message) = answer.next().await.map_err(|broken| self.broken(&broken))? {
            version =
                version.or_else(|| message.pointer("/result/protocolVersion")?.as_str().map(str::to_owned));
            answered |= is_answer(&message, wanted.as_ref());
            pass(sender, &message).await?;
        }
        if !answered {
            return Err(self.torn());
        }
        Ok(Session { id, version, greeting: Some(greeting) })
    }

    /// Opens a new session with the greeting of one that has ended. Its answer the client has seen before.
    pub(super) async fn greet_again(&self, gone: &Session) -> Result<Session, Lost> {
        let Some(greeting) = gone.greeting.clone() else { return Err(Lost::Session) };
        let response = self.post(&greeting, &Session::default()).await?;
        let id = session_of(&response);
        let mut answer = Answer::of(response);
        while answer.next().await.map_err(|broken| self.broken(&broken))?.is_some() {}
        let session = Session { id, version: gone.version.clone(), greeting: Some(greeting) };
        self.tell(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }), &session).await?;
        Ok(session)
    }

    /// Passes a request on, and everything that comes back for it.
    pub(super) async fn ask(
        &self,
        message: &Value,
        session: &Session,
        sender: &Sender<String>,
    ) -> Result<(), Lost> {
        let response = self.post(message, session).await?;
        let mut answered = false;
        let mut answer = Answer::of(response);
        while let Some(came) = answer.next().await.map_err(|broken| self.broken(&broken))? {
            answered |= is_answer(&came, message.get("id"));
            pass(sender, &came).await?;
        }
        if answered { Ok(()) } else { Err(self.torn()) }
    }

    /// Passes a message on that nothing comes back for.
    pub(super) async fn tell(&self, message: &Value, session: &Session) -> Result<(), Lost> {
        let posting = self.post(message, session);
        let response = tokio::time::timeout(TELL, posting).await.map_err(|_| self.torn())??;
        drop(response);
        Ok(())
    }

    /// Ends the session, as far as there is one and somebody there.
    pub(super) async fn leave(&self, session: &Session) {
        if session.id.is_none() {
            return;
        }
        let leaving = self.address(self.client.delete(self.mcp()), session).timeout(CONNECT).send();
        if let Err(error) = leaving.await {
            tracing::debug!(%error, "could not end the session with Usher");
        }
    }

    async fn post(&self, message: &Value, session: &Session) -> Result<Response, Lost> {
        let mut request = self
            .client
            .post(self.mcp())
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "application/json, text/event-stream")
            .body(message.to_string());
        request = match own_version(message) {
            Some(version) if is_self_contained(message) => {
                let request = request.header("mcp-protocol-version", version);
                named(request, message)
            }
            Some(version) => {
                self.address(request, &Session { version: Some(version.to_owned()), ..session.clone() })
            }
            None => self.address(request, session),
        };
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        if status == StatusCode::NOT_FOUND && session.id.is_some() && !is_self_contained(message) {
            return Err(Lost::Session);
        }
        Ok(response)
    }

    fn address(&self, mut request: RequestBuilder, session: &Session) -> RequestBuilder {
        if let Some(version) = &session.version {
            request = request.header("mcp-protocol-version", version);
        }
        if let Some(id) = &session.id {
            request = request.header("mcp-session-id", id);
        }
        request
    }

    fn mcp(&self) -> String {
        format!("{}/mcp", self.url)
    }

    fn unreachable(&self, error: &reqwest::Error) -> Lost {
        Lost::Because(ClientError::unreachable(&self.url, error).to_string())
    }

    fn broken(&self, broken: &Broken) -> Lost {
        let url = &self.url;
        Lost::Because(match broken {
            Broken::Connection(error) => {
                format!(
                    "the connection to Usher at {url} broke: {error}; see whether `usher serve` is still running"
                )
            }
            Broken::Refused(status, said) => {
                format!("Usher at {url} refused the message with {status}: {said}")
            }
            Broken::TooLong => format!("an answer of Usher at {url} is too long to pass on"),
        })
    }

    fn torn(&self) -> Lost {
        self.broken(&Broken::Connection("the answer did not come".to_owned()))
    }
}

fn session_of(response: &Response) -> Option<String> {
    response.headers().get("mcp-session-id").and_then(|id| id.to_str().ok()).map(str::to_owned)
}

async fn pass(sender: &Sender<String>, message: &Value) -> Result<(), Lost> {
    sender.send(message.to_string()).await.map_err(|_| Lost::Because("nobody reads the answers".to_owned()))
}

/// Whether a message answers the request of this id. An error may come without one.
fn is_answer(message: &Value, id: Option<&Value>) -> bool {
    let ends = message.get("result").is_some() || message.get("error").is_some();
    ends && (message.get("id") == id || message.get("id").is_none_or(Value::is_null))
}

/// Names the method, and what it is about, in headers, as revisions without sessions want it.
fn named(request: RequestBuilder, message: &Value) -> RequestBuilder {
    let method = message.get("method").and_then(Value::as_str).unwrap_or_default();
    let request = request.header("mcp-method", in_header(method));
    let member = match method {
        "tools/call" | "prompts/get" => "name",
        "resources/read" => "uri",
        _ => return request,
    };
    match message.get("params").and_then(|params| params.get(member)).and_then(Value::as_str) {
        Some(name) => request.header("mcp-name", in_header(name)),
        None => request,
    }
}

/// A text as a header can carry it: what isn't plain ASCII goes as base64, as the revision says.
fn in_header(text: &str) -> String {
    let plain = text.chars().all(|letter| (' '..='~').contains(&letter))
        && text.trim() == text
        && !text.starts_with("=?base64?");
    if plain { text.to_owned() } else { format!("=?base64?{}?=", STANDARD.encode(text)) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{in_header, is_answer, is_self_contained};

    #[test]
    fn names_that_a_header_cannot_carry_are_wrapped() {
        for (name, wanted) in
            [("gateway_get", "gateway_get"), ("ä", "=?base64?w6Q=?="), (" a", "=?base64?IGE=?=")]
        {
            assert_eq!(in_header(name), wanted);
        }
    }

    #[test]
    fn a_message_says_whether_it_needs_a_session() {
        let of = |version: &str| json!({ "method": "tools/list", "params": { "_meta": { "io.modelcontextprotocol/protocolVersion": version } } });
        assert!(is_self_contained(&of("2026-07-28")));
        assert!(!is_self_contained(&of("2025-11-25")));
        assert!(!is_self_contained(&json!({ "method": "tools/list" })));
    }

    #[test]
    fn only_results_and_errors_answer() {
        assert!(is_answer(&json!({ "id": 1, "result": {} }), Some(&json!(1))));
        assert!(is_answer(&json!({ "id": null, "error": {} }), Some(&json!(1))));
        assert!(!is_answer(&json!({ "id": 1, "method": "elicitation/create" }), Some(&json!(1))));
        assert!(!is_answer(&json!({ "id": 2, "result": {} }), Some(&json!(1))));
    }
}
