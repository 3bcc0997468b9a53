//! What clients see of `proxy-cache`, and what reaches the upstream.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use serde_json::{Map, Value, json};
use usher_model::variables::Variables as _;
use usher_pipeline::body::Body;
use usher_pipeline::harness::{Harness, Outcome, try_harness, try_harness_of};
use usher_pipeline::reply::Reply;

use super::PLUGIN;

mod disk;
mod waiting;

type Fields = &'static [(&'static str, &'static str)];

/// An upstream that numbers its answers and sends the fields that it is told to.
#[derive(Clone, Default)]
struct Origin {
    count: Rc<Cell<u32>>,
    fields: Rc<Cell<Fields>>,
    status: Rc<Cell<u16>>,
}

impl Origin {
    fn says(&self, fields: Fields) {
        self.fields.set(fields);
    }
}

fn body(more: &Value) -> Value {
    let mut body = Map::from_iter([
        ("cache_strategy".to_owned(), json!("memory")),
        ("cache_zone".to_owned(), json!("memory_cache")),
    ]);
    body.extend(more.as_object().cloned().unwrap_or_default());
    Value::Object(body)
}

fn bench(more: &Value) -> (Harness, Origin) {
    with_origin(try_harness(&PLUGIN, body(more)).unwrap())
}

fn with_origin(bench: Harness) -> (Harness, Origin) {
    let origin = Origin::default();
    origin.status.set(200);
    let answering = origin.clone();
    let bench = bench.upstream(move |_| {
        answering.count.set(answering.count.get() + 1);
        let text = format!("answer {}", answering.count.get());
        let mut reply = Reply::text(answering.status.get(), "text/plain", text);
        for (name, value) in answering.fields.get() {
            reply = reply.with(name, value);
        }
        if reply.head.contains("content-length") { reply } else { reply.with("Transfer-Encoding", "chunked") }
    });
    (bench, origin)
}

fn told(outcome: &Outcome) -> &str {
    let word = outcome.field("Apisix-Cache-Status");
    let logged = outcome.exchange.variable("upstream_cache_status");
    assert_eq!(logged.as_deref(), word.map(str::as_bytes), "logs say the same");
    word.unwrap_or("nothing")
}

/// The words of several GETs of `/`, one after the other.
fn words(bench: &mut Harness, requests: &[&[(&str, &str)]]) -> Vec<String> {
    requests.iter().map(|fields| told(&bench.send("GET", "/", fields, "")).to_owned()).collect()
}

#[test]
fn an_answer_is_given_again_with_its_fields_and_age_until_it_expires() {
    let (mut bench, origin) = bench(&json!({ "cache_ttl": 10 }));
    origin.says(&[("X-Two", "a"), ("X-Two", "b"), ("Age", "5"), ("Connection", "X-Hop"), ("X-Hop", "1")]);
    let first = bench.get("/a?b");
    assert_eq!((told(&first), first.text()), ("MISS", "answer 1"));
    bench.pass(Duration::from_millis(9_900));
    let again = bench.get("/a?b");
    assert_eq!((told(&again), again.text(), again.status()), ("HIT", "answer 1", 200));
    assert!(again.upstream.is_none());
    assert_eq!(again.head.get_all("x-two").collect::<Vec<_>>(), [b"a", b"b"]);
    assert_eq!((again.field("age"), again.head.get_all("age").count()), (Some("14"), 1));
    assert!(!again.head.contains("x-hop") && !again.head.contains("connection"));
    let head = bench.send("HEAD", "/a?b", &[], "");
    assert_eq!(told(&head), "HIT", "an answer to HEAD is made of the one to GET");
    bench.pass(Duration::from_millis(200));
    let late = bench.get("/a?b");
    assert_eq!((told(&late), late.text()), ("EXPIRED", "answer 2"));
    assert_eq!(told(&bench.get("/a?b")), "HIT");
}

