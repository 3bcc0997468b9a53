//! What decides where a request goes, on real sockets: scripts, variables of bodies, parameters of paths; and what is told of it afterwards.

use std::time::Duration;

use serde_json::json;
use usher_model::live::RecentFilter;
use usher_proxy::options::{AccessLog, Bounds, Escape, Options, PathRules, RouterMode};

use crate::origin::Origin;
use crate::support::{Gateway, eventually, options};

/// A route that answers with its own name.
fn named(name: &str, rest: serde_json::Value) -> (String, serde_json::Value) {
    let mut route = json!({ "plugins": { "trial": { "reply": 200, "body": name } } });
    for (member, value) in rest.as_object().unwrap() {
        route[member] = value.clone();
    }
    (format!("routes/{name}"), route)
}

fn with_routes(options: Options, routes: Vec<(String, serde_json::Value)>) -> Gateway {
    let objects: Vec<(&str, serde_json::Value)> =
        routes.iter().map(|(key, value)| (key.as_str(), value.clone())).collect();
    Gateway::start_with(options, &objects)
}

#[test]
fn a_script_decides_about_a_route_and_one_that_never_ends_is_passed_over() {
    let gateway = with_routes(
        options(),
        vec![
            named(
                "script",
                json!({ "uri": "/a", "priority": 2, "filter_func": "function(vars, opts) return vars.http_x_tier == 'gold' and opts.host == 'a.test' end" }),
            ),
            named(
                "endless",
                json!({ "uri": "/a", "priority": 1, "filter_func": "function() while true do end end" }),
            ),
            named("else", json!({ "uri": "/a" })),
        ],
    );
    assert_eq!(gateway.send("GET", "/a", "X-Tier: gold\r\n", b"").text(), "script");
    assert_eq!(gateway.send("GET", "/a", "X-Tier: tin\r\n", b"").text(), "else");
}

#[test]
fn a_header_with_underscores_is_known_to_conditions_and_one_with_hyphens_goes_before_it() {
    let gateway = with_routes(
        options(),
        vec![
            named("tier", json!({ "uri": "/a", "priority": 1, "vars": [["http_app_tier", "==", "gold"]] })),
            named("else", json!({ "uri": "/a" })),
        ],
    );
    for (fields, wanted) in [
        ("app_tier: gold\r\n", "tier"),
        ("App_Tier: gold\r\n", "tier"),
        ("App-Tier: gold\r\n", "tier"),
        ("app_tier: gold\r\nApp-Tier: tin\r\n", "else"),
        ("app_tier: tin\r\n", "else"),
        ("apptier: gold\r\n", "else"),
    ] {
        assert_eq!(gateway.send("GET", "/a", fields, b"").text(), wanted, "{fields}");
    }
}

#[test]
fn parts_of_the_path_are_told_without_becoming_more_parts() {
    let gateway = |mode, uri: &str| {
        let plugins = json!({ "trial": { "log": uri, "reply": 200 } });
        let route = json!({ "uri": uri, "plugins": plugins });
        let paths = PathRules { encoded_slash: true, ..PathRules::default() };
        Gateway::start_with(Options { router: mode, paths, ..options() }, &[("routes/1", route)])
    };
    for (mode, uri, target, name, wanted) in [
        (RouterMode::UriWithParameter, "/told/:id/x", "/told/a%2Fb%20c/x", "uri_param_id", "a%2Fb c"),
        (RouterMode::UriWithParameter, "/rest/:a/*rest", "/rest/a/b/c", "uri_param_rest", "b/c"),
        (RouterMode::HostUri, "/end/*rest", "/end/b/c", "uri_param_rest", "b/c"),
    ] {
        let gateway = gateway(mode, uri);
        assert_eq!(gateway.get(target).status, 200, "{uri}");
        gateway.drain(Duration::from_secs(5)).join().unwrap();
        assert_eq!(crate::trial::logged(uri)[0].get(name).map(String::as_str), Some(wanted), "{uri}");
    }
}

