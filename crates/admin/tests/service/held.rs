//! What a large change holds while it waits, and what it leaves behind, counted by the allocator.

use std::sync::Arc;

use serde_json::{Value, json};
use tikv_jemalloc_ctl::{epoch, stats};
use usher_admin::service::{Approval, Extent, Rules};
use usher_model::kind::Key;
use usher_store::memory::Memory;

use crate::bench::{Bench, admin, consumer};

/// Objects of the change.
const OBJECTS: usize = 20_000;

/// Bytes that this process holds at the moment: each test has one of its own.
fn held() -> usize {
    epoch::advance().unwrap();
    stats::allocated::read().unwrap()
}

fn document() -> Vec<(Key, Value)> {
    let one = |at: usize| {
        let name = format!("user{at}");
        let value =
            json!({ "username": name, "plugins": { "key-auth": { "key": format!("key-of-user-{at}") } } });
        (consumer(&name), value)
    };
    (0..OBJECTS).map(one).collect()
}

#[tokio::test]
async fn a_large_change_takes_little_while_it_waits_and_leaves_nothing_behind() {
    let bench = Bench::with(Arc::new(Memory::new()), Rules::default()).await;
    let before = held();
    let document = document();
    let trees = held().saturating_sub(before) / OBJECTS;
    let plan = bench.service.plan_document(&admin(), document, Extent::default(), None).await.unwrap();
    assert_eq!(plan.total, OBJECTS);
    let id = plan.id.clone();
    drop(plan);
    let waiting = held().saturating_sub(before) / OBJECTS;
    println!("a plan of {OBJECTS} consumers waits in {waiting} bytes for each, whose trees took {trees}");
    // Half of them are shown, as trees.
    assert!(waiting < 1700, "{waiting} bytes for each object");

    let person = Approval::Person("a test".to_owned());
    drop(bench.service.apply(&admin(), &id, person).await.unwrap());
    let applied = held();
    let Bench { service, store, keyring, live } = bench;
    drop((service, live));
    let again = Bench::started(store, Rules::default(), keyring).await;
    let fresh = held();
    let left = applied.saturating_sub(fresh) / OBJECTS;
    println!("once applied it holds {left} bytes for each more than after a restart");
    assert!(left < 20, "{left} bytes for each object");
    drop(again);
}
