//! What answers without credentials, taken from the routers themselves: a path that is routed and not listed here fails, and so does a listed one
//! that answers otherwise.
//!
//! The service API has no entry but its base: who may come in is part of what its endpoints are made of, and `keyless` asks all of its document.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use crate::examples::root;
use crate::support::{Usher, request};

/// Who may come in at a path.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Door {
    /// Everybody, for this reason.
    Public(&'static str),
    /// Who shows a code, a password, or a client of their own: it asks for that itself, and never answers a stranger with 2xx.
    AsksItself(&'static str),
    /// Nobody: 401.
    Closed,
}
use Door::{AsksItself, Closed, Public};

/// The file whose router has it, the path as it stands there, the side that serves it, a path that fits, and who may come in.
const ROUTED: [(&str, &str, &str, &str, Door); 30] = [
    (
        "admin/src/gateways.rs",
        "PATH",
        "gateways",
        "/usher/gateways/traffic",
        AsksItself("another gateway proves who it is by the keyring that both have"),
    ),
    ("admin/src/api.rs", "BASE", "admin", "/usher/v1", Closed),
    ("admin/src/api.rs", "/usher/v1/", "admin", "/usher/v1/", Closed),
    ("admin/src/api.rs", "/usher/v1/{*rest}", "admin", "/usher/v1/status", Closed),
    ("admin/src/http.rs", "/apisix/admin", "chat", "/apisix/admin", Closed),
    ("admin/src/http.rs", "/apisix/admin/", "chat", "/apisix/admin/", Closed),
    ("admin/src/http.rs", "/apisix/admin/{*rest}", "chat", "/apisix/admin/routes", Closed),
    ("chat/src/lib.rs", "/apisix/admin/{*rest}", "chat", "/apisix/admin/routes/1", Closed),
    ("chat/src/mcp.rs", "/mcp", "chat", "/mcp", Closed),
    (
        "chat/src/plugin.rs",
        "/.well-known/ai-plugin.json",
        "chat",
        "/.well-known/ai-plugin.json",
        Public(OF_THE_PLUGIN),
    ),
    ("chat/src/plugin.rs", "/openapi.json", "chat", "/openapi.json", Public(OF_THE_PLUGIN)),
    ("chat/src/plugin.rs", "/openapi.yaml", "chat", "/openapi.yaml", Public(OF_THE_PLUGIN)),
    ("chat/src/plugin.rs", "/logo.png", "chat", "/logo.png", Public(OF_THE_PLUGIN)),
    ("chat/src/plugin.rs", "/legal", "chat", "/legal", Public(OF_THE_PLUGIN)),
    ("chat/src/plugin.rs", "/", "chat", "/", Public(OF_THE_PLUGIN)),
    (
        "chat/src/oauth.rs",
        "/.well-known/oauth-protected-resource",
        "chat",
        "/.well-known/oauth-protected-resource",
        Public(OF_OAUTH),
    ),
    (
        "chat/src/oauth.rs",
        "/.well-known/oauth-protected-resource/mcp",
        "chat",
        "/.well-known/oauth-protected-resource/mcp",
        Public(OF_OAUTH),
    ),
    (
        "chat/src/oauth.rs",
        "/.well-known/oauth-authorization-server",
        "chat",
        "/.well-known/oauth-authorization-server",
        Public(OF_OAUTH),
    ),
    (
        "chat/src/oauth.rs",
        "/oauth/authorize",
        "chat",
        "/oauth/authorize",
        AsksItself("a person signs in there"),
    ),
    (
        "chat/src/oauth.rs",
        "provided::BACK",
        "chat",
        "/oauth/back",
        AsksItself("a log-in at the provider that began in the same browser is asked for"),
    ),
    (
        "chat/src/oauth.rs",
        "/oauth/token",
        "chat",
        "/oauth/token",
        AsksItself("a code or a refresh token is asked for"),
    ),
    (
        "chat/src/oauth.rs",
        "/oauth/revoke",
        "chat",
        "/oauth/revoke",
        AsksItself("the token itself is asked for"),
    ),
    (
        "chat/src/oauth.rs",
        "/oauth/register",
        "chat",
        "/oauth/register",
        AsksItself("a client's own metadata are asked for; nothing is stored"),
    ),
    ("console/src/lib.rs", "/ui", "admin", "/ui", Public("it leads to the console's files")),
    ("console/src/lib.rs", "/ui/", "admin", "/ui/", Public("the console's files are the same everywhere")),
    (
        "console/src/lib.rs",
        "/ui/{*path}",
        "admin",
        "/ui/routes",
        Public("the console's files are the same everywhere"),
    ),
    (
        "gateway/src/server/side.rs",
        "path",
        "metrics",
        "/apisix/prometheus/metrics",
        Public("numbers, on loopback unless the settings say otherwise"),
    ),
    // Whatever their routers have no path for.
    ("admin/src/http.rs", "fallback(serve)", "admin", "/apisix/admin/routes", Closed),
    (
        "admin/src/control.rs",
        "fallback(serve)",
        "control",
        "/v1/routes",
        Public("it only reads, secrets are masked, and it is off until it is named"),
    ),
    (
        "admin/src/status.rs",
        "fallback(serve)",
        "status",
        "/status",
        Public("one word, and it is off until it is named"),
    ),
];

const OF_THE_PLUGIN: &str = "it says what this port is, and nothing of what is configured";
const OF_OAUTH: &str = "whoever comes for a token has none yet";

/// Every `route`, `route_service`, `nest` and `fallback` of a file, as it stands there.
fn routed(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for call in [".route(", ".route_service(", ".nest(", ".nest_service("] {
        for rest in text.split(call).skip(1) {
            let rest = rest.trim_start();
            found.push(match rest.strip_prefix('"') {
                Some(path) => path.split('"').next().unwrap().to_owned(),
                None => rest.split([',', ')']).next().unwrap().trim().to_owned(),
            });
        }
    }
    // One that only says that nothing is there is no way in.
    found.extend(text.matches(".fallback(serve)").map(|_| "fallback(serve)".to_owned()));
    found
}

/// What the sources route, with the file below `crates/`; tests and the demo's sample API apart, which is no part of the gateway.
fn all_routed() -> BTreeSet<(String, String)> {
    fn below(folder: &Path, crates: &Path, found: &mut BTreeSet<(String, String)>) {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                below(&path, crates, found);
            } else if path.extension().is_some_and(|ending| ending == "rs") && !path.ends_with("tests.rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                if !text.contains("axum") {
                    continue;
                }
                let name = path.strip_prefix(crates).unwrap().display().to_string();
                found.extend(routed(&text).into_iter().map(|route| (name.clone(), route)));
            }
        }
    }
    let crates = root().join("crates");
    let mut found = BTreeSet::new();
    for room in ["admin", "chat", "console", "gateway", "proxy", "plugins"] {
        below(&crates.join(room).join("src"), &crates, &mut found);
    }
    found.retain(|(file, _)| !file.starts_with("gateway/src/demo/"));
    found
}

