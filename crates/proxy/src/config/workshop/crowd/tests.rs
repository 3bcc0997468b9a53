//! Who holds which credential.

use std::sync::Arc;

use futures_util::FutureExt as _;
use serde_json::{Value, json};

use crate::config::trial::{Trial, marks};

fn jack(key: &str) -> Value {
    json!({ "username": "jack", "labels": { "custom_id": "c-7" }, "plugins": {
        "gate": { "key": key }, "mark-a": { "text": "jack" },
    } })
}

fn credential(key: &str) -> Value {
    json!({ "plugins": { "gate": { "key": key } } })
}

impl Trial {
    /// Whose key this is: `consumer` or `consumer/credential`.
    fn owner(&self, key: &str) -> Option<String> {
        let found = self.shared.current().credential("gate", key.as_bytes())?;
        let id = found.credential.map(|id| format!("/{id}")).unwrap_or_default();
        Some(format!("{}{id}", found.consumer.name))
    }
}

#[tokio::test]
async fn credentials_are_found_in_consumers_and_as_objects_of_their_own() {
    let trial = Trial::start().await;
    let revision = trial.put("consumers/jack", jack("k1")).await;
    trial.put("consumers/jack/credentials/c1", credential("k2")).await;
    trial.put("consumers/jane/credentials/c1", credential("orphan")).await;
    assert_eq!(trial.owner("k1").as_deref(), Some("jack"));
    assert_eq!(trial.owner("k2").as_deref(), Some("jack/c1"));
    assert_eq!((trial.owner("k"), trial.owner(""), trial.owner("orphan")), (None, None, None));
    let snapshot = trial.shared.current();
    assert!(snapshot.credential("other", b"k1").is_none());
    let consumer = snapshot.consumer("jack").unwrap();
    assert_eq!(consumer.plugins.keys().collect::<Vec<_>>(), ["mark-a"], "credentials are no plugins of his");
    assert_eq!((consumer.custom_id.as_deref(), consumer.group_id.as_deref()), (Some("c-7"), None));
    assert_eq!(consumer.revision, revision);
    // A consumer's edit is seen by all credentials of his.
    let revision = trial.put("consumers/jack", jack("k3")).await;
    assert_eq!((trial.owner("k1"), trial.owner("k3").as_deref()), (None, Some("jack")));
    let found = trial.shared.current().credential("gate", b"k2").unwrap();
    assert_eq!(found.consumer.revision, revision);
    trial.put("consumers/jane", json!({ "username": "jane" })).await;
    assert_eq!(trial.owner("orphan").as_deref(), Some("jane/c1"));
    trial.delete("consumers/jack/credentials/c1").await;
    assert_eq!(trial.owner("k2"), None);
    trial.delete("consumers/jack").await;
    assert_eq!((trial.owner("k3"), trial.problems()), (None, Vec::new()));
}

#[tokio::test]
async fn two_swap_their_credentials_in_one_transaction() {
    let trial = Trial::start().await;
    let edits = |one: &str, two: &str| {
        [("consumers/jack", Some(jack(one))), ("consumers/jack/credentials/c", Some(credential(two)))]
    };
    trial.change(&edits("k1", "k2")).await;
    trial.change(&edits("k2", "k1")).await;
    assert_eq!(trial.owner("k2").as_deref(), Some("jack"));
    assert_eq!(trial.owner("k1").as_deref(), Some("jack/c"));
    assert_eq!(trial.problems(), []);
}

#[tokio::test]
async fn a_credential_is_one_holders_until_he_gives_it_up() {
    let trial = Trial::start().await;
    trial.put("consumers/jack", jack("k1")).await;
    trial.put("consumers/jane/credentials/c", credential("k2")).await;
    trial.put("consumers/jane", json!({ "username": "jane" })).await;
    trial.put("consumers/jane/credentials/c", credential("k1")).await;
    assert_eq!(trial.owner("k1").as_deref(), Some("jack"));
    assert_eq!(trial.owner("k2").as_deref(), Some("jane/c"), "the last good version serves");
    let problems = trial.problems();
    assert_eq!(problems.len(), 1);
    assert!(problems[0].1.contains("already that of /apisix/consumers/jack"), "{}", problems[0].1);
    assert!(!problems[0].1.contains("k1"), "a problem shows no secret: {}", problems[0].1);
    trial.put("consumers/jack", jack("k9")).await;
    assert_eq!(trial.owner("k1").as_deref(), Some("jane/c"));
    assert_eq!((trial.owner("k2"), trial.problems()), (None, Vec::new()));
}

#[tokio::test]
async fn a_reference_to_a_secret_that_is_not_known_lets_nobody_in() {
    let trial = Trial::start().await;
    for (reference, why) in [
        ("$secret://vault/1/users/key", "there is no secret vault/1"),
        ("$secret://vault/1", "it names no key"),
        ("$env://NO_SUCH_VARIABLE_HERE", "the environment has no text in NO_SUCH_VARIABLE_HERE"),
        ("$ENV://NO_SUCH_VARIABLE_HERE/key", "the environment has no text in NO_SUCH_VARIABLE_HERE"),
    ] {
        trial.put("consumers/jack", jack(reference)).await;
        assert_eq!(trial.owner(reference), None, "{reference}");
        assert!(trial.problems()[0].1.contains(why), "{reference}: {}", trial.problems()[0].1);
    }
}

