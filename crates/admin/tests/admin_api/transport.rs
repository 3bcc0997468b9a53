//! What every answer looks like: paths, pages, headers, bodies and their bounds (contract, section 1).

use axum::body::{Body, Bytes};
use axum::http::Request;
use futures_util::stream;
use serde_json::{Value, json};
use tower::ServiceExt as _;
use usher_model::compat::{Behaviour, Compat};

use crate::bench::{ADMIN, Bench};
use crate::fakes::{GOOD, PANICS};

fn page(status: &str, product: &str) -> String {
    format!(
        "<html>\r\n<head><title>{status}</title></head>\r\n<body>\r\n<center><h1>{status}</h1></center>\r\n<hr><center>{product}</center>\r\n</body>\r\n</html>\r\n"
    )
}

#[tokio::test]
async fn paths_that_nobody_serves_get_a_page() {
    for (compat, product) in
        [(Compat::NONE, "usher"), (Compat::NONE.with(Behaviour::ApisixNames), "openresty")]
    {
        let bench = Bench::with(true, compat).await;
        for (method, path) in [
            ("GET", "/apisix/admin"),
            ("GET", "/apisix/admin/"),
            ("PUT", "/apisix/admin"),
            ("GET", "/apisix/adminx"),
            ("GET", "/apisix"),
            ("GET", "/apisix/admin/routes/../services"),
            ("OPTIONS", "/apisix/admin/routes"),
            ("PURGE", "/apisix/admin/routes"),
        ] {
            // Without a key too: the path comes first.
            let seen = bench.send(method, path, &[], Value::Null).await;
            assert_eq!(
                (seen.status, seen.text()),
                (404, page("404 Not Found", product).as_str()),
                "{method} {path}"
            );
            assert_eq!(seen.header("content-type"), Some("text/html; charset=utf-8"));
            assert_eq!(seen.header("server"), Some("Usher/test"));
        }
        let broken = bench.call("GET", "/apisix/admin/routes/%zz", Value::Null).await;
        assert_eq!((broken.status, broken.text()), (400, page("400 Bad Request", product).as_str()));
    }
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let bench = Bench::new().await;
    bench.put("/upstreams/1", json!({ "nodes": {} })).await;
    let keyless = bench.send("HEAD", "/apisix/admin", &[], Value::Null).await;
    assert_eq!((keyless.status, keyless.text()), (200, ""));
    let read = bench.call("GET", "/upstreams/1", Value::Null).await;
    let head = bench.call("HEAD", "/upstreams/1", Value::Null).await;
    assert_eq!((head.status, head.text(), head.header("etag")), (200, "", read.header("etag")));
    assert_eq!(head.header("content-length"), Some(read.body.len().to_string().as_str()));
    assert_eq!(bench.send("HEAD", "/upstreams/1", &[], Value::Null).await.status, 401);
    assert_eq!(bench.call("HEAD", "/upstreams/2", Value::Null).await.status, 404);
}

#[tokio::test]
async fn slashes_at_the_end_do_not_count() {
    let bench = Bench::new().await;
    bench.put("/upstreams/1/", json!({ "nodes": {} })).await;
    for path in ["/upstreams/1", "/upstreams/1/", "/upstreams//1"] {
        assert_eq!(bench.call("GET", path, Value::Null).await.json()["key"], "/apisix/upstreams/1", "{path}");
    }
    for path in ["/upstreams", "/upstreams/"] {
        assert_eq!(bench.call("GET", path, Value::Null).await.json()["total"], 1, "{path}");
    }
}

#[tokio::test]
async fn slashes_in_values_are_not_escaped() {
    let bench = Bench::new().await;
    let seen = bench.put("/routes/1", json!({ "uri": "/a/*", "plugins": {}, "desc": "ü" })).await;
    assert!(seen.text().contains("\"/a/*\"") && seen.text().contains("\"ü\""), "{}", seen.text());
}