#[test]
fn every_path_that_is_routed_has_its_entry_here() {
    let listed: BTreeSet<(String, String)> =
        ROUTED.iter().map(|(file, route, ..)| ((*file).to_owned(), (*route).to_owned())).collect();
    let there = all_routed();
    let missing: Vec<_> = there.difference(&listed).collect();
    assert!(missing.is_empty(), "say in ROUTED who may come in at {missing:?}");
    let gone: Vec<_> = listed.difference(&there).collect();
    assert!(gone.is_empty(), "take out of ROUTED what no router has any more: {gone:?}");
}

#[test]
fn nothing_but_what_is_public_answers_a_stranger() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let config = folder.path().join("config.yaml");
    std::fs::write(&config, "store: memory\nchat: {oauth: true}\nlisten: {gateways: 127.0.0.1:0}\n").unwrap();
    let usher = Usher::start_in(
        folder,
        &[
            "--config",
            config.to_str().unwrap(),
            "--control-listen",
            "127.0.0.1:0",
            "--status-listen",
            "127.0.0.1:0",
        ],
    );
    for (file, route, side, path, door) in ROUTED {
        let mut seen = Vec::new();
        for method in ["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE"] {
            let fields =
                [("Content-Type", "application/json"), ("Accept", "application/json, text/event-stream")];
            let answer = request(usher.address(side), method, path, &fields, b"{}");
            let place =
                format!("{method} {path} of {side} ({file}, {route}): {} {}", answer.status, answer.text());
            match door {
                Public(why) => assert!(
                    matches!(answer.status, 200 | 301 | 404 | 405)
                        && (matches!(method, "GET" | "HEAD") || !answer.text().contains("\"value\"")),
                    "{why}: {place}"
                ),
                AsksItself(why) => {
                    assert!(matches!(answer.status, 400 | 401 | 403 | 405 | 415 | 422), "{why}: {place}")
                }
                // `HEAD /apisix/admin` tells APISIX's clients that something listens, and nothing else.
                Closed => assert!(
                    matches!(answer.status, 401 | 404 | 405)
                        || (method == "HEAD" && side == "admin" && path == "/apisix/admin"),
                    "{place}"
                ),
            }
            seen.push(answer.status);
        }
        match door {
            // The list tells of what is there, not of what once was.
            Public(_) => assert!(seen.contains(&200) || seen.contains(&301), "{path} of {side}: {seen:?}"),
            AsksItself(_) => assert!(seen.iter().any(|status| *status != 405), "{path} of {side}: {seen:?}"),
            Closed => {}
        }
    }
    // The gateway itself has no way in of ours: what isn't a route isn't there.
    for path in [
        "/usher/v1/status",
        "/apisix/admin/routes",
        "/v1/routes",
        "/status",
        "/ui/",
        "/mcp",
        "/apisix/prometheus/metrics",
    ] {
        assert_eq!(request(usher.address("proxy"), "GET", path, &[], b"").status, 404, "{path}");
    }
}
