//! A model that means well: it finds its way, repairs what it got wrong, and changes nothing without the person.

use serde_json::{Value, json};
use usher_model::kind::Kind;

use crate::script::{Answer, KEY, Model, apply, call, call_raw, last, say};
use crate::support::Side;

fn plan_with(plugin: &str) -> Value {
    let body = json!({ "uri": "/speaker/*", "upstream_id": "conference-api", "plugins": { plugin: { "count": 10, "time_window": 60 } } });
    let change = json!({ "op": "create", "kind": "route", "id": "speaker", "body_json": body.to_string() });
    json!({ "changes": [change], "intent": "a route for speakers" })
}

#[tokio::test]
async fn a_model_looks_plans_applies_and_reports_streamed_or_whole() {
    for stream in [true, false] {
        let side = Side::start().await;
        let model = Model::start(vec![
            call("gateway_find", json!({ "kind": "upstream", "text": "conference", "label": null, "cursor": null, "limit": null })),
            call("gateway_plan", plan_with("limit-count")),
            apply(),
            say("The route speaker is there now."),
        ])
        .await;
        let talk = side.talk_with(model.options(stream)).await;
        let heard = talk.ask("put the conference API behind /speaker/*").await;
        assert_eq!(heard.tools, ["gateway_find", "gateway_plan", "gateway_apply"]);
        assert_eq!((heard.plans.len(), heard.applied.len()), (1, 1), "shown once, applied once");
        assert!(
            heard.said.contains("Done. GET /speaker/1 answers 200.\nmodel> The route speaker is there now."),
            "{heard:?}"
        );
        assert_eq!(side.person.asked(), ["Apply this plan?"]);
        assert_eq!(side.route("speaker").await["plugins"]["limit-count"]["count"], 10);

        let requests = model.requests();
        assert_eq!(requests[0]["stream"], stream);
        assert_eq!(requests[0]["model"], "scripted");
        assert_eq!(requests[0]["messages"][0]["role"], "system");
        assert_eq!(requests[0]["messages"][1]["content"], "put the conference API behind /speaker/*");
        let tools = requests[0]["tools"].as_array().unwrap();
        assert!(tools.len() >= 10 && tools.iter().all(|tool| tool["function"]["strict"] == true));
        assert!(last(&requests[1]).contains("conference-api"), "the result reaches the model");
        assert!(last(&requests[3]).contains("GET /speaker/1 answers 200"), "so does the verification");
        assert!(!json!(requests).to_string().contains(KEY), "the key is in the header alone");
    }
}

#[tokio::test]
async fn a_wrong_plugin_name_and_bad_arguments_are_repaired() {
    let side = Side::start().await;
    let model = Model::start(vec![
        call("gateway_plan", plan_with("limit-cout")),
        call_raw("gateway_plan", "{\"changes\": [{"),
        call_raw("gateway_plann", "{}"),
        call("gateway_plan", plan_with("limit-count")),
        apply(),
        say("Done."),
    ])
    .await;
    let talk = side.talk_with(model.options(true)).await;
    let heard = talk.ask("put the conference API behind /speaker/*").await;
    assert_eq!(heard.applied.len(), 1);
    for failure in ["gateway_plan failed: ", "gateway_plann failed: "] {
        assert!(heard.said.contains(failure), "the person sees it: {}", heard.said);
    }
    assert!(!heard.said.contains("next:") && !heard.said.contains("\\u{a}"), "{}", heard.said);
    let requests = model.requests();
    for (at, wanted) in [(1, "limit-count"), (2, "no JSON"), (3, "did you mean: gateway_plan")] {
        let read = last(&requests[at]);
        assert!(read.starts_with("error: ") && read.contains(wanted), "{read}");
    }
    // What goes back into the conversation is JSON again.
    let sent = &requests[2]["messages"].as_array().unwrap()[4]["tool_calls"][0]["function"]["arguments"];
    assert!(serde_json::from_str::<Value>(sent.as_str().unwrap()).is_ok(), "{sent}");
}

#[tokio::test]
async fn parallel_calls_are_made_in_order_and_answered_by_their_ids() {
    let side = Side::start().await;
    let both = Answer::Call(vec![
        ("gateway_overview".to_owned(), "{}".to_owned()),
        ("gateway_get".to_owned(), json!({ "kind": "upstream", "id": "conference API" }).to_string()),
    ]);
    let model = Model::start(vec![Box::new(move |_| both.clone()), say("One upstream.")]).await;
    let talk = side.talk_with(model.options(true)).await;
    let heard = talk.ask("what is there?").await;
    assert_eq!(heard.tools, ["gateway_overview", "gateway_get"]);
    let requests = model.requests();
    let messages = requests[1]["messages"].as_array().unwrap();
    let [.., first, second] = messages.as_slice() else { panic!("{messages:?}") };
    assert_eq!((&first["tool_call_id"], &second["tool_call_id"]), (&json!("c0"), &json!("c1")));
    assert!(second["content"].as_str().unwrap().contains("127.0.0.1:3000"));
}

#[tokio::test]
async fn a_conversation_is_remembered() {
    let side = Side::start().await;
    let model = Model::start(vec![say("Hello."), say("You said hi.")]).await;
    let talk = side.talk_with(model.options(false)).await;
    talk.ask("hi").await;
    talk.ask("what did I say?").await;
    let requests = model.requests();
    let told: Vec<&str> = requests[1]["messages"]
        .as_array()
        .unwrap()
        .iter()
        .skip(1)
        .map(|message| message["content"].as_str().unwrap())
        .collect();
    assert_eq!(told, ["hi", "Hello.", "what did I say?"]);
}

#[tokio::test]
async fn a_plan_of_an_earlier_sentence_is_shown_again_before_it_is_applied() {
    let side = Side::start().await;
    let id = std::sync::Arc::new(std::sync::Mutex::new(String::new()));
    let kept = std::sync::Arc::clone(&id);
    let model = Model::start(vec![
        call("gateway_plan", plan_with("limit-count")),
        Box::new(move |request| {
            let result: Value = serde_json::from_str(last(request)).unwrap();
            result["plan_id"].as_str().unwrap().clone_into(&mut kept.lock().unwrap());
            Answer::Say("Shall I?".to_owned())
        }),
        Box::new(move |_| {
            let arguments = json!({ "plan_id": *id.lock().unwrap() }).to_string();
            Answer::Call(vec![("gateway_apply".to_owned(), arguments)])
        }),
        say("Done."),
    ])
    .await;
    let talk = side.talk_with(model.options(true)).await;
    assert_eq!(talk.ask("plan a route").await.plans.len(), 1);
    assert!(side.get(Kind::Route, "speaker").await.is_none());
    let heard = talk.ask("yes").await;
    assert_eq!((heard.plans.len(), heard.applied.len()), (1, 1));
    assert_eq!(side.person.asked(), ["Apply this plan?"]);
}
