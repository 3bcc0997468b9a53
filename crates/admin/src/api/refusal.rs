//! Why a request is refused: a code for programs, a sentence, the field to blame, and the next step.
//!
//! The one place that makes answers of the service's errors on these paths.

use std::any::Any;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value, json};
use usher_model::help::page;
use usher_store::StoreError;

use super::answer::line;
use super::shapes::PlanShape;
use crate::service::ServiceError;

/// The answer to a request that was refused.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Error")]
pub(super) struct Failure {
    /// What went wrong.
    pub(super) error: Cause,
}

/// What went wrong.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Cause")]
pub(super) struct Cause {
    /// One word for programs, such as `invalid`, `stale`, `forbidden` or `store_away`.
    pub(super) code: &'static str,
    /// The sentence for people.
    pub(super) message: String,
    /// Where in the request, as a JSON pointer or a parameter's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) field: Option<String>,
    /// What is wrong at that field, where the sentence speaks of the whole: of the forms that a schema offers, the one that fits best is meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) hint: Option<String>,
    /// What to do next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next: Option<String>,
    /// The page of the manual that says more, by its place in the project, such as `docs/changes.md#agree`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) help: Option<&'static str>,
}

/// A request that is refused. Boxed, because most answers are none.
#[derive(Debug)]
pub(super) struct Refusal(Box<Parts>);

#[derive(Debug)]
struct Parts {
    status: StatusCode,
    cause: Cause,
    /// What stands beside the error, such as the fresh plan of a stale one.
    beside: Map<String, Value>,
    retry_after_secs: Option<u64>,
    /// The methods that the path has, where it lacks the one that was used (RFC 9110, 15.5.6).
    allowed: Option<String>,
}

impl Refusal {
    /// A refusal with its code and its sentence.
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        let cause = Cause { code, message: message.into(), field: None, hint: None, next: None, help: None };
        Self(Box::new(Parts { status, cause, beside: Map::new(), retry_after_secs: None, allowed: None }))
    }

    /// 422: what was asked for breaks a rule.
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", message)
    }

    /// 404.
    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    /// 404: there is no such object.
    pub(super) fn no_object(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "no_object", message)
    }

    /// 403.
    pub(super) fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", message)
    }

    /// The same with the field to blame, unless a narrower one is named already.
    pub(super) fn at(mut self, field: impl Into<String>) -> Self {
        let field = Some(field.into()).filter(|field| !field.is_empty());
        self.0.cause.field = self.0.cause.field.or(field);
        self
    }

    /// The same inside of this place: what it blames is below it.
    pub(super) fn inside(mut self, place: &str) -> Self {
        let below = self.0.cause.field.take().unwrap_or_default();
        let slash = if below.is_empty() || below.starts_with('/') { "" } else { "/" };
        self.0.cause.field = Some(format!("{place}{slash}{below}"));
        self
    }

    /// The same with the next step.
    pub(super) fn next(mut self, next: impl Into<String>) -> Self {
        self.0.cause.next = Some(next.into());
        self
    }

    /// The same with what is wrong at the field, where the sentence doesn't say that.
    fn hinted(mut self, hint: Option<String>) -> Self {
        self.0.cause.hint = hint;
        self
    }

    /// The same with how long to wait, in seconds.
    pub(super) fn retry_after(mut self, secs: u64) -> Self {
        self.0.retry_after_secs = Some(secs);
        self
    }

    /// The same with the methods that the path has.
    pub(super) fn allowing(mut self, methods: String) -> Self {
        self.0.allowed = Some(methods);
        self
    }

    /// The same with something beside the error.
    pub(super) fn beside(mut self, name: &str, value: Value) -> Self {
        self.0.beside.insert(name.to_owned(), value);
        self
    }

    /// The same as a failed precondition, where it was a conflict.
    pub(super) fn preconditioned(mut self) -> Self {
        if self.0.status == StatusCode::CONFLICT && self.0.cause.code == "conflict" {
            self.0.status = StatusCode::PRECONDITION_FAILED;
            self.0.cause.code = "precondition_failed";
        }
        self
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Parts { status, mut cause, beside, retry_after_secs, allowed } = *self.0;
        cause.help = page(cause.code);
        let mut body = Map::new();
        body.insert("error".to_owned(), json!(cause));
        body.extend(beside);
        let mut response = Response::new(Body::from(line(&body).unwrap_or_default()));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"usher\""));
        }
        if let Some(allowed) = allowed.and_then(|methods| HeaderValue::from_str(&methods).ok()) {
            headers.insert(header::ALLOW, allowed);
        }
        if let Some(secs) = retry_after_secs {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(secs));
        }
        response
    }
}

