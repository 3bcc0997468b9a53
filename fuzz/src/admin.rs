//! What must hold of any requests to the Admin API, whatever their bodies, PATCH paths, ids and filters: used by the fuzz target, and by a test
//! that replays its corpus on the stable compiler.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::Request;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use serde_json::Map;
use tower::ServiceExt as _;
use usher_admin::http::{HttpOptions, router};
use usher_admin::keys::{Keys, ephemeral_keyring};
use usher_admin::service::{Parts, Rules, Service};
use usher_model::compat::Compat;
use usher_model::live::{Live, NotInForce};
use usher_pipeline::env::{AnyTarget, Process};
use usher_pipeline::registry::Registry;
use usher_store::memory::Memory;

/// Requests of one input at most; they meet the same store.
const MOST_REQUESTS: usize = 6;
/// The longest answer that is read, in bytes.
const MOST_ANSWER_BYTES: usize = 16 << 20;

/// A proxy that serves by every change at once.
struct Still;

impl Live for Still {
    fn revision(&self) -> u64 {
        0
    }

    fn wait_in_force(&self, _: u64, _: Duration) -> BoxFuture<'_, Result<(), NotInForce>> {
        async { Ok(()) }.boxed()
    }
}

/// Requests, one behind the other: `METHOD /path?query` on a line, the body on those below, and a line `---` between two.
///
/// # Errors
/// What doesn't hold.
pub fn requests(data: &[u8]) -> Result<(), String> {
    let Ok(text) = std::str::from_utf8(data) else { return Ok(()) };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let parts = Parts {
            store: Arc::new(Memory::new()),
            live: Arc::new(Still),
            registry: Arc::new(Registry::new(usher_plugins::all())),
            process: Arc::new(Process::new(Map::new(), Compat::NONE, Box::new(AnyTarget))),
            keyring: Arc::new(ephemeral_keyring().map_err(|error| error.to_string())?),
            rules: Rules { probe_nodes: false, ..Rules::default() },
        };
        let service = Service::start(parts).await.map_err(|error| error.to_string())?;
        let keys = Keys::new(Vec::new(), Compat::NONE).map_err(|error| error.to_string())?;
        let options = HttpOptions {
            key_required: false,
            own_hosts: vec!["localhost".to_owned()],
            ..HttpOptions::new(keys)
        };
        let router = router(Arc::new(service), options);
        for request in text.split("\n---\n").take(MOST_REQUESTS) {
            one(&router, request).await?;
        }
        Ok(())
    })
}

async fn one(router: &axum::Router, text: &str) -> Result<(), String> {
    let (line, body) = text.split_once('\n').unwrap_or((text, ""));
    let (method, target) = line.split_once(' ').unwrap_or((line, "/"));
    let built = Request::builder()
        .method(method)
        .uri(target)
        .header("host", "localhost")
        .header("content-type", "application/json")
        .body(Body::from(body.to_owned()));
    // No server hands on what is no request.
    let Ok(request) = built else { return Ok(()) };
    let answer = router.clone().oneshot(request).await.map_err(|error| error.to_string())?;
    let status = answer.status();
    let read = to_bytes(answer.into_body(), MOST_ANSWER_BYTES).await.map_err(|error| error.to_string())?;
    if status.is_server_error() && status.as_u16() != 501 {
        return Err(format!("{line} answered {status}: {}", String::from_utf8_lossy(&read)));
    }
    if !status.is_success() && read.is_empty() && method != "HEAD" && status.as_u16() != 304 {
        return Err(format!("{line} answered {status} without a word"));
    }
    Ok(())
}
