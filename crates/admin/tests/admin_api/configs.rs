//! `POST /configs/validate`: every mistake of a whole configuration at once (contract, section 7).

use serde_json::{Value, json};

use crate::bench::{ADMIN, Bench};

const YAML: [(&str, &str); 2] = [("x-api-key", ADMIN), ("content-type", "application/yaml")];

#[tokio::test]
async fn a_good_configuration_has_no_mistakes_whatever_it_refers_to() {
    let bench = Bench::new().await;
    let whole = json!({
        "routes": [{ "id": "r1", "uri": "/a", "upstream_id": "elsewhere", "service_id": 7, "modifiedIndex": 3, "create_time": 1 }],
        "services": [{ "id": 1 }],
        "upstreams": [{ "id": "u", "nodes": { "127.0.0.1:1": 1 } }],
        "consumers": [
            { "username": "jack", "plugins": { "key-auth": { "key": "k" } } },
            { "id": "jack/credentials/c1", "plugins": { "key-auth": { "key": "l" } } },
        ],
        "plugin_configs": [{ "id": "p", "plugins": {} }],
        "global_rules": [{ "id": "g", "plugins": { "notes": {} } }],
        "consumer_groups": [{ "id": "g", "plugins": {} }],
        "plugin_metadata": [{ "id": "notes", "log_format": "x" }],
        "protos": [], "ssls": null, "plugins": [{ "name": "cors" }], "routes_conf_version": 3,
    });
    let seen = bench.call("POST", "/configs/validate", whole).await;
    assert_eq!(
        (seen.status, seen.json(), seen.header("x-api-version")),
        (200, json!({}), None),
        "{}",
        seen.text()
    );
    let yaml = "routes:\n  - id: 1\n    uri: /a\n    plugins: {}\n#END\n";
    assert_eq!(bench.send("POST", "/configs/validate", &YAML, yaml).await.status, 200);
    assert_eq!(bench.service.revision(), 0);
}

#[tokio::test]
async fn each_mistake_is_told_with_its_place() {
    let bench = Bench::new().await;
    let whole = json!({
        "routes": [
            { "id": "r1", "uri": "/a", "plugins": {} },
            { "id": "r1", "uri": 7, "plugins": {} },
            { "id": "r3", "uri": "/a", "plugins": { "limit-count": { "count": 0, "time_window": 1 } } },
            { "uri": 8, "plugins": {} },
            5,
        ],
        "upstreams": { "id": "u" },
        "consumers": [
            { "username": "jack" }, { "username": "jack" }, {},
            { "id": "jack/credentials/c", "plugins": { "notes": {} } }, { "id": "jack/credentials/c" },
        ],
        "plugin_metadata": [{ "id": "nope" }],
        "secrets": [{ "id": "consul/1" }],
    });
    let seen = bench.call("POST", "/configs/validate", whole).await;
    assert_eq!((seen.status, &seen.json()["error_msg"]), (400, &json!("Configuration validation failed")));
    let told: Vec<String> = seen.json()["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| {
            format!(
                "{} {} {} {}",
                error["resource_type"].as_str().unwrap(),
                error["index"],
                error.get("resource_id").unwrap_or(&Value::Null),
                error["error"].as_str().unwrap()
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            "routes 1 \"r1\" invalid configuration: property \"uri\" validation failed: wrong type: expected string, got number",
            "routes 1 \"r1\" found duplicate id r1 in routes",
            "routes 2 \"r3\" failed to check the configuration of plugin limit-count err: property \"count\" validation failed: expected 0 to be at least 1",
            "routes 3 null invalid configuration: property \"uri\" validation failed: wrong type: expected string, got number",
            "routes 4 null invalid configuration: wrong type: expected object, got number",
            "upstreams null null expected a list, got an object",
            "consumers 1 \"jack\" found duplicate username jack in consumers",
            "consumers 2 null invalid configuration: property \"username\" is required",
            "consumers 3 \"jack/credentials/c\" only supports auth type plugins in consumer credential",
            "consumers 4 \"jack/credentials/c\" found duplicate credential id jack/credentials/c in consumers",
            "plugin_metadata 0 \"nope\" invalid plugin name",
            "secrets 0 \"consul/1\" invalid secret manager: consul",
        ]
    );
}

