//! How people come into the console: the first user, logins, what a session may do from where, and when it ends.

use serde_json::{Value, json};

use crate::bench::{ADMIN, Bench, CODE, VIEWER, route};

const MARK: (&str, &str) = ("x-usher-console", "1");

/// Makes the first user; the session's cookie.
async fn ada(bench: &Bench) -> String {
    let body = json!({ "code": CODE, "name": "ada", "password": "correct horse" });
    let seen = bench.send("POST", "/setup", &[MARK], body).await;
    assert_eq!(seen.status, 201, "{}", seen.text);
    assert_eq!((&seen.json()["you"]["name"], &seen.json()["you"]["role"]), (&json!("ada"), &json!("admin")));
    let set = seen.headers["set-cookie"].to_str().unwrap().to_owned();
    for part in ["HttpOnly", "SameSite=Strict", "Path=/usher/v1", "Max-Age=43200"] {
        assert!(set.contains(part), "{part} is missing in {set}");
    }
    assert!(!seen.text.contains("correct horse"));
    seen.cookie()
}

#[tokio::test]
async fn the_one_time_code_makes_one_first_user() {
    let bench = Bench::new().await;
    assert_eq!(bench.send("GET", "/session", &[], Value::Null).await.json(), json!({ "setup": true }));
    let wrong = json!({ "code": "AAAA-AAAA-AAAA-AAAA", "name": "ada", "password": "correct horse" });
    assert_eq!(
        bench.send("POST", "/setup", &[MARK], wrong).await.refusal(),
        (401, "unauthorized".to_owned())
    );
    let short = json!({ "code": CODE, "name": "ada", "password": "short" });
    assert_eq!(bench.send("POST", "/setup", &[MARK], short).await.refusal().0, 422);
    let cookie = ada(&bench).await;
    let again = json!({ "code": CODE, "name": "eve", "password": "correct horse" });
    assert_eq!(bench.send("POST", "/setup", &[MARK], again).await.refusal().0, 403);
    let seen = bench.send("GET", "/session", &[("cookie", &cookie)], Value::Null).await.json();
    assert_eq!((&seen["you"]["by"], &seen["setup"]), (&json!("user"), &json!(false)));
    assert_eq!(bench.get("/users").await.json()["users"][0]["name"], "ada");
}

#[tokio::test]
async fn a_user_or_an_admin_key_opens_a_session_and_nothing_else_does() {
    let bench = Bench::new().await;
    ada(&bench).await;
    let token = bench.token("editor", json!({})).await;
    for (body, wanted) in [
        (json!({ "user": "ada", "password": "correct horse" }), 200),
        (json!({ "user": "ada", "password": "correct hors" }), 401),
        (json!({ "user": "nobody", "password": "correct horse" }), 401),
        (json!({ "key": ADMIN }), 200),
        (json!({ "key": VIEWER }), 200),
        (json!({ "key": "wrong" }), 401),
        (json!({ "key": token }), 401),
        (json!({ "user": "ada" }), 422),
        (json!({ "user": "ada", "password": "x", "key": ADMIN }), 422),
        (json!({ "name": "ada" }), 422),
        (json!({}), 422),
    ] {
        let seen = bench.send("POST", "/session", &[MARK], body.clone()).await;
        assert_eq!(seen.status, wanted, "{body}: {}", seen.text);
        assert_eq!(seen.headers.contains_key("set-cookie"), wanted == 200, "{body}");
    }
    // A page of another site can't make somebody log in as somebody else.
    let seen = bench.send("POST", "/session", &[], json!({ "key": ADMIN })).await;
    assert_eq!(seen.refusal(), (403, "forbidden".to_owned()));
}

