//! The one place that makes answers of the service's errors.

use axum::http::StatusCode;
use usher_store::StoreError;

use super::answer::Answer;
use crate::service::ServiceError;

/// 503 with what clients match on when a write came too late.
pub(super) fn overtaken() -> Answer {
    Answer::error(StatusCode::SERVICE_UNAVAILABLE, "value changed before overwritten")
        .retry_after(RETRY_AFTER_SECS)
}

/// When a caller may try again, in seconds.
pub(super) const RETRY_AFTER_SECS: u64 = 1;

/// Whether somebody else was first, so that trying again with what is there now may help.
pub(super) const fn is_conflict(error: &ServiceError) -> bool {
    matches!(
        error,
        ServiceError::Conflict(_)
            | ServiceError::Stale { .. }
            | ServiceError::Store(StoreError::Conflict { .. })
    )
}

impl From<ServiceError> for Answer {
    fn from(error: ServiceError) -> Self {
        if is_conflict(&error) {
            return overtaken();
        }
        let status = match &error {
            ServiceError::NotFound(_) => return Self::key_not_found(),
            ServiceError::NeedsPerson { reasons, .. } => {
                return Self::error(
                    StatusCode::FORBIDDEN,
                    format!(
                        "a person has to agree to this change ({}); make it in a chat that asks you, or on the Admin API with an admin key",
                        reasons.join("; ")
                    ),
                );
            }
            ServiceError::Store(StoreError::Unknown(reason)) => {
                tracing::error!(%reason, "it is not known whether a change was written");
                // No invitation to try again: that might be a second write.
                return Self::error(
                    StatusCode::SERVICE_UNAVAILABLE,
                    format!(
                        "it is not known whether this was written ({reason}): GET it, or look at `usher history`, before you repeat it"
                    ),
                );
            }
            ServiceError::Invalid { .. }
            | ServiceError::StillUsed(_)
            | ServiceError::Store(StoreError::Refused(_)) => StatusCode::BAD_REQUEST,
            ServiceError::Forbidden(_) | ServiceError::Store(StoreError::ReadOnly(_)) => {
                StatusCode::FORBIDDEN
            }
            ServiceError::NeedsSteps(_)
            | ServiceError::Store(StoreError::TooLarge { .. } | StoreError::TooManyWrites { .. }) => {
                StatusCode::PAYLOAD_TOO_LARGE
            }
            ServiceError::Partial { .. } => StatusCode::INTERNAL_SERVER_ERROR,
            ServiceError::UnknownPlan(_) | ServiceError::NoSuch(_) => StatusCode::NOT_FOUND,
            ServiceError::NothingToUndo(_) | ServiceError::NothingToChange(_) => StatusCode::CONFLICT,
            ServiceError::Store(StoreError::Full) => StatusCode::INSUFFICIENT_STORAGE,
            ServiceError::Store(_)
            | ServiceError::NotInForce(_)
            | ServiceError::Conflict(_)
            | ServiceError::Stale { .. } => StatusCode::SERVICE_UNAVAILABLE,
            ServiceError::Damaged(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        if status.is_server_error() {
            tracing::error!(status = status.as_u16(), %error, "a request to the Admin API could not be served");
        }
        let answer = Self::error(status, error.to_string());
        if status == StatusCode::SERVICE_UNAVAILABLE { answer.retry_after(RETRY_AFTER_SECS) } else { answer }
    }
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse as _;
    use usher_model::kind::{Key, Kind};
    use usher_model::live::NotInForce;
    use usher_store::StoreError;

    use super::Answer;
    use crate::service::ServiceError;

    #[test]
    fn every_cause_has_its_status() {
        let text = || "why".to_owned();
        let conflict = StoreError::Conflict { key: text(), expected: text(), found: text() };
        for (error, status) in [
            (ServiceError::Invalid { sentence: text(), key: None, pointer: text(), near: None }, 400),
            (ServiceError::NotFound(Key::new(Kind::Route, "1")), 404),
            (ServiceError::Forbidden(text()), 403),
            (ServiceError::NeedsPerson { plan: text(), reasons: vec![text()], place: None }, 403),
            (ServiceError::UnknownPlan(text()), 404),
            (ServiceError::Stale { sentence: text(), fresh: None }, 503),
            (ServiceError::Conflict(text()), 503),
            (ServiceError::StillUsed(text()), 400),
            (ServiceError::NothingToUndo(text()), 409),
            (ServiceError::Damaged(text()), 500),
            (ServiceError::Store(conflict), 503),
            (ServiceError::Store(StoreError::Full), 507),
            (ServiceError::Store(StoreError::Refused(text())), 400),
            (ServiceError::Store(StoreError::Unknown(text())), 503),
            (ServiceError::Store(StoreError::ReadOnly(text())), 403),
            (ServiceError::Store(StoreError::TooManyWrites { writes: 2, limit: 1 }), 413),
            (ServiceError::NeedsSteps(text()), 413),
            (ServiceError::NoSuch(text()), 404),
            (ServiceError::Partial { sentence: text(), done: 1, total: 2 }, 500),
            (ServiceError::Store(StoreError::Busy), 503),
            (ServiceError::Store(StoreError::Unavailable(text())), 503),
            (ServiceError::Store(StoreError::TooLarge { bytes: 2, limit: 1 }), 413),
            (ServiceError::NotInForce(NotInForce { wanted: 2, served: 1 }), 503),
        ] {
            let told = error.to_string();
            assert_eq!(Answer::from(error).status(), status, "{told}");
        }
    }

    #[tokio::test]
    async fn an_outcome_that_is_not_known_is_said_with_how_to_find_out() {
        let error = ServiceError::Store(StoreError::Unknown("the answer was lost".to_owned()));
        let answer = Answer::from(error).into_response();
        assert!(answer.headers().get("retry-after").is_none(), "nobody is invited to a second write");
        let body = axum::body::to_bytes(answer.into_body(), 4096).await.unwrap();
        let told = String::from_utf8(body.to_vec()).unwrap();
        for part in ["it is not known whether this was written", "the answer was lost", "usher history"] {
            assert!(told.contains(part), "{told}");
        }
    }
}
