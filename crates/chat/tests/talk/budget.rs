//! What a model may spend: in one conversation, and by one user on one day.

use std::sync::Arc;

use serde_json::json;
use usher_chat::assistant::{Bounds, Budget, Purse};

use crate::script::{Model, call, say};
use crate::support::Side;

fn find() -> crate::script::Turn {
    call(
        "gateway_find",
        json!({ "kind": "route", "text": null, "label": null, "cursor": null, "limit": null }),
    )
}

#[tokio::test]
async fn a_conversation_ends_at_its_calls_with_a_word_on_what_to_do() {
    let side = Side::start().await;
    let model = Model::start(vec![find(), find()]).await;
    let calls = Bounds { calls: Some(2), tokens: None };
    let purse = Arc::new(Purse::new(Budget { conversation: calls, ..Budget::default() }));
    let talk = side.talk_within(model.options(true), &purse, "jack", false).await;
    let error = talk.try_say("show all routes").await.unwrap_err().to_string();
    assert!(
        error.contains("2 calls of tools for this conversation is spent")
            && error.contains("chat.model.budget"),
        "{error}"
    );
    assert_eq!(model.requests().len(), 2, "a model whose calls would not be made is not asked");
}

#[tokio::test]
async fn a_day_of_one_user_is_spent_across_conversations_and_nobody_elses() {
    let side = Side::start().await;
    let model = Model::start(vec![say("Hello."), say("Hello, Mary.")]).await;
    let tokens = Bounds { tokens: Some(100), calls: None };
    let purse = Arc::new(Purse::new(Budget { day: tokens, ..Budget::default() }));
    let first = side.talk_within(model.options(false), &purse, "jack", false).await;
    let heard = first.ask("hello").await;
    assert!(heard.said.contains("(Spent: today: ") && heard.said.contains("of 100 tokens"), "{heard:?}");
    let second = side.talk_within(model.options(false), &purse, "jack", false).await;
    let error = second.try_say("hello").await.unwrap_err().to_string();
    assert!(error.contains("100 tokens for you today is spent"), "{error}");
    side.talk_within(model.options(false), &purse, "mary", false).await.ask("hello").await;
    assert_eq!(model.requests().len(), 2, "jack's second sentence reached no model");
}

#[tokio::test]
async fn what_was_spent_is_told_only_where_it_is_asked_for_or_near() {
    let side = Side::start().await;
    for (tells_all, bound, told) in [
        (false, None, false),
        (true, None, true),
        (false, Some(1_000_000), false),
        (false, Some(2_000), true),
    ] {
        let model = Model::start(vec![say("Hello.")]).await;
        let conversation = Bounds { tokens: bound, calls: None };
        let purse = Arc::new(Purse::new(Budget { conversation, ..Budget::default() }));
        let heard = side.talk_within(model.options(true), &purse, "jack", tells_all).await.ask("hello").await;
        assert_eq!(
            heard.said.contains("(Spent: this conversation: "),
            told,
            "{tells_all} {bound:?}: {}",
            heard.said
        );
    }
}
