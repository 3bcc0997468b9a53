//! Figures of traffic over several gateways of one etcd: they add up, and a gateway that can't be asked is named.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::etcd::Etcd;
use crate::support::{KEY, Usher, binary, eventually, request};

/// A gateway with these settings and this store; with a keyring, that of another one.
fn start(settings: &str, store: &str, keyring: Option<&Path>) -> Usher {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let config = folder.path().join("config.yaml");
    std::fs::write(&config, settings).unwrap();
    let mut words = vec!["--config", config.to_str().unwrap(), "--store", store];
    if let Some(keyring) = keyring {
        words.extend(["--keyring-file", keyring.to_str().unwrap()]);
    }
    Usher::start_in(folder, &words)
}

fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn traffic(usher: &Usher, query: &str) -> Value {
    let target = format!("/usher/v1/traffic?{query}");
    let answer = request(usher.address("admin"), "GET", &target, &[("X-API-KEY", KEY)], b"");
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

#[test]
fn figures_are_of_all_gateways_and_those_that_are_missing_are_named() {
    let etcd = Etcd::start();
    let one = start("listen: {gateways: 127.0.0.1:0}\n", &etcd.address(), None);
    let stranger = start("listen: {gateways: 127.0.0.1:0}\n", "memory", None);
    let keyring = one.folder.path().join("data/keyring.key");
    let (own, away) = (free(), free());
    let (other, foreign) = (one.address("gateways"), stranger.address("gateways"));
    let settings = format!(
        "listen: {{gateways: '{own}'}}\ngateways: {{others: ['{own}', '{other}', '{away}', '{foreign}']}}\n"
    );
    let two = start(&settings, &etcd.address(), Some(&keyring));
    one.put("/routes/r", &json!({ "uri": "/a", "plugins": { "mocking": { "response_example": "a" } } }));
    eventually("the route is there", || two.get("/a", &[]).status == 200);
    for _ in 0..3 {
        assert_eq!(one.get("/a", &[]).status, 200);
    }
    // How often the second one was asked until the route was there isn't known.
    let of = |usher: &Usher, query: &str| traffic(usher, query)["total"]["requests"].as_u64().unwrap();
    eventually("the first one has counted", || of(&one, "route=r") == 3);
    let told = traffic(&one, "route=r");
    assert!(told.get("gateways").is_none(), "it knows of no others: {told}");
    eventually("both are counted", || of(&two, "route=r") == 4);
    let told = traffic(&two, "route=r&group=route,status&range=10m&compare=1d");
    assert_eq!(told["series"][0]["key"], json!({ "route": "r", "status": "200" }));
    assert_eq!(
        (&told["series"][0]["total"]["requests"], &told["before"]["requests"]),
        (&json!(4), &json!(0))
    );
    let points = told["series"][0]["requests"].as_array().unwrap();
    assert_eq!(points.iter().filter_map(Value::as_u64).sum::<u64>(), 4);
    assert!(told["total"]["p95_ms"].as_f64().unwrap() > 0.0);
    // It names itself too, which counts once.
    let gateways = &told["gateways"];
    assert_eq!(gateways["counted"], 2, "{gateways}");
    let missing = gateways["missing"].as_array().unwrap();
    assert_eq!(missing.len(), 2, "{gateways}");
    assert_eq!(missing[0]["gateway"], away.to_string());
    assert!(missing[0]["reason"].as_str().unwrap().contains("refused"), "{gateways}");
    assert_eq!(missing[1]["gateway"], foreign.to_string());
    assert!(missing[1]["reason"].as_str().unwrap().contains("keyring"), "{gateways}");

    let said = |words: &[&str], side: &str| {
        let url = format!("http://{}", two.address(side));
        let run = binary().args(words).args(["--url", &url]).env("USHER_ADMIN_KEY", KEY).output().unwrap();
        String::from_utf8(run.stdout).unwrap()
    };
    let table = said(&["traffic"], "admin");
    assert!(table.contains(&format!("of 2 of 4 gateways; missing: {away} (")), "{table}");
    let chat = said(&["chat", "--plain", "show traffic"], "chat");
    assert!(chat.contains(&format!("of 2 of 4 gateways; missing: {away} (")), "{chat}");

    // Once the other one has gone, its requests are in no figure, and it is named.
    drop(one);
    let told = traffic(&two, "route=r");
    assert_eq!((&told["total"]["requests"], &told["gateways"]["counted"]), (&json!(1), &json!(1)));
    assert!(told["gateways"]["missing"].to_string().contains(&other.to_string()), "{told}");
}

#[test]
fn nobody_without_the_keyring_is_told_anything() {
    let usher = start("listen: {gateways: 127.0.0.1:0}\n", "memory", None);
    let to = usher.address("gateways");
    for (method, path, body, status) in [
        ("POST", "/usher/gateways/traffic", "{}", 403),
        ("POST", "/usher/gateways/traffic", "usher:v1:AAAA$AAAA", 403),
        ("GET", "/usher/gateways/traffic", "", 405),
        ("GET", "/usher/v1/status", "", 404),
        ("GET", "/apisix/admin/routes", "", 404),
    ] {
        let answer = request(to, method, path, &[("Content-Type", "text/plain")], body.as_bytes());
        assert_eq!(answer.status, status, "{method} {path} {body}: {}", answer.text());
    }
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.yaml");
    std::fs::write(&config, "gateways: {others: ['http://10.0.0.2']}\n").unwrap();
    let refused = crate::support::run(&["serve", "--config", config.to_str().unwrap()]);
    let text = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && text.contains("write HOST:PORT of its listen.gateways"), "{text}");
}