#[tokio::test]
async fn a_session_changes_things_only_for_the_consoles_own_pages() {
    let bench = Bench::new().await;
    let cookie = ada(&bench).await;
    let cookie = ("cookie", cookie.as_str());
    let change = json!({ "changes": [{ "op": "put", "kind": "route", "id": "1", "value": route("/a") }] });
    for (headers, wanted) in [
        (vec![cookie, MARK], 201),
        (vec![cookie, MARK, ("sec-fetch-site", "same-origin")], 201),
        (vec![cookie], 403),
        (vec![cookie, MARK, ("sec-fetch-site", "same-site")], 403),
        (vec![cookie, MARK, ("sec-fetch-site", "cross-site")], 403),
        (vec![cookie, MARK, ("origin", "http://evil.test")], 403),
        (vec![cookie, MARK, ("origin", "http://127.0.0.1:9080")], 403),
        (vec![MARK], 401),
        (vec![("cookie", "usher_session=made-up"), MARK], 401),
    ] {
        let seen = bench.send("POST", "/plans", &headers, change.clone()).await;
        assert_eq!(seen.status, wanted, "{headers:?}: {}", seen.text);
    }
    for (headers, wanted) in [
        (vec![cookie], 200),
        (vec![cookie, ("sec-fetch-site", "same-origin")], 200),
        (vec![cookie, ("sec-fetch-site", "cross-site")], 403),
    ] {
        assert_eq!(
            bench.send("GET", "/objects/routes", &headers, Value::Null).await.status,
            wanted,
            "{headers:?}"
        );
    }
    // APISIX's own paths know no sessions.
    assert_eq!(bench.send("GET", "/apisix/admin/routes", &[cookie, MARK], Value::Null).await.status, 401);
}

#[tokio::test]
async fn the_history_names_the_person_and_the_console() {
    let bench = Bench::new().await;
    let cookie = ada(&bench).await;
    let headers = [("cookie", cookie.as_str()), MARK];
    let gone = json!({ "changes": [{ "op": "delete", "kind": "route", "id": "1" }] });
    bench.put("route", "1", route("/a")).await;
    let plan = bench.send("POST", "/plans", &headers, gone).await.json();
    // High risk; whoever sits at the console is the person.
    assert_eq!((&plan["risk"], &plan["needs_person"]), (&json!("high"), &json!(false)));
    let path = format!("/plans/{}/apply", plan["id"].as_str().unwrap());
    assert_eq!(bench.send("POST", &path, &headers, json!({})).await.status, 200);
    let entry = &bench.get("/history").await.json()["entries"][0];
    assert_eq!((&entry["principal"], &entry["door"]), (&json!("ada"), &json!("console")));
}

#[tokio::test]
async fn a_session_ends_with_its_log_out_its_user_and_its_password() {
    let bench = Bench::new().await;
    let first = ada(&bench).await;
    let log_in = async |password: &str| {
        let body = json!({ "user": "bob", "password": password });
        bench.send("POST", "/session", &[MARK], body).await.cookie()
    };
    let status =
        async |cookie: &str| bench.send("GET", "/status", &[("cookie", cookie)], Value::Null).await.status;
    let made = json!({ "name": "bob", "role": "viewer", "password": "bobs password" });
    assert_eq!(bench.send("POST", "/users", &[("cookie", &first), MARK], made).await.status, 201);
    let bob = log_in("bobs password").await;
    let denied = bench.send("POST", "/plans", &[("cookie", &bob), MARK], json!({ "changes": [] })).await;
    assert_eq!(denied.refusal(), (403, "forbidden".to_owned()));
    assert_eq!(bench.call("PUT", "/users/bob", json!({ "password": "another password" })).await.status, 200);
    assert_eq!(status(&bob).await, 401);
    let bob = log_in("another password").await;
    assert_eq!(status(&bob).await, 200);
    assert_eq!(bench.call("DELETE", "/users/bob", Value::Null).await.status, 200);
    assert_eq!(status(&bob).await, 401);
    assert_eq!(status(&first).await, 200);
    let out = bench.send("DELETE", "/session", &[("cookie", &first), MARK], Value::Null).await;
    assert!(out.headers["set-cookie"].to_str().unwrap().contains("Max-Age=0"));
    assert_eq!(status(&first).await, 401);
}

