//! The status API: whether this process lives, and whether it can take requests (Admin API contract, section 11).
//!
//! It answers from the first moment to the last: before the configuration is there, and while requests in flight are let end.

use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware;
use axum::response::{IntoResponse as _, Response};
use serde_json::json;
use usher_model::live::Live;

use crate::http::answer::Answer;
use crate::http::front::{Front, guard};

/// How far a server has come.
#[derive(Default)]
pub struct Readiness(Mutex<Phase>);

#[derive(Clone, Default)]
enum Phase {
    #[default]
    Starting,
    /// It serves; ready once this revision is in force.
    Serving {
        live: Arc<dyn Live>,
        revision: u64,
    },
    Stopping,
}

impl Readiness {
    /// The gateway runs, and `revision` is the newest of the store: ready as soon as every worker serves by it.
    pub fn serves(&self, live: Arc<dyn Live>, revision: u64) {
        self.enter(Phase::Serving { live, revision });
    }

    /// It was told to stop: not ready from now on, so that no new requests are sent here while those in flight end.
    pub fn stops(&self) {
        self.enter(Phase::Stopping);
    }

    fn enter(&self, phase: Phase) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = phase;
    }

    /// Whether requests can be sent here.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self) -> Result<(), &'static str> {
        let phase = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match phase {
            // Workers share one snapshot, so the first stands for all of them.
            Phase::Starting => Err("worker id: 0 has not received configuration"),
            Phase::Serving { live, revision } if live.revision() < revision => {
                Err("worker id: 0 has not received configuration")
            }
            Phase::Serving { .. } => Ok(()),
            Phase::Stopping => Err("the server is stopping"),
        }
    }
}

/// The status API for a port of its own. `own_hosts` and `server` are as for [`crate::control::router`].
pub fn router(readiness: Arc<Readiness>, own_hosts: Vec<String>, server: &str) -> Router {
    let front = Arc::new(Front::keyless("status API", own_hosts, server));
    Router::new().fallback(serve).with_state(readiness).layer(middleware::from_fn_with_state(front, guard))
}

async fn serve(State(readiness): State<Arc<Readiness>>, request: Request) -> Response {
    let read = matches!(*request.method(), Method::GET | Method::HEAD);
    let answer = match request.uri().path() {
        "/status" if read => fine(),
        "/status/ready" if read => match readiness.check() {
            Ok(()) => fine(),
            Err(why) => {
                Answer::json(StatusCode::SERVICE_UNAVAILABLE, &json!({ "status": "error", "error": why }))
            }
        },
        _ => Answer::error(StatusCode::NOT_FOUND, "not found"),
    };
    answer.into_response()
}

fn fine() -> Answer {
    Answer::json(StatusCode::OK, &json!({ "status": "ok" }))
}
