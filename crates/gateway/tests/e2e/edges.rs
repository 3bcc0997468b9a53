//! The edge of the admin side: requests that mean harm, secrets that are not there yet, roles without a store, pipes that close.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{KEY, Usher, binary};

/// What comes back until the connection is closed.
fn told(usher: &Usher, side: &str, bytes: &str) -> String {
    let mut stream = TcpStream::connect(usher.address(side)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(bytes.as_bytes()).unwrap();
    let mut answer = Vec::new();
    // How the connection ends behind the answer doesn't matter.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn doubtful_requests_are_refused_and_the_connection_closed() {
    let usher = Usher::start(&["--store", "memory"]);
    let key = format!("Host: localhost\r\nX-API-KEY: {KEY}\r\n");
    let smuggled = format!("PUT /apisix/admin/routes/evil HTTP/1.1\r\n{key}Content-Length: 0\r\n\r\n");
    for (doubtful, side) in [
        (format!("{key}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n"), "admin"),
        (format!("{key}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n"), "admin"),
        (format!("{key}Content-Length: 4\r\nContent-Length: 5\r\n"), "admin"),
        (format!("{key}Transfer-Encoding: chunked, identity\r\n"), "admin"),
        (format!("{key}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n"), "chat"),
    ] {
        let bytes = format!("PUT /apisix/admin/routes/1 HTTP/1.1\r\n{doubtful}\r\n0\r\n\r\n{smuggled}");
        let answer = told(&usher, side, &bytes);
        assert!(answer.starts_with("HTTP/1.1 400 "), "{doubtful}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{doubtful}: {answer}");
    }
    // A connection that asked well before is answered first.
    let get = format!("GET /apisix/admin/routes HTTP/1.1\r\n{key}\r\n");
    let answer =
        told(&usher, "admin", &format!("{get}GET /apisix/admin/routes HTTP/1.1\r\n{key}Host: b\r\n\r\n"));
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("HTTP/1.1 400 "), "{answer}");
}

#[test]
fn a_body_of_a_tebibyte_is_refused_before_it_comes() {
    let usher = Usher::start(&["--store", "memory"]);
    let begun = Instant::now();
    for (target, key, status) in [
        ("PUT /apisix/admin/routes/1", KEY, "413"),
        ("POST /usher/v1/plans", KEY, "413"),
        ("PUT /apisix/admin/routes/1", "wrong", "401"),
    ] {
        let head = format!(
            "{target} HTTP/1.1\r\nHost: localhost\r\nX-API-KEY: {key}\r\nContent-Type: application/json\r\nContent-Length: 1099511627776\r\n\r\n{{"
        );
        let answer = told(&usher, "admin", &head);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{target}: {answer}");
    }
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
}

#[test]
fn what_needs_a_secret_that_is_not_there_is_stored_and_listed_as_a_problem() {
    let usher = Usher::start(&["--store", "memory"]);
    let made = rcgen::generate_simple_self_signed(vec!["a.example".to_owned()]).unwrap();
    let ssl = json!({ "sni": "a.example", "cert": made.cert.pem(), "key": "$env://NOBODY_SET_THIS" });
    let manager = json!({ "auth_file": "/nowhere/account.json" });
    for (path, value) in [("/ssls/1", &ssl), ("/secrets/gcp/1", &manager)] {
        let seen = usher.admin("PUT", path, Some(value));
        assert_eq!(seen.status, 201, "{path}: {}", seen.text());
        let warning = seen.field("x-usher-warning").unwrap_or_default().to_owned();
        assert!(warning.contains("waits for what is kept elsewhere"), "{path}: {warning}");
    }
    let headers = [("X-API-KEY", KEY)];
    let status = crate::support::request(usher.address("admin"), "GET", "/usher/v1/status", &headers, b"");
    let status: Value = serde_json::from_str(&status.text()).unwrap();
    let keys: Vec<&str> =
        status["problems"].as_array().unwrap().iter().filter_map(|problem| problem["key"].as_str()).collect();
    assert!(keys.contains(&"/apisix/ssls/1") && keys.contains(&"/apisix/secrets/gcp/1"), "{status}");
    // What is wrong in itself is refused as ever.
    let bad = json!({ "sni": "a.example", "cert": "x".repeat(200), "key": "$env://NOBODY_SET_THIS" });
    assert!(usher.admin("PUT", "/secrets/gcp/2", Some(&json!({ "auth_config": 1 }))).status == 400);
    assert!(usher.admin("PUT", "/ssls/2", Some(&bad)).status < 500);
}

#[test]
fn a_data_plane_needs_a_store_to_read() {
    let folder = tempfile::tempdir().unwrap();
    let settings = folder.path().join("config.yaml");
    std::fs::write(&settings, "deployment: {role: data_plane}\n").unwrap();
    let out = binary()
        .args(["serve", "--config", settings.to_str().unwrap(), "--proxy-listen", "127.0.0.1:0"])
        .args(["--data", folder.path().join("data").to_str().unwrap()])
        .args(["--chat-listen", "off", "--metrics-listen", "off"])
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(1), "{told}");
    assert!(told.contains("data_plane") && told.contains("deployment.etcd.host"), "{told}");
}

#[test]
fn a_store_that_takes_no_change_says_so_before_anything_is_planned() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("apisix.yaml");
    std::fs::write(&file, "routes:\n  - {id: 1, uri: /a, plugins: {}}\n#END\n").unwrap();
    let usher = Usher::start(&["--store", &format!("file:{}", file.display())]);
    let wanted = folder.path().join("wanted.yaml");
    std::fs::write(&wanted, "usher: 1\nroutes:\n  b: {uri: /b, plugins: {}}\n").unwrap();
    for words in [
        &["apply", "-f", wanted.to_str().unwrap(), "--yes"][..],
        &["delete", "route", "1", "--yes"],
        &["undo", "--yes"],
    ] {
        let out = binary()
            .args(words)
            .env("USHER_ADMIN_URL", format!("http://{}", usher.address("admin")))
            .env("USHER_ADMIN_KEY", KEY)
            .output()
            .unwrap();
        let (said, told) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        assert!(out.status.code() == Some(6) && said.is_empty(), "{words:?}: {said} {told}");
        assert!(told.contains("apisix.yaml; change that file"), "{words:?}: {told}");
    }
}

#[test]
fn a_pipe_that_closes_ends_a_command_quietly() {
    let usher = Usher::start(&["--store", "memory"]);
    let wide = json!({ "uri": "/a", "desc": "x".repeat(200), "plugins": {} });
    for at in 0..600 {
        usher.put(&format!("/routes/{at}"), &wide);
    }
    let mut child = binary()
        .args(["list", "routes", "-o", "json"])
        .env("USHER_ADMIN_URL", format!("http://{}", usher.address("admin")))
        .env("USHER_ADMIN_KEY", KEY)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // More than a pipe holds is on its way when it closes.
    let mut first = [0; 16];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    let out = child.wait_with_output().unwrap();
    assert_eq!((out.status.code(), String::from_utf8_lossy(&out.stderr).as_ref()), (Some(141), ""));
}
