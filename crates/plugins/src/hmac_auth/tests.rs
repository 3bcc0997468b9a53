//! What clients and the upstream see of `hmac-auth`, and what thieves of a signature try.
#![cfg(test)]

use std::time::{Duration, UNIX_EPOCH};

use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use usher_model::compat::{Behaviour, Compat};
use usher_pipeline::harness::{Harness, Outcome, harness, try_harness, try_harness_under};

use super::PLUGIN;

const NOW: u64 = 1_800_000_000;
const SECRET: &str = "jacks secret";

fn bench(body: Value) -> Harness {
    let add = |bench: Harness, name: &str, id: &str| {
        bench.consumer(name, "hmac-auth", &json!({ "key_id": id, "secret_key": SECRET }), Map::new())
    };
    add(add(harness(&PLUGIN, body), "jack", "jack-id"), "guest", "guest-id")
}

fn date(at: u64) -> String {
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(at))
}

/// `Authorization` for these lines, the key's id before them.
fn signed(algorithm: &str, headers: &str, lines: &[&str]) -> String {
    let text = format!("jack-id\n{}", lines.iter().map(|line| format!("{line}\n")).collect::<String>());
    let kind = match algorithm {
        "hmac-sha1" => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        "hmac-sha512" => hmac::HMAC_SHA512,
        _ => hmac::HMAC_SHA256,
    };
    let signature = STANDARD.encode(hmac::sign(&hmac::Key::new(kind, SECRET.as_bytes()), text.as_bytes()));
    format!(
        r#"Signature keyId="jack-id",algorithm="{algorithm}",headers="{headers}",signature="{signature}""#
    )
}

fn usual(target: &str, at: u64) -> (String, String) {
    let date = date(at);
    let lines = [format!("GET {target}"), format!("date: {date}")];
    (signed("hmac-sha256", "@request-target date", &[&lines[0], &lines[1]]), date)
}

fn get(bench: &mut Harness, target: &str, authorization: &str, date: &str) -> Outcome {
    bench.send("GET", target, &[("Authorization", authorization), ("Date", date)], "")
}

#[test]
fn each_algorithm_lets_its_consumer_in_where_it_is_allowed() {
    for algorithm in ["hmac-sha1", "hmac-sha256", "hmac-sha512"] {
        let date = date(NOW);
        let lines = ["GET /a?b=c d".replace(' ', "%20").replace("GET%20", "GET "), format!("date: {date}")];
        let authorization = signed(algorithm, "@request-target date", &[&lines[0], &lines[1]]);
        let outcome = get(&mut bench(json!({})), "/a?b=c%20d", &authorization, &date);
        outcome.expect_status(200);
        assert_eq!(outcome.seen().head.get_str("X-Consumer-Username"), Some("jack"));
        let only = json!({ "allowed_algorithms": ["hmac-sha256"], "hide_credentials": true });
        let outcome = get(&mut bench(only), "/a?b=c%20d", &authorization, &date);
        assert_eq!(outcome.status(), if algorithm == "hmac-sha256" { 200 } else { 401 });
        assert!(outcome.upstream.is_none_or(|seen| !seen.head.contains("authorization")));
    }
}

/// CVE-2026-47341 and its kin: what isn't signed can be used again.
#[test]
fn a_signature_serves_one_request_within_its_time() {
    let mut usual_bench = bench(json!({}));
    let (authorization, date_field) = usual("/pay?amount=1", NOW);
    assert_eq!(get(&mut usual_bench, "/pay?amount=1", &authorization, &date_field).status(), 200);
    for (target, field) in [
        ("/pay?amount=1000", date_field.as_str()),
        ("/other?amount=1", &date_field),
        ("/pay?amount=1", &date(NOW + 1)),
        ("/pay?amount=1", ""),
        ("/pay?amount=1", "yesterday"),
    ] {
        assert_eq!(get(&mut usual_bench, target, &authorization, field).status(), 401, "{target} {field}");
    }
    let fields = [("Authorization", authorization.as_str()), ("Date", &date_field)];
    assert_eq!(usual_bench.send("POST", "/pay?amount=1", &fields, "").status(), 401);
    usual_bench.pass(Duration::from_secs(300));
    assert_eq!(get(&mut usual_bench, "/pay?amount=1", &authorization, &date_field).status(), 200);
    usual_bench.pass(Duration::from_secs(1));
    assert_eq!(get(&mut usual_bench, "/pay?amount=1", &authorization, &date_field).status(), 401);
    let (early, early_date) = usual("/", NOW + 301 + 301);
    assert_eq!(get(&mut usual_bench, "/", &early, &early_date).status(), 401);
    let mut fresh = bench(json!({}));
    let date_line = format!("date: {date_field}");
    for (headers, lines) in
        [("date", vec![date_line.as_str()]), ("@request-target", vec!["GET /pay?amount=1"]), ("", vec![])]
    {
        let authorization = signed("hmac-sha256", headers, &lines);
        assert_eq!(get(&mut fresh, "/pay?amount=1", &authorization, &date_field).status(), 401, "{headers}");
    }
    let only_date = signed("hmac-sha256", "date", &[&date_line]);
    let mut asked = bench(json!({ "signed_headers": ["date"] }));
    assert_eq!(get(&mut asked, "/pay", &only_date, &date_field).status(), 200, "who asks for less gets less");
    let mut none = bench(json!({ "signed_headers": [] }));
    let unsigned = signed("hmac-sha256", "", &[]);
    assert_eq!(
        get(&mut none, "/pay", &unsigned, &date_field).status(),
        401,
        "the date that is judged is signed"
    );
    let mut timeless = bench(json!({ "signed_headers": [], "clock_skew": 0 }));
    assert_eq!(get(&mut timeless, "/pay", &unsigned, "").status(), 200);
}

