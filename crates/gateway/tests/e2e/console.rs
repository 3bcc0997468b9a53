//! The console in a real browser against the real binary: the walks are in `crates/console/ui/e2e`. And its files beside the Admin API.
//!
//! Node and a browser belong to those who work on the console; where one is missing, this says so and walks nothing.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use crate::support::{Origin, Usher, eventually, request};

pub(crate) fn ui() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../console/ui").canonicalize().unwrap()
}

/// Whether a program answers to `--version`.
fn is_there(program: &str) -> bool {
    let asked = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    asked.is_ok_and(|status| status.success())
}

/// What is needed and isn't there, or nothing.
pub(crate) fn missing() -> Option<&'static str> {
    if !is_there("node") {
        return Some("Node (Debian's nodejs)");
    }
    if !is_there("/usr/bin/chromium") {
        return Some("/usr/bin/chromium (Debian's chromium)");
    }
    // What `npm install` fetches: no test goes to the network by itself.
    let modules = ui().join("node_modules/playwright-core/package.json").exists();
    (!modules).then_some("node_modules (npm ci in crates/console/ui)")
}

/// The code that a server's log tells.
fn code(log: &Path) -> String {
    let mut code = None;
    eventually("the one-time code is told", || {
        let text = std::fs::read_to_string(log).unwrap_or_default();
        let told = text.split("code=").nth(1).map(|rest| rest.trim_start_matches('"'));
        code = told.and_then(|rest| rest.get(..19)).map(str::to_owned);
        code.is_some()
    });
    code.unwrap()
}

#[test]
fn the_console_is_walked_by_a_browser() {
    if let Some(missing) = missing() {
        println!("skipped: the console is not walked, because {missing} is missing");
        return;
    }
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let log = folder.path().join("log");
    let usher = Usher::start_logging(Arc::clone(&folder), &[], &log);
    let origin = Origin::start("conference");
    let walked = Command::new("node")
        .arg("e2e/run.mjs")
        .current_dir(ui())
        .env("USHER_ADMIN", format!("http://{}", usher.address("admin")))
        .env("USHER_CHAT", format!("http://{}", usher.address("chat")))
        .env("USHER_PROXY", format!("http://{}", usher.address("proxy")))
        .env("USHER_CODE", code(&log))
        .env("USHER_KEY", crate::support::KEY)
        .env("USHER_NODE", origin.address.to_string())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&walked.stdout);
    assert!(walked.status.success(), "{told}\n{}", String::from_utf8_lossy(&walked.stderr));
    assert!(told.contains("ok    the first user is made"), "{told}");
    println!("{told}");
    // What people type stays out of the log, and so does what lets them in.
    let log = std::fs::read_to_string(log).unwrap();
    for secret in ["correct horse", "wrong password", "usher_session="] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
}

#[test]
fn the_console_is_on_the_admin_port_unless_the_settings_say_otherwise() {
    let usher = Usher::start(&[]);
    let admin = usher.address("admin");
    let page = request(admin, "GET", "/ui/", &[], b"");
    assert_eq!(page.status, 200);
    assert!(
        page.field("content-security-policy").unwrap().contains("frame-ancestors 'none'"),
        "{}",
        page.head
    );
    assert_eq!(request(admin, "GET", "/ui", &[], b"").status, 301);
    // A page of somebody else's is turned away here too.
    assert_eq!(request(admin, "GET", "/ui/", &[("Origin", "http://evil.test")], b"").status, 403);

    let folder = Arc::new(tempfile::tempdir().unwrap());
    let config = folder.path().join("config.yaml");
    std::fs::write(&config, "deployment: {admin: {enable_admin_ui: false}}\n").unwrap();
    let without = Usher::start_in(folder, &["--config", config.to_str().unwrap()]);
    assert_eq!(request(without.address("admin"), "GET", "/ui/", &[], b"").status, 404);
}

/// A gateway with these lines as its settings.
pub(crate) fn with(lines: &str) -> Usher {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let config = folder.path().join("config.yaml");
    std::fs::write(&config, lines).unwrap();
    Usher::start_in(folder, &["--config", config.to_str().unwrap()])
}

