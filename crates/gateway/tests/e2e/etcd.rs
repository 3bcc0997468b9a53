//! Gateways on a real etcd: what holds on one holds on all, and what a machine's end interrupts can be gone on with.

#[path = "../../../store/tests/etcd/server.rs"]
mod server;

use std::process::{Command, Stdio};
use std::sync::Arc;

use serde_json::{Value, json};

use crate::cli::{Desk, word};
use crate::ends::a_consumer_ends_with_its_credentials;
use crate::support::{Answer, KEY, Usher, binary, eventually, request};

pub(crate) struct Etcd {
    members: Vec<server::Member>,
    _folder: tempfile::TempDir,
}

impl Etcd {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { members: server::start(folder.path(), 1, &[]), _folder: folder }
    }

    pub(crate) fn address(&self) -> String {
        format!("etcd://{}", self.members[0].address())
    }

    fn gateway(&self) -> Usher {
        Usher::start(&["--store", &self.address()])
    }

    /// Another one, with the keyring of the first.
    fn beside(&self, first: &Usher) -> Usher {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let data = folder.path().join("data");
        use std::os::unix::fs::DirBuilderExt as _;
        std::fs::DirBuilder::new().mode(0o700).create(&data).unwrap();
        std::fs::copy(first.folder.path().join("data/keyring.key"), data.join("keyring.key")).unwrap();
        Usher::start_in(folder, &["--store", &self.address()])
    }

    /// Stops it without ending it, or lets it go on.
    fn signal(&self, name: &str) {
        let id = self.members[0].process.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
    }
}

fn own(usher: &Usher, method: &str, path: &str, key: &str, body: Option<&Value>) -> Answer {
    let text = body.map(Value::to_string).unwrap_or_default();
    let fields = [("X-API-KEY", key), ("Content-Type", "application/json")];
    request(usher.address("admin"), method, &format!("/usher/v1{path}"), &fields, text.as_bytes())
}

#[test]
fn a_consumer_ends_with_its_credentials_there_too() {
    let etcd = Etcd::start();
    a_consumer_ends_with_its_credentials(&etcd.gateway());
}

#[test]
fn a_token_of_one_gateway_is_let_in_by_another_and_revoked_everywhere() {
    let etcd = Etcd::start();
    let one = etcd.gateway();
    let two = etcd.beside(&one);
    let made = own(&one, "POST", "/tokens", KEY, Some(&json!({ "name": "ci", "role": "viewer" })));
    assert_eq!(made.status, 201, "{}", made.text());
    let made = made.json();
    let (id, token) = (made["id"].as_str().unwrap(), made["token"].as_str().unwrap());
    let status = |usher: &Usher| own(usher, "GET", "/status", token, None);
    eventually("the other gateway knows it", || status(&two).status == 200);
    assert_eq!(status(&two).json()["you"]["name"], "ci");
    let ended = own(&two, "DELETE", &format!("/tokens/{id}"), KEY, None);
    assert_eq!(ended.status, 200, "{}", ended.text());
    assert_eq!(status(&two).status, 401, "at once, where it was revoked");
    eventually("it is revoked everywhere", || status(&one).status == 401);
}

#[test]
fn the_status_is_told_while_etcd_is_away() {
    let etcd = Etcd::start();
    let usher = etcd.gateway();
    usher.put("/routes/r", &json!({ "uri": "/a", "plugins": {} }));
    let reachable = |wanted: &str| {
        let text = request(usher.address("metrics"), "GET", "/apisix/prometheus/metrics", &[], b"").text();
        assert!(text.contains("apisix_etcd_modify_indexes{key=\"max_modify_index\"} "), "{text}");
        text.contains(&format!("\napisix_etcd_reachable {wanted}\n"))
    };
    assert!(reachable("1"));
    etcd.signal("-STOP");
    let status = || own(&usher, "GET", "/status", KEY, None);
    eventually("the loss is told", || status().json()["store"]["away"].is_string());
    eventually("metrics say so too", || reachable("0"));
    let told = status();
    assert_eq!(told.status, 200, "{}", told.text());
    assert_eq!(told.json()["unfinished"], json!([]));
    let refused = usher.admin("PUT", "/routes/s", Some(&json!({ "uri": "/b", "plugins": {} })));
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert_eq!(usher.admin("GET", "/routes/r", None).status, 200);
    etcd.signal("-CONT");
    eventually("it is back", || {
        usher.admin("PUT", "/routes/s", Some(&json!({ "uri": "/b", "plugins": {} }))).status < 300
    });
    eventually("metrics say so", || reachable("1"));
    eventually("that is told too", || status().json()["store"]["away"].is_null());
}

/// The newest revision that a folder has a snapshot of.
fn snapshot_in(folder: &std::path::Path) -> u64 {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let numbers = files.filter_map(|file| {
        let name = file.file_name().into_string().ok()?;
        name.strip_prefix("snapshot-")?.strip_suffix(".bin")?.parse().ok()
    });
    numbers.max().unwrap_or_default()
}

