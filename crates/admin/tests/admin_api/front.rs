//! Which pages and hosts may ask, and CORS (contract, section 1; safer than APISIX unless told otherwise).

use serde_json::{Value, json};
use usher_model::compat::{Behaviour, Compat};

use crate::bench::{ADMIN, Bench, PEER};

#[tokio::test]
async fn pages_of_others_are_refused() {
    let bench = Bench::new().await;
    for (origin, host, status) in [
        ("https://evil.test", "127.0.0.1:9180", 403),
        ("null", "127.0.0.1:9180", 403),
        ("http://127.0.0.1:5000", "127.0.0.1:9180", 403),
        ("http://localhost:9180.evil.test", "127.0.0.1:9180", 403),
        ("http://localhost:9180", "127.0.0.1:9180", 200),
        ("http://127.0.0.1:9180", "127.0.0.1:9180", 200),
        // With a key, the page of whatever name we were reached by is our own.
        ("https://gateway.test", "gateway.test", 200),
        ("https://gateway.test", "gateway.test:443", 200),
        ("http://other.test", "gateway.test", 403),
    ] {
        let headers = [("x-api-key", ADMIN), ("origin", origin), ("host", host)];
        let seen = bench.send("GET", "/routes", &headers, Value::Null).await;
        assert_eq!(seen.status, status, "{origin} at {host}: {}", seen.text());
        assert_eq!(seen.header("access-control-allow-origin"), None);
        if status == 403 {
            assert!(seen.error().contains(origin), "{}", seen.error());
        }
    }
    let write = [("origin", "https://evil.test"), ("x-api-key", ADMIN)];
    assert_eq!(bench.send("PUT", "/upstreams/1", &write, json!({ "nodes": {} })).await.status, 403);
    assert_eq!(bench.service.revision(), 0);
}

#[tokio::test]
async fn without_a_key_only_our_own_names_are_answered() {
    let bench = Bench::with(false, Compat::NONE).await;
    for (headers, status) in [
        (vec![("host", "127.0.0.1:9180")], 200),
        (vec![("host", "LOCALHOST:9180")], 200),
        (vec![("host", "evil.test")], 421),
        (vec![("host", "evil.test:9180")], 421),
        (vec![("host", "localhost")], 421),
        (vec![("host", "")], 421),
        (vec![("host", "localhost:9180"), ("host", "evil.test")], 421),
        // The page of a foreign name that points here.
        (vec![("host", "evil.test:9180"), ("origin", "http://evil.test:9180")], 421),
        (vec![("host", "localhost:9180"), ("origin", "http://evil.test:9180")], 403),
    ] {
        let seen = bench.send("GET", "/routes", &headers, Value::Null).await;
        assert_eq!(seen.status, status, "{headers:?}: {}", seen.text());
        if status == 421 {
            assert!(seen.error().contains("localhost:9180"), "{}", seen.error());
        }
    }
    let absolute = bench.send("GET", "/routes", &[("host", "evil.test")], Value::Null).await;
    assert_eq!(absolute.header("server"), Some("Usher/test"));
}

#[tokio::test]
async fn with_a_key_any_host_is_answered() {
    let bench = Bench::new().await;
    let headers = [("x-api-key", ADMIN), ("host", "gateway.test")];
    assert_eq!(bench.send("GET", "/routes", &headers, Value::Null).await.status, 200);
}

#[tokio::test]
async fn cors_is_apisix_s_only_under_compat() {
    let bench = Bench::with(true, Compat::NONE.with(Behaviour::AdminCors)).await;
    let origin = ("origin", "https://dashboard.test");
    for (method, path, headers, status) in [
        ("GET", "/routes", vec![origin, ("x-api-key", ADMIN)], 200),
        ("GET", "/routes", vec![origin], 401),
        ("GET", "/routs", vec![("x-api-key", ADMIN)], 404),
        ("GET", "/apisix/admin", vec![], 404),
        ("OPTIONS", "/routes/1", vec![origin], 200),
        ("OPTIONS", "/whatever", vec![], 200),
    ] {
        let seen = bench.send(method, path, &headers, Value::Null).await;
        assert_eq!(seen.status, status, "{method} {path}");
        for (name, value) in [
            ("access-control-allow-origin", "*"),
            ("access-control-allow-credentials", "true"),
            ("access-control-expose-headers", "*"),
            ("access-control-max-age", "3600"),
        ] {
            assert_eq!(seen.header(name), Some(value), "{method} {path}");
        }
        let preflight = [
            ("access-control-allow-methods", "POST, GET, PUT, OPTIONS, DELETE, PATCH"),
            ("access-control-allow-headers", "*"),
            ("content-length", "0"),
            ("content-type", "text/plain"),
        ];
        for (name, value) in preflight {
            assert_eq!(seen.header(name) == Some(value), method == "OPTIONS", "{method} {path} {name}");
        }
        if method == "OPTIONS" {
            assert_eq!(seen.text(), "");
        }
    }
    let elsewhere = bench.send("OPTIONS", "/apisix/other", &[], Value::Null).await;
    assert_eq!((elsewhere.status, elsewhere.header("access-control-allow-origin")), (404, None));
}

#[tokio::test]
async fn cors_can_be_closed_again() {
    let bench = Bench::tuned(|options| {
        options.compat = Compat::NONE.with(Behaviour::AdminCors);
        options.cors = false;
    })
    .await;
    let headers = [("x-api-key", ADMIN), ("origin", "https://dashboard.test")];
    let seen = bench.send("GET", "/routes", &headers, Value::Null).await;
    assert_eq!((seen.status, seen.header("access-control-allow-origin")), (403, None));
}

#[tokio::test]
async fn only_addresses_that_are_allowed_come_in_and_headers_change_nothing() {
    let bench = Bench::tuned(|options| {
        options.compat = Compat::NONE.with(Behaviour::AdminCors);
        options.allowed = ["127.0.0.0/24", "2001:db8::/32"].iter().map(|net| net.parse().unwrap()).collect();
    })
    .await;
    for (peer, status) in [
        (Some("127.0.0.1"), 200),
        (Some("127.0.1.1"), 403),
        (Some("::ffff:127.0.0.9"), 200),
        (Some("2001:db8::7"), 200),
        (Some("::1"), 403),
        (Some("192.0.2.1"), 403),
        (None, 403),
    ] {
        let said = [("x-api-key", ADMIN), ("x-forwarded-for", "127.0.0.1"), ("x-real-ip", "127.0.0.1")];
        let headers: Vec<_> = peer.iter().map(|peer| (PEER, *peer)).chain(said).collect();
        for (method, path) in [("GET", "/routes"), ("OPTIONS", "/routes"), ("GET", "/apisix/other")] {
            let seen = bench.send(method, path, &headers, Value::Null).await;
            if status == 403 {
                assert!(
                    seen.text().contains("<h1>403 Forbidden</h1>"),
                    "{peer:?} {method} {path}: {}",
                    seen.text()
                );
                assert_eq!(
                    (seen.status, seen.header("access-control-allow-origin")),
                    (403, None),
                    "{peer:?}"
                );
                assert_eq!(seen.header("content-type"), Some("text/html; charset=utf-8"));
            } else {
                assert_ne!(seen.status, 403, "{peer:?} {method} {path}");
            }
        }
    }
}

#[tokio::test]
async fn the_server_s_name_may_be_left_out() {
    let bench = Bench::tuned(|options| options.server = String::new()).await;
    assert_eq!(bench.call("GET", "/routes", Value::Null).await.header("server"), None);
}