#[test]
fn apisixs_way_asks_only_for_the_date() {
    let compat = Compat::NONE.with(Behaviour::UnsignedHmacTarget);
    let bodies = [("hmac-auth".to_owned(), json!({}))].into_iter().collect();
    let credential = json!({ "key_id": "jack-id", "secret_key": SECRET });
    let old = try_harness_under(compat, &[&PLUGIN], &bodies).unwrap();
    let mut old = old.consumer("jack", "hmac-auth", &credential, Map::new());
    let date = date(NOW);
    let authorization = signed("hmac-sha256", "date", &[&format!("date: {date}")]);
    get(&mut old, "/whatever", &authorization, &date).expect_status(200);
    get(&mut bench(json!({})), "/whatever", &authorization, &date).expect_status(401);
}

#[test]
fn what_stands_twice_or_is_forged_lets_nobody_in() {
    let mut bench = bench(json!({}));
    let (authorization, date) = usual("/", NOW);
    let twice =
        [("Authorization", authorization.as_str()), ("Authorization", &authorization), ("Date", &date)];
    bench.send("GET", "/", &twice, "").expect_status(401);
    let dates = [
        ("Authorization", authorization.as_str()),
        ("Date", &date),
        ("Date", "Mon, 01 Jan 2035 00:00:00 GMT"),
    ];
    bench.send("GET", "/", &dates, "").expect_status(401);
    for forged in [
        authorization.replace("jack-id", "guest-id"),
        authorization.replace("jack-id", "nobody"),
        authorization.replace("hmac-sha256", "none"),
        authorization.replace("hmac-sha256", "hmac-sha512"),
        authorization.replace("signature=\"", "signature=\"AAAA"),
    ] {
        let outcome = get(&mut bench, "/", &forged, &date);
        outcome.expect_status(401);
        assert_eq!(outcome.text(), "{\"message\":\"client request can't be validated\"}\n");
        assert_eq!(outcome.field("WWW-Authenticate"), Some("hmac realm=\"hmac\""));
    }
    let outcome = bench.get("/");
    let text = "{\"message\":\"client request can't be validated: missing Authorization header\"}\n";
    assert_eq!(outcome.text(), text);
}

#[test]
fn a_body_is_judged_by_its_signed_digest() {
    let body = json!({ "validate_request_body": true, "max_req_body_size": 8 });
    let date = date(NOW);
    let sha =
        |text: &str| format!("SHA-256={}", STANDARD.encode(digest::digest(&digest::SHA256, text.as_bytes())));
    let send = |sent: &str, digest: &str, covered: bool| {
        let lines = ["POST /".to_owned(), format!("date: {date}"), format!("digest: {}", sha("four"))];
        let authorization = if covered {
            signed("hmac-sha256", "@request-target date digest", &[&lines[0], &lines[1], &lines[2]])
        } else {
            signed("hmac-sha256", "@request-target date", &[&lines[0], &lines[1]])
        };
        let fields = [("Authorization", authorization.as_str()), ("Date", &date), ("Digest", digest)];
        bench(body.clone()).send("POST", "/", &fields, sent.to_owned()).status()
    };
    assert_eq!(send("four", &sha("four"), true), 200);
    assert_eq!(send("evil", &sha("four"), true), 401);
    assert_eq!(send("evil", &sha("evil"), true), 401);
    assert_eq!(send("evil", &sha("evil"), false), 401, "a digest that isn't signed proves nothing");
    assert_eq!(send("", &sha("four"), true), 401);
    assert_eq!(send("more than 8 bytes", &sha("four"), true), 413);
}

#[test]
fn strangers_are_guests_and_bad_bodies_refused() {
    let mut guests = bench(json!({ "anonymous_consumer": "guest" }));
    assert_eq!(guests.get("/").seen().head.get_str("X-Consumer-Username"), Some("guest"));
    for body in [
        json!({ "allowed_algorithms": ["md5"] }),
        json!({ "allowed_algorithms": [] }),
        json!({ "signed_headers": [""] }),
        json!({ "clock_skew": -1 }),
        json!({ "realm": "a\nb" }),
    ] {
        assert!(try_harness(&PLUGIN, body.clone()).is_err(), "{body}");
    }
}
