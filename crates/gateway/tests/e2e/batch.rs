//! Many requests in one, through the real gateway: whoever sends them stays who they are, and every bound holds.

use serde_json::{Value, json};

use crate::support::{Answer, Origin, Usher, eventually, request};

fn gateway(origin: &Origin, words: &[&str]) -> Usher {
    let usher = Usher::start(words);
    let batch = json!({ "uri": "/batch", "methods": ["POST"], "plugins": { "public-api": { "uri": "/apisix/batch-requests" } } });
    usher.put("/routes/batch", &batch);
    usher.put("/routes/open", &json!({ "uri": "/open/*", "upstream": origin.upstream() }));
    usher
}

fn send(usher: &Usher, fields: &[(&str, &str)], batch: &Value) -> Answer {
    request(usher.address("proxy"), "POST", "/batch", fields, batch.to_string().as_bytes())
}

fn answers(usher: &Usher, fields: &[(&str, &str)], batch: &Value) -> Vec<Value> {
    let answer = send(usher, fields, batch);
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json().as_array().unwrap().clone()
}

/// What the origin saw of a request of a batch.
fn seen(answer: &Value) -> Value {
    assert_eq!(answer["status"], 200, "{answer}");
    serde_json::from_str(answer["body"].as_str().unwrap()).unwrap()
}

#[test]
fn every_request_of_a_batch_passes_the_whole_gateway() {
    let origin = Origin::start("a");
    let usher = gateway(&origin, &[]);
    let limit = json!({ "count": 2, "time_window": 60, "rejected_code": 429 });
    usher.put(
        "/routes/limited",
        &json!({ "uri": "/limited/*", "plugins": { "limit-count": limit }, "upstream": origin.upstream() }),
    );
    usher.put(
        "/routes/keyed",
        &json!({ "uri": "/keyed", "plugins": { "key-auth": {} }, "upstream": origin.upstream() }),
    );
    usher.put("/consumers/jack", &json!({ "username": "jack", "plugins": { "key-auth": { "key": "k" } } }));
    let item = |path: &str| json!({ "path": path });
    let batch = json!({
        "headers": { "Content-Type": "text/plain" },
        "pipeline": [
            { "path": "/open/a?x=1", "method": "PUT", "body": "hello", "query": { "y": "é" } },
            item("/limited/1"), item("/limited/2"), item("/limited/3"),
            item("/keyed"),
            { "path": "/keyed", "headers": { "apikey": "k" } },
            item("/nowhere"),
            { "path": "/open/old", "version": 1.0 },
            { "path": "/open/head", "method": "HEAD" },
        ],
    });
    let told = answers(&usher, &[], &batch);
    let statuses: Vec<u64> = told.iter().map(|one| one["status"].as_u64().unwrap()).collect();
    assert_eq!(statuses, [200, 200, 200, 429, 401, 200, 404, 200, 200]);
    let first = seen(&told[0]);
    assert!(first["head"].as_str().unwrap().starts_with("PUT /open/a?x=1&y=%C3%A9 HTTP/1.1\r\n"), "{first}");
    assert_eq!(first["body"], "hello");
    assert_eq!(told[2]["headers"]["X-RateLimit-Remaining"], "0");
    assert_eq!(told[4]["reason"], "Unauthorized");
    assert!(seen(&told[5])["head"].as_str().unwrap().contains("X-Consumer-Username: jack"), "{}", told[5]);
    assert_eq!(told[8].get("body"), None);
    assert_eq!(origin.seen(), 6);
}

