//! A running APISIX as the store, against a far side that can be made to misbehave.
#![cfg(test)]

mod far;

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use usher_model::kind::Key;
use usher_model::secret::Secret;
use usher_store::apisix::{Apisix, Options, Sealing};
use usher_store::{Compare, Store, StoreError, Transaction};

use far::{Far, Mood};

/// Seals what is under `token`, so that a test can tell both forms apart.
fn sealing() -> Sealing {
    let turned = |value: &mut Value, from: &str, to: &str| {
        if let Some(Value::String(text)) = value.get_mut("token")
            && let Some(rest) = text.strip_prefix(from)
        {
            *text = format!("{to}{rest}");
        }
        true
    };
    Sealing {
        seal: Box::new(move |_: &Key, value| turned(value, "clear:", "$usher$1$")),
        // One that can't be opened stays as it is.
        open: Box::new(move |_: &Key, value| match value["token"].as_str() {
            Some(text) if text.starts_with("$usher$1$lost") => false,
            _ => turned(value, "$usher$1$", "clear:"),
        }),
        amend: Box::new(|own, done, why| {
            let told = |key: String, value: Option<Vec<u8>>| {
                let amended = format!("only {}: {why}", done.join(" "));
                (key, value.map(|_| amended.into_bytes()))
            };
            own.into_iter().map(|(key, value)| told(key, value)).collect()
        }),
    }
}

fn options(far: &Far, folder: &Path) -> Options {
    let parsed = Options::parse(&format!("apisix+http://{}", far.address)).unwrap();
    Options {
        key: Secret::new("far-key".to_owned()),
        every: Duration::from_millis(20),
        folder: folder.to_owned(),
        ..parsed
    }
}

async fn open(far: &Far, folder: &Path) -> Apisix {
    // Another test may have done it.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    Apisix::open(options(far, folder), sealing()).await.unwrap()
}

async fn value(store: &Apisix, path: &str) -> Option<Value> {
    store.get(path).await.unwrap().map(|entry| serde_json::from_slice(&entry.value).unwrap())
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !holds().await {
        assert!(Instant::now() < end, "{what} did not come true");
        tokio::task::yield_now().await;
    }
}

