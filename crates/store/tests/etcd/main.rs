//! The store on real etcd: away, stalled, compacted, wiped, restored, with users and with TLS, and three members in all kinds of trouble.
#![cfg(test)]

mod auth;
mod away;
mod chaos;
mod checker;
mod history;
mod layout;
mod server;
mod tls;
mod trouble;

use std::path::Path;
use std::time::{Duration, Instant};

use usher_store::etcd::{Etcd, Options};
use usher_store::{Entry, Revision, Store, Transaction};

/// The options for these members, with snapshots in a folder where one is given.
fn options(members: &[server::Member], snapshots: Option<&Path>) -> Options {
    let scheme = if members.iter().any(|member| member.tls) { "etcds" } else { "etcd" };
    let addresses: Vec<_> = members.iter().map(server::Member::address).collect();
    let options = Options::parse(&format!("{scheme}://{}", addresses.join(","))).unwrap();
    Options { snapshots: snapshots.map(Path::to_owned), ..options }
}

async fn open(members: &[server::Member], snapshots: Option<&Path>) -> Etcd {
    Etcd::open(options(members, snapshots)).await.unwrap()
}

fn route(id: impl std::fmt::Display) -> String {
    format!("/apisix/routes/{id}")
}

async fn put(store: &Etcd, key: &str, value: &str) -> Revision {
    store.commit(Transaction::default().put(key, value.to_owned())).await.unwrap().revision
}

async fn routes(store: &Etcd) -> Vec<Entry> {
    store.list("/apisix/routes/").await.unwrap().entries
}

/// Asks again until something is so; fails where that takes longer than 30 s.
async fn until(what: &str, mut so: impl AsyncFnMut() -> bool) {
    let begin = Instant::now();
    while !so().await {
        assert!(begin.elapsed() < Duration::from_secs(30), "{what} took too long");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
