//! The Control API (contract, section 10).

use axum::Router;
use serde_json::{Value, json};

use crate::bench::{Bench, Seen, send};
use crate::fakes::{CHECKED, SLOW};

const OWN: &str = "127.0.0.1:9090";

fn router(bench: &Bench) -> Router {
    usher_admin::control::router(bench.service.clone(), vec![OWN.to_owned()], "Usher/test")
}

async fn ask(router: &Router, method: &str, path: &str) -> Seen {
    send(router, method, path, &[("host", OWN)], Value::Null).await
}

async fn filled() -> (Bench, Router) {
    let bench = Bench::new().await;
    bench.put("/upstreams/7", json!({ "nodes": { "127.0.0.1:80": 1, "a.test": 2 } })).await;
    bench
        .put(
            "/services/s",
            json!({ "upstream": { "nodes": [{ "host": "127.0.0.1", "port": 1, "weight": 1 }] } }),
        )
        .await;
    bench
        .put("/routes", json!({ "id": 1, "uri": "/a", "plugins": { "limit-count": { "count": 1, "time_window": 1, "redis_password": "hush-hush" } }, "upstream_id": 7 }))
        .await;
    bench.put("/plugin_metadata/notes", json!({ "log_format": "x" })).await;
    let router = router(&bench);
    (bench, router)
}

#[tokio::test]
async fn resources_are_shown_as_the_gateway_sees_them() {
    let (_bench, router) = filled().await;
    let upstreams = ask(&router, "GET", "/v1/upstreams").await;
    assert_eq!((upstreams.status, upstreams.header("server")), (200, Some("Usher/test")));
    let one = &upstreams.json()[0];
    assert_eq!((&one["key"], &one["has_domain"]), (&json!("/apisix/upstreams/7"), &json!(true)));
    assert!(one["createdIndex"].is_u64() && one["modifiedIndex"].is_u64());
    assert_eq!(
        one["value"]["nodes"],
        json!([{ "host": "127.0.0.1", "port": 80, "weight": 1, "priority": 0 }, { "host": "a.test", "weight": 2, "priority": 0 }])
    );
    assert_eq!((&one["value"]["type"], &one["value"]["pass_host"]), (&json!("roundrobin"), &json!("pass")));
    let route = ask(&router, "GET", "/v1/route/1").await.json();
    assert_eq!(
        (&route["value"]["id"], &route["value"]["status"], &route["value"]["priority"]),
        (&json!("1"), &json!(1), &json!(0))
    );
    let service = ask(&router, "GET", "/v1/service/s").await.json();
    assert_eq!(
        (&service["has_domain"], &service["value"]["upstream"]["scheme"]),
        (&json!(false), &json!("http"))
    );
    assert_eq!(service["value"]["upstream"]["nodes"][0]["priority"], 0);
    for path in ["/v1/routes", "/v1/services", "/v1/upstreams"] {
        let list = ask(&router, "GET", path).await;
        assert!(
            list.json().as_array().unwrap().len() == 1 && !list.text().contains("hush"),
            "{path}: {}",
            list.text()
        );
    }
    assert_eq!(
        ask(&router, "GET", "/v1/plugin_metadatas").await.json(),
        json!([{ "id": "notes", "log_format": "x" }])
    );
    assert_eq!(ask(&router, "GET", "/v1/plugin_metadata/notes").await.json()["log_format"], "x");
}

#[tokio::test]
async fn what_is_not_there_is_named() {
    let (_bench, router) = filled().await;
    for (method, path, status, sentence) in [
        ("GET", "/v1/route/9", 404, "route[9] not found"),
        ("GET", "/v1/service/9", 404, "service[9] not found"),
        ("GET", "/v1/upstream/9", 404, "upstream[9] not found"),
        ("GET", "/v1/plugin_metadata/x", 404, "plugin metadata[x] not found"),
        ("GET", "/v1/healthcheck/routes/9", 404, "routes[9] not found"),
        ("GET", "/v1/healthcheck/routes/1", 404, "no checker for routes[1]"),
        ("GET", "/v1/healthcheck/upstreams/7", 404, "no checker for upstreams[7]"),
        ("GET", "/v1/healthcheck/routes", 404, "missing src id for src type routes"),
        ("GET", "/v1/healthcheck/routs", 404, "missing src id for src type routs"),
        ("GET", "/v1/healthcheck/routs/1", 400, "invalid src type routs"),
        (
            "GET",
            "/v1/discovery/consul/dump",
            404,
            "discovery consul is not configured, so there is nothing to show of it",
        ),
        ("GET", "/v1/consumers", 404, "not found"),
        ("GET", "/v1/consumer/jack", 404, "not found"),
        ("GET", "/v1/ssls", 404, "not found"),
        ("GET", "/v1", 404, "not found"),
        ("GET", "/v2/routes", 404, "not found"),
        ("PUT", "/v1/routes", 404, "not found"),
        ("GET", "/v1/gc", 404, "not found"),
        ("GET", "/v1/plugins/reload", 404, "not found"),
        ("GET", "/v1/server_info", 404, "not found"),
    ] {
        let path = if path.starts_with("/v2") { "/apisix/v2" } else { path };
        let seen = ask(&router, method, path).await;
        assert_eq!((seen.status, seen.error().as_str()), (status, sentence), "{method} {path}");
    }
}

