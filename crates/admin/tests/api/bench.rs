//! The bench: a service on a store in memory behind the real router, and what a client sees of it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request};
use serde_json::{Map, Value, json};
use tower::ServiceExt as _;
use usher_admin::http::{HttpOptions, router};
use usher_admin::keys::{ConfiguredKey, Keys, ephemeral_keyring};
use usher_admin::service::{Parts, Rules, Service};
use usher_model::change::Role;
use usher_model::compat::Compat;
use usher_model::secret::Secret;
use usher_pipeline::env::{AnyTarget, Process};
use usher_pipeline::registry::Registry;
use usher_store::memory::Memory;

use crate::fakes::{FakeLive, Moods, Moody, PLUGINS};

/// The admin's key and the viewer's.
pub(crate) const ADMIN: &str = "the-key-of-the-admin";
pub(crate) const VIEWER: &str = "the-key-of-a-viewer";

/// The code for the first user.
pub(crate) const CODE: &str = "K7QM-2XRT-PAHB-9WED";

/// Where the Admin port says it listens.
const HOST: &str = "127.0.0.1:9180";

/// A service and the router on top of it.
pub(crate) struct Bench {
    pub(crate) moods: Arc<Moods>,
    /// The store itself, for what comes from elsewhere.
    pub(crate) store: Arc<Moody>,
    router: Router,
}

/// An answer as a client sees it.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Bench {
    /// With keys.
    pub(crate) async fn new() -> Self {
        Self::with(true).await
    }

    pub(crate) async fn with(key_required: bool) -> Self {
        let moods = Arc::new(Moods::default());
        let store = Arc::new(Moody { memory: Memory::new(), moods: Arc::clone(&moods) });
        let parts = Parts {
            store: Arc::clone(&store) as Arc<dyn usher_store::Store>,
            live: Arc::new(FakeLive(Arc::clone(&moods))),
            registry: Arc::new(Registry::new(PLUGINS)),
            process: Arc::new(Process::new(Map::new(), Compat::NONE, Box::new(AnyTarget))),
            keyring: Arc::new(ephemeral_keyring().unwrap()),
            rules: Rules { probe_nodes: false, ..Rules::default() },
        };
        let service = Arc::new(Service::start(parts).await.unwrap());
        let key = |name: &str, key: &str, role| ConfiguredKey {
            name: name.to_owned(),
            key: Secret::new(key.to_owned()),
            role,
        };
        let keys = vec![key("ops", ADMIN, Role::Admin), key("dashboards", VIEWER, Role::Viewer)];
        let options = HttpOptions {
            key_required,
            own_hosts: vec![HOST.to_owned()],
            setup_code: Some(Secret::new(CODE.to_owned())),
            ..HttpOptions::new(Keys::new(keys, Compat::NONE).unwrap())
        };
        Self { router: router(service, options), moods, store }
    }

    /// What the store does from now on.
    pub(crate) fn mood(&self, mood: u8) {
        self.moods.store.store(mood, Ordering::SeqCst);
    }

    /// A request with the admin's key.
    pub(crate) async fn call(&self, method: &str, path: &str, body: Value) -> Seen {
        self.send(method, path, &[("x-api-key", ADMIN)], body).await
    }

    pub(crate) async fn get(&self, path: &str) -> Seen {
        self.call("GET", path, Value::Null).await
    }

    /// The same with these headers, and no key unless they hold one; `null` sends no body.
    pub(crate) async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Value) -> Seen {
        let bytes = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        self.send_bytes(method, path, headers, bytes).await
    }

    pub(crate) async fn send_bytes(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Seen {
        let whole = if path.starts_with("/apisix") { path.to_owned() } else { format!("/usher/v1{path}") };
        let mut request = Request::builder().method(method).uri(whole).header("host", HOST);
        if !body.is_empty() && !headers.iter().any(|(name, _)| *name == "content-type") {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.router.clone().oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
        let (head, body) = response.into_parts();
        let body = axum::body::to_bytes(body, 64 << 20).await.unwrap();
        Seen {
            status: head.status.as_u16(),
            headers: head.headers,
            text: String::from_utf8(body.to_vec()).unwrap(),
        }
    }

    /// Plans single changes; has to go well.
    pub(crate) async fn plan(&self, changes: Value) -> Value {
        let seen = self.call("POST", "/plans", json!({ "changes": changes })).await;
        assert_eq!(seen.status, 201, "{}", seen.text);
        seen.json()
    }

    /// Plans and applies single changes; the revision.
    pub(crate) async fn apply(&self, changes: Value) -> u64 {
        let plan = self.plan(changes).await;
        let path = format!("/plans/{}/apply", plan["id"].as_str().unwrap());
        let seen = self.call("POST", &path, json!({ "approval": { "person": "a test" } })).await;
        assert_eq!(seen.status, 200, "{}", seen.text);
        seen.json()["revision"].as_u64().unwrap()
    }

    /// Puts one object.
    pub(crate) async fn put(&self, kind: &str, id: &str, value: Value) -> u64 {
        self.apply(json!([{ "op": "put", "kind": kind, "id": id, "value": value }])).await
    }

    /// A token with this role and scope.
    pub(crate) async fn token(&self, role: &str, scope: Value) -> String {
        let seen = self.call("POST", "/tokens", json!({ "name": role, "role": role, "scope": scope })).await;
        assert_eq!(seen.status, 201, "{}", seen.text);
        seen.json()["token"].as_str().unwrap().to_owned()
    }
}

impl Seen {
    /// The body, which has to be JSON.
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.headers["content-type"], "application/json");
        serde_json::from_str(&self.text).unwrap()
    }

    /// Status, code and whether there is a next step.
    pub(crate) fn refusal(&self) -> (u16, String) {
        let error = &self.json()["error"];
        assert!(error["message"].is_string() && error["next"].is_string(), "{}", self.text);
        (self.status, error["code"].as_str().unwrap().to_owned())
    }

    /// The member `field` of a refusal.
    pub(crate) fn field(&self) -> String {
        self.json()["error"]["field"].as_str().unwrap_or_default().to_owned()
    }

    /// The cookie that was set, as a browser sends it back.
    pub(crate) fn cookie(&self) -> String {
        let set = self.headers["set-cookie"].to_str().unwrap();
        set.split(';').next().unwrap().to_owned()
    }

    pub(crate) fn next(&self) -> String {
        self.json()["error"]["next"].as_str().unwrap_or_default().to_owned()
    }
}

