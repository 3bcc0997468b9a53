//! The Admin API: APISIX's paths, envelopes and sentences, thin on top of [`Service`].
//!
//! One handler takes every path, because the order of checks is part of what clients see: token, resource, method, size, JSON, arguments,
//! and then the resource itself.

pub(crate) mod answer;
mod args;
mod body;
mod condition;
mod configs;
mod document;
mod envelope;
mod filter;
pub(crate) mod front;
pub(crate) mod hosts;
mod options;
mod patch;
mod place;
pub(crate) mod plugins;
mod read;
mod refusal;
mod rules;
mod schemas;
mod search;
mod standalone;
mod target;
mod token;
mod turns;
mod write;

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, Method, StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;
use serde_json::Value;
use tower_http::catch_panic::CatchPanicLayer;
use usher_model::change::Principal;
use usher_model::compat::{Behaviour, Compat};
use usher_model::kind::{Key, Kind};

pub use options::{Envelopes, Form, HttpOptions};

use crate::api::ApiOptions;
use crate::keys::Guesses;
use crate::service::Service;
use answer::Answer;
use args::Args;
use body::Incoming;
use front::Front;
use place::{Place, Verb};
use standalone::Standalone;
use target::Target;
use token::Access;
use turns::Turns;

/// The Admin API for a port of its own.
pub fn router(service: Arc<Service>, options: HttpOptions) -> Router {
    routers(service, options).port
}

/// What one Admin API is made of.
pub struct Routers {
    /// Everything, for a port of its own.
    pub port: Router,
    /// The service API and the console beside it, with the same sessions, for another port whose hosts and pages somebody else judges. Who may connect
    /// at all is judged here; where no key is asked for, there is nothing.
    pub console: Router,
}

/// The Admin API for a port of its own, and what of it may stand on another.
pub fn routers(service: Arc<Service>, options: HttpOptions) -> Routers {
    let front = Arc::new(Front::of(&options));
    let HttpOptions {
        keys, key_required, compat, form, setup_code, sessions, oidc, beside, talk, pages, ..
    } = options;
    let given = key_required.then(|| keys.clone());
    let under = ApiOptions { keys: given, code: setup_code, sessions, oidc, talk, pages };
    let api = crate::api::router(Arc::clone(&service), under);
    let access = if key_required {
        Access::Keys { keys, compat, guesses: Guesses::default() }
    } else {
        Access::everybody()
    };
    let console = if key_required { api.clone().merge(beside.clone()) } else { Router::new() };
    let port = Router::new()
        .fallback(serve)
        .with_state(Arc::new(Api::new(service, access, form, false)))
        .layer(CatchPanicLayer::custom(answer::panicked))
        .merge(api)
        .merge(beside)
        .layer(middleware::from_fn_with_state(Arc::clone(&front), front::guard));
    Routers { port, console: console.layer(middleware::from_fn_with_state(front, front::admits)) }
}

/// The same paths for the chat port: everybody is this principal, and bodies have to say that they are JSON, which no foreign page can
/// without asking first. Host, origin and CORS are the business of whoever takes this router in.
pub fn admin_paths(service: Arc<Service>, principal: Principal, form: Form) -> Router {
    let api = Api::new(service, Access::As(principal), form, true);
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
    form: Form,
    json_only: bool,
    turns: Turns,
    standalone: Standalone,
}

async fn serve(State(api): State<Arc<Api>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let mut body = Incoming::new(&head.headers, body);
    let (Ok(mut answer) | Err(mut answer)) = api.answer(&head, &mut body).await;
    if body.is_endless() {
        // Nobody reads what comes behind this head.
        answer = answer.with(header::CONNECTION, "close");
    }
    // A client that is still sending would see a reset instead of the answer.
    body.drain().await;
    if let Some(since) = api.stale(&head.method) {
        answer = answer.with(HeaderName::from_static("x-usher-stale"), since);
    }
    tracing::debug!(method = %head.method, path = head.uri.path(), status = answer.status(), "answered");
    answer.into_response()
}

/// Either way it is an answer; `Err` is one that comes before its time.
type Outcome = Result<Answer, Answer>;

impl Api {
    fn new(service: Arc<Service>, access: Access, form: Form, json_only: bool) -> Self {
        Self { service, access, form, json_only, turns: Turns::default(), standalone: Standalone::default() }
    }

