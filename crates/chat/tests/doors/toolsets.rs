//! Sets of tools that an operator switches on: off they are refused with what switches them on, on they work, keep to scopes, and give out no secret.

use serde_json::{Value, json};
use usher_admin::service::NewToken;
use usher_chat::Toolset;
use usher_chat::catalogue::{all, optional};
use usher_model::change::{Door, Principal, Role};
use usher_model::kind::Kind;
use usher_model::scope::Scope;

use crate::client::{Client, Era, Person, text};
use crate::support::Side;

const CANARY: &str = "canary-5d1c";

fn every() -> Vec<Toolset> {
    Toolset::ALL.into_iter().map(|(_, set)| set).collect()
}

/// A gateway with a secret wherever there can be one.
async fn furnished(side: &Side) {
    let key = |name: &str| format!("{CANARY}-{name}");
    let nodes = json!({ "type": "roundrobin", "nodes": { "127.0.0.1:3000": 1 } });
    side.put(
        Kind::Consumer,
        "jack",
        json!({ "username": "jack", "plugins": { "key-auth": { "key": key("consumer") } } }),
    )
    .await;
    side.put(
        Kind::Credential,
        "jack/credentials/c",
        json!({ "plugins": { "key-auth": { "key": key("credential") } } }),
    )
    .await;
    let body = json!({
        "provider": "openai-compatible", "auth": { "header": { "Authorization": key("model") } },
        "options": { "model": "small", "max_tokens": 100 }, "override": { "endpoint": "http://127.0.0.1:1/v1?key=in-the-address" },
    });
    side.put(Kind::Route, "ask", json!({ "uri": "/ask", "name": "Ask a model", "labels": { "team": "a" }, "plugins": { "ai-proxy": body } })).await;
    let instance = |name: &str| json!({ "name": name, "provider": "openai", "weight": 1, "auth": { "header": { "Authorization": key(name) } }, "options": { "model": "m" } });
    let several = json!({ "instances": [instance("one"), instance("two")] });
    side.put(Kind::PluginConfig, "models", json!({ "plugins": { "ai-proxy-multi": several } })).await;
    let secret_route = json!({ "uri": "/pay/*", "labels": { "team": "b" }, "upstream": nodes, "plugins": { "csrf": { "key": key("csrf") } } });
    side.put(Kind::Route, "pay", secret_route).await;
    side.put(
        Kind::Secret,
        "vault/v",
        json!({ "uri": "http://127.0.0.1:2", "prefix": "kv", "token": key("vault") }),
    )
    .await;
    let made = rcgen::generate_simple_self_signed(vec!["shop.test".to_owned()]).unwrap();
    let pem = made.signing_key.serialize_pem();
    side.put(Kind::Ssl, "shop", json!({ "snis": ["shop.test"], "cert": made.cert.pem(), "key": pem })).await;
}

/// Each tool of each set, with arguments that make it tell as much as it can.
fn calls() -> Vec<(&'static str, Value)> {
    let mut calls = vec![
        (
            "search",
            json!({ "query": "route service upstream consumer plugin_config ssl changes jack ask pay" }),
        ),
        ("gateway_certificates", json!({})),
        ("gateway_certificates", json!({ "within_days": 100_000 })),
        ("gateway_export", json!({ "format": "usher" })),
        ("gateway_export", json!({ "format": "apisix", "kinds": ["route", "consumer", "ssl", "secret"] })),
        ("gateway_models", json!({})),
    ];
    for id in [
        "consumer/jack",
        "credential/jack/credentials/c",
        "route/ask",
        "route/pay",
        "plugin_config/models",
        "secret/vault/v",
        "ssl/shop",
        "change/2",
    ] {
        calls.push(("fetch", json!({ "id": id })));
    }
    for path in [
        "routes",
        "consumers",
        "ssls",
        "secrets",
        "plugin_configs",
        "routes/pay",
        "/apisix/admin/ssls/shop",
        "consumers/jack/credentials/c",
        "secrets/vault/v",
    ] {
        calls.push(("gateway_raw_get", json!({ "path": path })));
    }
    calls
}

#[tokio::test]
async fn a_set_is_off_until_it_is_switched_on_and_the_error_says_how() {
    let side = Side::start().await;
    let client = Client::open(&side, Era::Stateless, Person::Nobody).await;
    for tool in optional() {
        let said = client.refusal(tool.name, json!({})).await;
        let name = tool.set.unwrap().name();
        assert!(said.contains("\nnext: ") && said.contains(&format!("chat.toolsets: [{name}]")), "{said}");
    }
    let side = Side::with_toolsets(vec![Toolset::Search]).await;
    for client in [
        Client::open(&side, Era::Sessions, Person::Nobody).await,
        Client::open(&side, Era::Stateless, Person::Nobody).await,
    ] {
        let listed = client.service.list_tools(None).await.unwrap().tools;
        let names: Vec<&str> = listed.iter().map(|tool| tool.name.as_ref()).collect();
        assert_eq!(names.len(), all().len() + 2);
        assert!(names.ends_with(&["search", "fetch"]), "{names:?}");
        assert!(
            listed
                .iter()
                .skip(all().len())
                .all(|tool| tool.annotations.as_ref().unwrap().read_only_hint == Some(true))
        );
        client.call("search", json!({ "query": "x" })).await;
        client.refusal("gateway_export", json!({ "format": "usher" })).await;
    }
}

#[tokio::test]
async fn with_every_set_the_list_stays_within_thirty_tools_and_six_thousand_tokens() {
    let side = Side::with_toolsets(every()).await;
    let client = Client::open(&side, Era::Stateless, Person::Nobody).await;
    let listed = client.service.list_tools(None).await.unwrap();
    let size = crate::budget::tokens(&serde_json::to_string(&listed).unwrap());
    println!("with every toolset the list has {size} tokens");
    assert!(listed.tools.len() <= 30 && size <= 6_000, "{} tools, {size} tokens", listed.tools.len());
}

