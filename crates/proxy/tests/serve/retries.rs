//! When a request is sent again, and when it never is.

use std::io::Write as _;
use std::net::TcpListener;

use serde_json::{Value, json};

use crate::origin::{Origin, answer, nobody};
use crate::support::Gateway;

fn nodes(addresses: &[std::net::SocketAddr]) -> Value {
    let nodes: Vec<Value> = addresses
        .iter()
        .enumerate()
        .map(|(at, address)| {
            // The first one is tried first.
            json!({ "host": address.ip().to_string(), "port": address.port(), "weight": 1, "priority": -i64::try_from(at).unwrap() })
        })
        .collect();
    json!({ "nodes": nodes })
}

fn with(mut upstream: Value, members: Value) -> Value {
    upstream.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    upstream
}

/// Takes the request and closes without a word.
fn closing() -> Origin {
    Origin::start(|_, _| false)
}

#[test]
fn what_was_never_sent_goes_to_the_next_node_whatever_it_is() {
    let good = Origin::echo();
    let gateway = Gateway::to(nodes(&[nobody(), good.address]));
    for method in ["GET", "POST", "PATCH"] {
        let answer = gateway.send(method, "/", "", b"body");
        assert_eq!(answer.status, 200, "{method}");
        assert_eq!(good.last().text(), "body");
    }
    assert_eq!(good.seen().len(), 3);
}

#[test]
fn after_bytes_were_sent_only_idempotent_requests_are_repeated() {
    for (method, wanted) in [
        ("GET", 200),
        ("PUT", 200),
        ("DELETE", 200),
        ("HEAD", 200),
        ("POST", 502),
        ("PATCH", 502),
        ("LOCK", 502),
        ("CUSTOM", 502),
    ] {
        let (bad, good) = (closing(), Origin::fixed("ok"));
        let gateway = Gateway::to(nodes(&[bad.address, good.address]));
        let answer = gateway.send(method, "/", "", b"body");
        assert_eq!(answer.status, wanted, "{method}");
        let passed = usize::from(wanted == 200);
        assert_eq!((bad.seen().len(), good.seen().len()), (1, passed), "{method}");
        let statuses = (wanted != 200).then_some("502");
        assert_eq!(answer.field("x-apisix-upstream-status"), statuses);
    }
}

#[test]
fn a_body_that_streams_is_sent_once() {
    let (bad, good) = (closing(), Origin::fixed("ok"));
    let gateway = Gateway::to(nodes(&[bad.address, good.address]));
    let mut client = gateway.connect();
    client.write("PUT / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 100000\r\n\r\n");
    client.write([b'x'; 50_000]);
    crate::support::eventually("the first half", || bad.connections() == 1);
    client.write([b'x'; 50_000]);
    assert_eq!(client.answer().unwrap().status, 502);
    assert_eq!((bad.seen().len(), good.seen().len()), (1, 0));
}

#[test]
fn an_answer_of_5xx_or_against_the_rules_is_not_retried() {
    for (bytes, wanted) in [
        (answer(500, &[], "mine"), 500),
        (answer(503, &[], "mine"), 503),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec(), 502),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n".to_vec(), 502),
        (b"HTTP/1.1 99 Low\r\n\r\n".to_vec(), 502),
        (b"HTTP/1.1 200 OK\nContent-Length: 0\n\n".to_vec(), 502),
        (b"nonsense\r\n\r\n".to_vec(), 502),
        (
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n".to_vec(),
            502,
        ),
    ] {
        let (bad, good) = (Origin::bytes(bytes.clone()), Origin::fixed("ok"));
        let gateway = Gateway::to(nodes(&[bad.address, good.address]));
        let answer = gateway.get("/");
        let case = String::from_utf8_lossy(&bytes).into_owned();
        assert_eq!((answer.status, good.seen().len()), (wanted, 0), "{case}");
        assert_eq!(answer.field("x-apisix-upstream-status"), Some(wanted.to_string().as_str()), "{case}");
    }
}

#[test]
fn retries_are_as_many_as_the_upstream_says() {
    let three = [nobody(), nobody(), nobody()];
    for (members, statuses) in [
        (json!({}), "502, 502, 502"),
        (json!({ "retries": 1 }), "502, 502"),
        (json!({ "retries": 0 }), "502"),
        (json!({ "retries": 9 }), "502, 502, 502"),
    ] {
        let answer = Gateway::to(with(nodes(&three), members.clone())).get("/");
        assert_eq!(
            (answer.status, answer.field("x-apisix-upstream-status")),
            (502, Some(statuses)),
            "{members}"
        );
    }
}

