//! Secrets never come out: canaries in every marked field, and everything that is given out searched for them.

use std::fmt::Debug;

use serde_json::{Value, json};
use usher_admin::service::{HistoryQuery, Wanted};
use usher_model::change::{Door, Edit, Principal, Role};
use usher_model::kind::{Key, Kind};

use crate::bench::{
    Bench, admin, agent, consumer, global_rule, nodes, plugin, put, route, service, upstream, viewer, wanted,
};

const CANARY: &str = "canary-";

fn pem(name: &str) -> String {
    format!("{CANARY}{name}-{}", "k".repeat(80))
}

fn tls(name: &str) -> Value {
    json!({ "nodes": { "127.0.0.1:1": 1 }, "scheme": "https", "tls": { "client_cert": "c".repeat(140), "client_key": pem(name) } })
}

fn everywhere() -> Vec<Edit> {
    let caller = |name: &str| {
        json!({ "caller": {
            "token": format!("{CANARY}token-{name}"), "headers": { "set": { "Authorization": format!("Basic {CANARY}h-{name}") } },
            "brokers": [{ "host": "a", "password": format!("{CANARY}p1-{name}") }, { "host": "b", "password": format!("{CANARY}p2-{name}") }],
        } })
    };
    vec![
        put(upstream("u"), tls("upstream")),
        put(service("s"), json!({ "upstream": tls("service"), "plugins": caller("service") })),
        put(route("1"), json!({ "uri": "/1", "upstream": tls("route"), "plugins": caller("route") })),
        put(
            consumer("jack"),
            json!({ "username": "jack", "plugins": { "key-auth": { "key": format!("{CANARY}jack") }, "caller": caller("jack")["caller"] } }),
        ),
        put(
            Key::credential("jack", "c1"),
            json!({ "plugins": { "key-auth": { "key": format!("{CANARY}c1") } } }),
        ),
        put(Key::new(Kind::PluginConfig, "p"), json!({ "plugins": caller("config") })),
        put(global_rule("g"), json!({ "plugins": caller("rule") })),
    ]
}

fn clean(what: &str, shown: &impl Debug) {
    let text = format!("{shown:?}");
    assert!(!text.contains(CANARY), "{what} gives a secret away: {text}");
}

#[tokio::test]
async fn no_canary_comes_out_of_anything() {
    let bench = Bench::new().await;
    let change = || Wanted { intent: Some(format!("jack's key is {CANARY}jack")), ..wanted(everywhere()) };
    clean("a wish", &change());
    let plan = bench.service.plan(&agent(), change()).await.unwrap();
    clean("a plan", &plan);
    clean("its text", &plan.text());
    clean("a found plan", &bench.service.find_plan(&agent(), &plan.id).unwrap());
    let applied = bench.agree(&plan).await.unwrap();
    clean("what was applied", &applied);
    clean("a direct write", &bench.service.write(&admin(), change()).await.unwrap());
    let undo = bench.service.plan_undo(&agent(), None, None).await.unwrap();
    clean("an undo", &(undo.text(), undo));
    let deleted: Vec<Edit> = everywhere().into_iter().map(|edit| Edit { after: None, ..edit }).collect();
    let deleted = bench.service.plan(&agent(), wanted(deleted)).await.unwrap();
    clean("a deletion", &(deleted.text(), deleted));
    for who in [viewer(), agent(), plugin(), Principal::new("x", Role::Admin, Door::Mcp)] {
        for kind in Kind::ALL {
            for stored in bench.service.list(&who, kind).await.unwrap() {
                clean("a list", &stored.value.to_string());
                clean("a get", &bench.service.get(&who, &stored.key).await.unwrap().unwrap().value);
            }
        }
        clean("a list of credentials", &bench.service.list_credentials(&who, "jack").await.unwrap()[0].value);
    }
    for who in [admin(), agent()] {
        clean("the history", &bench.service.history(&who, HistoryQuery::default()).await.unwrap());
    }
    for entry in bench.store.list("/").await.unwrap().entries {
        let text = String::from_utf8(entry.value.to_vec()).unwrap();
        assert!(!text.contains(CANARY), "{} holds a secret in clear: {text}", entry.key);
    }
    // The admin reads them in clear on the Admin API, and its own Debug shows none.
    let clear = bench.service.get(&admin(), &consumer("jack")).await.unwrap().unwrap();
    assert_eq!(clear.value["plugins"]["key-auth"]["key"], "canary-jack");
    clean("a stored resource", &clear);
}