/// A route of a certain number of nodes.
pub(crate) fn route(uri: &str) -> Value {
    json!({ "uri": uri, "upstream": { "nodes": { "127.0.0.1:80": 1 } } })
}

impl Bench {
    /// A look at the status from an address.
    pub(crate) async fn from(&self, peer: std::net::SocketAddr, key: &str) -> Seen {
        let mut request =
            Request::builder().uri("/usher/v1/status").header("host", HOST).header("x-api-key", key);
        request = request.extension(axum::extract::ConnectInfo(peer));
        let response = self.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        Seen { status: response.status().as_u16(), headers: response.headers().clone(), text: String::new() }
    }
}

impl Bench {
    /// A login from an address.
    pub(crate) async fn log_in_from(&self, peer: std::net::SocketAddr, body: &Value) -> Seen {
        let mut request = Request::builder().method("POST").uri("/usher/v1/session").header("host", HOST);
        request = request.header("content-type", "application/json").header("x-usher-console", "1");
        request = request.extension(axum::extract::ConnectInfo(peer));
        let request = request.body(Body::from(body.to_string())).unwrap();
        let (head, body) = self.router.clone().oneshot(request).await.unwrap().into_parts();
        let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        let text = String::from_utf8(body.to_vec()).unwrap();
        Seen { status: head.status.as_u16(), headers: head.headers, text }
    }
}