    async fn answer(&self, head: &Parts, body: &mut Incoming) -> Outcome {
        let place = Place::of(head.uri.path()).ok_or_else(|| self.page(StatusCode::BAD_REQUEST))?;
        let nothing_here = || self.page(StatusCode::NOT_FOUND);
        let is_document = matches!(place, Place::Configs | Place::ConfigsValidate);
        if self.form.standalone && !is_document {
            return Err(nothing_here());
        }
        if place == Place::Root && head.method == Method::HEAD {
            return Ok(Answer::empty(StatusCode::OK));
        }
        if matches!(place, Place::Root | Place::Outside) {
            return Err(nothing_here());
        }
        let verb = Verb::of(&head.method).ok_or_else(nothing_here)?;
        let args = Args::of(head.uri.query());
        let who = self.access.principal(&self.service, head, &args, verb).await?;
        let version = self.form.envelopes;
        match (place, verb) {
            (Place::Resource(target), _) => {
                target.admits(verb).map_err(|answer| answer.versioned(version))?;
                self.refuse_streams(&target).map_err(|answer| answer.versioned(version))?;
                let (given, ttl_secs) = self.given(head, body, &args, verb).await?;
                let call = Call { api: self, who, target, args, headers: &head.headers, ttl_secs };
                let (Ok(answer) | Err(answer)) = call.answer(verb, given).await;
                Ok(answer.versioned(version))
            }
            (Place::PluginList, Verb::Get) => plugins::list(self.service.registry(), &args),
            (Place::PluginReload, _) => plugins::reload(&self.service, verb).await,
            (Place::Plugin(name), Verb::Get) => {
                self.given(head, body, &args, verb).await?;
                let (Ok(answer) | Err(answer)) =
                    plugins::one(self.service.registry(), name.as_deref(), &args);
                Ok(answer.versioned(version))
            }
            (Place::Schema(name), Verb::Get) => {
                self.given(head, body, &args, verb).await?;
                let name = name.as_deref().unwrap_or_default();
                Ok(schemas::one(self.service.registry(), name).versioned(version))
            }
            (Place::Validate(collection), Verb::Post) => {
                schemas::validate(&collection, body.json(&head.headers, self.json_only).await?)
            }
            (Place::ConfigsValidate, Verb::Post) => {
                configs::validate(&self.service, &body.document(&head.headers, self.json_only).await?).await
            }
            (Place::Configs, Verb::Get | Verb::Put) if self.form.standalone => {
                self.document(&who, head, body, verb).await
            }
            (Place::Configs | Place::ConfigsValidate, _) if self.form.standalone => Err(nothing_here()),
            (Place::Configs, _) => Err(Answer::unsupported("configs")),
            (Place::Unsupported(name), _) => Err(Answer::unsupported(&name)),
            _ => Err(Answer::error(StatusCode::NOT_FOUND, "not found")),
        }
    }

    /// The body and the time to live, after both were looked at as for every resource.
    async fn given(
        &self,
        head: &Parts,
        body: &mut Incoming,
        args: &Args,
        verb: Verb,
    ) -> Result<(Option<Value>, Option<u64>), Answer> {
        let given = body.json(&head.headers, self.json_only).await?;
        Ok((given, args.ttl_secs(verb)?))
    }

    fn refuse_streams(&self, target: &Target) -> Result<(), Answer> {
        if target.kind == Kind::StreamRoute && !self.form.streams {
            return Err(Answer::bad("stream mode is disabled, can not add stream routes"));
        }
        Ok(())
    }

    /// Since when what is read may be old, because the store is away.
    fn stale(&self, method: &Method) -> Option<String> {
        if !matches!(*method, Method::GET | Method::HEAD) {
            return None;
        }
        let health = self.service.health();
        health.away.as_ref()?;
        let since = health.away_since_unix_ms.map(|ms| UNIX_EPOCH + Duration::from_millis(ms));
        Some(format!("since {}", since.map_or_else(|| "unknown".to_owned(), httpdate::fmt_http_date)))
    }

    fn page(&self, status: StatusCode) -> Answer {
        Answer::page(status, product(self.service.process().compat()))
    }
}

/// The name on error pages.
fn product(compat: Compat) -> &'static str {
    if compat.has(Behaviour::ApisixNames) { "openresty" } else { "usher" }
}

/// 404: what a resource would live below isn't there.
fn orphan(above: &Key) -> Answer {
    Answer::error(StatusCode::NOT_FOUND, format!("{} not found", above.kind))
}

/// One request for a resource, once it was admitted.
struct Call<'a> {
    api: &'a Api,
    who: Principal,
    target: Target,
    args: Args,
    headers: &'a HeaderMap,
    ttl_secs: Option<u64>,
}

impl Call<'_> {
    async fn answer(&self, verb: Verb, given: Option<Value>) -> Outcome {
        self.target.refuse_sub_path(verb)?;
        self.find_service().await?;
        match verb {
            Verb::Get => self.read().await,
            Verb::Put => self.put(given).await,
            Verb::Post => self.post(given).await,
            Verb::Patch => self.patch(given).await,
            Verb::Delete => self.delete().await,
        }
    }

    /// A cost decoration's service has to be there, whatever is asked.
    async fn find_service(&self) -> Result<(), Answer> {
        let Some(service) = self.target.above().filter(|above| above.kind == Kind::Service) else {
            return Ok(());
        };
        if service.id.is_empty() {
            return Err(Answer::bad("missing service id"));
        }
        let found = self.api.service.get(&self.who, &service).await?;
        found.map(drop).ok_or_else(|| orphan(&service))
    }
}
