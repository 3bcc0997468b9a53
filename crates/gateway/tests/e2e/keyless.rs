//! What every port answers to somebody without a key: a list, each entry with the reason why it may.

use crate::support::{Usher, request};

/// Side, method, path, status, and why.
const ANSWERED: [(&str, &str, &str, u16, &str); 17] = [
    ("admin", "HEAD", "/apisix/admin", 200, "tells that something listens"),
    ("admin", "GET", "/apisix/admin/routes", 401, "the key is asked for"),
    ("admin", "GET", "/apisix/admin/plugins/list", 401, "the key is asked for"),
    ("admin", "POST", "/apisix/admin/configs/validate", 401, "the key is asked for"),
    ("admin", "PUT", "/apisix/admin/plugins/reload", 401, "the key is asked for"),
    ("admin", "GET", "/", 404, "nothing is there"),
    ("metrics", "GET", "/apisix/prometheus/metrics", 200, "numbers, on loopback"),
    ("metrics", "GET", "/apisix/admin/routes", 404, "nothing is there"),
    ("control", "GET", "/v1/routes", 200, "what is served, masked, on loopback"),
    ("control", "GET", "/apisix/admin/routes", 404, "nothing is there"),
    ("control", "PUT", "/v1/routes", 404, "nothing is changed here"),
    ("status", "GET", "/status", 200, "a word"),
    ("status", "GET", "/status/ready", 200, "a word"),
    ("status", "GET", "/v1/routes", 404, "nothing is there"),
    ("chat", "GET", "/.well-known/ai-plugin.json", 200, "the plugin's manifest is for everybody"),
    (
        "chat",
        "GET",
        "/apisix/admin/routes",
        200,
        "loopback is the plugin's principal, which a person's consent binds",
    ),
    ("proxy", "GET", "/apisix/admin/routes", 404, "the gateway has no Admin API"),
];

#[test]
fn every_port_answers_strangers_as_listed() {
    let usher = Usher::start(&[
        "--store",
        "memory",
        "--control-listen",
        "127.0.0.1:0",
        "--status-listen",
        "127.0.0.1:0",
    ]);
    for (side, method, path, status, why) in ANSWERED {
        let seen = request(usher.address(side), method, path, &[], b"");
        assert_eq!(seen.status, status, "{method} {path} of {side} ({why}): {}", seen.text());
        if matches!(side, "control" | "metrics" | "status" | "chat") {
            let foreign = request(usher.address(side), method, path, &[("Host", "evil.test")], b"");
            assert!(
                matches!(foreign.status, 421 | 404),
                "{method} {path} of {side} as evil.test: {}",
                foreign.status
            );
        }
    }
}
