//! Documents as they are found, what they become, and what a newer one leaves alone.
#![cfg(test)]

use serde_json::{Value, json};

use super::{LABEL, Publish, merged, objects};
use crate::kind::Kind;
use crate::schema;

fn shop() -> Value {
    json!({
        "openapi": "3.1.0",
        "info": { "title": "The Shop!", "version": "1", "description": "Sells things.\nAnd more." },
        "servers": [{ "url": "https://shop.example.com/{v}", "variables": { "v": { "default": "v1" } } }],
        "paths": {
            "/": { "get": {} },
            "/items": { "get": { "summary": "All items" }, "post": {} },
            "/items/{id}": { "get": {}, "delete": {}, "parameters": [] },
            "/items/{id}/parts/{part}.json": { "get": {} },
            "/ref": { "$ref": "#/components/pathItems/x" },
            "x-more": { "get": {} },
        },
    })
}

#[test]
fn a_path_becomes_a_route_with_its_own_methods() {
    let wish = Publish { prefix: Some("/shop/".to_owned()), ..Publish::default() };
    let published = objects(&shop(), &wish).unwrap();
    assert_eq!((published.id.as_str(), published.operations, published.warnings.len()), ("the-shop", 6, 1));
    for (key, value) in &published.objects {
        schema::check(key.kind, value).unwrap_or_else(|broken| panic!("{key}: {broken:?}"));
        assert_eq!(value["labels"][LABEL], "the-shop");
    }
    let (service, value) = &published.objects[0];
    assert_eq!((service.kind, service.id.as_str()), (Kind::Service, "the-shop"));
    assert_eq!(value["upstream"]["nodes"], json!({ "shop.example.com:443": 1 }));
    assert_eq!(
        (&value["upstream"]["scheme"], &value["upstream"]["pass_host"]),
        (&json!("https"), &json!("node"))
    );
    let routes: Vec<_> = published.objects[1..]
        .iter()
        .map(|(key, value)| (key.id.as_str(), value["uri"].as_str().unwrap(), value["vars"][0][2].as_str()))
        .collect();
    assert_eq!(
        routes,
        [
            ("the-shop.root", "/shop/", None),
            ("the-shop.items", "/shop/items", None),
            ("the-shop.items-id", "/shop/items/*", Some("^/shop/items/[^/]+$")),
            (
                "the-shop.items-id-parts-part-json",
                "/shop/items/*",
                Some("^/shop/items/[^/]+/parts/[^/]+\\.json$")
            ),
        ]
    );
    assert_eq!(published.objects[2].1["methods"], json!(["GET", "POST"]));
    assert_eq!(
        published.objects[2].1["plugins"]["proxy-rewrite"]["regex_uri"],
        json!(["^/shop(/.*)$", "/v1$1"])
    );
}

#[test]
fn without_a_prefix_paths_are_those_of_the_server_and_nothing_is_rewritten() {
    let published = objects(&shop(), &Publish::default()).unwrap();
    assert_eq!(published.objects[2].1["uri"], "/v1/items");
    assert!(published.objects[2].1.get("plugins").is_none());
    let swagger = json!({ "swagger": "2.0", "info": { "title": "Old" }, "host": "10.0.0.1:8080", "basePath": "/", "schemes": ["http"],
        "paths": { "/a": { "get": {} } } });
    let old = objects(&swagger, &Publish::default()).unwrap();
    assert_eq!(
        old.objects[0].1["upstream"],
        json!({ "type": "roundrobin", "nodes": { "10.0.0.1:8080": 1 }, "scheme": "http" })
    );
    assert_eq!(old.objects[1].1["uri"], "/a");
}

#[test]
fn what_cannot_be_published_says_where_and_what_to_do() {
    let with = |change: fn(&mut Value)| {
        let mut document = shop();
        change(&mut document);
        objects(&document, &Publish::default()).unwrap_err().to_string()
    };
    for (said, wanted) in [
        (with(|d| d["openapi"] = json!(3)), "/openapi: this is no OpenAPI document"),
        (with(|d| d["servers"] = json!([])), "/servers: the document names no server"),
        (with(|d| d["servers"] = json!([{ "url": "/v1" }])), "/servers/0/url"),
        (with(|d| d["servers"] = json!([{ "url": "https://u:p@a.test" }])), "user or password"),
        (with(|d| d["paths"] = json!({})), "/paths: the document has no paths"),
        (with(|d| d["paths"] = json!({ "/a": {} })), "nothing to publish"),
        (with(|d| d["paths"] = json!({ "/a{b": { "get": {} } })), "/paths/~1a{b: the parameter"),
        (with(|d| d["paths"] = json!({ "/a*": { "get": {} } })), "may not hold"),
    ] {
        assert!(said.contains(wanted), "{said}");
    }
    let wish = |wish: Publish| objects(&shop(), &wish).unwrap_err().to_string();
    assert!(wish(Publish { prefix: Some("shop".into()), ..Publish::default() }).contains("such as /shop"));
    assert!(wish(Publish { id: Some("a b".into()), ..Publish::default() }).contains("can't be an id"));
    assert!(
        wish(Publish { server: Some("ftp://a".into()), ..Publish::default() })
            .contains("http://127.0.0.1:3000")
    );
}

#[test]
fn ids_are_always_the_same_and_never_two_the_same() {
    let mut document = shop();
    document["paths"] = json!({ "/a/b": { "get": {} }, "/a-b": { "get": {} }, "/a/{b}": { "get": {} },
        format!("/{}", "long/".repeat(30)): { "get": {} }, format!("/{}x", "long/".repeat(30)): { "get": {} } });
    let ids = |document: &Value| -> Vec<String> {
        let published = objects(document, &Publish::default()).unwrap();
        published.objects.into_iter().map(|(key, _)| key.id).collect()
    };
    let first = ids(&document);
    assert_eq!(first, ids(&document));
    let mut sorted = first.clone();
    sorted.sort();
    sorted.dedup();
    assert_eq!(sorted.len(), first.len());
    assert!(first.iter().all(|id| id.len() <= 64), "{first:?}");
}

#[test]
fn what_somebody_added_stays_and_what_the_document_says_is_new() {
    let wanted =
        json!({ "uri": "/new", "labels": { LABEL: "shop" }, "methods": ["GET"], "service_id": "shop" });
    let stored = json!({ "uri": "/old", "labels": { LABEL: "shop", "team": "a" }, "methods": ["GET", "POST"], "vars": [["uri", "~~", "x"]],
        "plugins": { "key-auth": {}, "proxy-rewrite": { "uri": "/x" } }, "service_id": "shop", "priority": 3 });
    assert_eq!(
        merged(&stored, &wanted),
        json!({ "uri": "/new", "labels": { LABEL: "shop", "team": "a" }, "methods": ["GET"], "plugins": { "key-auth": {} }, "service_id": "shop", "priority": 3 })
    );
    let upstream =
        |port: u16| json!({ "upstream": { "nodes": { format!("a:{port}"): 1 }, "scheme": "http" } });
    let mut kept = upstream(1);
    kept["upstream"]["checks"] = json!({ "active": {} });
    assert_eq!(merged(&kept, &upstream(1)), kept);
    assert_eq!(merged(&kept, &upstream(2))["upstream"]["nodes"], json!({ "a:2": 1 }));
}
