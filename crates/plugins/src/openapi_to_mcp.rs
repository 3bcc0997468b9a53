//! `openapi-to-mcp` serves the operations of an OpenAPI document as tools of MCP, so that chats and agents call an API as it is.
//!
//! The route becomes an MCP server over Streamable HTTP, without sessions: clients post messages of JSON-RPC, and each operation is a tool. Whatever else
//! stands on the route is applied to each message: authentication, limits, logs. With `base_url` the calls go to that server. Without it they go through
//! the gateway itself, in the client's own name and with the client's own credentials, so that the API's own routes and plugins judge them.
//!
//! Arguments are checked by the document before anything is sent, and none of them can leave its place: a path parameter stays one segment, a header
//! can't be torn or replace one that is set here. Redirects aren't followed. Answers are told as text, at most 1 MiB, and as JSON where they are an object.
//! Bodies that are files (`multipart/form-data`) and cookies can't be arguments. A document has at most 4 MiB (1 MiB as YAML) and 500 tools.
//!
//! Example: `{"openapi": "{\"openapi\":\"3.1.0\",\"info\":{\"title\":\"Shop\",\"version\":\"1\"},\"paths\":{\"/items\":{\"get\":{\"operationId\":\"listItems\",\"summary\":\"All items\"}}}}", "prefix": "/shop"}`
//! Example: `{"openapi_url": "http://127.0.0.1:1980/openapi.json", "base_url": "http://127.0.0.1:1980", "headers": {"Authorization": "Bearer ${http_x_api_token}"}}`

mod answer;
mod call;
mod config;
mod parameter;
mod path;
mod protocol;
mod schema;
mod tools;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use serde_json::{Map, Value, json};
use usher_http1::head::Head;
use usher_model::reference::is_reference;
use usher_model::secret::Secret;
use usher_pipeline::env::Env;
use usher_pipeline::exchange::Exchange;
use usher_pipeline::plugin::{BuildError, Flow, Hook, Phases, Plugin};
use usher_pipeline::reply::Reply;
use usher_pipeline::spec::Spec;
use usher_pipeline::worker::{Answer, Call, FetchError, InnerCall};

use crate::addresses::authority;
use crate::kept_document::{KeptDocument, Unavailable};
use crate::text::Text;
use call::{Sent, own_fields};
use config::Config;
use protocol::{Fault, INTERNAL_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, Message};
use tools::{Tool, Tools, Wish};

/// `openapi-to-mcp`.
pub(crate) static PLUGIN: Spec = Spec::of::<OpenapiToMcp>();

/// How long fetched tools are kept.
const KEEP: Duration = Duration::from_secs(3600);
/// The largest message that is read, in bytes.
const MAX_MESSAGE_BYTES: u64 = 4 << 20;
/// The largest answer of an API that is read, in bytes; less of it is told.
const MAX_ANSWER_BYTES: u64 = 8 << 20;

struct OpenapiToMcp {
    source: Source,
    wish: Wish,
    way: Way,
    headers: Vec<(String, Text)>,
    allowed_origins: Vec<String>,
    timeout: Duration,
    verify: bool,
}

enum Source {
    Written(Arc<Tools>),
    Fetched(KeptDocument<Tools>),
    /// A reference that was not looked up.
    Unknown,
}

/// Where calls go.
enum Way {
    /// To this server.
    Out(Text),
    /// Through the gateway itself, behind this prefix.
    Inside(String),
}

impl Plugin for OpenapiToMcp {
    const NAME: &'static str = "openapi-to-mcp";
    const PRIORITY: i32 = 540;
    const PHASES: Phases<Self> = Phases { access: Some(Hook::Later(Self::serve)), ..Phases::NONE };
    type Config = Config;

