//! Protection that goes away: plugins that decide who may come, and protected routes that let go of their requests.

use serde_json::{Value, json};
use usher_admin::service::Plan;
use usher_model::change::{Edit, Risk};
use usher_model::kind::Key;

use crate::bench::{Bench, admin, consumer, global_rule, nodes, put, route, service, wanted};

/// The route that is protected, with these members in addition.
fn auth(more: &Value) -> Edit {
    let mut value = json!({
        "uri": "/auth/*", "methods": ["GET", "PUT"], "hosts": ["a.example", "b.example"], "priority": 5, "upstream": nodes(),
        "plugins": { "key-auth": {} },
    });
    value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    put(route("auth"), value)
}

fn guarded(plugins: Value) -> Value {
    json!({ "uri": "/g", "upstream": nodes(), "plugins": plugins })
}

async fn town(more: impl IntoIterator<Item = Edit>) -> Bench {
    let bench = Bench::new().await;
    let edits = std::iter::once(auth(&json!({}))).chain(more);
    bench.service.write(&admin(), wanted(edits)).await.unwrap();
    bench
}

fn is_high(plan: &Plan, reason: &str) {
    assert!(
        plan.risk == Risk::High && plan.reasons.iter().any(|found| found == reason),
        "{:?} {:?}, wanted {reason}",
        plan.risk,
        plan.reasons
    );
    assert!(plan.text().contains(reason) && plan.needs_person);
}

#[tokio::test]
async fn a_protected_route_that_lets_go_of_requests_is_high() {
    let bench = town([]).await;
    for (more, how) in [
        (json!({ "uri": "/nowhere/*" }), "its paths change"),
        (json!({ "uri": "/auth/x/*" }), "its paths change"),
        (json!({ "status": 0 }), "it is switched off"),
        (json!({ "methods": ["GET"] }), "its methods change"),
        (json!({ "hosts": ["a.example"] }), "its hosts change"),
        (json!({ "vars": [["arg_a", "==", "1"]] }), "its condition changes"),
        (json!({ "remote_addrs": ["10.0.0.0/8"] }), "its client addresses change"),
        (json!({ "priority": 4 }), "its priority is lowered"),
    ] {
        let plan = bench.plan([auth(&more)]).await.unwrap();
        is_high(
            &plan,
            &format!(
                "route auth gives up requests that it protects by key-auth ({how}): another route may take them without it"
            ),
        );
    }
    for more in [
        json!({ "uri": "/a*" }),
        json!({ "hosts": ["*.example"] }),
        json!({ "methods": ["GET", "PUT", "POST"] }),
        json!({ "priority": 6 }),
        json!({ "vars": [] }),
        json!({ "plugins": { "key-auth": {}, "ip-restriction": { "whitelist": ["10.0.0.1"] } } }),
    ] {
        let plan = bench.plan([auth(&more)]).await.unwrap();
        assert!(plan.risk < Risk::High, "{more}: {:?}", plan.reasons);
    }
}

#[tokio::test]
async fn the_open_route_that_takes_the_requests_is_named() {
    let all = put(route("all"), json!({ "uri": "/*", "upstream": nodes() }));
    let bench = town([all]).await;
    let lost = "route auth gives up requests that it protects by key-auth";
    let plan = bench.plan([auth(&json!({ "uri": "/nowhere/*" }))]).await.unwrap();
    is_high(&plan, &format!("{lost} (its paths change): route all may take them with less"));
    let bench = town([]).await;
    let open = put(route("new"), json!({ "uri": "/auth/*", "host": "a.example", "upstream": nodes() }));
    let plan = bench.plan([auth(&json!({ "status": 0 })), open]).await.unwrap();
    is_high(&plan, &format!("{lost} (it is switched off): route new may take them with less"));
}

#[tokio::test]
async fn a_service_that_loses_hosts_lets_its_routes_go_of_requests() {
    let hosts = |hosts: Value| {
        let mut value = json!({ "upstream": nodes(), "plugins": { "key-auth": {} } });
        value["hosts"] = hosts;
        put(service("s"), value)
    };
    let one = put(route("1"), json!({ "uri": "/one", "service_id": "s" }));
    let bench = town([hosts(json!(["a.example", "b.example"])), one]).await;
    let plan = bench.plan([hosts(json!(["a.example"]))]).await.unwrap();
    is_high(
        &plan,
        "route 1 gives up requests that it protects by key-auth (its hosts change): another route may take them without it",
    );
    let plan = bench.plan([hosts(json!(["a.example", "b.example", "c.example"]))]).await.unwrap();
    assert_eq!(plan.risk, Risk::Medium, "{:?}", plan.reasons);
}

