//! An endpoint: where it is, who may come in, what it takes and what it gives.
//!
//! Who may come in is part of what an endpoint is made of, so that none can be written that forgets to ask; one that is open to everybody has
//! to say why. The shapes come from the handler's own types, so that the document can't promise another one.

use std::any::TypeId;
use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;

use axum::http::{HeaderMap, Method, StatusCode};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde::de::DeserializeOwned;
use usher_model::change::Principal;

use super::Pages;
use super::answer::{Answer, Bare, Told};
use super::body;
use super::entrance::{Doorkeeper, Right};
use super::refusal::Refusal;
use crate::service::Service;
use crate::talk::Talk;

/// The largest body of a request, in bytes, where it isn't a document.
pub(super) const USUAL_BYTES: usize = 1_572_864;
/// The largest body of a request of nobody yet, in bytes.
const OPEN_BYTES: usize = 4096;
/// The largest document, in bytes.
pub(super) const DOCUMENT_BYTES: usize = 64 << 20;

/// Writes the schema of a type.
pub(super) type Shape = fn(&mut SchemaGenerator) -> Schema;

/// One method of one path.
pub(super) struct Endpoint {
    /// The method.
    pub(super) method: Method,
    /// The path below the base, with `{name}` for parameters. The `id` of an object may hold slashes.
    pub(super) path: &'static str,
    /// What the OpenAPI document calls it; also what logs and clients made of the document know it by.
    pub(super) id: &'static str,
    /// One line that says what it does.
    pub(super) summary: &'static str,
    /// Who may come in, and what answers.
    pub(super) entrance: Entrance,
    /// The query's shape.
    pub(super) query: Option<Shape>,
    /// The body's shape.
    pub(super) body: Option<Shape>,
    /// The answer's shape; text where there is none.
    pub(super) answer: Option<Shape>,
    /// The largest body, in bytes.
    pub(super) most_bytes: usize,
    /// The status of an answer that went well.
    pub(super) status: StatusCode,
    /// Whether `If-Match` is looked at.
    pub(super) conditional: bool,
}

/// Who may come in.
pub(super) enum Entrance {
    /// Everybody.
    Public {
        /// Why that does no harm.
        because: &'static str,
        /// Answers from nothing but the table.
        answer: fn(&[Endpoint]) -> Told,
    },
    /// Everybody, because it is where one shows who one is.
    Open {
        /// Why that does no harm.
        because: &'static str,
        /// Answers.
        answer: OpenHandler,
    },
    /// A principal with this right.
    Needs {
        /// The right.
        right: Right,
        /// Answers.
        answer: Handler,
    },
}

/// A handler without its types.
type Handler = Box<dyn Fn(Call) -> BoxFuture<'static, Result<Told, Refusal>> + Send + Sync>;

/// A handler of an open endpoint without its types.
type OpenHandler = Box<dyn Fn(Visit) -> BoxFuture<'static, Result<Told, Refusal>> + Send + Sync>;

/// A request of nobody yet.
pub(super) struct Visit {
    /// What acts.
    pub(super) service: Arc<Service>,
    /// Who lets in.
    pub(super) doorkeeper: Arc<Doorkeeper>,
    /// The headers.
    pub(super) headers: HeaderMap,
    /// The host that it is for; `None` where it names none, or several.
    pub(super) host: Option<String>,
    /// Where it came from, by its socket.
    pub(super) peer: Option<IpAddr>,
    /// The body as it came; empty where there is none.
    pub(super) given: Vec<u8>,
}

/// A request that was let in.
pub(super) struct Call {
    /// What acts.
    pub(super) service: Arc<Service>,
    /// The built-in chat, where there is one.
    pub(super) talk: Option<Arc<dyn Talk>>,
    /// The manual's pages on plugins.
    pub(super) pages: Pages,
    /// Who asks.
    pub(super) who: Principal,
    /// The values of the path's parameters.
    pub(super) parameters: Vec<(&'static str, String)>,
    /// The query as it came.
    pub(super) query: String,
    /// The headers.
    pub(super) headers: HeaderMap,
    /// The body as it came; empty where there is none.
    pub(super) given: Vec<u8>,
}

impl Call {
    /// A parameter of the path; empty where the path has none of this name.
    pub(super) fn parameter(&self, name: &str) -> &str {
        self.parameters.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value)
    }
}

