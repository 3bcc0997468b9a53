//! Pages beside the answers of tools: where they are named, what they may do, and that the answers say the same without them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rmcp::model::ReadResourceRequestParams;
use serde_json::{Value, json};
use usher_model::kind::Kind;

use crate::client::{Client, ERAS, Era, Person, text};
use crate::support::Side;

const MEDIA_TYPE: &str = "text/html;profile=mcp-app";

async fn page(client: &Client, uri: &str) -> (String, Value) {
    let read = client.service.read_resource(ReadResourceRequestParams::new(uri)).await.unwrap();
    let value = serde_json::to_value(&read.contents[0]).unwrap();
    assert_eq!((&value["uri"], &value["mimeType"]), (&json!(uri), &json!(MEDIA_TYPE)));
    (value["text"].as_str().unwrap().to_owned(), value["_meta"].clone())
}

/// What stands between two marks, once.
fn between<'t>(text: &'t str, begin: &str, end: &str) -> &'t str {
    let parts: Vec<&str> = text.split(begin).collect();
    assert_eq!(parts.len(), 2, "{begin} stands once");
    parts[1].split(end).next().unwrap()
}

#[tokio::test]
async fn tools_name_their_pages_and_pages_reach_nobody() {
    let side = Side::start().await;
    for era in ERAS {
        let client = Client::open(&side, era, Person::Nobody).await;
        let info = serde_json::to_value(client.service.peer_info().unwrap()).unwrap();
        assert_eq!(
            info["capabilities"]["extensions"]["io.modelcontextprotocol/ui"]["mimeTypes"],
            json!([MEDIA_TYPE])
        );
        let listed = client.service.list_tools(None).await.unwrap().tools;
        let resources = serde_json::to_value(client.service.list_resources(None).await.unwrap()).unwrap();
        let mut pages = Vec::new();
        for tool in listed {
            let meta = serde_json::to_value(&tool.meta).unwrap();
            if let Some(uri) = meta["ui"]["resourceUri"].as_str() {
                let known = resources["resources"].as_array().unwrap().iter().find(|one| one["uri"] == uri);
                assert_eq!(known.unwrap()["mimeType"], MEDIA_TYPE, "{uri} is listed");
                pages.push((tool.name.to_string(), uri.to_owned()));
            }
        }
        let names: Vec<&str> = pages.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["gateway_traffic", "gateway_plan", "gateway_undo"]);
        for (_, uri) in &pages {
            let (html, meta) = page(&client, uri).await;
            for list in ["connectDomains", "resourceDomains", "frameDomains"] {
                assert_eq!(meta["ui"]["csp"][list], json!([]), "{uri}");
            }
            let policy = between(&html, "Content-Security-Policy\" content=\"", "\"");
            let hash = |text: &str| {
                let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
                format!("'sha256-{}'", STANDARD.encode(digest))
            };
            let (script, style) =
                (between(&html, "<script>", "</script>"), between(&html, "<style>", "</style>"));
            let wanted = format!(
                "default-src 'none'; script-src {}; style-src {}; base-uri 'none'; form-action 'none'",
                hash(script),
                hash(style)
            );
            assert_eq!(policy, wanted);
            // Nothing asks, and what is shown is never read as HTML.
            for forbidden in [
                "://",
                "fetch(",
                "XMLHttpRequest",
                "innerHTML",
                "insertAdjacentHTML",
                "eval(",
                "import(",
                " src=",
                " href=",
            ] {
                assert!(!html.contains(forbidden), "{uri} has {forbidden}");
            }
        }
        let missing =
            client.service.read_resource(ReadResourceRequestParams::new("ui://usher/nothing")).await;
        assert!(missing.is_err());
    }
}

#[tokio::test]
async fn answers_say_the_same_to_who_shows_no_pages() {
    let side = Side::start().await;
    side.put(Kind::Upstream, "u", json!({ "type": "roundrobin", "nodes": { "127.0.0.1:3000": 1 } })).await;
    let client = Client::open(&side, Era::Stateless, Person::Nobody).await;
    let change = json!({ "op": "create", "kind": "route", "id": "r", "body_json": { "uri": "/r", "upstream_id": "u" } });
    let result = client.result("gateway_plan", json!({ "intent": "x", "changes": [change] })).await;
    let plan = result.structured_content.clone().unwrap();
    assert!(text(&result).contains("+ route r") && text(&result).contains(plan["plan_id"].as_str().unwrap()));
    // The members that the page reads.
    for member in ["plan_id", "risk", "needs_person", "text"] {
        assert!(!plan[member].is_null(), "{member}");
    }
    let traffic = client.call("gateway_traffic", json!({})).await;
    assert!(traffic["total"].is_object() && traffic["rows"].is_array() && traffic["more"].is_number());
}
