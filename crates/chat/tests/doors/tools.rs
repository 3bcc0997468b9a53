//! What each tool answers, and how each refuses.

use std::net::SocketAddr;

use serde_json::{Value, json};
use usher_chat::catalogue::all;
use usher_model::kind::Kind;
use usher_model::live::Problem;

use crate::client::{Client, ERAS, Era, Person};
use crate::support::Side;

fn upstream() -> Value {
    json!({ "type": "roundrobin", "nodes": { "127.0.0.1:3000": 1 }, "name": "Conference API" })
}

fn route(uri: &str) -> Value {
    json!({ "uri": uri, "upstream": { "type": "roundrobin", "nodes": { "127.0.0.1:3000": 1 } } })
}

#[tokio::test]
async fn tools_are_listed_without_a_key_with_all_their_hints() {
    let side = Side::start().await;
    for era in ERAS {
        let client = Client::open(&side, era, Person::Nobody).await;
        let info = client.service.peer_info().unwrap();
        assert_eq!(info.instructions.as_deref(), Some(usher_chat::catalogue::INSTRUCTIONS));
        let listed = client.service.list_tools(None).await.unwrap().tools;
        let names: Vec<&str> = listed.iter().map(|tool| tool.name.as_ref()).collect();
        assert_eq!(names, all().iter().map(|tool| tool.name).collect::<Vec<_>>());
        for tool in &listed {
            let hints = tool.annotations.as_ref().unwrap();
            let said =
                [hints.read_only_hint, hints.destructive_hint, hints.idempotent_hint, hints.open_world_hint];
            assert!(said.iter().all(Option::is_some) && tool.output_schema.is_some(), "{}", tool.name);
            let writes = ["gateway_apply", "gateway_probe"].contains(&tool.name.as_ref());
            assert_eq!(hints.read_only_hint, Some(!writes), "{}", tool.name);
        }
    }
}

#[tokio::test]
async fn a_change_is_planned_applied_remembered_and_taken_back() {
    for era in ERAS {
        let side = Side::start().await;
        let client = Client::open(&side, era, Person::Nobody).await;
        let before = side.revision();
        let changes = json!([
            { "op": "create", "kind": "upstream", "id": "conference-api", "body_json": upstream().to_string() },
            { "op": "create", "kind": "route", "id": null, "body_json": { "name": "Speaker", "uri": "/speaker/*", "methods": ["GET"], "upstream_id": "conference-api" } },
        ]);
        let plan = client.plan(changes).await;
        assert_eq!(
            (plan["risk"].as_str(), plan["needs_person"].as_bool()),
            (Some("low"), Some(false)),
            "{plan}"
        );
        assert!(plan["text"].as_str().unwrap().contains("/speaker/*"), "{plan}");
        assert_eq!(side.revision(), before, "a plan changes nothing");

        let applied = client.call("gateway_apply", json!({ "plan_id": plan["plan_id"] })).await;
        assert_eq!(applied["in_force"], true);
        assert_eq!(applied["applied"], json!(["+ upstream conference-api", "+ route speaker"]));
        let again = client.refusal("gateway_apply", json!({ "plan_id": plan["plan_id"] })).await;
        assert!(again.contains("gateway_plan"), "{again}");

        let found = client.call("gateway_find", json!({ "kind": "route", "text": "SPEAKER" })).await;
        assert_eq!(
            found["items"],
            json!([{ "kind": "route", "id": "speaker", "name": "Speaker", "line": "/speaker/* GET -> conference-api" }])
        );

        let history = client.call("gateway_history", json!({})).await;
        let entry = &history["entries"][0];
        assert_eq!(
            (entry["revision"].clone(), entry["who"].as_str(), entry["intent"].as_str()),
            (applied["revision"].clone(), Some("local-agent"), Some("a test"))
        );
        assert_eq!(entry["door"], "mcp");
        assert!(entry["when"].as_str().unwrap().starts_with("20"), "{entry}");

        let undo = client.call("gateway_undo", json!({ "intent": "back" })).await;
        assert_eq!(undo["risk"], "high", "taking something away: {undo}");
        let refused = client.refusal("gateway_apply", json!({ "plan_id": undo["plan_id"] })).await;
        assert!(refused.contains("person"), "{refused}");
        let person = Client::open(&side, era, Person::Agrees).await;
        person.call("gateway_apply", json!({ "plan_id": undo["plan_id"] })).await;
        assert_eq!(person.call("gateway_find", json!({ "kind": "route" })).await["total"], 0);
        let history = person.call("gateway_history", json!({ "kind": "route", "id": "speaker" })).await;
        assert_eq!(history["entries"].as_array().unwrap().len(), 2, "{history}");
        assert_eq!(history["entries"][0]["undoes"], applied["revision"]);
    }
}