    fn build(config: Config, env: &Env<'_>) -> Result<Self, BuildError> {
        config.check(env)?;
        let headers: Vec<(&String, &String)> = config.headers.iter().flat_map(Secret::expose).collect();
        let wish = Wish {
            flatten: config.flatten_parameters,
            operations: config.operations,
            taken_headers: headers.iter().map(|(name, _)| name.to_ascii_lowercase()).collect(),
        };
        let timeout = Duration::from_millis(config.timeout);
        let wrong =
            |reason: &str| BuildError::new(format!("property \"openapi\" validation failed: {reason}"));
        let source = match (&config.openapi, &config.openapi_url) {
            (Some(text), _) if !is_reference(text) => {
                let tools = Tools::read(text.as_bytes(), &wish).map_err(|reason| wrong(&reason))?;
                if let Some(problem) = tools.problems.first() {
                    return Err(wrong(problem));
                }
                tools.compile().map_err(|reason| wrong(&reason))?;
                Source::Written(Arc::new(tools))
            }
            (None, Some(url)) => Source::Fetched(KeptDocument {
                url: url.clone(),
                fields: Head::empty(),
                verify: config.ssl_verify,
                timeout,
                keep: KEEP,
                kept: env.keep(&env.own_key(), Mutex::default),
            }),
            _ => Source::Unknown,
        };
        Ok(Self {
            source,
            wish,
            way: config.base_url.map_or(Way::Inside(config.prefix), |base| Way::Out(Text::parse(&base))),
            headers: headers.iter().map(|(name, text)| ((*name).clone(), Text::parse(text))).collect(),
            allowed_origins: config.allowed_origins,
            timeout,
            verify: config.ssl_verify,
        })
    }
}

impl OpenapiToMcp {
    fn serve<'a>(&'a self, exchange: &'a mut Exchange) -> LocalBoxFuture<'a, Flow> {
        async move { self.answer(exchange).await.unwrap_or_else(|refused| refused).into() }.boxed_local()
    }

    async fn answer(&self, exchange: &mut Exchange) -> Result<Reply, Reply> {
        let refused = |status: u16, code: i64, message: String| {
            protocol::error(status, &Value::Null, &Fault { code, message })
        };
        if exchange.is_inner {
            let sentence = "a call of a tool, or a request of a batch, can't be a message itself".to_owned();
            return Err(refused(400, INVALID_REQUEST, sentence));
        }
        protocol::admit(&exchange.request, &self.allowed_origins).map_err(|refused| refused.reply())?;
        let body = exchange.request.body.read_whole(MAX_MESSAGE_BYTES).await;
        let body = body.map_err(|error| refused(error.status(), INVALID_REQUEST, error.to_string()))?;
        let Message::Request { id, method, mut params } =
            protocol::read(&body).map_err(|refused| refused.reply())?
        else {
            return Ok(Reply::new(202));
        };
        let outcome = match method.as_str() {
            "ping" => Ok(json!({})),
            "initialize" => {
                let tools = self.tools(exchange).await.map_err(|why| unusable(&id, &why))?;
                protocol::initialize(&params, &tools.title, &tools.version, &tools.instructions)
            }
            "tools/list" => match params.get("cursor") {
                None | Some(Value::Null) => {
                    let tools = self.tools(exchange).await.map_err(|why| unusable(&id, &why))?;
                    Ok(json!({ "tools": tools.list }))
                }
                Some(cursor) => {
                    Err(Fault::params(format!("there is no page {cursor}: all tools are on the first one")))
                }
            },
            "tools/call" => match call_of(&mut params) {
                Ok((name, arguments)) => {
                    let tools = self.tools(exchange).await.map_err(|why| unusable(&id, &why))?;
                    Ok(self.call(exchange, &tools, &name, arguments).await)
                }
                Err(fault) => Err(fault),
            },
            other => Err(Fault {
                code: METHOD_NOT_FOUND,
                message: format!(
                    "there is no method {other:?} here; initialize, ping, tools/list and tools/call are served"
                ),
            }),
        };
        Ok(match outcome {
            Ok(result) => protocol::result(&id, &result),
            Err(fault) => protocol::error(200, &id, &fault),
        })
    }

    async fn tools(&self, exchange: &Exchange) -> Result<Arc<Tools>, Unavailable> {
        match &self.source {
            Source::Written(tools) => Ok(Arc::clone(tools)),
            Source::Fetched(document) => {
                let read = |text: &[u8]| {
                    let tools = Tools::read(text, &self.wish)?;
                    for problem in &tools.problems {
                        tracing::warn!(problem, "an operation of an OpenAPI document became no tool");
                    }
                    Ok(tools)
                };
                document.get(exchange, read).await
            }
            Source::Unknown => {
                let reason = "its reference was not looked up".to_owned();
                Err(Unavailable { is_late: false, reason })
            }
        }
    }

    async fn call(
        &self,
        exchange: &Exchange,
        tools: &Tools,
        name: &str,
        arguments: Map<String, Value>,
    ) -> Value {
        let Some(tool) = tools.get(name) else {
            return answer::failed(&format!(
                "there is no tool {name:?}; tools/list names those that there are"
            ));
        };
        let asked = match self.way {
            Way::Out(ref base) => self.call_out(exchange, tool, base, arguments).await,
            Way::Inside(ref prefix) => self.call_inside(exchange, tool, prefix, arguments).await,
        };
        asked.unwrap_or_else(|sentence| answer::failed(&sentence))
    }

