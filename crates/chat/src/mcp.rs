//! The MCP door: the catalogue's tools over Streamable HTTP, for clients of the revisions with and without a handshake.
//!
//! Revision 2026-07-28 is served without any state of a connection. Older ones get a session, because only a session can carry the
//! question to a person back; sessions are few and end when idle.

mod apps;
mod completing;
mod consent;
#[cfg(test)]
mod fixtures;
mod gate;
mod questions;
mod reading;
mod sessions;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::middleware::from_fn;
use rmcp::handler::server::ServerHandler;
use rmcp::model::{
    CacheScope, CallToolRequestParams, CallToolResponse, CallToolResult, CompleteRequestParams,
    CompleteResult, ContentBlock, CustomRequest, CustomResult, ErrorCode, ErrorData, GetPromptRequestParams,
    GetPromptResponse, Implementation, ListPromptsResult, ListResourceTemplatesResult, ListResourcesResult,
    ListToolsResult, PaginatedRequestParams, ReadResourceRequestParams, ReadResourceResponse,
    ServerCapabilities, ServerConfig, Tool, ToolAnnotations,
};
use rmcp::service::{RequestContext, RoleServer};
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use usher_admin::service::CallOutcome;
use usher_model::change::{Door, Principal, Role};

use crate::catalogue::{self, INSTRUCTIONS};
use crate::entrance::Caller;
use crate::tools::{Answer, CameBy, Refusal, Tools, clean};

use consent::{Consent, Decision};
use sessions::Sessions;

/// How long a client may keep the list of tools, which only another version of the program changes.
const TOOLS_FRESH_MS: u64 = 60 * 60 * 1000;
/// What the built-in chat calls itself.
const OWN_CHAT: &str = "usher-chat";
/// Bytes of a message.
pub(crate) const MOST_BODY: usize = 1024 * 1024;

/// The door. `stop` ends all sessions.
pub(crate) fn router(tools: Arc<Tools>, stop: CancellationToken) -> Router {
    served(Server { tools, consent: Arc::new(Consent::default()) }, stop)
}

/// A server behind the gate and with the sessions of this door.
fn served<S: ServerHandler + Clone>(server: S, stop: CancellationToken) -> Router {
    let config = StreamableHttpServerConfig::default()
        // Host and Origin were judged by the guard, for every path alike.
        .disable_allowed_hosts()
        .with_max_request_body_bytes(MOST_BODY)
        // Answers are short; a stream that broke is asked for again, not resumed.
        .with_sse_retry(None)
        .with_sse_keep_alive(Some(Duration::from_secs(15)))
        .with_cancellation_token(stop);
    let door = StreamableHttpService::new(move || Ok(server.clone()), Arc::new(Sessions::default()), config);
    Router::new().route_service("/mcp", door).layer(from_fn(gate::admit))
}

/// The server of every connection.
#[derive(Clone)]
pub(crate) struct Server {
    tools: Arc<Tools>,
    consent: Arc<Consent>,
}

impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(
            ServerCapabilities::builder()
                .enable_tools()
                .enable_prompts()
                .enable_resources()
                .enable_completions()
                .enable_extensions_with(apps::capability())
                .build(),
        )
        .with_server_info(
            Implementation::new("usher", env!("CARGO_PKG_VERSION")).with_title("Usher API gateway"),
        )
        .with_instructions(INSTRUCTIONS)
    }

    async fn list_tools(
        &self,
        _request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let who = principal(&context);
        self.called(&who, &context);
        let usable = self.tools.offered().filter(|tool| may_use(&who, tool));
        let mut result = ListToolsResult::with_all_items(usable.map(listed).collect());
        result.ttl_ms = Some(TOOLS_FRESH_MS);
        // With a token the list depends on who asks.
        let is_common = caller(&context).is_none();
        result.cache_scope = Some(if is_common { CacheScope::Public } else { CacheScope::Private });
        Ok(result)
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        self.tools.offered().find(|tool| tool.name == name).map(listed)
    }

    async fn list_prompts(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        Ok(reading::prompts())
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        reading::prompt(&request).map(Into::into)
    }

    async fn list_resources(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        Ok(reading::resources())
    }

    async fn list_resource_templates(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        Ok(reading::templates())
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        reading::read(&self.tools, &principal(&context), &request.uri, &came_by(&context))
            .await
            .map(Into::into)
    }

    async fn complete(
        &self,
        request: CompleteRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CompleteResult, ErrorData> {
        Ok(completing::complete(&self.tools, &principal(&context), &request).await)
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
        let who = principal(&context);
        self.called(&who, &context);
        self.answer(&who, request, &context).await
    }
}

