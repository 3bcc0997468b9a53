//! Sentences that make objects, and the bodies that they make.

use serde_json::{Value, json};
use usher_model::kind::Kind;

use super::super::compose;
use super::super::intent::Intent;
use super::{intent, limit, links};

fn created(sentence: &str) -> (Kind, String, Value) {
    let Intent::Create { kind, wish } = intent(sentence) else { panic!("{sentence} creates nothing") };
    let links = links(&wish);
    let (id, _) = compose::wanted_id(kind, &wish, &links).unwrap_or_else(|| panic!("{sentence} has no id"));
    let body =
        compose::object(kind, &id, &wish, &links).unwrap_or_else(|reason| panic!("{sentence}: {reason}"));
    (kind, id, body)
}

#[test]
fn sentences_create_objects() {
    let node = |address: &str| json!({ "type": "roundrobin", "nodes": { address: 1 } });
    let cases = [
        (
            "Create a route for GET /speaker/* to the conference API, ten requests a minute per client",
            Kind::Route,
            "speaker",
            json!({ "methods": ["GET"], "uri": "/speaker/*", "upstream_id": "conference-api", "plugins": { "limit-count": limit(10, 60, "remote_addr") } }),
        ),
        (
            "put http://127.0.0.1:3000 behind /api/*, five requests a second per client",
            Kind::Route,
            "api",
            json!({ "uri": "/api/*", "upstream": node("127.0.0.1:3000"), "plugins": { "limit-count": limit(5, 1, "remote_addr") } }),
        ),
        (
            "forward /orders/* to http://127.0.0.1:3000 and http://127.0.0.1:3001 weight 2",
            Kind::Route,
            "orders",
            json!({ "uri": "/orders/*", "upstream": { "type": "roundrobin", "nodes": { "127.0.0.1:3000": 1, "127.0.0.1:3001": 2 } } }),
        ),
        (
            "Could you please make a new route called \"All Talks\" for GET and POST /session/* on host API.example.com to upstream conference-api, thanks",
            Kind::Route,
            "all-talks",
            json!({ "name": "All Talks", "methods": ["GET", "POST"], "uri": "/session/*", "host": "api.example.com", "upstream_id": "conference-api" }),
        ),
        (
            "create a route for /a and /b on a.test and b.test to https://backend.example.com",
            Kind::Route,
            "a",
            json!({ "uris": ["/a", "/b"], "hosts": ["a.test", "b.test"], "upstream": { "type": "roundrobin", "nodes": { "backend.example.com:443": 1 }, "scheme": "https", "pass_host": "node" } }),
        ),
        (
            "create a route for /topic/* to the conference API with key auth and cors for https://a.test and https://b.test",
            Kind::Route,
            "topic",
            json!({ "uri": "/topic/*", "upstream_id": "conference-api", "plugins": { "key-auth": {}, "cors": { "allow_origins": "https://a.test,https://b.test" } } }),
        ),
        (
            "expose the conference API at /conf/*, strip the prefix, require an API key in header X-Key",
            Kind::Route,
            "conf",
            json!({ "uri": "/conf/*", "upstream_id": "conference-api", "plugins": { "key-auth": { "header": "X-Key" }, "proxy-rewrite": { "regex_uri": ["^/conf/(.*)", "/$1"] } } }),
        ),
        (
            "create a route for /v1/* to http://127.0.0.1:3000, rewrite /v1/* to /*",
            Kind::Route,
            "v1",
            json!({ "uri": "/v1/*", "upstream": node("127.0.0.1:3000"), "plugins": { "proxy-rewrite": { "regex_uri": ["^/v1/(.*)", "/$1"] } } }),
        ),
        (
            "create a route for /admin/* to http://127.0.0.1:3000, allow only 10.0.0.0/8 and 127.0.0.1",
            Kind::Route,
            "admin",
            json!({ "uri": "/admin/*", "upstream": node("127.0.0.1:3000"), "plugins": { "ip-restriction": { "whitelist": ["10.0.0.0/8", "127.0.0.1"] } } }),
        ),
        (
            "create a route for /live to localhost:3000 with websocket, priority 10 and a timeout of 5 seconds",
            Kind::Route,
            "live",
            json!({ "priority": 10, "enable_websocket": true, "timeout": { "connect": 5, "send": 5, "read": 5 }, "uri": "/live", "upstream": node("localhost:3000") }),
        ),
        (
            "create a route for /pay/* in service payments with label env=test, limited to 100/h in total",
            Kind::Route,
            "pay",
            json!({ "labels": { "env": "test" }, "uri": "/pay/*", "service_id": "payments", "plugins": { "limit-count": { "count": 100, "time_window": 3600, "rejected_code": 429, "key_type": "constant", "key": "everybody" } } }),
        ),
        (
            "redirect /old/* to /new/* permanently",
            Kind::Route,
            "old",
            json!({ "uri": "/old/*", "plugins": { "redirect": { "regex_uri": ["^/old/(.*)", "/new/$1"], "ret_code": 301 } } }),
        ),
        (
            "redirect http to https on /secure/*",
            Kind::Route,
            "secure",
            json!({ "uri": "/secure/*", "plugins": { "redirect": { "http_to_https": true } } }),
        ),
        (
            "create an upstream called order service with nodes http://127.0.0.1:3000 and http://127.0.0.1:3001",
            Kind::Upstream,
            "order-service",
            json!({ "name": "order service", "type": "roundrobin", "nodes": { "127.0.0.1:3000": 1, "127.0.0.1:3001": 1 } }),
        ),
        (
            "create a service users to upstream conference-api with request ids",
            Kind::Service,
            "users",
            json!({ "upstream_id": "conference-api", "plugins": { "request-id": {} } }),
        ),
        (
            "create a consumer jack with key s3cret",
            Kind::Consumer,
            "jack",
            json!({ "username": "jack", "plugins": { "key-auth": { "key": "s3cret" } } }),
        ),
        (
            "create a consumer mobile-app with key \"a longer key\" and 1,000 requests a day",
            Kind::Consumer,
            "mobile-app",
            json!({ "username": "mobile-app", "plugins": { "limit-count": limit(1_000, 86_400, "consumer_name"), "key-auth": { "key": "a longer key" } } }),
        ),
        (
            "create a credential phone for jack with key 0therKey",
            Kind::Credential,
            "jack/credentials/phone",
            json!({ "plugins": { "key-auth": { "key": "0therKey" } } }),
        ),
        (
            "create a plugin config strict with key auth and 10 requests a minute per consumer",
            Kind::PluginConfig,
            "strict",
            json!({ "plugins": { "key-auth": {}, "limit-count": limit(10, 60, "consumer_name") } }),
        ),
        (
            "create a route for GET /x/* to the conference api on host a.com with key auth",
            Kind::Route,
            "x",
            json!({ "methods": ["GET"], "uri": "/x/*", "host": "a.com", "upstream_id": "conference-api", "plugins": { "key-auth": {} } }),
        ),
        (
            "create a route for /x on host a.com to http://127.0.0.1:1",
            Kind::Route,
            "x",
            json!({ "uri": "/x", "host": "a.com", "upstream": node("127.0.0.1:1") }),
        ),
        (
            "create a service s on host a.com to upstream conference-api",
            Kind::Service,
            "s",
            json!({ "hosts": ["a.com"], "upstream_id": "conference-api" }),
        ),
        (
            "create a route for GET,POST /x to http://127.0.0.1:1 with a rate limit of ten requests per minute",
            Kind::Route,
            "x",
            json!({ "methods": ["GET", "POST"], "uri": "/x", "upstream": node("127.0.0.1:1"), "plugins": { "limit-count": limit(10, 60, "remote_addr") } }),
        ),
        (
            "create a route for /x to http://127.0.0.1:1, max 10 requests/min",
            Kind::Route,
            "x",
            json!({ "uri": "/x", "upstream": node("127.0.0.1:1"), "plugins": { "limit-count": limit(10, 60, "remote_addr") } }),
        ),
        (
            "create a route for /x to http://127.0.0.1:1 with 10 req/s",
            Kind::Route,
            "x",
            json!({ "uri": "/x", "upstream": node("127.0.0.1:1"), "plugins": { "limit-count": limit(10, 1, "remote_addr") } }),
        ),
        (
            "create a global rule with metrics",
            Kind::GlobalRule,
            "prometheus",
            json!({ "plugins": { "prometheus": {} } }),
        ),
        (
            "create route raw {\"uri\": \"/raw\", \"upstream_id\": \"x\"}",
            Kind::Route,
            "raw",
            json!({ "uri": "/raw", "upstream_id": "x" }),
        ),
    ];
    for (sentence, kind, id, body) in cases {
        assert_eq!(created(sentence), (kind, id.to_owned(), body), "{sentence}");
    }
}

#[test]
fn what_is_missing_is_asked_for_instead_of_guessed() {
    for (sentence, wanted) in [
        ("create a route for /x", "say where its requests go"),
        ("create a route to http://127.0.0.1:1", "a route needs a path"),
        ("create an upstream called x", "an upstream needs nodes"),
        ("create a global rule", "say which plugins"),
        ("create a route for /x to http://127.0.0.1:1 and https://127.0.0.1:2", "the same way"),
        ("create a route for /x to http://127.0.0.1:1, strip the prefix", "there is no prefix"),
    ] {
        let Intent::Create { kind, wish } = intent(sentence) else { panic!("{sentence}") };
        let refused = compose::object(kind, "x", &wish, &links(&wish)).unwrap_err();
        assert!(refused.contains(wanted), "{sentence}: {refused}");
    }
}