#[test]
fn requests_that_differ_in_what_matters_never_share_an_answer() {
    let (mut bench, _) = bench(&json!({}));
    let plain: &[(&str, &str)] = &[("Host", "a.test")];
    assert_eq!(told(&bench.send("GET", "/x?a=1", plain, "")), "MISS");
    for (target, host) in [
        ("/x?a=2", "a.test"),
        ("/x", "a.test"),
        ("/x?", "a.test"),
        ("/X?a=1", "a.test"),
        ("/x;y?a=1", "a.test"),
        ("/x?a=1", "b.test"),
        ("/x?a=1", "a.test:81"),
    ] {
        assert_eq!(told(&bench.send("GET", target, &[("Host", host)], "")), "MISS", "{host}{target}");
    }
    assert_eq!(
        told(&bench.send("GET", "/x?a=1", &[("Host", "A.TEST"), ("X-Forwarded-Host", "evil")], "")),
        "HIT"
    );
    let mut bench = bench.over_tls();
    assert_eq!(told(&bench.send("GET", "/x?a=1", plain, "")), "MISS", "another scheme");
}

#[test]
fn another_route_has_answers_of_its_own_but_any_route_may_purge() {
    let (mut first, _) = bench(&json!({}));
    let bodies = Map::from_iter([("proxy-cache".to_owned(), body(&json!({})))]);
    let (mut other, _) = with_origin(first.beside("/apisix/routes/2", &bodies).unwrap());
    assert_eq!((told(&first.get("/")), told(&first.get("/"))), ("MISS", "HIT"));
    assert_eq!((told(&other.get("/")), told(&other.get("/"))), ("MISS", "HIT"));
    other.send("PURGE", "/", &[], "").expect_status(200);
    assert_eq!((told(&first.get("/")), told(&other.get("/"))), ("MISS", "MISS"));
}

#[test]
fn what_carries_a_range_a_handshake_or_a_hidden_body_leaves_the_cache_aside() {
    let (mut bench, _) = bench(&json!({}));
    bench.get("/");
    for (fields, sent) in [
        (&[("Range", "bytes=0-1")], ""),
        (&[("Upgrade", "websocket")], ""),
        (&[("X-Any", "1")], "a body that no key knows of"),
    ] {
        let outcome = bench.send("GET", "/", fields, sent);
        assert_eq!((told(&outcome), outcome.upstream.is_some()), ("BYPASS", true), "{fields:?}");
    }
    assert_eq!(bench.get("/").text(), "answer 1", "nothing of that was kept");
}

#[test]
fn a_post_is_told_apart_by_its_body_where_posts_are_kept_at_all() {
    let (mut without, _) = bench(&json!({}));
    for _ in 0..2 {
        assert_eq!(told(&without.send("POST", "/", &[], "a")), "MISS");
    }
    let (mut bench, _) = bench(&json!({ "cache_method": ["POST", "GET"] }));
    for (sent, word) in [("a", "MISS"), ("b", "MISS"), ("a", "HIT"), ("b", "HIT"), ("", "MISS"), ("", "HIT")]
    {
        assert_eq!(told(&bench.send("POST", "/", &[], sent)), word, "{sent}");
    }
    assert_eq!(told(&bench.get("/")), "MISS");
    assert_eq!(told(&bench.send("HEAD", "/", &[], "")), "MISS", "HEAD is not in the list");
    let long = vec![b'x'; (1 << 20) + 1];
    assert_eq!(told(&bench.send("POST", "/", &[], long)), "BYPASS");
    bench.send("PURGE", "/", &[], "").expect_status(200);
    assert_eq!(told(&bench.send("POST", "/", &[], "a")), "MISS");
}

#[test]
fn purging_takes_an_answer_away_once() {
    let (mut bench, _) = bench(&json!({}));
    bench.send("PURGE", "/", &[], "").expect_status(404);
    bench.get("/");
    let purged = bench.send("PURGE", "/", &[], "");
    purged.expect_status(200);
    assert!(purged.upstream.is_none() && purged.body.is_empty());
    bench.send("PURGE", "/", &[], "").expect_status(404);
    assert_eq!(told(&bench.get("/")), "MISS");
}