#[test]
fn a_body_decides_where_a_route_asks_for_it_and_goes_on_whole() {
    let origin = Origin::echo();
    let gateway = with_routes(
        options(),
        vec![
            named("form", json!({ "uri": "/p", "priority": 3, "vars": [["post_arg_kind", "==", "form"]] })),
            named(
                "json",
                json!({ "uri": "/p", "priority": 2, "vars": [["post_arg.order.items[*].sku", "has", "b"]] }),
            ),
            named(
                "graph",
                json!({ "uri": "/p", "priority": 1, "vars": [["graphql_operation", "==", "mutation"], ["graphql_root_fields", "has", "buy"]] }),
            ),
            ("routes/rest".to_owned(), json!({ "uri": "/p", "upstream": origin.upstream() })),
        ],
    );
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    let json = "Content-Type: application/json\r\n";
    assert_eq!(gateway.send("POST", "/p", form, b"kind=form").text(), "form");
    let order = br#"{"order":{"items":[{"sku":"a"},{"sku":"b"}]}}"#;
    assert_eq!(gateway.send("POST", "/p", json, order).text(), "json");
    let graph = br#"{"query":"mutation { buy(id: 1) { id } }"}"#;
    assert_eq!(gateway.send("POST", "/p", json, graph).text(), "graph");
    // What no route wanted is forwarded as it came, also where it is too large to be looked at.
    for body in [b"kind=other".to_vec(), vec![b'x'; (1 << 20) + 77]] {
        assert_eq!(gateway.send("POST", "/p", form, &body).status, 200);
        assert!(origin.seen().last().unwrap().body == body, "{} bytes", body.len());
    }
    // A body in pieces, without a length, that turns out to be too large on its way.
    let mut client = gateway.connect();
    client.write(format!("POST /p HTTP/1.1\r\nHost: a.test\r\n{form}Transfer-Encoding: chunked\r\n\r\n"));
    let piece = vec![b'y'; 100_000];
    for _ in 0..12 {
        client.write(format!("{:x}\r\n", piece.len()));
        client.write(&piece);
        client.write("\r\n");
    }
    client.write("0\r\n\r\n");
    assert_eq!(client.answer().unwrap().status, 200);
    assert_eq!(origin.seen().last().unwrap().body.len(), 1_200_000);
    // One that breaks the rules is the client's fault.
    let mut client = gateway.connect();
    client
        .write(format!("POST /p HTTP/1.1\r\nHost: a.test\r\n{form}Transfer-Encoding: chunked\r\n\r\nzz\r\n"));
    assert_eq!(client.answer().unwrap().status, 400);
}

#[test]
fn parts_of_a_path_are_variables() {
    let options = Options { router: RouterMode::UriWithParameter, ..options() };
    let gateway = with_routes(options, vec![named("seven", json!({ "uri": "/user/:id/*rest", "vars": [] }))]);
    gateway.put(&[(
        "routes/logs",
        json!({
            "uri": "/log/:id/*rest",
            "plugins": { "trial": { "reply": 200, "log": "parameters" } }
        }),
    )]);
    assert_eq!(gateway.get("/user/7/x").text(), "seven");
    assert_eq!(gateway.get("/user/7").status, 404);
    assert_eq!(gateway.get("/log/a%20b/c/d").status, 200);
    eventually("the log", || !crate::trial::logged("parameters").is_empty());
    let logged = format!("{:?}", crate::trial::logged("parameters"));
    assert!(logged.contains("a b") && logged.contains("c/d"), "{logged}");
}

#[test]
fn paths_may_be_read_without_a_slash_at_the_end_or_without_parameters() {
    let origin = Origin::echo();
    let routes = || vec![("routes/a".to_owned(), json!({ "uri": "/a", "upstream": origin.upstream() }))];
    let tail = Options { paths: PathRules { delete_tail_slash: true, ..PathRules::default() }, ..options() };
    let gateway = with_routes(tail, routes());
    assert_eq!(gateway.get("/a/?x=1").status, 200);
    assert!(origin.seen().last().unwrap().line().starts_with("GET /a/?x=1 "), "forwarded as asked for");
    assert_eq!(gateway.get("/a//").status, 200);
    assert_eq!(gateway.get("/").status, 404);

    let servlet = Options { paths: PathRules { like_servlet: true, ..PathRules::default() }, ..options() };
    let gateway = with_routes(servlet, routes());
    for path in ["/a;x=1", "/;y/a;x", "/b/..;/a"] {
        assert_eq!(gateway.get(path).status, 200, "{path}");
        assert!(
            origin.seen().last().unwrap().line().starts_with("GET /a "),
            "{path}: what was judged is forwarded"
        );
    }
    let plain = with_routes(options(), routes());
    assert_eq!(plain.get("/a;x=1").status, 404);
}

