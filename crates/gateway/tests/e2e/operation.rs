//! A server while it runs: signals, the live tail, scripts through the Admin API, and what is told of failures.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::support::{KEY, Origin, Usher, binary, eventually, request};

fn signal(usher: &Usher, name: &str) {
    let sent = Command::new("kill").args([name, &usher.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

#[test]
fn logs_are_opened_anew_and_settings_read_anew_when_a_signal_asks() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let (access, other, log) =
        (folder.path().join("access.log"), folder.path().join("other.log"), folder.path().join("log"));
    let config = folder.path().join("config.yaml");
    let write = |path: &Path, format: &str, more: &str| {
        let yaml = format!(
            "nginx_config:\n  http:\n    enable_access_log: true\n    access_log: {}\n    access_log_format: '{format}'\n{more}",
            path.display()
        );
        std::fs::write(&config, yaml).unwrap();
    };
    write(&access, "$uri $status", "");
    let usher = Usher::start_logging(Arc::clone(&folder), &["--config", config.to_str().unwrap()], &log);
    usher.get("/one", &[]);
    eventually("the first line", || text(&access) == "/one 404\n");

    let moved = folder.path().join("access.log.1");
    std::fs::rename(&access, &moved).unwrap();
    signal(&usher, "-USR1");
    eventually("the new file", || access.exists());
    usher.get("/two", &[]);
    eventually("its line", || text(&access) == "/two 404\n");
    assert_eq!(text(&moved), "/one 404\n");

    write(&other, "$status $uri", "apisix:\n  router: { http: radixtree_uri }\n");
    signal(&usher, "-HUP");
    eventually("what needs a restart is named", || text(&log).contains("apisix.router.http"));
    usher.get("/three", &[]);
    eventually("the other file", || text(&other) == "404 /three\n");

    std::fs::write(&config, "apisixx: {}\n").unwrap();
    signal(&usher, "-HUP");
    eventually("what can't be read is told", || text(&log).contains("nothing changed"));
    usher.get("/four", &[]);
    eventually("it goes on", || text(&other).ends_with("404 /four\n"));
    assert!(usher.terminate().success());
}

#[test]
fn requests_are_told_of_as_they_come() {
    let origin = Origin::start("a");
    let usher = Usher::start(&[]);
    usher.put("/routes/good", &json!({ "uri": "/good", "name": "Good", "upstream": origin.upstream() }));
    usher.put(
        "/routes/bad",
        &json!({ "uri": "/bad", "upstream": { "type": "roundrobin", "nodes": { "127.0.0.1:1": 1 } } }),
    );
    assert_eq!(usher.get("/good?token=secret", &[]).status, 200);
    assert_eq!(usher.get("/bad", &[]).status, 502);
    let asked = |query: &str| {
        let path = format!("/usher/v1/requests{query}");
        let answer = request(usher.address("admin"), "GET", &path, &[("X-API-KEY", KEY)], b"");
        (answer.status, answer.json())
    };
    eventually("both are told of", || asked("").1["requests"].as_array().is_some_and(|all| all.len() == 2));
    let (_, all) = asked("");
    assert!(!all.to_string().contains("secret"));
    let (_, failed) = asked("?status=5xx");
    let failed = &failed["requests"][0];
    assert_eq!(
        (&failed["route"], &failed["failed_by"], &failed["cause"]),
        (&json!("bad"), &json!("upstream"), &json!("connect-failed"))
    );
    assert_eq!(asked("?status=nonsense").0, 422);
    assert_eq!(asked("?limit=0").0, 422);
    let next = all["next"].as_str().unwrap().to_owned();
    assert_eq!(asked(&format!("?after={next}")).1["requests"], json!([]));
    // Whoever waits hears of it.
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| asked(&format!("?after={next}&wait=20")).1);
        usher.get("/good", &[]);
        assert_eq!(waiting.join().unwrap()["requests"][0]["path"], "/good");
    });
    let without = request(usher.address("admin"), "GET", "/usher/v1/requests", &[], b"");
    assert_eq!(without.status, 401);

    let tail = |words: &[&str]| {
        let url = format!("http://{}", usher.address("admin"));
        let output =
            binary().args(["tail", "--url", &url]).args(words).env("USHER_ADMIN_KEY", KEY).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let lines = tail(&["--status", "502", "-o", "json"]);
    let line: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert_eq!((lines.lines().count(), &line["cause"]), (1, &json!("connect-failed")));
    let shown = tail(&["--route", "Good"]);
    assert!(shown.contains("GET 127.0.0.1/good  route good (Good)"), "{shown}");
}

