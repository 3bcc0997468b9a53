//! Plans of single changes: made, looked at, applied once, and refused with the next step.

use serde_json::{Value, json};

use crate::bench::{ADMIN, Bench, route};

#[tokio::test]
async fn a_plan_says_what_it_would_do_and_changes_nothing() {
    let bench = Bench::new().await;
    let plan = bench.plan(json!([{ "op": "put", "kind": "routes", "id": "1", "value": route("/a") }])).await;
    assert_eq!((&plan["risk"], &plan["total"], &plan["steps"]), (&json!("low"), &json!(1), &json!(1)));
    assert_eq!(plan["counts"], json!({ "created": 1, "updated": 0, "deleted": 0 }));
    assert_eq!((&plan["changes"][0]["op"], &plan["changes"][0]["kind"]), (&json!("create"), &json!("route")));
    assert!(plan["text"].as_str().unwrap().contains("+ route 1"), "{plan}");
    assert_eq!(bench.get("/objects/route/1").await.status, 404);
    let seen = bench.get(&format!("/plans/{}", plan["id"].as_str().unwrap())).await;
    assert_eq!(seen.json()["changes"], plan["changes"]);
    assert_eq!(seen.headers["etag"], format!("\"{}\"", plan["id"].as_str().unwrap()));
}

#[tokio::test]
async fn a_plan_is_applied_once_and_belongs_to_who_made_it() {
    let bench = Bench::new().await;
    let plan =
        bench.plan(json!([{ "op": "create", "kind": "route", "id": "1", "value": route("/a") }])).await;
    let path = format!("/plans/{}/apply", plan["id"].as_str().unwrap());
    let token = bench.token("admin", json!({})).await;
    let other = bench.send("POST", &path, &[("x-api-key", &token)], json!({})).await;
    assert_eq!(other.refusal(), (404, "unknown_plan".to_owned()));
    let seen = bench.call("POST", &path, json!({})).await;
    assert_eq!(seen.status, 200, "{}", seen.text);
    assert_eq!(seen.json()["objects"], json!([{ "kind": "route", "id": "1" }]));
    assert_eq!(bench.call("POST", &path, json!({})).await.refusal().0, 404);
    let read = bench.get("/objects/route/1").await;
    assert_eq!(read.headers["etag"], format!("\"{}\"", seen.json()["revision"]));
}

#[tokio::test]
async fn single_members_can_be_patched_and_secrets_stay_what_they_are() {
    let bench = Bench::new().await;
    let mut first = route("/a");
    first["plugins"] = json!({ "limit-count": { "count": 1, "redis_password": "canary" } });
    bench.put("route", "1", first).await;
    bench.apply(json!([{ "op": "patch", "kind": "route", "id": "1", "value": { "plugins": { "limit-count": { "count": 5 } }, "desc": "x" } }])).await;
    let read = bench.get("/objects/route/1").await;
    assert!(!read.text.contains("canary"), "{}", read.text);
    let value = &read.json()["value"];
    assert_eq!(
        (&value["plugins"]["limit-count"]["count"], &value["desc"], &value["uri"]),
        (&json!(5), &json!("x"), &json!("/a"))
    );
    // APISIX's own path shows an admin the secret that is stored.
    assert!(bench.get("/apisix/admin/routes/1").await.text.contains("canary"));
}

#[tokio::test]
async fn a_change_can_expect_a_revision() {
    let bench = Bench::new().await;
    let revision = bench.put("route", "1", route("/a")).await;
    bench.put("route", "1", route("/b")).await;
    let put = |revision: Value| json!({ "changes": [{ "op": "put", "kind": "route", "id": "1", "value": route("/c"), "revision": revision }] });
    for (body, status) in
        [(put(json!(revision)), 412), (put(Value::Null), 412), (put(json!(revision + 1)), 201)]
    {
        let seen = bench.call("POST", "/plans", body.clone()).await;
        assert_eq!(seen.status, status, "{body}: {}", seen.text);
    }
    let plain = json!({ "changes": [{ "op": "put", "kind": "route", "id": "1", "value": route("/c") }] });
    for (tag, status) in [
        (format!("\"{revision}\""), 412),
        (format!("\"{}\"", revision + 1), 201),
        ("*".to_owned(), 201),
        ("7".to_owned(), 400),
        ("\"x\"".to_owned(), 412),
    ] {
        let headers = [("x-api-key", ADMIN), ("if-match", tag.as_str())];
        let seen = bench.send("POST", "/plans", &headers, plain.clone()).await;
        assert_eq!(seen.status, status, "{tag}: {}", seen.text);
    }
    let plan = bench.plan(plain["changes"].clone()).await;
    let path = format!("/plans/{}/apply", plan["id"].as_str().unwrap());
    let headers = [("x-api-key", ADMIN), ("if-match", "\"other\"")];
    assert_eq!(
        bench.send("POST", &path, &headers, json!({})).await.refusal(),
        (412, "precondition_failed".to_owned())
    );
}

