//! What every port answers to somebody without a key: a list, each entry with the reason why it may.

use usher_model::kind::Kind;

use crate::support::{Usher, request};

/// Side, method, path, status, and why.
const ANSWERED: [(&str, &str, &str, u16, &str); 19] = [
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
    ("chat", "GET", "/ui/", 200, "the console's page is for everybody, and shows nothing without a login"),
    ("chat", "GET", "/usher/v1/status", 401, "a key, a token or a session is asked for"),
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

/// Everything that the documents of the Admin port name, and every collection, with every method; those that answer, and why.
#[test]
fn no_place_of_the_admin_port_is_open() {
    const PUBLIC: [(&str, &str); 6] = [
        ("/usher/v1/openapi.json", "the API's document tells nothing of this gateway"),
        ("/usher/v1/openapi.yaml", "the same"),
        ("/usher/v1/session", "it asks for a password or a key itself, and tells nobody of anybody else"),
        ("/usher/v1/session/oidc", "it is where a login by a provider begins, where there is one"),
        ("/usher/v1/session/oidc/back", "it asks for what the provider gave itself"),
        ("/usher/v1/setup", "it asks for the one-time code itself"),
    ];
    let usher = Usher::start(&["--store", "memory"]);
    let admin = usher.address("admin");
    let document = request(admin, "GET", "/usher/v1/openapi.json", &[], b"").json();
    let mut places: Vec<String> = document["paths"]
        .as_object()
        .unwrap()
        .keys()
        .map(|path| path.replace("{kind}", "routes").replace(['{', '}'], ""))
        .collect();
    assert!(places.len() > 20, "{places:?}");
    for kind in Kind::ALL.into_iter().filter(|kind| !kind.is_below_another()) {
        let collection = format!("/apisix/admin/{}", kind.collection());
        places.extend(["", "/1", "/1/name", "?ttl=1"].map(|rest| format!("{collection}{rest}")));
    }
    for rest in [
        "consumers/a/credentials",
        "consumers/a/credentials/1",
        "services/1/graphql_cost_decorations",
        "plugins/list",
        "plugins/reload",
        "plugins/key-auth",
        "schema/route",
        "schema/plugins/key-auth",
        "schema/validate/routes",
        "configs",
        "configs/validate",
        "nothing",
    ] {
        places.push(format!("/apisix/admin/{rest}"));
    }
    for place in places {
        for method in ["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE"] {
            let seen = request(admin, method, &place, &[("Content-Type", "application/json")], b"{}");
            let public = PUBLIC.iter().any(|(path, _)| *path == place);
            let asks_itself = place.contains("/usher/v1/session") || place.ends_with("/setup");
            let wanted: &[u16] = match (public, asks_itself) {
                // What is sent here is no password, key or code; who has no session may end it.
                (_, true) => &[200, 204, 400, 401, 403, 405, 422],
                (true, false) => &[200, 405],
                (false, false) => &[401, 404, 405],
            };
            assert!(wanted.contains(&seen.status), "{method} {place}: {} {}", seen.status, seen.text());
            assert!(
                public || seen.status == 401 || !seen.text().contains("\"value\""),
                "{method} {place}: {}",
                seen.text()
            );
        }
    }
}