#[tokio::test]
async fn what_has_no_id_is_named_by_its_place() {
    let bench = Bench::new().await;
    let nameless = json!({
        "routes": [{ "uri": "/a", "plugins": {} }, { "uri": "/b", "plugins": {} }],
        "services": [{}], "upstreams": [{ "nodes": {} }], "global_rules": [{ "plugins": { "notes": {} } }],
    });
    let seen = bench.call("POST", "/configs/validate", nameless).await;
    assert_eq!((seen.status, seen.json()), (200, json!({})), "{}", seen.text());
    let taken =
        json!({ "routes": [{ "id": "arr_2", "uri": "/a", "plugins": {} }, { "uri": "/b", "plugins": {} }] });
    let seen = bench.call("POST", "/configs/validate", taken).await;
    assert_eq!(seen.json()["errors"][0]["error"], "found duplicate id arr_2 in routes");
    let secret = json!({ "secrets": [{ "uri": "http://127.0.0.1:8200", "prefix": "p", "token": "t" }] });
    let seen = bench.call("POST", "/configs/validate", secret).await;
    assert_eq!(seen.json()["errors"][0]["error"], "missing secret id");
}

#[tokio::test]
async fn a_plugin_of_yaml_may_be_only_named() {
    let bench = Bench::new().await;
    let yaml = "routes:\n  - id: 1\n    uri: /a\n    plugins:\n      notes:\n";
    let seen = bench.send("POST", "/configs/validate", &YAML, yaml).await;
    assert_eq!((seen.status, seen.json()), (200, json!({})), "{}", seen.text());
    // In JSON, null is a value that somebody wrote.
    let json = json!({ "routes": [{ "id": 1, "uri": "/a", "plugins": { "notes": null } }] });
    assert_eq!(bench.call("POST", "/configs/validate", json).await.status, 400);
}

#[tokio::test]
async fn what_is_no_document_is_refused() {
    let bench = Bench::new().await;
    let empty = "invalid request body: empty request body";
    for (headers, body, part) in [
        (&YAML[..1], "", empty),
        (&YAML[..], "", empty),
        (&YAML[..1], "{", "invalid request body: "),
        (&YAML[..1], "routes: []", "invalid request body: "),
        (&YAML[..1], "[]", "invalid request body: expected an object of lists"),
        (&YAML[..], "a: [", "invalid request body: "),
        (&YAML[..], "just text", "invalid request body: expected an object of lists"),
    ] {
        let seen = bench.send("POST", "/configs/validate", headers, body).await;
        assert_eq!(seen.status, 400, "{body}");
        assert!(seen.error().starts_with(part), "{body}: {}", seen.error());
        // Keys stand in a whole configuration.
        assert_eq!(seen.json().as_object().unwrap().len(), 1, "{}", seen.text());
    }
    for (method, status) in [("GET", 404), ("PUT", 404)] {
        assert_eq!(bench.call(method, "/configs/validate", json!({})).await.status, status, "{method}");
    }
    assert_eq!(bench.send("POST", "/configs/validate", &[], "{}").await.status, 401);
}

#[tokio::test]
async fn what_would_be_overlooked_is_told() {
    let bench = Bench::new().await;
    let whole = json!({
        "rotues": [{ "id": "r1" }],
        "global_rules": [
            { "id": "g", "plugins": { "notes": {} } },
            { "id": 2, "plugins": { "notes": {} } },
        ],
    });
    let seen = bench.call("POST", "/configs/validate", whole).await;
    assert_eq!(seen.status, 400);
    assert_eq!(
        seen.json()["errors"],
        json!([
            { "resource_type": "rotues", "error": "unknown collection; did you mean routes?" },
            {
                "resource_type": "global_rules", "resource_id": "2", "index": 1,
                "error": "plugin 'notes' already exists in global rule with id 'g'",
            },
        ]),
    );
}
