//! The bench: a service on a store in memory, behind the real router, and what a client sees of it.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, Request};
use serde_json::{Map, Value};
use tower::ServiceExt as _;
use usher_admin::http::{Form, HttpOptions, admin_paths, router};
use usher_admin::keys::{ConfiguredKey, Keys, ephemeral_keyring};
use usher_admin::service::{Parts, Rules, Service};
use usher_model::change::{Door, Principal, Role};
use usher_model::compat::Compat;
use usher_model::secret::Secret;
use usher_pipeline::env::Process;
use usher_pipeline::registry::Registry;

use crate::fakes::{FakeLive, Keyed, Moods, Moody};

/// The admin's key and the viewer's.
pub(crate) const ADMIN: &str = "the-key-of-the-admin";
pub(crate) const VIEWER: &str = "the-key-of-a-viewer";

/// Stands among the headers of a request for the address that it comes from; it is not sent.
pub(crate) const PEER: &str = "the-peer";

/// Where the Admin API says it listens.
pub(crate) const HOST: &str = "127.0.0.1:9180";

/// A service and the routers on top of it.
pub(crate) struct Bench {
    pub(crate) service: Arc<Service>,
    pub(crate) moods: Arc<Moods>,
    pub(crate) admin: Router,
    pub(crate) chat: Router,
}

impl Bench {
    /// With keys, and none of APISIX's behaviours.
    pub(crate) async fn new() -> Self {
        Self::with(true, Compat::NONE).await
    }

    pub(crate) async fn with(key_required: bool, compat: Compat) -> Self {
        Self::made(key_required, compat, Rules::default()).await
    }

    /// With answers in this form.
    pub(crate) async fn formed(form: Form) -> Self {
        Self::tuned(|options| options.form = form).await
    }

    /// With options of the listener changed.
    pub(crate) async fn tuned(tune: impl FnOnce(&mut HttpOptions)) -> Self {
        Self::whole(true, Compat::NONE, Rules::default(), tune).await
    }

    /// Where a person has to agree to everything that comes through a chat.
    pub(crate) async fn careful() -> Self {
        Self::made(true, Compat::NONE, Rules { consent_all: true, ..Rules::default() }).await
    }

    async fn made(key_required: bool, compat: Compat, rules: Rules) -> Self {
        Self::whole(key_required, compat, rules, |_| {}).await
    }

    async fn whole(
        key_required: bool,
        compat: Compat,
        rules: Rules,
        tune: impl FnOnce(&mut HttpOptions),
    ) -> Self {
        let key = |name: &str, key: &str, role| ConfiguredKey {
            name: name.to_owned(),
            key: Secret::new(key.to_owned()),
            role,
        };
        let keys = vec![key("ops", ADMIN, Role::Admin), key("dashboards", VIEWER, Role::Viewer)];
        let mut options = HttpOptions {
            key_required,
            compat,
            server: "Usher/test".to_owned(),
            own_hosts: vec![HOST.to_owned(), "localhost:9180".to_owned()],
            ..HttpOptions::new(Keys::new(keys, compat).unwrap())
        };
        tune(&mut options);
        let rules = Rules { stream_mode: options.form.streams, ..rules };
        let moods = Arc::new(Moods::default());
        let store = Moody::new(Arc::clone(&moods));
        let parts = Parts {
            store: Arc::new(store),
            live: Arc::new(FakeLive(Arc::clone(&moods))),
            registry: Arc::new(Registry::new(crate::plugins::ALL)),
            process: Arc::new(Process::new(Map::new(), compat, Box::new(Keyed))),
            keyring: Arc::new(ephemeral_keyring().unwrap()),
            rules,
        };
        let service = Arc::new(Service::start(parts).await.unwrap());
        let form = Form { streams: options.form.streams, ..Form::default() };
        let local = Principal::new("local-plugin", Role::Chat, Door::Plugin);
        Self {
            admin: router(Arc::clone(&service), options),
            chat: admin_paths(Arc::clone(&service), local, form),
            service,
            moods,
        }
    }

