//! The order of checks: token, resource, method, size, JSON, ttl, and then the resource (contract, section 2).

use serde_json::{Value, json};

use crate::bench::Bench;

#[tokio::test]
async fn the_first_check_that_fails_answers() {
    let bench = Bench::new().await;
    let large = "x".repeat(1_572_865);
    let too_large =
        "invalid request body: request size 1572865 is greater than the maximum size 1572864 allowed";
    for (method, path, body, status, part) in [
        // Resource before method, size and JSON.
        ("POST", "/routs?ttl=x", large.as_str(), 404, "Unsupported resource type: routs"),
        ("POST", "/plugins/cors?ttl=x", &large, 404, "not found"),
        // Method before size and JSON.
        ("POST", "/consumers?ttl=x", &large, 405, "not supported `POST` method for consumer"),
        // Size before JSON.
        ("PUT", "/routes/1?ttl=x", &large, 400, too_large),
        // JSON before ttl.
        ("PUT", "/routes/1?ttl=x", "{", 400, "invalid request body: "),
        // ttl before the resource itself.
        ("PUT", "/routes?ttl=x", "{}", 400, "invalid argument ttl: should be a number"),
        ("PUT", "/routes", "{}", 400, "missing route id"),
        // GET and DELETE look at a body that they don't need, as APISIX does.
        ("GET", "/routes", "{", 400, "invalid request body: "),
        ("DELETE", "/routes/1", "{", 400, "invalid request body: "),
        ("GET", "/schema/route", "{", 400, "invalid request body: "),
    ] {
        let seen = bench.call(method, path, body).await;
        assert_eq!(seen.status, status, "{method} {path}: {}", seen.text());
        assert!(seen.error().starts_with(part), "{method} {path}: {}", seen.error());
    }
    let unauthorised = bench.send("POST", "/routs", &[], large.as_str()).await;
    assert_eq!(unauthorised.status, 401);
    assert_eq!(bench.service.revision(), 0);
}

#[tokio::test]
async fn a_body_that_is_no_json_is_echoed() {
    let bench = Bench::new().await;
    for body in ["{\"uri\":", "nonsense", "{\"a\":1}}", "\u{7f}", "{'a':1}"] {
        let seen = bench.call("PUT", "/routes/1", body).await;
        assert_eq!(seen.status, 400, "{body}");
        assert!(seen.error().starts_with("invalid request body: "), "{body}");
        assert_eq!(seen.json()["req_body"], body);
        assert_eq!(seen.header("x-api-version"), None);
    }
}

#[tokio::test]
async fn a_ttl_that_is_none_is_refused() {
    let bench = Bench::new().await;
    bench.put("/upstreams/1", json!({ "nodes": {} })).await;
    for (method, path) in [("PUT", "/upstreams/1"), ("POST", "/upstreams"), ("PATCH", "/upstreams/1")] {
        for (ttl, part) in [
            ("abc", "invalid argument ttl: should be a number"),
            ("", "invalid argument ttl: should be a number"),
            ("0", "invalid argument ttl: 0 is no time to live"),
            ("-60", "invalid argument ttl: -60 is no time to live"),
        ] {
            let seen = bench.call(method, &format!("{path}?ttl={ttl}"), json!({ "nodes": {} })).await;
            assert_eq!(seen.status, 400, "{method} {ttl}");
            assert!(seen.error().starts_with(part), "{method} {ttl}: {}", seen.error());
        }
    }
    assert_eq!(bench.service.revision(), 1);
    assert_eq!(bench.call("GET", "/upstreams?ttl=60", Value::Null).await.status, 200);
    assert_eq!(bench.call("GET", "/upstreams?ttl=x", Value::Null).await.status, 400);
}

#[tokio::test]
async fn what_has_a_ttl_vanishes_and_what_is_written_again_stays() {
    let bench = Bench::new().await;
    let body = || json!({ "nodes": {} });
    let made = bench.call("POST", "/upstreams?ttl=1", body()).await.json()["value"]["id"].clone();
    assert_eq!(bench.call("PUT", "/upstreams/put?ttl=1", body()).await.status, 201);
    bench.put("/upstreams/patched", body()).await;
    assert_eq!(bench.call("PATCH", "/upstreams/patched?ttl=1", json!({ "desc": "d" })).await.status, 200);
    assert_eq!(bench.call("PUT", "/upstreams/kept?ttl=1", body()).await.status, 201);
    bench.put("/upstreams/kept", body()).await;
    assert_eq!(bench.call("GET", "/upstreams", Value::Null).await.json()["total"], 4);
    let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while bench.call("GET", "/upstreams", Value::Null).await.json()["total"] != 1 {
        assert!(std::time::Instant::now() < end, "{made} and others are still there");
        tokio::task::yield_now().await;
    }
    assert_eq!(bench.call("GET", "/upstreams/kept", Value::Null).await.status, 200);
}
