//! Credentials that no schema marks: in plain headers of plugin bodies, and in the URLs of sentences.

use serde_json::{Value, json};
use usher_admin::service::HistoryQuery;
use usher_model::change::Edit;

use crate::bench::{Bench, admin, agent, nodes, put, route, viewer, wanted};

fn asks(more: Value) -> Edit {
    let mut body = json!({
        "uri": "http://127.0.0.1:9/auth",
        "extra_headers": { "Authorization": "Bearer canary", "X-Client": "$remote_addr", "Cookie": "${http_cookie}", "x.api.password": "canary" },
    });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    put(route("1"), json!({ "uri": "/1", "upstream": nodes(), "plugins": { "forward-auth": body } }))
}

fn hidden(what: &str, text: &str) {
    assert!(!text.contains("canary"), "{what} gives a credential away: {text}");
}

#[tokio::test]
async fn credentials_in_headers_are_masked_for_readers_and_sealed_in_the_store() {
    let bench = Bench::new().await;
    let plan = bench.plan([asks(json!({}))]).await.unwrap();
    hidden("a plan", &format!("{plan:?} {}", plan.text()));
    hidden("what was applied", &format!("{:?}", bench.agree(&plan).await.unwrap()));
    let plan = bench.plan([asks(json!({ "request_headers": ["Authorization"] }))]).await.unwrap();
    hidden("a change", &format!("{plan:?} {}", plan.text()));
    bench.agree(&plan).await.unwrap();
    for who in [viewer(), agent()] {
        let seen = bench.service.get(&who, &route("1")).await.unwrap().unwrap();
        hidden("a get", &seen.value.to_string());
        hidden("a list", &bench.service.list(&who, route("1").kind).await.unwrap()[0].value.to_string());
    }
    let history = bench.service.history(&admin(), HistoryQuery::default()).await.unwrap();
    hidden("the history", &format!("{history:?}"));
    for entry in bench.store.list("/").await.unwrap().entries {
        hidden("the store", &String::from_utf8_lossy(&entry.value));
    }
    let headers = bench.value(route("1")).await["plugins"]["forward-auth"]["extra_headers"].clone();
    assert_eq!(
        (&headers["Authorization"], &headers["x.api.password"]),
        (&json!("Bearer canary"), &json!("canary"))
    );
}

#[tokio::test]
async fn a_mask_written_back_keeps_the_header_and_variables_stay_readable() {
    let bench = Bench::new().await;
    bench.service.write(&admin(), wanted([asks(json!({}))])).await.unwrap();
    let mut seen = bench.service.get(&agent(), &route("1")).await.unwrap().unwrap().value;
    let headers = &mut seen["plugins"]["forward-auth"]["extra_headers"];
    assert_eq!(headers["Cookie"], "***".to_owned() + &headers["Cookie"].as_str().unwrap()[3..]);
    seen["desc"] = json!("changed");
    let plan = bench.plan([put(route("1"), seen)]).await.unwrap();
    bench.agree(&plan).await.unwrap();
    let clear = bench.value(route("1")).await;
    let headers = &clear["plugins"]["forward-auth"]["extra_headers"];
    assert_eq!(headers["Authorization"], "Bearer canary");
    assert_eq!(headers["Cookie"], "${http_cookie}");
    let foreign = asks(json!({ "extra_headers": { "Authorization": "***0a0b0c" } }));
    let error = bench.plan([foreign]).await.unwrap_err().to_string();
    assert!(error.contains("holds a mask that belongs to no stored value"), "{error}");
    // Without a dotted name beside them, variables are no secret.
    bench
        .service
        .write(&admin(), wanted([asks(json!({ "extra_headers": { "Cookie": "${http_cookie}" } }))]))
        .await
        .unwrap();
    let seen = bench.service.get(&agent(), &route("1")).await.unwrap().unwrap().value;
    assert_eq!(seen["plugins"]["forward-auth"]["extra_headers"]["Cookie"], "${http_cookie}");
}

#[tokio::test]
async fn no_error_repeats_the_user_of_a_url() {
    let bench = Bench::new().await;
    let error =
        bench.plan([asks(json!({ "uri": "http://user:canary@127.0.0.1/refuse" }))]).await.unwrap_err();
    let told = format!("{error} {error:?}");
    assert!(told.contains("http://***@127.0.0.1/refuse") && !told.contains("canary"), "{told}");
}
