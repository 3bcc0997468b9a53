//! Control API, status API, and the settings of the Admin API that only the whole binary shows.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use serde_json::json;

use crate::support::{KEY, Origin, Usher, eventually, request};

/// A server with these settings beside the usual ones.
fn configured(yaml: &str, words: &[&str]) -> Usher {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let file = folder.path().join("config.yaml");
    std::fs::write(&file, yaml).unwrap();
    let mut all = vec!["--store", "memory", "--config", file.to_str().unwrap()];
    all.extend(words);
    Usher::start_in(Arc::clone(&folder), &all)
}

/// An origin that tells of its one request and answers it when it is told to.
struct Waiting {
    address: SocketAddr,
    asked: Receiver<()>,
    go_on: Sender<()>,
}

impl Waiting {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let ((tell, asked), (go_on, told)) = (channel(), channel());
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            assert_ne!(stream.read(&mut [0; 4096]).unwrap(), 0);
            tell.send(()).unwrap();
            told.recv().unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").unwrap();
        });
        Self { address, asked, go_on }
    }
}

#[test]
fn both_are_off_until_they_are_named() {
    let usher = Usher::start(&["--store", "memory"]);
    assert_eq!((usher.addresses.get("control"), usher.addresses.get("status")), (None, None));
    let usher = configured("apisix:\n  control: {port: 0}\n  status: {port: 0}\n", &[]);
    assert_eq!(request(usher.address("control"), "GET", "/v1/routes", &[], b"").status, 200);
    assert_eq!(request(usher.address("status"), "GET", "/status", &[], b"").status, 200);
}

#[test]
fn the_control_api_shows_what_is_in_force() {
    let origin = Origin::start("a");
    let usher = Usher::start(&["--store", "memory", "--control-listen", "127.0.0.1:0"]);
    usher.put("/routes/1", &json!({ "uri": "/*", "upstream": origin.upstream() }));
    let control = usher.address("control");
    let route = request(control, "GET", "/v1/route/1", &[], b"").json();
    assert_eq!(route["value"]["upstream"]["nodes"][0]["port"], origin.address.port());
    assert_eq!(request(control, "PUT", "/v1/plugins/reload", &[], b"").text(), "done");
    assert_eq!(request(control, "GET", "/v1/routes", &[("Origin", "https://evil.test")], b"").status, 403);
    // Nothing can be changed here, and no upstream may lead here.
    assert_eq!(request(control, "PUT", "/apisix/admin/routes/1", &[("X-API-KEY", KEY)], b"{}").status, 404);
    let node = json!({ "nodes": { control.to_string(): 1 } });
    assert_eq!(usher.admin("PUT", "/upstreams/own", Some(&node)).status, 400);
}

#[test]
fn the_status_api_is_ready_until_the_server_is_told_to_stop() {
    let origin = Waiting::start();
    let usher = Usher::start(&["--store", "memory", "--status-listen", "127.0.0.1:0"]);
    usher.put(
        "/routes/1",
        &json!({ "uri": "/*", "upstream": { "nodes": { origin.address.to_string(): 1 } } }),
    );
    let status = usher.address("status");
    for path in ["/status", "/status/ready"] {
        let seen = request(status, "GET", path, &[], b"");
        assert_eq!((seen.status, seen.json()), (200, json!({ "status": "ok" })), "{path}");
    }
    // A request that isn't over keeps the server from ending.
    let proxy = usher.address("proxy");
    let asking = std::thread::spawn(move || request(proxy, "GET", "/x", &[], b"").status);
    origin.asked.recv().unwrap();
    assert!(Command::new("kill").args(["-TERM", &usher.id().to_string()]).status().unwrap().success());
    eventually("the server is no longer ready", || {
        request(status, "GET", "/status/ready", &[], b"").status == 503
    });
    let ready = request(status, "GET", "/status/ready", &[], b"");
    assert_eq!(ready.json(), json!({ "status": "error", "error": "the server is stopping" }));
    assert_eq!(request(status, "GET", "/status", &[], b"").status, 200);
    origin.go_on.send(()).unwrap();
    assert_eq!(asking.join().unwrap(), 200);
    assert!(usher.wait().success());
}

#[test]
fn only_allowed_addresses_reach_the_admin_api() {
    let usher = configured("deployment: {admin: {allow_admin: [192.0.2.0/24]}}\n", &[]);
    let spoofed = [("X-API-KEY", KEY), ("X-Forwarded-For", "192.0.2.1"), ("X-Real-IP", "192.0.2.1")];
    let seen = request(usher.address("admin"), "GET", "/apisix/admin/routes", &spoofed, b"");
    assert_eq!(seen.status, 403);
    assert!(seen.text().contains("<h1>403 Forbidden</h1>"), "{}", seen.text());
    let usher = configured("deployment: {admin: {allow_admin: [127.0.0.0/24]}}\n", &[]);
    assert_eq!(usher.admin("GET", "/routes", None).status, 200);
}

#[test]
fn settings_shape_what_clients_see() {
    let usher = configured(
        "compat: apisix\napisix: {enable_server_tokens: false}\nplugins: [cors, key-auth]\n\
         deployment: {admin: {admin_api_version: v2, enable_admin_cors: false}}\n",
        &[],
    );
    let seen = usher.admin("GET", "/routes", None);
    assert_eq!((seen.field("server"), seen.field("x-api-version")), (Some("APISIX"), Some("v2")));
    assert_eq!(seen.field("access-control-allow-origin"), None);
    assert_eq!(seen.json()["node"]["dir"], true);
    assert_eq!(usher.admin("GET", "/plugins/list", None).json(), json!(["cors", "key-auth"]));
    let off = json!({ "uri": "/a", "plugins": { "redirect": { "http_to_https": true } } });
    let refused = usher.admin("PUT", "/routes/1", Some(&off));
    assert!(refused.text().contains("unknown plugin [redirect]"), "{}", refused.text());
    assert_eq!(usher.get("/x", &[]).field("server"), Some("APISIX"));
}

#[test]
fn who_guesses_keys_is_told_to_wait() {
    let usher = Usher::start(&["--store", "memory"]);
    let admin = usher.address("admin");
    let with = |key: &str| request(admin, "GET", "/apisix/admin/routes", &[("X-API-KEY", key)], b"");
    let statuses: Vec<u16> = (0..12).map(|at| with(&format!("guess-number-{at}")).status).collect();
    assert_eq!(statuses, [[401; 10].as_slice(), &[429; 2]].concat());
    assert!(with("one-more-guess").field("retry-after").is_some());
    assert_eq!(with(KEY).status, 200);
}
