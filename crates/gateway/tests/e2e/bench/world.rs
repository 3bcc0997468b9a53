//! The gateway that the tasks are about: two versions of a backend, a few routes and clients, and a secret in every place that has one.

use std::process::Command;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::support::{Answer, KEY, Origin, Usher, request};

/// A secret of the configuration; no transcript may hold it.
pub(super) const CANARY: &str = "canary-7f3a91c2";

/// A running world.
pub(super) struct World {
    pub(super) usher: Usher,
    pub(super) v1: Origin,
    pub(super) v2: Origin,
    key_of_certificate: String,
    /// A certificate for `api.example.com` and its key, as somebody would bring them.
    pub(super) fresh: (String, String),
}

/// A certificate that ends soon, or in a year, and its key.
fn certificate(days: i64) -> (String, String) {
    let mut parameters = rcgen::CertificateParams::new(vec!["api.example.com".to_owned()]).unwrap();
    let now = std::time::SystemTime::now();
    parameters.not_before = (now - std::time::Duration::from_secs(86_400)).into();
    parameters.not_after = (now + std::time::Duration::from_secs(days.unsigned_abs() * 86_400)).into();
    let key = rcgen::KeyPair::generate().unwrap();
    (parameters.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

impl World {
    pub(super) fn start() -> Self {
        Self::of(Usher::start_in(Arc::new(tempfile::tempdir().unwrap()), &[]))
    }

    /// The same in this gateway.
    pub(super) fn of(usher: Usher) -> Self {
        let (v1, v2) = (Origin::start("v1"), Origin::start("v2"));
        let (cert, key) = certificate(10);
        let world = Self { usher, v1, v2, key_of_certificate: key.clone(), fresh: certificate(365) };
        let put = |path: &str, body: Value| world.usher.put(path, &body);
        put("/upstreams/conference-api", world.v1.upstream());
        put(
            "/upstreams/two-nodes",
            json!({ "type": "roundrobin", "nodes": { world.v1.address.to_string(): 1, world.v2.address.to_string(): 1 } }),
        );
        for id in ["speaker", "session", "topic", "users", "orders", "pay", "admin"] {
            put(
                &format!("/routes/{id}"),
                json!({ "name": id, "uri": format!("/{id}/*"), "upstream_id": "conference-api" }),
            );
        }
        put("/routes/shared", json!({ "uri": "/shared/*", "upstream_id": "two-nodes" }));
        put(
            "/routes/keyed",
            json!({ "uri": "/keyed/*", "upstream_id": "conference-api", "plugins": { "key-auth": {} } }),
        );
        put(
            "/consumers/canary",
            json!({ "username": "canary", "plugins": { "key-auth": { "key": CANARY } } }),
        );
        put("/ssls/canary", json!({ "snis": ["api.example.com"], "cert": cert, "key": key }));
        world
    }

    /// Everything that is configured, to be compared.
    pub(super) fn configuration(&self) -> String {
        let kinds =
            ["routes", "upstreams", "services", "consumers", "ssls", "plugin_configs", "global_rules"];
        kinds.map(|kind| self.usher.admin("GET", &format!("/{kind}"), None).text()).join("\n")
    }

    /// The first secret that a text holds.
    pub(super) fn canary_in(&self, text: &str) -> Option<&str> {
        // The middle of a key, which no wrapping of lines takes apart.
        let middle = self.key_of_certificate.lines().nth(1).unwrap_or_default();
        [CANARY, middle].into_iter().find(|secret| !secret.is_empty() && text.contains(*secret))
    }

    /// One member of an object as it is stored.
    pub(super) fn member(&self, path: &str, pointer: &str) -> Value {
        let answer = self.usher.admin("GET", path, None);
        if answer.status == 200 {
            answer.json()["value"].pointer(pointer).cloned().unwrap_or_default()
        } else {
            Value::Null
        }
    }

    pub(super) fn get(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        self.usher.get(path, fields)
    }

    /// The version that answered.
    pub(super) fn origin(&self, path: &str, fields: &[(&str, &str)]) -> String {
        let answer = self.get(path, fields);
        if answer.status == 200 {
            answer.json()["origin"].as_str().unwrap_or_default().to_owned()
        } else {
            answer.status.to_string()
        }
    }

    /// The status that a client of another address meets.
    pub(super) fn status_from(&self, client: &str, path: &str) -> String {
        let url = format!("http://{}{path}", self.usher.address("proxy"));
        let run = Command::new("curl")
            .args(["-s", "-o", "/dev/null", "-w", "%{http_code}", "--interface", client, &url])
            .output()
            .unwrap();
        String::from_utf8_lossy(&run.stdout).into_owned()
    }

    /// Usher's own API with the admin key.
    pub(super) fn own(&self, path: &str) -> Value {
        request(self.usher.address("admin"), "GET", &format!("/usher/v1{path}"), &[("X-API-KEY", KEY)], b"")
            .json()
    }
}

/// Says what isn't so.
pub(super) fn holds(what: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if what { Ok(()) } else { Err(otherwise()) }
}
