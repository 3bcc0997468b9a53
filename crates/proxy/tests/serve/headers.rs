//! What the upstream is told, and what of a client's word is dropped.

use serde_json::json;
use usher_proxy::options::{Options, network};

use crate::origin::Origin;
use crate::support::{Gateway, apisix, options};
use crate::trial::logged;

fn to_echo(options: Options) -> (Gateway, Origin) {
    let origin = Origin::echo();
    let route = json!({
        "uri": "/*", "upstream": origin.upstream(), "plugins": { "trial": { "log": "headers" } },
    });
    (Gateway::start_with(options, &[("routes/1", route)]), origin)
}

#[test]
fn the_upstream_learns_where_a_request_comes_from() {
    let (gateway, origin) = to_echo(options());
    gateway.send("GET", "/", "Host: A.test:8080\r\nX-Forwarded-For: 1.2.3.4\r\n", b"");
    let seen = origin.last();
    for (name, value) in [
        ("host", "A.test:8080"),
        ("x-real-ip", "127.0.0.1"),
        ("x-forwarded-for", "1.2.3.4, 127.0.0.1"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-host", "A.test:8080"),
        ("x-forwarded-port", "8080"),
    ] {
        assert_eq!(seen.fields(name), [value], "{name}");
    }
    gateway.get("/");
    let port = gateway.address.port().to_string();
    assert_eq!(origin.last().fields("x-forwarded-port"), [port.as_str()]);
    assert_eq!(origin.last().fields("x-forwarded-for"), ["127.0.0.1"]);
}

#[test]
fn a_client_s_word_is_overwritten_or_dropped() {
    let (gateway, origin) = to_echo(options());
    let fields = "X-Real-IP: 9.9.9.9\r\nx-forwarded-proto: https\r\nX-Forwarded-Host: evil\r\nX-Forwarded-Port: 1\r\n\
        Forwarded: for=9.9.9.9\r\nX_Real_IP: 9.9.9.9\r\nX_Forwarded_For: 9.9.9.9\r\nX-Original-URL: /admin\r\n\
        X-Rewrite-Url: /admin\r\nX-HTTP-Method-Override: DELETE\r\nX-Consumer-Username: root\r\nx_consumer_username: root\r\n\
        X-Credential-Identifier: 1\r\nX-CONSUMER-CUSTOM-ID: 1\r\nX-Badge: gold\r\nX_own: kept\r\n";
    gateway.send("GET", "/", fields, b"");
    let seen = origin.last();
    assert_eq!(seen.fields("x-real-ip"), ["127.0.0.1"]);
    assert_eq!(seen.fields("x-forwarded-proto"), ["http"]);
    assert_eq!(seen.fields("x-forwarded-host"), ["a.test"]);
    assert_eq!(seen.fields("x-forwarded-for"), ["127.0.0.1"]);
    for name in [
        "forwarded",
        "x_real_ip",
        "x_forwarded_for",
        "x-original-url",
        "x-rewrite-url",
        "x-http-method-override",
        "x-consumer-username",
        "x_consumer_username",
        "x-credential-identifier",
        "x-consumer-custom-id",
        "x-badge",
    ] {
        assert!(seen.fields(name).is_empty(), "{name} passed: {}", seen.head);
    }
    assert_eq!(seen.field("x_own"), Some("kept"));
}

#[test]
fn a_trusted_proxy_is_believed_and_others_are_not() {
    let trusted = |text: &str| vec![network("127.0.0.1").unwrap(), network(text).unwrap()];
    let (gateway, origin) = to_echo(Options { trusted_addresses: trusted("10.0.0.0/8"), ..options() });
    let fields = "X-Forwarded-For: 6.6.6.6, 1.2.3.4, 10.1.1.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: real.test\r\n\
        X-Forwarded-Port: 443\r\nX_Forwarded_Proto: ftp\r\n";
    gateway.send("GET", "/", fields, b"");
    let seen = origin.last();
    assert_eq!(seen.fields("x-real-ip"), ["1.2.3.4"], "the first hop from the right that isn't trusted");
    assert_eq!(seen.fields("x-forwarded-for"), ["6.6.6.6, 1.2.3.4, 10.1.1.1, 1.2.3.4"]);
    assert_eq!(seen.fields("x-forwarded-proto"), ["https"]);
    assert_eq!(seen.fields("x_forwarded_proto").len(), 0);
    assert_eq!(seen.fields("x-forwarded-host"), ["real.test"]);
    assert_eq!(seen.fields("x-forwarded-port"), ["443"]);
    crate::support::eventually("the log", || !logged("headers").is_empty());
    assert_eq!(logged("headers")[0]["remote_addr"], "1.2.3.4");

    let (gateway, origin) =
        to_echo(Options { trusted_addresses: vec![network("10.0.0.0/8").unwrap()], ..options() });
    gateway.send("GET", "/", fields, b"");
    let seen = origin.last();
    assert_eq!(seen.fields("x-real-ip"), ["127.0.0.1"]);
    assert_eq!(seen.fields("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(seen.fields("x-forwarded-proto"), ["http"]);
    crate::support::eventually("the log", || logged("headers").len() == 2);
    assert_eq!(logged("headers")[1]["original_x_forwarded_for"], "6.6.6.6, 1.2.3.4, 10.1.1.1");
}

#[test]
fn a_loopback_client_names_its_own_address_only_under_compat() {
    let elsewhere = Options { trusted_addresses: vec![network("10.0.0.0/8").unwrap()], ..apisix() };
    for (options, wanted, chain) in [
        (options(), "127.0.0.1", "1.2.3.4, 127.0.0.1"),
        (apisix(), "9.9.9.9", "1.2.3.4, 9.9.9.9"),
        (elsewhere, "9.9.9.9", "9.9.9.9"),
    ] {
        let (gateway, origin) = to_echo(options);
        gateway.send("GET", "/", "X-Real-IP: 9.9.9.9\r\n", b"");
        assert_eq!(origin.last().fields("x-real-ip"), [wanted]);
        assert_eq!(origin.last().fields("x-forwarded-for"), [wanted], "remote_addr, whatever it is");
        gateway.send("GET", "/", "X-Real-IP: 9.9.9.9\r\nX-Forwarded-For: 1.2.3.4\r\n", b"");
        assert_eq!(
            origin.last().fields("x-forwarded-for"),
            [chain],
            "the client's own value, then remote_addr"
        );
    }
}

#[test]
fn what_belongs_to_one_connection_goes_no_further() {
    let bytes = "HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Hop\r\nKeep-Alive: timeout=5\r\nX-Hop: 1\r\nX-Kept: 1\r\n\
        Proxy-Connection: x\r\nX-Accel-Redirect: /internal\r\nX-Accel-Buffering: no\r\nContent-Length: 2\r\n\r\nok";
    let origin = Origin::bytes(bytes);
    let gateway = Gateway::to(origin.upstream());
    let fields = "Connection: close, X-Hop, X-Forwarded-For, X-Real-IP, Authorization\r\nX-Hop: 1\r\nX-Kept: 1\r\nTE: trailers\r\n\
        Keep-Alive: 5\r\nProxy-Connection: x\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\nAuthorization: x\r\n";
    let answer = gateway.send("GET", "/", fields, b"");
    let seen = origin.last();
    for name in [
        "connection",
        "x-hop",
        "te",
        "keep-alive",
        "proxy-connection",
        "upgrade",
        "http2-settings",
        "authorization",
    ] {
        assert!(seen.fields(name).is_empty(), "{name} passed: {}", seen.head);
    }
    assert_eq!(seen.fields("x-kept"), ["1"]);
    assert_eq!(seen.fields("x-real-ip"), ["127.0.0.1"], "the gateway's own word stays");
    for name in ["keep-alive", "x-hop", "proxy-connection", "x-accel-redirect", "x-accel-buffering"] {
        assert_eq!(answer.field(name), None, "{name} passed");
    }
    assert_eq!(answer.field("x-kept"), Some("1"));
    assert_eq!(answer.field("connection"), Some("close"), "the client asked for it");
}

#[test]
fn the_host_follows_the_upstream_s_rule() {
    let origin = Origin::echo();
    let node = origin.address.to_string();
    for (rule, wanted) in [
        (json!({ "pass_host": "pass" }), "A.test:81"),
        (json!({ "pass_host": "node" }), node.as_str()),
        (json!({ "pass_host": "rewrite", "upstream_host": "other.test" }), "other.test"),
    ] {
        let mut upstream = origin.upstream();
        upstream.as_object_mut().unwrap().extend(rule.as_object().unwrap().clone());
        let gateway = Gateway::to(upstream);
        gateway.send("GET", "/", "Host: A.test:81\r\n", b"");
        assert_eq!(origin.last().fields("host"), [wanted], "{rule}");
        assert_eq!(origin.last().fields("x-forwarded-host"), ["A.test:81"]);
    }
    let gateway = Gateway::to(origin.upstream());
    let mut client = gateway.connect();
    client.write("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(client.answer().unwrap().status, 200);
    assert_eq!(origin.last().fields("host"), [node.as_str()], "HTTP/1.1 can't do without a Host");
}

#[test]
fn the_path_that_was_routed_is_the_path_that_is_forwarded() {
    let origin = Origin::echo();
    let gateway = Gateway::start(&[
        ("routes/1", json!({ "uri": "/pub/*", "upstream": origin.upstream() })),
        ("routes/2", json!({ "uri": "/admin*", "plugins": { "trial": { "reply": 403 } } })),
    ]);
    for (target, wanted) in [
        ("/pub/x?a=//b/../%2e", Ok("/pub/x?a=//b/../%2e")),
        ("//pub///x", Ok("/pub/x")),
        ("/pub/%7ex%2fy", Ok("/pub/~x%2Fy")),
        ("/pub/./a/../b/", Ok("/pub/b/")),
        ("http://a.test/pub/%61", Ok("/pub/a")),
        ("/pub/../admin", Err(403)),
        ("/pub/%2e%2e/admin", Err(403)),
        ("//admin", Err(403)),
        ("/pub/..;/admin", Err(403)),
        ("/%61dmin", Err(403)),
        ("/pub/..%2fadmin", Err(400)),
        ("/pub/%5c..%5cadmin", Err(400)),
        ("/pub/%00", Err(400)),
        ("/pub/%", Err(400)),
        ("/pub/%c0%af../admin", Err(400)),
        ("/../pub/x", Err(400)),
    ] {
        let before = origin.seen().len();
        let answer = gateway.get(target);
        match wanted {
            Ok(path) => assert_eq!(origin.last().line(), format!("GET {path} HTTP/1.1"), "{target}"),
            Err(status) => {
                assert_eq!(answer.status, status, "{target}");
                assert_eq!(origin.seen().len(), before, "{target} reached the upstream");
            }
        }
    }
}