#[test]
fn an_escaped_slash_is_judged_as_a_slash_and_forwarded_as_it_came() {
    let origin = Origin::echo();
    let routes = || {
        vec![
            ("routes/open".to_owned(), json!({ "uri": "/*", "upstream": origin.upstream() })),
            (
                "routes/kept".to_owned(),
                json!({ "uri": "/admin/*", "plugins": { "trial": { "reply": 403 } } }),
            ),
        ]
    };
    let gateway = with_routes(options(), routes());
    for path in ["/admin%2Fx", "/admin%2f", "/%2Fadmin%2Fx", "/admin%2F%2fx?a=b", "/%61dmin%2Fx"] {
        assert_eq!(gateway.get(path).status, 403, "{path}");
    }
    for (path, forwarded) in
        [("/a%2fb?c=%2F", "/a%2Fb?c=%2F"), ("/a%2Fb", "/a%2Fb"), ("/a%20b", "/a%20b"), ("/a/b", "/a/b")]
    {
        assert_eq!(gateway.get(path).status, 200, "{path}");
        let line = origin.seen().last().unwrap().line().to_owned();
        assert!(line.starts_with(&format!("GET {forwarded} ")), "{path} was forwarded as {line}");
    }
    for path in ["/admin%5Cx", "/a%5cb", "/x/..%2Fadmin"] {
        assert_eq!(gateway.get(path).status, 400, "{path}");
    }
    let raw = Options { paths: PathRules { encoded_slash: true, ..PathRules::default() }, ..options() };
    let gateway = with_routes(raw, routes());
    for path in ["/admin%2Fx", "/admin%5Cx"] {
        assert_eq!(gateway.get(path).status, 200, "{path}");
        let line = origin.seen().last().unwrap().line().to_owned();
        assert!(line.starts_with(&format!("GET {path} ")), "{path} was forwarded as {line}");
    }
    assert_eq!(gateway.get("/x/..%2Fadmin").status, 400);
}

#[test]
fn answers_say_which_plugins_ran_and_what_the_upstream_said() {
    let origin = Origin::fixed("ok");
    let options = Options { debug: true, show_upstream_status: true, ..options() };
    let gateway = Gateway::start_with(
        options,
        &[
            (
                "routes/1",
                json!({ "uri": "/p", "upstream": origin.upstream(), "plugins": { "trial": { "mark": "x" } } }),
            ),
            ("routes/2", json!({ "uri": "/bare", "upstream": origin.upstream() })),
            ("routes/3", json!({ "uri": "/reply", "plugins": { "trial": { "reply": 403 } } })),
        ],
    );
    let answer = gateway.get("/p");
    assert_eq!(answer.field("x-apisix-upstream-status"), Some("200"));
    let ran = answer.field("apisix-plugins").unwrap();
    assert!(ran.contains("trial#access") && ran.ends_with("trial#header_filter"), "{ran}");
    assert_eq!(gateway.get("/bare").field("apisix-plugins"), Some("no plugin"));
    let refused = gateway.get("/reply");
    assert_eq!((refused.status, refused.field("x-apisix-upstream-status")), (403, None));
    assert!(!refused.field("apisix-plugins").unwrap().contains("before_proxy"));
}

#[test]
fn a_request_that_runs_in_a_circle_is_stopped_after_ten_hops() {
    let gateway = Gateway::start(&[]);
    let me = gateway.address.to_string();
    gateway.put(&[(
        "routes/1",
        json!({ "uri": "/*", "upstream": { "type": "roundrobin", "nodes": { me: 1 } } }),
    )]);
    let answer = gateway.get("/round");
    assert_eq!(answer.status, 508, "{}", answer.text());
    let served = gateway.live().recent(&RecentFilter { limit: 100, ..RecentFilter::default() });
    assert!(served.requests.len() <= 12, "{} hops", served.requests.len());
    assert!(served.requests.iter().any(|request| request.cause == Some("loop")));
}