#[tokio::test]
async fn tools_of_a_set_tell_what_there_is_and_no_secret() {
    let side = Side::with_toolsets(every()).await;
    furnished(&side).await;
    let client = Client::open(&side, Era::Stateless, Person::Nobody).await;
    let before = side.revision();
    for (tool, arguments) in calls() {
        let structured = client.call(tool, arguments.clone()).await;
        let said = text(&client.result(tool, arguments.clone()).await);
        for told in [structured.to_string(), said.clone()] {
            assert!(!told.contains(CANARY), "{tool} {arguments} gave out a secret: {told}");
            assert!(!told.contains("PRIVATE KEY"), "{tool} {arguments} gave out a private key: {told}");
        }
        assert!(crate::budget::tokens(&said) <= 6_000, "{tool} {arguments}");
    }
    assert_eq!(side.revision(), before, "nothing was changed");

    let found = client.call("search", json!({ "query": "model" })).await;
    let ids: Vec<&str> =
        found["results"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect();
    assert!(ids.contains(&"route/ask"), "{ids:?}");
    assert!(found["results"].as_array().unwrap().iter().all(|one| !one["url"].as_str().unwrap().is_empty()));
    let fetched = client.call("fetch", json!({ "id": "route/ask" })).await;
    assert!(fetched["text"].as_str().unwrap().contains("\"/ask\""), "{fetched}");
    // These clients read the text itself as the JSON.
    let read: Value =
        serde_json::from_str(&text(&client.result("fetch", json!({ "id": "route/ask" })).await)).unwrap();
    assert_eq!(read["id"], "route/ask");

    let certificates = client.call("gateway_certificates", json!({})).await;
    assert_eq!(certificates["items"][0]["names"], json!(["shop.test"]));
    assert!(certificates["items"][0]["days_left"].as_i64().unwrap() > 365);
    assert_eq!(client.call("gateway_certificates", json!({ "within_days": 30 })).await["total"], 0);

    let models = client.call("gateway_models", json!({})).await;
    assert_eq!(models["total"], 2);
    assert!(!models.to_string().contains("in-the-address"), "{models}");
    assert_eq!(
        models["items"][0]["plugins"]["ai-proxy"]["options"],
        json!({ "model": "small", "max_tokens": 100 })
    );
    assert_eq!(models["items"][1]["plugins"]["ai-proxy-multi"]["instances"][1]["name"], "two");

    let document = client
        .call("gateway_export", json!({ "format": "apisix", "kinds": ["route"], "label": "team:b" }))
        .await;
    assert_eq!(document["objects"], 1);
    assert!(document["document"].as_str().unwrap().contains("/pay/*"));
    let raw = client.call("gateway_raw_get", json!({ "path": "routes/pay" })).await;
    assert_eq!((&raw["list"][0]["key"], &raw["total"]), (&json!("/apisix/routes/pay"), &json!(1)));
    for (path, wanted) in [
        ("rotues", "did you mean: routes"),
        ("routes/none", "gateway_find {\"kind\":\"route\"}"),
        ("../x", "where: /path"),
        ("schema/route", "allowed: one of routes"),
    ] {
        let said = client.refusal("gateway_raw_get", json!({ "path": path })).await;
        assert!(said.contains(wanted), "{path}: {said}");
    }
}

#[tokio::test]
async fn tools_of_a_set_keep_to_a_scope() {
    let side = Side::with_toolsets(every()).await;
    furnished(&side).await;
    let admin = Principal::new("setup", Role::Admin, Door::AdminApi);
    let scope = Scope { labels: vec!["team=a".to_owned()], ..Scope::ALL };
    let wanted = NewToken { name: "of-team-a".to_owned(), role: Role::Viewer, scope, expires_in_secs: None };
    let (_, token) = side.service.create_token(&admin, wanted).await.unwrap();
    let client = Client::with_token(&side, token.expose()).await;
    let mut told = String::new();
    for (tool, arguments) in calls() {
        told.push_str(&text(&client.result(tool, arguments).await));
    }
    assert!(told.contains("/ask"), "its own route is there: {told}");
    // What it asked for by name stands in the refusals; what these objects hold does not.
    for hidden in ["/pay/*", "shop.test", "ai-proxy-multi", "csrf"] {
        assert!(!told.contains(hidden), "{hidden} is out of scope: {told}");
    }
}

#[tokio::test]
async fn lists_go_on_where_they_were_cut() {
    let side = Side::with_toolsets(every()).await;
    for number in 0..60 {
        let value = json!({ "uri": format!("/n{number}"), "desc": "d".repeat(200), "upstream": { "nodes": { "127.0.0.1:3000": 1 } } });
        side.put(Kind::Route, &format!("n{number:02}"), value).await;
    }
    let client = Client::open(&side, Era::Stateless, Person::Nobody).await;
    let (mut seen, mut cursor) = (Vec::new(), Value::Null);
    loop {
        let page = client.call("gateway_raw_get", json!({ "path": "routes", "cursor": cursor })).await;
        assert_eq!(page["total"], 60);
        seen.extend(
            page["list"].as_array().unwrap().iter().map(|one| one["key"].as_str().unwrap().to_owned()),
        );
        cursor = page["next"].clone();
        if cursor.is_null() {
            break;
        }
    }
    assert_eq!(seen.len(), 60);
    let said = client.refusal("gateway_export", json!({ "format": "usher" })).await;
    assert!(said.contains("where: /kinds") && said.contains("usher export"), "{said}");
}
