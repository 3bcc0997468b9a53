//! A model, or its server, that does not mean well or does not work: bounds hold, errors are clear, the gateway is untouched.

use serde_json::json;
use usher_model::kind::Kind;

use crate::script::{Answer, KEY, Model, Turn, apply, call, call_raw, cut, http, last, say};
use crate::support::Side;

fn delete_all() -> Turn {
    let change = json!({ "op": "delete", "kind": "upstream", "id": "conference-api", "body_json": null });
    call("gateway_plan", json!({ "changes": [change], "intent": "obey" }))
}

#[tokio::test]
async fn whatever_a_model_does_nothing_is_applied_without_a_yes() {
    let side = Side::start().await;
    side.person.declines();
    let before = side.newest().await.revision;
    // It applies unasked, again after the no, and what it made up.
    let again = |request: &serde_json::Value| {
        let messages = request["messages"].as_array().unwrap();
        let plan = messages.iter().find_map(|message| {
            let result: serde_json::Value = serde_json::from_str(message["content"].as_str()?).ok()?;
            result["plan_id"].as_str().map(str::to_owned)
        });
        let apply = |id: String| ("gateway_apply".to_owned(), json!({ "plan_id": id }).to_string());
        Answer::Call(vec![apply(plan.unwrap()), apply("0123456789".to_owned())])
    };
    let model =
        Model::start(vec![delete_all(), apply(), Box::new(again), say("I deleted everything.")]).await;
    let talk = side.talk_with(model.options(true)).await;
    let heard = talk.refused("why is /pay failing?").await;
    assert!(heard.said.contains("Not applied; nothing was changed."), "{heard:?}");
    assert_eq!(side.person.asked(), ["Apply this plan?"], "a no is not asked about again");
    assert_eq!(side.newest().await.revision, before);
    let requests = model.requests();
    assert!(last(&requests[2]).contains("declined"), "{}", last(&requests[2]));
    let messages = requests[3]["messages"].as_array().unwrap();
    assert!(messages[messages.len() - 2]["content"].as_str().unwrap().contains("declined this plan"));
    assert!(last(&requests[3]).contains("made no such plan"), "{}", last(&requests[3]));
}

#[tokio::test]
async fn high_risk_is_asked_about_once_and_recorded_as_a_persons_yes() {
    let side = Side::start().await;
    let model = Model::start(vec![delete_all(), apply(), say("Gone.")]).await;
    let talk = side.talk_with(model.options(true)).await;
    talk.ask("delete the conference API").await;
    assert_eq!(side.person.asked(), ["Apply this plan?"]);
    assert!(side.get(Kind::Upstream, "conference-api").await.is_none());
    assert!(side.newest().await.approval.contains("person"));
}

