//! That every revision comes into force, whatever it touches and however far the follower falls behind.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use usher_model::live::Live as _;
use usher_store::{Store as _, Transaction};

use crate::config::trial::Trial;

const LONG: Duration = Duration::from_secs(30);

#[tokio::test]
async fn every_revision_comes_into_force_whatever_it_touches() {
    let trial = Trial::start().await;
    for (key, value) in [
        ("/usher/journal/1", "not a resource"),
        ("/apisix/unknown/1", "{}"),
        ("/apisix/routes/1", "{"),
        ("elsewhere", ""),
    ] {
        let committed = trial.store.commit(Transaction::default().put(key, value)).await.unwrap();
        trial.live.wait_in_force(committed.revision, LONG).await.unwrap();
        assert_eq!(trial.live.revision(), committed.revision, "{key}");
    }
    let empty = trial.store.commit(Transaction::default().delete("nothing there")).await.unwrap();
    trial.live.wait_in_force(empty.revision, LONG).await.unwrap();
    let error = trial.live.wait_in_force(empty.revision + 1, Duration::from_millis(1)).await.unwrap_err();
    assert_eq!((error.wanted, error.served), (empty.revision + 1, empty.revision));
}

#[tokio::test]
async fn a_request_keeps_its_snapshot_to_the_end() {
    let trial = Trial::start().await;
    trial.put("upstreams/u", json!({ "nodes": { "10.0.0.1:80": 1 } })).await;
    let kept = trial.shared.current();
    trial.put("upstreams/u", json!({ "nodes": { "10.0.0.2:80": 1 } })).await;
    assert_eq!(kept.upstream("u").unwrap().fleet().nodes()[0].host, "10.0.0.1");
    assert_eq!(trial.shared.current().upstream("u").unwrap().fleet().nodes()[0].host, "10.0.0.2");
}

#[tokio::test]
async fn a_follower_that_fell_behind_lists_anew_and_keeps_what_did_not_move() {
    let trial = Trial::start().await;
    trial.put("upstreams/stays", json!({ "nodes": { "10.0.0.1:80": 1 } })).await;
    trial.put("upstreams/goes", json!({ "nodes": { "10.0.0.1:80": 1 } })).await;
    trial.put("routes/goes", json!({ "uri": "/gone", "plugins": {} })).await;
    trial.put("routes/bad", json!({ "uri": 7 })).await;
    let before = Arc::clone(trial.shared.current().upstream("stays").unwrap());
    // More transactions than the store keeps, without a turn for the follower in between.
    let goes = Transaction::default().delete("/apisix/upstreams/goes").delete("/apisix/routes/goes");
    trial.store.commit(goes.delete("/apisix/routes/bad")).await.unwrap();
    let mut newest = 0;
    for number in 0..5000 {
        let route = json!({ "uri": format!("/n/{number}"), "plugins": {} }).to_string();
        let write = Transaction::default().put(format!("/apisix/routes/{}", number % 7), route);
        newest = trial.store.commit(write).await.unwrap().revision;
    }
    trial.live.wait_in_force(newest, LONG).await.unwrap();
    assert_eq!(trial.live.revision(), newest);
    assert!(Arc::ptr_eq(&before, trial.shared.current().upstream("stays").unwrap()));
    assert!(trial.shared.current().upstream("goes").is_none());
    assert!(
        trial.taken("/gone").is_none() && trial.taken("/n/4999").is_some() && trial.taken("/n/7").is_none()
    );
    assert_eq!(trial.problems(), []);
    trial.put("routes/later", json!({ "uri": "/later", "plugins": {} })).await;
    assert!(trial.taken("/later").is_some());
}

#[tokio::test]
async fn nobody_waits_for_a_follower_that_has_stopped() {
    let trial = Trial::start().await;
    trial.put("routes/1", json!({ "uri": "/a", "plugins": {} })).await;
    let live = &trial.live;
    let waiting = live.wait_in_force(99, Duration::from_secs(3600));
    trial.follower.stop().await;
    assert_eq!(waiting.await.unwrap_err().served, 1);
    assert!(live.wait_in_force(1, LONG).await.is_ok(), "what is in force stays");
}