#[tokio::test]
async fn nothing_but_apply_changes_anything() {
    let side = Side::start().await;
    side.put(Kind::Route, "a", route("/a")).await;
    let client = Client::open(&side, Era::Sessions, Person::Agrees).await;
    let before = side.revision();
    let stored = client.call("gateway_get", json!({ "kind": "route", "id": "a" })).await;
    let calls = [
        ("gateway_overview", json!({})),
        ("gateway_find", json!({ "kind": "route" })),
        ("gateway_get", json!({ "kind": "route", "id": "a" })),
        ("gateway_explain_request", json!({ "method": "GET", "path": "/speaker/1" })),
        ("gateway_plugin_help", json!({})),
        ("gateway_plugin_help", json!({ "plugin": "test-limit" })),
        (
            "gateway_plan",
            json!({ "intent": "", "changes": [{ "op": "delete", "kind": "route", "id": "a" }] }),
        ),
        (
            "gateway_plan",
            json!({ "intent": "", "changes": [{ "op": "merge", "kind": "route", "id": "a", "body_json": "{\"desc\":\"x\"}" }] }),
        ),
        ("gateway_history", json!({})),
        ("gateway_undo", json!({})),
        ("gateway_traffic", json!({})),
        ("gateway_requests", json!({})),
        ("gateway_health", json!({})),
        (
            "gateway_import_openapi",
            json!({ "intent": "", "document": "{openapi: 3.0.0, servers: [{url: 'http://127.0.0.1:3000'}], paths: {/a: {get: {}}}}" }),
        ),
    ];
    for (tool, arguments) in &calls {
        client.result(tool, arguments.clone()).await;
    }
    let tried: std::collections::HashSet<&str> = calls.iter().map(|(tool, _)| *tool).collect();
    assert_eq!(tried.len() + 2, all().len(), "every tool but gateway_apply and gateway_probe is tried");
    assert_eq!(side.revision(), before);
    assert_eq!(client.call("gateway_get", json!({ "kind": "route", "id": "a" })).await, stored);
}

#[tokio::test]
async fn names_work_where_ids_do_and_ambiguous_ones_are_asked_back() {
    let side = Side::start().await;
    let named = |name: &str, uri: &str| {
        let mut value = route(uri);
        value["name"] = name.into();
        value
    };
    side.put(Kind::Route, "1", named("speakers", "/speaker/*")).await;
    side.put(Kind::Route, "2", named("topics", "/topic/*")).await;
    side.put(Kind::Route, "3", named("topics", "/topics")).await;
    let client = Client::open(&side, Era::Stateless, Person::Nobody).await;
    let by =
        async |id: &str| client.call("gateway_get", json!({ "kind": "route", "id": id })).await["id"].clone();
    assert_eq!((by("speakers").await, by("3").await), (json!("1"), json!("3")));
    let refused = client.refusal("gateway_get", json!({ "kind": "route", "id": "topics" })).await;
    assert!(refused.contains("2  /topic/*") && refused.contains("3  /topics"), "{refused}");
    let refused = client.refusal("gateway_get", json!({ "kind": "route", "id": "speakres" })).await;
    assert!(refused.contains("did you mean: speakers") && refused.contains("gateway_find"), "{refused}");
    let plan = client.plan(json!([{ "op": "merge", "kind": "route", "id": "speakers", "body_json": { "desc": "x", "priority": 3 } }])).await;
    assert!(plan["text"].as_str().unwrap().contains("priority"), "{plan}");
}

