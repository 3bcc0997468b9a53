//! A request that an editor sends through the gateway: what comes back, which way it went, who may, and what is remembered of it.

use serde_json::{Value, json};

use crate::support::{KEY, Origin, Usher, request};

fn call(usher: &Usher, key: &str, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let fields = [("X-API-KEY", key), ("Content-Type", "application/json")];
    let path = format!("/usher/v1{path}");
    let text = if body.is_null() { String::new() } else { body.to_string() };
    let answer = request(usher.address("admin"), method, &path, &fields, text.as_bytes());
    (answer.status, answer.json())
}

fn token(usher: &Usher, role: &str, scope: &Value) -> String {
    let body =
        json!({ "name": format!("{role}-{}", scope["labels"].is_array()), "role": role, "scope": scope });
    let (status, made) = call(usher, KEY, "POST", "/tokens", &body);
    assert_eq!(status, 201, "{made}");
    made["token"].as_str().unwrap().to_owned()
}

#[test]
fn a_request_is_sent_through_the_gateway_and_its_way_is_told() {
    let origin = Origin::start("a");
    let usher = Usher::start(&["--workers", "2"]);
    let mut upstream = origin.upstream();
    upstream["nodes"]["127.0.0.1:1"] = json!(1);
    upstream["retries"] = json!(1);
    usher.put(
        "/routes/1",
        &json!({
            "uri": "/tried/*", "name": "Tried", "labels": { "team": "pay" }, "upstream": upstream,
            "plugins": { "limit-count": { "count": 4, "time_window": 60 }, "proxy-rewrite": { "headers": { "set": { "X-Own": "1" } } } },
        }),
    );
    let ask = json!({ "method": "POST", "target": "/tried/1?canary=1", "headers": { "X-Given": "canary" }, "body": "{\"canary\": 1}" });
    let mut tries = Vec::new();
    for _ in 0..2 {
        let (status, seen) = call(&usher, KEY, "POST", "/requests", &ask);
        assert_eq!((status, &seen["status"]), (200, &json!(200)), "{seen}");
        let body: Value = serde_json::from_str(seen["body"].as_str().unwrap()).unwrap();
        assert_eq!(body["body"], "{\"canary\": 1}");
        let head = body["head"].as_str().unwrap().to_ascii_lowercase();
        assert!(head.contains("x-given: canary") && head.contains("x-own: 1"), "{head}");
        let way = &seen["way"];
        assert_eq!((&way["request"]["route"], &way["request"]["path"]), (&json!("1"), &json!("/tried/1")));
        let ran: Vec<String> = way["plugins"]
            .as_array()
            .unwrap()
            .iter()
            .map(|ran| {
                assert!(ran["took_ms"].as_f64().is_some() && ran["began_ms"].as_f64().is_some(), "{ran}");
                format!("{} {}", ran["name"].as_str().unwrap(), ran["phase"].as_str().unwrap())
            })
            .collect();
        assert_eq!(ran, ["proxy-rewrite rewrite", "limit-count access", "limit-count header_filter"]);
        // A node is asked once the plugins before it are through, and a watched request is answered as any other.
        let last = &way["plugins"][1];
        let through = last["began_ms"].as_f64().unwrap() + last["took_ms"].as_f64().unwrap();
        assert!(way["upstream_began_ms"].as_f64().unwrap() >= through - 0.001, "{way}");
        assert!(!seen["headers"].to_string().contains("apisix-plugins"), "{seen}");
        assert!(seen["took_ms"].as_f64().unwrap() > 0.0);
        tries.push(way["request"]["tries"].clone());
    }
    // The node that is away has its turn in one of two requests, and the other one takes it over.
    assert!(tries.contains(&json!([502, 200])) && tries.contains(&json!([200])), "{tries:?}");

    // Who may, and where to.
    let viewer = token(&usher, "viewer", &json!({}));
    let chat = token(&usher, "chat", &json!({}));
    for key in [&viewer, &chat] {
        assert_eq!(call(&usher, key, "POST", "/requests", &ask).0, 403);
    }
    let paying = token(&usher, "editor", &json!({ "labels": ["team=pay"] }));
    assert_eq!(call(&usher, &paying, "POST", "/requests", &ask).0, 200);
    let (status, refused) = call(&usher, &paying, "POST", "/requests", &json!({ "target": "/nowhere" }));
    assert_eq!((status, &refused["error"]["field"]), (403, &json!("/target")), "{refused}");
    for target in ["http://evil.test/", "evil", "/a b"] {
        let (status, refused) = call(&usher, KEY, "POST", "/requests", &json!({ "target": target }));
        assert_eq!((status, &refused["error"]["field"]), (422, &json!("/target")), "{target}: {refused}");
    }

    // The fifth is the plugin's answer: no node saw it.
    assert_eq!(call(&usher, KEY, "POST", "/requests", &ask).1["status"], 200);
    let before = origin.seen();
    let (_, seen) = call(&usher, KEY, "POST", "/requests", &ask);
    assert_eq!((&seen["status"], &seen["way"]["request"]["plugin"]), (&json!(503), &json!("limit-count")));
    assert_eq!((origin.seen(), &seen["way"]["request"]["tries"]), (before, &json!([])));

    let (_, audit) = call(&usher, KEY, "GET", "/audit?limit=1000", &Value::Null);
    let told: Vec<&Value> =
        audit["records"].as_array().unwrap().iter().filter(|told| told["event"] == "request-sent").collect();
    assert_eq!((told.len(), &told[0]["about"]), (5, &json!("POST /tried/1")));
    assert!(!audit.to_string().contains("canary"), "{audit}");
}