#[test]
fn personal_answers_are_never_kept() {
    let never: &[(Fields, Fields)] = &[
        (&[], &[("Cache-Control", "private")]),
        (&[], &[("Cache-Control", "No-Store")]),
        (&[], &[("Cache-Control", "max-age=60, no-cache")]),
        (&[], &[("Set-Cookie", "session=1")]),
        (&[], &[("Vary", "*")]),
        (&[("Authorization", "Bearer x")], &[("Cache-Control", "max-age=60")]),
    ];
    for (asked, answered) in never {
        for more in [json!({}), json!({ "cache_control": true })] {
            let (mut bench, origin) = bench(&more);
            origin.says(answered);
            assert_eq!(words(&mut bench, &[asked, asked, &[]]), ["MISS"; 3], "{asked:?} {answered:?}");
            assert_eq!(origin.count.get(), 3);
        }
    }
    let (mut bench, origin) = bench(&json!({ "cache_set_cookie": true }));
    origin.says(&[("Set-Cookie", "session=1")]);
    bench.get("/");
    assert_eq!(bench.get("/").field("set-cookie"), Some("session=1"));
}

#[test]
fn credentials_get_only_what_says_that_it_is_for_everybody() {
    let asked: &[(&str, &str)] = &[("Authorization", "Bearer x")];
    let (mut bench, origin) = bench(&json!({}));
    assert_eq!(words(&mut bench, &[&[], &[], asked]), ["MISS", "HIT", "MISS"]);
    bench.send("PURGE", "/", &[], "");
    origin.says(&[("Cache-Control", "public")]);
    assert_eq!(words(&mut bench, &[asked, asked, &[]]), ["MISS", "HIT", "HIT"]);

    let (mut by_credential, _) = self::bench(&json!({ "cache_key": ["$uri", "$http_authorization"] }));
    let other: &[(&str, &str)] = &[("Authorization", "Bearer y")];
    assert_eq!(words(&mut by_credential, &[asked, asked, other, &[]]), ["MISS", "HIT", "MISS", "MISS"]);
}

#[test]
fn consumers_are_kept_apart_unless_they_are_to_share() {
    for (more, wanted) in [
        (json!({}), ["MISS", "MISS", "HIT"]),
        (json!({ "consumer_isolation": false }), ["MISS", "HIT", "HIT"]),
        (json!({ "cache_key": ["$uri", "$consumer_name"] }), ["MISS", "MISS", "HIT"]),
        (json!({ "cache_key": ["$uri", "$consumer_group_id"] }), ["MISS", "HIT", "HIT"]),
    ] {
        let bodies = Map::from_iter([
            ("proxy-cache".to_owned(), body(&more)),
            ("key-auth".to_owned(), json!({ "hide_credentials": true })),
        ]);
        let bench = try_harness_of(&[&PLUGIN, &crate::key_auth::PLUGIN], bodies)
            .unwrap()
            .consumer("ann", "key-auth", &json!({ "key": "a" }), Map::new())
            .consumer("bob", "key-auth", &json!({ "key": "b" }), Map::new());
        let (mut bench, _) = with_origin(bench);
        let got = words(&mut bench, &[&[("apikey", "a")], &[("apikey", "b")], &[("apikey", "a")]]);
        assert_eq!(got, wanted, "{more}");
    }
}

#[test]
fn an_answer_that_varies_is_given_to_requests_like_its_own() {
    let (mut bench, origin) = bench(&json!({}));
    origin.says(&[("Vary", "Accept-Encoding")]);
    let gzip: &[(&str, &str)] = &[("Accept-Encoding", "gzip")];
    let several: &[(&str, &str)] = &[("Accept-Encoding", "gzip"), ("Accept-Encoding", "br")];
    let got = words(&mut bench, &[gzip, &[], several, gzip, &[], several]);
    assert_eq!(got, ["MISS", "MISS", "MISS", "HIT", "HIT", "HIT"]);
}

