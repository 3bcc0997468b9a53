//! The MCP client that the built-in chat acts through: one connection to a running Usher.
//!
//! The chat has no other way to the gateway, so whatever it does obeys the same rules as an agent from elsewhere.

mod consent;
mod error;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::redirect::Policy;
use rmcp::ServiceExt as _;
use rmcp::model::{CallToolRequestParams, CallToolResult};
use rmcp::service::{RoleClient, RunningService, ServiceError};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use serde_json::{Map, Value};
use usher_model::change::{Principal, Role};

use self::consent::{Answered, Consent, Handler};
pub use self::error::ClientError;
use crate::catalogue;
use crate::tools::{Agreement, CameBy, Tools};

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
    link: Link,
    consent: Arc<Consent>,
    url: String,
}

/// The way to the tools.
enum Link {
    /// MCP.
    Mcp(Box<RunningService<RoleClient, Handler>>),
    /// The tools of this process, for one principal.
    Own { tools: Arc<Tools>, who: Principal, from: CameBy },
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
            .default_headers(own_token().map_err(|reason| ClientError::Address { url: shown(&url), reason })?)
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
        Ok(Self { link: Link::Mcp(Box::new(service)), consent, url })
    }

    /// A connection to the tools of this process, which act for `who`; questions go to `person`.
    /// `conversation`: what their calls are recorded under.
    pub(crate) fn within(
        tools: Arc<Tools>,
        who: Principal,
        person: Arc<dyn Person>,
        conversation: &str,
    ) -> Self {
        let consent = Arc::new(Consent::new(person));
        let from =
            CameBy { client: Some("usher console".to_owned()), conversation: Some(conversation.to_owned()) };
        Self { link: Link::Own { tools, who, from }, consent, url: "this process".to_owned() }
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
        let service = match &self.link {
            Link::Mcp(service) => service,
            Link::Own { tools, who, from } => {
                let Value::Object(arguments) = arguments else {
                    return Err(ClientError::Tool {
                        tool: tool.to_owned(),
                        text: "the arguments have to be an object".to_owned(),
                    });
                };
                return own(tools, who, tool, arguments, Agreement::Client, from).await;
            }
        };
        let mut request = CallToolRequestParams::new(tool.to_owned());
        if let Value::Object(arguments) = arguments {
            request = request.with_arguments(arguments);
        }
        let mut calling = pin!(service.call_tool(request));
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
        let arguments = serde_json::json!({ "plan_id": plan_id });
        if let (Link::Own { tools, who, from }, Value::Object(arguments)) = (&self.link, &arguments) {
            // What holds a token of the role chat is a program, and would agree with itself.
            let agreement = match who.role {
                Role::Chat => Agreement::Client,
                _ => Agreement::Person(format!("{} agreed in the built-in chat", who.name)),
            };
            return own(tools, who, "gateway_apply", arguments.clone(), agreement, from).await;
        }
        let _agreed = Answered::yes(&self.consent, plan_id);
        self.call("gateway_apply", arguments).await
    }

    /// Tells the server that the person said no to a plan, so that nobody else agrees to it; where that can't be told, the plan ends by itself.
    /// `asked`: whether the server asks about this plan, which is the only way to tell it from afar.
    pub async fn decline(&self, plan_id: &str, asked: bool) {
        let told = match &self.link {
            Link::Own { tools, who, .. } => {
                tools.service().withdraw(who, plan_id).await.map_err(|error| error.to_string())
            }
            Link::Mcp(_) if asked => {
                let _declined = Answered::no(&self.consent, plan_id);
                match self.call("gateway_apply", serde_json::json!({ "plan_id": plan_id })).await {
                    // That nothing was applied is what the tool answers to a no.
                    Ok(_) | Err(ClientError::Tool { .. }) => Ok(()),
                    Err(error) => Err(error.to_string()),
                }
            }
            Link::Mcp(_) => Ok(()),
        };
        if let Err(error) = told {
            tracing::debug!(plan_id, error, "a plan that was declined could not be ended");
        }
    }

    /// The tools that the server offers.
    ///
    /// # Errors
    /// As [`Connection::call`].
    pub async fn tools(&self) -> Result<Vec<Offered>, ClientError> {
        let service = match &self.link {
            Link::Mcp(service) => service,
            Link::Own { .. } => return Ok(catalogue::all().iter().map(Offered::of).collect()),
        };
        let listing = tokio::time::timeout(CALL_WITHIN, service.list_all_tools());
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

/// Calls a tool of this process.
async fn own(
    tools: &Tools,
    who: &Principal,
    tool: &str,
    arguments: Map<String, Value>,
    agreement: Agreement,
    from: &CameBy,
) -> Result<Reply, ClientError> {
    match tools.call(who, tool, arguments, agreement, from).await {
        Ok(answer) => Ok(Reply { structured: answer.structured, text: answer.text }),
        Err(refusal) => Err(ClientError::Tool { tool: tool.to_owned(), text: refusal.to_string() }),
    }
}

impl Offered {
    fn of(tool: &catalogue::Tool) -> Self {
        Self {
            name: tool.name.to_owned(),
            description: tool.description.to_owned(),
            input: tool.input.clone(),
        }
    }
}

/// The token that the environment holds for this Usher (`USHER_TOKEN`), as a header.
pub(crate) fn own_token() -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    if let Some(token) = std::env::var("USHER_TOKEN").ok().filter(|token| !token.is_empty()) {
        let mut value = HeaderValue::from_str(&format!("Bearer {token}"))
            .map_err(|_| "USHER_TOKEN holds what no token has".to_owned())?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    Ok(headers)
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