#[tokio::test]
async fn refusals_say_where_what_is_allowed_and_what_comes_next() {
    let side = Side::start().await;
    side.put(Kind::Route, "a", route("/a")).await;
    let client = Client::open(&side, Era::Stateless, Person::Nobody).await;
    let change = |change: Value| json!({ "intent": "", "changes": [change] });
    let with_plugin = |plugin: &str, body: Value| {
        let mut value = route("/b");
        value["plugins"] = json!({ plugin: body });
        change(json!({ "op": "create", "kind": "route", "id": "b", "body_json": value.to_string() }))
    };
    let cases = [
        ("gateway_plan", json!({ "intent": "", "changes": [] }), vec!["no changes", "where: /changes"]),
        (
            "gateway_plan",
            change(json!({ "op": "create", "kind": "route", "id": "a", "body_json": "{}" })),
            vec!["exists already", "op merge"],
        ),
        (
            "gateway_plan",
            change(json!({ "op": "replace", "kind": "route", "id": "nope", "body_json": "{}" })),
            vec!["no route", "where: /changes/0/id"],
        ),
        (
            "gateway_plan",
            change(json!({ "op": "create", "kind": "route", "body_json": "{\"uri\":" })),
            vec!["no JSON", "where: /changes/0/body_json"],
        ),
        (
            "gateway_plan",
            change(json!({ "op": "create", "kind": "route", "body_json": "[1]" })),
            vec!["not an object"],
        ),
        ("gateway_plan", change(json!({ "op": "create", "kind": "route" })), vec!["needs a body"]),
        (
            "gateway_plan",
            change(json!({ "op": "delete", "kind": "route" })),
            vec!["needs the id", "where: /changes/0/id"],
        ),
        (
            "gateway_plan",
            change(json!({ "op": "delete", "kind": "route", "id": "a", "body_json": "{}" })),
            vec!["no body"],
        ),
        (
            "gateway_plan",
            change(json!({ "op": "create", "kind": "credential", "body_json": "{}" })),
            vec!["consumer/credentials/id"],
        ),
        (
            "gateway_plan",
            change(
                json!({ "op": "create", "kind": "route", "id": "b", "body_json": "{\"uri\":\"/b\",\"methods\":[\"FETCH\"],\"upstream_id\":\"x\"}" }),
            ),
            vec!["methods", "route b"],
        ),
        (
            "gateway_plan",
            with_plugin("test-limti", json!({ "count": 1 })),
            vec!["unknown plugin", "did you mean: test-limit", "gateway_plugin_help"],
        ),
        (
            "gateway_plan",
            with_plugin("test-limit", json!({ "count": 0 })),
            vec!["count", "gateway_plugin_help {\"plugin\":\"test-limit\"}"],
        ),
        ("gateway_plugin_help", json!({ "plugin": "testlimit" }), vec!["did you mean: test-limit"]),
        ("gateway_apply", json!({ "plan_id": "0000000000" }), vec!["plan", "next: gateway_plan"]),
        ("gateway_history", json!({ "kind": "route" }), vec!["where: /id"]),
        ("gateway_history", json!({ "before": -1 }), vec!["where: /before", "allowed"]),
        (
            "gateway_explain_request",
            json!({ "method": "GET", "path": "speaker" }),
            vec!["where: /path", "begins with /"],
        ),
        (
            "gateway_explain_request",
            json!({ "method": "GET", "path": "/", "client": "me" }),
            vec!["where: /client", "IP address"],
        ),
        ("gateway_delete_everything", json!({}), vec!["no tool", "allowed: gateway_overview"]),
    ];
    let before = side.revision();
    for (tool, arguments, wanted) in cases {
        let refused = client.refusal(tool, arguments.clone()).await;
        for part in wanted {
            assert!(refused.contains(part), "{tool} {arguments}: {refused:?} lacks {part:?}");
        }
        assert!(refused.len() <= 1_200, "{refused}");
    }
    assert_eq!(side.revision(), before);
}

