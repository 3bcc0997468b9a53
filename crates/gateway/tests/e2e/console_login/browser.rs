//! A browser with the console open, as far as a login needs one, and a gateway that trusts the test provider.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::provider::{CLIENT, Provider, SECRET, values};
use crate::support::{Answer, KEY, Usher, request};

/// A gateway that trusts this provider.
pub(super) fn start(provider: &Provider, more: &str) -> Usher {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let (config, secret) = (folder.path().join("config.yaml"), folder.path().join("secret"));
    std::fs::write(&secret, format!("{SECRET}\n")).unwrap();
    let text = format!(
        "console:\n  oidc:\n    name: Conference ID\n    issuer: {}\n    client_id: {CLIENT}\n    client_secret_file: {}\n    role_claim: groups\n    \
         roles: {{admin: gateway-admins, editor: [gateway-editors], viewer: staff}}\n    timeout_secs: 2\n{more}",
        provider.issuer(),
        secret.display(),
    );
    std::fs::write(&config, text).unwrap();
    Usher::start_in(folder, &["--config", config.to_str().unwrap()])
}

/// A browser with the console open: keeps the cookies it is given, and sends what a page of the console sends.
pub(super) struct Browser<'u> {
    pub(super) usher: &'u Usher,
    pub(super) cookies: BTreeMap<String, String>,
}

/// What a provider sends a browser back with.
pub(super) type Back = Value;

impl<'u> Browser<'u> {
    pub(super) fn new(usher: &'u Usher) -> Self {
        Self { usher, cookies: BTreeMap::new() }
    }

    pub(super) fn send(&mut self, method: &str, path: &str, body: &Value) -> Answer {
        let host = self.usher.address("admin").to_string();
        self.send_as(&host, method, path, body)
    }

    pub(super) fn send_as(&mut self, host: &str, method: &str, path: &str, body: &Value) -> Answer {
        let cookies: Vec<String> =
            self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let (cookies, origin) = (cookies.join("; "), format!("http://{host}"));
        let fields = [
            ("Host", host),
            ("Origin", &origin),
            ("X-Usher-Console", "1"),
            ("Sec-Fetch-Site", "same-origin"),
            ("Content-Type", "application/json"),
            ("Cookie", &cookies),
        ];
        let text = if body.is_null() { String::new() } else { body.to_string() };
        let path = format!("/usher/v1{path}");
        let answer = request(self.usher.address("admin"), method, &path, &fields, text.as_bytes());
        for line in answer.head.lines().filter_map(|line| line.strip_prefix("set-cookie: ")) {
            let (pair, attributes) = line.split_once(';').unwrap();
            assert!(attributes.contains("HttpOnly; SameSite=Strict"), "{line}");
            let (name, value) = pair.split_once('=').unwrap();
            if attributes.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        answer
    }

    /// Begins a login, and says at the provider who one is.
    pub(super) fn goes(&mut self, provider: &Provider, person: &str) -> Back {
        let begun = self.send("POST", "/session/oidc", &json!({ "to": "/ui/history" }));
        assert_eq!(begun.status, 200, "{}", begun.text());
        let location = begun.json()["location"].as_str().unwrap().to_owned();
        let (_, query) = location.split_once("/authorize?").unwrap();
        let target = format!("/realm/login?{query}&person={person}");
        let sent = request(provider.address, "GET", &target, &[], b"");
        let back = sent.field("location").unwrap().to_owned();
        let (address, query) = back.split_once('?').unwrap();
        assert_eq!(address, format!("http://{}/ui/oidc", self.usher.address("admin")));
        json!(values(query))
    }

    pub(super) fn comes_back(&mut self, back: &Back) -> Answer {
        self.send("POST", "/session/oidc/back", back)
    }

    pub(super) fn logs_in(&mut self, provider: &Provider, person: &str) -> Answer {
        let back = self.goes(provider, person);
        self.comes_back(&back)
    }

    pub(super) fn is_inside(&mut self) -> bool {
        self.send("GET", "/status", &Value::Null).status == 200
    }
}

/// What an answer refuses with: its status, its code, its sentence.
pub(super) fn refusal(answer: &Answer) -> (u16, String, String) {
    let error = &answer.json()["error"];
    let text = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
    assert!(!text("next").is_empty(), "{error}");
    (answer.status, text("code"), text("message"))
}

/// What the audit holds, newest last: event, who, about.
pub(super) fn audit(usher: &Usher) -> Vec<(String, String, String)> {
    let told =
        request(usher.address("admin"), "GET", "/usher/v1/audit?limit=1000", &[("X-API-KEY", KEY)], b"")
            .json();
    let text = |record: &Value, name: &str| record[name].as_str().unwrap_or_default().to_owned();
    let records = told["records"].as_array().unwrap();
    records.iter().map(|one| (text(one, "event"), text(one, "principal"), text(one, "about"))).collect()
}
