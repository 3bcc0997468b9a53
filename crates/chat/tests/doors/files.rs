//! The plugin's files: every field and limit that ChatGPT and GPT Actions have.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::support::Side;

async fn get(side: &Side, path: &str) -> reqwest::Response {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    client.get(format!("{}{path}", side.url())).send().await.unwrap()
}

#[tokio::test]
async fn the_manifest_has_every_field_within_its_limit() {
    let side = Side::start().await;
    let response = get(&side, "/.well-known/ai-plugin.json").await;
    assert_eq!(response.headers()["content-type"], "application/json");
    let manifest: Value = response.json().await.unwrap();
    let length = |name: &str| manifest[name].as_str().unwrap().chars().count();
    assert_eq!(manifest["schema_version"], "v1");
    assert!(
        length("name_for_model") <= 50
            && manifest["name_for_model"].as_str().unwrap().chars().all(char::is_alphanumeric)
    );
    assert!(length("name_for_human") <= 20);
    assert!((1..=8_000).contains(&length("description_for_model")));
    assert!((1..=100).contains(&length("description_for_human")));
    assert_eq!(manifest["auth"], json!({ "type": "none" }));
    assert_eq!(manifest["api"]["type"], "openapi");
    assert!(manifest["contact_email"].as_str().unwrap().contains('@'));
    let base = format!("http://localhost:{}", side.address.port());
    for address in [&manifest["api"]["url"], &manifest["logo_url"], &manifest["legal_info_url"]] {
        let path =
            address.as_str().unwrap().strip_prefix(&base).unwrap_or_else(|| panic!("{address} is elsewhere"));
        assert_eq!(get(&side, path).await.status(), 200, "{address}");
    }
}

#[tokio::test]
async fn the_document_keeps_to_the_limits_of_actions() {
    let side = Side::start().await;
    let text = get(&side, "/openapi.json").await.text().await.unwrap();
    assert!(text.len() < 100_000);
    let document: Value = serde_json::from_str(&text).unwrap();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    assert_eq!(document["servers"], json!([{ "url": format!("http://localhost:{}", side.address.port()) }]));
    let mut names = HashSet::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let name = operation["operationId"].as_str().unwrap();
            assert!(names.insert(name.to_owned()), "{name} stands there twice");
            assert!(name.len() <= 64 && name.chars().all(|letter| letter.is_ascii_alphanumeric()), "{name}");
            for words in ["summary", "description"] {
                let words = operation.get(words).and_then(Value::as_str).unwrap_or_default();
                assert!(words.chars().count() <= 300, "{name}");
            }
            assert_eq!(operation["x-openai-isConsequential"], json!(method != "get"), "{name}");
            for parameter in operation.get("parameters").and_then(Value::as_array).into_iter().flatten() {
                assert!(parameter["description"].as_str().unwrap().chars().count() <= 700, "{name}");
                assert_ne!(parameter["in"], "header", "{name}: Actions send no headers of their own");
            }
            assert_eq!(
                path.contains("{id}"),
                operation["parameters"].to_string().contains("\"path\""),
                "{name}"
            );
            resolve(&document, operation);
        }
    }
    assert!(names.len() <= 30, "{} operations", names.len());
    for kind in ["Route", "Service", "Upstream"] {
        for name in [
            format!("getAll{kind}s"),
            format!("get{kind}"),
            format!("create{kind}"),
            format!("update{kind}"),
            format!("delete{kind}"),
        ] {
            assert!(names.contains(&name), "{name} is missing");
        }
    }
}

#[tokio::test]
async fn the_document_says_what_can_go_wrong_and_within_which_bounds() {
    let side = Side::start().await;
    let document: Value = get(&side, "/openapi.json").await.json().await.unwrap();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let answers = operation["responses"].as_object().unwrap();
            let has_body = operation.get("requestBody").is_some();
            for status in ["413", "415"] {
                assert_eq!(answers.contains_key(status), has_body, "{method} {path} {status}");
            }
            let is_list = method == "get" && !path.contains("{id}");
            assert!(!is_list || answers.contains_key("400"), "{method} {path}");
            if is_list {
                let bounds: Vec<&Value> =
                    operation["parameters"].as_array().unwrap().iter().map(|page| &page["schema"]).collect();
                assert_eq!(bounds[0], &json!({ "type": "integer", "minimum": 1 }), "{path}");
                assert_eq!(bounds[1], &json!({ "type": "integer", "minimum": 10, "maximum": 500 }), "{path}");
            }
            if method == "patch" {
                let to = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].clone();
                let schema = document.pointer(to.as_str().unwrap().strip_prefix('#').unwrap()).unwrap();
                for (name, member) in schema["properties"].as_object().unwrap() {
                    assert_eq!(member["type"][1], "null", "{name}");
                    assert!(
                        member.get("enum").is_none_or(|all| all.as_array().unwrap().contains(&Value::Null)),
                        "{name}"
                    );
                }
            }
        }
    }
    for (query, status) in [("page=1&page_size=9", 400), ("page=1&page_size=10", 200)] {
        assert_eq!(get(&side, &format!("/apisix/admin/routes?{query}")).await.status(), status, "{query}");
    }
}

