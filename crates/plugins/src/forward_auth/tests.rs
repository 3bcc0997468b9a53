//! What clients, the authorization service and the upstream see of `forward-auth`.

use std::sync::Arc;

use serde_json::{Map, Value, json};
use usher_http1::head::Head;
use usher_model::compat::Compat;
use usher_pipeline::env::{Env, Process, Target, Targets};
use usher_pipeline::harness::{Harness, harness, try_harness};
use usher_pipeline::registry::Registry;
use usher_pipeline::worker::{Answer, Call, FetchError};

use super::PLUGIN;

const URI: &str = "http://127.0.0.1:9000/auth";

fn body(more: &Value) -> Value {
    let mut body = Map::from_iter([("uri".to_owned(), json!(URI))]);
    body.extend(more.as_object().cloned().unwrap_or_default());
    Value::Object(body)
}

fn answers(
    status: u16,
    fields: &'static [(&str, &str)],
    text: &'static str,
) -> impl Fn(&Call) -> Result<Answer, FetchError> {
    move |_| {
        let mut head = Head::response(status);
        for (name, value) in fields {
            head.append(name, value).unwrap();
        }
        Ok(Answer { head, body: text.into() })
    }
}

fn bench(more: &Value) -> Harness {
    harness(&PLUGIN, body(more)).fetches(answers(200, &[], ""))
}

fn away(call: &Call) -> Result<Answer, FetchError> {
    Err(FetchError::Unreachable { peer: call.url.clone(), reason: "connection refused".into() })
}

