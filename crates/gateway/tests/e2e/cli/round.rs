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

/// A server that keeps stream routes too.
fn with_streams() -> Desk {
    let folder = std::sync::Arc::new(tempfile::tempdir().unwrap());
    let config = folder.path().join("config.yaml");
    std::fs::write(&config, "apisix: {proxy_mode: http&stream}\n").unwrap();
    let words = ["--store", "memory", "--config", word(&config)];
    Desk::of(crate::support::Usher::start_in(std::sync::Arc::clone(&folder), &words))
}

/// What stands beside [`EVERYTHING`]: the kinds that need a certificate, a setting, or something to live below.
fn beside() -> String {
    let made = rcgen::generate_simple_self_signed(vec!["a.example".to_owned()]).unwrap();
    let block = |pem: &str| pem.lines().map(|line| format!("      {line}\n")).collect::<String>();
    let (cert, key) = (block(&made.cert.pem()), block(&made.signing_key.serialize_pem()));
    format!(
        "usher: 1\nssls:\n  a:\n    sni: a.example\n    cert: |\n{cert}    key: |\n{key}\
         stream_routes:\n  t1: {{server_port: 9100, upstream_id: u1}}\n\
         plugin_metadata:\n  cors: {{allow_origins: {{own: https://a.example}}}}\n\
         consumers:\n  jill:\n    credentials:\n      c1: {{plugins: {{key-auth: {{key: canary-of-jill}}}}}}\n\
         services:\n  g1:\n    upstream_id: u1\n    graphql_cost_decorations:\n      d1: {{field_path: Query.a, mul_value: 2}}\n"
    )
}

#[test]
fn every_kind_goes_out_and_comes_in_again() {
    let desk = with_streams();
    desk.done(&["import", word(&desk.file("everything.yaml", EVERYTHING)), "--yes"]);
    desk.done(&["import", word(&desk.file("beside.yaml", &beside())), "--yes"]);
    let counts = desk.json(&["list", "-o", "json"]);
    let missing: Vec<_> = counts.as_object().unwrap().iter().filter(|(_, count)| **count == 0).collect();
    assert!(counts.as_object().unwrap().len() == 14 && missing.is_empty(), "{counts}");
    for format in ["usher", "apisix"] {
        let out = desk.path(&format!("{format}.yaml"));
        desk.done(&["export", "--format", format, "--reveal-secrets", "-o", word(&out)]);
        let other = with_streams();
        other.done(&["import", word(&out), "--yes"]);
        assert_eq!(other.json(&["list", "-o", "json"]), counts, "{format}");
        assert_eq!(
            other.done(&["export", "--reveal-secrets"]),
            desk.done(&["export", "--reveal-secrets"]),
            "{format}"
        );
    }
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

#[test]
fn masked_private_keys_come_back_where_they_come_from() {
    let desk = Desk::new();
    let made = rcgen::generate_simple_self_signed(vec!["a.example".to_owned()]).unwrap();
    let (cert, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let pair = serde_json::json!({
        "usher": 1,
        "ssls": { "1": { "sni": "a.example", "cert": cert, "key": key, "certs": [cert], "keys": [key] } },
        "upstreams": { "u": { "scheme": "https", "nodes": { "127.0.0.1:9": 1 }, "tls": { "client_cert": cert, "client_key": key } } },
    });
    let whole = desk.file("whole.json", &pair.to_string());
    desk.done(&["apply", "-f", word(&whole), "--yes"]);
    let masked = desk.done(&["export"]);
    assert!(!masked.contains("PRIVATE KEY") && masked.contains("***"), "{masked}");
    let file = desk.file("masked.yaml", &masked);
    let nothing = "nothing differs from what is there";
    assert_eq!(desk.done(&["diff", "-f", word(&file)]).trim(), nothing);
    assert_eq!(desk.done(&["import", word(&file), "--replace", "--yes"]).trim(), nothing);
    let said = desk.say(&["validate", word(&file)]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.out.contains("2 objects are good") && said.err.contains("3 secrets are masks"), "{said:?}");
    // What else is changed beside a mask keeps the key.
    let edited = desk.file("edited.yaml", &masked.replace("a.example", "b.example"));
    desk.done(&["import", word(&edited), "--yes"]);
    let clear = desk.done(&["export", "--reveal-secrets", "--kind", "ssl"]);
    assert!(clear.contains("PRIVATE KEY") && clear.contains("b.example"), "{clear}");
    // Another Usher knows no such key, and says which.
    let other = Desk::new().say(&["import", word(&file), "--yes"]);
    assert_eq!(other.code, 3, "{other:?}");
    assert!(other.err.contains("belongs to no stored value"), "{other:?}");
}

#[test]
fn a_label_that_nothing_carries_is_no_empty_export() {
    let desk = filled();
    for (label, code, part) in
        [("team=pay", 0, ""), ("bad", 4, "no object carries"), ("team=", 3, "no label")]
    {
        let said = desk.say(&["export", "--label", label]);
        assert_eq!(said.code, code, "{said:?}");
        assert!(said.err.contains(part), "{said:?}");
    }
}