#[tokio::test]
async fn a_stale_plan_is_answered_with_the_fresh_one() {
    let bench = Bench::new().await;
    bench.put("route", "1", route("/a")).await;
    let plan = bench.plan(json!([{ "op": "put", "kind": "route", "id": "1", "value": route("/b") }])).await;
    bench.put("route", "1", route("/c")).await;
    let seen = bench.call("POST", &format!("/plans/{}/apply", plan["id"].as_str().unwrap()), json!({})).await;
    assert_eq!(seen.refusal(), (409, "stale".to_owned()));
    let fresh = seen.json()["plan"].clone();
    assert!(fresh["text"].as_str().unwrap().contains("/c"), "{fresh}");
    let again = format!("/plans/{}/apply", fresh["id"].as_str().unwrap());
    assert_eq!(bench.call("POST", &again, json!({})).await.status, 200);
}

#[tokio::test]
async fn a_stale_patch_says_that_it_has_to_be_planned_again() {
    let bench = Bench::new().await;
    bench.put("route", "1", route("/a")).await;
    let plan =
        bench.plan(json!([{ "op": "patch", "kind": "route", "id": "1", "value": { "desc": "a" } }])).await;
    bench.put("route", "1", route("/c")).await;
    let seen = bench.call("POST", &format!("/plans/{}/apply", plan["id"].as_str().unwrap()), json!({})).await;
    assert_eq!(seen.refusal(), (409, "stale".to_owned()));
    // It was made of what was read then, so there is no new plan to be looked at.
    assert_eq!(seen.json()["plan"], Value::Null);
    assert!(!seen.text.contains("new plan") && seen.text.contains("plan again"), "{}", seen.text);
}

#[tokio::test]
async fn high_risk_needs_a_person_and_a_chat_token_is_none() {
    let bench = Bench::new().await;
    bench.put("route", "1", route("/a")).await;
    let chat = bench.token("chat", json!({})).await;
    let headers = [("x-api-key", chat.as_str())];
    let body = json!({ "changes": [{ "op": "delete", "kind": "route", "id": "1" }] });
    let plan = bench.send("POST", "/plans", &headers, body).await.json();
    assert_eq!((&plan["risk"], &plan["needs_person"]), (&json!("high"), &json!(true)));
    let path = format!("/plans/{}/apply", plan["id"].as_str().unwrap());
    let alone = bench.send("POST", &path, &headers, json!({})).await;
    assert_eq!(alone.refusal(), (403, "needs_person".to_owned()));
    let lying = bench.send("POST", &path, &headers, json!({ "approval": { "person": "trust me" } })).await;
    assert_eq!(lying.refusal(), (403, "forbidden".to_owned()));
    assert_eq!(bench.get("/objects/route/1").await.status, 200);
}