fn put(path: &str, value: &Value) -> Transaction {
    Transaction::default().put(path, value.to_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_there_is_read_in_pages_and_followed() {
    let (far, folder) = (Far::start(), tempfile::tempdir().unwrap());
    for at in 0..1203 {
        far.put(&format!("routes/r{at}"), json!({ "id": format!("r{at}"), "uri": "/a" }));
    }
    far.put("consumers/jack", json!({ "username": "jack" }));
    far.put("consumers/jack/credentials/c", json!({ "id": "c", "plugins": {}, "token": "clear:t" }));
    let store = open(&far, folder.path()).await;
    assert_eq!(store.list("/apisix/routes/").await.unwrap().entries.len(), 1203);
    assert_eq!(value(&store, "/apisix/consumers/jack/credentials/c").await.unwrap()["token"], "$usher$1$t");
    let mut watch = store.watch("/apisix/", store.revision() + 1);
    far.put("routes/r7", json!({ "id": "r7", "uri": "/b" }));
    let batch = watch.next().await.unwrap();
    assert_eq!((batch.events.len(), &*batch.events[0].key), (1, "/apisix/routes/r7"));
    far.remove(&["consumers/jack/credentials/c".to_owned()]);
    let batch = watch.next().await.unwrap();
    assert!(batch.events[0].after.is_none(), "{batch:?}");
    // The times that the far side writes by itself are no news.
    let revision = store.revision();
    far.put("routes/r7", json!({ "id": "r7", "uri": "/b" }));
    far.put("routes/r8", json!({ "id": "r8", "uri": "/b" }));
    let batch = watch.next().await.unwrap();
    assert_eq!(
        (batch.revision, batch.events.len(), &*batch.events[0].key),
        (revision + 1, 1, "/apisix/routes/r8")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_is_written_in_order_and_taken_into_the_copy_with_its_history() {
    let (far, folder) = (Far::start(), tempfile::tempdir().unwrap());
    let store = open(&far, folder.path()).await;
    let route = json!({ "id": "r", "uri": "/a", "upstream_id": "u", "create_time": 1, "update_time": 1, "token": "$usher$1$s" });
    let transaction = Transaction::default()
        .expect("/apisix/routes/r", Compare::Absent)
        .put("/usher/history/1", "{}")
        .put("/apisix/routes/r", route.to_string())
        .put("/apisix/upstreams/u", json!({ "id": "u", "nodes": {}, "create_time": 1 }).to_string());
    let mut watch = store.watch("", store.revision() + 1);
    let committed = store.commit(transaction.clone()).await.unwrap();
    let paths: Vec<String> = far.writes().into_iter().map(|(_, path, _)| path).collect();
    assert_eq!(paths, ["upstreams/u", "routes/r"]);
    // The secret went over in clear and lies here sealed; both sides of the change are one revision.
    assert_eq!(far.get("routes/r").unwrap()["token"], "clear:s");
    assert_eq!(value(&store, "/apisix/routes/r").await.unwrap(), route);
    loop {
        let batch = watch.next().await.unwrap();
        if batch.revision == committed.revision {
            assert!(batch.events.iter().any(|event| &*event.key == "/usher/history/1"), "{batch:?}");
            assert!(batch.events.iter().any(|event| &*event.key == "/apisix/routes/r"), "{batch:?}");
            break;
        }
    }
    assert!(matches!(store.commit(transaction).await, Err(StoreError::Conflict { .. })));
    // Somebody else was faster than our last look.
    let seen = store.get("/apisix/routes/r").await.unwrap().unwrap().modified;
    far.put("routes/r", json!({ "id": "r", "uri": "/theirs" }));
    let late = put("/apisix/routes/r", &json!({ "id": "r", "uri": "/ours" }))
        .expect("/apisix/routes/r", Compare::Modified(seen));
    assert!(matches!(store.commit(late).await, Err(StoreError::Conflict { .. })));
    assert_eq!(far.get("routes/r").unwrap()["uri"], "/theirs");
    let refused = store.commit(put("/apisix/routes/x", &json!({ "token": "$usher$1$lost" }))).await;
    assert!(matches!(&refused, Err(StoreError::Refused(said)) if said.contains("never sent")), "{refused:?}");
    assert_eq!(far.get("routes/x"), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_in_the_middle_leaves_what_was_done_with_its_history() {
    let (far, folder) = (Far::start(), tempfile::tempdir().unwrap());
    let store = open(&far, folder.path()).await;
    let two = || {
        put("/apisix/upstreams/u", &json!({ "id": "u", "nodes": {} }))
            .put("/apisix/routes/r", json!({ "id": "r", "uri": "/a" }).to_string())
            .put("/usher/history/1", "{}")
    };
    far.be(Mood::Refuses(0));
    let refused = store.commit(two()).await;
    assert!(
        matches!(&refused, Err(StoreError::Refused(said)) if said.contains("unknown plugin [x]")),
        "{refused:?}"
    );
    assert_eq!(
        (store.get("/usher/history/1").await.unwrap(), value(&store, "/apisix/upstreams/u").await),
        (None, None)
    );
    far.be(Mood::Refuses(1));
    let Err(StoreError::Partial { done, reason }) = store.commit(two()).await else { panic!("not in part") };
    assert_eq!(done, ["/apisix/upstreams/u"]);
    assert!(reason.contains("route r: "), "{reason}");
    // What tells of it tells of that part.
    let told = store.get("/usher/history/1").await.unwrap().unwrap();
    assert_eq!(told.value, format!("only /apisix/upstreams/u: {reason}"));
    assert!(
        value(&store, "/apisix/upstreams/u").await.is_some()
            && value(&store, "/apisix/routes/r").await.is_none()
    );
    far.be(Mood::Good);
    store.commit(two()).await.unwrap();
    // An answer that is lost on its way is asked for.
    far.be(Mood::HangsUp);
    store.commit(put("/apisix/routes/r", &json!({ "id": "r", "uri": "/b" }))).await.unwrap();
    assert_eq!(value(&store, "/apisix/routes/r").await.unwrap()["uri"], "/b");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_was_broken_off_is_told_as_far_as_it_came() {
    let (far, folder) = (Far::start(), tempfile::tempdir().unwrap());
    let store = open(&far, folder.path()).await;
    let two = put("/apisix/upstreams/u", &json!({ "id": "u", "nodes": {} }))
        .put("/apisix/routes/r", json!({ "id": "r", "uri": "/a" }).to_string())
        .put("/usher/history/1", vec![0xff, 0x00]);
    // The line breaks behind the first write, and stays so: nobody knows how far it came.
    far.be(Mood::Silent(1));
    let unknown = store.commit(two).await;
    assert!(matches!(unknown, Err(StoreError::Unknown(_))), "{unknown:?}");
    assert!(store.get("/usher/history/1").await.unwrap().is_none());
    far.be(Mood::Good);
    until("it is told", async || store.get("/usher/history/1").await.unwrap().is_some()).await;
    let told = store.get("/usher/history/1").await.unwrap().unwrap();
    assert_eq!(told.value, "only /apisix/upstreams/u: it was broken off in between");
    assert!(store.get("/usher/far/pending").await.unwrap().is_none());
    store.commit(put("/apisix/routes/r", &json!({ "id": "r", "uri": "/a" }))).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_so_already_at_the_far_side_is_not_sent() {
    let (far, folder) = (Far::start(), tempfile::tempdir().unwrap());
    let store = open(&far, folder.path()).await;
    let sealed = |by: &str| json!({ "id": "r", "uri": "/a", "token": format!("$usher$1${by}") });
    store.commit(put("/apisix/routes/r", &sealed("s"))).await.unwrap();
    let seen = far.writes().len();
    // Such as sealing a secret anew: another text, the same secret. Here both texts open to the same.
    let mut again = sealed("s");
    again["update_time"] = json!(7);
    store.commit(put("/apisix/routes/r", &again).put("/usher/x", "y")).await.unwrap();
    assert_eq!(far.writes().len(), seen);
    assert_eq!(value(&store, "/apisix/routes/r").await.unwrap(), again);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_loss_of_everything_is_held_back_however_little_it_was_and_nothing_is_written_meanwhile() {
    let (far, folder) = (Far::start(), tempfile::tempdir().unwrap());
    let paths: Vec<String> = (0..3).map(|at| format!("routes/r{at}")).collect();
    for path in &paths {
        far.put(path, json!({ "id": path.split_once('/').unwrap().1, "uri": "/a" }));
    }
    let store = open(&far, folder.path()).await;
    // Nothing is held, so this confirms nothing, and no later loss either.
    store.accept().await.unwrap();
    far.remove(&paths);
    until("the hold", async || store.health().held.is_some()).await;
    let change = || put("/apisix/routes/r0", &json!({ "id": "r0", "uri": "/b" }));
    let refused = store.commit(change()).await;
    assert!(
        matches!(&refused, Err(StoreError::Unavailable(said)) if said.contains("nothing is written meanwhile")),
        "{refused:?}"
    );
    assert_eq!(far.get("routes/r0"), None);
    // What isn't the far side's goes on: a token can be revoked.
    store.commit(Transaction::default().put("/usher/tokens/1", "{}")).await.unwrap();
    // It comes back by itself: nothing is held any more.
    far.put("routes/r0", json!({ "id": "r0", "uri": "/a" }));
    until("the end of the hold", async || store.health().held.is_none()).await;
    store.commit(change()).await.unwrap();
    assert_eq!(far.get("routes/r0").unwrap()["uri"], "/b");
    // A single object may be deleted by anybody.
    far.remove(&["routes/r0".to_owned()]);
    until("the deletion", async || store.list("/apisix/").await.unwrap().entries.is_empty()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_s_key_is_never_sent_unless_it_is_known() {
    let (far, folder) = (Far::start(), tempfile::tempdir().unwrap());
    far.put("ssls/a", json!({ "id": "a", "sni": "a.example", "cert": "C", "key": "K" }));
    let store = open(&far, folder.path()).await;
    let mut ssl = value(&store, "/apisix/ssls/a").await.unwrap();
    assert!(ssl["key"].as_str().unwrap().starts_with("$secret://"), "{ssl}");
    ssl["sni"] = json!("b.example");
    store.commit(put("/apisix/ssls/a", &ssl)).await.unwrap();
    let (method, path, body) = far.writes().pop().unwrap();
    assert_eq!((method.as_str(), path.as_str(), body), ("PATCH", "ssls/a", json!({ "sni": "b.example" })));
    assert_eq!(far.get("ssls/a").unwrap()["key"], "K");
    let refused = store.commit(put("/apisix/ssls/b", &ssl)).await;
    assert!(
        matches!(&refused, Err(StoreError::Refused(said)) if said.contains("give the secret anew")),
        "{refused:?}"
    );
    ssl["key"] = json!("N");
    store.commit(put("/apisix/ssls/a", &ssl)).await.unwrap();
    assert_eq!(far.get("ssls/a").unwrap()["key"], "N");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_loss_of_most_objects_is_held_back_until_somebody_confirms_it() {
    let (far, folder) = (Far::start(), tempfile::tempdir().unwrap());
    for at in 0..30 {
        far.put(&format!("routes/r{at}"), json!({ "id": format!("r{at}"), "uri": "/a" }));
    }
    let store = open(&far, folder.path()).await;
    far.remove(&(0..25).map(|at| format!("routes/r{at}")).collect::<Vec<_>>());
    until("the hold", async || store.health().held.is_some()).await;
    assert!(store.list("/apisix/").await.unwrap().entries.len() > 10);
    store.accept().await.unwrap();
    until("the loss", async || store.list("/apisix/").await.unwrap().entries.len() == 5).await;
    assert_eq!(store.health().held, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_is_the_copy_of_one_far_side_only() {
    let (far, other, folder) = (Far::start(), Far::start(), tempfile::tempdir().unwrap());
    far.put("routes/r", json!({ "id": "r", "uri": "/a" }));
    let store = open(&far, folder.path()).await;
    let (revision, entry) = (store.revision(), store.get("/apisix/routes/r").await.unwrap().unwrap());
    drop(store);
    until("the folder is free", async || {
        match Apisix::open(options(&other, folder.path()), sealing()).await {
            Err(StoreError::Folder { reason, .. }) => {
                assert!(reason.contains("not of"), "{reason}");
                true
            }
            Err(StoreError::Locked { .. }) => false,
            other => panic!("{other:?}"),
        }
    })
    .await;
    // Revisions go on where they were, so that what somebody read before is still what it was.
    let store = open(&far, folder.path()).await;
    assert_eq!((store.revision(), store.get("/apisix/routes/r").await.unwrap().unwrap()), (revision, entry));
    let wrong = Options {
        key: Secret::new("x".to_owned()),
        folder: folder.path().join("new"),
        ..options(&far, folder.path())
    };
    let refused = Apisix::open(wrong, sealing()).await.map(drop).unwrap_err();
    assert!(refused.to_string().contains("refuses the key"), "{refused}");
}
