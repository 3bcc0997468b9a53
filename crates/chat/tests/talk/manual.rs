//! Every sentence of `docs/chat.md` is not only understood but done, with all plugins and checks of the real service.

use serde_json::{Value, json};
use usher_model::kind::Kind;

use crate::support::{Side, node_of};

const MANUAL: &str = include_str!("../../../../docs/chat.md");

/// The sentences below headings that begin so, or below all others.
fn sentences(create: bool) -> Vec<&'static str> {
    let mut found = Vec::new();
    let (mut below, mut inside) = (false, false);
    for line in MANUAL.lines() {
        if let Some(heading) = line.strip_prefix("### ") {
            below = heading.starts_with("Create");
        }
        match line {
            "```text" => inside = true,
            "```" => inside = false,
            line if inside && below == create && !line.is_empty() => found.push(line),
            _ => {}
        }
    }
    assert!(found.len() > 15, "the manual was not read");
    found
}

/// What sentences that create something refer to.
async fn plain() -> Side {
    let side = Side::start().await;
    side.put(Kind::Service, "payments", json!({ "upstream_id": "conference-api" })).await;
    side
}

async fn with_jack(side: Side) -> Side {
    side.put(Kind::Consumer, "jack", json!({ "username": "jack" })).await;
    side
}

/// What all other sentences refer to.
async fn furnished() -> Side {
    let side = with_jack(plain().await).await;
    // The fifth revision is one that can be taken back by itself.
    side.put(Kind::GlobalRule, "ids", json!({ "plugins": { "request-id": {} } })).await;
    side.put(Kind::GlobalRule, "extra", json!({ "plugins": { "cors": {} } })).await;
    assert_eq!(side.revision(), 5);
    let nodes = json!({ "type": "roundrobin", "nodes": { "127.0.0.1:3000": 1, "127.0.0.1:3001": 1 } });
    side.put(Kind::Upstream, "orders", nodes).await;
    side.put(Kind::Service, "users", json!({ "upstream_id": "conference-api" })).await;
    side.put(
        Kind::Credential,
        "jack/credentials/phone",
        json!({ "plugins": { "key-auth": { "key": "a-phone" } } }),
    )
    .await;
    side.put(Kind::PluginConfig, "strict", json!({ "id": "strict", "plugins": { "key-auth": {} } })).await;
    let route = |uri: &str, plugins: Value| json!({ "uri": uri, "upstream_id": "conference-api", "plugins": plugins });
    for (id, uri) in [("a", "/a/*"), ("b", "/b/*"), ("old", "/old/*")] {
        side.put(Kind::Route, id, route(uri, json!({}))).await;
    }
    side.put(Kind::Route, "topic", route("/topic/*", json!({ "key-auth": {} }))).await;
    side.put(Kind::Upstream, "others", node_of("127.0.0.1:5000", "others")).await;
    let mut speaker = route("/speaker/*", json!({ "limit-count": { "count": 10, "time_window": 60 } }));
    speaker["methods"] = json!(["GET"]);
    speaker["hosts"] = json!(["a.example.com", "b.example.com"]);
    speaker["upstream_id"] = json!("others");
    side.put(Kind::Route, "speaker", speaker).await;
    side
}

#[tokio::test]
async fn what_the_manual_creates_can_be_created() {
    for sentence in sentences(true) {
        let side = plain().await;
        let side = if sentence.contains("credential") { with_jack(side).await } else { side };
        let talk = side.talk().await;
        let heard = talk.ask(sentence).await;
        assert_eq!(heard.applied.len(), 1, "{sentence}: {heard:?}");
        assert!(heard.said.starts_with("Done"), "{sentence}: {heard:?}");
        talk.ask("undo that").await;
    }
}

/// What has to be said before a sentence, because it would be so already.
const BEFORE: [(&str, &str); 4] = [
    ("add host b.example.com to route speaker", "remove host b.example.com from route speaker"),
    ("enable route speaker", "disable route speaker"),
    ("require a key on /topic/*", "remove key auth from /topic/*"),
    ("add request ids to everything", "remove request ids from everything"),
];

#[tokio::test]
async fn what_the_manual_says_otherwise_is_done_too() {
    let mut failed = Vec::new();
    for sentence in sentences(false) {
        let side = furnished().await;
        let talk = side.talk().await;
        if let Some((_, first)) = BEFORE.iter().find(|(then, _)| *then == sentence) {
            talk.ask(first).await;
        }
        // What `it` is.
        talk.ask("show route speaker").await;
        let before = side.revision();
        let heard = talk.say(sentence).await;
        let changed = usize::try_from(side.revision() - before).unwrap();
        if !heard.done || changed != heard.applied.len() || changed != heard.plans.len() {
            failed.push(format!("{sentence}: {heard:?}"));
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}