#[test]
fn only_statuses_that_were_asked_for_are_kept_and_only_the_upstreams() {
    for (more, status, kept) in [
        (json!({}), 404, true),
        (json!({}), 301, true),
        (json!({}), 500, false),
        (json!({}), 206, false),
        (json!({ "cache_http_status": [206, 500] }), 500, true),
        (json!({ "cache_http_status": [206, 500] }), 206, false),
        (json!({ "cache_http_status": [206, 500] }), 200, false),
    ] {
        let (mut bench, origin) = bench(&more);
        origin.status.set(status);
        assert_eq!(words(&mut bench, &[&[], &[]])[1] == "HIT", kept, "{status} with {more}");
    }
    let bodies = Map::from_iter([
        ("proxy-cache".to_owned(), body(&json!({ "cache_http_status": [503] }))),
        ("limit-count".to_owned(), json!({ "count": 1, "time_window": 60 })),
    ]);
    let bench = try_harness_of(&[&PLUGIN, &crate::limit_count::PLUGIN], bodies).unwrap();
    let (mut bench, _) = with_origin(bench);
    let got: Vec<(u16, bool)> =
        (0..3).map(|_| bench.get("/")).map(|outcome| (outcome.status(), told(&outcome) == "HIT")).collect();
    assert_eq!(got, [(200, false), (503, false), (503, false)], "the gateway's own refusals are not kept");
}

#[test]
fn users_decide_when_the_cache_is_left_aside() {
    let more = json!({ "cache_bypass": ["$arg_bypass", "$http_x_bypass"], "no_cache": ["$arg_fresh"], "cache_key": ["$uri"] });
    let (mut bench, _) = bench(&more);
    for (target, word) in [
        ("/?fresh=1", "MISS"),
        ("/", "MISS"),
        ("/", "HIT"),
        ("/?bypass=1", "BYPASS"),
        ("/?bypass=0", "HIT"),
        ("/?bypass=", "HIT"),
        ("/?fresh=1", "HIT"),
    ] {
        assert_eq!(told(&bench.get(target)), word, "{target}");
    }
    assert_eq!(told(&bench.send("GET", "/", &[("X-Bypass", "yes")], "")), "BYPASS");
}

#[test]
fn clients_are_obeyed_only_where_cache_control_says_so() {
    let requests: &[&[(&str, &str)]] = &[
        &[],
        &[("Cache-Control", "no-cache")],
        &[("Cache-Control", "no-store")],
        &[("Cache-Control", "max-age=5")],
        &[("Cache-Control", "max-age=0")],
        &[("Cache-Control", "min-fresh=100000")],
    ];
    for (control, wanted) in [
        (false, ["MISS", "HIT", "HIT", "HIT", "HIT", "HIT"]),
        (true, ["MISS", "BYPASS", "BYPASS", "STALE", "STALE", "STALE"]),
    ] {
        let (mut bench, origin) = bench(&json!({ "cache_control": control }));
        origin.says(&[("Cache-Control", "max-age=60")]);
        let mut got = words(&mut bench, &requests[..1]);
        for request in &requests[1..] {
            bench.pass(Duration::from_secs(6));
            got.extend(words(&mut bench, &[request]));
        }
        assert_eq!(got, wanted);
    }
}

#[test]
fn only_if_cached_is_answered_with_504_where_nothing_is_kept() {
    let only: &[(&str, &str)] = &[("Cache-Control", "only-if-cached")];
    let (mut bench, origin) = bench(&json!({ "cache_control": true }));
    origin.says(&[("Cache-Control", "max-age=60")]);
    let outcome = bench.send("GET", "/", only, "");
    assert_eq!((outcome.status(), told(&outcome), origin.count.get()), (504, "MISS", 0));
    bench.get("/");
    bench.send("GET", "/", only, "").expect_status(200);
}