    async fn call_out(
        &self,
        exchange: &Exchange,
        tool: &Tool,
        base: &Text,
        arguments: Map<String, Value>,
    ) -> Result<Value, String> {
        let base = base_for(exchange, base)?;
        let fields = self.fields(exchange, Head::empty());
        let sent = Sent::new(tool, "", fields, &tool.checked(arguments)?)?;
        let call = Call {
            method: tool.method.clone(),
            url: format!("{base}{}", sent.target),
            fields: sent.fields,
            body: sent.body,
            timeout: self.timeout,
            verify: self.verify,
            max_answer_bytes: MAX_ANSWER_BYTES,
        };
        Ok(told(exchange.worker().fetch(call).await))
    }

    async fn call_inside(
        &self,
        exchange: &Exchange,
        tool: &Tool,
        prefix: &str,
        arguments: Map<String, Value>,
    ) -> Result<Value, String> {
        let fields = self.fields(exchange, own_fields(&exchange.request.head));
        let sent = Sent::new(tool, prefix, fields, &tool.checked(arguments)?)?;
        let mut head = Head::request(&tool.method, "/");
        head.set_target(&sent.target).map_err(|error| format!("{error}: {:?}", sent.target))?;
        head.append_all(&sent.fields).map_err(|error| error.to_string())?;
        let call = InnerCall {
            head,
            is_http10: false,
            body: sent.body,
            client: exchange.client,
            server: exchange.server,
            secured: exchange.secured.clone(),
            timeout: self.timeout,
            max_answer_bytes: MAX_ANSWER_BYTES,
        };
        Ok(told(exchange.worker().fetch_inside(call).await))
    }

    /// What is sent with each call: these, with what is configured in the place of what was there.
    fn fields(&self, exchange: &Exchange, mut fields: Head) -> Head {
        if let Err(error) = fields.set("Accept", "application/json, text/*;q=0.9, */*;q=0.8") {
            tracing::debug!(%error, "left out a field of a call");
        }
        for (name, text) in &self.headers {
            let value = text.render(exchange);
            if let Err(error) = fields.set(name, &value) {
                tracing::warn!(%error, name, "left out a configured header that can't be sent");
            }
        }
        fields
    }
}

fn told(asked: Result<Answer, FetchError>) -> Value {
    match asked {
        Ok(answer) => answer::told(&answer),
        Err(error) => {
            tracing::debug!(%error, "a call of a tool has no answer");
            answer::unanswered(&error)
        }
    }
}

/// Where the API is for this request, without a slash at the end.
fn base_for(exchange: &Exchange, base: &Text) -> Result<String, String> {
    let rendered = base.render(exchange);
    let text =
        std::str::from_utf8(&rendered).map_err(|_| "base_url is no text for this request".to_owned())?;
    // Variables may hold what a client wrote; it can say where, and nothing behind that.
    let is_plain =
        !text.contains(['?', '#', '\\', '%']) && !text.split('/').any(|part| part == "." || part == "..");
    match authority(text) {
        Ok(_) if is_plain => Ok(text.trim_end_matches('/').to_owned()),
        Ok(_) => {
            Err("base_url can't be used for this request: it has more than a host and a path".to_owned())
        }
        Err(reason) => Err(format!("base_url can't be used for this request: it {reason}")),
    }
}

/// The name and the arguments of a call.
fn call_of(params: &mut Map<String, Value>) -> Result<(String, Map<String, Value>), Fault> {
    let Some(Value::String(name)) = params.remove("name") else {
        return Err(Fault::params("\"name\" is missing: the name of a tool, as tools/list has it"));
    };
    match params.remove("arguments") {
        None | Some(Value::Null) => Ok((name, Map::new())),
        Some(Value::Object(arguments)) => Ok((name, arguments)),
        Some(_) => Err(Fault::params("\"arguments\" has to be an object")),
    }
}

/// There are no tools.
fn unusable(id: &Value, why: &Unavailable) -> Reply {
    let message = format!("the OpenAPI document can't be used: {}", why.reason);
    protocol::error(if why.is_late { 504 } else { 502 }, id, &Fault { code: INTERNAL_ERROR, message })
}

#[cfg(test)]
mod tests;
