//! Credentials that come to somebody, and requests that go elsewhere with the credentials in them: both need a person.

use serde_json::{Value, json};
use usher_model::change::{Edit, Risk};
use usher_model::kind::Key;

use crate::bench::{
    Bench, admin, agent, consumer, jack, plugin_config, put, route, service, split, upstream, wanted,
};

fn to(host: &str) -> Value {
    json!({ "nodes": { host: 1 } })
}

fn guarded(more: Value) -> Value {
    let mut value = json!({ "plugins": { "key-auth": {} } });
    value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    value
}

async fn town() -> Bench {
    let bench = Bench::new().await;
    let all = [
        put(upstream("u"), to("api.test:80")),
        put(upstream("other"), to("evil.test:80")),
        put(service("s"), guarded(json!({ "upstream_id": "u" }))),
        put(plugin_config("p"), json!({ "plugins": {} })),
        put(route("by-service"), json!({ "uri": "/a", "service_id": "s" })),
        put(
            route("inline"),
            guarded(json!({ "uri": "/b", "upstream": to("api.test:80"), "plugin_config_id": "p" })),
        ),
        put(route("open"), json!({ "uri": "/c", "upstream": to("api.test:80") })),
        put(consumer("jack"), jack("jack", "jacks-key")),
    ];
    bench.service.write(&admin(), wanted(all)).await.unwrap();
    bench
}

async fn risk(bench: &Bench, edit: Edit, risk: Risk, reason: &str) {
    let what = format!("{edit:?}");
    let plan = bench.plan([edit]).await.unwrap();
    assert_eq!((plan.risk, plan.needs_person), (risk, risk == Risk::High), "{what}: {:?}", plan.reasons);
    assert!(plan.reasons.iter().any(|told| told.contains(reason)), "{what}: {:?}", plan.reasons);
}

#[tokio::test]
async fn protected_requests_go_to_a_new_host_by_a_person_s_word_only() {
    let bench = town().await;
    let inline = |upstream: Value| {
        put(route("inline"), guarded(json!({ "uri": "/b", "upstream": upstream, "plugin_config_id": "p" })))
    };
    let new = "to a host that is new to it: evil.test";
    for edit in [
        put(upstream("u"), to("evil.test:80")),
        put(upstream("u"), json!({ "nodes": { "api.test:80": 99, "EVIL.test:80": 1 } })),
        put(service("s"), guarded(json!({ "upstream_id": "other" }))),
        inline(to("evil.test:80")),
        put(route("by-service"), json!({ "uri": "/a", "service_id": "s", "upstream_id": "other" })),
        put(plugin_config("p"), json!({ "plugins": split("other") })),
    ] {
        risk(&bench, edit, Risk::High, new).await;
    }
    // The same machine, and what is not protected.
    risk(&bench, put(upstream("u"), to("api.test:8080")), Risk::Medium, "changes upstream u").await;
    risk(&bench, inline(to("api.test:81")), Risk::Medium, "changes route inline").await;
    let open = put(route("open"), json!({ "uri": "/c", "upstream": to("evil.test:80") }));
    risk(&bench, open, Risk::Medium, "changes route open").await;
    // A route that is made has no requests yet that could go elsewhere.
    let made = put(route("new"), guarded(json!({ "uri": "/new", "upstream": to("evil.test:80") })));
    risk(&bench, made, Risk::Low, "adds route new").await;
}

#[tokio::test]
async fn a_known_consumer_gets_a_credential_by_a_person_s_word_only() {
    let bench = town().await;
    let key = |key: &str| json!({ "plugins": { "key-auth": { "key": key } } });
    let told = "consumer jack gets another credential by key-auth";
    risk(&bench, put(Key::credential("jack", "c"), key("another-key")), Risk::High, told).await;
    risk(&bench, put(consumer("jack"), jack("jack", "another-key")), Risk::High, told).await;
    bench.put(Key::credential("jack", "c"), key("another-key")).await.unwrap();
    risk(&bench, put(Key::credential("jack", "c"), key("a-third-key")), Risk::High, told).await;
    let same = json!({ "desc": "same", "plugins": { "key-auth": { "key": "another-key" } } });
    risk(&bench, put(Key::credential("jack", "c"), same), Risk::Low, "nothing that a request meets").await;
    // Somebody new takes nothing from anybody.
    let new = [
        put(consumer("jill"), json!({ "username": "jill" })),
        put(Key::credential("jill", "c"), key("jills-key")),
    ];
    let plan = bench.plan(new).await.unwrap();
    assert_eq!((plan.risk, plan.needs_person), (Risk::Low, false), "{:?}", plan.reasons);
}

#[tokio::test]
async fn a_kept_secret_goes_to_a_new_host_by_a_person_s_word_only() {
    let bench = Bench::new().await;
    let open = |host: &str, password: &str, more: Value| {
        let mut body = json!({ "brokers": [{ "host": host, "password": password }] });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        put(route("r"), json!({ "uri": "/r", "plugins": { "caller": body } }))
    };
    bench.service.write(&admin(), wanted([open("logs.test", "a-password", json!({}))])).await.unwrap();
    let told =
        "caller of route r keeps its secrets and would send them to a host that is new to it: evil.test";
    risk(&bench, open("evil.test", "a-password", json!({})), Risk::High, told).await;
    let shown = bench.service.get(&agent(), &route("r")).await.unwrap().unwrap();
    let mut masked = shown.value.clone();
    *masked.pointer_mut("/plugins/caller/brokers/0/host").unwrap() = json!("evil.test");
    risk(&bench, put(route("r"), masked), Risk::High, told).await;
    // Another secret of one's own may go wherever one likes, and the same host may be written otherwise.
    risk(&bench, open("evil.test", "my-own", json!({})), Risk::Medium, "changes route r").await;
    risk(&bench, open("LOGS.test", "a-password", json!({})), Risk::Medium, "changes route r").await;
}

#[tokio::test]
async fn protected_requests_are_told_to_a_new_host_by_a_person_s_word_only() {
    let bench = town().await;
    let told = |host: &str| {
        let mut value =
            guarded(json!({ "uri": "/b", "upstream": to("api.test:80"), "plugin_config_id": "p" }));
        value["plugins"]["caller"] = json!({ "brokers": [{ "host": host, "password": "my-own" }] });
        put(route("inline"), value)
    };
    risk(&bench, told("evil.test"), Risk::High, "to a host that is new to it: evil.test").await;
    risk(&bench, told("api.test"), Risk::Medium, "changes route inline").await;
}
