//! `explain`: a request that is described, or given as curl.

use serde_json::{Value, json};

use crate::bench::Bench;

#[tokio::test]
async fn a_described_request_is_explained() {
    let bench = Bench::new().await;
    let body = json!({ "method": "get", "host": "a.test", "target": "/speaker/1?x=y", "headers": { "X-A": "1" }, "client": "10.0.0.9" });
    let seen = bench.call("POST", "/explain", body).await.json();
    assert_eq!(seen["route"], json!({ "id": "speaker", "name": "Speakers", "uri": "/speaker/*" }));
    assert_eq!(seen["plugins"], json!([{ "name": "limit-count", "phases": ["access", "header_filter"] }]));
    assert_eq!(seen["upstream"]["next"], "10.0.0.2:80");
    assert_eq!(seen["upstream"]["nodes"][1], json!({ "address": "10.0.0.2:80", "weight": 2 }));
    assert_eq!(seen["passed_over"][0]["because"], "arg_beta is absent, wanted \"yes\"");
    assert_eq!(seen["request"]["method"], "GET");
    let asked = bench.moods.asked.lock().unwrap();
    assert_eq!((asked[0].host.as_str(), asked[0].target.as_str()), ("a.test", "/speaker/1?x=y"));
    assert_eq!(asked[0].headers, [("X-A".to_owned(), "1".to_owned())]);
    assert_eq!(asked[0].client.unwrap().to_string(), "10.0.0.9");
}

#[tokio::test]
async fn a_command_line_of_curl_is_explained() {
    let bench = Bench::new().await;
    let curl = "curl -sS --resolve a.test:9080:127.0.0.1 -X PUT -H 'Authorization: Bearer canary' http://a.test:9080/other";
    let seen = bench.call("POST", "/explain", json!({ "curl": curl })).await;
    let told = seen.json();
    assert_eq!((&told["route"], &told["answer"]), (&Value::Null, &json!("404 Route Not Found")));
    assert!(told["notes"][0].as_str().unwrap().contains("--resolve"), "{told}");
    assert!(!seen.text.contains("canary"), "{}", seen.text);
    let asked = bench.moods.asked.lock().unwrap();
    assert_eq!((asked[0].method.as_str(), asked[0].host.as_str()), ("PUT", "a.test:9080"));
    assert!(asked[0].headers.contains(&("Authorization".to_owned(), "Bearer canary".to_owned())));
}

#[tokio::test]
async fn what_is_no_request_is_refused() {
    let bench = Bench::new().await;
    for (body, field) in [
        (json!({}), "/target"),
        (json!({ "target": "x" }), "/target"),
        (json!({ "curl": "curl --what a.test" }), "/curl"),
        (json!({ "curl": "curl a.test", "host": "b" }), "/curl"),
        (json!({ "target": "/", "client": "nobody" }), "/client"),
    ] {
        let seen = bench.call("POST", "/explain", body.clone()).await;
        assert_eq!((seen.refusal().0, seen.field()), (422, field.to_owned()), "{body}: {}", seen.text);
    }
}

#[tokio::test]
async fn a_scoped_token_is_told_of_its_own_routes_alone() {
    let bench = Bench::new().await;
    let token = bench.token("viewer", json!({ "labels": ["team=pay"] })).await;
    let seen = bench
        .send("POST", "/explain", &[("x-api-key", &token)], json!({ "target": "/speaker/1" }))
        .await
        .json();
    assert_eq!(
        (&seen["route"], &seen["passed_over"], &seen["plugins"]),
        (&Value::Null, &json!([]), &json!([]))
    );
    assert!(seen["answer"].as_str().unwrap().contains("outside of your scope"), "{seen}");
}
