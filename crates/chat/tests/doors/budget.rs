//! What the tools cost a model, and what each client needs of a schema.

use serde_json::{Value, json};
use usher_chat::catalogue::{INSTRUCTIONS, all, optional};
use usher_model::change::Edit;
use usher_model::kind::{Key, Kind};

use crate::client::{Client, ERAS, Era, Person};
use crate::support::Side;

/// Tokens by the vocabulary of OpenAI's models since GPT-4o.
pub(crate) fn tokens(text: &str) -> usize {
    tiktoken_rs::o200k_base_singleton().encode_ordinary(text).len()
}

#[tokio::test]
async fn the_list_of_tools_fits_its_budget_in_both_eras() {
    let side = Side::start().await;
    for era in ERAS {
        let client = Client::open(&side, era, Person::Nobody).await;
        let listed = client.service.list_tools(None).await.unwrap();
        let size = tokens(&serde_json::to_string(&listed).unwrap());
        println!("{era:?}: the list of tools has {size} tokens");
        assert!(size <= 2_500, "{era:?}: the list of tools has {size} tokens");
        let functions: Vec<Value> =
            all().iter().map(|tool| json!({ "name": tool.name, "description": tool.description, "parameters": tool.input })).collect();
        let size = tokens(&json!(functions).to_string());
        assert!(size <= 1_900, "as functions the tools have {size} tokens");
    }
}

#[test]
fn instructions_say_what_matters_where_it_is_read() {
    let first: String = INSTRUCTIONS.chars().take(512).collect();
    for step in [
        "gateway_overview",
        "gateway_plan",
        "show the person",
        "gateway_apply",
        "gateway_probe",
        "gateway_undo",
    ] {
        assert!(first.contains(step), "the first 512 characters lack {step}: {first}");
    }
    assert!(tokens(INSTRUCTIONS) <= 400);
}

#[test]
fn every_schema_is_in_the_subset_that_all_clients_take() {
    for tool in all().iter().chain(optional()) {
        // Two names are those that ChatGPT asks for.
        let is_own = tool.name.starts_with("gateway_") || ["search", "fetch"].contains(&tool.name);
        assert!(is_own && tool.name.len() <= 40, "{}", tool.name);
        assert!(
            tool.name.chars().all(|letter| letter.is_ascii_lowercase() || letter == '_'),
            "{}",
            tool.name
        );
        assert!(tool.description.chars().count() <= 300, "{} is described at length", tool.name);
        strict(&tool.input, tool.name, true);
        strict(&tool.output, tool.name, false);
    }
}

fn strict(schema: &Value, at: &str, is_input: bool) {
    let members = schema.as_object().unwrap();
    for name in members.keys() {
        let known = ["type", "properties", "required", "additionalProperties", "items", "enum", "anyOf"];
        assert!(known.contains(&name.as_str()), "{at} uses {name}");
    }
    assert!(members.contains_key("anyOf") || members["type"].is_string(), "{at} has no single type");
    if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
        if is_input {
            assert_eq!(schema["additionalProperties"], false, "{at}");
            let names: Vec<&String> = properties.keys().collect();
            assert_eq!(schema["required"], json!(names), "{at}");
        }
        for (name, member) in properties {
            strict(member, &format!("{at}/{name}"), is_input);
        }
    } else {
        assert!(!is_input || schema["type"] != "object", "{at} is an open object");
    }
    for branch in schema.get("anyOf").and_then(Value::as_array).into_iter().flatten() {
        strict(branch, at, is_input);
    }
    if schema["type"] == "array" {
        strict(&schema["items"], &format!("{at}/items"), is_input);
    }
}

