//! A time to live on the real server: what lives below goes too, whatever the store is.

use serde_json::json;

use crate::support::{KEY, Usher, eventually, request};

/// A consumer with a credential of its own, for a second.
pub(crate) fn a_consumer_ends_with_its_credentials(usher: &Usher) {
    usher.put("/consumers/jack?ttl=1", &json!({ "username": "jack" }));
    usher.put(
        "/consumers/jack/credentials/c",
        &json!({ "plugins": { "key-auth": { "key": "jacks-key-of-old" } } }),
    );
    usher.put("/upstreams/u", &json!({ "nodes": { "127.0.0.1:9": 1 } }));
    usher.put("/routes/r", &json!({ "uri": "/a", "upstream_id": "u" }));
    let refused = usher.admin("PUT", "/upstreams/u?ttl=60", Some(&json!({ "nodes": { "127.0.0.1:9": 1 } })));
    assert_eq!(refused.status, 400, "{}", refused.text());
    assert!(refused.text().contains("route r uses upstream u"), "{}", refused.text());
    eventually("the consumer is gone", || usher.admin("GET", "/consumers/jack", None).status == 404);
    let history =
        || request(usher.address("admin"), "GET", "/usher/v1/history", &[("X-API-KEY", KEY)], b"").json();
    eventually("the history tells of its credential", || history()["entries"][0]["principal"] == "system");
    let newest = history()["entries"][0].clone();
    assert_eq!(newest["intent"], "consumer jack ended: its time to live was over", "{newest}");
    assert_eq!(newest["objects"][0]["id"], "jack/credentials/c", "{newest}");
    // A new one of its name has none of it, and the key is free.
    usher.put("/consumers/jack", &json!({ "username": "jack" }));
    assert_eq!(usher.admin("GET", "/consumers/jack/credentials", None).status, 404);
    usher.put(
        "/consumers/jill",
        &json!({ "username": "jill", "plugins": { "key-auth": { "key": "jacks-key-of-old" } } }),
    );
}

#[test]
fn a_consumer_of_the_embedded_store_ends_with_its_credentials() {
    a_consumer_ends_with_its_credentials(&Usher::start(&[]));
}

#[test]
fn a_consumer_of_the_store_in_memory_ends_with_its_credentials() {
    a_consumer_ends_with_its_credentials(&Usher::start(&["--store", "memory"]));
}