#[test]
fn every_own_answer_has_its_cause_in_what_is_told_live() {
    let origin = Origin::fixed("ok");
    let closes = Origin::last_bytes(Vec::new());
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let node = |address: String| json!({ "type": "roundrobin", "nodes": { address: 1 } });
    let gateway = Gateway::start(&[
        ("routes/ok", json!({ "uri": "/ok", "name": "Good", "upstream": origin.upstream() })),
        ("routes/refused", json!({ "uri": "/refused", "upstream": node(free.to_string()) })),
        ("routes/closes", json!({ "uri": "/closes", "upstream": closes.upstream() })),
        ("routes/none", json!({ "uri": "/none", "upstream": { "nodes": {}, "type": "roundrobin" } })),
        ("routes/nothing", json!({ "uri": "/nothing", "plugins": {} })),
        ("routes/unknown", json!({ "uri": "/unknown", "upstream_id": "absent" })),
        ("routes/reply", json!({ "uri": "/reply", "plugins": { "trial": { "reply": 429 } } })),
    ]);
    for (path, status, cause, by, safe) in [
        ("/ok?token=secret", 200, None, None, None),
        ("/refused", 502, Some("connect-failed"), Some("upstream"), Some(true)),
        ("/closes", 502, Some("closed-early"), Some("upstream"), Some(false)),
        ("/none", 503, Some("no-node"), Some("gateway"), Some(true)),
        ("/nothing", 503, Some("no-upstream"), Some("gateway"), Some(true)),
        ("/unknown", 502, Some("unknown-upstream"), Some("gateway"), Some(true)),
        ("/reply", 429, Some("plugin"), Some("client"), Some(true)),
        ("/elsewhere", 404, Some("no-route"), Some("client"), Some(true)),
        ("/%", 400, Some("malformed-request"), Some("client"), Some(true)),
    ] {
        let before = gateway.live().recent(&RecentFilter { limit: 1, ..RecentFilter::default() });
        assert_eq!(gateway.get(path).status, status, "{path}");
        let after = RecentFilter { after: Some(before.next), limit: 10, ..RecentFilter::default() };
        eventually("the request is told of", || !gateway.live().recent(&after).requests.is_empty());
        let told = gateway.live().recent(&after).requests.remove(0);
        let found = (told.status, told.cause, told.failed_by, told.retry_safe);
        assert_eq!(found, (status, cause, by, safe), "{path}");
        assert!(!serde_json::to_string(&told).unwrap().contains("secret"));
    }
    let all = gateway.live().recent(&RecentFilter { limit: 100, ..RecentFilter::default() });
    let began = all.requests.iter().map(|request| request.at_ms).min().unwrap();
    assert!(all.since_ms > 1_600_000_000_000 && all.since_ms <= began, "{} and {began}", all.since_ms);
    let good = RecentFilter { route: Some("Good".into()), limit: 10, ..RecentFilter::default() };
    let good = gateway.live().recent(&good).requests.remove(0);
    assert_eq!((good.path.as_str(), good.answered_by, good.upstream_status), ("/ok", "upstream", Some(200)));
    assert_eq!(good.node.as_deref(), Some(origin.address.to_string().as_str()));
}

#[test]
fn the_access_log_may_be_json_and_is_opened_anew_when_asked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let format = r#"{"host":"$host","agent":"$http_user_agent","none":"$consumer_name","status":$status}"#;
    let log = AccessLog { path: Some(path.clone()), format: Some(format.to_owned()), escape: Escape::Json };
    let origin = Origin::fixed("ok");
    let gateway = Gateway::start_with(
        Options { access_log: Some(log.clone()), ..options() },
        &[("routes/1", json!({ "uri": "/*", "upstream": origin.upstream() }))],
    );
    let lines = |path: &std::path::Path| std::fs::read_to_string(path).unwrap_or_default().lines().count();
    gateway.send("GET", "/", "User-Agent: a\"b\\c\r\n", b"");
    eventually("the first line", || lines(&path) == 1);
    let text = std::fs::read_to_string(&path).unwrap();
    let line: serde_json::Value = serde_json::from_str(text.trim()).unwrap();
    assert_eq!(line, json!({ "host": "a.test", "agent": "a\"b\\c", "none": "", "status": 200 }));

    // As log rotation does it: moved away, then opened anew.
    let moved = folder.path().join("access.log.1");
    std::fs::rename(&path, &moved).unwrap();
    gateway.proxy().reopen_access_logs();
    eventually("the new file", || path.exists());
    gateway.get("/again");
    eventually("a line in the new file", || lines(&path) == 1);
    assert_eq!(lines(&moved), 1);

    // Another file and format, while it runs.
    let other = folder.path().join("other.log");
    let changed =
        AccessLog { path: Some(other.clone()), format: Some("$uri".to_owned()), ..AccessLog::default() };
    gateway.proxy().change_access_logs(Some(&changed), None).unwrap();
    eventually("the other file", || other.exists());
    gateway.get("/other");
    eventually("a line in the other file", || {
        std::fs::read_to_string(&other).unwrap_or_default() == "/other\n"
    });
    let bad = AccessLog { format: Some(String::new()), ..AccessLog::default() };
    assert!(gateway.proxy().change_access_logs(Some(&bad), None).is_err());
}

#[test]
fn one_client_takes_no_more_connections_than_it_may() {
    let bounds = Bounds { connections_per_client: Some(2), ..Bounds::default() };
    let gateway = with_routes(Options { bounds, ..options() }, vec![named("a", json!({ "uri": "/*" }))]);
    let mut first = gateway.connect();
    let mut second = gateway.connect();
    for client in [&mut first, &mut second] {
        client.request("GET", "/", "", b"");
        assert_eq!(client.answer().unwrap().status, 200);
    }
    assert!(gateway.connect().is_closed(), "the third is refused");
    drop(first);
    eventually("a place is free again", || {
        let mut next = gateway.connect();
        next.write("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
        next.answer().is_some_and(|answer| answer.status == 200)
    });
}