    /// A request with the admin's key; `body` is sent as it is.
    pub(crate) async fn call(&self, method: &str, path: &str, body: impl Into<Text>) -> Seen {
        self.send(method, path, &[("x-api-key", ADMIN)], body).await
    }

    /// A request with these headers and no key unless they hold one.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Text>,
    ) -> Seen {
        send(&self.admin, method, path, headers, body).await
    }

    /// A write that has to succeed.
    pub(crate) async fn put(&self, path: &str, body: Value) -> Seen {
        let seen = self.call("PUT", path, body).await;
        assert!(matches!(seen.status, 200 | 201), "PUT {path} answered {} {}", seen.status, seen.text());
        seen
    }

    /// Sends each row and compares status and body; times are checked and taken out of values.
    pub(crate) async fn check(&self, rows: impl IntoIterator<Item = (&str, &str, Value, u16, Value)>) {
        for (method, path, body, status, wanted) in rows {
            let asked = format!("{method} {path} {body}");
            let seen = self.call(method, path, body).await;
            assert_eq!((seen.status, seen.timeless()), (status, wanted), "{asked}");
        }
    }
}

/// A request to a router.
pub(crate) async fn send(
    router: &Router,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Text>,
) -> Seen {
    let whole = if ["/apisix", "/v1", "/status"].iter().any(|base| path.starts_with(base)) {
        path.to_owned()
    } else {
        format!("/apisix/admin{path}")
    };
    let mut request = Request::builder().method(method).uri(whole);
    if !headers.iter().any(|(name, _)| *name == "host") {
        request = request.header("host", HOST);
    }
    for (name, value) in headers {
        request = if *name == PEER {
            request.extension(ConnectInfo(SocketAddr::new(value.parse().unwrap(), 40_000)))
        } else {
            request.header(*name, *value)
        };
    }
    let response = router.clone().oneshot(request.body(Body::from(body.into().0)).unwrap()).await.unwrap();
    let (head, body) = response.into_parts();
    let body = axum::body::to_bytes(body, 64 << 20).await.unwrap();
    Seen { status: head.status.as_u16(), headers: head.headers, body: body.to_vec() }
}

/// A body to send: JSON, text, or nothing for `null`.
pub(crate) struct Text(Vec<u8>);

impl From<Value> for Text {
    fn from(value: Value) -> Self {
        Self(if value.is_null() { Vec::new() } else { value.to_string().into_bytes() })
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().to_vec())
    }
}

/// An answer as a client sees it.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Seen {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// The body, which has to be JSON and end with one newline.
    pub(crate) fn json(&self) -> Value {
        let text = self.text();
        assert!(text.ends_with('\n') && !text.ends_with("\n\n"), "no single newline at the end of {text:?}");
        assert_eq!(self.header("content-type"), Some("application/json"));
        serde_json::from_str(text).unwrap_or_else(|error| panic!("no JSON but {text:?}: {error}"))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The body without the times that Usher sets; each has to be a plausible one.
    pub(crate) fn timeless(&self) -> Value {
        let mut value = self.json();
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        if let Some(members) = value.get_mut("value").and_then(Value::as_object_mut) {
            for name in ["create_time", "update_time"] {
                let time = members.shift_remove(name).unwrap_or_else(|| panic!("no {name}"));
                let time = time.as_u64().unwrap_or_else(|| panic!("{name} is {time}"));
                assert!(now - 60 <= time && time <= now, "{name} is {time}");
            }
        }
        value
    }

    /// The member `error_msg`.
    pub(crate) fn error(&self) -> String {
        self.json()["error_msg"]
            .as_str()
            .unwrap_or_else(|| panic!("no error_msg in {}", self.text()))
            .to_owned()
    }
}
