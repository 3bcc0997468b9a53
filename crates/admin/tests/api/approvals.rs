//! Plans of agents that wait for a person, and what the person says; and what there is to be configured.

use serde_json::{Value, json};

use crate::bench::{ADMIN, Bench, route};

/// Somebody in front of the console, by an admin key.
async fn person(bench: &Bench) -> String {
    bench.send("POST", "/session", &[("x-usher-console", "1")], json!({ "key": ADMIN })).await.cookie()
}

/// A plan of an agent that needs a person; its id and the agent's token.
async fn wish(bench: &Bench) -> (String, String) {
    let agent = bench.token("chat", json!({})).await;
    bench.put("route", "1", route("/a")).await;
    let body = json!({ "intent": "tidy up", "changes": [{ "op": "delete", "kind": "route", "id": "1" }] });
    let plan = bench.send("POST", "/plans", &[("x-api-key", &agent)], body).await.json();
    assert_eq!(plan["needs_person"], true);
    (plan["id"].as_str().unwrap().to_owned(), agent)
}

#[tokio::test]
async fn a_person_agrees_to_the_plan_of_an_agent_and_the_history_names_both() {
    let bench = Bench::new().await;
    let (plan, agent) = wish(&bench).await;
    let path = format!("/approvals/{plan}");
    // Neither the agent itself nor a program with an admin key is a person.
    for key in [agent.as_str(), ADMIN] {
        for (method, path, body) in
            [("GET", "/approvals", Value::Null), ("POST", &path, json!({ "agree": true }))]
        {
            let seen = bench.send(method, path, &[("x-api-key", key)], body).await;
            assert_eq!(seen.refusal(), (403, "forbidden".to_owned()), "{method} {path}");
        }
    }
    let cookie = person(&bench).await;
    let headers = [("cookie", cookie.as_str()), ("x-usher-console", "1")];
    let listed = bench.send("GET", "/approvals", &headers, Value::Null).await.json();
    assert_eq!((&listed["total"], &listed["plans"][0]["by"]), (&json!(1), &json!("chat")));
    let one = bench.send("GET", &path, &headers, Value::Null).await.json();
    assert_eq!((&one["plan"]["intent"], &one["door"]), (&json!("tidy up"), &json!("api")));
    let decided = bench.send("POST", &path, &headers, json!({ "agree": true })).await;
    assert_eq!((decided.status, &decided.json()["applied"]["in_force"]), (200, &json!(true)));
    let entry = &bench.get("/history").await.json()["entries"][0];
    assert_eq!(entry["principal"], "chat");
    assert_eq!(entry["approval"], "person: ops, in the console");
    // Who comes second hears what became of it.
    for (method, body) in
        [("GET", Value::Null), ("POST", json!({ "agree": true })), ("POST", json!({ "agree": false }))]
    {
        let second = bench.send(method, &path, &headers, body).await;
        assert_eq!(second.refusal(), (404, "unknown_plan".to_owned()));
        assert!(
            second.text.contains("ops agreed to this plan before you: it was applied as revision"),
            "{}",
            second.text
        );
        assert!(second.next().contains("look at the history"), "{}", second.text);
    }
    let again =
        bench.send("POST", &format!("/plans/{plan}/apply"), &[("x-api-key", &agent)], json!({})).await;
    assert!(again.text.contains("was applied already"), "{}", again.text);
}

#[tokio::test]
async fn a_declined_plan_is_gone_and_the_agent_hears_why() {
    let bench = Bench::new().await;
    let (plan, agent) = wish(&bench).await;
    let cookie = person(&bench).await;
    let headers = [("cookie", cookie.as_str()), ("x-usher-console", "1")];
    let path = format!("/approvals/{plan}");
    assert_eq!(bench.send("POST", &path, &headers, json!({ "agree": false })).await.json(), json!({}));
    let told = bench.send("POST", &format!("/plans/{plan}/apply"), &[("x-api-key", &agent)], json!({})).await;
    assert!(told.text.contains("a person declined"), "{}", told.text);
    let second = bench.send("POST", &path, &headers, json!({ "agree": true })).await;
    assert!(
        second.text.contains("ops declined this plan before you: nothing was changed"),
        "{}",
        second.text
    );
    assert_eq!(bench.get("/objects/routes").await.json()["total"], 1);
    let told = bench.get("/audit?order=newest&limit=1").await.json()["records"][0].clone();
    assert_eq!(
        (&told["event"], &told["principal"], &told["plan"]),
        (&json!("declined"), &json!("ops"), &json!(plan))
    );
    assert_eq!(bench.get("/audit?outcome=denied").await.json()["records"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn a_plan_that_became_stale_says_so_before_anybody_agrees() {
    let bench = Bench::new().await;
    let (plan, _) = wish(&bench).await;
    let cookie = person(&bench).await;
    let headers = [("cookie", cookie.as_str()), ("x-usher-console", "1")];
    let path = format!("/approvals/{plan}");
    // What it doesn't touch may change.
    bench.put("route", "2", route("/b")).await;
    let seen = bench.send("GET", &path, &headers, Value::Null).await.json();
    assert_eq!(seen.get("stale"), None, "{seen}");
    bench.put("route", "1", route("/c")).await;
    let listed = bench.send("GET", "/approvals", &headers, Value::Null).await.json();
    let one = bench.send("GET", &path, &headers, Value::Null).await.json();
    for seen in [&listed["plans"][0], &one] {
        assert!(seen["stale"].as_str().unwrap().contains("route 1 was changed by revision"), "{seen}");
    }
    let refused = bench.send("POST", &path, &headers, json!({ "agree": true })).await;
    assert_eq!(refused.refusal(), (409, "stale".to_owned()));
    // The fresh plan waits in its place.
    let fresh = refused.json()["plan"]["id"].as_str().unwrap().to_owned();
    let listed = bench.send("GET", "/approvals", &headers, Value::Null).await.json();
    assert_eq!((&listed["total"], &listed["plans"][0]["plan"]["id"]), (&json!(1), &json!(fresh)));
    let gone = bench.send("GET", &path, &headers, Value::Null).await;
    assert!(gone.text.contains("this plan is stale"), "{}", gone.text);
}

#[tokio::test]
async fn plugins_and_schemas_are_told_as_forms_need_them() {
    let bench = Bench::new().await;
    let plugins = bench.get("/plugins").await.json();
    let name = plugins["plugins"][0]["name"].as_str().unwrap().to_owned();
    let one = bench.get(&format!("/plugins/{name}")).await.json();
    assert!(one["schema"]["properties"].is_object() && one["description"].is_string(), "{one}");
    assert_eq!(bench.get("/plugins/nothing").await.refusal(), (404, "not_found".to_owned()));
    let schema = bench.get("/schemas/routes").await.json();
    assert_eq!((&schema["kind"], &schema["schema"]["type"]), (&json!("route"), &json!("object")));
}
