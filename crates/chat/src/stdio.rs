//! MCP on standard input and output, for clients that start their servers: every message is passed on to a running Usher and back.
//!
//! A bridge and no server of its own, so that a client sees the same tools, the same questions to a person and the same errors on both ways.
//! Nothing but the protocol goes to standard output.

mod answer;
mod lines;
mod link;

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};

use crate::client::{ClientError, base};

use lines::{Line, Lines};
use link::{Link, Lost, Session};

/// Requests under way at the same time.
const AT_ONCE: usize = 64;
/// Messages that wait to be written.
const WAITING: usize = 64;
/// How long answers are still waited for when the input has ended.
const DRAIN: Duration = Duration::from_secs(15);

/// Why the bridge ended.
#[derive(Debug, thiserror::Error)]
pub enum BridgeError {
    /// There is no Usher to speak for.
    #[error(transparent)]
    Usher(#[from] ClientError),
    /// Standard input or output failed.
    #[error(
        "standard input or output failed: {0}; `usher mcp` is started by an MCP client, which holds both ends"
    )]
    Pipe(#[from] std::io::Error),
}

/// Speaks MCP on standard input and output for the Usher at `url` (its chat side, such as `http://127.0.0.1:5000`), until the input ends.
/// The process needs a default crypto provider of rustls.
///
/// # Errors
/// [`BridgeError`] when nobody answers at `url` at the start, or a pipe fails. Later failures are answered as errors of the protocol.
pub async fn bridge(url: &str) -> Result<(), BridgeError> {
    between(url, tokio::io::stdin(), tokio::io::stdout()).await
}

/// The same between any two ends, one message a line.
///
/// # Errors
/// As for [`bridge`].
pub async fn between(
    url: &str,
    input: impl AsyncRead + Unpin,
    output: impl AsyncWrite + Unpin + Send + 'static,
) -> Result<(), BridgeError> {
    let link = Link::open(&base(url)?).await?;
    let (sender, receiver) = mpsc::channel(WAITING);
    let writer = tokio::spawn(write(receiver, output));
    let mut bridge = Bridge {
        link,
        session: Session::default(),
        sender,
        running: JoinSet::new(),
        handles: HashMap::new(),
    };
    let read = bridge.run(input).await;
    bridge.close().await;
    drop(bridge);
    let written = writer.await.map_err(std::io::Error::other)?;
    read?;
    written?;
    Ok(())
}

async fn write(
    mut messages: mpsc::Receiver<String>,
    mut output: impl AsyncWrite + Unpin,
) -> std::io::Result<()> {
    while let Some(mut message) = messages.recv().await {
        message.push('\n');
        output.write_all(message.as_bytes()).await?;
        output.flush().await?;
    }
    Ok(())
}

struct Bridge {
    link: Link,
    session: Session,
    sender: mpsc::Sender<String>,
    running: JoinSet<Finished>,
    handles: HashMap<String, (AbortHandle, bool)>,
}

/// How often a request was made: a session is opened anew for it once, not for ever.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Try {
    First,
    Second,
}

/// A request that came to its end: answered, or to be made again in a new session.
struct Finished {
    id: String,
    again: Option<(Value, Session)>,
}

impl Bridge {
    async fn run(&mut self, input: impl AsyncRead + Unpin) -> std::io::Result<()> {
        let mut lines = Lines::new(input);
        loop {
            tokio::select! {
                line = lines.next() => match line? {
                    Some(Line::Whole(text)) if text.trim().is_empty() => {}
                    Some(Line::Whole(text)) => self.take(&text).await,
                    Some(Line::TooLong) => {
                        self.refuse(&Value::Null, -32600, &format!("a message may have {} bytes", lines::MOST)).await;
                    }
                    None => return Ok(()),
                },
                Some(finished) = self.running.join_next() => self.finish(finished.ok()).await,
                // Nobody reads what we write.
                () = self.sender.closed() => return Ok(()),
            }
        }
    }

