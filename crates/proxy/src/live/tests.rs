//! What people are told of the running proxy.

use serde_json::{Value, json};
use usher_model::live::{Live as _, Sketch};

use crate::config::trial::Trial;

fn sketch(method: &str, host: &str, target: &str) -> Sketch {
    Sketch { method: method.into(), host: host.into(), target: target.into(), ..Sketch::default() }
}

async fn conference() -> Trial {
    let trial = Trial::start().await;
    let mark = |text: &str| json!({ "text": text });
    for (key, value) in [
        (
            "upstreams/api",
            json!({ "name": "conference", "nodes": [{ "host": "10.0.0.1", "port": 8080, "weight": 3 }, { "host": "[::1]", "weight": 1 }] }),
        ),
        ("upstreams/empty", json!({ "nodes": { "10.0.0.1:80": 0 } })),
        ("global_rules/g", json!({ "plugins": { "mark-b": mark("g") } })),
        (
            "routes/speaker",
            json!({ "uri": "/speaker/*", "name": "Speaker", "methods": ["GET"], "upstream_id": "api", "plugins": { "mark-a": mark("x"), "gate": {} } }),
        ),
        ("routes/post", json!({ "uri": "/speaker/*", "methods": ["POST"], "priority": 1, "plugins": {} })),
        (
            "routes/inside",
            json!({ "uri": "/speaker/*", "remote_addr": "10.0.0.0/8", "priority": 2, "plugins": {} }),
        ),
        (
            "routes/beta",
            json!({ "uri": "/speaker/*", "vars": [["arg_beta", "==", "yes"]], "priority": 3, "upstream": { "nodes": { "10.0.0.9:1": 1 } } }),
        ),
        ("routes/host", json!({ "uri": "/only", "host": "a.example", "upstream_id": "none" })),
        ("routes/dead", json!({ "uri": "/dead", "upstream_id": "empty" })),
    ] {
        trial.put(key, value).await;
    }
    trial
}

fn reasons(explanation: &usher_model::live::Explanation) -> Vec<(&str, &str)> {
    explanation.passed_over.iter().map(|row| (row.route.id.as_str(), row.because.as_str())).collect()
}

#[tokio::test]
async fn a_request_is_explained_by_the_route_it_takes_and_those_it_passes() {
    let trial = conference().await;
    let found = trial.live.explain(&sketch("GET", "x.example", "/speaker/7?q=1"));
    let route = found.route.as_ref().unwrap();
    assert_eq!(
        (route.id.as_str(), route.name.as_deref(), route.uri.as_str()),
        ("speaker", Some("Speaker"), "/speaker/*")
    );
    assert_eq!(
        reasons(&found),
        [
            ("beta", "arg_beta is absent, wanted \"yes\""),
            ("inside", "client address is 127.0.0.1, wanted 10.0.0.0/8"),
            ("post", "method is GET, wanted POST"),
        ]
    );
    assert_eq!(found.plugins, ["mark-b (access)", "gate (rewrite)", "mark-a (access)"]);
    let upstream = found.upstream.unwrap();
    assert_eq!(upstream.id.as_deref(), Some("api"));
    assert_eq!(upstream.nodes, [("10.0.0.1:8080".to_owned(), 3), ("[::1]:80".to_owned(), 1)]);
    assert_eq!(upstream.next.as_deref(), Some("10.0.0.1:8080"));
    assert_eq!(found.answer, None);

    let beta = trial.live.explain(&sketch("GET", "", "/speaker/7?beta=yes"));
    assert_eq!(beta.route.unwrap().id, "beta");
    assert_eq!(beta.upstream.unwrap().id, None);
    let inside = Sketch { client: "10.1.1.1".parse().ok(), ..sketch("GET", "", "/speaker/7") };
    assert_eq!(trial.live.explain(&inside).route.unwrap().id, "inside");
}