#[test]
fn the_service_sees_the_request_and_only_the_headers_it_was_promised() {
    let more = json!({
        "request_headers": ["Authorization", "X-Forwarded-Proto", "X-Many"],
        "extra_headers": { "X-Tenant": "t-$arg_tenant", "X-Fixed": "1" }
    });
    let mut bench = bench(&more).from("::ffff:10.0.0.9").over_tls();
    let fields = [
        ("Host", "A.test:8443"),
        ("Authorization", "Bearer x"),
        ("X-Forwarded-Proto", "gopher"),
        ("Cookie", "secret=1"),
        ("X-Many", "1"),
        ("X-Many", "2"),
    ];
    bench.send("DELETE", "/a/b?tenant=7&x", &fields, "body").expect_status(200);
    let calls = bench.worker().calls();
    let [call] = calls.as_slice() else { panic!("one call, not {}", calls.len()) };
    assert_eq!((call.method.as_str(), call.url.as_str(), call.body.len()), ("GET", URI, 0));
    assert_eq!((call.timeout.as_millis(), call.verify), (3000, true));
    let mut sent: Vec<(String, String)> = call
        .fields
        .iter()
        .map(|(name, value)| (name.to_owned(), String::from_utf8_lossy(value).into_owned()))
        .collect();
    sent.sort();
    let wanted = [
        ("Authorization", "Bearer x"),
        ("X-Fixed", "1"),
        ("X-Forwarded-For", "10.0.0.9"),
        ("X-Forwarded-Host", "a.test"),
        ("X-Forwarded-Method", "DELETE"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Uri", "/a/b?tenant=7&x"),
        ("X-Many", "1"),
        ("X-Many", "2"),
        ("X-Tenant", "t-7"),
    ];
    assert_eq!(sent, wanted.map(|(name, value)| (name.to_owned(), value.to_owned())));
}

#[test]
fn a_value_that_would_tear_a_header_line_is_left_out() {
    let mut bench = bench(&json!({ "extra_headers": { "X-Tenant": "$arg_tenant" } }));
    bench.get("/?tenant=1%0d%0aX-Admin:%20yes").expect_status(200);
    let call = bench.worker().calls().remove(0);
    assert!(!call.fields.contains("X-Tenant") && !call.fields.contains("X-Admin"));
}

#[test]
fn a_post_takes_the_body_along_and_leaves_it_to_the_upstream() {
    let mut bench = bench(&json!({ "request_method": "POST", "max_req_body_size": 4 }));
    let outcome = bench.send("PUT", "/", &[("Content-Encoding", "gzip"), ("Content-Length", "4")], "four");
    outcome.expect_status(200);
    assert_eq!(&outcome.seen().body[..], b"four");
    let call = bench.worker().calls().remove(0);
    assert_eq!((call.method.as_str(), &call.body[..]), ("POST", b"four".as_slice()));
    assert_eq!(call.fields.get_str("content-encoding"), Some("gzip"));
    assert!(!call.fields.contains("content-length"), "framing is the sender's own");
    bench.send("PUT", "/", &[], "five5").expect_status(413);
    assert_eq!(bench.worker().calls().len(), 1, "a body that is too large is not judged at all");
}

#[test]
fn a_refusal_is_the_services_own_with_the_headers_that_were_asked_for() {
    let answer = answers(
        401,
        &[
            ("Location", "/login"),
            ("Set-Cookie", "a=1"),
            ("Set-Cookie", "b=2"),
            ("X-Internal", "1"),
            ("Content-Type", "text/html"),
        ],
        "who are you",
    );
    let more = json!({ "client_headers": ["location", "Set-Cookie", "X-Nothing"] });
    let outcome = harness(&PLUGIN, body(&more)).fetches(answer).get("/");
    outcome.expect_status(401);
    assert!(outcome.upstream.is_none());
    assert_eq!((outcome.text(), outcome.field("location")), ("who are you", Some("/login")));
    assert_eq!(outcome.head.get_all("set-cookie").count(), 2);
    assert_eq!(outcome.field("content-type"), Some("text/plain; charset=utf-8"));
    assert!(!outcome.head.contains("x-internal"));
    for status in [300, 302, 404, 500] {
        harness(&PLUGIN, body(&json!({}))).fetches(answers(status, &[], "")).get("/").expect_status(status);
    }
}

#[test]
fn the_upstream_gets_the_services_headers_and_never_the_clients() {
    let more = json!({ "upstream_headers": ["X-User", "X-Role"], "allow_degradation": true });
    let spoofed = [
        ("x-user", "root"),
        ("X_User", "root"),
        ("X-Role", "admin"),
        ("x-ROLE", "admin"),
        ("X-Other", "stays"),
    ];
    type Asked = Box<dyn Fn(&Call) -> Result<Answer, FetchError>>;
    let told: Asked = Box::new(answers(200, &[("X-User", "ann"), ("X-Other", "from-service")], ""));
    let silent: Asked = Box::new(answers(204, &[], ""));
    for (service, user) in [(told, Some("ann")), (silent, None), (Box::new(away) as Asked, None)] {
        let outcome = harness(&PLUGIN, body(&more)).fetches(service).send("GET", "/", &spoofed, "");
        outcome.expect_status(200);
        let seen = &outcome.seen().head;
        assert_eq!(seen.get_str("x-user"), user);
        assert!(!seen.contains("x-role") && !seen.contains("x_user"));
        assert_eq!(seen.get_str("x-other"), Some("stays"));
    }
}

#[test]
fn a_request_that_is_left_out_can_not_bring_the_services_headers_along() {
    let more = json!({ "upstream_headers": ["X-User"], "_meta": { "filter": [["arg_ask", "==", "1"]] } });
    let mut bench = harness(&PLUGIN, body(&more)).fetches(answers(200, &[("X-User", "ann")], ""));
    for (target, user) in [("/?ask=1", Some("ann")), ("/?ask=0", None)] {
        let outcome = bench.send("GET", target, &[("X-User", "root")], "");
        assert_eq!(outcome.seen().head.get_str("x-user"), user, "{target}");
    }
    assert_eq!(bench.worker().calls().len(), 1);
}

#[test]
fn a_service_that_fails_refuses_unless_told_otherwise() {
    let failures = [
        FetchError::Unreachable { peer: "a".into(), reason: "refused".into() },
        FetchError::TimedOut("a".into()),
        FetchError::BadAnswer { peer: "a".into(), reason: "nonsense".into() },
        FetchError::Forbidden("169.254.169.254".into()),
    ];
    for failure in failures {
        for (more, status) in [
            (json!({}), 403),
            (json!({ "status_on_error": 503 }), 503),
            (json!({ "allow_degradation": true, "status_on_error": 503 }), 200),
        ] {
            let answer = failure.clone();
            let outcome = harness(&PLUGIN, body(&more)).fetches(move |_| Err(answer.clone())).get("/");
            assert_eq!(outcome.status(), status, "{failure} with {more}");
            assert_eq!(outcome.upstream.is_some(), status == 200);
            assert!(
                status == 200 || outcome.text().is_empty(),
                "the page of the status is the gateway's to make"
            );
        }
    }
}

#[test]
fn bodies_that_can_not_work_are_refused_by_name() {
    for (more, wanted) in [
        (
            json!({ "uri": "a.test/auth" }),
            "property \"uri\" validation failed: \"a.test/auth\" does not begin with http",
        ),
        (json!({ "request_method": "PUT" }), "property \"request_method\""),
        (
            json!({ "upstream_headers": ["X User"] }),
            "property \"upstream_headers\" validation failed: \"X User\" is not",
        ),
        (json!({ "extra_headers": { "X\nY": "1" } }), "property \"extra_headers\""),
        (
            json!({ "extra_headers": { "X": "a\r\nX-Admin: yes" } }),
            "property \"extra_headers\" validation failed: the value of \"X\" has a character that can't be sent",
        ),
        (
            json!({ "extra_headers": { "X": "$host\0" } }),
            "property \"extra_headers\" validation failed: the value",
        ),
        (json!({ "extra_headers": {} }), "property \"extra_headers\""),
        (json!({ "extra_headers": { "X": 1 } }), "property \"extra_headers\""),
        (json!({ "timeout": 0 }), "property \"timeout\""),
        (json!({ "timeout": 60001 }), "property \"timeout\""),
        (json!({ "status_on_error": 199 }), "property \"status_on_error\""),
        (json!({ "keepalive_timeout": 999 }), "property \"keepalive_timeout\""),
        (json!({ "keepalive_pool": 0 }), "property \"keepalive_pool\""),
        (json!({ "max_req_body_size": 0 }), "property \"max_req_body_size\""),
    ] {
        let error = try_harness(&PLUGIN, body(&more)).err().map(|error| error.message).unwrap_or_default();
        assert!(error.contains(wanted), "{more}: {error}");
    }
    assert!(try_harness(&PLUGIN, json!({})).is_err(), "uri is required");
}

/// A proxy that never calls one address.
struct Careful;

impl Targets for Careful {
    fn target(&self, _: &str, upstream: &Value, _: Compat) -> Result<Arc<dyn Target>, String> {
        Err(format!("{} is a link-local address", upstream["nodes"][0]["host"]))
    }
}

#[test]
fn an_address_that_is_never_called_is_refused_when_it_is_written() {
    let process = Process::new(Map::new(), Compat::NONE, Box::new(Careful));
    let registry = Registry::new(&[&PLUGIN]);
    let env = Env::new(&process, &registry, "/apisix/routes/1");
    let check = |uri: &str| {
        registry.check("forward-auth", &json!({ "uri": uri }), &env).map_err(|error| error.message)
    };
    let error = check("http://169.254.169.254/latest").unwrap_err();
    assert!(
        error.contains("169.254.169.254:80 can't be called: \"169.254.169.254\" is a link-local"),
        "{error}"
    );
    assert_eq!(check("http://auth.test/"), Ok(()), "a name is judged by what it resolves to, at every call");
}
