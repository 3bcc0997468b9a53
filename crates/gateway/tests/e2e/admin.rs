//! The Admin API of the binary, and the gateway that follows it at once.

use serde_json::json;

use crate::support::{KEY, Origin, Usher, request};

#[test]
fn a_2xx_means_live() {
    let (one, two) = (Origin::start("one"), Origin::start("two"));
    let usher = Usher::start(&[]);
    for turn in 0..50 {
        let origin = if turn % 2 == 0 { &one } else { &two };
        usher.put("/upstreams/u", &origin.upstream());
        usher.put("/routes/1", &json!({ "uri": "/*", "upstream_id": "u" }));
        let wanted = if turn % 2 == 0 { "one" } else { "two" };
        assert_eq!(usher.get("/x", &[]).json()["origin"], wanted, "turn {turn}");
    }
    assert_eq!(usher.admin("DELETE", "/routes/1", None).status, 200);
    let gone = usher.get("/x", &[]);
    assert_eq!((gone.status, gone.text().as_str()), (404, "{\"error_msg\":\"404 Route Not Found\"}\n"));
}

#[test]
fn bad_input_changes_nothing_and_names_the_field() {
    let usher = Usher::start(&["--store", "memory"]);
    usher.put("/routes/1", &json!({ "uri": "/a", "plugins": { "cors": {} } }));
    let before = usher.admin("GET", "/routes/1", None).text();
    for (body, part) in [
        (json!({ "uri": "/a", "foo": 1, "plugins": {} }), "additional properties forbidden, found foo"),
        (json!({ "uri": 7, "plugins": {} }), "wrong type: expected string, got number"),
        (
            json!({ "uri": "/a", "upstream_id": "nine" }),
            "failed to fetch upstream info by upstream id [nine], response code: 404",
        ),
        (json!({ "uri": "/a", "plugins": { "limit-cout": {} } }), "unknown plugin [limit-cout]"),
        (
            json!({ "uri": "/a", "plugins": { "limit-count": { "time_window": 1 } } }),
            "failed to check the configuration of plugin limit-count err",
        ),
        (
            json!({ "uri": "/a", "filter_func": "function(vars) return true", "plugins": {} }),
            "failed to load 'filter_func' string: filter_func:1: ",
        ),
    ] {
        let answer = usher.admin("PUT", "/routes/1", Some(&body));
        assert_eq!(answer.status, 400, "{body} was answered with {}", answer.text());
        assert!(answer.text().contains(part), "{part} is missing in {}", answer.text());
    }
    let broken =
        request(usher.address("admin"), "PUT", "/apisix/admin/routes/1", &[("X-API-KEY", KEY)], b"{\"uri\":");
    assert_eq!(broken.status, 400);
    assert_eq!(usher.admin("GET", "/routes/1", None).text(), before);
}

#[test]
fn what_two_consumers_may_not_share_is_named() {
    let usher = Usher::start(&["--store", "memory"]);
    let basic = |user: &str| json!({ "basic-auth": { "username": user, "password": "p" } });
    usher.put("/consumers/jack", &json!({ "username": "jack", "plugins": basic("j") }));
    usher.put("/consumers/jack/credentials/c1", &json!({ "plugins": basic("mobile") }));
    for (user, whose) in [("j", "consumer: jack"), ("mobile", "credential: c1 of consumer: jack")] {
        let body = json!({ "username": "jill", "plugins": basic(user) });
        let answer = usher.admin("PUT", "/consumers/jill", Some(&body));
        let sentence = format!("duplicate username of plugin basic-auth found with {whose}");
        assert_eq!((answer.status, &answer.json()["error_msg"]), (400, &json!(sentence)));
    }
}

#[test]
fn a_key_of_a_consumer_is_never_on_disk_in_clear() {
    let origin = Origin::start("a");
    let usher = Usher::start(&[]);
    usher.put(
        "/consumers/jack",
        &json!({ "username": "jack", "plugins": { "key-auth": { "key": "canary-7f3e91" } } }),
    );
    usher.put(
        "/routes/1",
        &json!({ "uri": "/*", "plugins": { "key-auth": {} }, "upstream": origin.upstream() }),
    );
    assert_eq!(usher.get("/x", &[("apikey", "canary-7f3e91")]).status, 200);
    assert_eq!(usher.get("/x", &[("apikey", "wrong")]).status, 401);
    let seen = usher.get("/x", &[("apikey", "canary-7f3e91"), ("X-Consumer-Username", "root")]).json();
    let head = seen["head"].as_str().unwrap().to_ascii_lowercase();
    assert!(head.contains("x-consumer-username: jack") && !head.contains("root"), "{head}");
    let folder = usher.kill();
    for entry in std::fs::read_dir(folder.path().join("data")).unwrap().flatten() {
        let bytes = std::fs::read(entry.path()).unwrap();
        let found = bytes.windows(13).any(|window| window == b"canary-7f3e91");
        assert!(!found, "{} holds the key in clear", entry.path().display());
    }
    let usher = Usher::start_in(folder, &[]);
    assert_eq!(usher.get("/x", &[("apikey", "canary-7f3e91")]).status, 200);
}

