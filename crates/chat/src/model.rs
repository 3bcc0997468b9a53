//! A small client of models, by chat completions, responses or messages, lenient in what it reads: compatible servers leave fields out and add their
//! own.
//!
//! It sends what all of them understand, tries again where that can help, and gives up with a sentence that names the next step.

mod answer;
mod dialect;
mod error;
mod functions;
mod guard;
mod messages;
mod responses;
mod stream;
mod trial;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt as _};
use http::StatusCode;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::Response;
use serde_json::Value;

pub(crate) use self::answer::{Answer, Call};
pub(crate) use self::dialect::spoken;
pub use self::error::ModelError;
pub(crate) use self::functions::Functions;
pub(crate) use self::guard::Guard;
use crate::assistant::{ModelApi, ModelOptions};
use crate::tools::clean;

/// How long one answer may take in all, and how long it may say nothing.
const WITHIN: Duration = Duration::from_secs(180);
const SILENT: Duration = Duration::from_secs(90);
/// The largest answer that is read, in bytes.
const MOST: usize = 4 << 20;
/// What is said of a larger one.
const TOO_LONG: &str = "it is longer than 4 MiB";
/// How often a busy server is asked again.
const AGAIN: u32 = 2;
/// The longest time that is waited before asking again.
const WAIT: Duration = Duration::from_secs(30);
/// Characters of a server's complaint that are shown.
const SHOWN: usize = 300;

/// A model somewhere.
pub(crate) struct Client {
    options: ModelOptions,
    http: Option<reqwest::Client>,
    api: ModelApi,
    guard: Option<Guard>,
    /// Whether the server takes functions marked as strict.
    strict: AtomicBool,
}

/// Why one try failed.
enum Trouble {
    /// Ask again later; how long to wait, if it said so.
    Busy {
        status: u16,
        wait: Option<Duration>,
        said: String,
    },
    /// The answer broke off.
    Cut(String),
    /// It doesn't take strict functions.
    Strict,
    Final(ModelError),
}

impl Client {
    pub(crate) fn new(options: ModelOptions) -> Self {
        Self::made(options, None)
    }

    /// One whose address somebody named at runtime: where the guard keeps away from, nothing is sent, whatever the name leads to by then.
    pub(crate) fn guarded(options: ModelOptions, guard: Guard) -> Self {
        Self::made(options, Some(guard))
    }

