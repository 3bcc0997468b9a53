//! The Admin API: APISIX's paths, envelopes and sentences, thin on top of [`Service`].
//!
//! One handler takes every path, because the order of checks is part of what clients see: token, resource, method, size, JSON, arguments,
//! and then the resource itself.

mod answer;
mod args;
mod body;
mod condition;
mod filter;
mod front;
mod patch;
mod place;
mod plugins;
mod read;
mod refusal;
mod rules;
mod schemas;
mod search;
mod token;
mod turns;
mod write;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware;
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;
use serde_json::Value;
use tower_http::catch_panic::CatchPanicLayer;
use usher_model::change::Principal;
use usher_model::compat::{Behaviour, Compat};

use crate::keys::Keys;
use crate::service::Service;
use answer::Answer;
use args::Args;
use body::Incoming;
use place::{Place, Target, Verb};
use token::Access;
use turns::Turns;

/// How the Admin API listens and whom it answers.
pub struct HttpOptions {
    /// The keys it takes.
    pub keys: Keys,
    /// Whether a key is needed at all. Without one, everybody who reaches the port is an admin.
    pub key_required: bool,
    /// Which of APISIX's behaviours are on.
    pub compat: Compat,
    /// The value of the header `Server`.
    pub server: String,
    /// The `host:port` under which it may be asked, and whose pages may call it.
    pub own_hosts: Vec<String>,
}

/// The Admin API for a port of its own.
pub fn router(service: Arc<Service>, options: HttpOptions) -> Router {
    let HttpOptions { keys, key_required, compat, server, own_hosts } = options;
    let access = if key_required { Access::Keys { keys, compat } } else { Access::everybody() };
    let front = Arc::new(front::Front::new(own_hosts, !key_required, compat, &server));
    let api = Api::new(service, access, false);
    Router::new()
        .fallback(serve)
        .with_state(Arc::new(api))
        .layer(CatchPanicLayer::custom(answer::panicked))
        .layer(middleware::from_fn_with_state(front, front::guard))
}

/// The same paths for the chat port: everybody is this principal, and bodies have to say that they are JSON, which no foreign page can
/// without asking first. Host, origin and CORS are the business of whoever takes this router in.
pub fn admin_paths(service: Arc<Service>, principal: Principal) -> Router {
    let api = Api::new(service, Access::As(principal), true);
    Router::new()
        .route("/apisix/admin", any(serve))
        .route("/apisix/admin/", any(serve))
        .route("/apisix/admin/{*rest}", any(serve))
        .with_state(Arc::new(api))
        .layer(CatchPanicLayer::custom(answer::panicked))
}

/// What all requests share.
struct Api {
    service: Arc<Service>,
    access: Access,
    json_only: bool,
    turns: Turns,
}

async fn serve(State(api): State<Arc<Api>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let mut body = Incoming::new(&head.headers, body);
    let (Ok(answer) | Err(answer)) = api.answer(&head, &mut body).await;
    // A client that is still sending would see a reset instead of the answer.
    body.drain().await;
    tracing::debug!(method = %head.method, path = head.uri.path(), status = answer.status(), "answered");
    answer.into_response()
}

/// Either way it is an answer; `Err` is one that comes before its time.
type Outcome = Result<Answer, Answer>;

impl Api {
    fn new(service: Arc<Service>, access: Access, json_only: bool) -> Self {
        Self { service, access, json_only, turns: Turns::default() }
    }

    async fn answer(&self, head: &Parts, body: &mut Incoming) -> Outcome {
        let place = Place::of(head.uri.path()).ok_or_else(|| self.page(StatusCode::BAD_REQUEST))?;
        if place == Place::Root && head.method == Method::HEAD {
            return Ok(Answer::empty(StatusCode::OK));
        }
        let nothing_here = || self.page(StatusCode::NOT_FOUND);
        if matches!(place, Place::Root | Place::Outside) {
            return Err(nothing_here());
        }
        let verb = Verb::of(&head.method).ok_or_else(nothing_here)?;
        let args = Args::of(head.uri.query());
        let who = self.access.principal(&head.headers, &args, verb)?;
        match (place, verb) {
            (Place::Resource(target), _) => {
                target.admits(verb).map_err(Answer::versioned)?;
                let given = self.given(head, body, &args, verb).await?;
                let call = Call { api: self, who, target, args, headers: &head.headers };
                call.answer(verb, given).await.map(Answer::versioned).map_err(Answer::versioned)
            }
            (Place::PluginList, Verb::Get) => plugins::list(self.service.registry(), &args),
            (Place::PluginReload, _) => plugins::reload(verb),
            (Place::Plugin(name), Verb::Get) => {
                self.given(head, body, &args, verb).await?;
                plugins::one(self.service.registry(), name.as_deref(), &args)
                    .map(Answer::versioned)
                    .map_err(Answer::versioned)
            }
            (Place::Schema(name), Verb::Get) => {
                self.given(head, body, &args, verb).await?;
                Ok(schemas::one(self.service.registry(), name.as_deref().unwrap_or_default()).versioned())
            }
            (Place::Validate(collection), Verb::Post) => {
                schemas::validate(&collection, body.json(&head.headers, self.json_only).await?)
            }
            (Place::Unsupported(name), _) => Err(Answer::unsupported(&name)),
            _ => Err(Answer::error(StatusCode::NOT_FOUND, "not found")),
        }
    }

    /// The body, after it and the arguments that every resource knows were looked at.
    async fn given(
        &self,
        head: &Parts,
        body: &mut Incoming,
        args: &Args,
        verb: Verb,
    ) -> Result<Option<Value>, Answer> {
        let given = body.json(&head.headers, self.json_only).await?;
        args.refuse_ttl(verb)?;
        Ok(given)
    }

    fn page(&self, status: StatusCode) -> Answer {
        let apisix = self.service.process().compat().has(Behaviour::ApisixNames);
        Answer::page(status, if apisix { "openresty" } else { "usher" })
    }
}

/// One request for a resource, once it was admitted.
struct Call<'a> {
    api: &'a Api,
    who: Principal,
    target: Target,
    args: Args,
    headers: &'a HeaderMap,
}

impl Call<'_> {
    async fn answer(&self, verb: Verb, given: Option<Value>) -> Outcome {
        self.target.refuse_sub_path(verb)?;
        match verb {
            Verb::Get => self.read().await,
            Verb::Put => self.put(given).await,
            Verb::Post => self.post(given).await,
            Verb::Patch => self.patch(given).await,
            Verb::Delete => self.delete().await,
        }
    }
}
