//! Objects that use secrets, from the store to what requests are served by.

use std::sync::Arc;

use serde_json::{Value, json};
use usher_model::live::{Live as _, Sketch};

use super::keeper::Keeper;
use crate::config::trial::{Trial, marks};

const JACK: &str = "GET /v1/kv/users/jack";

fn vault(keeper: &Keeper, token: &str) -> Value {
    json!({ "uri": keeper.uri(), "prefix": "kv", "token": token })
}

fn marked(text: &str) -> Value {
    json!({ "mark-a": { "text": text } })
}

impl Trial {
    /// Waits for the next snapshots until this holds.
    async fn until(&self, holds: impl Fn() -> bool) {
        let mut seen = self.shared.in_force();
        while !holds() {
            seen.changed().await.unwrap();
        }
    }
}

#[tokio::test]
async fn objects_wait_for_their_secrets_and_follow_them() {
    let keeper = Keeper::start().await;
    let trial = Trial::start().await;
    let used = "$secret://vault/1/users/jack/key";
    trial.put("services/s", json!({ "plugins": marked(used) })).await;
    trial.put("routes/1", json!({ "uri": "/a", "service_id": "s" })).await;
    trial.put("routes/2", json!({ "uri": "/b", "plugins": marked(used) })).await;
    trial.put("consumers/jack", json!({ "username": "jack", "plugins": { "gate": { "key": used } } })).await;
    trial.put("global_rules/g", json!({ "plugins": marked(used) })).await;
    assert_eq!((trial.answered("/a"), trial.answered("/b")), (Some(503), Some(503)));
    assert_eq!(trial.problems().len(), 5);
    assert!(trial.problems()[1].1.contains("there is no secret vault/1"), "{:?}", trial.problems());

    keeper.answer(JACK, 200, &json!({ "data": { "key": "first" } }));
    trial.put("secrets/vault/1", vault(&keeper, "t1")).await;
    trial.until(|| trial.problems().is_empty()).await;
    let knows = |key: &[u8]| trial.shared.current().credential("gate", key).is_some();
    assert_eq!((trial.marks("/a").as_str(), trial.marks("/b").as_str()), ("a=first", "a=first"));
    assert!(knows(b"first") && !knows(used.as_bytes()));
    assert_eq!(marks(&trial.shared.current().global_rules()[0].pipeline), "a=first");
    assert_eq!(keeper.seen().len(), 1, "one look-up for all of them");

    // Another value, seen when the manager is written anew, reaches what uses it, and nothing else.
    trial.put("routes/3", json!({ "uri": "/c", "plugins": marked("plain") })).await;
    let plain = trial.taken("/c").unwrap();
    keeper.answer(JACK, 200, &json!({ "data": { "key": "second" } }));
    trial.put("secrets/vault/1", vault(&keeper, "t2")).await;
    trial.until(|| trial.marks("/b") == "a=second").await;
    assert_eq!(trial.marks("/a"), "a=second");
    assert!(knows(b"second") && !knows(b"first"));
    assert!(Arc::ptr_eq(&plain, &trial.taken("/c").unwrap()));
    assert_eq!(keeper.seen()[0].field("x-vault-token"), "t2");

    // A manager that can't be asked leaves what is known, and that is said.
    keeper.answer(JACK, 503, &json!({}));
    trial.put("secrets/vault/1", vault(&keeper, "t3")).await;
    trial.until(|| !trial.problems().is_empty()).await;
    let problems = trial.problems();
    assert_eq!((problems.len(), problems[0].0.as_str()), (1, "/apisix/secrets/vault/1"));
    assert!(problems[0].1.contains("its last value is used: Vault answered 503"), "{}", problems[0].1);
    assert_eq!((trial.marks("/a").as_str(), trial.marks("/b").as_str()), ("a=second", "a=second"));

    // What nothing uses any more is no problem, and is forgotten.
    for key in ["routes/1", "routes/2", "services/s", "consumers/jack", "global_rules/g"] {
        trial.delete(key).await;
    }
    assert_eq!(trial.problems(), []);
}

#[tokio::test]
async fn a_start_waits_for_secrets() {
    let keeper = Keeper::start().await;
    let mut trial = Trial::start().await;
    keeper.answer(JACK, 200, &json!({ "data": { "key": "there" } }));
    trial.put("secrets/vault/1", vault(&keeper, "$env://PATH")).await;
    trial
        .put("routes/1", json!({ "uri": "/a", "plugins": marked("$secret://vault/1/users/jack/key") }))
        .await;
    for _ in 0..3 {
        trial = trial.restart().await;
        assert_eq!((trial.marks("/a").as_str(), trial.problems()), ("a=there", Vec::new()));
    }
    assert_eq!(keeper.seen().pop().unwrap().field("x-vault-token"), std::env::var("PATH").unwrap());
}

#[tokio::test]
async fn a_problem_never_shows_a_secret() {
    let keeper = Keeper::start().await;
    let trial = Trial::start().await;
    keeper.answer(JACK, 200, &json!({ "data": { "key": "refuse hush-hush" } }));
    trial.put("secrets/vault/1", vault(&keeper, "t")).await;
    trial
        .put("routes/1", json!({ "uri": "/a", "plugins": marked("$secret://vault/1/users/jack/key") }))
        .await;
    trial.until(|| trial.problems().iter().any(|(_, reason)| reason.contains("is refused"))).await;
    let quoted = "plugin mark-a: the text \"$secret://vault/1/users/jack/key\" is refused";
    assert_eq!(trial.problems(), [("/apisix/routes/1".to_owned(), quoted.to_owned())]);
    let sketch = Sketch { method: "GET".into(), target: "/a".into(), ..Sketch::default() };
    let answer = trial.live.explain(&sketch).answer.unwrap();
    assert!(answer.ends_with(quoted), "{answer}");
}

#[tokio::test]
async fn what_was_filed_by_a_secret_is_found_by_it_alone_and_only_once() {
    let trial = Trial::start().await;
    let path = std::env::var("PATH").unwrap();
    let consumer = |name: &str| json!({ "username": name, "plugins": { "gate": { "key": "$env://PATH" } } });
    trial.put("consumers/jack", consumer("jack")).await;
    trial.put("consumers/jane", consumer("jane")).await;
    let found = trial.shared.current().credential("gate", path.as_bytes()).unwrap();
    assert_eq!(&*found.consumer.name, "jack");
    let problems = trial.problems();
    assert_eq!((problems.len(), problems[0].0.as_str()), (1, "/apisix/consumers/jane"));
    assert!(problems[0].1.contains("already that of /apisix/consumers/jack"), "{}", problems[0].1);
}