#[tokio::test]
async fn secrets_and_invisible_letters_stay_inside() {
    const CANARY: &str = "canary-5e1f";
    let side = Side::start().await;
    let mut value = route("/a");
    value["plugins"] = json!({ "test-limit": { "count": 1, "token": CANARY } });
    value["name"] = "before\u{202e}after".into();
    side.put(Kind::Route, "a", value).await;
    side.put(
        Kind::Consumer,
        "jack",
        json!({ "username": "jack", "plugins": { "test-key": { "key": CANARY } } }),
    )
    .await;
    let client = Client::open(&side, Era::Stateless, Person::Nobody).await;
    let merge = json!({ "intent": CANARY.len().to_string(), "changes": [{ "op": "merge", "kind": "route", "id": "a", "body_json": { "plugins": { "test-limit": { "count": 2 } } } }] });
    for (tool, arguments) in [
        ("gateway_get", json!({ "kind": "route", "id": "a" })),
        ("gateway_get", json!({ "kind": "consumer", "id": "jack" })),
        ("gateway_find", json!({ "kind": "route" })),
        ("gateway_find", json!({ "kind": "consumer" })),
        ("gateway_plan", merge),
        ("gateway_history", json!({})),
        ("gateway_explain_request", json!({ "method": "GET", "path": "/speaker/1" })),
        ("gateway_explain_request", json!({ "method": "GET", "path": "/Speaker/1" })),
    ] {
        let result = client.result(tool, arguments).await;
        let whole = serde_json::to_string(&result).unwrap();
        assert!(!whole.contains(CANARY), "{tool} tells a secret");
        assert!(!whole.contains('\u{202e}'), "{tool} turns text around");
    }
    // A merge that leaves the secret alone keeps it.
    client.change(json!([{ "op": "merge", "kind": "route", "id": "a", "body_json": { "plugins": { "test-limit": { "count": 3 } } } }])).await;
    let who = usher_model::change::Principal::new(
        "ops",
        usher_model::change::Role::Admin,
        usher_model::change::Door::AdminApi,
    );
    let stored =
        side.service.get(&who, &usher_model::kind::Key::new(Kind::Route, "a")).await.unwrap().unwrap();
    assert_eq!(stored.value["plugins"]["test-limit"], json!({ "count": 3, "token": CANARY }));
}

#[tokio::test]
async fn a_consumer_and_its_credential_are_made_in_one_plan() {
    let side = Side::start().await;
    let client = Client::open(&side, Era::Stateless, Person::Nobody).await;
    client
        .change(json!([
            { "op": "create", "kind": "consumer", "body_json": { "username": "mobile" } },
            { "op": "create", "kind": "credential", "id": "mobile/credentials/first", "body_json": { "plugins": { "test-key": { "key": "k-1" } } } },
        ]))
        .await;
    let found = client.call("gateway_find", json!({ "kind": "credential", "text": "mobile" })).await;
    assert_eq!(found["items"][0]["id"], "mobile/credentials/first");
    let value =
        client.call("gateway_get", json!({ "kind": "credential", "id": "mobile/credentials/first" })).await;
    assert_ne!(value["value"]["plugins"]["test-key"]["key"], "k-1");
}