impl From<ServiceError> for Refusal {
    fn from(error: ServiceError) -> Self {
        let sentence = error.to_string();
        match error {
            ServiceError::Invalid { key, pointer, near, .. } => {
                let (field, hint) = match near {
                    Some(near) if sentence.ends_with(&near.sentence) => (near.pointer, None),
                    Some(near) => (near.pointer, Some(near.sentence)),
                    None => (pointer, None),
                };
                let refusal = Self::invalid(sentence).at(field).hinted(hint);
                match key {
                    Some(key) => refusal
                        .beside("object", json!({ "kind": key.kind.schema_name(), "id": key.id }))
                        .next(format!("mend {key} and plan again; nothing was changed")),
                    None => refusal.next("mend it and plan again; nothing was changed"),
                }
            }
            ServiceError::NotFound(_) => Self::no_object(sentence).next("list the kind to see which ids there are"),
            ServiceError::Forbidden(_) => {
                Self::forbidden(sentence).next("ask somebody whose key or token has this right")
            }
            ServiceError::NeedsPerson { plan, place, .. } => {
                let there = place.map(|place| format!("; or a person agrees at {place}")).unwrap_or_default();
                Self::new(StatusCode::FORBIDDEN, "needs_person", sentence)
                    .beside("plan_id", json!(plan))
                    .next(format!("show the plan to a person, and apply it with {{\"approval\": {{\"person\": \"who agreed, and how\"}}}}{there}"))
            }
            ServiceError::UnknownPlan(_) => Self::new(StatusCode::NOT_FOUND, "unknown_plan", sentence)
                .next("plan again: POST /usher/v1/plans"),
            ServiceError::Stale { fresh, .. } => {
                let refusal = Self::new(StatusCode::CONFLICT, "stale", sentence);
                match fresh {
                    Some(fresh) => refusal
                        .beside("plan", json!(PlanShape::of(&fresh, None)))
                        .next(format!("look at the new plan {} and apply that one", fresh.id)),
                    None => refusal.next("plan again: POST /usher/v1/plans"),
                }
            }
            ServiceError::Conflict(_) | ServiceError::Store(StoreError::Conflict { .. }) => {
                Self::new(StatusCode::CONFLICT, "conflict", sentence)
                    .next("read what is there now, and repeat the change")
            }
            ServiceError::StillUsed(_) => Self::new(StatusCode::CONFLICT, "still_used", sentence)
                .next("change or delete what uses it in the same plan, or plan with \"force\": true"),
            ServiceError::NothingToChange(_) => Self::new(StatusCode::CONFLICT, "nothing_to_change", sentence)
                .next("nothing has to be done"),
            ServiceError::NothingToUndo(_) => Self::new(StatusCode::CONFLICT, "nothing_to_undo", sentence)
                .next("GET /usher/v1/history shows what can be undone"),
            ServiceError::NotInForce(_) => Self::new(StatusCode::SERVICE_UNAVAILABLE, "not_in_force", sentence)
                .next("GET /usher/v1/status shows the revision in force; don't send the change again"),
            ServiceError::NoSuch(_) => Self::not_found(sentence).next("list them to see which there are"),
            ServiceError::NeedsSteps(_) => Self::new(StatusCode::PAYLOAD_TOO_LARGE, "needs_steps", sentence)
                .next("apply it with {\"in_steps\": true}: each step is journaled, and the whole can be taken back"),
            ServiceError::Partial { done, total, .. } => {
                tracing::error!(done, total, "a change was applied in part");
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "partial", sentence)
                    .beside("done", json!(done))
                    .beside("total", json!(total))
                    .next("undo takes back what was written; GET /usher/v1/status lists the plan where the rest of it can still be applied")
            }
            ServiceError::Store(error) => of_store(&error),
            other => {
                tracing::error!(error = %other, "a request to the service API could not be served");
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", sentence)
                    .next("look at the log of Usher; `usher doctor` checks what lies around it")
            }
        }
    }
}

fn of_store(error: &StoreError) -> Refusal {
    let (status, code, next) = match error {
        StoreError::Full => (
            StatusCode::INSUFFICIENT_STORAGE,
            "disk_full",
            "free some space and try again; reads and traffic go on",
        ),
        StoreError::Busy => (StatusCode::SERVICE_UNAVAILABLE, "store_busy", "try again in a moment"),
        StoreError::TooLarge { .. } | StoreError::TooManyWrites { .. } => (
            StatusCode::PAYLOAD_TOO_LARGE,
            "too_large",
            "split the change, or apply it with \"in_steps\": true",
        ),
        StoreError::ReadOnly(_) => (
            StatusCode::FORBIDDEN,
            "read_only",
            "change it where the sentence says; reading, explain and export go on here",
        ),
        StoreError::Refused(_) => {
            (StatusCode::UNPROCESSABLE_ENTITY, "store_refused", "mend what the store names, and plan again")
        }
        StoreError::Unknown(_) => (
            StatusCode::SERVICE_UNAVAILABLE,
            "unknown_outcome",
            "GET /usher/v1/history shows whether it was written; don't send it again before",
        ),
        _ => (
            StatusCode::SERVICE_UNAVAILABLE,
            "store_away",
            "GET /usher/v1/status shows the store's health; try again once it is back",
        ),
    };
    tracing::warn!(%error, code, "the store refused a request to the service API");
    let refusal = Refusal::new(status, code, error.to_string()).next(next);
    if ["store_busy", "store_away"].contains(&code) { refusal.retry_after(1) } else { refusal }
}

/// What a client hears of a panic: nothing of what it was about.
pub(super) fn panicked(_: Box<dyn Any + Send>) -> Response {
    tracing::error!("a request to the service API made a handler panic; this is a bug");
    Refusal::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "internal",
        "this request met a bug in Usher; other requests are answered as before",
    )
    .next("the log says where; please report it")
    .into_response()
}
