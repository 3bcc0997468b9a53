//! Sentences and what they come to: the intent, and the change that a plan would be made of.

use serde_json::{Value, json};
use usher_model::kind::Kind;

use super::compose::{self, Links};
use super::examples::EXAMPLES;
use super::intent::{Alteration, Asked, Backend, Called, Filter, Intent, Reference, Target, Wish};
use super::revise::{self, Current};
use super::ids::id_from_name;
use super::parse;

fn intent(sentence: &str) -> Intent {
    parse(sentence).unwrap_or_else(|unknown| panic!("{sentence}: {unknown}")).intent
}

/// Names as if each object had the id that its name makes.
fn links(wish: &Wish) -> Links {
    let id = |name: &Option<String>| name.as_deref().and_then(id_from_name);
    let upstream = match &wish.backend {
        Some(Backend::Named(name)) => id_from_name(name),
        _ => None,
    };
    Links { upstream, service: id(&wish.service), plugin_config: id(&wish.plugin_config), consumer: id(&wish.consumer) }
}

fn created(sentence: &str) -> (Kind, String, Value) {
    let Intent::Create { kind, wish } = intent(sentence) else { panic!("{sentence} creates nothing") };
    let links = links(&wish);
    let (id, _) = compose::wanted_id(kind, &wish, &links).unwrap_or_else(|| panic!("{sentence} has no id"));
    let body = compose::object(kind, &id, &wish, &links).unwrap_or_else(|reason| panic!("{sentence}: {reason}"));
    (kind, id, body)
}