/// What a handler takes that takes nothing.
#[derive(Default, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

impl Endpoint {
    /// An endpoint that answers everybody.
    pub(super) fn public(
        path: &'static str,
        id: &'static str,
        because: &'static str,
        summary: &'static str,
        answer: fn(&[Self]) -> Told,
    ) -> Self {
        Self {
            method: Method::GET,
            path,
            id,
            summary,
            entrance: Entrance::Public { because, answer },
            query: None,
            body: None,
            answer: None,
            most_bytes: 0,
            status: StatusCode::OK,
            conditional: false,
        }
    }

    /// An endpoint where one shows who one is. `B` is its body, `A` its answer.
    pub(super) fn open<B, A, F, Fut>(
        method: Method,
        path: &'static str,
        id: &'static str,
        because: &'static str,
        summary: &'static str,
        handler: F,
    ) -> Self
    where
        B: DeserializeOwned + JsonSchema + Send + 'static,
        A: Serialize + JsonSchema + 'static,
        F: Fn(Visit, B) -> Fut + Copy + Send + Sync + 'static,
        Fut: Future<Output = Result<Answer<A>, Refusal>> + Send + 'static,
    {
        let takes_body = matches!(method, Method::POST | Method::PUT);
        let answer: OpenHandler = Box::new(move |mut visit: Visit| {
            let given = std::mem::take(&mut visit.given);
            let read = body::parse::<B>(&given, takes_body);
            async move { Ok(Told::of(handler(visit, read?).await?)) }.boxed()
        });
        Self {
            method,
            path,
            id,
            summary,
            entrance: Entrance::Open { because, answer },
            query: None,
            body: shape::<B>().filter(|_| takes_body),
            answer: shape::<A>(),
            most_bytes: OPEN_BYTES,
            status: StatusCode::OK,
            conditional: false,
        }
    }

    /// An endpoint for those with a right. `Q` is its query, `B` its body, `A` its answer.
    pub(super) fn new<Q, B, A, F, Fut>(
        method: Method,
        path: &'static str,
        id: &'static str,
        right: Right,
        summary: &'static str,
        handler: F,
    ) -> Self
    where
        Q: DeserializeOwned + JsonSchema + Send + 'static,
        B: DeserializeOwned + JsonSchema + Send + 'static,
        A: Serialize + JsonSchema + 'static,
        F: Fn(Call, Q, B) -> Fut + Copy + Send + Sync + 'static,
        Fut: Future<Output = Result<Answer<A>, Refusal>> + Send + 'static,
    {
        let takes_body = matches!(method, Method::POST | Method::PUT);
        let answer: Handler = Box::new(move |mut call: Call| {
            let read = move || {
                let query = body::query::<Q>(&call.query)?;
                let given = std::mem::take(&mut call.given);
                let body = body::parse::<B>(&given, takes_body)?;
                Ok((call, query, body))
            };
            let read: Result<(Call, Q, B), Refusal> = read();
            async move {
                let (call, query, body) = read?;
                Ok(Told::of(handler(call, query, body).await?))
            }
            .boxed()
        });
        Self {
            method,
            path,
            id,
            summary,
            entrance: Entrance::Needs { right, answer },
            query: (!is_bare::<Q>()).then_some(Q::json_schema as Shape),
            body: shape::<B>().filter(|_| takes_body),
            answer: shape::<A>(),
            most_bytes: USUAL_BYTES,
            status: StatusCode::OK,
            conditional: false,
        }
    }

    /// The same that answers with 201, because something is made.
    pub(super) fn creating(self) -> Self {
        Self { status: StatusCode::CREATED, ..self }
    }

    /// The same that looks at `If-Match`.
    pub(super) fn conditional(self) -> Self {
        Self { conditional: true, ..self }
    }

    /// The same for bodies as large as documents are.
    pub(super) fn with_documents(self) -> Self {
        Self { most_bytes: DOCUMENT_BYTES, ..self }
    }
}

/// The shape of a type; `None` for [`Nothing`] and for bare text.
fn shape<T: JsonSchema + 'static>() -> Option<Shape> {
    (!is_bare::<T>()).then_some(SchemaGenerator::subschema_for::<T> as Shape)
}

fn is_bare<T: 'static>() -> bool {
    [TypeId::of::<Nothing>(), TypeId::of::<Bare>()].contains(&TypeId::of::<T>())
}