#[tokio::test]
async fn a_request_without_a_route_is_told_what_came_near() {
    let trial = conference().await;
    let found = trial.live.explain(&sketch("GET", "b.example", "/only"));
    assert_eq!(found.answer.as_deref(), Some("404 Route Not Found"));
    assert_eq!(reasons(&found), [("host", "host is b.example, wanted a.example")]);
    assert_eq!(found.plugins, ["mark-b (access)"]);
    let found = trial.live.explain(&sketch("GET", "", "/speaker"));
    assert_eq!(reasons(&found)[3], ("speaker", "path is /speaker, wanted /speaker/*"));
    assert_eq!(found.passed_over.len(), 4);
    assert_eq!(trial.live.explain(&sketch("GET", "", "/zzz")).passed_over, []);
    for number in 0..30 {
        trial
            .put(&format!("routes/m{number}"), json!({ "uri": "/many", "methods": ["PUT"], "plugins": {} }))
            .await;
    }
    assert_eq!(trial.live.explain(&sketch("GET", "", "/many")).passed_over.len(), 10);
}

#[tokio::test]
async fn the_gateways_own_answers_are_foretold() {
    let trial = conference().await;
    for (method, host, target, answer) in [
        ("GET", "a.example:80", "/only", "502 Bad Gateway: the upstream none does not exist"),
        ("GET", "", "/dead", "503 Service Temporarily Unavailable: no node"),
        ("POST", "", "/speaker/1", "503 Service Temporarily Unavailable: the route has no upstream"),
        ("GE T", "", "/speaker/1", "400 Bad Request: the method"),
        ("GET", "", "/a b", "400 Bad Request: the target"),
    ] {
        let found = trial.live.explain(&sketch(method, host, target)).answer.unwrap_or_default();
        assert!(found.starts_with(answer), "{method} {host}{target}: {found}");
    }
}

#[tokio::test]
async fn headers_decide_as_in_a_real_request() {
    let trial = Trial::start().await;
    let vars = json!([["http_x_version", "==", "2"], ["cookie_k", "==", "v"], ["uri", "~~", "^/a"]]);
    trial.put("routes/1", json!({ "uri": "/*", "vars": vars, "plugins": {} })).await;
    let with = |version: &str| {
        let headers = [("X-Version", version), ("Cookie", "j=1; k=v")];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        trial.live.explain(&Sketch { headers, ..sketch("GET", "h", "/a?x") })
    };
    assert_eq!(with("2").route.unwrap().id, "1");
    let refused = with("3");
    assert_eq!(reasons(&refused), [("1", "http_x_version is 3, wanted \"2\"")]);
}

#[tokio::test]
async fn traffic_is_shown_busiest_first_and_survives_an_edit() {
    let trial = Trial::start().await;
    let route = |uri: &str, plugins: Value| json!({ "uri": uri, "plugins": plugins });
    for id in ["a", "b", "c"] {
        trial.put(&format!("routes/{id}"), route(&format!("/{id}"), json!({}))).await;
    }
    let count = |path: &str, status: u16, times: usize| {
        let traffic = &trial.taken(path).unwrap().traffic;
        (0..times).for_each(|worker| traffic.count(worker, status));
    };
    count("/a", 200, 2);
    count("/b", 200, 3);
    trial.put("routes/a", route("/a", json!({ "mark-a": { "text": "x" } }))).await;
    count("/a", 503, 2);
    trial.shared.not_found().count(0, 404);
    let rows: Vec<_> =
        trial.live.traffic(10).into_iter().map(|row| (row.route, row.requests, row.by_class)).collect();
    assert_eq!(
        rows,
        [
            ("a".to_owned(), 4, [0, 2, 0, 0, 2]),
            ("b".to_owned(), 3, [0, 3, 0, 0, 0]),
            (String::new(), 1, [0, 0, 0, 1, 0]),
        ]
    );
    assert_eq!(trial.live.traffic(1).len(), 1);
    trial.delete("routes/a").await;
    assert_eq!(trial.live.traffic(10)[0].route, "b");
}
