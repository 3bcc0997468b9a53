//! A time to live takes along what lives below, and leaves nothing behind without what it refers to.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use usher_admin::service::{HistoryQuery, Rules, ServiceError, Wanted};
use usher_model::kind::Key;
use usher_model::kind::Kind;
use usher_store::{Capabilities, Store, Transaction};

use crate::bench::{
    Bench, admin, consumer, gone, jack, nodes, plugin_config, put, route, service, upstream, viewer, wanted,
};
use crate::stores::Odd;

async fn put_for(bench: &Bench, secs: u64, key: Key, value: serde_json::Value) -> Result<(), ServiceError> {
    let wish = Wanted { ttl_secs: Some(secs), ..wanted([put(key, value)]) };
    bench.service.write(&admin(), wish).await.map(drop)
}

fn credential(name: &str) -> serde_json::Value {
    json!({ "plugins": { "key-auth": { "key": name } } })
}

async fn keys(bench: &Bench) -> Vec<String> {
    bench.bytes().await.into_iter().map(|(key, _)| key).collect()
}

/// Waits, on the paused clock, until the store holds nothing else.
async fn until_left(bench: &Bench, left: &[&str]) {
    for _ in 0..1000 {
        if keys(bench).await == left {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{:?} are left", keys(bench).await);
}

#[tokio::test(start_paused = true)]
async fn a_consumer_s_credentials_go_with_it_and_the_history_tells_of_it() {
    let bench = Bench::new().await;
    let attended = Arc::clone(&bench.service);
    let attending = tokio::spawn(async move { attended.attend().await });
    bench.put(consumer("jill"), jack("jill", "jills-key")).await.unwrap();
    bench.put(Key::credential("jill", "c"), credential("jills-other-key")).await.unwrap();
    put_for(&bench, 60, consumer("jack"), jack("jack", "jacks-key")).await.unwrap();
    bench.put(Key::credential("jack", "c1"), credential("one-key")).await.unwrap();
    bench.put(Key::credential("jack", "c2"), credential("two-key")).await.unwrap();
    until_left(&bench, &["/apisix/consumers/jill", "/apisix/consumers/jill/credentials/c"]).await;
    let newest = bench.service.history(&viewer(), HistoryQuery::default()).await.unwrap().remove(0);
    assert_eq!((newest.principal.as_str(), newest.total), ("system", 2));
    assert_eq!(newest.intent.as_deref(), Some("consumer jack ended: its time to live was over"));
    assert!(newest.changes.iter().all(|change| change.after.is_none()), "{newest:?}");
    assert_eq!(bench.service.verify_audit(&admin()).await.unwrap().broken, None);
    // The notes go too, and whoever asks to take back the newest change means one of a person.
    until_notes(&bench, 0).await;
    let undo = bench.service.plan_undo(&admin(), None, None).await.unwrap_err().to_string();
    assert!(undo.contains(&format!("was deleted by revision {} since", newest.revision)), "{undo}");
    // A new one of its name has none of them.
    bench.put(consumer("jack"), jack("jack", "jacks-key")).await.unwrap();
    assert!(bench.service.list_credentials(&admin(), "jack").await.unwrap().is_empty());
    bench.put(consumer("other"), jack("other", "one-key")).await.unwrap();
    attending.abort();
}

#[tokio::test(start_paused = true)]
async fn what_was_left_behind_does_not_come_back_to_life_with_a_new_consumer() {
    // Nobody attends here: the gateway was down when it ended, or another program deleted the consumer.
    let bench = Bench::new().await;
    put_for(&bench, 60, consumer("jack"), jack("jack", "jacks-key")).await.unwrap();
    bench.put(Key::credential("jack", "c1"), credential("one-key")).await.unwrap();
    tokio::time::sleep(Duration::from_secs(61)).await;
    assert_eq!(keys(&bench).await, ["/apisix/consumers/jack/credentials/c1"]);
    let applied = bench.put(consumer("jack"), jack("jack", "jacks-key")).await.unwrap();
    assert_eq!(applied.total, 2, "the plan tells of it: {:?}", applied.changes);
    assert_eq!(keys(&bench).await, ["/apisix/consumers/jack"]);
    // One that brings its own is not in the way.
    bench.put(Key::credential("jack", "c1"), credential("one-key")).await.unwrap();
    bench.store.commit(Transaction::default().delete("/apisix/consumers/jack")).await.unwrap();
    let both = [
        put(consumer("jack"), jack("jack", "jacks-key")),
        put(Key::credential("jack", "c1"), credential("new-key")),
    ];
    bench.service.write(&admin(), wanted(both)).await.unwrap();
    assert_eq!(keys(&bench).await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_write_without_a_ttl_makes_it_stay() {
    let bench = Bench::new().await;
    let attended = Arc::clone(&bench.service);
    let attending = tokio::spawn(async move { attended.attend().await });
    put_for(&bench, 60, consumer("jack"), jack("jack", "jacks-key")).await.unwrap();
    bench.put(Key::credential("jack", "c1"), credential("one-key")).await.unwrap();
    bench.put(consumer("jack"), jack("jack", "jacks-key")).await.unwrap();
    put_for(&bench, 60, upstream("u"), nodes()).await.unwrap();
    let refused = bench.refusal(route("r"), json!({ "uri": "/a", "upstream_id": "u" })).await;
    assert!(
        refused.contains("route r refers to upstream u, which ends by itself in ")
            && refused.contains("put upstream u without a ttl first"),
        "{refused}"
    );
    bench.put(upstream("u"), nodes()).await.unwrap();
    bench.put(route("r"), json!({ "uri": "/a", "upstream_id": "u" })).await.unwrap();
    tokio::time::sleep(Duration::from_secs(100)).await;
    assert_eq!(keys(&bench).await.len(), 4);
    attending.abort();
}

#[tokio::test]
async fn nothing_is_left_without_what_it_refers_to() {
    let bench = Bench::new().await;
    bench.put(upstream("u"), nodes()).await.unwrap();
    bench.put(service("s"), json!({ "upstream_id": "u" })).await.unwrap();
    bench.put(plugin_config("p"), json!({ "plugins": {} })).await.unwrap();
    bench.put(route("r"), json!({ "uri": "/a", "service_id": "s", "plugin_config_id": "p" })).await.unwrap();
    for (key, value, user) in [
        (upstream("u"), nodes(), "service s"),
        (service("s"), json!({ "upstream_id": "u" }), "route r"),
        (plugin_config("p"), json!({ "plugins": {} }), "route r"),
    ] {
        let refused = put_for(&bench, 60, key.clone(), value).await.unwrap_err();
        assert!(matches!(refused, ServiceError::Invalid { .. }), "{refused}");
        let refused = refused.to_string();
        assert!(
            refused.contains(&format!("ttl is refused: {user} uses {key} and stays longer")),
            "{refused}"
        );
    }
    // What nothing uses may end, and so may a user before what it uses, or both at once.
    put_for(&bench, 60, route("r"), json!({ "uri": "/a", "service_id": "s" })).await.unwrap();
    put_for(&bench, 600, service("s"), json!({ "upstream_id": "u" })).await.unwrap();
    let refused = put_for(&bench, 30, service("s"), json!({ "upstream_id": "u" })).await.unwrap_err();
    assert!(refused.to_string().contains("route r uses service s"), "{refused}");
    let refused =
        put_for(&bench, 900, route("r"), json!({ "uri": "/a", "service_id": "s" })).await.unwrap_err();
    assert!(refused.to_string().contains("route r refers to service s"), "{refused}");
    let both = [
        put(service("s"), json!({ "upstream_id": "u" })),
        put(route("r"), json!({ "uri": "/a", "service_id": "s" })),
    ];
    let wish = Wanted { ttl_secs: Some(5), ..wanted(both) };
    bench.service.write(&admin(), wish).await.unwrap();
    // A user that is deleted in the same set, and a secret manager that something refers to.
    let wish = [gone(route("r")), put(service("s"), json!({ "upstream_id": "u" }))];
    bench.service.write(&admin(), Wanted { ttl_secs: Some(5), ..wanted(wish) }).await.unwrap();
    let manager = Key::new(Kind::Secret, "vault/1");
    let vault = json!({ "uri": "http://127.0.0.1:1", "prefix": "kv", "token": "t" });
    put_for(&bench, 60, manager, vault).await.unwrap();
    let caller = json!({ "uri": "/b", "plugins": { "caller": { "token": "$secret://vault/1/a/b" } } });
    let refused = bench.refusal(route("b"), caller).await;
    assert!(refused.contains("refers to secret vault/1"), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn what_another_program_gave_an_end_to_is_known_to_end() {
    let store = Odd::new(Capabilities { alone: false, ..Capabilities::OWN });
    let bench = Bench::with(Arc::clone(&store) as Arc<dyn Store>, Rules::default()).await;
    let other = |key: &Key, value: serde_json::Value, ttl: Option<u64>| {
        Transaction::default().put_for(key.path(), value.to_string(), ttl)
    };
    // One is there before anybody looks, one comes later.
    let (jack_key, up) = (consumer("jack"), upstream("u"));
    store.commit(other(&jack_key, jack("jack", "jacks-key"), Some(60))).await.unwrap();
    let attended = Arc::clone(&bench.service);
    let attending = tokio::spawn(async move { attended.attend().await });
    until_notes(&bench, 1).await;
    store.commit(other(&up, nodes(), Some(600))).await.unwrap();
    until_notes(&bench, 2).await;
    let ends = async |key: &Key| bench.service.get(&viewer(), key).await.unwrap().unwrap().ends_unix_ms;
    assert!(ends(&jack_key).await.is_some() && ends(&up).await.is_some());
    // Nothing may lean on it for longer, as if it had come in here.
    let refused = bench.refusal(route("r"), json!({ "uri": "/a", "upstream_id": "u" })).await;
    assert!(refused.contains("route r refers to upstream u, which ends by itself in "), "{refused}");
    // It is given another end, and none.
    let first = ends(&up).await;
    store.commit(other(&up, nodes(), Some(6000))).await.unwrap();
    for _ in 0..1000 {
        if ends(&up).await.is_some_and(|end| Some(end) > first) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(ends(&up).await > first);
    store.commit(other(&up, nodes(), None)).await.unwrap();
    assert_eq!(ends(&up).await, None);
    bench.put(route("r"), json!({ "uri": "/a", "upstream_id": "u" })).await.unwrap();
    // What lives below goes with it, and the history tells of that.
    bench.put(Key::credential("jack", "c1"), credential("one-key")).await.unwrap();
    until_left(&bench, &["/apisix/routes/r", "/apisix/upstreams/u"]).await;
    let newest = bench.service.history(&viewer(), HistoryQuery::default()).await.unwrap().remove(0);
    assert_eq!(newest.intent.as_deref(), Some("consumer jack ended: its time to live was over"));
    until_notes(&bench, 0).await;
    attending.abort();
}

async fn until_notes(bench: &Bench, count: usize) {
    for _ in 0..1000 {
        if bench.store.list("/usher/ends/").await.unwrap().entries.len() == count {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("there are not {count} notes");
}

#[tokio::test]
async fn a_ttl_is_not_for_what_takes_several_steps() {
    let store = Odd::narrow(16);
    let bench = Bench::with(store, Rules::default()).await;
    let set = |count: usize| {
        (0..count).map(|at| put(route(&format!("r{at}")), json!({ "uri": format!("/{at}"), "plugins": {} })))
    };
    let wish = Wanted { ttl_secs: Some(60), in_steps: true, ..wanted(set(30)) };
    let refused = bench.service.write(&admin(), wish).await.unwrap_err();
    assert!(refused.to_string().contains("they take several steps"), "{refused}");
    bench.service.write(&admin(), Wanted { ttl_secs: Some(60), ..wanted(set(4)) }).await.unwrap();
}