/// Every reference leads somewhere.
fn resolve(document: &Value, place: &Value) {
    match place {
        Value::Object(members) => {
            if let Some(Value::String(to)) = members.get("$ref") {
                assert!(document.pointer(to.strip_prefix('#').unwrap()).is_some(), "{to} leads nowhere");
            }
            members.values().for_each(|member| resolve(document, member));
        }
        Value::Array(items) => items.iter().for_each(|item| resolve(document, item)),
        _ => {}
    }
}

#[tokio::test]
async fn yaml_says_the_same_as_json() {
    let side = Side::start().await;
    let yaml = get(&side, "/openapi.yaml").await.text().await.unwrap();
    let json: Value = get(&side, "/openapi.json").await.json().await.unwrap();
    assert!(yaml.starts_with("openapi:"), "{}", &yaml[..200]);
    let read: Value = serde_saphyr::from_str(&yaml).unwrap();
    assert_eq!(read, json);
}

#[tokio::test]
async fn every_operation_does_what_the_admin_api_does() {
    let side = Side::start().await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let document: Value = get(&side, "/openapi.json").await.json().await.unwrap();
    let nodes = json!({ "127.0.0.1:8080": 1 });
    let bodies = [
        ("upstreams", json!({ "type": "roundrobin", "nodes": nodes }), json!({ "desc": "changed" })),
        (
            "services",
            json!({ "upstream": { "type": "roundrobin", "nodes": nodes } }),
            json!({ "desc": "changed" }),
        ),
        (
            "routes",
            json!({ "uri": "/a/*", "upstream": { "type": "roundrobin", "nodes": nodes } }),
            json!({ "desc": "changed" }),
        ),
    ];
    for (collection, whole, part) in bodies {
        let mut seen = 0;
        let send = async |method: &str, path: String, body: Option<&Value>| -> (u16, Value) {
            let request = client.request(method.parse().unwrap(), format!("{}{path}", side.url()));
            let request = match body {
                Some(body) => request.header("content-type", "application/json").body(body.to_string()),
                None => request,
            };
            let response = request.send().await.unwrap();
            (response.status().as_u16(), response.json().await.unwrap())
        };
        let base = format!("/apisix/admin/{collection}");
        for (method, path, body, status) in [
            ("put", format!("{base}/{{id}}"), Some(&whole), 201),
            ("get", format!("{base}/{{id}}"), None, 200),
            ("patch", format!("{base}/{{id}}"), Some(&part), 200),
            ("post", base.clone(), Some(&whole), 201),
            ("get", base.clone(), None, 200),
            ("delete", format!("{base}/{{id}}"), None, 200),
        ] {
            assert!(document["paths"][&path].get(method).is_some(), "{method} {path} is not in the document");
            seen += 1;
            let (got, answer) = send(&method.to_uppercase(), path.replace("{id}", "x"), body).await;
            assert_eq!(got, status, "{method} {path}: {answer}");
        }
        let counted: usize = document["paths"]
            .as_object()
            .unwrap()
            .iter()
            .filter(|(path, _)| path.starts_with(&base))
            .map(|(_, all)| all.as_object().unwrap().len())
            .sum();
        assert_eq!(counted, seen, "{collection} has operations that were not tried");
    }
}

#[tokio::test]
async fn the_logo_is_a_square_png() {
    let side = Side::start().await;
    let response = get(&side, "/logo.png").await;
    assert_eq!(response.headers()["content-type"], "image/png");
    let bytes = response.bytes().await.unwrap();
    assert_eq!(&bytes[..8], b"\x89PNG\r\n\x1a\n");
    let side_of = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
    assert_eq!((side_of(16), side_of(20)), (512, 512));
    assert!(bytes.len() < 100_000);
}

#[tokio::test]
async fn the_first_page_says_what_is_here() {
    let side = Side::start().await;
    let page = get(&side, "/").await.text().await.unwrap();
    for part in ["/mcp", "usher chat", "/openapi.yaml", "/apisix/admin/routes"] {
        assert!(page.contains(part), "the page lacks {part}");
    }
    assert_eq!(get(&side, "/nowhere").await.status(), 404);
}

#[test]
fn the_manual_is_made_of_the_catalogue() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/tools.md");
    let wanted = usher_chat::catalogue::manual();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &wanted).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(written, wanted, "docs/tools.md is old; run this test with UPDATE=1");
}