#[tokio::test]
async fn no_error_repeats_a_secret() {
    let bench = Bench::new().await;
    bench
        .put(
            consumer("bob"),
            json!({ "username": "bob", "plugins": { "key-auth": { "key": "canary-bob" } } }),
        )
        .await
        .unwrap();
    let body =
        |plugin: &str, body: Value| json!({ "uri": "/1", "upstream": nodes(), "plugins": { plugin: body } });
    let jack = |body: Value| json!({ "username": "jack", "plugins": { "key-auth": body } });
    for (key, value) in [
        (consumer("jack"), jack(json!({ "key": "canary-WITH CAPITALS" }))),
        (consumer("jack"), jack(json!({ "key": "canary-bob" }))),
        (consumer("jack"), jack(json!("canary-whole"))),
        (route("1"), body("caller", json!({ "token": "canary-refuse" }))),
        (route("1"), body("caller", json!({ "token": "canary-\"quo\\ted\" refuse\n" }))),
        (route("1"), body("caller", json!("canary-whole"))),
        (upstream("1"), json!({ "nodes": {}, "tls": { "client_key": "canary-short" } })),
        (
            route("1"),
            json!({ "uri": "/1", "upstream": { "nodes": {}, "tls": { "client_key": "canary-short" } } }),
        ),
    ] {
        let error = bench.put(key, value.clone()).await.unwrap_err();
        clean("an error", &(error.to_string(), &error));
        assert!(error.to_string().len() > 20, "{value}: {error}");
    }
}

#[tokio::test]
async fn a_mask_that_is_written_back_keeps_what_is_stored() {
    let bench = Bench::new().await;
    bench.service.write(&admin(), wanted(everywhere())).await.unwrap();
    let before = bench.bytes().await;
    for kind in Kind::ALL {
        for stored in bench.service.list(&agent(), kind).await.unwrap() {
            let kept = Wanted { keep_times: true, ..wanted([put(stored.key.clone(), stored.value)]) };
            let applied = bench.service.write(&admin(), kept).await.unwrap();
            assert_eq!(applied.changes[0].before, applied.changes[0].after, "{}", stored.key);
        }
    }
    assert_eq!(bench.bytes().await, before, "not a byte differs");
    let error = bench
        .refusal(
            consumer("jill"),
            json!({ "username": "jill", "plugins": { "key-auth": { "key": "***a1b2c3" } } }),
        )
        .await;
    assert_eq!(
        error,
        "plugins.key-auth.key holds a mask that belongs to no stored value; give the secret itself"
    );
    let other = json!({ "username": "jack", "plugins": { "key-auth": { "key": "***" } } });
    bench.put(consumer("jack"), other).await.unwrap();
    assert_eq!(bench.value(consumer("jack")).await["plugins"]["key-auth"]["key"], "canary-jack");
}

#[tokio::test]
async fn references_to_secrets_elsewhere_stay_readable() {
    let bench = Bench::new().await;
    let caller = json!({ "caller": { "token": "$env://TOKEN" } });
    bench.put(route("1"), json!({ "uri": "/1", "upstream": nodes(), "plugins": caller })).await.unwrap();
    let seen = bench.service.get(&viewer(), &route("1")).await.unwrap().unwrap();
    assert_eq!(seen.value["plugins"]["caller"]["token"], "$env://TOKEN");
}

#[tokio::test]
async fn a_secret_that_cannot_be_opened_is_masked_and_can_be_replaced() {
    let bench = Bench::new().await;
    bench.put(consumer("jack"), crate::bench::jack("jack", "jacks-key")).await.unwrap();
    // The keyring is lost: a service with another one.
    let other = Bench::with(std::sync::Arc::clone(&bench.store), Default::default()).await;
    let seen = other.service.get(&admin(), &consumer("jack")).await.unwrap().unwrap();
    let text = seen.value.to_string();
    assert!(!text.contains("$usher$") && text.contains("***"), "{text}");
    other.put(consumer("jack"), crate::bench::jack("jack", "new-key")).await.unwrap();
    assert_eq!(other.value(consumer("jack")).await["plugins"]["key-auth"]["key"], "new-key");
}