    /// Takes one message of the client.
    async fn take(&mut self, text: &str) {
        let message: Value = match serde_json::from_str(text) {
            Ok(message) => message,
            Err(error) => {
                return self.refuse(&Value::Null, -32700, &format!("a line is no JSON: {error}")).await;
            }
        };
        let method = message.get("method").and_then(Value::as_str).map(str::to_owned);
        let id = message.get("id").filter(|id| !id.is_null()).cloned();
        match (method.as_deref(), id) {
            (Some("initialize"), Some(id)) => {
                let greeted = self.link.greet(message, &self.sender).await;
                match greeted {
                    Ok(session) => self.session = session,
                    Err(lost) => self.refuse(&id, -32603, &lost.to_string()).await,
                }
            }
            (Some(_), Some(id)) => self.start(message, &id, Try::First).await,
            (Some("notifications/cancelled"), None) if self.cancel(&message) => {}
            // A notification, or the answer to a question of the server: nothing comes back but that it arrived.
            (Some(_), None) | (None, Some(_)) if message.is_object() => {
                if let Err(lost) = self.link.tell(&message, &self.session).await {
                    tracing::warn!(error = %lost, "a message did not reach Usher");
                }
            }
            _ => self.refuse(&Value::Null, -32600, "a line is no message of JSON-RPC 2.0").await,
        }
    }

    async fn start(&mut self, message: Value, id: &Value, which: Try) {
        if self.running.len() >= AT_ONCE {
            return self.refuse(id, -32000, "too many requests at the same time; try again").await;
        }
        let id = id.to_string();
        let without_session = link::is_self_contained(&message);
        let (link, session, sender) = (self.link.clone(), self.session.clone(), self.sender.clone());
        let key = id.clone();
        let handle = self.running.spawn(async move {
            let again = match link.ask(&message, &session, &sender).await {
                Ok(()) => None,
                Err(Lost::Session) if which == Try::First => Some((message, session)),
                Err(lost) => {
                    let request = message.get("id").cloned().unwrap_or_default();
                    // The writer has gone only when nobody reads.
                    let _ = sender.send(failure(&request, -32603, &lost.to_string())).await;
                    None
                }
            };
            Finished { id: key, again }
        });
        self.handles.insert(id, (handle, without_session));
    }

    /// A session ends when it is idle for long; the client never learns of it, because the same greeting opens another.
    async fn finish(&mut self, finished: Option<Finished>) {
        let Some(finished) = finished else {
            // An aborted request: its entry went when it was cancelled.
            return;
        };
        self.handles.remove(&finished.id);
        let Some((message, gone)) = finished.again else { return };
        let id = message.get("id").cloned().unwrap_or_default();
        if self.session == gone {
            match self.link.greet_again(&gone).await {
                Ok(session) => self.session = session,
                Err(lost) => return self.refuse(&id, -32603, &lost.to_string()).await,
            }
        }
        self.start(message, &id, Try::Second).await;
    }

    /// Ends a request by closing its stream, which is how revisions without sessions cancel. `false` where the server has to be told.
    fn cancel(&mut self, message: &Value) -> bool {
        let Some(id) = message.pointer("/params/requestId") else { return false };
        let key = id.to_string();
        if !self.handles.get(&key).is_some_and(|(_, without_session)| *without_session) {
            return false;
        }
        if let Some((handle, _)) = self.handles.remove(&key) {
            handle.abort();
        }
        true
    }

    async fn refuse(&self, id: &Value, code: i64, reason: &str) {
        // As above: without a reader there is nobody to tell.
        let _ = self.sender.send(failure(id, code, reason)).await;
    }

    /// Waits for what is under way, and ends the session.
    async fn close(&mut self) {
        let draining = async {
            while let Some(finished) = self.running.join_next().await {
                drop(finished);
            }
        };
        if tokio::time::timeout(DRAIN, draining).await.is_err() {
            tracing::warn!("requests were still under way when the input had ended");
        }
        self.running.shutdown().await;
        self.link.leave(&self.session).await;
    }
}

fn failure(id: &Value, code: i64, reason: &str) -> String {
    json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": reason } }).to_string()
}