#[test]
fn the_console_is_on_the_chat_port_where_nobody_comes_nearer_by_it() {
    let usher = Usher::start(&[]);
    let (admin, chat) = (usher.address("admin"), usher.address("chat"));
    let page = request(chat, "GET", "/ui/approve/abc", &[], b"");
    assert_eq!(page.status, 200);
    assert!(
        page.field("content-security-policy").unwrap().contains("frame-ancestors 'none'"),
        "{}",
        page.head
    );
    let origin = format!("http://{chat}");
    let key = format!("{{\"key\": \"{}\"}}", crate::support::KEY);
    let of_ours = [
        ("Content-Type", "application/json"),
        ("X-Usher-Console", "1"),
        ("Origin", origin.as_str()),
        ("Sec-Fetch-Site", "same-origin"),
    ];
    let inside = request(chat, "POST", "/usher/v1/session", &of_ours, key.as_bytes());
    assert_eq!(inside.status, 200, "{}", inside.text());
    let cookie = inside.field("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    // One login for both ports.
    for port in [chat, admin] {
        assert_eq!(request(port, "GET", "/usher/v1/status", &[("Cookie", &cookie)], b"").status, 200);
        assert_eq!(request(port, "GET", "/usher/v1/status", &[], b"").status, 401);
    }
    // A document may be as large as on the Admin port.
    let large = format!("{{\"document\": \"# {}\\nroutes: []\"}}", "x".repeat(2 << 20));
    let with_cookie = [&of_ours[..], &[("Cookie", cookie.as_str())]].concat();
    let planned = request(chat, "POST", "/usher/v1/plans", &with_cookie, large.as_bytes());
    assert!(matches!(planned.status, 201 | 422), "{} {}", planned.status, planned.text());
    // Pages of others: another host, another site, another port of this machine.
    let foreign =
        |pairs: &[(&str, &str)]| request(chat, "POST", "/usher/v1/session", pairs, key.as_bytes()).status;
    let json = ("Content-Type", "application/json");
    let mark = ("X-Usher-Console", "1");
    assert_eq!(foreign(&[json, mark, ("Host", "evil.test")]), 421);
    assert_eq!(foreign(&[json, mark, ("Origin", "http://evil.test")]), 403);
    let beside = ("Origin", "http://localhost:3000");
    assert_eq!(foreign(&[json, mark, beside, ("Sec-Fetch-Site", "same-site")]), 403);
    let asked = [
        beside,
        ("Access-Control-Request-Method", "POST"),
        ("Access-Control-Request-Headers", "content-type, x-usher-console"),
    ];
    let preflight = request(chat, "OPTIONS", "/usher/v1/session", &asked, b"");
    assert_eq!(preflight.field("access-control-allow-headers"), Some("content-type"), "{}", preflight.head);
    assert!(preflight.field("access-control-allow-credentials").is_none());

    for (lines, status) in [
        ("chat: {console: false}\n", 404),
        ("deployment: {admin: {enable_admin_ui: false}}\n", 404),
        ("deployment: {admin: {admin_key_required: false}}\n", 404),
        ("chat: {public_url: 'https://chat.example.com'}\n", 404),
        ("chat: {public_url: 'https://chat.example.com', console: true}\n", 200),
        ("deployment: {admin: {allow_admin: [10.0.0.0/8]}}\n", 403),
    ] {
        let usher = with(lines);
        let chat = usher.address("chat");
        for path in ["/ui/", "/usher/v1/session"] {
            let seen = request(chat, "GET", path, &[], b"").status;
            assert_eq!(seen, status, "{lines} {path}");
        }
    }
}

#[test]
fn an_agent_is_told_where_its_person_agrees() {
    for (lines, wanted) in [
        ("{}\n", None),
        ("console: {public_url: 'https://usher.example.com/'}\n", Some("https://usher.example.com")),
    ] {
        let usher = with(lines);
        let admin = usher.address("admin");
        let base = wanted.map_or_else(|| format!("http://{admin}"), str::to_owned);
        usher.put("/routes/old", &serde_json::json!({ "uri": "/old", "upstream": { "type": "roundrobin", "nodes": { "127.0.0.1:1": 1 } } }));
        let key = [("X-API-KEY", crate::support::KEY), ("Content-Type", "application/json")];
        let made = request(admin, "POST", "/usher/v1/tokens", &key, br#"{"name": "agent", "role": "chat"}"#);
        let token = made.json()["token"].as_str().unwrap_or_else(|| panic!("{}", made.text())).to_owned();
        let fields = [("X-API-KEY", token.as_str()), ("Content-Type", "application/json")];
        let wish = br#"{"changes": [{"op": "delete", "kind": "route", "id": "old"}]}"#;
        let plan = request(admin, "POST", "/usher/v1/plans", &fields, wish).json();
        let id = plan["id"].as_str().unwrap();
        let denied = request(admin, "POST", &format!("/usher/v1/plans/{id}/apply"), &fields, b"{}");
        assert_eq!(denied.status, 403, "{}", denied.text());
        assert!(denied.text().contains(&format!("{base}/ui/approve/{id}")), "{}", denied.text());
    }
}

#[test]
fn the_committed_files_are_those_that_the_sources_make() {
    let ui = ui();
    if !is_there("node") || !ui.join("node_modules/vite/package.json").exists() {
        println!(
            "skipped: the console is not built anew, because Node or node_modules (npm ci in crates/console/ui) is missing"
        );
        return;
    }
    // The types of what the service API answers are made of its document.
    let shapes =
        Command::new("node").args(["scripts/shapes.mjs", "--check"]).current_dir(&ui).output().unwrap();
    assert!(shapes.status.success(), "{}", String::from_utf8_lossy(&shapes.stderr));
    let folder = tempfile::tempdir().unwrap();
    let built = Command::new("node")
        .args(["node_modules/vite/bin/vite.js", "build", "--logLevel", "error"])
        .current_dir(&ui)
        .env("USHER_DIST", folder.path())
        .output()
        .unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let (fresh, committed) = (files(folder.path()), files(&ui.join("../dist")));
    let names = |files: &[(String, Vec<u8>)]| files.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(
        names(&committed),
        names(&fresh),
        "crates/console/dist is old: npm run build in crates/console/ui"
    );
    for ((name, committed), (_, fresh)) in committed.iter().zip(&fresh) {
        assert!(
            committed == fresh,
            "{name} in crates/console/dist is old: npm run build in crates/console/ui"
        );
    }
}

/// Names and contents below a folder, in order.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(at) = folders.pop() {
        for entry in std::fs::read_dir(at).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().display().to_string();
                found.push((name, std::fs::read(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}
