//! Sentences that change objects, and the patches that they make of one.

use serde_json::{Value, json};

use super::super::compose::Links;
use super::super::intent::{Alteration, Called, Intent, Target};
use super::super::revise::{self, Current};
use super::{intent, limit, links};

/// The patch that a sentence makes of an object.
fn patched(sentence: &str, id: &str, value: &Value) -> Result<Value, String> {
    let (target, patch) = match intent(sentence) {
        Intent::Change { target: Target::One(reference), alteration } => {
            let links = match &alteration {
                Alteration::Set(wish) | Alteration::Add(wish) => links(wish),
                _ => Links::default(),
            };
            let current = Current { kind: reference.kind, id, value };
            (reference, revise::patch(current, &alteration, &links))
        }
        Intent::Weigh { node, upstream: Some(reference) } => {
            let current = Current { kind: reference.kind, id, value };
            (reference, revise::weigh(current, &node))
        }
        other => panic!("{sentence} changes no one object: {other:?}"),
    };
    assert!(
        matches!(&target.called, Called::Name(name) if name == id)
            || !matches!(target.called, Called::Name(_)),
        "{sentence}: {target:?}"
    );
    patch
}

#[test]
fn sentences_change_routes() {
    let route = json!({
        "uri": "/speaker/*", "host": "a.example.com", "methods": ["GET"], "upstream_id": "conference-api", "desc": "x",
        "plugins": { "limit-count": limit(10, 60, "remote_addr"), "ip-restriction": { "blacklist": ["1.2.3.4"] }, "redirect": { "http_to_https": true } },
    });
    // Whom the limit counts stays, unless the sentence says it.
    let limited = |count: u64, secs: u64| json!({ "plugins": { "limit-count": { "count": count, "time_window": secs } } });
    let cases = [
        ("add a limit of 5 requests a second to route speaker", limited(5, 1)),
        (
            "limit route speaker to 100 requests an hour per consumer",
            json!({ "plugins": { "limit-count": { "count": 100, "time_window": 3_600, "key_type": "var", "key": "consumer_name" } } }),
        ),
        ("change the limit of route speaker to 100/h", limited(100, 3_600)),
        ("make route speaker allow only five requests a minute", limited(5, 60)),
        ("give the speaker route a limit of 5/s", limited(5, 1)),
        (
            "add host c.example.com and method POST to route speaker",
            json!({ "methods": ["GET", "POST"], "hosts": ["a.example.com", "c.example.com"], "host": null }),
        ),
        (
            "update route speaker with hosts *.b.test, localhost and 10.0.0.1 and priority 5",
            json!({ "priority": 5, "hosts": ["*.b.test", "localhost", "10.0.0.1"], "host": null }),
        ),
        ("remove the limit from route speaker", json!({ "plugins": { "limit-count": null } })),
        (
            "remove the limit and the description from speaker",
            json!({ "plugins": { "limit-count": null }, "desc": null }),
        ),
        ("require a key on /speaker/*", json!({ "plugins": { "key-auth": {} } })),
        ("protect the speaker route with key auth", json!({ "plugins": { "key-auth": {} } })),
        (
            "enable cors for https://app.example.com on route speaker",
            json!({ "plugins": { "cors": { "allow_origins": "https://app.example.com" } } }),
        ),
        (
            "allow only 10.0.0.0/8 on route speaker",
            json!({ "plugins": { "ip-restriction": { "whitelist": ["10.0.0.0/8"], "blacklist": null } } }),
        ),
        (
            "deny 5.6.7.8 on route speaker",
            json!({ "plugins": { "ip-restriction": { "blacklist": ["1.2.3.4", "5.6.7.8"] } } }),
        ),
        (
            "update route speaker with host b.example.com and priority 5",
            json!({ "priority": 5, "host": "b.example.com" }),
        ),
        (
            "add host b.example.com to route speaker",
            json!({ "hosts": ["a.example.com", "b.example.com"], "host": null }),
        ),
        ("add method POST to route speaker", json!({ "methods": ["GET", "POST"] })),
        ("change route speaker to GET and HEAD", json!({ "methods": ["GET", "HEAD"] })),
        ("change the path of route speaker to /speakers/*", json!({ "uri": "/speakers/*" })),
        (
            "point route speaker to http://127.0.0.1:3001",
            json!({ "upstream": { "type": "roundrobin", "nodes": { "127.0.0.1:3001": 1 } }, "upstream_id": null }),
        ),
        ("change the upstream of route speaker to payments", json!({ "upstream_id": "payments" })),
        (
            "strip the prefix on route speaker",
            json!({ "plugins": { "proxy-rewrite": { "regex_uri": ["^/speaker/(.*)", "/$1"] } } }),
        ),
        ("rename route speaker to talks", json!({ "name": "talks" })),
        ("disable route speaker", json!({ "status": 0 })),
        ("take it out of service", json!({ "status": 0 })),
        ("add plugin config strict to route speaker", json!({ "plugin_config_id": "strict" })),
        ("set the description of route speaker to \"the speakers\"", json!({ "desc": "the speakers" })),
        ("remove the host restriction from route speaker", json!({ "host": null })),
    ];
    for (sentence, patch) in cases {
        assert_eq!(patched(sentence, "speaker", &route), Ok(patch), "{sentence}");
    }
    for (sentence, reason) in [
        (
            "remove key auth from route speaker",
            "route speaker has no key-auth; it has limit-count, ip-restriction, redirect",
        ),
        ("remove method GET from route speaker", "GET is the only one"),
        ("enable route speaker", "in service already"),
        ("change the path of route speaker to /speaker/*", "so already"),
        ("remove host b.test from route speaker", "does not name b.test"),
    ] {
        let refused = patched(sentence, "speaker", &route).unwrap_err();
        assert!(refused.contains(reason), "{sentence}: {refused}");
    }
}

