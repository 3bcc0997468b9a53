//! Questions in plain sentences: answered from the gateway, and nothing is changed by them.

use serde_json::json;
use usher_model::kind::Kind;

use crate::support::Side;

async fn furnished() -> Side {
    let side = Side::start().await;
    let to = |uri: &str, plugins: serde_json::Value| json!({ "uri": uri, "upstream_id": "conference-api", "plugins": plugins });
    let limit = json!({ "limit-count": { "count": 1, "time_window": 1 } });
    side.put(Kind::Route, "speaker", to("/speaker/*", limit)).await;
    side.put(Kind::Route, "topic", to("/topic/*", json!({ "key-auth": {}, "cors": {} }))).await;
    let mut off = to("/off/*", json!({}));
    off["status"] = json!(0);
    off["labels"] = json!({ "env": "test" });
    side.put(Kind::Route, "off", off).await;
    side.put(Kind::GlobalRule, "keys", json!({ "id": "keys", "plugins": { "key-auth": {} } })).await;
    side.put(Kind::Service, "users", json!({ "upstream_id": "conference-api" })).await;
    side
}

#[tokio::test]
async fn questions_are_answered_and_change_nothing() {
    let side = furnished().await;
    let talk = side.talk().await;
    let before = side.revision();
    for (sentence, has, lacks) in [
        ("show all routes", vec!["3 routes", "speaker  /speaker/*", "topic", "(off)"], ""),
        ("which routes need a key?", vec!["1 route:", "topic", "global rule keys"], "speaker"),
        ("which routes have a limit?", vec!["speaker"], "topic"),
        ("which routes are disabled?", vec!["off"], "speaker"),
        ("show routes with label env=test", vec!["off"], "topic"),
        ("show routes for /topic", vec!["topic"], "speaker"),
        ("which routes go to the conference API?", vec!["speaker", "topic", "service users"], ""),
        ("show consumers", vec!["There are no consumers yet"], ""),
        ("show routes named nothing", vec!["No route fits"], ""),
        ("show the topic route", vec!["route topic", "key-auth"], ""),
        ("show the route for /topic/*", vec!["route topic"], ""),
        ("get upstream conference api", vec!["upstream conference-api", "127.0.0.1:3000"], ""),
        ("explain GET /speaker/1", vec!["GET /speaker/1", "route speaker", "limit-count"], ""),
        ("why does GET /nothing answer 404?", vec!["no route takes it", "404 Route Not Found"], ""),
        ("why do I get 429 on /speaker/1?", vec!["A 429 comes from limit-count"], ""),
        ("why does /speaker/1 answer 418?", vec!["so it comes from the backend"], ""),
        ("send GET /speaker/1", vec!["GET /speaker/1 answers 200", "by route speaker", "untrusted"], ""),
        ("probe /topic/1", vec!["answers 401"], ""),
        ("how is the gateway?", vec!["revision", "listeners"], ""),
        ("what changed?", vec!["tests", "service users"], ""),
        ("show the last 2 changes", vec!["service users", "global rule keys"], "route topic"),
        ("who changed route topic?", vec!["route topic"], "speaker"),
        ("is the route for /off/* disabled?", vec!["Yes: route off is out of service"], ""),
        ("is route speaker disabled?", vec!["No: route speaker is in service"], ""),
        ("does route topic need a key?", vec!["Yes: route topic has key-auth"], ""),
        ("does route speaker need a key?", vec!["No: route speaker has no key-auth", "global rule keys"], ""),
        ("describe speaker", vec!["route speaker", "limit-count"], ""),
        ("quit", vec!["Bye"], ""),
        ("help", vec!["undo that", "you are asked before anything is applied"], ""),
        ("show plugins", vec!["limit-count:", "key-auth:"], ""),
        ("help limit-count", vec!["limit-count: ", "\n  time_window  ("], "{\"type\""),
    ] {
        let heard = talk.ask(sentence).await;
        for part in has {
            assert!(heard.said.contains(part), "{sentence} lacks {part:?}: {}", heard.said);
        }
        assert!(lacks.is_empty() || !heard.said.contains(lacks), "{sentence} has {lacks:?}: {}", heard.said);
        assert!(heard.plans.is_empty() && heard.tools.is_empty());
    }
    assert_eq!(side.revision(), before);
    assert!(side.person.asked().is_empty(), "nobody is asked about a question");
}

#[tokio::test]
async fn what_is_shown_is_what_it_means() {
    let side = furnished().await;
    let talk = side.talk().await;
    talk.ask("show route topic").await;
    talk.ask("remove key auth from it").await;
    assert!(side.route("topic").await["plugins"].get("key-auth").is_none());
}

#[tokio::test]
async fn a_sentence_that_is_not_understood_does_nothing() {
    let side = furnished().await;
    let talk = side.talk().await;
    let before = (side.revision(), side.gateway.requests());
    for sentence in [
        "make it faster",
        "delete all routes",
        "drop everything",
        "",
        "shwo all routes",
        "create a route for /x to y with glitter",
    ] {
        let heard = talk.refused(sentence).await;
        assert!(heard.said.contains("understand"), "{sentence}: {}", heard.said);
    }
    assert_eq!((side.revision(), side.gateway.requests()), before);
}

#[tokio::test]
async fn long_lists_are_read_in_pages_and_say_when_they_are_not_all() {
    let side = Side::start().await;
    for n in 0..130 {
        let route = json!({ "uri": format!("/many/{n:03}"), "upstream_id": "conference-api" });
        side.put(Kind::Route, &format!("many-{n:03}"), route).await;
    }
    let talk = side.talk().await;
    let heard = talk.ask("show all routes").await;
    assert!(heard.said.contains("100 routes:") && heard.said.contains("many-099"), "{}", heard.said);
    assert!(heard.said.contains("These are not all: 130"), "{}", heard.said);
    let some = talk.ask("show routes for /many/12").await;
    assert!(some.said.contains("10 routes:") && some.said.contains("many-129"), "{}", some.said);
}
