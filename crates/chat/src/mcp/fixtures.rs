//! The tools, resources and prompts that the protocol's public suite asks every server for, on top of our own door. Only tests are built with them.
//!
//! What is under test is what stands around them and is the same for users: the guard, the entrance, the gate before the library, the sessions, the
//! open questions. The fixtures themselves are data.
#![cfg(test)]
#![expect(deprecated, reason = "the suite asks for what older revisions had")]

mod answers;
mod asking;
mod suite;

use std::sync::Arc;

use axum::Router;
use rmcp::handler::server::ServerHandler;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CompleteRequestParams, CompleteResult, ErrorData,
    GetPromptRequestParams, GetPromptResponse, ListPromptsResult, ListResourceTemplatesResult,
    ListResourcesResult, ListToolsResult, PaginatedRequestParams, ReadResourceRequestParams,
    ReadResourceResponse, ServerConfig, SetLevelRequestParams, SubscribeRequestParams, Tool,
    UnsubscribeRequestParams,
};
use rmcp::service::{RequestContext, RoleServer};
use tokio_util::sync::CancellationToken;

use super::consent::Consent;
use super::questions::Questions;
use super::{Server, served};
use crate::tools::Tools;

/// Our own server, and the fixtures beside what it has.
#[derive(Clone)]
struct Fixtures {
    own: Server,
    questions: Arc<Questions>,
}

/// The door with fixtures.
fn router(tools: Arc<Tools>, stop: CancellationToken) -> Router {
    let own = Server { tools, consent: Arc::new(Consent::default()) };
    served(Fixtures { own, questions: Arc::default() }, stop)
}

impl ServerHandler for Fixtures {
    fn get_info(&self) -> ServerConfig {
        // What older revisions are served beside it isn't announced: to a client of today it would promise more.
        self.own.get_info()
    }

    async fn list_tools(
        &self,
        request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let mut result = self.own.list_tools(request, context).await?;
        result.tools.extend(answers::tools());
        Ok(result)
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        answers::tools().into_iter().find(|tool| tool.name == name).or_else(|| self.own.get_tool(name))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        if let Some(answer) = answers::of_tool(&request.name) {
            return Ok(answer.into());
        }
        if request.name.starts_with("test_") {
            return asking::call(&self.questions, request, context).await;
        }
        self.own.call_tool(request, context).await
    }

    async fn list_prompts(
        &self,
        request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        let mut result = self.own.list_prompts(request, context).await?;
        result.prompts.extend(answers::prompts());
        Ok(result)
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        if request.name == asking::PROMPT {
            return Ok(asking::prompt(&request));
        }
        match answers::of_prompt(&request) {
            Some(answer) => Ok(answer.into()),
            None => self.own.get_prompt(request, context).await,
        }
    }

    async fn list_resources(
        &self,
        request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        let mut result = self.own.list_resources(request, context).await?;
        result.resources.extend(answers::resources());
        Ok(result)
    }

    async fn list_resource_templates(
        &self,
        request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        let mut result = self.own.list_resource_templates(request, context).await?;
        result.resource_templates.extend(answers::templates());
        Ok(result)
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        match answers::of_resource(&request.uri) {
            Some(answer) => Ok(answer.into()),
            None => self.own.read_resource(request, context).await,
        }
    }

    async fn complete(
        &self,
        request: CompleteRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CompleteResult, ErrorData> {
        self.own.complete(request, context).await
    }

    async fn set_level(
        &self,
        _request: SetLevelRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        Ok(())
    }

    async fn subscribe(
        &self,
        _request: SubscribeRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        Ok(())
    }

    async fn unsubscribe(
        &self,
        _request: UnsubscribeRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        Ok(())
    }
}