#[tokio::test]
async fn the_rest_of_it_answers() {
    let (bench, router) = filled().await;
    assert_eq!(ask(&router, "GET", "/v1/healthcheck").await.json(), json!([]));
    let page =
        send(&router, "GET", "/v1/healthcheck", &[("host", OWN), ("accept", "text/html")], Value::Null).await;
    assert!(page.header("content-type").unwrap().starts_with("text/html") && page.text().contains("<table"));
    let gc = ask(&router, "POST", "/v1/gc").await;
    assert_eq!((gc.status, gc.text()), (200, ""));
    let reload = ask(&router, "PUT", "/v1/plugins/reload").await;
    assert_eq!((reload.status, reload.text()), (200, "done"));
    let schema = ask(&router, "GET", "/v1/schema").await.json();
    assert_eq!(schema["main"].as_object().unwrap().len(), 14);
    assert_eq!(schema["main"]["route"]["type"], "object");
    assert_eq!(schema["plugins"]["limit-count"]["priority"], 1002);
    assert_eq!(schema["stream_plugins"], json!({}));
    let head = ask(&router, "HEAD", "/v1/routes").await;
    assert_eq!((head.status, head.text()), (200, ""));
    bench.moods.set_live(SLOW);
    assert_eq!(ask(&router, "PUT", "/v1/plugins/reload").await.status, 503);
}

#[tokio::test]
async fn health_and_discovered_services_are_those_of_the_proxy() {
    let (bench, router) = filled().await;
    bench.moods.set_live(CHECKED);
    let node = json!({
        "ip": "10.0.0.1", "port": 80, "hostname": "a.test", "status": "mostly_healthy",
        "counter": { "success": 0, "http_failure": 1, "tcp_failure": 0, "timeout_failure": 0 },
    });
    let route = json!({ "name": "/apisix/routes/1", "type": "http", "nodes": [node] });
    let all = ask(&router, "GET", "/v1/healthcheck").await.json();
    let bare = json!({ "name": "/apisix/upstreams/<b>", "type": "http", "nodes": {} });
    assert_eq!(all, json!([route, bare]));
    assert_eq!(ask(&router, "GET", "/v1/healthcheck/routes/1").await.json(), route);
    let page =
        send(&router, "GET", "/v1/healthcheck", &[("host", OWN), ("accept", "text/html")], Value::Null).await;
    assert!(page.text().contains("<td>10.0.0.1:80</td><td>mostly_healthy</td>"), "{}", page.text());
    for path in ["/v1/discovery/consul/dump", "/v1/discovery/consul"] {
        assert_eq!(ask(&router, "GET", path).await.json(), json!({ "config": {}, "services": {} }));
    }
    assert_eq!(ask(&router, "GET", "/v1/discovery/nacos/dump").await.status, 404);
    assert_eq!(ask(&router, "GET", "/v1/discovery/consul/x").await.status, 404);
}

#[tokio::test]
async fn checks_that_nobody_needed_yet_are_told_of_without_nodes() {
    let (bench, router) = filled().await;
    let upstream = json!({ "nodes": { "127.0.0.1:80": 1 }, "checks": { "active": { "type": "tcp" } } });
    bench.put("/upstreams/checked", upstream).await;
    let checks = json!({ "active": { "http_path": "/" } });
    let upstream = json!({ "nodes": { "127.0.0.1:80": 1 }, "checks": checks });
    bench.put("/routes/checked", json!({ "uri": "/c", "upstream": upstream })).await;
    let of_upstream = json!({ "name": "/apisix/upstreams/checked", "type": "tcp", "nodes": {} });
    let of_route = json!({ "name": "/apisix/routes/checked", "type": "http", "nodes": {} });
    assert_eq!(ask(&router, "GET", "/v1/healthcheck").await.json(), json!([of_route, of_upstream]));
    assert_eq!(ask(&router, "GET", "/v1/healthcheck/upstreams/checked").await.json(), of_upstream);
    assert_eq!(ask(&router, "GET", "/v1/healthcheck/routes/checked").await.json(), of_route);
    let html = [("host", OWN), ("accept", "text/html")];
    let page = send(&router, "GET", "/v1/healthcheck/routes/checked", &html, Value::Null).await;
    assert!(page.header("content-type").unwrap().starts_with("text/html") && page.text().contains("<table"));
    let none = send(&router, "GET", "/v1/healthcheck/routes/9", &html, Value::Null).await;
    assert_eq!((none.status, none.error().as_str()), (404, "routes[9] not found"));
}

#[tokio::test]
async fn pages_and_names_of_others_are_refused() {
    let (bench, router) = filled().await;
    for (headers, status) in [
        (vec![("host", OWN)], 200),
        (vec![("host", "evil.test")], 421),
        (vec![("host", "evil.test:9090")], 421),
        (vec![("host", OWN), ("origin", "https://evil.test")], 403),
        (vec![("host", OWN), ("origin", "http://127.0.0.1:9090")], 200),
    ] {
        let seen = send(&router, "GET", "/v1/routes", &headers, Value::Null).await;
        assert_eq!(seen.status, status, "{headers:?}: {}", seen.text());
        if status == 421 || status == 403 {
            assert!(seen.error().contains("this Control API"), "{}", seen.error());
        }
    }
    let wide = usher_admin::control::router(bench.service.clone(), Vec::new(), "");
    let seen = send(&wide, "GET", "/v1/routes", &[("host", "gateway.test")], Value::Null).await;
    assert_eq!((seen.status, seen.header("server")), (200, None));
}