#[tokio::test]
async fn guesses_hold_up_a_name_at_their_address_and_nobody_else() {
    let bench = Bench::new().await;
    ada(&bench).await;
    let bob = json!({ "name": "bob", "role": "viewer", "password": "bobs password" });
    assert_eq!(bench.call("POST", "/users", bob).await.status, 201);
    let (guesser, other) = ("192.0.2.1:1".parse().unwrap(), "192.0.2.2:1".parse().unwrap());
    for _ in 0..11 {
        let seen = bench.log_in_from(guesser, &json!({ "user": "ada", "password": "wrong" })).await;
        assert_eq!(seen.status, 401, "{}", seen.text);
    }
    let right = json!({ "user": "ada", "password": "correct horse" });
    let held = bench.log_in_from(guesser, &right).await;
    assert_eq!(held.refusal(), (429, "too_many_guesses".to_owned()));
    assert!(held.headers.contains_key("retry-after") && held.next().contains("other users"), "{}", held.text);
    // Behind one address there may be many people.
    let bob = json!({ "user": "bob", "password": "bobs password" });
    assert_eq!(bench.log_in_from(guesser, &bob).await.status, 200);
    assert_eq!(bench.log_in_from(guesser, &json!({ "key": ADMIN })).await.status, 200);
    assert_eq!(bench.log_in_from(other, &right).await.status, 200);
}

#[tokio::test]
async fn where_no_key_is_asked_for_everybody_is_in() {
    let bench = Bench::with(false).await;
    let seen = bench.send("GET", "/session", &[], Value::Null).await.json();
    assert_eq!((&seen["you"]["by"], &seen["you"]["role"]), (&json!("keyless"), &json!("admin")));
    let seen = bench.send("GET", "/status", &[MARK], Value::Null).await.json();
    assert_eq!(seen["you"]["door"], "console");
}

#[tokio::test]
async fn a_single_wrong_password_is_in_the_audit() {
    let bench = Bench::new().await;
    ada(&bench).await;
    for user in ["ada", "a password in the wrong field"] {
        let wrong = json!({ "user": user, "password": "wrong horse" });
        assert_eq!(bench.send("POST", "/session", &[MARK], wrong).await.status, 401);
    }
    let told = bench.get("/audit").await.text;
    for part in ["a login failed as ada: wrong password", "a login failed as an unknown name"] {
        assert!(told.contains(part), "{part} is missing in {told}");
    }
    assert!(!told.contains("wrong field") && !told.contains("wrong horse"), "{told}");
}

#[tokio::test]
async fn the_last_admin_takes_that_from_nobody_but_by_an_admin_key() {
    let bench = Bench::new().await;
    let cookie = ada(&bench).await;
    let headers = [("cookie", cookie.as_str()), MARK];
    let lower = json!({ "role": "viewer" });
    for (method, body) in [("DELETE", Value::Null), ("PUT", lower.clone())] {
        let seen = bench.send(method, "/users/ada", &headers, body).await;
        assert_eq!(seen.refusal().0, 422, "{}", seen.text);
        for part in ["last user with the role admin", "make another admin first", "admin key"] {
            assert!(seen.text.contains(part), "{part} is missing in {}", seen.text);
        }
    }
    // Another password is no other role; with a second admin, the first may go.
    let word = json!({ "role": "admin", "password": "correct horses" });
    assert_eq!(bench.send("PUT", "/users/ada", &headers, word).await.status, 200);
    let again = json!({ "user": "ada", "password": "correct horses" });
    let cookie = bench.send("POST", "/session", &[MARK], again).await.cookie();
    let headers = [("cookie", cookie.as_str()), MARK];
    let eve = json!({ "name": "eve", "role": "admin", "password": "eves password" });
    assert_eq!(bench.send("POST", "/users", &headers, eve).await.status, 201);
    assert_eq!(bench.send("PUT", "/users/ada", &headers, lower).await.status, 200);
    // The holder of an admin key comes in without any user.
    assert_eq!(bench.call("DELETE", "/users/eve", Value::Null).await.status, 200);
}
