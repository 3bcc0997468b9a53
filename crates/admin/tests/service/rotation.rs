//! A new key takes over from an older one: in parts, broken off and gone on with, and on a store that gateways share.

use std::sync::Arc;

use serde_json::json;
use usher_admin::service::{Approval, AuditEvent, Extent, NewModel, Resealed, Rules, ServiceError, Wanted};
use usher_model::change::{Door, Principal, Role};
use usher_model::scope::Scope;
use usher_model::seal::Keyring;
use usher_model::secret::Secret;
use usher_store::memory::Memory;
use usher_store::{Capabilities, Store};

use crate::bench::{Bench, admin, consumer, jack, put, route, wanted};
use crate::stores::Odd;

fn two_keys() -> (Vec<u8>, Vec<u8>) {
    (Keyring::generate().unwrap().1, Keyring::generate().unwrap().1)
}

async fn started(store: &Arc<dyn Store>, keys: &[&Vec<u8>]) -> Bench {
    let keys: Vec<Vec<u8>> = keys.iter().map(|key| (*key).clone()).collect();
    Bench::started(Arc::clone(store), Rules::default(), Arc::new(Keyring::new(&keys).unwrap())).await
}

#[tokio::test]
async fn a_large_store_is_sealed_anew_in_parts_that_may_be_broken_off() {
    const ROUTES: usize = 2100;
    let (old, new) = two_keys();
    let store: Arc<dyn Store> = Arc::new(Memory::new());
    let bench = started(&store, &[&old]).await;
    let value =
        |at: usize| json!({ "uri": "/a", "plugins": { "caller": { "token": format!("token-{at}") } } });
    let objects = (0..ROUTES).map(|at| (route(&format!("r{at:04}")), value(at))).collect();
    let plan = bench.service.plan_document(&admin(), objects, Extent::default(), None).await.unwrap();
    bench.service.apply(&admin(), &plan.id, Approval::Client).await.unwrap();

    let bench = started(&store, &[&new, &old]).await;
    let first = bench.service.seal_some_anew(&admin(), None).await.unwrap();
    assert_eq!(first.records, 2000);
    let Resealed { next: Some(next), .. } = first else { panic!("all in one part") };
    assert!(next.starts_with("/apisix/routes/"), "{next}");
    // Broken off here: whoever begins anew finishes it, and the history still fits what is there.
    let bench = started(&store, &[&new, &old]).await;
    let state = bench.service.keyring(&admin()).await.unwrap();
    assert_eq!((state.keys.len(), state.older.len()), (2, ROUTES - 2000 + 1));
    assert_eq!(bench.service.seal_anew(&admin()).await.unwrap(), ROUTES - 2000 + 1);
    assert!(bench.service.keyring(&admin()).await.unwrap().older.is_empty());
    let told = bench.service.audit(&admin(), usher_admin::service::AuditQuery::default()).await.unwrap();
    let records: Vec<usize> =
        told.iter().filter(|told| told.event == AuditEvent::Resealed).map(|told| told.total).collect();
    assert_eq!(records, [2000, ROUTES - 2000 + 1]);

    let bench = started(&store, &[&new]).await;
    assert_eq!(bench.value(route("r2099")).await["plugins"]["caller"]["token"], "token-2099");
    // Who made it is still known, and it can be taken back.
    let stored = bench.service.get(&admin(), &route("r0000")).await.unwrap().unwrap();
    assert_eq!(bench.service.changed_through(&admin(), &stored).await.unwrap(), Some(Door::AdminApi));
    let undo = bench.service.plan_undo(&admin(), None, None).await.unwrap();
    bench.service.apply(&admin(), &undo.id, Approval::Client).await.unwrap();
    assert!(bench.bytes().await.is_empty());
}

#[tokio::test]
async fn a_shared_store_lets_in_who_has_the_newest_key_alone_once_all_is_sealed_anew() {
    let (old, new) = two_keys();
    let store: Arc<dyn Store> = Odd::new(Capabilities { alone: false, ..Capabilities::OWN });
    let bench = started(&store, &[&old]).await;
    bench.put(consumer("jack"), jack("jack", "jacks-key")).await.unwrap();
    let bench = started(&store, &[&new, &old]).await;
    let only = Arc::new(Keyring::new(std::slice::from_ref(&new)).unwrap());
    let alone = || Bench::try_started(Arc::clone(&store), Rules::default(), Arc::clone(&only));
    assert!(alone().await.is_err(), "it could not open what is there");
    assert!(bench.service.keyring(&admin()).await.unwrap().older.contains(&"/usher/keyring".to_owned()));
    bench.service.seal_anew(&admin()).await.unwrap();
    let bench = alone().await.unwrap();
    assert_eq!(bench.value(consumer("jack")).await["plugins"]["key-auth"]["key"], "jacks-key");
}

#[tokio::test]
async fn an_unfinished_plan_and_who_may_not_are_in_the_way() {
    let (old, new) = two_keys();
    let odd = Odd::narrow(16);
    let store: Arc<dyn Store> = Arc::clone(&odd) as Arc<dyn Store>;
    let bench = started(&store, &[&old]).await;
    let set = (0..40).map(|at| {
        put(route(&format!("r{at}")), json!({ "uri": "/a", "plugins": { "caller": { "token": "t" } } }))
    });
    odd.fail_after(1);
    bench.service.write(&admin(), Wanted { in_steps: true, ..wanted(set) }).await.unwrap_err();
    odd.fail_after(-1);
    let bench = started(&store, &[&new, &old]).await;
    let refused = bench.service.seal_anew(&admin()).await.unwrap_err();
    assert!(matches!(&refused, ServiceError::Conflict(told) if told.contains("is unfinished")), "{refused}");
    let open = bench.service.unfinished(&admin()).await.unwrap().remove(0);
    bench.service.give_up_steps(&admin(), &open.plan).await.unwrap();
    let part = Principal::new("x", Role::Admin, Door::Api)
        .within(Scope { labels: vec!["a=b".to_owned()], ..Scope::ALL });
    for who in [crate::bench::viewer(), part] {
        assert!(matches!(bench.service.seal_anew(&who).await, Err(ServiceError::Forbidden(_))));
        assert!(matches!(bench.service.keyring(&who).await, Err(ServiceError::Forbidden(_))));
    }
    bench.service.seal_anew(&admin()).await.unwrap();
    assert!(bench.service.older_seals(&admin()).await.unwrap().is_empty());
}

#[tokio::test]
async fn the_key_of_the_chats_model_is_sealed_anew_with_the_rest() {
    let (old, new) = two_keys();
    let store: Arc<dyn Store> = Arc::new(Memory::new());
    let bench = started(&store, &[&old]).await;
    let key = Some(Secret::new("sk-canary".to_owned()));
    let model = NewModel { url: "https://models.test/v1".to_owned(), name: "m".to_owned(), api: None, key };
    bench.service.choose_model(&admin(), model).await.unwrap();
    let bench = started(&store, &[&new, &old]).await;
    assert_eq!(bench.service.older_seals(&admin()).await.unwrap(), ["/usher/chat/model"]);
    assert_eq!(bench.service.seal_anew(&admin()).await.unwrap(), 1);
    let bench = started(&store, &[&new]).await;
    let chosen = bench.service.chosen_model().unwrap().unwrap();
    assert_eq!(chosen.key.unwrap().expose(), "sk-canary");
    // Without the key that sealed it, it can't be asked, and the sentence says what to do.
    let bench = started(&store, &[&old]).await;
    let refused = bench.service.chosen_model().unwrap_err().to_string();
    assert!(refused.contains("give it anew at Chat model"), "{refused}");
}
