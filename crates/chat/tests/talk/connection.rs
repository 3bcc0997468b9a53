//! The connection: errors that name the address and the next step, and questions that reach the person once.

use std::sync::Arc;

use axum::Router;
use serde_json::json;
use tokio::net::TcpListener;
use usher_chat::client::{ClientError, Connection, Person};

use crate::support::{Side, Told, install_crypto};

fn person() -> Arc<dyn Person> {
    Arc::new(Told::default())
}

async fn error_at(url: &str) -> ClientError {
    match Connection::open(url, person()).await {
        Ok(_) => panic!("{url} is no Usher"),
        Err(error) => error,
    }
}

#[tokio::test]
async fn where_nobody_answers_the_error_says_where_and_what_to_do() {
    install_crypto();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = error_at(&format!("http://{free}")).await;
    assert!(matches!(error, ClientError::Unreachable { .. }), "{error:?}");
    let text = error.to_string();
    assert!(
        text.contains(&free.to_string()) && text.contains("usher serve") && text.contains("--url"),
        "{text}"
    );
    assert!(text.contains("could not reach") && text.contains("refused"), "{text}");
    let secret = error_at(&format!("http://jack:s3cret@{free}")).await.to_string();
    assert!(!secret.contains("s3cret"), "{secret}");
}

#[tokio::test]
async fn somebody_else_is_told_apart() {
    install_crypto();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        axum::serve(listener, Router::new().fallback(|| async { "<html>hello</html>" })).await.unwrap();
    });
    let error = error_at(&format!("http://{address}")).await;
    assert!(matches!(error, ClientError::Foreign { .. }), "{error:?}");
    assert!(error.to_string().contains(&address.to_string()), "{error}");
    task.abort();
    assert!(matches!(error_at("ftp://127.0.0.1").await, ClientError::Address { .. }));
}

#[tokio::test]
async fn tools_are_listed_called_and_refuse_in_their_own_words() {
    let side = Side::start().await;
    let connection = side.connect().await;
    let tools = connection.tools().await.unwrap();
    assert!(tools.iter().any(|tool| tool.name == "gateway_plan" && tool.input["type"] == "object"));
    let reply = connection.call("gateway_overview", json!({})).await.unwrap();
    assert!(reply.structured["revision"].is_u64() && reply.text.contains("revision"));
    for (tool, arguments) in
        [("gateway_get", json!({ "kind": "route", "id": "x" })), ("gateway_nothing", json!({}))]
    {
        let error = connection.call(tool, arguments).await.unwrap_err();
        assert!(matches!(error, ClientError::Tool { .. }), "{error:?}");
    }
}

/// A plan of high risk, made without the assistant.
async fn planned(connection: &Connection) -> String {
    let changes = json!([{ "op": "delete", "kind": "upstream", "id": "conference-api", "body_json": null }]);
    let plan = connection
        .call("gateway_plan", json!({ "changes": changes, "intent": "" }))
        .await
        .unwrap()
        .structured;
    assert_eq!(plan["needs_person"], true);
    plan["plan_id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_plan_that_nobody_agreed_to_is_asked_about_and_one_that_was_is_not() {
    let side = Side::start().await;
    let connection = side.connect().await;
    let plan = planned(&connection).await;
    connection.apply(&plan).await.unwrap();
    assert!(side.person.asked().is_empty(), "apply stands for a yes that was given");

    let side = Side::start().await;
    let connection = side.connect().await;
    let plan = planned(&connection).await;
    connection.call("gateway_apply", json!({ "plan_id": plan })).await.unwrap();
    let asked = side.person.asked();
    assert!(
        asked.len() == 1 && asked[0].contains("conference-api") && asked[0].ends_with("Apply this plan?"),
        "{asked:?}"
    );

    let side = Side::start().await;
    side.person.declines();
    let connection = side.connect().await;
    let plan = planned(&connection).await;
    let before = side.newest().await.revision;
    let error = connection.call("gateway_apply", json!({ "plan_id": plan })).await.unwrap_err();
    assert!(error.to_string().contains("did not agree"), "{error}");
    assert_eq!(side.newest().await.revision, before);
    assert_eq!(side.waiting(), 0, "what a person said no to waits for nobody else");
}
