//! The document that is committed is the one that is served.

use std::path::Path;

use crate::bench::Bench;

#[test]
fn the_committed_document_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi/usher-v1.yaml");
    let written = usher_admin::api::openapi_yaml();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &written).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == written, "docs/openapi/usher-v1.yaml is old; UPDATE=1 and this test write it anew");
}

/// The only paths that ask for no key; each says why in the document.
fn is_open(path: &str) -> bool {
    path.starts_with("/usher/v1/openapi.")
        || path.starts_with("/usher/v1/session")
        || path == "/usher/v1/setup"
}

#[tokio::test]
async fn it_is_served_to_everybody_and_says_of_each_endpoint_who_may() {
    let bench = Bench::new().await;
    let yaml = bench.send("GET", "/openapi.yaml", &[], serde_json::Value::Null).await;
    assert_eq!((yaml.status, yaml.text), (200, usher_admin::api::openapi_yaml()));
    let document = bench.send("GET", "/openapi.json", &[], serde_json::Value::Null).await.json();
    assert_eq!(document["openapi"], "3.1.0");
    let paths = document["paths"].as_object().unwrap();
    assert!(paths.len() > 15);
    let mut ids = Vec::new();
    for (path, methods) in paths {
        for (method, operation) in methods.as_object().unwrap() {
            let words = operation["description"].as_str().unwrap();
            let open = operation["security"] == serde_json::json!([]);
            assert_eq!(open, words.starts_with("Needs no key: "), "{method} {path}");
            assert_eq!(open, is_open(path), "{method} {path} is open to everybody");
            ids.push(operation["operationId"].as_str().unwrap().to_owned());
        }
    }
    let count = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), count, "two operations share an id");
    // Each shape that is referred to is there.
    let text = document.to_string();
    for reference in text.split("\"#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(document["components"]["schemas"].get(name).is_some(), "{name} is not in the document");
    }
}

#[tokio::test]
async fn whatever_is_in_the_document_answers_and_asks_for_a_key() {
    let bench = Bench::new().await;
    let document = bench.send("GET", "/openapi.json", &[], serde_json::Value::Null).await.json();
    for (path, methods) in document["paths"].as_object().unwrap() {
        let below =
            path.strip_prefix("/usher/v1").unwrap().replace("{kind}", "routes").replace(['{', '}'], "");
        for method in methods.as_object().unwrap().keys() {
            let seen = bench.send(&method.to_uppercase(), &below, &[], serde_json::Value::Null).await;
            let wanted = match (path.as_str(), method.as_str()) {
                // Where one shows who one is; without the console's own header nothing is looked at.
                ("/usher/v1/session", "get") => 200,
                ("/usher/v1/session", "delete" | "post") | ("/usher/v1/session/oidc", "post") => 403,
                ("/usher/v1/setup" | "/usher/v1/session/oidc/back", _) => 422,
                (path, _) if path.contains("openapi") => 200,
                _ => 401,
            };
            assert_eq!(seen.status, wanted, "{method} {path}: {}", seen.text);
        }
    }
}