#[tokio::test]
async fn calls_that_crash_apisix_are_answered() {
    let bench = Bench::new().await;
    for (method, path, body, status) in [
        ("GET", "/", "", 404),
        ("GET", "/schema", "", 400),
        ("PUT", "/secrets/vault", "{}", 400),
        ("DELETE", "/secrets/vault", "", 400),
        ("PUT", "/secrets", "{}", 400),
        ("PUT", "/routes/1", "5", 400),
        ("PUT", "/routes/1", "\"text\"", 400),
        ("PUT", "/routes/1", "null", 400),
        ("PUT", "/routes/1", "true", 400),
        ("PUT", "/routes/1", "[]", 400),
        ("POST", "/routes", "7", 400),
        ("PATCH", "/routes/1", "null", 400),
        ("PUT", "/consumers", "null", 400),
        ("GET", "/routes?name=a&name=b", "", 200),
        ("GET", "/routes?label", "", 200),
    ] {
        let seen = bench.call(method, path, body).await;
        assert_eq!(seen.status, status, "{method} {path} {body}: {}", seen.text());
    }
    assert_eq!(
        bench.call("PUT", "/routes/1", "5").await.error(),
        "invalid configuration: wrong type: expected object, got number"
    );
}

#[tokio::test]
async fn bodies_up_to_the_bound_are_taken() {
    let bench = Bench::new().await;
    let body = |size: usize| {
        let bare = r#"{"nodes":{},"desc":""}"#;
        bare.replace("\"\"", &format!("\"{}\"", "x".repeat(size - bare.len())))
    };
    let seen = bench.call("PUT", "/upstreams/1", body(1_572_864).as_str()).await;
    // Taken, and then refused by the schema.
    assert!(seen.error().contains("string too long"), "{}", seen.error());
    let chunked = |size: usize| {
        let pieces = body(size).into_bytes();
        let chunks: Vec<_> = pieces
            .chunks(10_000)
            .map(|piece| Ok::<_, std::io::Error>(Bytes::copy_from_slice(piece)))
            .collect();
        Body::from_stream(stream::iter(chunks))
    };
    for (size, part) in [(1_572_864, "string too long"), (1_600_000, "request size 1600000 is greater than")]
    {
        let request =
            Request::put("/apisix/admin/upstreams/1").header("x-api-key", ADMIN).body(chunked(size)).unwrap();
        let response = bench.admin.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), 400);
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        assert!(text.contains(part), "{text}");
    }
}

#[tokio::test]
async fn a_panic_is_a_500_that_tells_nothing() {
    let bench = Bench::new().await;
    bench.moods.set_live(PANICS);
    let seen = bench.call("PUT", "/upstreams/1", json!({ "nodes": {} })).await;
    assert_eq!(seen.status, 500);
    assert!(seen.error().contains("a bug in Usher") && !seen.text().contains("fell over"), "{}", seen.text());
    assert_eq!(seen.header("server"), Some("Usher/test"));
    bench.moods.set_live(GOOD);
    bench.put("/upstreams/2", json!({ "nodes": {} })).await;
}

#[tokio::test]
async fn a_body_without_an_end_is_refused_at_once() {
    let bench = Bench::new().await;
    for (path, length) in [
        ("/apisix/admin/upstreams/1", "1099511627776"),
        ("/apisix/admin/upstreams/1", "99999999999999999999999"),
        ("/usher/v1/plans", "1099511627776"),
    ] {
        for key in [ADMIN, "wrong"] {
            // Nothing ever comes: whoever waits for it waits for ever.
            let body = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
            let request = Request::builder().method(if path.ends_with("plans") { "POST" } else { "PUT" });
            let request = request.uri(path).header("x-api-key", key).header("content-length", length);
            let answered = bench.admin.clone().oneshot(request.body(body).unwrap());
            let answered = tokio::time::timeout(std::time::Duration::from_secs(3), answered).await;
            let response = answered.expect("an answer at once").unwrap();
            assert_eq!(response.status(), if key == ADMIN { 413 } else { 401 }, "{path} {length}");
        }
    }
}