#[tokio::test]
async fn lists_go_on_by_cursor_and_filter_by_text_and_label() {
    let side = Side::start().await;
    for number in 0..30 {
        let mut value = route(&format!("/{number}"));
        value["labels"] = json!({ "env": if number % 10 == 0 { "test" } else { "live" } });
        side.put(Kind::Route, &format!("r{number:02}"), value).await;
    }
    let client = Client::open(&side, Era::Stateless, Person::Nobody).await;
    let page = async |cursor: Value| {
        client.call("gateway_find", json!({ "kind": "route", "cursor": cursor, "limit": 100 })).await
    };
    let first = page(Value::Null).await;
    assert_eq!(
        (first["total"].clone(), first["items"].as_array().unwrap().len(), first["next"].clone()),
        (json!(30), 25, json!("r24"))
    );
    let second = page(first["next"].clone()).await;
    assert_eq!((second["items"].as_array().unwrap().len(), second["next"].clone()), (5, Value::Null));
    let nodes: Vec<Value> =
        (1..=9).map(|n| json!({ "host": format!("10.0.0.{n}"), "port": 80, "weight": 1 })).collect();
    side.put(Kind::Upstream, "many", json!({ "type": "roundrobin", "nodes": nodes })).await;
    for (kind, text, total) in [
        ("upstream", "10.0.0.9:80", 1),
        ("upstream", "10.0.0.99", 0),
        ("route", "127.0.0.1:3000", 30),
        ("route", "R07", 1),
    ] {
        let found = client.call("gateway_find", json!({ "kind": kind, "text": text })).await;
        assert_eq!(found["total"], total, "{kind} {text}");
    }
    for (label, total) in [("env", 30), ("env:test", 3), ("env:none", 0), ("other", 0)] {
        let found = client.call("gateway_find", json!({ "kind": "route", "label": label })).await;
        assert_eq!(found["total"], total, "{label}");
    }
}

#[tokio::test]
async fn looking_tells_what_the_proxy_says() {
    let side = Side::start().await;
    let listener: SocketAddr = "127.0.0.1:9080".parse().unwrap();
    side.live.listeners.lock().unwrap().push(listener);
    side.live.problems.lock().unwrap().push(Problem {
        key: "/apisix/routes/1".to_owned(),
        revision: 1,
        reason: "broken".to_owned(),
    });
    let client = Client::open(&side, Era::Sessions, Person::Nobody).await;
    let overview = client.call("gateway_overview", json!({})).await;
    assert_eq!(overview["listeners"], json!(["127.0.0.1:9080"]));
    assert_eq!(overview["problems"], json!([{ "key": "/apisix/routes/1", "reason": "broken" }]));
    assert_eq!(
        overview["busiest"][0],
        json!({ "route": "speaker", "requests": 7, "by_class": [0, 5, 0, 2, 0] })
    );
    assert_eq!(overview["counts"]["route"], 0);
    let taken = client
        .call("gateway_explain_request", json!({ "method": "get", "path": "/speaker/1", "headers": [] }))
        .await;
    assert_eq!(
        (taken["route"]["id"].as_str(), taken["upstream"]["nodes"].clone()),
        (Some("speaker"), json!([["127.0.0.1:3000", 1]]))
    );
    let passed =
        client.call("gateway_explain_request", json!({ "method": "GET", "path": "/Speaker/1" })).await;
    assert!(passed["passed_over"][0]["because"].as_str().unwrap().contains("/speaker/*"), "{passed}");
    let help = client.call("gateway_plugin_help", json!({ "plugin": "test-limit" })).await;
    assert_eq!(help["example"], json!({ "count": 10 }));
    assert!(help["schema"]["properties"].get("count").is_some(), "{help}");
    let help = client.call("gateway_plugin_help", json!({ "plugin": "test-key" })).await;
    assert!(help["credential_schema"]["properties"].get("key").is_some(), "{help}");
}

#[tokio::test]
async fn the_built_in_chat_is_told_apart_in_the_history() {
    let side = Side::start().await;
    let client = Client::named(&side, Era::Sessions, Person::Agrees, "usher-chat").await;
    client.change(json!([{ "op": "create", "kind": "route", "id": "a", "body_json": route("/a") }])).await;
    let history = client.call("gateway_history", json!({})).await;
    assert_eq!(history["entries"][0]["door"], "chat");
}
