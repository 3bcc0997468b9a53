//! Export and import: every kind comes out and goes in again, with and without its secrets.

use super::{Desk, word};

/// One object of each kind, with a secret wherever a kind can have one.
const EVERYTHING: &str = r#"usher: 1
routes:
  r1:
    uri: /r1
    name: first
    labels: {team: pay}
    service_id: s1
    plugin_config_id: p1
    plugins: {key-auth: {}, limit-count: {count: 1, time_window: 60, key: remote_addr}}
services:
  s1: {name: shop, upstream_id: u1}
upstreams:
  u1: {type: roundrobin, nodes: {"127.0.0.1:9": 1}}
consumers:
  jack: {group_id: g1, plugins: {key-auth: {key: canary-of-jack}}}
plugin_configs:
  p1: {plugins: {request-id: {}}}
global_rules:
  x1: {plugins: {cors: {}}}
consumer_groups:
  g1: {plugins: {response-rewrite: {headers: {set: {X-Group: g1}}}}}
protos:
  p1: {content: "syntax = \"proto3\"; package a; message B { string c = 1; }"}
secrets:
  vault/1: {uri: "http://127.0.0.1:8200", prefix: kv/usher, token: canary-of-vault}
"#;

fn filled() -> Desk {
    let desk = Desk::new();
    desk.done(&["import", word(&desk.file("everything.yaml", EVERYTHING)), "--yes"]);
    desk
}

#[test]
fn everything_goes_out_with_its_secrets_and_into_another_usher() {
    let desk = filled();
    let out = desk.path("export.yaml");
    desk.done(&["export", "--reveal-secrets", "-o", word(&out)]);
    let clear = std::fs::read_to_string(&out).unwrap();
    assert!(clear.contains("canary-of-jack") && clear.contains("canary-of-vault"), "{clear}");
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(std::fs::metadata(&out).unwrap().permissions().mode() & 0o777, 0o600);
    let other = Desk::new();
    other.done(&["import", word(&out), "--yes"]);
    assert_eq!(other.done(&["export", "--reveal-secrets"]), clear);
    assert_eq!(other.json(&["list", "-o", "json"]), desk.json(&["list", "-o", "json"]));
    assert!(desk.done(&["audit"]).contains("revealed"));
}

#[test]
fn masks_come_out_and_mean_the_same_where_they_come_from() {
    let desk = filled();
    let masked = desk.done(&["export"]);
    assert!(!masked.contains("canary") && masked.contains("***"), "{masked}");
    let file = desk.file("masked.yaml", &masked);
    assert_eq!(
        desk.done(&["import", word(&file), "--replace", "--yes"]).trim(),
        "nothing differs from what is there"
    );
    let other = Desk::new().say(&["import", word(&file), "--yes"]);
    assert_eq!(other.code, 3, "{other:?}");
}

#[test]
fn apisix_s_form_comes_back_as_the_same_objects() {
    let desk = filled();
    let out = desk.path("apisix.yaml");
    desk.done(&["export", "--format", "apisix", "--reveal-secrets", "-o", word(&out)]);
    assert!(std::fs::read_to_string(&out).unwrap().trim_end().ends_with("#END"));
    let other = Desk::new();
    other.done(&["import", word(&out), "--yes"]);
    assert_eq!(other.done(&["export", "--reveal-secrets"]), desk.done(&["export", "--reveal-secrets"]));
}

#[test]
fn replacing_takes_away_what_the_file_has_not() {
    let desk = filled();
    let file = desk.file("one.yaml", "usher: 1\nupstreams:\n  u2: {nodes: {\"127.0.0.1:9\": 1}}\n");
    desk.done(&["import", word(&file), "--replace", "--yes"]);
    let counts = desk.json(&["list", "-o", "json"]);
    let left: Vec<&String> =
        counts.as_object().unwrap().iter().filter(|(_, count)| **count != 0).map(|(kind, _)| kind).collect();
    assert_eq!(left, ["upstream"]);
    desk.done(&["undo", "--yes"]);
    assert_eq!(desk.json(&["list", "-o", "json"])["route"], 1);
    let part = desk.done(&["export", "--kind", "routes", "--label", "team=pay"]);
    assert!(part.contains("r1") && !part.contains("upstreams"), "{part}");
}
