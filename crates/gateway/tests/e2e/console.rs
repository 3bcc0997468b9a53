//! The console in a real browser against the real binary: the walks are in `crates/console/ui/e2e`. And its files beside the Admin API.
//!
//! Node and a browser belong to those who work on the console; where one is missing, this says so and walks nothing.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use crate::support::{Origin, Usher, eventually, request};

fn ui() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../console/ui").canonicalize().unwrap()
}

/// Whether a program answers to `--version`.
fn is_there(program: &str) -> bool {
    let asked = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    asked.is_ok_and(|status| status.success())
}

/// What is needed and isn't there, or nothing.
fn missing() -> Option<&'static str> {
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
