//! Order, pages and searches of lists (contract, section 4.3).

use serde_json::{Value, json};
use usher_admin::http::Form;

use crate::bench::{Bench, Seen};

fn ids(seen: &Seen) -> Vec<String> {
    let list = seen.json()["list"].as_array().unwrap().clone();
    list.iter().map(|item| item["value"]["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn lists_are_in_the_order_of_keys_and_pages_in_the_order_of_creation() {
    let bench = Bench::new().await;
    for id in (1..=23).rev() {
        bench.put(&format!("/upstreams/{id}"), json!({ "nodes": {} })).await;
    }
    let whole = bench.call("GET", "/upstreams", Value::Null).await;
    assert_eq!(ids(&whole)[..4], ["1", "10", "11", "12"]);
    for (query, wanted) in [
        ("page=1&page_size=10", (14..=23).rev().collect::<Vec<u32>>()),
        ("page=2&page_size=10", (4..=13).rev().collect()),
        ("page=3&page_size=10", (1..=3).rev().collect()),
        ("page=0&page_size=10", (14..=23).rev().collect()),
        ("page=4&page_size=10", vec![]),
        ("page=1.5&page_size=10.5", (14..=23).rev().collect()),
        ("page=1&page_size=500", (1..=23).rev().collect()),
    ] {
        let seen = bench.call("GET", &format!("/upstreams?{query}"), Value::Null).await;
        let wanted: Vec<String> = wanted.iter().map(u32::to_string).collect();
        assert_eq!((seen.status, ids(&seen)), (200, wanted), "{query}");
        assert_eq!(seen.json()["total"], 23, "{query}");
    }
    assert!(
        bench.call("GET", "/upstreams?page=4&page_size=10", Value::Null).await.text().contains("\"list\":[]")
    );
    // Only both together, and only as numbers.
    for query in ["page=2", "page_size=10", "page_size=5", "page=x&page_size=10", "page=1&page_size=x"] {
        let seen = bench.call("GET", &format!("/upstreams?{query}"), Value::Null).await;
        assert_eq!(ids(&seen).len(), 23, "{query}");
    }
    for query in ["page=1&page_size=9", "page=1&page_size=501", "page=1&page_size=0"] {
        let seen = bench.call("GET", &format!("/upstreams?{query}"), Value::Null).await;
        assert_eq!((seen.status, seen.text()), (400, "page_size must be between 10 and 500"), "{query}");
        assert_eq!(seen.header("content-type"), Some("application/json"));
        assert_eq!(seen.header("x-api-version"), Some("v3"));
    }
}

#[tokio::test]
async fn an_edit_does_not_move_a_resource_between_pages() {
    let bench = Bench::new().await;
    for id in 10..30 {
        bench.put(&format!("/upstreams/{id}"), json!({ "nodes": {} })).await;
    }
    bench.put("/upstreams/10", json!({ "nodes": {}, "desc": "later" })).await;
    assert_eq!(ids(&bench.call("GET", "/upstreams?page=1&page_size=10", Value::Null).await)[0], "10");
}

#[tokio::test]
async fn searches_are_all_met() {
    let bench = Bench::new().await;
    bench.put("/services/s1", json!({ "name": "conference" })).await;
    bench.put("/upstreams/7", json!({ "nodes": {} })).await;
    for (id, value) in [
        (
            "a",
            json!({ "uri": "/speaker/*", "name": "speakers", "labels": { "team": "conf" }, "service_id": "s1" }),
        ),
        ("b", json!({ "uris": ["/topic/*", "/topics"], "name": "topics", "plugins": {} })),
        ("c", json!({ "uri": "/x", "labels": { "team": "other", "env": "x" }, "upstream_id": 7 })),
    ] {
        bench.put(&format!("/routes/{id}"), value).await;
    }
    for (query, wanted) in [
        ("name=speak", vec!["a"]),
        ("name=%5E(speakers%7Ctopics)%24", vec!["a", "b"]),
        ("name=", vec!["a", "b", "c"]),
        ("name=.*", vec!["a", "b", "c"]),
        ("name=%5Enil%24", vec!["c"]),
        ("name=s(?%3D%24)", vec!["a", "b"]),
        ("uri=topic", vec!["b"]),
        ("uri=%5E/topics%24", vec!["b"]),
        ("uri=", vec!["a", "b", "c"]),
        ("label=team", vec!["a", "c"]),
        ("label=env", vec!["c"]),
        ("label=conf", vec![]),
        ("label=", vec![]),
        ("label=team&name=speak", vec!["a"]),
        ("label=env&name=speak", vec![]),
        ("filter=service_id%3Ds1", vec!["a"]),
        ("filter=service_id%3Ds2", vec![]),
        ("filter=upstream_id%3D7", vec![]),
        ("filter=status%3D1", vec!["a", "b", "c"]),
        ("fields=uri", vec!["a", "b", "c"]),
        ("label=team&page=1&page_size=10", vec!["a", "c"]),
    ] {
        let seen = bench.call("GET", &format!("/routes?{query}"), Value::Null).await;
        assert_eq!(
            (seen.status, ids(&seen)),
            (200, wanted.iter().map(|id| (*id).to_owned()).collect()),
            "{query}"
        );
        assert_eq!(seen.json()["total"], wanted.len(), "{query}");
    }
    assert_eq!(
        bench.call("GET", "/services?uri=x", Value::Null).await.json(),
        json!({ "total": 0, "list": [] })
    );
    assert_eq!(bench.call("GET", "/services?filter=service_id%3Dx", Value::Null).await.json()["total"], 1);
}

#[tokio::test]
async fn patterns_that_can_not_be_used_are_named() {
    let bench = Bench::new().await;
    bench.put("/routes/1", json!({ "uri": "/a", "name": "a".repeat(256), "plugins": {} })).await;
    for (query, part) in [
        ("name=%5B", "invalid argument name: \"[\" is no regular expression"),
        ("uri=(", "invalid argument uri: \"(\" is no regular expression"),
        ("name=(%3F%3Da)(a*)*%5C1b", "invalid argument name: the pattern takes too long"),
    ] {
        let seen = bench.call("GET", &format!("/routes?{query}"), Value::Null).await;
        assert_eq!(seen.status, 400, "{query}: {}", seen.text());
        assert!(seen.error().starts_with(part), "{}", seen.error());
    }
}

#[tokio::test]
async fn consumers_and_their_credentials_are_listed_apart() {
    let bench = Bench::new().await;
    for name in ["jack", "jill"] {
        bench.put(&format!("/consumers/{name}"), json!({ "username": name })).await;
        bench.put(&format!("/consumers/{name}/credentials/c-{name}"), json!({})).await;
    }
    let names = |seen: &Seen, member: &str| -> Vec<String> {
        let list = seen.json()["list"].as_array().unwrap().clone();
        list.iter().map(|item| item["value"][member].as_str().unwrap().to_owned()).collect()
    };
    let consumers = bench.call("GET", "/consumers", Value::Null).await;
    assert_eq!(names(&consumers, "username"), ["jack", "jill"]);
    let credentials = bench.call("GET", "/consumers/jill/credentials", Value::Null).await;
    assert_eq!(names(&credentials, "id"), ["c-jill"]);
    assert_eq!(credentials.json()["list"][0]["key"], "/apisix/consumers/jill/credentials/c-jill");
}

#[tokio::test]
async fn every_kind_is_searched_and_paged() {
    let bench = Bench::formed(Form { streams: true, ..Form::default() }).await;
    bench.put("/services/s", json!({})).await;
    for (path, value) in [
        (
            "/stream_routes/a",
            json!({ "server_port": 1, "name": "mqtt", "labels": { "team": "iot" }, "service_id": "s" }),
        ),
        ("/stream_routes/b", json!({ "server_port": 2, "upstream": { "nodes": {} } })),
        ("/consumer_groups/a", json!({ "plugins": {}, "name": "gold", "labels": { "team": "iot" } })),
        ("/consumer_groups/b", json!({ "plugins": {} })),
        ("/plugin_configs/a", json!({ "plugins": {}, "name": "shared", "labels": { "team": "iot" } })),
        ("/plugin_configs/b", json!({ "plugins": {} })),
    ] {
        bench.put(path, value).await;
    }
    for (path, wanted) in [
        ("/stream_routes?filter=service_id%3Ds", vec!["a"]),
        ("/stream_routes?name=mq", vec!["a"]),
        ("/stream_routes?label=team", vec!["a"]),
        ("/stream_routes?page=1&page_size=10", vec!["a", "b"]),
        ("/consumer_groups?name=^gold$", vec!["a"]),
        ("/consumer_groups?label=team", vec!["a"]),
        ("/plugin_configs?name=shar", vec!["a"]),
        ("/plugin_configs?filter=service_id%3Ds", vec!["a", "b"]),
        ("/plugin_configs?uri=.", vec![]),
    ] {
        let seen = bench.call("GET", path, Value::Null).await;
        assert_eq!(ids(&seen), wanted, "{path}");
        assert_eq!(seen.json()["total"], wanted.len(), "{path}");
    }
}
