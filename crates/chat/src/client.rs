//! The MCP client that the built-in chat acts through: one connection to a running Usher.
//!
//! The chat has no other way to the gateway, so whatever it does obeys the same rules as an agent from elsewhere.

mod consent;
mod error;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use reqwest::redirect::Policy;
use rmcp::ServiceExt as _;
use rmcp::model::{CallToolRequestParams, CallToolResult};
use rmcp::service::{RoleClient, RunningService, ServiceError};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use serde_json::Value;

use self::consent::{Agreed, Consent, Handler};
pub use self::error::ClientError;

/// How long the first handshake may take.
const OPEN_WITHIN: Duration = Duration::from_secs(10);
/// How long one call may take, not counting the time a person thinks.
const CALL_WITHIN: Duration = Duration::from_secs(60);
/// The largest arguments of a call, in bytes of JSON; the rest of what the server takes is for what is around them.
const MOST_ARGUMENTS: usize = crate::mcp::MOST_BODY - (64 << 10);
/// The largest answer that is read, in bytes.
const MAX_ANSWER: usize = 4 << 20;

/// Somebody who can be asked.
pub trait Person: Send + Sync {
    /// Whether the person agrees. Called on a thread that may block.
    fn confirm(&self, question: &str) -> bool;
}

/// A connection to a running Usher.
pub struct Connection {
    service: RunningService<RoleClient, Handler>,
    consent: Arc<Consent>,
    url: String,
}

/// What a tool answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// The answer for programs, as the tool's output schema has it.
    pub structured: Value,
    /// The same for people.
    pub text: String,
}

/// A tool as the server lists it.
#[derive(Clone, Debug, PartialEq)]
pub struct Offered {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// The JSON schema of its arguments.
    pub input: Value,
}

impl Connection {
    /// Connects to the MCP server at `url` + `/mcp`, such as `http://127.0.0.1:5000`; questions of the server go to `person`. The process
    /// needs a default crypto provider of rustls.
    ///
    /// # Errors
    /// [`ClientError`] when nobody answers there within 10 s, or somebody who is no Usher.
    pub async fn open(url: &str, person: Arc<dyn Person>) -> Result<Self, ClientError> {
        let url = base(url)?;
        reach(&url).await?;
        let consent = Arc::new(Consent::new(person));
        let http = reqwest::Client::builder()
            // A running Usher is a neighbour: a proxy on the way would see every change.
            .no_proxy()
            .redirect(Policy::none())
            // A kept connection whose last answer wasn't read to its end stalls the next call by a delayed acknowledgement, some 40 ms.
            .pool_max_idle_per_host(0)
            .build()
            .map_err(|error| ClientError::unreachable(&url, &error))?;
        let config = StreamableHttpClientTransportConfig::with_uri(format!("{url}/mcp"))
            .max_sse_event_size(MAX_ANSWER)
            .max_json_response_size(MAX_ANSWER);
        let transport = StreamableHttpClientTransport::with_client(http, config);
        let opening = Handler::new(Arc::clone(&consent)).serve(transport);
        let service = tokio::time::timeout(OPEN_WITHIN, opening)
            .await
            .map_err(|_| ClientError::late(&url, "the greeting", OPEN_WITHIN))?
            .map_err(|error| ClientError::of_opening(&url, &error))?;
        Ok(Self { service, consent, url })
    }

    /// Calls one tool. `arguments` has to be an object.
    ///
    /// # Errors
    /// [`ClientError::Tool`] when the tool refused, with its own sentence; the others when there was no answer.
    pub async fn call(&self, tool: &str, arguments: Value) -> Result<Reply, ClientError> {
        // A larger call would be refused by the server, and the connection with it.
        let size = arguments.to_string().len();
        if size > MOST_ARGUMENTS {
            let text = format!(
                "the call is too large: its arguments have {size} bytes, and at most {MOST_ARGUMENTS} are taken\nnext: {tool} with less, in \
                several calls"
            );
            return Err(ClientError::Tool { tool: tool.to_owned(), text });
        }
        let mut request = CallToolRequestParams::new(tool.to_owned());
        if let Value::Object(arguments) = arguments {
            request = request.with_arguments(arguments);
        }
        let mut calling = pin!(self.service.call_tool(request));
        let result = loop {
            match tokio::time::timeout(CALL_WITHIN, &mut calling).await {
                Ok(result) => break result,
                // A person who is being asked may take as long as the plan lives; the server ends that.
                Err(_) if self.consent.is_asking() => {}
                Err(_) => return Err(ClientError::late(&self.url, tool, CALL_WITHIN)),
            }
        };
        match result {
            Ok(result) => self.read(tool, result),
            // Such as an unknown tool: whoever called can do better.
            Err(ServiceError::McpError(error)) => {
                Err(ClientError::Tool { tool: tool.to_owned(), text: error.message.into_owned() })
            }
            Err(error) => Err(ClientError::broken(&self.url, &error)),
        }
    }