impl Server {
    /// Remembers who is there, for people who look after agents.
    fn called(&self, who: &Principal, context: &RequestContext<RoleServer>) {
        let client = context.client_info();
        let (name, version) =
            client.as_ref().map_or(("an unnamed client", ""), |client| (&client.name, &client.version));
        self.tools.service().client_called(who, name, version);
    }

    async fn answer(
        &self,
        who: &Principal,
        request: CallToolRequestParams,
        context: &RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        tracing::debug!(tool = %request.name.escape_debug(), door = %who.door, "tool call");
        let (began, from) = (Instant::now(), came_by(context));
        let settled = self.consent.settle(&self.tools, who, &request, context).await;
        let arguments = request.arguments.unwrap_or_default();
        let unrun = |outcome| self.tools.note_unrun(who, &request.name, &arguments, &from, began, outcome);
        let agreement = match settled {
            Ok(Decision::Go(agreement)) => agreement,
            Ok(Decision::No(plan, refusal)) => {
                unrun(CallOutcome::Refused);
                if let Err(error) = self.tools.service().withdraw(who, &plan).await {
                    tracing::debug!(plan, %error, "a plan that was declined has ended already");
                }
                return Ok(refused(&refusal).into());
            }
            Ok(Decision::Ask(question)) => {
                unrun(CallOutcome::Asked);
                return Ok(CallToolResponse::InputRequired(*question));
            }
            Ok(Decision::Reject(error)) => {
                unrun(CallOutcome::Refused);
                return Err(error);
            }
            Err(refusal) => {
                unrun(CallOutcome::Refused);
                return Ok(refused(&refusal).into());
            }
        };
        Ok(match self.tools.call(who, &request.name, arguments, agreement, &from).await {
            Ok(answer) => answered(answer).into(),
            Err(refusal) => refused(&refusal).into(),
        })
    }
}

/// Who calls: whoever has a token; without one, on loopback, all are one principal. The door is told apart for the history.
fn principal(context: &RequestContext<RoleServer>) -> Principal {
    if let Some(who) = caller(context) {
        return who;
    }
    let is_own_chat = context.client_info().is_some_and(|client| client.name == OWN_CHAT);
    Principal::new("local-agent", Role::Chat, if is_own_chat { Door::Chat } else { Door::Mcp })
}

/// What the client says of itself, and the session that it speaks in.
fn came_by(context: &RequestContext<RoleServer>) -> CameBy {
    let client = context
        .client_info()
        .map(|client| format!("{} {}", clean(&client.name, 80), clean(&client.version, 30)));
    let parts = context.extensions.get::<http::request::Parts>();
    let session = parts.and_then(|parts| parts.headers.get("mcp-session-id")?.to_str().ok());
    CameBy { client, conversation: session.map(|session| clean(session, 80)) }
}

/// The principal of the token that came with a request.
fn caller(context: &RequestContext<RoleServer>) -> Option<Principal> {
    let parts = context.extensions.get::<http::request::Parts>()?;
    parts.extensions.get::<Caller>().map(|Caller(who)| who.clone())
}

/// Whether somebody may use a tool at all: what plans and applies is hidden from those who only look.
fn may_use(who: &Principal, tool: &catalogue::Tool) -> bool {
    who.role > Role::Viewer
        || !["gateway_plan", "gateway_import_openapi", "gateway_apply", "gateway_undo"].contains(&tool.name)
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
    let mut listed = Tool::new(tool.name, tool.description, schema(&tool.input))
        .with_title(tool.title)
        .with_raw_output_schema(schema(&tool.listed_output()))
        .with_annotations(
            ToolAnnotations::new()
                .read_only(hints.read_only)
                .destructive(hints.destructive)
                .idempotent(hints.idempotent)
                .open_world(hints.open_world),
        );
    listed.meta = apps::of_tool(tool.name);
    listed
}