#[tokio::test]
async fn no_answer_is_larger_than_a_model_can_afford() {
    let side = Side::start().await;
    let words = "wörter und noch mehr davon ".repeat(6);
    let route = |number: usize| {
        // The first are long ones.
        let count = if number < 300 { 40 } else { 1 };
        let hosts: Vec<String> = (0..count).map(|host| format!("h{host}-of-{number}.example.com")).collect();
        let value = json!({ "uri": format!("/path/number/{number}/*"), "name": format!("{words}{number}"), "desc": words, "hosts": hosts,
            "upstream": { "type": "roundrobin", "nodes": { "127.0.0.1:8080": 1 } } });
        Edit { key: Key::new(Kind::Route, format!("route-{number:04}")), after: Some(value) }
    };
    side.put_all((0..10_000).map(route).collect()).await;
    let nodes: serde_json::Map<String, Value> =
        (0..3_000).map(|node| (format!("10.1.{}.{}:80", node / 250, node % 250), json!(1))).collect();
    side.put(Kind::Upstream, "huge", json!({ "type": "roundrobin", "nodes": nodes })).await;
    let client = Client::open(&side, Era::Stateless, Person::Nobody).await;
    let calls = [
        ("gateway_overview", json!({})),
        ("gateway_find", json!({ "kind": "route" })),
        ("gateway_find", json!({ "kind": "route", "text": "number", "limit": 25 })),
        ("gateway_explain_request", json!({ "method": "GET", "path": "/path/number/9999/x" })),
        ("gateway_traffic", json!({})),
        ("gateway_requests", json!({})),
        ("gateway_health", json!({})),
        ("gateway_find", json!({ "kind": "upstream" })),
        ("gateway_get", json!({ "kind": "upstream", "id": "huge" })),
        ("gateway_get", json!({ "kind": "route", "id": "route-0001" })),
        ("gateway_history", json!({ "limit": 25 })),
        ("gateway_plugin_help", json!({})),
        (
            "gateway_plan",
            json!({ "intent": "", "changes": [{ "op": "delete", "kind": "route", "id": "route-0001" }] }),
        ),
    ];
    for (tool, arguments) in calls {
        let result = client.result(tool, arguments).await;
        assert_ne!(result.is_error, Some(true), "{tool}: {result:?}");
        let size = tokens(&crate::client::text(&result))
            .max(tokens(&result.structured_content.unwrap().to_string()));
        assert!(size <= 6_000, "{tool} answered {size} tokens");
    }
    let change = json!({ "intent": "", "changes": [{ "op": "delete", "kind": "upstream", "id": "huge" }] });
    let result = client.result("gateway_plan", change).await;
    let size = tokens(&crate::client::text(&result));
    assert!(size <= 6_000, "a plan that is long was answered with {size} tokens");
}

#[tokio::test]
async fn a_plan_is_shown_whole_or_refused_and_never_larger_than_a_model_can_afford() {
    let side = Side::start().await;
    let client = Client::open(&side, Era::Stateless, Person::Nobody).await;
    let (mut shown, mut refused) = (0, 0);
    for number in (50..=650).step_by(50) {
        let nodes: serde_json::Map<String, Value> =
            (0..number).map(|node| (format!("10.1.{}.{}:8080", node / 250, node % 250), json!(1))).collect();
        let changes = json!([{ "op": "create", "kind": "upstream", "id": "n", "body_json": { "type": "roundrobin", "nodes": nodes } }]);
        let result = client.result("gateway_plan", json!({ "intent": "", "changes": changes })).await;
        let text = crate::client::text(&result);
        let structured = result.structured_content.unwrap_or_default();
        let size = tokens(&text).max(tokens(&structured.to_string()));
        assert!(size <= 6_000, "{number} nodes were answered with {size} tokens");
        if result.is_error == Some(true) {
            assert!(text.contains("too long to be shown whole"), "{text}");
            refused += 1;
        } else {
            assert!(nodes.keys().all(|node| text.contains(node.as_str())), "{number} nodes were cut: {text}");
            shown += 1;
        }
    }
    assert!(shown > 3 && refused > 0, "{shown} shown, {refused} refused");
}

#[tokio::test]
async fn a_list_of_fifty_routes_is_short() {
    let side = Side::start().await;
    for number in 0..50 {
        let value = json!({ "uri": format!("/api/v1/thing-{number}/*"), "methods": ["GET"], "upstream": { "type": "roundrobin", "nodes": { "127.0.0.1:8080": 1 } } });
        side.put(Kind::Route, &format!("thing-{number:02}"), value).await;
    }
    let client = Client::open(&side, Era::Stateless, Person::Nobody).await;
    let mut size = 0;
    let mut seen = 0;
    let mut cursor = Value::Null;
    loop {
        let result = client.result("gateway_find", json!({ "kind": "route", "cursor": cursor })).await;
        size += tokens(&crate::client::text(&result));
        let page = result.structured_content.unwrap();
        seen += page["items"].as_array().unwrap().len();
        cursor = page["next"].clone();
        if cursor.is_null() {
            break;
        }
    }
    assert!(seen == 50 && size <= 1_500, "{seen} routes in {size} tokens");
}