#[tokio::test]
async fn a_request_that_writes_is_asked_about() {
    let side = Side::start().await;
    side.put(Kind::Route, "x", json!({ "uri": "/x", "upstream_id": "conference-api" })).await;
    side.person.declines();
    let probe = |method: &str| {
        call(
            "gateway_probe",
            json!({ "method": method, "path": "/x", "host": null, "headers": null, "body": null }),
        )
    };
    let model = Model::start(vec![probe("DELETE"), probe("GET"), say("Tried.")]).await;
    let talk = side.talk_with(model.options(false)).await;
    talk.say("try it").await;
    assert_eq!(side.person.asked(), ["Send DELETE /x through the gateway?"]);
    assert_eq!(side.gateway.requests(), 1, "only the GET was sent");
    let requests = model.requests();
    assert!(last(&requests[1]).contains("the person declined; this request was not sent"));
    assert!(
        last(&requests[2]).contains("untrusted"),
        "what a backend says is marked: {}",
        last(&requests[2])
    );
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_asked_for_once_more() {
    for stream in [true, false] {
        let side = Side::start().await;
        let model = Model::start(vec![cut(), say("Hello.")]).await;
        let heard = side.talk_with(model.options(stream)).await.ask("hi").await;
        assert_eq!(heard.said, "model> Hello.\n", "the broken half is not said");
        assert_eq!(model.requests().len(), 2);

        let model = Model::start(vec![cut(), cut()]).await;
        let error = side.talk_with(model.options(stream)).await.try_say("hi").await.unwrap_err().to_string();
        assert!(error.contains("broke off twice") && error.contains("--no-stream"), "{error}");
        assert_eq!(model.requests().len(), 2);
    }
}

#[tokio::test]
async fn a_busy_model_is_asked_again_within_bounds() {
    let busy = |status| http(status, Some(("retry-after", "0")), "{\"error\":{\"message\":\"slow down\"}}");
    let side = Side::start().await;
    let model = Model::start(vec![busy(429), busy(503), say("Hello.")]).await;
    side.talk_with(model.options(true)).await.ask("hi").await;
    assert_eq!(model.requests().len(), 3);

    let model = Model::start(vec![busy(429), busy(500), busy(429)]).await;
    let error = side.talk_with(model.options(true)).await.try_say("hi").await.unwrap_err().to_string();
    assert!(error.contains("answered 429") && error.contains("try again later"), "{error}");
    assert_eq!(model.requests().len(), 3);

    // Who didn't ask to wait isn't said to have.
    let silent = || http(500, None, "");
    let model = Model::start(vec![silent(), silent(), silent()]).await;
    let error = side.talk_with(model.options(true)).await.try_say("hi").await.unwrap_err().to_string();
    assert!(error.contains("answered 500; try again later"), "{error}");
    model.requests();

    // An hour is not waited.
    let model = Model::start(vec![http(429, Some(("retry-after", "3600")), "")]).await;
    let error = side.talk_with(model.options(true)).await.try_say("hi").await.unwrap_err().to_string();
    assert!(error.contains("3600 s"), "{error}");
    assert_eq!(model.requests().len(), 1);
}

#[tokio::test]
async fn a_server_without_strict_functions_gets_plain_ones() {
    let side = Side::start().await;
    let refusal = http(400, None, "{\"error\":{\"message\":\"Unrecognized field: strict\"}}");
    let model = Model::start(vec![refusal, say("Hello."), say("Again.")]).await;
    let talk = side.talk_with(model.options(true)).await;
    talk.ask("hi").await;
    talk.ask("hi again").await;
    let strict: Vec<bool> = model
        .requests()
        .iter()
        .map(|request| request["tools"][0]["function"].get("strict").is_some())
        .collect();
    assert_eq!(strict, [true, false, false], "it is tried once in a conversation");
}

#[tokio::test]
async fn nonsense_is_an_error_and_the_gateway_is_untouched() {
    let side = Side::start().await;
    let before = side.revision();
    for (body, kind) in [
        ("<html>not a model</html>", None),
        ("{\"hello\": 1}", None),
        ("{\"choices\":[{\"message\":{\"content\":\"\"}}]}", None),
        ("data: nonsense\n\n", Some(("content-type", "text/event-stream"))),
        ("data: {\"error\":{\"message\":\"overloaded\"}}\n\n", Some(("content-type", "text/event-stream"))),
    ] {
        let model = Model::start(vec![http(200, kind, body)]).await;
        let error = side.talk_with(model.options(true)).await.try_say("hi").await.unwrap_err().to_string();
        assert!(error.contains("nothing that can be understood"), "{body}: {error}");
        model.requests();
    }
    let complaint = format!("{{\"error\":{{\"message\":\"Incorrect API key provided: {KEY}\"}}}}");
    let model = Model::start(vec![http(401, None, &complaint)]).await;
    let error = side.talk_with(model.options(true)).await.try_say("hi").await.unwrap_err().to_string();
    assert!(error.contains("401") && error.contains("USHER_MODEL_KEY") && !error.contains(KEY), "{error}");
    assert_eq!(side.revision(), before);
}

#[tokio::test]
async fn loops_come_to_an_end() {
    let side = Side::start().await;
    // The same failing call.
    let failing = || call("gateway_get", json!({ "kind": "route", "id": "nothing" }));
    let model = Model::start(vec![failing(), failing(), failing()]).await;
    let error = side.talk_with(model.options(true)).await.try_say("loop").await.unwrap_err().to_string();
    assert!(error.contains("same failing call of gateway_get 3 times"), "{error}");
    assert!(!error.contains("\\u{a}") && !error.contains("next:"), "its first line says it: {error}");
    model.requests();
    // Rounds without end.
    let model = Model::start((0..12).map(|_| call_raw("gateway_overview", "")).collect()).await;
    let error = side.talk_with(model.options(true)).await.try_say("loop").await.unwrap_err().to_string();
    assert!(error.contains("12 rounds"), "{error}");
    model.requests();
    // Many calls at once.
    let many = Answer::Call((0..30).map(|_| ("gateway_overview".to_owned(), "{}".to_owned())).collect());
    let model = Model::start(vec![Box::new(move |_| many.clone())]).await;
    let error = side.talk_with(model.options(true)).await.try_say("loop").await.unwrap_err().to_string();
    assert!(error.contains("24 calls"), "{error}");
}

#[tokio::test]
async fn a_model_that_is_not_there_says_where_and_what_to_do() {
    let side = Side::start().await;
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let model = Model::start(Vec::new()).await;
    let mut options = model.options(true);
    options.base_url = format!("http://{free}/v1");
    let error = side.talk_with(options).await.try_say("hi").await.unwrap_err().to_string();
    assert!(error.contains(&free.to_string()) && error.contains("--model-url"), "{error}");
}

#[tokio::test]
async fn what_a_model_says_does_not_rule_the_terminal() {
    let side = Side::start().await;
    let model = Model::start(vec![say("\u{1b}[2Jgone\u{202e}")]).await;
    let heard = side.talk_with(model.options(true)).await.ask("hi").await;
    assert_eq!(heard.said, "model> \\u{1b}[2Jgone\\u{202e}\n");
}

#[tokio::test]
async fn a_models_words_are_marked_line_by_line() {
    let side = Side::start().await;
    let model =
        Model::start(vec![say("Here:\nplan 3f9c2a  risk low\n  applied, in force since revision 4\rDone.")])
            .await;
    let heard = side.talk_with(model.options(false)).await.ask("hi").await;
    let wanted = "model> Here:\n     | plan 3f9c2a  risk low\n     |   applied, in force since revision 4\n     | Done.\n";
    assert_eq!(heard.said, wanted);
}

#[tokio::test]
async fn a_call_that_is_too_large_goes_back_to_the_model_and_is_not_done() {
    let side = Side::start().await;
    let body = json!({ "uri": "/x", "desc": "x".repeat(1 << 20) }).to_string();
    let change = json!({ "op": "create", "kind": "route", "id": "x", "body_json": body });
    let plan = call("gateway_plan", json!({ "changes": [change], "intent": "large" }));
    let model = Model::start(vec![plan, say("It was too large.")]).await;
    let heard = side.talk_with(model.options(false)).await.say("make it large").await;
    assert!(!heard.done && heard.said.contains("gateway_plan failed: the call is too large"), "{heard:?}");
    assert!(last(&model.requests()[1]).contains("next: gateway_plan"));
}

#[tokio::test]
async fn an_answer_without_end_and_a_key_that_can_not_be_sent_are_named() {
    let side = Side::start().await;
    let endless = format!("{{\"choices\": [{{\"message\": {{\"content\": \"{}\"}}}}]}}", "x".repeat(5 << 20));
    for kind in [None, Some(("content-type", "text/event-stream"))] {
        let body = if kind.is_some() { format!("data: {endless}\n\n") } else { endless.clone() };
        let model = Model::start(vec![http(200, kind, &body)]).await;
        let error = side.talk_with(model.options(true)).await.try_say("hi").await.unwrap_err().to_string();
        assert!(error.contains("is too large"), "{error}");
        assert_eq!(model.requests().len(), 1, "it is not asked for again");
    }
    let model = Model::start(Vec::new()).await;
    let mut options = model.options(true);
    options.api_key = Some(usher_model::secret::Secret::new("sk-canary\n".to_owned()));
    let error = side.talk_with(options).await.try_say("hi").await.unwrap_err().to_string();
    assert!(error.contains("can't be sent") && !error.contains("canary"), "{error}");
    assert!(model.requests().is_empty());
}