#[test]
fn a_node_that_is_silent_too_long_is_given_up_and_the_client_told_504() {
    let silent = Origin::start(|_, _| {
        loop {
            std::thread::park();
        }
    });
    let timeout = json!({ "timeout": { "connect": 1, "send": 1, "read": 0.2 } });
    let gateway = Gateway::to(with(silent.upstream(), timeout.clone()));
    let answer = gateway.get("/");
    assert_eq!((answer.status, answer.field("x-apisix-upstream-status")), (504, Some("504")));
    assert!(answer.text().contains("504 Gateway Time-out"));

    let good = Origin::fixed("ok");
    let gateway = Gateway::to(with(nodes(&[silent.address, good.address]), timeout.clone()));
    assert_eq!(gateway.get("/").status, 200);
    assert_eq!(gateway.send("POST", "/", "", b"").status, 504);

    let members = json!({ "retry_timeout": 0.1, "timeout": timeout["timeout"] });
    let gateway = Gateway::to(with(nodes(&[silent.address, good.address]), members));
    let answer = gateway.get("/");
    assert_eq!((answer.status, answer.field("x-apisix-upstream-status")), (502, Some("504")));

    // The route's own timeouts win.
    let patient = with(silent.upstream(), json!({ "timeout": { "connect": 60, "send": 60, "read": 60 } }));
    let route = json!({ "uri": "/*", "upstream": patient, "timeout": timeout["timeout"] });
    assert_eq!(Gateway::start(&[("routes/1", route)]).get("/").status, 504);
}

#[test]
fn a_connection_that_takes_too_long_is_a_504() {
    // A listener whose queue is full takes no connection and refuses none.
    let full = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = full.local_addr().unwrap();
    let waiting: Vec<_> = (0..1024)
        .map_while(|_| {
            std::net::TcpStream::connect_timeout(&address, std::time::Duration::from_millis(100)).ok()
        })
        .collect();
    if waiting.len() == 1024 {
        // The system's queue is longer than we care to fill.
        return;
    }
    let timeout = json!({ "timeout": { "connect": 0.2, "send": 1, "read": 1 } });
    let answer = Gateway::to(with(json!({ "nodes": { address.to_string(): 1 } }), timeout)).get("/");
    assert_eq!(answer.status, 504);
}

#[test]
fn a_kept_connection_that_died_is_replaced_where_that_is_safe() {
    // Closes each connection when a second request comes by it, without an answer.
    let origin = Origin::start({
        let counted = std::sync::Mutex::new(std::collections::HashMap::new());
        move |seen, stream| {
            let mut counted = counted.lock().unwrap();
            let requests: &mut u32 = counted.entry(seen.connection).or_default();
            *requests += 1;
            *requests == 1 && stream.write_all(&answer(200, &[], "ok")).is_ok()
        }
    });
    let gateway = Gateway::to(origin.upstream());
    let mut client = gateway.connect();
    let statuses: Vec<u16> = ["GET", "GET", "POST"]
        .into_iter()
        .map(|method| {
            client.request(method, "/", "", b"");
            client.answer().unwrap().status
        })
        .collect();
    assert_eq!(statuses, [200, 200, 502], "the POST may have been carried out");
    let by_method =
        |method: &str| origin.seen().iter().filter(|seen| seen.line().starts_with(method)).count();
    assert_eq!((by_method("GET"), by_method("POST"), origin.connections()), (3, 1, 2));
}

#[test]
fn a_kept_connection_that_was_closed_or_has_spoken_unasked_is_never_used() {
    for last_word in ["", "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"] {
        let origin = Origin::start(move |_, stream| {
            stream.write_all(&answer(200, &[], "ok")).unwrap();
            stream.write_all(last_word.as_bytes()).unwrap();
            !last_word.is_empty()
        });
        let gateway = Gateway::to(origin.upstream());
        let mut client = gateway.connect();
        for at in 1..=4 {
            client.request("POST", "/", "", b"x");
            let answer = client.answer().unwrap();
            assert_eq!((answer.status, answer.text().as_str()), (200, "ok"), "{last_word:?}");
            // The end, or the word, has to be there before the next request.
            std::thread::sleep(std::time::Duration::from_millis(50));
            assert_eq!((origin.seen().len(), origin.connections()), (at, at), "{last_word:?}");
        }
    }
}

#[test]
fn before_proxy_runs_on_every_try() {
    let (bad, good) = (closing(), Origin::echo());
    let route = json!({
        "uri": "/*", "upstream": nodes(&[nobody(), bad.address, good.address]), "plugins": { "trial": { "tries": true } },
    });
    assert_eq!(Gateway::start(&[("routes/1", route)]).get("/").status, 200);
    assert_eq!(bad.last().field("x-tries"), Some("2"));
    assert_eq!(good.last().field("x-tries"), Some("3"));
}