#[test]
fn the_time_to_live_comes_from_the_answer_where_cache_control_says_so() {
    let (mut bench, origin) = bench(&json!({ "cache_control": true }));
    assert_eq!(words(&mut bench, &[&[], &[]]), ["MISS", "MISS"], "an answer that says nothing is not kept");
    origin.says(&[("Cache-Control", "s-maxage=10, max-age=1000")]);
    assert_eq!(words(&mut bench, &[&[], &[]]), ["MISS", "HIT"]);
    bench.pass(Duration::from_secs(10));
    assert_eq!(words(&mut bench, &[&[]]), ["EXPIRED"]);
}

#[test]
fn cache_headers_are_hidden_from_clients_but_not_forgotten() {
    let (mut bench, origin) = bench(&json!({ "hide_cache_headers": true, "cache_control": true }));
    origin.says(&[("Cache-Control", "max-age=60"), ("Expires", "0"), ("ETag", "\"1\"")]);
    for word in ["MISS", "HIT"] {
        let outcome = bench.get("/");
        assert_eq!(told(&outcome), word);
        assert!(!outcome.head.contains("cache-control") && !outcome.head.contains("expires"));
        assert_eq!(outcome.field("etag"), Some("\"1\""));
    }
}

#[test]
fn a_body_that_is_too_large_or_not_whole_passes_without_being_kept() {
    let (mut bench, origin) = bench(&json!({ "max_resp_body_size": 8 }));
    assert_eq!(words(&mut bench, &[&[], &[]]), ["MISS", "HIT"], "8 bytes are not too large");
    origin.count.set(9);
    let large: Vec<String> = (0..2)
        .map(|_| bench.get("/large"))
        .map(|outcome| format!("{} {}", told(&outcome), outcome.text()))
        .collect();
    assert_eq!(large, ["MISS answer 10", "MISS answer 11"]);
    origin.says(&[("Content-Length", "9")]);
    assert_eq!(told(&bench.get("/announced")), "MISS");
    assert_eq!(told(&bench.get("/announced")), "MISS");

    let (mut lying, origin) = self::bench(&json!({}));
    origin.says(&[("Content-Length", "7")]);
    assert_eq!(words(&mut lying, &[&[], &[]]), ["MISS", "MISS"], "8 bytes came where 7 were announced");
}

#[test]
fn an_answer_without_a_body_is_kept_too() {
    let bench = try_harness(&PLUGIN, body(&json!({ "cache_http_status": [204, 301] }))).unwrap();
    let mut bench = bench.upstream(|exchange| match exchange.request.path() {
        "/none" => Reply::new(204),
        _ => {
            let mut reply = Reply::new(301).with("Location", "/x").with("Content-Length", "0");
            reply.body = Body::Full(bytes::Bytes::new());
            reply
        }
    });
    for path in ["/none", "/moved"] {
        assert_eq!((told(&bench.get(path)), told(&bench.get(path))), ("MISS", "HIT"), "{path}");
    }
    assert_eq!(bench.get("/moved").field("location"), Some("/x"));
}

#[test]
fn bodies_that_can_not_work_are_refused_by_name() {
    for (config, wanted) in [
        (json!({ "cache_strategy": "memory" }), "invalid or empty cache_zone for cache_strategy: memory"),
        (body(&json!({ "cache_zone": "x" })), "cache_zone x not found"),
        (
            body(&json!({ "cache_key": ["$host", "$request_method"] })),
            "cache_key variable $request_method unsupported",
        ),
        (body(&json!({ "cache_key": [] })), "property \"cache_key\""),
        (body(&json!({ "cache_key": ["$a-b"] })), "property \"cache_key\""),
        (body(&json!({ "cache_method": ["PUT"] })), "property \"cache_method\""),
        (body(&json!({ "cache_method": ["GET", "GET"] })), "property \"cache_method\""),
        (body(&json!({ "cache_http_status": [199] })), "property \"cache_http_status\""),
        (body(&json!({ "cache_ttl": 0 })), "property \"cache_ttl\""),
        (body(&json!({ "max_resp_body_size": 0 })), "property \"max_resp_body_size\""),
    ] {
        let error = try_harness(&PLUGIN, config.clone()).err().map(|error| error.message).unwrap_or_default();
        assert!(error.contains(wanted), "{config}: {error}");
    }
}