/// CVE-2022-24112: a batch let its client say where it comes from.
#[test]
fn a_batch_says_nothing_of_its_client_that_the_client_may_not_say() {
    let origin = Origin::start("a");
    let usher = gateway(&origin, &[]);
    let inside = json!({ "whitelist": ["10.0.0.0/8"] });
    usher.put(
        "/routes/inside",
        &json!({ "uri": "/inside", "plugins": { "ip-restriction": inside }, "upstream": origin.upstream() }),
    );
    let claims = json!({
        "X-Real-IP": "10.0.0.1", "X-Forwarded-For": "10.0.0.1", "X-Consumer-Username": "root",
        "X-Forwarded-Proto": "https", "x_real_ip": "10.0.0.1",
    });
    let batch = json!({ "pipeline": [
        { "path": "/inside", "headers": claims },
        { "path": "/open/x", "headers": claims },
        { "path": "/apisix/admin/routes", "headers": { "X-API-KEY": crate::support::KEY } },
        { "path": "/open/../inside" },
        { "path": "/open/%2e%2e/inside" },
        { "path": "/open/x y\u{0}", "method": "CONNECT" },
    ] });
    let told = answers(&usher, &[("X-Real-IP", "10.0.0.1"), ("X-Consumer-Username", "root")], &batch);
    assert_eq!(told[0]["status"], 403);
    let head = seen(&told[1])["head"].as_str().unwrap().to_owned();
    for (line, stands) in [
        ("X-Real-IP: 127.0.0.1\r\n", true),
        // What a client claims stands in front, as from outside; who it is stands last.
        ("X-Forwarded-For: 10.0.0.1, 127.0.0.1\r\n", true),
        ("X-Forwarded-Proto: http\r\n", true),
        ("root", false),
        ("IP: 10.0.0.1", false),
    ] {
        assert_eq!(head.contains(line), stands, "{line}: {head}");
    }
    assert_eq!(
        (&told[2]["status"], &told[3]["status"], &told[4]["status"]),
        (&404.into(), &403.into(), &403.into())
    );
    assert!(told[5]["status"].as_u64().unwrap() >= 400, "{}", told[5]);
}

#[test]
fn a_batch_in_a_batch_runs_nothing() {
    let origin = Origin::start("a");
    let usher = gateway(&origin, &[]);
    let inner = json!({ "pipeline": [{ "path": "/open/x" }] });
    let batch = json!({ "pipeline": [{ "path": "/batch", "method": "POST", "body": inner }] });
    let told = answers(&usher, &[], &batch);
    assert_eq!(told[0]["status"], 400);
    assert_eq!(told[0]["body"], "{\"error_msg\":\"a request of a batch can't be a batch itself\"}\n");
    assert_eq!(origin.seen(), 0);
}

/// CVE-2026-94250: answers were put together without a bound.
#[test]
fn answers_of_a_batch_are_bounded_each_and_together() {
    let origin = Origin::start("a");
    let usher = gateway(&origin, &[]);
    let large = "x".repeat(900 << 10);
    // What the origin answers is as large as what it is sent; the metadata lets so much in.
    usher.put("/plugin_metadata/batch-requests", &json!({ "max_body_size": 32 << 20 }));
    let item = |body: &str| json!({ "path": "/open/x", "method": "POST", "body": body });
    let mut items = vec![item(&"x".repeat(1100 << 10))];
    items.extend(std::iter::repeat_n(item(&large), 13));
    let told = answers(&usher, &[], &json!({ "pipeline": items }));
    assert_eq!(told[0], json!({ "status": 502, "reason": "its body is larger than 1048576 bytes" }));
    let statuses: Vec<u64> = told.iter().skip(1).map(|one| one["status"].as_u64().unwrap()).collect();
    assert_eq!(statuses[..11], [200; 11]);
    assert_eq!(statuses[11..], [502; 2]);
    usher.put("/plugin_metadata/batch-requests", &json!({ "max_body_size": 10 }));
    assert_eq!(send(&usher, &[], &json!({ "pipeline": [] })).status, 413);
}

#[test]
fn an_upstream_that_does_not_answer_costs_its_own_request_only() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = Origin::start("a");
    let usher = gateway(&origin, &[]);
    let nodes = json!({ silent.local_addr().unwrap().to_string(): 1 });
    usher.put(
        "/routes/silent",
        &json!({ "uri": "/silent", "upstream": { "type": "roundrobin", "nodes": nodes } }),
    );
    let batch = json!({ "timeout": 200, "pipeline": [{ "path": "/silent" }, { "path": "/open/x" }] });
    let told = answers(&usher, &[], &batch);
    assert_eq!(told[0], json!({ "status": 504, "reason": "upstream timeout" }));
    assert_eq!(told[1]["status"], 200);
}