    /// Calls `gateway_apply` for a plan that the person has just agreed to, so that the server's own question about it is answered without
    /// asking twice.
    ///
    /// # Errors
    /// As [`Connection::call`].
    pub async fn apply(&self, plan_id: &str) -> Result<Reply, ClientError> {
        let _agreed = Agreed::to(&self.consent, plan_id);
        self.call("gateway_apply", serde_json::json!({ "plan_id": plan_id })).await
    }

    /// The tools that the server offers.
    ///
    /// # Errors
    /// As [`Connection::call`].
    pub async fn tools(&self) -> Result<Vec<Offered>, ClientError> {
        let listing = tokio::time::timeout(CALL_WITHIN, self.service.list_all_tools());
        let tools = listing
            .await
            .map_err(|_| ClientError::late(&self.url, "tools/list", CALL_WITHIN))?
            .map_err(|error| ClientError::broken(&self.url, &error))?;
        let offered = |tool: rmcp::model::Tool| Offered {
            name: tool.name.into_owned(),
            description: tool.description.map(std::borrow::Cow::into_owned).unwrap_or_default(),
            input: Value::Object(tool.input_schema.as_ref().clone()),
        };
        Ok(tools.into_iter().map(offered).collect())
    }

    /// Asks the person.
    pub async fn ask(&self, question: &str) -> bool {
        self.consent.ask(question.to_owned()).await
    }

    /// Where the Usher is.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    fn read(&self, tool: &str, result: CallToolResult) -> Result<Reply, ClientError> {
        let texts: Vec<&str> = result
            .content
            .iter()
            .filter_map(|block| block.as_text().map(|text| text.text.as_str()))
            .collect();
        let text = texts.join("\n");
        if result.is_error == Some(true) {
            return Err(ClientError::Tool { tool: tool.to_owned(), text });
        }
        let structured = result.structured_content.ok_or_else(|| ClientError::Foreign {
            url: self.url.clone(),
            reason: format!("{tool} answered without structured content"),
        })?;
        Ok(Reply { structured, text })
    }
}

/// Whether anybody listens there at all: only then can it be somebody else.
async fn reach(url: &str) -> Result<(), ClientError> {
    let Ok(parsed) = reqwest::Url::parse(url) else { return Ok(()) };
    let (Some(host), Some(port)) = (parsed.host_str(), parsed.port_or_known_default()) else { return Ok(()) };
    let place = (host.trim_matches(['[', ']']), port);
    match tokio::time::timeout(OPEN_WITHIN, tokio::net::TcpStream::connect(place)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(ClientError::unreachable(url, &error)),
        Err(_) => Err(ClientError::late(url, "the connection", OPEN_WITHIN)),
    }
}

/// An address without user and password, even where it can't be read as one.
fn shown(url: &str) -> String {
    let Some((before, host)) = url.rsplit_once('@') else { return url.to_owned() };
    let scheme = before.split_once("://").map(|(scheme, _)| format!("{scheme}://")).unwrap_or_default();
    format!("{scheme}{host}")
}

/// The address without what follows it, so that `/mcp` can be put behind.
pub(crate) fn base(url: &str) -> Result<String, ClientError> {
    let bad = |reason: &str| ClientError::Address { url: shown(url), reason: reason.to_owned() };
    let trimmed = url.trim().trim_end_matches('/');
    let trimmed = trimmed.strip_suffix("/mcp").unwrap_or(trimmed);
    let whole = if url.contains("://") { trimmed.to_owned() } else { format!("http://{trimmed}") };
    let parsed = reqwest::Url::parse(&whole).map_err(|error| bad(&error.to_string()))?;
    if !matches!(parsed.scheme(), "http" | "https") {
        return Err(bad("only http and https are spoken"));
    }
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return Err(bad("it has a user or a password, which an Usher does not take"));
    }
    if parsed.query().is_some() || parsed.fragment().is_some() {
        return Err(bad("it ends in a query or fragment"));
    }
    Ok(whole)
}

#[cfg(test)]
mod tests {
    use super::base;

    #[test]
    fn addresses_are_taken_with_or_without_scheme_and_path() {
        for (said, wanted) in [
            ("http://127.0.0.1:5000", Some("http://127.0.0.1:5000")),
            ("http://127.0.0.1:5000/", Some("http://127.0.0.1:5000")),
            ("http://127.0.0.1:5000/mcp", Some("http://127.0.0.1:5000")),
            ("127.0.0.1:5000", Some("http://127.0.0.1:5000")),
            ("localhost:5000", Some("http://localhost:5000")),
            ("https://usher.test/gateway/", Some("https://usher.test/gateway")),
            ("ftp://127.0.0.1", None),
            ("http://", None),
            ("http://a.test/?x=1", None),
            ("http://jack:s3cret@127.0.0.1:5000", None),
            ("jack:s3cret@127.0.0.1:5000", None),
            ("http://jack:s3cret@", None),
        ] {
            assert_eq!(base(said).ok().as_deref(), wanted, "{said}");
            assert!(base(said).err().is_none_or(|error| !error.to_string().contains("s3cret")), "{said}");
        }
    }
}