#[tokio::test]
async fn what_is_wrong_is_named_with_the_next_step() {
    let bench = Bench::new().await;
    let change = |change: Value| json!({ "changes": [change] });
    for (body, status, field, next) in [
        (json!({}), 422, "/changes", "changes"),
        (json!({ "changs": [] }), 422, "/changs", "did you mean changes?"),
        (json!({ "changes": [], "document": {} }), 422, "/document", "leave"),
        (
            change(json!({ "op": "upsert", "kind": "route", "id": "1" })),
            422,
            "/changes/0/op",
            "write one of put, create, patch, delete",
        ),
        (
            change(json!({ "op": "put", "kind": "rotes", "id": "1", "value": {} })),
            404,
            "/changes/0/kind",
            "did you mean routes?",
        ),
        (
            change(json!({ "op": "put", "kind": "route", "id": "a/b", "value": {} })),
            422,
            "/changes/0/id",
            "64",
        ),
        (change(json!({ "op": "put", "kind": "route", "id": "1" })), 422, "/changes/0/value", "delete"),
        (
            change(json!({ "op": "delete", "kind": "route", "id": "1", "value": {} })),
            422,
            "/changes/0/value",
            "leave",
        ),
        (
            change(json!({ "op": "put", "kind": "route", "id": "1", "value": { "uri": 7 } })),
            422,
            "/uri",
            "mend",
        ),
        (
            change(json!({ "op": "patch", "kind": "route", "id": "1", "value": {} })),
            404,
            "/changes/0",
            "create",
        ),
        (change(json!({ "op": "delete", "kind": "route", "id": "1" })), 404, "", "list"),
        (json!({ "changes": [], "delete": true }), 422, "/delete", "delete"),
        (json!([]), 422, "", "by their names"),
        (json!({ "document": "usher: 1\nroutes: {}\n", "delete": true }), 422, "/kinds", "routes"),
    ] {
        let seen = bench.call("POST", "/plans", body.clone()).await;
        assert_eq!((seen.status, seen.field()), (status, field.to_owned()), "{body}: {}", seen.text);
        assert!(seen.next().contains(next), "{body}: {}", seen.text);
    }
    assert_eq!(bench.get("/history").await.json()["entries"], json!([]));
}

#[tokio::test]
async fn where_a_schema_offers_several_forms_the_field_nearest_to_the_fault_is_named() {
    let bench = Bench::new().await;
    let nodes = json!({ "nodes": { "127.0.0.1:1": 1 } });
    for (value, field, hint) in [
        (
            json!({ "uri": "/a", "uris": ["/b"], "upstream": nodes }),
            "/uris",
            Some("\"uri\" and \"uris\" can't be given together"),
        ),
        (
            json!({ "uri": "/a", "upstream": { "service_name": "s" } }),
            "/upstream/discovery_type",
            Some("property \"discovery_type\" is required"),
        ),
        (
            json!({ "uri": "/a", "script": "return function", "plugins": {} }),
            "/plugins",
            Some("\"script\" and \"plugins\" can't be given together"),
        ),
        (
            json!({ "uri": "/a", "upstream": { "nodes": [{ "host": "a" }] } }),
            "/upstream/nodes/0/weight",
            Some("property \"weight\" is required"),
        ),
        (
            json!({ "uri": "/a", "plugins": { "limit-count": { "count": 0 } } }),
            "/plugins/limit-count/count",
            None,
        ),
        (json!({ "uri": "/a", "plugins": { "limit-count": {} } }), "/plugins/limit-count/count", None),
    ] {
        let change = json!({ "changes": [{ "op": "put", "kind": "route", "id": "1", "value": value }] });
        let seen = bench.call("POST", "/plans", change).await;
        let told = seen.json()["error"].clone();
        assert_eq!(
            (seen.status, told["field"].as_str(), told["hint"].as_str()),
            (422, Some(field), hint),
            "{}",
            seen.text
        );
    }
}

#[tokio::test]
async fn a_body_is_json_and_no_larger_than_it_may_be() {
    let bench = Bench::new().await;
    let key = ("x-api-key", ADMIN);
    let text =
        bench.send_bytes("POST", "/undo", &[key, ("content-type", "text/yaml")], b"a: 1".to_vec()).await;
    assert_eq!(text.refusal(), (415, "not_json".to_owned()));
    let broken = bench.send_bytes("POST", "/undo", &[key], b"{\"revision\"".to_vec()).await;
    assert_eq!(broken.refusal(), (400, "malformed".to_owned()));
    let large = vec![b' '; 1_572_865];
    assert_eq!(
        bench.send_bytes("POST", "/undo", &[key], large.clone()).await.refusal(),
        (413, "too_large".to_owned())
    );
    // A document may be larger.
    let mut document = large;
    document.extend_from_slice(b"{}");
    assert_eq!(bench.send_bytes("POST", "/plans", &[key], document).await.status, 422);
    assert_eq!(
        bench.send("GET", "/status", &[key], json!({})).await.refusal(),
        (400, "malformed".to_owned())
    );
}