/// CVE-2026-78242: a header field stayed readable in the log of a request that was refused with 400.
#[test]
fn what_is_hidden_is_in_no_log_whoever_answers() {
    let origin = Origin::start("a");
    let folder = tempfile::Builder::new().prefix("usher-").tempdir().unwrap();
    let (lines, access, config) = (
        folder.path().join("lines.log"),
        folder.path().join("access.log"),
        folder.path().join("config.yaml"),
    );
    let format = "$request $http_x_token $status";
    std::fs::write(
        &config,
        format!(
            "nginx_config:\n  http:\n    access_log: {}\n    access_log_format: '{format}'\n",
            access.display()
        ),
    )
    .unwrap();
    let usher = Usher::start(&["--config", config.to_str().unwrap()]);
    let mask = json!({ "request": [
        { "type": "header", "name": "X-Token", "action": "replace", "value": "*" },
        { "type": "query", "name": "token", "action": "replace", "value": "*" },
        { "type": "body", "body_format": "json", "name": "$.token", "action": "replace", "value": "*" },
    ] });
    let log = json!({ "path": lines.to_str().unwrap(), "include_req_body": true });
    usher.put("/global_rules/log", &json!({ "plugins": { "file-logger": log } }));
    let check = json!({ "header_schema": { "type": "object", "required": ["x-good"] } });
    for (id, plugins) in [
        ("good", json!({ "data-mask": mask })),
        ("bad", json!({ "data-mask": mask, "request-validation": check })),
    ] {
        usher.put(
            &format!("/routes/{id}"),
            &json!({ "uri": format!("/{id}"), "plugins": plugins, "upstream": origin.upstream() }),
        );
    }
    assert_eq!(usher.get("/nowhere", &[]).status, 404);
    // The first node is away: the line names both.
    let nodes = json!([
        { "host": "127.0.0.1", "port": 1, "weight": 1, "priority": 1 },
        { "host": "127.0.0.1", "port": origin.address.port(), "weight": 1, "priority": 0 },
    ]);
    usher.put("/routes/tried", &json!({ "uri": "/tried", "upstream": { "nodes": nodes, "retries": 1 } }));
    assert_eq!(usher.get("/tried", &[]).status, 200);
    for (path, status) in [("/good?token=s3cret", 200), ("/bad?token=s3cret", 400)] {
        let fields = [("X-Token", "s3cret"), ("Content-Type", "application/json")];
        let answer =
            request(usher.address("proxy"), "POST", path, &fields, br#"{"token":"s3cret","seen":1}"#);
        assert_eq!(answer.status, status);
    }
    let read = |path: &std::path::Path| std::fs::read_to_string(path).unwrap_or_default();
    eventually("the lines of all requests", || {
        read(&lines).lines().count() == 4 && read(&access).lines().count() == 4
    });
    let (lines, access) = (read(&lines), read(&access));
    assert!(!lines.contains("s3cret") && !access.contains("s3cret"), "{lines}\n{access}");
    let both = format!("\"upstream\":\"127.0.0.1:1, {}\"", origin.address);
    assert!(lines.contains(&both), "{lines}");
    assert!(
        lines.contains("\"route_id\":\"no-matched\"") && lines.contains("\"route_id\":\"good\""),
        "{lines}"
    );
    assert!(lines.contains("\"seen\\\":1") && lines.contains("\"x-token\":\"*\""), "{lines}");
    assert!(access.contains("POST /good?token=%2A HTTP/1.1 * 200") && access.contains("* 400"), "{access}");
}

#[test]
fn answers_of_the_gateway_itself_are_transformed_and_an_upstreams_are_not() {
    let origin = Origin::start("a");
    let usher = Usher::start(&[]);
    let source = "local code, body, header = ... if type(body) == 'table' then body.by = ngx.var.uri end return code, body, header";
    usher.put("/global_rules/exit", &json!({ "plugins": { "exit-transformer": { "functions": [source] } } }));
    usher.put(
        "/routes/keyed",
        &json!({ "uri": "/keyed", "plugins": { "key-auth": {} }, "upstream": origin.upstream() }),
    );
    usher.put("/routes/open", &json!({ "uri": "/open", "upstream": origin.upstream() }));
    for (path, status, said) in [
        ("/keyed", 401, "{\"message\":\"Missing API key in request\",\"by\":\"/keyed\"}\n"),
        ("/nowhere", 404, "{\"error_msg\":\"404 Route Not Found\",\"by\":\"/nowhere\"}\n"),
    ] {
        let answer = usher.get(path, &[]);
        assert_eq!((answer.status, answer.json()), (status, serde_json::from_str(said).unwrap()));
    }
    assert_eq!(usher.get("/open", &[]).json()["origin"], "a");
}
