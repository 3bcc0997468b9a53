//! Plugins on the engine's way: phases, bodies, answers of their own, calls, logs, and what a panic costs.

use std::io::Write as _;

use serde_json::{Value, json};

use crate::origin::{Origin, answer, nobody};
use crate::support::{Gateway, eventually};
use crate::trial::logged;

fn with(plugins: Value) -> (Gateway, Origin) {
    let origin = Origin::echo();
    (Gateway::with_plugins(origin.upstream(), plugins), origin)
}

#[test]
fn bodies_may_be_read_replaced_and_changed_on_their_way() {
    for (plugins, sent, wanted, read) in [
        (json!({ "trial": { "read": 100 } }), "hello", "hello", Some("5")),
        (json!({ "trial": { "replace": "other" } }), "hello", "other", None),
        (json!({ "trial": { "shout": ["request"] } }), "hello", "HELLO!", None),
        (json!({ "trial": { "read": 100, "shout": ["request"] } }), "hello", "HELLO!", Some("5")),
        (json!({ "trial": { "replace": "" } }), "hello", "", None),
    ] {
        let (gateway, origin) = with(plugins.clone());
        for chunked in [false, true] {
            let mut client = gateway.connect();
            if chunked {
                client.write("POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n");
                for byte in sent.as_bytes() {
                    client.write(format!("1\r\n{}\r\n", char::from(*byte)));
                }
                client.write("0\r\n\r\n");
            } else {
                client.request("POST", "/", "", sent.as_bytes());
            }
            let answer = client.answer().unwrap();
            assert_eq!(answer.status, 200, "{plugins}");
            let seen = origin.last();
            assert_eq!((seen.text().as_str(), seen.field("x-read")), (wanted, read), "{plugins}");
            if answer.field("connection") == Some("close") {
                // How much of a chunked body is still to come is not known: where nobody read it, it may be the end, and that is said.
                assert!(chunked && plugins["trial"].get("replace").is_some(), "{plugins}");
                continue;
            }
            // The connection goes on: whatever was left of the body was read.
            client.request("GET", "/", "", b"");
            assert_eq!(client.answer().unwrap().status, 200, "{plugins}");
        }
    }
}

#[test]
fn a_body_that_is_too_large_for_a_plugin_is_refused_and_its_connection_closed() {
    let (gateway, origin) = with(json!({ "trial": { "read": 4 } }));
    let mut client = gateway.connect();
    client.write("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1000000000\r\n\r\n");
    let answer = client.answer().unwrap();
    assert_eq!((answer.status, answer.field("connection")), (413, Some("close")));
    assert_eq!(origin.seen().len(), 0);
}

#[test]
fn answers_may_be_changed_on_their_way() {
    let (gateway, _) = with(json!({ "trial": { "shout": ["answer"], "fields": { "X-Late": "1" } } }));
    let answer = gateway.get("/x");
    assert!(
        answer.text().starts_with("GET /X HTTP/1.1") && answer.text().ends_with('!'),
        "{}",
        answer.text()
    );
    assert_eq!((answer.field("x-late"), answer.field("content-length")), (Some("1"), None));
    // HEAD is told no length that the body of GET would not have.
    let head = gateway.send("HEAD", "/x", "", b"");
    assert_eq!((head.status, head.field("content-length"), head.body.len()), (200, None, 0));
    let (plain, _) = with(json!({}));
    assert!(plain.send("HEAD", "/x", "", b"").field("content-length").is_some());

    // The gateway's own answers take the same way; being whole, they keep a length.
    let route =
        json!({ "uri": "/*", "plugins": { "trial": { "reply": 400, "body": "own", "shout": ["answer"] } } });
    let answer = Gateway::start(&[("routes/1", route)]).get("/");
    assert_eq!((answer.text().as_str(), answer.field("content-length")), ("OWN!", Some("4")));
}

#[test]
fn a_step_that_only_looks_leaves_the_length_and_one_that_adds_gives_an_empty_answer_a_body() {
    for (body, config, wanted, length) in [
        ("hello", json!({ "watch": true }), "hello", Some("5")),
        ("", json!({ "watch": true }), "", Some("0")),
        ("hello", json!({ "shout": ["answer"] }), "HELLO!", None),
        ("", json!({ "shout": ["answer"] }), "!", None),
    ] {
        let origin = Origin::bytes(answer(200, &[], body));
        let answer = Gateway::with_plugins(origin.upstream(), json!({ "trial": config })).get("/");
        assert_eq!(
            (answer.text().as_str(), answer.field("content-length")),
            (wanted, length),
            "{config} {body}"
        );
    }
}

