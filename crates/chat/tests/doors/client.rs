//! An MCP client of the protocol's own library, in either era, with a person behind it or none.

use std::sync::{Arc, Mutex};

use rmcp::model::{
    CallToolRequestParams, CallToolResult, ClientCapabilities, ClientConfig, ElicitRequestParams,
    ElicitResult, ElicitationAction, ElicitationCapability, FormElicitationCapability, Implementation,
    ProtocolVersion,
};
use rmcp::service::{ClientLifecycleMode, ClientServiceExt as _, RequestContext, RoleClient, RunningService};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::{ClientHandler, ErrorData, ServiceExt as _};
use serde_json::{Value, json};

use crate::support::Side;

/// With and without a handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Era {
    Sessions,
    Stateless,
}

pub(crate) const ERAS: [Era; 2] = [Era::Sessions, Era::Stateless];

/// What the person behind the client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Person {
    /// There is none: the client can't ask.
    Nobody,
    /// Ticks the box and accepts.
    Agrees,
    /// Accepts without ticking the box.
    OverlooksTheBox,
    /// Declines.
    Declines,
    /// Is asked and never answers.
    Silent,
}

pub(crate) struct Handler {
    person: Person,
    name: &'static str,
    questions: Arc<Mutex<Vec<String>>>,
}

impl ClientHandler for Handler {
    fn get_info(&self) -> ClientConfig {
        let mut capabilities = ClientCapabilities::default();
        if self.person != Person::Nobody {
            capabilities.elicitation =
                Some(ElicitationCapability::new().with_form(FormElicitationCapability::default()));
        }
        ClientConfig::new(capabilities, Implementation::new(self.name, "1.0"))
            .with_protocol_version(ProtocolVersion::V_2025_06_18)
    }

    async fn create_elicitation(
        &self,
        request: ElicitRequestParams,
        _: RequestContext<RoleClient>,
    ) -> Result<ElicitResult, ErrorData> {
        let ElicitRequestParams::FormElicitationParams { message, requested_schema, .. } = request else {
            panic!("only a form is asked for")
        };
        assert_eq!(
            serde_json::to_value(&requested_schema).unwrap()["properties"]["agree"]["type"],
            "boolean"
        );
        self.questions.lock().unwrap().push(message);
        Ok(match self.person {
            Person::Agrees => {
                ElicitResult::new(ElicitationAction::Accept).with_content(json!({ "agree": true }))
            }
            Person::OverlooksTheBox => {
                ElicitResult::new(ElicitationAction::Accept).with_content(json!({ "agree": false }))
            }
            Person::Silent => std::future::pending().await,
            Person::Nobody | Person::Declines => ElicitResult::new(ElicitationAction::Decline),
        })
    }
}

/// A connected client.
pub(crate) struct Client {
    pub(crate) service: RunningService<RoleClient, Handler>,
    pub(crate) questions: Arc<Mutex<Vec<String>>>,
}

impl Client {
    pub(crate) async fn open(side: &Side, era: Era, person: Person) -> Self {
        Self::named(side, era, person, "test-client").await
    }

    pub(crate) async fn named(side: &Side, era: Era, person: Person, name: &'static str) -> Self {
        let questions = Arc::new(Mutex::default());
        let handler = Handler { person, name, questions: Arc::clone(&questions) };
        let transport = StreamableHttpClientTransport::from_uri(format!("{}/mcp", side.url()));
        let service = match era {
            Era::Sessions => handler.serve(transport).await.unwrap(),
            Era::Stateless => {
                let preferred_versions = vec![ProtocolVersion::V_2026_07_28];
                handler
                    .serve_with_lifecycle(transport, ClientLifecycleMode::Discover { preferred_versions })
                    .await
                    .unwrap()
            }
        };
        Self { service, questions }
    }

    /// The same with a token.
    pub(crate) async fn with_token(side: &Side, token: &str) -> Self {
        let questions = Arc::new(Mutex::default());
        let handler =
            Handler { person: Person::Nobody, name: "test-client", questions: Arc::clone(&questions) };
        let config =
            StreamableHttpClientTransportConfig::with_uri(format!("{}/mcp", side.url())).auth_header(token);
        let service = handler.serve(StreamableHttpClientTransport::from_config(config)).await.unwrap();
        Self { service, questions }
    }

    /// The whole result of a call.
    pub(crate) async fn result(&self, tool: &str, arguments: Value) -> CallToolResult {
        let arguments = arguments.as_object().unwrap().clone();
        self.service
            .call_tool(CallToolRequestParams::new(tool.to_owned()).with_arguments(arguments))
            .await
            .unwrap()
    }

    /// A call that has to go well: its structured content, which has to fit the tool's schema.
    pub(crate) async fn call(&self, tool: &str, arguments: Value) -> Value {
        let result = self.result(tool, arguments.clone()).await;
        assert_ne!(result.is_error, Some(true), "{tool} {arguments}: {}", text(&result));
        let structured = result.structured_content.unwrap();
        crate::schema::check(&usher_chat::catalogue::find(tool).unwrap().output, &structured);
        structured
    }

    /// A call that has to be refused: what is said about it.
    pub(crate) async fn refusal(&self, tool: &str, arguments: Value) -> String {
        let result = self.result(tool, arguments.clone()).await;
        assert_eq!(result.is_error, Some(true), "{tool} {arguments} was not refused: {}", text(&result));
        text(&result)
    }

    /// Plans these changes.
    pub(crate) async fn plan(&self, changes: Value) -> Value {
        self.call("gateway_plan", json!({ "changes": changes, "intent": "a test" })).await
    }

    /// Plans and applies these changes, which must not need a person.
    pub(crate) async fn change(&self, changes: Value) -> Value {
        let plan = self.plan(changes).await;
        self.call("gateway_apply", json!({ "plan_id": plan["plan_id"] })).await
    }
}

/// The readable form of a result.
pub(crate) fn text(result: &CallToolResult) -> String {
    assert_eq!(result.content.len(), 1, "one text item");
    result.content[0].as_text().unwrap().text.clone()
}