#[tokio::test]
async fn an_open_route_that_grows_over_a_protected_one_is_high() {
    let open = |more: Value| {
        let mut value =
            json!({ "uri": "/auth/open/*", "host": "a.example", "methods": ["GET"], "upstream": nodes() });
        value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        put(route("open"), value)
    };
    let bench = town([open(json!({ "vars": [["arg_a", "==", "1"]] }))]).await;
    let plan = bench.plan([open(json!({}))]).await.unwrap();
    is_high(
        &plan,
        "route open takes requests from route auth, whose traffic loses its authentication by key-auth",
    );
}

#[tokio::test]
async fn every_plugin_that_decides_who_may_come_is_protection() {
    let asks = |more: Value| {
        let mut body = json!({ "uri": "http://127.0.0.1:9/auth" });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({ "forward-auth": body })
    };
    let admits = |list: &str, nets: &[&str]| json!({ "ip-restriction": { list: nets } });
    let filter = json!({ "filter": [["arg_a", "==", "1"]] });
    let white = admits("whitelist", &["10.0.0.0/8"]);
    for (before, after, reason) in [
        (asks(json!({})), json!({}), "loses its authorization by forward-auth"),
        (asks(json!({})), json!({ "key-auth": {} }), "loses its authorization by forward-auth"),
        (
            asks(json!({})),
            asks(json!({ "_meta": { "disable": true } })),
            "loses its authorization by forward-auth",
        ),
        (asks(json!({})), asks(json!({ "_meta": filter })), "lets requests pass forward-auth by its filter"),
        (
            asks(json!({})),
            asks(json!({ "allow_degradation": true })),
            "lets requests pass forward-auth while the service that it asks is away",
        ),
        (
            asks(json!({})),
            asks(json!({ "uri": "http://127.0.0.1:9/ok" })),
            "lets another service than before decide in forward-auth: its uri changes",
        ),
        (white.clone(), json!({}), "loses its restriction of addresses by ip-restriction"),
        (
            white.clone(),
            admits("whitelist", &["10.0.0.0/8", "0.0.0.0/0"]),
            "lets 0.0.0.0/0 pass ip-restriction",
        ),
        (white, admits("blacklist", &["10.0.0.1"]), "lets all that are in no list pass ip-restriction"),
        (
            admits("blacklist", &["10.0.0.1", "10.0.0.2"]),
            admits("blacklist", &["10.0.0.1"]),
            "lets 10.0.0.2/32 pass ip-restriction",
        ),
    ] {
        for (key, wrap) in [
            (route("g"), guarded as fn(Value) -> Value),
            (global_rule("g"), |plugins| json!({ "plugins": plugins })),
        ] {
            let bench = town([put(key.clone(), wrap(before.clone()))]).await;
            let plan = bench.plan([put(key.clone(), wrap(after.clone()))]).await.unwrap();
            is_high(&plan, &format!("{key} {reason}"));
        }
    }
    let narrower = admits("whitelist", &["10.1.0.0/16"]);
    let bench = town([put(route("g"), guarded(admits("whitelist", &["10.0.0.0/8"])))]).await;
    let plan = bench.plan([put(route("g"), guarded(narrower))]).await.unwrap();
    assert_eq!(plan.risk, Risk::Medium, "{:?}", plan.reasons);
}

#[tokio::test]
async fn a_service_or_consumer_that_loses_its_restriction_is_high() {
    let white = json!({ "ip-restriction": { "whitelist": ["10.0.0.1"] } });
    let jack = |plugins: Value| json!({ "username": "jack", "plugins": plugins });
    let one = put(route("1"), json!({ "uri": "/one", "service_id": "s" }));
    let cases: [(Key, Value, Value); 2] = [
        (
            service("s"),
            json!({ "upstream": nodes(), "plugins": white.clone() }),
            json!({ "upstream": nodes() }),
        ),
        (consumer("jack"), jack(white), jack(json!({}))),
    ];
    let bench =
        town(cases.iter().map(|(key, before, _)| put(key.clone(), before.clone())).chain([one])).await;
    for (key, _, after) in cases {
        let plan = bench.plan([put(key.clone(), after)]).await.unwrap();
        is_high(&plan, &format!("{key} loses its restriction of addresses by ip-restriction"));
    }
    // A credential that goes takes access away, and no protection.
    let keyed = jack(json!({ "key-auth": { "key": "jacks-key" } }));
    bench.put(consumer("jack"), keyed).await.unwrap();
    let plan = bench.plan([put(consumer("jack"), jack(json!({})))]).await.unwrap();
    assert_eq!(plan.risk, Risk::Medium, "{:?}", plan.reasons);
}
