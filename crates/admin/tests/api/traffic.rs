//! `traffic`: what is asked of the proxy, what is told of its answer, and what somebody with a scope doesn't get.

use serde_json::{Value, json};

use crate::bench::{Bench, VIEWER};

#[tokio::test]
async fn series_come_as_lists_of_the_same_length_beside_the_day_before() {
    let bench = Bench::new().await;
    let seen = bench
        .send(
            "GET",
            "/traffic?range=10m&group=route,plugin&status=4xx&sort=slowest&compare=1d&limit=3",
            &[],
            Value::Null,
        )
        .await;
    assert_eq!(seen.status, 401);
    let seen = bench
        .call(
            "GET",
            "/traffic?range=10m&group=route,plugin&status=4xx&sort=slowest&compare=1d&limit=3",
            Value::Null,
        )
        .await;
    assert_eq!(seen.status, 200, "{}", seen.text);
    let told = seen.json();
    assert_eq!(told["group"], json!(["route", "plugin"]));
    let series = &told["series"][0];
    assert_eq!(series["key"], json!({ "route": "speaker", "plugin": "key-auth" }));
    assert_eq!(series["requests"], json!([1, 0]));
    assert_eq!(series["refused"], json!([1, 0]));
    assert_eq!(series["p95_ms"], json!([9.5, null]));
    assert_eq!((&series["total"]["requests"], &series["before"]["requests"]), (&json!(1), &json!(1)));
    let asked = bench.moods.traffic.lock().unwrap().clone();
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[0].only.status, Some((400, 499)));
    assert_eq!((asked[0].to - asked[0].from, asked[0].limit), (600, 3));
    assert_eq!((asked[0].from - asked[1].from, asked[1].points), (86_400, 0));
    assert!(asked[0].only.routes.is_none());
}

#[tokio::test]
async fn what_cannot_be_asked_is_refused_with_the_field_and_what_is_allowed() {
    let bench = Bench::new().await;
    for (query, field, word) in [
        ("range=5x", "range", "10m"),
        ("range=1h&from=5", "range", "leave one"),
        ("from=500&to=400", "from", "before"),
        ("group=router", "group", "consumer"),
        ("sort=best", "sort", "slowest"),
        ("limit=0", "limit", "between 1 and 100"),
        ("points=9999", "points", "1500"),
        ("range=30d&step=1", "step", "longer"),
        ("status=9xx", "status", "5xx"),
        ("compare=soon", "compare", "7d"),
        ("rang=1h", "rang", "range"),
    ] {
        let seen = bench.call("GET", &format!("/traffic?{query}"), Value::Null).await;
        let error = seen.json()["error"].clone();
        assert!(matches!(seen.status, 400 | 422), "{query}: {}", seen.text);
        assert!(error.to_string().contains(field) && error.to_string().contains(word), "{query}: {error}");
    }
}

#[tokio::test]
async fn a_scope_bounds_what_is_counted() {
    let bench = Bench::new().await;
    for (id, label) in [("1", "pay"), ("2", "shop")] {
        let value = json!({ "uri": format!("/{id}"), "labels": { "team": label }, "upstream": { "nodes": { "10.0.0.1:80": 1 } } });
        bench.put("route", id, value).await;
    }
    let token = json!({ "name": "pay", "role": "viewer", "scope": { "labels": ["team=pay"] }, "expires_in_secs": 3600 });
    let token = bench.call("POST", "/tokens", token).await.json()["token"].as_str().unwrap().to_owned();
    let seen = bench.send("GET", "/traffic", &[("x-api-key", &token)], Value::Null).await;
    assert_eq!(seen.status, 200, "{}", seen.text);
    let seen = bench.send("GET", "/traffic", &[("x-api-key", VIEWER)], Value::Null).await;
    assert_eq!(seen.status, 200, "{}", seen.text);
    let asked = bench.moods.traffic.lock().unwrap().clone();
    assert_eq!(asked[0].only.routes, Some(["1".to_owned()].into()));
    assert_eq!(asked[1].only.routes, None);
}