fn limit(count: u64, secs: u64, key: &str) -> Value {
    json!({ "count": count, "time_window": secs, "rejected_code": 429, "key_type": "var", "key": key })
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
        ("create a global rule with metrics", Kind::GlobalRule, "prometheus", json!({ "plugins": { "prometheus": {} } })),
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
        matches!(&target.called, Called::Name(name) if name == id) || !matches!(target.called, Called::Name(_)),
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
    let limited = |count, secs, key| json!({ "plugins": { "limit-count": limit(count, secs, key) } });
    let cases = [
        ("add a limit of 5 requests a second to route speaker", limited(5, 1, "remote_addr")),
        ("limit route speaker to 100 requests an hour per consumer", limited(100, 3_600, "consumer_name")),
        ("change the limit of route speaker to 100/h", limited(100, 3_600, "remote_addr")),
        ("make route speaker allow only five requests a minute", limited(5, 60, "remote_addr")),
        ("give the speaker route a limit of 5/s", limited(5, 1, "remote_addr")),
        ("remove the limit from route speaker", json!({ "plugins": { "limit-count": null } })),
        ("remove the limit and the description from speaker", json!({ "plugins": { "limit-count": null }, "desc": null })),
        ("require a key on /speaker/*", json!({ "plugins": { "key-auth": {} } })),
        ("protect the speaker route with key auth", json!({ "plugins": { "key-auth": {} } })),
        ("enable cors for https://app.example.com on route speaker", json!({ "plugins": { "cors": { "allow_origins": "https://app.example.com" } } })),
        ("allow only 10.0.0.0/8 on route speaker", json!({ "plugins": { "ip-restriction": { "whitelist": ["10.0.0.0/8"], "blacklist": null } } })),
        ("deny 5.6.7.8 on route speaker", json!({ "plugins": { "ip-restriction": { "blacklist": ["1.2.3.4", "5.6.7.8"] } } })),
        ("update route speaker with host b.example.com and priority 5", json!({ "priority": 5, "host": "b.example.com" })),
        ("add host b.example.com to route speaker", json!({ "hosts": ["a.example.com", "b.example.com"], "host": null })),
        ("add method POST to route speaker", json!({ "methods": ["GET", "POST"] })),
        ("change route speaker to GET and HEAD", json!({ "methods": ["GET", "HEAD"] })),
        ("change the path of route speaker to /speakers/*", json!({ "uri": "/speakers/*" })),
        ("point route speaker to http://127.0.0.1:3001", json!({ "upstream": { "type": "roundrobin", "nodes": { "127.0.0.1:3001": 1 } }, "upstream_id": null })),
        ("change the upstream of route speaker to payments", json!({ "upstream_id": "payments" })),
        ("strip the prefix on route speaker", json!({ "plugins": { "proxy-rewrite": { "regex_uri": ["^/speaker/(.*)", "/$1"] } } })),
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
        ("remove key auth from route speaker", "route speaker has no key-auth; it has limit-count, ip-restriction, redirect"),
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

fn route(name: &str) -> Reference {
    Reference { kind: Kind::Route, called: Called::Name(name.to_owned()) }
}

fn written(method: Option<&str>, path: &str) -> Reference {
    let called = Called::Path { method: method.map(str::to_owned), path: path.to_owned() };
    Reference { kind: Kind::Route, called }
}

fn asked(method: &str, path: &str) -> Asked {
    Asked { method: method.to_owned(), path: path.to_owned(), ..Asked::default() }
}

#[test]
fn sentences_look_explain_and_take_back() {
    let list = |kind, filter| Intent::List { kind, filter };
    let plugin = |name: &str| Filter::Plugin(name.to_owned());
    for (sentence, wanted) in [
        ("Show all routes", list(Kind::Route, Filter::All)),
        ("routes", list(Kind::Route, Filter::All)),
        ("what routes are there?", list(Kind::Route, Filter::All)),
        ("which routes need a key?", list(Kind::Route, plugin("key-auth"))),
        ("which routes have a limit?", list(Kind::Route, plugin("limit-count"))),
        ("show routes with cors", list(Kind::Route, plugin("cors"))),
        ("which routes go to the conference API?", list(Kind::Route, Filter::Upstream("conference API".to_owned()))),
        ("which routes are disabled?", list(Kind::Route, Filter::Disabled)),
        ("show routes for /speaker", list(Kind::Route, Filter::Text("/speaker".to_owned()))),
        ("show routes on host a.test", list(Kind::Route, Filter::Text("a.test".to_owned()))),
        ("show routes with label env=test", list(Kind::Route, Filter::Label("env:test".to_owned()))),
        ("list the credentials of jack", list(Kind::Credential, Filter::Text("jack".to_owned()))),
        ("show plugin configs", list(Kind::PluginConfig, Filter::All)),
        ("list all global rules please", list(Kind::GlobalRule, Filter::All)),
        ("show route speaker", Intent::Show(route("speaker"))),
        ("show me the route for GET /speaker/*", Intent::Show(written(Some("GET"), "/speaker/*"))),
        ("what is the speaker route", Intent::Show(route("speaker"))),
        ("how is the gateway?", Intent::Overview),
        ("which routes are the busiest?", Intent::Overview),
        ("show plugins", Intent::Plugins),
        ("help limit-count", Intent::Plugin("limit-count".to_owned())),
        ("what does key-auth do?", Intent::Plugin("key-auth".to_owned())),
        ("help", Intent::Help),
        ("What can you do?", Intent::Help),
        ("undo that", Intent::Undo { revision: None }),
        ("take that back", Intent::Undo { revision: None }),
        ("undo the last change", Intent::Undo { revision: None }),
        ("undo revision 5", Intent::Undo { revision: Some(5) }),
        ("undo #5", Intent::Undo { revision: Some(5) }),
        ("what changed?", Intent::History { of: None, last: None }),
        ("show the last 5 changes", Intent::History { of: None, last: Some(5) }),
        ("who changed route speaker?", Intent::History { of: Some(route("speaker")), last: None }),
        ("explain GET /speaker/1", Intent::Explain(asked("GET", "/speaker/1"))),
        (
            "explain POST /speaker/1 for host a.test from 10.0.0.1 with header X-A: b",
            Intent::Explain(Asked {
                host: Some("a.test".to_owned()),
                client: Some("10.0.0.1".to_owned()),
                headers: vec![("X-A".to_owned(), "b".to_owned())],
                ..asked("POST", "/speaker/1")
            }),
        ),
        ("why does GET /x answer 404?", Intent::Explain(Asked { status: Some(404), ..asked("GET", "/x") })),
        ("why do I get 429 on /speaker/1?", Intent::Explain(Asked { status: Some(429), ..asked("GET", "/speaker/1") })),
        ("which route takes /speaker/1?", Intent::Explain(asked("GET", "/speaker/1"))),
        ("send GET /speaker/1", Intent::Probe(asked("GET", "/speaker/1"))),
        ("GET /speaker/1", Intent::Probe(asked("GET", "/speaker/1"))),
        (
            "send POST /x with body {\"a\": 1} for host a.test",
            Intent::Probe(Asked { body: Some("{\"a\": 1}".to_owned()), host: Some("a.test".to_owned()), ..asked("POST", "/x") }),
        ),
        ("delete route a, b and c", Intent::Delete(vec![route("a"), route("b"), route("c")])),
        ("delete the route for /old/*", Intent::Delete(vec![written(None, "/old/*")])),
        (
            "delete credential phone of jack",
            Intent::Delete(vec![Reference { kind: Kind::Credential, called: Called::Name("jack/credentials/phone".to_owned()) }]),
        ),
        ("delete it", Intent::Delete(vec![Reference { kind: Kind::Route, called: Called::It }])),
        ("delete \"route with odd name\" please", Intent::Delete(vec![])),
    ] {
        if wanted == Intent::Delete(vec![]) {
            assert!(parse(sentence).is_err(), "{sentence}: the kind has to be said");
            continue;
        }
        assert_eq!(intent(sentence), wanted, "{sentence}");
    }
    let everything = intent("deny 203.0.113.7 for everything");
    assert!(matches!(everything, Intent::Change { target: Target::Everything, .. }), "{everything:?}");
}

#[test]
fn what_is_not_understood_names_the_part_and_what_is_near() {
    for (sentence, part, near) in [
        ("make it faster", "make it faster", ""),
        ("shwo all routes", "", "show all routes"),
        ("shwo all ruotes", "", "show all routes"),
        ("create a route for /x to http://127.0.0.1:1 with glitter", "glitter", ""),
        ("create a route for GET /a and POST /b to x", "POST /b", "create a route"),
        ("create a route for /x to http://127.0.0.1:1/base", "http://127.0.0.1:1/base", "route"),
        ("delete all routes", "delete all routes", "delete route speaker"),
        ("delete routes", "", "delete route speaker"),
        ("add cors", "add cors", "route speaker"),
        ("explain", "", "explain GET /speaker/1"),
        ("create a route for /x to y with a limit of many", "limit", "10 requests a minute"),
        ("undo everything", "", "undo"),
        ("", "", "show all routes"),
        ("route", "route", ""),
    ] {
        let unknown = parse(sentence).map(|said| said.intent).expect_err(sentence);
        let text = unknown.to_string();
        assert!(text.contains("understand") && text.contains("`help`"), "{text}");
        assert!(unknown.part.contains(part), "{sentence}: {unknown:?}");
        assert!(!unknown.nearest.is_empty() && unknown.nearest.len() <= 3, "{sentence}");
        assert!(text.contains(near), "{sentence}: {text}");
    }
}

#[test]
fn a_key_is_in_no_text_made_from_a_sentence() {
    for sentence in [
        "create a consumer jack with key hunter2",
        "create a consumer jack with key hunter2 and glitter",
        "change the key of consumer jack to hunter2",
        "with the key hunter2 do things",
        "shwo key hunter2",
        "add a key hunter2 to consumer jack",
    ] {
        let text = match parse(sentence) {
            Ok(said) => format!("{} {:?}", said.sentence, said.intent),
            Err(unknown) => unknown.to_string(),
        };
        // The body of a plugin holds the key, but nothing prints it.
        assert!(!text.contains("hunter2"), "{sentence}: {text}");
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

#[test]
fn every_example_is_understood() {
    for sentence in EXAMPLES.iter().flat_map(|group| group.sentences) {
        assert!(parse(sentence).is_ok(), "{sentence}: {}", parse(sentence).unwrap_err());
    }
}

/// Sentences of the manual: the lines of its `text` blocks.
fn manual() -> Vec<&'static str> {
    const MANUAL: &str = include_str!("../../../../docs/chat.md");
    let mut sentences = Vec::new();
    let mut inside = false;
    for line in MANUAL.lines() {
        match line {
            "```text" => inside = true,
            "```" => inside = false,
            line if inside && !line.trim().is_empty() => sentences.push(line.trim()),
            _ => {}
        }
    }
    sentences
}

#[test]
fn the_manual_lists_what_is_understood_and_nothing_else() {
    let manual = manual();
    for sentence in &manual {
        assert!(parse(sentence).is_ok(), "docs/chat.md: {sentence}: {}", parse(sentence).unwrap_err());
    }
    for sentence in EXAMPLES.iter().flat_map(|group| group.sentences) {
        assert!(manual.contains(sentence), "docs/chat.md lacks: {sentence}");
    }
}

#[test]
fn no_sentence_makes_it_panic() {
    let words = [
        "create", "route", "for", "/x/*", "to", "http://a:1", "limit", "of", "5", "a", "second", "with", "key", "the", "and", ",",
        "on", "delete", "set", "weight", "node", "{\"a\":1}", "\"q q\"", "10.0.0.0/8", "undo", "GET", "from", "it", "[::1]:1", "://", "é",
    ];
    // Every pair and a spread of longer ones: cheap, and in a fixed order.
    for (at, first) in words.iter().enumerate() {
        for (step, second) in words.iter().enumerate() {
            let mut sentence = format!("{first} {second}");
            for more in 1..8 {
                let next = words[(at + step * more + more) % words.len()];
                sentence.push(' ');
                sentence.push_str(next);
                let _ = parse(&sentence);
            }
        }
    }
    let _ = parse(&"x ".repeat(10_000));
}