#[test]
fn a_step_that_refuses_cuts_the_body_visibly() {
    let origin = Origin::bytes(answer(200, &[], "please refuse this"));
    let gateway = Gateway::with_plugins(origin.upstream(), json!({ "trial": { "shout": ["answer"] } }));
    let mut client = gateway.connect();
    client.request("GET", "/", "", b"");
    assert!(client.answer().is_none());
}

#[test]
fn plugins_answer_whole_or_in_pieces_and_bare_answers_get_a_page() {
    for (config, wanted, length) in [
        (json!({ "reply": 200, "body": "whole" }), "whole", Some("5")),
        (json!({ "reply": 200, "body": "in pieces", "stream": true }), "in pieces", None),
        (json!({ "reply": 200 }), "", Some("0")),
    ] {
        let (gateway, origin) = with(json!({ "trial": config }));
        let mut client = gateway.connect();
        for _ in 0..2 {
            client.request("GET", "/", "", b"");
            let answer = client.answer().unwrap();
            assert_eq!(
                (answer.text().as_str(), answer.field("content-length")),
                (wanted, length),
                "{config}"
            );
        }
        client.request("HEAD", "/", "", b"");
        assert_eq!(client.answer_to("HEAD").unwrap().status, 200);
        assert_eq!(origin.seen().len(), 0);
    }
    let (gateway, _) = with(json!({ "trial": { "reply": 403 } }));
    assert!(gateway.get("/").text().contains("<h1>403 Forbidden</h1>"));
}

#[test]
fn header_filter_may_replace_an_answer() {
    let (gateway, origin) = with(json!({ "trial": { "late_reply": 404, "body": "hidden" } }));
    let mut client = gateway.connect();
    for at in 1..=2 {
        client.request("GET", "/", "", b"");
        let answer = client.answer().unwrap();
        assert_eq!((answer.status, answer.text().as_str(), answer.field("x-two")), (404, "hidden", None));
        assert_eq!(origin.seen().len(), at);
    }
}

#[test]
fn global_rules_come_first_and_run_without_a_route_too() {
    let origin = Origin::echo();
    let gateway = Gateway::start(&[
        (
            "global_rules/1",
            json!({ "plugins": { "trial": { "mark": "global", "fields": { "X-Global": "1" } } } }),
        ),
        (
            "routes/1",
            json!({ "uri": "/here", "upstream": origin.upstream(), "plugins": { "trial-two": { "mark": "route" } } }),
        ),
    ]);
    assert_eq!(gateway.get("/here").field("x-global"), Some("1"));
    assert_eq!(origin.last().fields("x-mark"), ["global", "route"]);
    let answer = gateway.get("/elsewhere");
    assert_eq!((answer.status, answer.field("x-global")), (404, Some("1")));
}

#[test]
fn a_consumer_s_plugins_are_laid_over_the_route_s() {
    let origin = Origin::echo();
    let door = |key: &str| json!({ "door": { "key": key } });
    let mut special = door("k2");
    special["trial"] = json!({ "mark": "consumer" });
    let gateway = Gateway::start(&[
        ("consumers/plain", json!({ "username": "plain", "plugins": door("k1") })),
        ("consumers/special", json!({ "username": "special", "plugins": special })),
        (
            "routes/1",
            json!({
                "uri": "/*", "upstream": origin.upstream(), "plugins": { "door": {}, "trial": { "mark": "route" } },
            }),
        ),
    ]);
    for (key, name, mark) in [("k1", "plain", "route"), ("k2", "special", "consumer")] {
        assert_eq!(gateway.send("GET", "/", &format!("X-Door: {key}\r\n"), b"").status, 200);
        assert_eq!(origin.last().fields("x-mark"), [mark]);
        assert_eq!(origin.last().fields("x-consumer-username"), [name]);
    }
    let answer = gateway.get("/");
    assert_eq!((answer.status, answer.field("www-authenticate")), (401, Some("Door")));
}

#[test]
fn plugins_call_other_servers_over_kept_connections() {
    let other = Origin::start(|seen, stream| stream.write_all(&answer(207, &[], seen.line())).is_ok());
    let (gateway, origin) =
        with(json!({ "trial": { "fetch": format!("http://{}/ask?x=1", other.address) } }));
    for _ in 0..3 {
        gateway.get("/");
        assert_eq!(origin.last().field("x-fetched"), Some("207 GET /ask?x=1 HTTP/1.1"));
    }
    assert_eq!(
        (other.connections(), other.last().field("host")),
        (1, Some(other.address.to_string().as_str()))
    );
}

