//! The sentences of the Admin API contract, one row each.

mod beside;

use serde_json::{Value, json};

use super::{Checker, check, schema, unsupported};
use crate::kind::Kind;

fn sentence(kind: Kind, value: &Value) -> String {
    match check(kind, value) {
        Ok(()) => "ok".to_owned(),
        Err(violation) => violation.admin_sentence(),
    }
}

#[test]
fn every_rule_has_its_sentence() {
    let nodes = json!({ "127.0.0.1:80": 1 });
    let route = |more: Value| {
        let mut route = json!({ "uri": "/a", "upstream": { "nodes": nodes } });
        crate::patch::merge(&mut route, &more);
        route
    };
    for (kind, value, wanted) in [
        (Kind::Route, route(json!({})), "ok"),
        (
            Kind::Route,
            route(json!({ "uri": null })),
            "invalid configuration: allOf 1 failed: value should match only one schema, but matches none",
        ),
        (
            Kind::Route,
            route(json!({ "uris": ["/b"] })),
            "invalid configuration: allOf 1 failed: value should match only one schema, but matches both schemas 1 and 2",
        ),
        (
            Kind::Route,
            json!({ "uri": "/a" }),
            "invalid configuration: object matches none of the required: [\"plugins\"] or [\"upstream\"] or [\"upstream_id\"] or [\"service_id\"] or [\"script\"] or [\"plugin_config_id\"]",
        ),
        (
            Kind::Route,
            route(json!({ "foo": 1 })),
            "invalid configuration: additional properties forbidden, found foo",
        ),
        (
            Kind::Route,
            route(json!({ "uri": 5 })),
            "invalid configuration: property \"uri\" validation failed: wrong type: expected string, got number",
        ),
        (
            Kind::Route,
            route(json!({ "uri": "" })),
            "invalid configuration: property \"uri\" validation failed: string too short, expected at least 1, got 0",
        ),
        (
            Kind::Route,
            route(json!({ "methods": ["GETT"] })),
            "invalid configuration: property \"methods\" validation failed: failed to validate item 1: matches none of the enum values",
        ),
        (
            Kind::Route,
            route(json!({ "methods": ["GET", "GET"] })),
            "invalid configuration: property \"methods\" validation failed: expected unique items but items 1 and 2 are equal",
        ),
        (
            Kind::Route,
            route(json!({ "hosts": [] })),
            "invalid configuration: property \"hosts\" validation failed: expect array to have at least 1 items",
        ),
        (
            Kind::Route,
            route(json!({ "host": "a b" })),
            "invalid configuration: property \"host\" validation failed: failed to match pattern \"^\\*$|^\\*?[0-9a-zA-Z-._\\[\\]:]+$\" with \"a b\"",
        ),
        (
            Kind::Route,
            route(json!({ "host": "a".repeat(256) })),
            "invalid configuration: property \"host\" validation failed: string too long, expected at most 255, got 256",
        ),
        (
            Kind::Service,
            json!({ "hosts": ["a.test", "a".repeat(256)] }),
            "invalid configuration: property \"hosts\" validation failed: failed to validate item 2: string too long, expected at most 255, got 256",
        ),
        (
            Kind::Route,
            route(json!({ "id": "a b" })),
            "invalid configuration: property \"id\" validation failed: object matches none of the required",
        ),
        (
            Kind::Route,
            route(json!({ "id": 0 })),
            "invalid configuration: property \"id\" validation failed: object matches none of the required",
        ),
        (
            Kind::Route,
            route(json!({ "status": 2 })),
            "invalid configuration: property \"status\" validation failed: matches none of the enum values",
        ),
        (
            Kind::Route,
            route(json!({ "timeout": { "connect": 0, "send": 1, "read": 1 } })),
            "invalid configuration: property \"timeout\" validation failed: property \"connect\" validation failed: expected 0 to be greater than 0",
        ),
        (
            Kind::Route,
            route(json!({ "timeout": { "connect": 1 } })),
            "invalid configuration: property \"timeout\" validation failed: property \"send\" is required",
        ),
        (Kind::Route, route(json!({ "host": "a", "hosts": ["b"] })), "only one of host or hosts is allowed"),
        (
            Kind::Route,
            route(json!({ "remote_addr": "::1", "remote_addrs": ["10.0.0.0/8"] })),
            "only one of remote_addr or remote_addrs is allowed",
        ),
        (
            Kind::Route,
            route(json!({ "remote_addr": "10.0.0" })),
            "invalid configuration: property \"remote_addr\" validation failed: object matches none of the required",
        ),
        (
            Kind::Route,
            route(json!({ "vars": [["arg_a", "=", "1"]] })),
            "failed to validate the 'vars' expression: invalid operator '='",
        ),
        (
            Kind::Route,
            route(json!({ "vars": [["post_arg.messages[.content[*].type", "has", "image_url"]] })),
            "failed to validate the 'vars' expression: invalid expression: post_arg.messages[.content[*].type is no path \
             into a body; write one such as post_arg.messages[*].role",
        ),
        (Kind::Route, route(json!({ "vars": [["post_arg.messages[*].user[name]", "has", "jack"]] })), "ok"),
        (
            Kind::Route,
            route(json!({ "upstream": { "retries": -1 } })),
            "invalid configuration: property \"upstream\" validation failed: property \"retries\" validation failed: expected -1 to be at least 0",
        ),
        (
            Kind::Route,
            route(json!({ "upstream": { "checks": {} } })),
            "invalid configuration: property \"upstream\" validation failed: property \"checks\" validation failed: object matches none of the required: [\"active\"] or [\"active\",\"passive\"]",
        ),
        (
            Kind::Upstream,
            json!({}),
            "invalid configuration: value should match only one schema, but matches none",
        ),
        (Kind::Upstream, json!({ "nodes": {} }), "ok"),
        (Kind::Upstream, json!({ "nodes": { "a:0": 1 } }), "invalid port 0"),
        (
            Kind::Upstream,
            json!({ "nodes": { "a:80": -1 } }),
            "invalid configuration: property \"nodes\" validation failed: object matches none of the required",
        ),
        (
            Kind::Upstream,
            json!({ "nodes": [{ "host": "::1", "weight": 1 }] }),
            "invalid configuration: IPv6 address must be enclosed with '[' and ']'",
        ),
        (Kind::Upstream, json!({ "nodes": {}, "type": "chash" }), "missing key"),
        (
            Kind::Upstream,
            json!({ "nodes": {}, "type": "chash", "hash_on": "header", "key": "a b" }),
            "invalid configuration: failed to match pattern \"^[a-zA-Z0-9-_]+$\" with \"a b\"",
        ),
        (
            Kind::Upstream,
            json!({ "nodes": {}, "pass_host": "rewrite" }),
            "`upstream_host` can't be empty when `pass_host` is `rewrite`",
        ),
        (
            Kind::Upstream,
            json!({ "nodes": {}, "tls": { "client_cert": "x".repeat(128) } }),
            "invalid configuration: property \"tls\" validation failed: failed to validate dependent schema for \"client_cert\": property \"client_key\" is required",
        ),
        (
            Kind::Upstream,
            json!({ "nodes": {}, "keepalive_pool": { "size": 0 } }),
            "invalid configuration: property \"keepalive_pool\" validation failed: property \"size\" validation failed: expected 0 to be at least 1",
        ),
        (
            Kind::Upstream,
            json!({ "nodes": {}, "name": "x".repeat(257) }),
            "invalid configuration: property \"name\" validation failed: string too long, expected at most 256, got 257",
        ),
        (
            Kind::Upstream,
            json!({ "nodes": {}, "labels": { "env": {} } }),
            "invalid configuration: property \"labels\" validation failed: failed to validate env (matching \".*\"): wrong type: expected string, got table",
        ),
        (Kind::Consumer, json!({}), "invalid configuration: property \"username\" is required"),
        (
            Kind::Consumer,
            json!({ "username": "jack", "desc": null }),
            "invalid configuration: property \"desc\" validation failed: wrong type: expected string, got userdata",
        ),
        (
            Kind::Credential,
            json!({ "plugins": { "a": {}, "b": {} } }),
            "invalid configuration: property \"plugins\" validation failed: expect object to have at most 1 properties",
        ),
        (Kind::PluginConfig, json!({ "id": "1" }), "invalid configuration: property \"plugins\" is required"),
        (
            Kind::GlobalRule,
            json!({ "id": "1", "plugins": {}, "name": "x" }),
            "invalid configuration: additional properties forbidden, found name",
        ),
        (Kind::Service, json!({}), "ok"),
        (Kind::Service, json!(5), "invalid configuration: wrong type: expected object, got number"),
    ] {
        assert_eq!(sentence(kind, &value), wanted, "{kind} {value}");
    }
}

