//! The MCP door: the catalogue's tools over Streamable HTTP, for clients of the revisions with and without a handshake.
//!
//! Revision 2026-07-28 is served without any state of a connection. Older ones get a session, because only a session can carry the
//! question to a person back; sessions are few and end when idle.

mod consent;
mod gate;
mod sessions;

use std::sync::Arc;
use std::time::Duration;

use rmcp::handler::server::ServerHandler;
use rmcp::model::{
    CacheScope, CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, CustomRequest,
    CustomResult, ErrorCode, ErrorData, Implementation, ListToolsResult, PaginatedRequestParams,
    ServerCapabilities, ServerConfig, Tool, ToolAnnotations,
};
use rmcp::service::{RequestContext, RoleServer};
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use usher_model::change::{Door, Principal, Role};

use crate::catalogue::{self, INSTRUCTIONS};
use crate::tools::{Answer, Refusal, Tools, clean};

use consent::{Consent, Decision};
pub(crate) use gate::admit;
use sessions::Sessions;

/// How long a client may keep the list of tools, which only another version of the program changes.
const TOOLS_FRESH_MS: u64 = 60 * 60 * 1000;
/// What the built-in chat calls itself.
const OWN_CHAT: &str = "usher-chat";
/// Bytes of a message.
pub(crate) const MOST_BODY: usize = 1024 * 1024;

/// The door as a service for the router. `stop` ends all sessions.
pub(crate) fn service(tools: Arc<Tools>, stop: CancellationToken) -> StreamableHttpService<Server, Sessions> {
    let server = Server { tools, consent: Arc::new(Consent::default()) };
    let config = StreamableHttpServerConfig::default()
        // Host and Origin were judged by the guard, for every path alike.
        .disable_allowed_hosts()
        .with_max_request_body_bytes(MOST_BODY)
        // Answers are short; a stream that broke is asked for again, not resumed.
        .with_sse_retry(None)
        .with_sse_keep_alive(Some(Duration::from_secs(15)))
        .with_cancellation_token(stop);
    StreamableHttpService::new(move || Ok(server.clone()), Arc::new(Sessions::default()), config)
}

/// The server of every connection.
#[derive(Clone)]
pub(crate) struct Server {
    tools: Arc<Tools>,
    consent: Arc<Consent>,
}

impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(
                Implementation::new("usher", env!("CARGO_PKG_VERSION")).with_title("Usher API gateway"),
            )
            .with_instructions(INSTRUCTIONS)
    }

    async fn list_tools(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let mut result = ListToolsResult::with_all_items(catalogue::all().iter().map(listed).collect());
        result.ttl_ms = Some(TOOLS_FRESH_MS);
        result.cache_scope = Some(CacheScope::Public);
        Ok(result)
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        catalogue::find(name).map(listed)
    }

    async fn on_custom_request(
        &self,
        request: CustomRequest,
        _context: RequestContext<RoleServer>,
    ) -> Result<CustomResult, ErrorData> {
        let CustomRequest { method, params, .. } = request;
        // A method that is known comes here only where its parameters can't be read.
        let wanted = match method.as_str() {
            "tools/call" => "params with name, a text, and arguments, an object",
            "tools/list" => "params with cursor, a text, or none",
            _ => return Err(ErrorData::new(ErrorCode::METHOD_NOT_FOUND, clean(&method, 100), None)),
        };
        let given = clean(&params.unwrap_or_default().to_string(), 200);
        let message = format!("{method} takes {wanted}, not {given}");
        Err(ErrorData::new(ErrorCode::INVALID_PARAMS, message, None))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        Ok(self.answer(&principal(&context), request, &context).await)
    }
}

impl Server {
    async fn answer(
        &self,
        who: &Principal,
        request: CallToolRequestParams,
        context: &RequestContext<RoleServer>,
    ) -> CallToolResponse {
        tracing::debug!(tool = %request.name.escape_debug(), door = %who.door, "tool call");
        let agreement = match self.consent.settle(&self.tools, who, &request, context).await {
            Ok(Decision::Go(agreement)) => agreement,
            Ok(Decision::Ask(question)) => return CallToolResponse::InputRequired(*question),
            Err(refusal) => return refused(&refusal).into(),
        };
        let arguments = request.arguments.unwrap_or_default();
        match self.tools.call(who, &request.name, arguments, agreement).await {
            Ok(answer) => answered(answer).into(),
            Err(refusal) => refused(&refusal).into(),
        }
    }
}

/// Who calls: on loopback nobody shows a key, so all are one principal; the door is told apart for the history.
fn principal(context: &RequestContext<RoleServer>) -> Principal {
    let is_own_chat = context.client_info().is_some_and(|client| client.name == OWN_CHAT);
    Principal::new("local-agent", Role::Chat, if is_own_chat { Door::Chat } else { Door::Mcp })
}

fn answered(answer: Answer) -> CallToolResult {
    let mut result = CallToolResult::success(vec![ContentBlock::text(answer.text)]);
    result.structured_content = Some(answer.structured);
    result
}

fn refused(refusal: &Refusal) -> CallToolResult {
    CallToolResult::error(vec![ContentBlock::text(refusal.to_string())])
}

/// A tool of the catalogue as MCP lists it.
fn listed(tool: &catalogue::Tool) -> Tool {
    let schema = |value: &Value| Arc::new(value.as_object().cloned().unwrap_or_default());
    let hints = tool.hints;
    Tool::new(tool.name, tool.description, schema(&tool.input))
        .with_title(tool.title)
        .with_raw_output_schema(schema(&tool.output))
        .with_annotations(
            ToolAnnotations::new()
                .read_only(hints.read_only)
                .destructive(hints.destructive)
                .idempotent(hints.idempotent)
                .open_world(hints.open_world),
        )
}