#[test]
fn malformed_requests_get_400_and_a_closed_connection() {
    use std::io::{Read as _, Write as _};
    let usher = Usher::start(&["--store", "memory"]);
    for raw in [
        "GET /x HTTP/1.1\r\n\r\n",
        "GET /x HTTP/1.1\nHost: a\n\n",
        "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ] {
        let mut stream = std::net::TcpStream::connect(usher.address("proxy")).unwrap();
        stream.write_all(raw.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 "), "{raw:?} was answered with {answer:?}");
    }
}

#[test]
fn metrics_count_what_was_served() {
    let origin = Origin::start("a");
    let usher = Usher::start(&["--store", "memory"]);
    usher.put(
        "/routes/m",
        &json!({ "uri": "/*", "plugins": { "prometheus": {} }, "upstream": origin.upstream() }),
    );
    for _ in 0..3 {
        assert_eq!(usher.get("/x", &[]).status, 200);
    }
    crate::support::eventually("the metrics", || {
        let text = request(usher.address("metrics"), "GET", "/apisix/prometheus/metrics", &[], b"").text();
        text.lines().any(|line| {
            line.starts_with("apisix_http_status{") && line.contains("route=\"m\"") && line.ends_with(" 3")
        })
    });
    assert_eq!(request(usher.address("metrics"), "GET", "/other", &[], b"").status, 404);
}

#[test]
fn an_upstream_may_name_a_client_certificate_by_its_id() {
    let usher = Usher::start(&["--store", "memory"]);
    let made = rcgen::generate_simple_self_signed(vec!["a.example".to_owned()]).unwrap();
    let (cert, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    usher.put("/ssls/client", &json!({ "type": "client", "cert": cert, "key": key }));
    usher.put("/ssls/server", &json!({ "sni": "a.example", "cert": cert, "key": key }));
    // It is tried to be built before it is stored, and that must not need what only the running gateway knows.
    let upstream = |id: &str| json!({ "scheme": "https", "nodes": { "127.0.0.1:9": 1 }, "tls": { "client_cert_id": id } });
    usher.put("/upstreams/u", &upstream("client"));
    usher.put("/services/s", &json!({ "upstream": upstream("client") }));
    usher.put("/routes/r", &json!({ "uri": "/a", "upstream": upstream("client") }));
    let status =
        request(usher.address("admin"), "GET", "/usher/v1/status", &[("X-API-KEY", KEY)], b"").json();
    assert_eq!(status["problems"], json!([]), "{status}");
    for (id, part) in [("server", "wrong ssl type"), ("none", "response code: 404")] {
        for (path, value) in
            [("/upstreams/u", upstream(id)), ("/routes/r", json!({ "uri": "/a", "upstream": upstream(id) }))]
        {
            let answer = usher.admin("PUT", path, Some(&value));
            assert_eq!(answer.status, 400, "{}", answer.text());
            assert!(answer.text().contains(part), "{}", answer.text());
        }
    }
}

#[test]
fn stream_routes_are_stored_where_the_settings_say_so() {
    let route = json!({ "server_port": 9100, "upstream": { "nodes": { "127.0.0.1:9": 1 } } });
    for (mode, status) in [("http", 400), ("http&stream", 201)] {
        let folder = std::sync::Arc::new(tempfile::tempdir().unwrap());
        let config = folder.path().join("config.yaml");
        std::fs::write(&config, format!("apisix: {{proxy_mode: {mode}}}\n")).unwrap();
        let words = ["--store", "memory", "--config", config.to_str().unwrap()];
        let usher = Usher::start_in(std::sync::Arc::clone(&folder), &words);
        let answer = usher.admin("PUT", "/stream_routes/1", Some(&route));
        assert_eq!(answer.status, status, "{mode}: {}", answer.text());
        if status == 400 {
            assert!(answer.text().contains("stream mode is disabled"), "{}", answer.text());
        } else {
            assert_eq!(usher.admin("GET", "/stream_routes/1", None).json()["value"]["server_port"], 9100);
        }
    }
}