#[test]
fn what_is_not_served_is_named() {
    for (value, member) in [
        (json!({ "uri": "/a", "upstream": { "nodes": {}, "type": "my_own" } }), "upstream.type"),
        (json!({ "uri": "/a", "upstream": { "nodes": {}, "scheme": "kafka" } }), "upstream.scheme"),
        (
            json!({ "uri": "/a", "upstream": { "service_name": "a", "discovery_type": "tars" } }),
            "upstream.discovery_type",
        ),
    ] {
        let said = unsupported(Kind::Route, &value).unwrap();
        assert!(said.contains(&format!("`{member}`")), "{said}");
    }
    assert_eq!(
        unsupported(Kind::Route, &json!({ "uri": "/a", "upstream": { "nodes": {}, "type": "roundrobin" } })),
        None
    );
}

#[test]
fn schemas_compile_and_stand_alone() {
    for kind in Kind::ALL {
        Checker::new(schema(kind)).unwrap();
        assert!(!schema(kind).to_string().contains("$ref"), "{kind}");
    }
}

proptest::proptest! {
    #[test]
    fn no_value_makes_the_checks_panic(text in "\\PC{0,200}", number in proptest::num::f64::ANY) {
        for kind in Kind::ALL {
            for value in [json!(text), json!(number), json!({ &text: number }), json!({ "uri": text, "vars": [[text, text, number]], "upstream": { "nodes": { &text: number } } })] {
                let _ = check(kind, &value);
                let _ = unsupported(kind, &value);
            }
        }
    }
}

#[test]
fn a_stranger_gets_round_no_rule_by_a_text_that_looks_like_a_reference() {
    let rule =
        json!({ "type": "object", "properties": { "code": { "type": "string", "pattern": "^[0-9]+$" } } });
    let checker = Checker::new(&rule).unwrap();
    let value = json!({ "code": "$env://CODE" });
    assert!(checker.check(&value).is_ok());
    assert!(checker.check_foreign(&value).is_err());
    assert!(checker.check_foreign(&json!({ "code": "12" })).is_ok());
    let sentence = checker.check_foreign(&json!({ "code": "x" })).unwrap_err().sentence;
    assert_eq!(
        sentence,
        "property \"code\" validation failed: failed to match pattern \"^[0-9]+$\" with \"x\""
    );
}
