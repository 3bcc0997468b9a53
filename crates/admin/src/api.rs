//! `/usher/v1`, the service API of our own: plans, history, undo, audit, tokens, users, explain and export, beside APISIX's paths.
//!
//! One table names every endpoint with the right it needs and the shapes it takes and gives. The router and the OpenAPI document are both made
//! of it, so that neither can know an endpoint that the other doesn't.

mod agents;
mod answer;
mod approvals;
mod attempt;
mod audit;
mod backup;
mod body;
mod calls;
mod chat;
mod chat_model;
mod curl;
mod endpoint;
mod entrance;
mod explain;
mod export;
mod first;
mod health;
mod history;
mod keyring;
mod manual;
mod names;
mod objects;
mod oidc;
mod openapi;
mod paths;
mod plans;
mod refusal;
mod requests;
mod session;
mod sessions;
mod shapes;
mod status;
mod table;
mod tokens;
mod traffic;
mod users;

use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;
use tower_http::catch_panic::CatchPanicLayer;
use usher_model::secret::Secret;

use crate::http::front;
use crate::keys::Keys;
use crate::oidc::Oidc;
use crate::service::Service;
use crate::talk::Talk;
use endpoint::{Call, Endpoint, Entrance, Visit};
use entrance::Doorkeeper;
pub use first::setup_code;
use refusal::Refusal;
use sessions::{SessionFile, Sessions};

/// What every path of this API begins with.
pub const BASE: &str = "/usher/v1";

/// The manual's page on a plugin, by its name, in Markdown.
pub type Pages = fn(&str) -> Option<&'static str>;

/// What the paths of this API stand on.
pub struct ApiOptions {
    /// The admin keys that are taken beside tokens; `None` where no key is asked for, and everybody is an admin.
    pub keys: Option<Keys>,
    /// The code with which the first user can be made as long as there is none.
    pub code: Option<Secret<String>>,
    /// The file that sessions of the console are kept in over a restart; `None` keeps them in memory alone.
    pub sessions: Option<PathBuf>,
    /// The provider that people may log in with, where there is one.
    pub oidc: Option<Arc<Oidc>>,
    /// The built-in chat, where there is one.
    pub talk: Option<Arc<dyn Talk>>,
    /// The manual's pages on plugins.
    pub pages: Pages,
}

/// The paths of this API.
pub fn router(service: Arc<Service>, options: ApiOptions) -> Router {
    let ApiOptions { keys, code, sessions, oidc, talk, pages } = options;
    let sessions = Sessions::kept(sessions.map(|file| SessionFile::new(file, Arc::clone(&service))));
    let doorkeeper = Arc::new(Doorkeeper::new(keys, code, oidc, sessions));
    let api = Api { service, doorkeeper, table: table::all(), talk, pages };
    Router::new()
        .route(BASE, any(serve))
        .route("/usher/v1/", any(serve))
        .route("/usher/v1/{*rest}", any(serve))
        .with_state(Arc::new(api))
        .layer(CatchPanicLayer::custom(refusal::panicked))
}

/// The OpenAPI document of this API, as YAML.
#[must_use]
pub fn openapi_yaml() -> String {
    openapi::yaml(&table::all())
}

struct Api {
    service: Arc<Service>,
    doorkeeper: Arc<Doorkeeper>,
    table: Vec<Endpoint>,
    talk: Option<Arc<dyn Talk>>,
    pages: Pages,
}

async fn serve(State(api): State<Arc<Api>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let mut body = body::Incoming::new(&head.headers, body);
    let response = match api.answer(&head, &mut body).await {
        Ok(answer) => answer.into_response(),
        Err(refusal) => refusal.into_response(),
    };
    // A client that is still sending would see a reset instead of the answer.
    body.drain().await;
    tracing::debug!(method = %head.method, path = head.uri.path(), status = response.status().as_u16(), "answered");
    response
}

impl Api {
    async fn answer(
        &self,
        head: &axum::http::request::Parts,
        body: &mut body::Incoming,
    ) -> Result<answer::Told, Refusal> {
        let (endpoint, parameters) = paths::find(&self.table, &head.method, head.uri.path())?;
        match &endpoint.entrance {
            Entrance::Public { answer, .. } => Ok(answer(&self.table)),
            Entrance::Open { answer, .. } => {
                entrance::under_own_name(head)?;
                let visit = Visit {
                    service: Arc::clone(&self.service),
                    doorkeeper: Arc::clone(&self.doorkeeper),
                    headers: head.headers.clone(),
                    host: front::host(&head.uri, &head.headers),
                    peer: entrance::peer(head),
                    given: body.read(&head.headers, endpoint.most_bytes).await?,
                };
                Ok(answer(visit).await?.with(endpoint.status))
            }
            Entrance::Needs { right, answer } => {
                let who = self.doorkeeper.principal(&self.service, head).await?;
                right.check(&who)?;
                let given = body.read(&head.headers, endpoint.most_bytes).await?;
                let call = Call {
                    service: Arc::clone(&self.service),
                    talk: self.talk.clone(),
                    pages: self.pages,
                    who,
                    parameters,
                    query: head.uri.query().unwrap_or_default().to_owned(),
                    headers: head.headers.clone(),
                    given,
                };
                Ok(answer(call).await?.with(endpoint.status))
            }
        }
    }
}