#[tokio::test]
async fn a_consumers_plugins_are_laid_over_the_routes() {
    let trial = Trial::start().await;
    let both = json!({ "mark-a": { "text": "route" }, "mark-b": { "text": "route" } });
    trial.put("routes/1", json!({ "uri": "/a", "plugins": both })).await;
    trial.put("consumers/jack", jack("k1")).await;
    trial.put("consumers/plain", json!({ "username": "plain" })).await;
    let route = trial.taken("/a").unwrap();
    let with = |name: &str| {
        let consumer = trial.shared.current().consumer(name).unwrap();
        route.with_consumer(&consumer, &trial.shared)
    };
    assert_eq!(marks(&with("jack")), "a=jack b=route");
    assert!(Arc::ptr_eq(&with("jack"), &with("jack")), "made once");
    assert!(Arc::ptr_eq(&with("plain"), &route.pipeline));
    let mut edited = jack("k1");
    edited["plugins"]["mark-a"]["text"] = "new".into();
    trial.put("consumers/jack", edited).await;
    assert_eq!(marks(&with("jack")), "a=new b=route");
}

/// What the group gives, with the overlay of one of its consumers on a route that has nothing of it.
#[tokio::test]
async fn a_groups_plugins_lie_under_its_consumers_and_over_the_routes() {
    let trial = Trial::start().await;
    let both = json!({ "mark-a": { "text": "route" }, "mark-b": { "text": "route" } });
    trial.put("routes/1", json!({ "uri": "/a", "plugins": both })).await;
    trial.put("routes/2", json!({ "uri": "/b", "plugins": {} })).await;
    let group = |a: &str, b: &str| json!({ "plugins": { "mark-a": { "text": a }, "mark-b": { "text": b } } });
    let member = |plugins: Value| json!({ "username": "jane", "group_id": 7, "plugins": plugins });
    // Both at once, whatever their order in the transaction.
    trial
        .change(&[
            ("consumers/jane", Some(member(json!({ "mark-a": { "text": "jane" } })))),
            ("consumer_groups/7", Some(group("group", "group"))),
        ])
        .await;
    let with = |path: &str| {
        let consumer = trial.shared.current().consumer("jane").unwrap();
        marks(&trial.taken(path).unwrap().with_consumer(&consumer, &trial.shared))
    };
    assert_eq!((with("/a").as_str(), with("/b").as_str()), ("a=jane b=group", "a=jane b=group"));
    let consumer = trial.shared.current().consumer("jane").unwrap();
    assert_eq!(consumer.group_id.as_deref(), Some("7"));
    assert_eq!(consumer.plugins.keys().collect::<Vec<_>>(), ["mark-a"], "its own");

    // An edit of the group reaches its consumers, and what was kept of them and a route.
    trial.put("consumer_groups/7", group("new", "new")).await;
    assert_eq!(with("/a"), "a=jane b=new");
    trial.put("consumers/jane", member(json!({}))).await;
    assert_eq!(with("/a"), "a=new b=new");

    // A group that can't be built leaves its consumers as they were; one that is gone lets none of them in.
    trial.put("consumer_groups/7", group("refuse", "x")).await;
    assert_eq!((with("/a"), trial.problems().len()), ("a=new b=new".to_owned(), 1));
    trial.delete("consumer_groups/7").await;
    let refused = |path: &str| {
        let consumer = trial.shared.current().consumer("jane").unwrap();
        let pipeline = trial.taken(path).unwrap().with_consumer(&consumer, &trial.shared);
        let sketch =
            usher_model::live::Sketch { method: "GET".into(), target: path.into(), ..Default::default() };
        let mut exchange = crate::live::exchange(&sketch, crate::options::PathRules::default()).unwrap();
        match pipeline.rewrite_fresh(&mut exchange).now_or_never() {
            Some(usher_pipeline::plugin::Flow::Reply(reply)) => reply.head.status(),
            _ => 0,
        }
    };
    assert_eq!((refused("/a"), refused("/b")), (503, 503));
    let gone = "the consumer group 7, which it belongs to, does not exist".to_owned();
    assert_eq!(trial.problems(), [("/apisix/consumers/jane".to_owned(), gone)]);
    trial.put("consumer_groups/7", json!({ "plugins": { "mark-b": { "text": "back" } } })).await;
    assert_eq!((with("/a"), trial.problems()), ("a=route b=back".to_owned(), Vec::new()));
    assert_eq!(refused("/a"), 0);
    trial.put("consumers/jane", json!({ "username": "jane" })).await;
    trial.delete("consumer_groups/7").await;
    assert_eq!((with("/a"), trial.problems()), ("a=route b=route".to_owned(), Vec::new()));
}

#[tokio::test]
async fn an_edit_of_a_group_rebuilds_only_its_consumers() {
    let trial = Trial::start().await;
    trial.put("consumer_groups/g", json!({ "plugins": {} })).await;
    trial.put("consumers/in", json!({ "username": "in", "group_id": "g" })).await;
    trial.put("consumers/out", json!({ "username": "out" })).await;
    let of = |name: &str| trial.shared.current().consumer(name).unwrap();
    let before = (of("in"), of("out"));
    trial.put("consumer_groups/g", json!({ "plugins": { "mark-a": { "text": "x" } } })).await;
    assert!(!Arc::ptr_eq(&before.0, &of("in")) && Arc::ptr_eq(&before.1, &of("out")));
}
