//! etcd with users.

use std::time::Duration;

use serde_json::json;
use usher_model::secret::Secret;
use usher_store::etcd::{Etcd, Options};
use usher_store::{Store, StoreError, Transaction};

use crate::trouble::coded;
use crate::{options, put, route, routes, server, until};

/// Makes users with what they may, and turns authentication on.
fn with_users(member: &server::Member) {
    let grant = |role: &str, prefix: &str, may: &str| {
        let end = format!("{}0", prefix.trim_end_matches('/'));
        let permission = json!({"permType": may, "key": coded(prefix), "range_end": coded(&end)});
        member.ask("auth/role/grant", &json!({"name": role, "perm": permission}));
    };
    for (user, password) in [("root", "r"), ("usher", "pass"), ("reader", "only")] {
        member.ask("auth/user/add", &json!({"name": user, "password": password}));
        member.ask("auth/role/add", &json!({"name": user}));
        member.ask("auth/user/grant", &json!({"user": user, "role": user}));
    }
    grant("usher", "/apisix/", "READWRITE");
    grant("usher", "/usher/", "READWRITE");
    grant("reader", "/apisix/", "READ");
    member.ask("auth/enable", &json!({}));
}

fn as_user(members: &[server::Member], user: &str, password: &str) -> Options {
    Options {
        user: Some(user.to_owned()),
        password: Some(Secret::new(password.to_owned())),
        ..options(members, None)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_may_what_etcd_grants() {
    let folder = tempfile::tempdir().unwrap();
    let mut members = server::start(folder.path(), 1, &["--auth-token-ttl=1"]);
    members[0].put(&route(1), "there");
    with_users(&members[0]);
    let store = Etcd::open(as_user(&members, "usher", "pass")).await.unwrap();
    put(&store, &route(2), "by usher").await;
    let both = Transaction::default().put(route(3), "x").put("/usher/tokens/1", "t").put_for(
        route(4),
        "x",
        Some(60),
    );
    store.commit(both).await.unwrap();
    assert_eq!(routes(&store).await.len(), 4);

    // A token that nobody used for a second is void; etcd looks once a second.
    tokio::time::sleep(Duration::from_millis(2500)).await;
    put(&store, &route(2), "with a new token").await;
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!(store.get("/usher/history/1").await.unwrap(), None);

    // Who may only read serves, and says why it doesn't write.
    let reader = Etcd::open(as_user(&members, "reader", "only")).await.unwrap();
    assert_eq!(routes(&reader).await.len(), 4);
    let refused = reader.commit(Transaction::default().put(route(5), "x")).await.unwrap_err();
    assert!(matches!(&refused, StoreError::Refused(said) if said.contains("permission")), "{refused:?}");
    assert!(reader.get("/usher/head").await.is_err());

    for (wrong, says) in [
        (as_user(&members, "usher", "wrong"), "password is wrong"),
        (as_user(&members, "nobody", "pass"), "password is wrong"),
        (options(&members, None), "asks for a user"),
    ] {
        let hasty = Options { timeout: Duration::from_secs(1), ..wrong };
        let said = Etcd::open(hasty).await.unwrap_err().to_string();
        assert!(said.contains(says), "{said}");
    }

    // A restart makes every token void.
    members[0].kill();
    members[0].start();
    until("coming back", async || store.health().away.is_none() && reader.health().away.is_none()).await;
    until("writing again", async || {
        store.commit(Transaction::default().put(route(2), "again")).await.is_ok()
    })
    .await;
    until("reading again", async || reader.get(&route(2)).await.unwrap().unwrap().value == "again").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_is_no_harm_where_etcd_asks_for_none() {
    let folder = tempfile::tempdir().unwrap();
    let members = server::start(folder.path(), 1, &[]);
    let store = Etcd::open(as_user(&members, "usher", "pass")).await.unwrap();
    put(&store, &route(1), "x").await;
    // Authentication is turned on under a running gateway.
    with_users(&members[0]);
    until("writing as a user", async || {
        store.commit(Transaction::default().put(route(1), "y")).await.is_ok()
    })
    .await;
    assert_eq!(routes(&store).await.len(), 1);
}