#[test]
fn calls_that_fail_say_why() {
    let silent = Origin::start(|_, _| {
        loop {
            std::thread::park();
        }
    });
    let large = Origin::bytes(format!("HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n{}", "x".repeat(1001)));
    let endless = Origin::start(|_, stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        while stream.write_all(&[b'x'; 100]).is_ok() {}
        false
    });
    let cut = Origin::last_bytes("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf");
    for (url, part) in [
        (format!("http://{}/", nobody()), "could not reach"),
        (format!("http://{}/", silent.address), "did not answer in time"),
        (format!("http://{}/", large.address), "larger than 1000 bytes"),
        (format!("http://{}/", endless.address), "larger than 1000 bytes"),
        (format!("http://{}/", cut.address), "closed before the end"),
        (format!("https://{}/", Origin::fixed("plain").address), "TLS"),
        ("http://169.254.169.254/latest/meta-data".to_owned(), "does not call"),
        ("ftp://a.test/".to_owned(), "not a usable URL"),
    ] {
        let (gateway, origin) = with(json!({ "trial": { "fetch": url, "fetch_ms": 500 } }));
        assert_eq!(gateway.get("/").status, 200);
        let fetched = origin.last().field("x-fetched").unwrap().to_owned();
        assert!(fetched.contains(part), "{url}: {fetched}");
    }
}

#[test]
fn the_log_sees_each_request_once_with_what_became_of_it() {
    let origin = Origin::bytes(answer(500, &[], "12345"));
    let gateway = Gateway::with_plugins(origin.upstream(), json!({ "trial": { "log": "once" } }));
    let mut client = gateway.connect();
    client.request("POST", "//x?y", "", b"abc");
    client.answer().unwrap();
    eventually("the log", || !logged("once").is_empty());
    let seen = logged("once");
    assert_eq!(seen.len(), 1);
    for (name, value) in [
        ("status", "500"),
        ("uri", "/x"),
        ("request_uri", "/x?y"),
        ("upstream_status", "500"),
        ("upstream_addr", &origin.address.to_string()),
        ("upstream_host", "a.test"),
        ("upstream_scheme", "http"),
        ("body_bytes_sent", "5"),
        ("remote_addr", "127.0.0.1"),
        ("route_id", "1"),
    ] {
        assert_eq!(seen[0][name], value, "{name}");
    }
    let head = "POST //x?y HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\n\r\n".len();
    assert_eq!(seen[0]["request_length"], (head + 3).to_string());
}

#[test]
fn a_client_that_leaves_is_logged_as_499_and_its_upstream_let_go() {
    let (asked, waits) = std::sync::mpsc::sync_channel(1);
    let origin = Origin::start(move |_, stream| {
        asked.send(()).unwrap();
        // Ends when the gateway lets go.
        std::io::Read::read(stream, &mut [0]).unwrap();
        asked.send(()).unwrap();
        false
    });
    let gateway = Gateway::with_plugins(origin.upstream(), json!({ "trial": { "log": "gone" } }));
    let mut client = gateway.connect();
    client.request("GET", "/", "", b"");
    waits.recv().unwrap();
    drop(client);
    waits.recv().unwrap();
    eventually("the log", || !logged("gone").is_empty());
    assert_eq!(logged("gone")[0]["status"], "499");
    // Counted behind the log.
    eventually("the counts", || {
        gateway.live().traffic(1).first().is_some_and(|row| (row.requests, row.by_class[3]) == (1, 1))
    });
}

#[test]
fn a_panic_is_a_500_for_one_client_and_nothing_for_the_others() {
    let origin = Origin::fixed("ok");
    let gateway = Gateway::start(&[
        ("routes/1", json!({ "uri": "/fine", "upstream": origin.upstream() })),
        (
            "routes/2",
            json!({ "uri": "/panic", "upstream": origin.upstream(), "plugins": { "trial": { "panic": true } } }),
        ),
    ]);
    let mut other = gateway.connect();
    other.request("GET", "/fine", "", b"");
    other.answer().unwrap();
    for _ in 0..3 {
        let mut client = gateway.connect();
        client.request("GET", "/panic", "", b"");
        let answer = client.answer().unwrap();
        assert_eq!((answer.status, answer.field("connection")), (500, Some("close")));
        assert!(client.is_closed());
    }
    other.request("GET", "/fine", "", b"");
    assert_eq!(other.answer().unwrap().status, 200);
    eventually("the counts", || {
        let traffic = gateway.live().traffic(10);
        traffic.iter().any(|row| row.route == "2" && row.by_class == [0, 0, 0, 0, 3])
    });
}