#[test]
fn a_gateway_starts_while_etcd_is_away_and_serves_what_it_knew() {
    let mut etcd = Etcd::start();
    let usher = etcd.gateway();
    let agents = own(&usher, "PUT", "/agents", KEY, Some(&json!({ "on": false, "why": "a test" })));
    assert_eq!(agents.status, 200, "{}", agents.text());
    usher
        .put("/routes/r", &json!({ "uri": "/a", "plugins": { "mocking": { "response_example": "known" } } }));
    let tag = usher.admin("GET", "/routes/r", None);
    let revision: u64 = tag.field("etag").unwrap().trim_matches('"').parse().unwrap();
    let folder = usher.folder.path().join("data/etcd");
    for place in [folder.clone(), folder.join("own")] {
        eventually("there is a snapshot", || snapshot_in(&place) >= revision);
    }
    let folder = usher.kill();
    let mut gone = etcd.members[0].process.take().unwrap();
    gone.kill().unwrap();
    gone.wait().unwrap();
    let usher = Usher::start_in(folder, &["--store", &etcd.address()]);
    assert_eq!(usher.get("/a", &[]).text(), "known");
    let status = own(&usher, "GET", "/status", KEY, None);
    assert_eq!(status.status, 200, "{}", status.text());
    assert!(status.json()["store"]["away"].is_string(), "{}", status.text());
    // What agents may not do they may not do now either.
    assert_eq!(own(&usher, "GET", "/agents", KEY, None).json()["on"], false);
    etcd.members[0].start();
    eventually("it is back", || {
        usher.admin("PUT", "/routes/s", Some(&json!({ "uri": "/b", "plugins": {} }))).status < 300
    });
}

/// A document of so many routes on one upstream.
fn large(count: usize) -> String {
    let mut text = "usher: 1\nupstreams:\n  u: {nodes: {\"127.0.0.1:9\": 1}}\nroutes:\n".to_owned();
    for at in 0..count {
        text += &format!("  r{at:04}: {{uri: /{at}, upstream_id: u}}\n");
    }
    text
}

#[test]
fn steps_that_a_crash_interrupted_go_on_and_are_taken_back_as_one() {
    let etcd = Etcd::start();
    let mut desk = Desk::of(etcd.gateway());
    let file = desk.file("large.yaml", &large(3000));
    let refused = desk.say(&["apply", "-f", word(&file), "--yes"]);
    assert!(refused.code == 8 && refused.err.contains("--in-steps"), "{refused:?}");
    // The machine goes down while the steps are being applied.
    let mut applying = binary()
        .args(["apply", "-f", word(&file), "--yes", "--in-steps"])
        .env("USHER_ADMIN_URL", format!("http://{}", desk.usher.address("admin")))
        .env("USHER_ADMIN_KEY", KEY)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let total =
        |usher: &Usher| usher.admin("GET", "/routes?page=1&page_size=10", None).json()["total"].clone();
    eventually("some steps are applied", || total(&desk.usher).as_u64().unwrap() > 200);
    let folder = desk.usher.kill();
    assert!(!applying.wait().unwrap().success());
    desk = Desk::of(Usher::start_in(folder, &["--store", &etcd.address()]));
    let shown = desk.done(&["status"]);
    assert!(shown.contains("unfinished") && shown.contains("--resume"), "{shown}");
    let open = desk.json(&["status", "-o", "json"])["unfinished"][0].clone();
    let plan = open["plan"].as_str().unwrap();
    assert!(open["done"].as_u64() > Some(0) && open["done"].as_u64() < open["of"].as_u64(), "{open}");
    let begun = total(&desk.usher).as_u64().unwrap();
    assert!(begun < 3000, "it was done before it could be interrupted");
    let dry = desk.done(&["apply", "--resume", plan, "--dry-run"]);
    assert!(dry.contains("steps of plan"), "{dry}");
    assert_eq!(total(&desk.usher), begun, "{dry}");
    let out = desk.done(&["apply", "--resume", plan]);
    assert!(out.contains("applied, in force since revision"), "{out}");
    assert_eq!(total(&desk.usher), 3000);
    assert_eq!(desk.json(&["status", "-o", "json"])["unfinished"], json!([]));
    assert_eq!(desk.say(&["apply", "--resume", plan]).code, 4);
    // What came before the crash and what came behind it are one change.
    let undone = desk.done(&["undo", "--yes", "--in-steps"]);
    assert!(undone.contains("applied"), "{undone}");
    assert_eq!(desk.json(&["list", "-o", "json"])["route"], 0);
    assert_eq!(desk.json(&["list", "-o", "json"])["upstream"], 0);
    assert!(desk.done(&["audit", "--verify"]).contains("are as they were written"), "the audit");
}