#[test]
fn sentences_change_nodes() {
    let named = json!({ "type": "roundrobin", "nodes": { "127.0.0.1:3000": 1, "127.0.0.1:3001": 1 } });
    let listed = json!({ "nodes": [{ "host": "127.0.0.1", "port": 3000, "weight": 1, "priority": 1 }, { "host": "127.0.0.1", "port": 3001, "weight": 1 }] });
    for (sentence, of_named, of_listed) in [
        (
            "add node http://127.0.0.1:3002 weight 2 to upstream orders",
            json!({ "nodes": { "127.0.0.1:3002": 2 } }),
            json!({ "nodes": [listed["nodes"][0], listed["nodes"][1], { "host": "127.0.0.1", "port": 3002, "weight": 2 }] }),
        ),
        (
            "set the weight of node 127.0.0.1:3001 in upstream orders to 3",
            json!({ "nodes": { "127.0.0.1:3001": 3 } }),
            json!({ "nodes": [listed["nodes"][0], { "host": "127.0.0.1", "port": 3001, "weight": 3 }] }),
        ),
        (
            "remove node 127.0.0.1:3001 from upstream orders",
            json!({ "nodes": { "127.0.0.1:3001": null } }),
            json!({ "nodes": [listed["nodes"][0]] }),
        ),
        (
            "change the nodes of upstream orders to http://127.0.0.1:4000",
            json!({ "nodes": { "127.0.0.1:4000": 1, "127.0.0.1:3000": null, "127.0.0.1:3001": null } }),
            json!({ "nodes": { "127.0.0.1:4000": 1 } }),
        ),
    ] {
        assert_eq!(patched(sentence, "orders", &named), Ok(of_named), "{sentence}");
        assert_eq!(patched(sentence, "orders", &listed), Ok(of_listed), "{sentence}");
    }
    let refused = patched("remove node 127.0.0.1:9 from upstream orders", "orders", &named).unwrap_err();
    assert!(refused.contains("127.0.0.1:3000, 127.0.0.1:3001"), "{refused}");
}

#[test]
fn what_is_not_seen_whole_is_not_written_back() {
    let route = json!({
        "uri": "/speaker/*", "hosts": ["a.test", "\u{2026} 1975 more"], "upstream": { "nodes": { "a:1": 1, "\u{2026}": "9 more" } },
    });
    for sentence in [
        "add host b.test to route speaker",
        "remove host a.test from route speaker",
        "add method POST to route speaker",
        "add node http://127.0.0.1:1 to route speaker",
        "remove node a:1 from route speaker",
        "point route speaker to http://127.0.0.1:1",
    ] {
        let refused = patched(sentence, "speaker", &route).unwrap_err();
        assert!(refused.contains("too large to be read whole"), "{sentence}: {refused}");
    }
    let renamed = patched("rename route speaker to talks", "speaker", &route).unwrap();
    assert_eq!(renamed, json!({ "name": "talks" }));
}
