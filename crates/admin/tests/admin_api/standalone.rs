//! `/configs` where the configuration is one document (contract, section 7).

use serde_json::{Value, json};
use usher_admin::http::Form;

use crate::bench::{ADMIN, Bench, Seen};

async fn bench() -> Bench {
    Bench::formed(Form { standalone: true, ..Form::default() }).await
}

async fn put(bench: &Bench, digest: &str, document: Value) -> Seen {
    let headers = [("x-api-key", ADMIN), ("x-digest", digest)];
    bench.send("PUT", "/configs", &headers, document).await
}

fn names(document: &Value, collection: &str) -> Vec<String> {
    let items = document.get(collection).and_then(Value::as_array).cloned().unwrap_or_default();
    items
        .iter()
        .map(|item| item.get("id").or(item.get("username")).unwrap().as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn only_the_document_is_served() {
    let bench = bench().await;
    for (method, path) in [
        ("GET", "/routes"),
        ("PUT", "/routes/1"),
        ("GET", "/schema/route"),
        ("GET", "/plugins/list"),
        ("HEAD", "/apisix/admin"),
        ("POST", "/configs"),
        ("DELETE", "/configs"),
        ("GET", "/configs/validate"),
    ] {
        let seen = bench.call(method, path, json!({})).await;
        assert_eq!(
            (seen.status, seen.header("content-type")),
            (404, Some("text/html; charset=utf-8")),
            "{method} {path}"
        );
    }
    assert_eq!(bench.send("GET", "/configs", &[], Value::Null).await.status, 401);
    assert_eq!(bench.call("POST", "/configs/validate", json!({ "routes": [] })).await.status, 200);
}

#[tokio::test]
async fn an_empty_document_is_its_versions() {
    let bench = bench().await;
    let seen = bench.call("GET", "/configs", Value::Null).await;
    let document = seen.json();
    assert_eq!((seen.status, seen.header("x-digest"), seen.header("x-last-modified")), (200, None, None));
    assert_eq!(document["routes_conf_version"], 0);
    assert_eq!(document.as_object().unwrap().len(), 12);
    assert!(
        document
            .as_object()
            .unwrap()
            .iter()
            .all(|(name, version)| name.ends_with("_conf_version") && *version == 0)
    );
}

#[tokio::test]
async fn a_collection_is_replaced_where_its_version_is_greater() {
    let bench = bench().await;
    let route = |id: &str| json!({ "id": id, "uri": format!("/{id}"), "plugins": {} });
    let first = json!({
        "routes": [route("a"), route("b")],
        "consumers": [{ "username": "jack" }, { "id": "jack/credentials/c1", "plugins": {} }],
    });
    let seen = put(&bench, "one", first).await;
    assert_eq!(
        (seen.status, seen.text(), seen.header("x-digest")),
        (202, "", Some("one")),
        "{}",
        seen.text()
    );
    assert!(seen.header("x-last-modified").unwrap().parse::<u64>().unwrap() > 1_700_000_000);

    let read = bench.call("GET", "/configs", Value::Null).await;
    let document = read.json();
    assert_eq!((read.header("x-digest"), &document["X-Digest"]), (Some("one"), &json!("one")));
    assert_eq!(read.header("x-last-modified").unwrap(), document["X-Last-Modified"].to_string());
    assert_eq!(names(&document, "routes"), ["a", "b"]);
    assert_eq!(names(&document, "consumers"), ["jack", "jack/credentials/c1"]);
    assert_eq!(
        (&document["routes_conf_version"], &document["upstreams_conf_version"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(document["routes"][0], route("a"));
    let head = bench.call("HEAD", "/configs", Value::Null).await;
    assert_eq!((head.status, head.text(), head.header("x-digest")), (200, "", Some("one")));
    assert_eq!(head.header("x-last-modified"), read.header("x-last-modified"));

    let revision = bench.service.revision();
    assert_eq!(put(&bench, "one", json!({ "routes": [] })).await.status, 204);
    // The same version keeps what is there, whatever the document says of it.
    let kept = json!({ "routes": [route("z")], "routes_conf_version": 1, "consumers_conf_version": 1 });
    assert_eq!(put(&bench, "two", kept).await.status, 202);
    assert_eq!(bench.service.revision(), revision);
    let next = json!({
        "routes": [route("b"), { "id": "c", "uri": "/c", "plugins": {}, "modifiedIndex": 9 }],
        "routes_conf_version": 1062, "consumers_conf_version": 1,
    });
    assert_eq!(put(&bench, "three", next).await.status, 202);
    let document = bench.call("GET", "/configs", Value::Null).await.json();
    assert_eq!(names(&document, "routes"), ["b", "c"]);
    assert_eq!(document["routes"][1]["modifiedIndex"], 9);
    assert_eq!(names(&document, "consumers"), ["jack", "jack/credentials/c1"]);
    assert_eq!(
        (&document["routes_conf_version"], &document["upstreams_conf_version"]),
        (&json!(1062), &json!(3))
    );
    // One document, one change.
    assert_eq!(bench.service.revision(), revision + 1);
    assert_eq!(put(&bench, "four", json!({})).await.status, 202);
    let document = bench.call("GET", "/configs", Value::Null).await.json();
    assert_eq!((names(&document, "routes").len(), names(&document, "consumers").len()), (0, 0));
}

#[tokio::test]
async fn the_first_mistake_is_told_and_nothing_changes() {
    let bench = bench().await;
    let good = json!({ "routes": [{ "id": "a", "uri": "/a", "plugins": {} }], "routes_conf_version": 1062 });
    assert_eq!(put(&bench, "good", good).await.status, 202);
    let before = bench.call("GET", "/configs", Value::Null).await.text().to_owned();
    assert_eq!(bench.call("PUT", "/configs", json!({})).await.error(), "missing digest header");
    for (document, sentence) in [
        (
            json!({ "routes_conf_version": 1061 }),
            "routes_conf_version must be greater than or equal to (1062)",
        ),
        (json!({ "routes_conf_version": "1063" }), "routes_conf_version must be a number"),
        (
            json!({ "routes": [{ "id": "a", "uri": "/a", "plugins": {} }, { "id": "b", "uri": 7, "plugins": {} }] }),
            "invalid routes at index 1, err: invalid configuration: property \"uri\" validation failed: wrong type: expected string, got number",
        ),
        (
            json!({ "upstreams": [{ "id": "a", "nodes": {} }, { "id": "a", "nodes": {} }] }),
            "found duplicate id a in upstreams",
        ),
        (json!({ "upstreams": "none" }), "invalid upstreams: expected a list, got a string"),
    ] {
        let seen = put(&bench, "bad", document).await;
        assert_eq!((seen.status, seen.error().as_str()), (400, sentence));
    }
    assert_eq!(put(&bench, "bad", Value::Null).await.error(), "invalid request body: empty request body");
    assert_eq!(bench.call("GET", "/configs", Value::Null).await.text(), before);
}

#[tokio::test]
async fn the_document_is_read_and_written_as_yaml_too() {
    let bench = bench().await;
    let headers = [("x-api-key", ADMIN), ("x-digest", "y"), ("content-type", "application/yaml")];
    let yaml = "routes:\n  - id: 1\n    uri: /a\n    plugins: {}\nroutes_conf_version: 5\n";
    assert_eq!(bench.send("PUT", "/configs", &headers, yaml).await.status, 202);
    let accept = [("x-api-key", ADMIN), ("accept", "application/yaml")];
    let seen = bench.send("GET", "/configs", &accept, Value::Null).await;
    assert_eq!((seen.status, seen.header("content-type")), (200, Some("application/yaml")));
    let read: Value = serde_saphyr::from_str(seen.text()).unwrap();
    assert_eq!(read["routes"], json!([{ "id": 1, "uri": "/a", "plugins": {} }]), "{}", seen.text());
    assert_eq!((&read["routes_conf_version"], &read["X-Digest"]), (&json!(5), &json!("y")));
    let broken = bench.send("PUT", "/configs", &headers[..2], "a: [").await;
    assert_eq!(broken.status, 400);
}

#[tokio::test]
async fn what_has_no_id_is_named_by_its_place() {
    let bench = bench().await;
    let document =
        json!({ "routes": [{ "uri": "/a", "plugins": {} }, { "id": "b", "uri": "/b", "plugins": {} }] });
    assert_eq!(put(&bench, "one", document).await.status, 202);
    let held = bench.call("GET", "/configs", Value::Null).await.json();
    assert_eq!(names(&held, "routes"), ["arr_1", "b"]);
    let taken =
        json!({ "routes": [{ "id": "arr_2", "uri": "/a", "plugins": {} }, { "uri": "/b", "plugins": {} }] });
    assert_eq!(put(&bench, "two", taken).await.error(), "found duplicate id arr_2 in routes");
}

#[tokio::test]
async fn who_waits_is_told_that_it_is_in_force() {
    let bench = bench().await;
    let headers = |digest| [("x-api-key", ADMIN), ("x-digest", digest)];
    for (digest, query, status) in
        [("a", "?wait=3000", 200), ("a", "?wait=3000", 204), ("b", "?wait=0", 202), ("c", "?wait=soon", 202)]
    {
        let path = format!("/configs{query}");
        let seen = bench.send("PUT", &path, &headers(digest), json!({ "routes": [] })).await;
        assert_eq!(seen.status, status, "{query} {}", seen.text());
    }
}