    fn made(options: ModelOptions, guard: Option<Guard>) -> Self {
        let builder = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(10))
            .timeout(WITHIN)
            .read_timeout(SILENT)
            // The key goes to the address that was named and to no other.
            .redirect(reqwest::redirect::Policy::none());
        // A model on this machine is not asked through a proxy.
        let local = reqwest::Url::parse(&options.base_url)
            .is_ok_and(|url| matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]")));
        let builder = if local { builder.no_proxy() } else { builder };
        let builder = match &guard {
            // A proxy would look the name up by itself.
            Some(guard) => {
                let resolver = guard::Resolver::new(Arc::clone(guard), &options.base_url);
                builder.no_proxy().dns_resolver(resolver)
            }
            None => builder,
        };
        Self {
            http: builder.build().ok(),
            api: options.speaks(),
            options,
            guard,
            strict: AtomicBool::new(true),
        }
    }

    /// The model's next message.
    pub(crate) async fn complete(
        &self,
        messages: &[Value],
        functions: &Functions,
    ) -> Result<Answer, ModelError> {
        let (mut busy, mut cut) = (0, 0);
        loop {
            match self.once(messages, functions).await {
                Ok(answer) => return Ok(answer),
                Err(Trouble::Busy { status, wait, said }) => {
                    let pause = wait.unwrap_or(Duration::from_secs(1 << busy));
                    if busy >= AGAIN || pause > WAIT {
                        return Err(ModelError::Busy { url: self.shown(), status, wait, said });
                    }
                    busy += 1;
                    tracing::debug!(status, "the model is busy and is asked again");
                    tokio::time::sleep(pause).await;
                }
                Err(Trouble::Cut(reason)) if cut > 0 => {
                    return Err(ModelError::Cut { url: self.shown(), reason });
                }
                Err(Trouble::Cut(_)) => {
                    cut += 1;
                    tracing::debug!("the model's answer broke off and is asked for again");
                }
                Err(Trouble::Strict) => self.strict.store(false, Ordering::Relaxed),
                Err(Trouble::Final(error)) => return Err(error),
            }
        }
    }

    async fn once(&self, messages: &[Value], functions: &Functions) -> Result<Answer, Trouble> {
        let url = dialect::endpoint(&self.options.base_url, self.api)
            .map_err(|reason| Trouble::Final(ModelError::Address { url: self.shown(), reason }))?;
        if let Some(reason) = self.guard.as_ref().and_then(|guard| guard::refused(guard, &url)) {
            return Err(Trouble::Final(ModelError::Address { url: self.shown(), reason }));
        }
        let http = self.http.as_ref().ok_or_else(|| {
            Trouble::Final(ModelError::Address {
                url: self.shown(),
                reason: "no HTTP client could be made".to_owned(),
            })
        })?;
        let strict = self.strict.load(Ordering::Relaxed);
        let key = self.options.api_key.as_ref().map(|key| key.expose().as_str());
        if key.is_some_and(|key| http::HeaderValue::from_str(key).is_err()) {
            return Err(Trouble::Final(ModelError::Key));
        }
        let body = dialect::body(&self.options, self.api, messages, functions, strict);
        let request = dialect::signed(http.post(url), self.api, key).json(&body);
        let response = request.send().await.map_err(|error| self.unsent(error))?;
        if !response.status().is_success() {
            return Err(self.refused(response, strict).await);
        }
        self.read(response).await
    }

    async fn read(&self, response: Response) -> Result<Answer, Trouble> {
        let events = response
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| value.starts_with("text/event-stream"));
        let answer = if events {
            dialect::read_stream(self.api, bounded(response)).await
        } else {
            let body = whole(response).await.map_err(|reason| self.broken(reason))?;
            // Some servers stream without saying so.
            let start = body.trim_ascii_start();
            if start.starts_with(b"data:") || start.starts_with(b"event:") {
                dialect::read_stream(self.api, futures_util::stream::iter([Ok(body)])).await
            } else {
                dialect::read(self.api, &body)
            }
        };
        answer.map_err(|problem| match problem {
            answer::Problem::Cut(reason) => self.broken(reason),
            answer::Problem::Nonsense(reason) => {
                Trouble::Final(ModelError::Nonsense { url: self.shown(), reason: self.scrubbed(&reason) })
            }
        })
    }

    /// An answer that ended too early: because it broke off, or because no more of it is read.
    fn broken(&self, reason: String) -> Trouble {
        if reason.contains(TOO_LONG) {
            return Trouble::Final(ModelError::TooLarge { url: self.shown(), most: MOST });
        }
        Trouble::Cut(reason)
    }

    fn unsent(&self, error: reqwest::Error) -> Trouble {
        let error = error.without_url();
        let connects = error.is_connect();
        let late = error.is_timeout();
        let mut innermost: &dyn std::error::Error = &error;
        while let Some(source) = innermost.source() {
            innermost = source;
        }
        let reason = innermost.to_string();
        match (connects, late) {
            (true, _) => Trouble::Final(ModelError::Unreachable { url: self.shown(), reason }),
            (_, true) => Trouble::Final(ModelError::Late { url: self.shown(), within: WITHIN }),
            _ => Trouble::Cut(reason),
        }
    }

    /// Sorts an answer that isn't 2xx by what can be done about it.
    async fn refused(&self, response: Response, strict: bool) -> Trouble {
        let status = response.status();
        let wait = response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.trim().parse().ok())
            .map(Duration::from_secs);
        let body = whole(response).await.unwrap_or_default();
        let said = complaint(&body);
        if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() {
            return Trouble::Busy { status: status.as_u16(), wait, said: self.scrubbed(&said) };
        }
        let about_schemas =
            ["strict", "schema", "tools", "function"].iter().any(|word| said.to_lowercase().contains(word));
        if strict && matches!(status.as_u16(), 400 | 422) && about_schemas {
            return Trouble::Strict;
        }
        Trouble::Final(ModelError::Refused {
            url: self.shown(),
            status: status.as_u16(),
            said: self.scrubbed(&said),
        })
    }

    /// The address as it may be shown.
    pub(crate) fn shown(&self) -> String {
        match reqwest::Url::parse(&self.options.base_url) {
            Ok(mut url) => {
                // Neither can fail for an address with a host; without one there is nothing to hide.
                let _ = url.set_username("");
                let _ = url.set_password(None);
                url.set_query(None);
                url.to_string()
            }
            Err(_) => clean(&self.options.base_url, SHOWN),
        }
    }

    /// A server's words without the key, which some repeat.
    fn scrubbed(&self, said: &str) -> String {
        self.scrubbed_to(said, SHOWN)
    }

    fn scrubbed_to(&self, said: &str, most: usize) -> String {
        let said = match &self.options.api_key {
            Some(key) if !key.expose().is_empty() => said.replace(key.expose().as_str(), "***"),
            _ => said.to_owned(),
        };
        clean(&said, most)
    }
}

/// The body, chunk by chunk, up to the bound.
fn bounded(response: Response) -> impl Stream<Item = Result<Bytes, std::io::Error>> + Unpin {
    let mut read = 0_usize;
    response.bytes_stream().map(move |chunk| {
        let chunk = chunk.map_err(|error| std::io::Error::other(error.without_url()))?;
        read = read.saturating_add(chunk.len());
        if read > MOST { Err(std::io::Error::other(TOO_LONG)) } else { Ok(chunk) }
    })
}

async fn whole(response: Response) -> Result<Bytes, String> {
    let mut chunks = bounded(response);
    let mut body = BytesMut::new();
    while let Some(chunk) = chunks.next().await {
        body.extend_from_slice(&chunk.map_err(|error| error.to_string())?);
    }
    Ok(body.freeze())
}

/// What a server says is wrong.
fn complaint(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let Ok(value) = serde_json::from_str::<Value>(&text) else { return text.into_owned() };
    let places = ["/error/message", "/error", "/message", "/detail"];
    let said = places.iter().find_map(|place| value.pointer(place)?.as_str());
    said.map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use usher_model::secret::Secret;

    use super::{Client, ModelOptions, complaint};

    #[test]
    fn complaints_are_found_and_shown_without_the_key() {
        for (body, wanted) in [
            (r#"{"error":{"message":"no such model"}}"#, "no such model"),
            (r#"{"error":"bad"}"#, "bad"),
            (r#"{"detail":"nope"}"#, "nope"),
            ("<html>down</html>", "<html>down</html>"),
        ] {
            assert_eq!(complaint(body.as_bytes()), wanted);
        }
        // Another test of the same process may have done so before.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let client = Client::new(ModelOptions {
            base_url: "http://user:pass@127.0.0.1:1/v1?key=abc".to_owned(),
            api_key: Some(Secret::new("sk-secret".to_owned())),
            model: "m".to_owned(),
            stream: false,
            api: None,
        });
        assert_eq!(client.scrubbed("bad key sk-secret\u{1b}[31m"), "bad key ***\\u{1b}[31m");
        assert_eq!(client.shown(), "http://127.0.0.1:1/v1");
    }
}