#[test]
fn an_answer_is_read_to_a_bound_and_one_that_is_no_text_is_not_shown() {
    let usher = Usher::start(&["--workers", "1"]);
    let large = "x".repeat(300_000);
    usher.put("/routes/1", &json!({ "uri": "/large", "plugins": { "mocking": { "response_example": large, "content_type": "text/plain" } } }));
    let (status, seen) = call(&usher, KEY, "POST", "/requests", &json!({ "target": "/large" }));
    assert_eq!(
        (status, &seen["is_cut"], &seen["body_bytes"]),
        (200, &json!(true), &json!(256 << 10)),
        "{}",
        seen["way"]
    );
    assert_eq!(seen["body"].as_str().unwrap().len(), 256 << 10);
}

#[test]
fn a_node_that_refuses_is_named_and_told_of_without_a_health_check() {
    let usher = Usher::start(&["--workers", "1"]);
    // A port that was just free: nobody listens there.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let upstream = json!({ "type": "roundrobin", "nodes": { (free.as_str()): 1 } });
    usher.put("/routes/1", &json!({ "uri": "/dead", "upstream": upstream }));
    let (status, seen) =
        call(&usher, KEY, "POST", "/requests", &json!({ "method": "GET", "target": "/dead" }));
    assert_eq!((status, &seen["status"]), (200, &json!(502)), "{seen}");
    assert_eq!(seen["way"]["request"]["node"], json!(free), "{seen}");
    assert_eq!(request(usher.address("proxy"), "GET", "/dead", &[], b"").status, 502);
    let (_, log) = call(&usher, KEY, "GET", "/requests?path=/dead", &Value::Null);
    assert_eq!(log["requests"][1]["node"], json!(free), "{log}");
    let (_, health) = call(&usher, KEY, "GET", "/health", &Value::Null);
    let node = &health["refusing"][0];
    assert_eq!(
        (&node["upstream"], &node["address"], &node["refused"], &node["of"]),
        (&json!("/apisix/routes/1"), &json!(free), &json!(2), &json!(2)),
        "{health}"
    );
    assert_eq!(health["upstreams"], json!([]), "no upstream has checks");
    let (_, told) = call(
        &usher,
        &token(&usher, "viewer", &json!({ "labels": ["team=pay"] })),
        "GET",
        "/health",
        &Value::Null,
    );
    assert_eq!(told["refusing"], json!([]), "who has a scope is not told of the others");
    // Whoever takes connections again is no longer told of.
    let listener = std::net::TcpListener::bind(&free).unwrap();
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            use std::io::{Read as _, Write as _};
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
        }
    });
    assert_eq!(request(usher.address("proxy"), "GET", "/dead", &[], b"").status, 204);
    let (_, health) = call(&usher, KEY, "GET", "/health", &Value::Null);
    assert_eq!(health["refusing"], json!([]), "{health}");
}