#[test]
fn scripts_are_checked_when_they_are_written_and_run_when_they_are_asked() {
    let origin = Origin::start("a");
    let usher = Usher::start(&[]);
    for (body, part) in [
        (
            json!({ "uri": "/a", "filter_func": "function(vars)\n return vars.\nend", "plugins": {} }),
            "failed to load 'filter_func' string: filter_func:3: ",
        ),
        (
            json!({ "uri": "/a", "plugins": { "serverless-pre-function": { "functions": ["return 7"] } } }),
            "only accept Lua function, the input code type is number",
        ),
    ] {
        let refused = usher.admin("PUT", "/routes/1", Some(&body));
        assert_eq!(refused.status, 400, "{}", refused.text());
        assert!(refused.text().contains(part), "{}", refused.text());
    }
    usher.put("/routes/gold", &json!({
        "uri": "/s", "priority": 1, "filter_func": "function(vars) return vars.http_x_tier == 'gold' end",
        "plugins": { "serverless-pre-function": { "phase": "access", "functions": [
            "return function(conf, ctx) local core = require('apisix.core') core.response.exit(200, { route = ctx.var.route_id, md5 = ngx.md5('a') }) end"
        ] } }
    }));
    usher.put("/routes/plain", &json!({ "uri": "/s", "upstream": origin.upstream(), "plugins": {
        "serverless-post-function": { "phase": "header_filter", "functions": ["return function() ngx.header['X-Script'] = 'ran' end"] }
    } }));
    let gold = usher.get("/s", &[("X-Tier", "gold")]);
    assert_eq!(gold.json(), json!({ "route": "gold", "md5": "0cc175b9c0f1b6a831c399e269772661" }));
    let plain = usher.get("/s", &[]);
    assert_eq!((plain.status, plain.field("x-script")), (200, Some("ran")));
}

#[test]
fn why_the_gateway_answered_by_itself_is_a_metric() {
    let usher = Usher::start(&[]);
    usher.get("/nowhere", &[]);
    let metrics = || request(usher.address("metrics"), "GET", "/apisix/prometheus/metrics", &[], b"").text();
    let line = "apisix_own_answers_total{cause=\"no-route\",failed_by=\"client\"} 1";
    eventually("it is counted", || metrics().contains(line));
}

#[test]
fn connections_are_told_by_what_they_do() {
    let usher = Usher::start(&[]);
    let metric = |state: &str| {
        let text = request(usher.address("metrics"), "GET", "/apisix/prometheus/metrics", &[], b"").text();
        let name = format!("apisix_nginx_http_current_connections{{state=\"{state}\"}} ");
        let line = text.lines().find_map(|line| line.strip_prefix(&name).map(str::to_owned));
        line.unwrap_or_else(|| panic!("{name} is not in {text}")).parse::<f64>().unwrap()
    };
    let before = metric("accepted");
    let open = |bytes: &[u8]| {
        let mut stream = TcpStream::connect(usher.address("proxy")).unwrap();
        stream.write_all(bytes).unwrap();
        stream
    };
    let whole = b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";
    let mut idle = [open(whole), open(whole)];
    for stream in &mut idle {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
    }
    let half = open(b"GET / HTTP/1.1\r\nHost: a.t");
    let states = || ["waiting", "reading", "writing", "active"].map(&metric);
    eventually("two wait, one is read", || states() == [2.0, 1.0, 0.0, 3.0]);
    assert_eq!((metric("accepted") - before, metric("handled") - before), (3.0, 3.0));
    drop((idle, half));
    eventually("all have gone", || states() == [0.0; 4]);
}

#[test]
fn a_file_as_large_as_may_be_is_a_full_disk_and_no_end() {
    use rustix::process::{Pid, Resource, Rlimit, prlimit};

    let usher = Usher::start(&[]);
    let origin = Origin::start("a");
    usher.put("/routes/kept", &json!({ "uri": "/*", "upstream": origin.upstream() }));
    let pid = Pid::from_raw(i32::try_from(usher.id()).unwrap());
    let limit = |most| prlimit(pid, Resource::Fsize, Rlimit { current: most, maximum: None }).unwrap();
    limit(Some(400_000));
    let large =
        json!({ "uri": "/large", "plugins": { "mocking": { "response_example": "x".repeat(40_000) } } });
    let refused = (0..64)
        .map(|at| usher.admin("PUT", &format!("/routes/{at}"), Some(&large)))
        .find(|answer| !matches!(answer.status, 200 | 201))
        .expect("every file stayed small");
    assert_eq!(refused.status, 507, "{}", refused.text());
    assert_eq!(usher.get("/still", &[]).status, 200);
    limit(None);
    eventually("room", || matches!(usher.admin("PUT", "/routes/again", Some(&large)).status, 200 | 201));
}
