//! Starting, stopping, and what is still there afterwards.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use serde_json::json;

use crate::support::{KEY, Origin, Usher, binary, request, run};

#[test]
fn what_was_acknowledged_is_there_after_a_crash() {
    let origin = Origin::start("a");
    let usher = Usher::start(&[]);
    for id in 0..20 {
        usher.put(
            &format!("/routes/r{id}"),
            &json!({ "uri": format!("/r{id}/*"), "upstream": origin.upstream() }),
        );
    }
    let usher = Usher::start_in(usher.kill(), &[]);
    assert_eq!(usher.admin("GET", "/routes", None).json()["total"], 20);
    assert_eq!(usher.get("/r7/x", &[]).status, 200);
}

#[test]
fn a_damaged_data_file_is_told_by_name_and_the_last_good_state_is_served() {
    let origin = Origin::start("a");
    let usher = Usher::start(&[]);
    usher.put("/routes/1", &json!({ "uri": "/kept/*", "upstream": origin.upstream() }));
    let folder = usher.kill();
    let file = folder.path().join("data/usher.redb");
    let mut bytes = std::fs::read(&file).unwrap();
    bytes.iter_mut().skip(4096).for_each(|byte| *byte ^= 0x55);
    std::fs::write(&file, bytes).unwrap();
    let log = folder.path().join("log");
    let usher = Usher::start_logging(folder, &[], &log);
    assert_eq!(usher.get("/kept/x", &[]).status, 200);
    let told = std::fs::read_to_string(&log).unwrap();
    assert!(told.contains("usher.redb.damaged-") && told.contains("revision"), "{told}");
}

#[test]
fn a_lost_keyring_is_never_replaced_beside_its_store() {
    let usher = Usher::start(&[]);
    usher.put("/consumers/jack", &json!({ "username": "jack", "plugins": { "key-auth": { "key": "k" } } }));
    let folder = usher.kill();
    let data = folder.path().join("data");
    let keyring = std::fs::read(data.join("keyring.key")).unwrap();
    std::fs::remove_file(data.join("keyring.key")).unwrap();
    let output = run(&["serve", "--data", data.to_str().unwrap(), "--proxy-listen", "127.0.0.1:0"]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && text.contains("keyring.key is missing"), "{text}");
    assert!(!data.join("keyring.key").exists());
    std::fs::write(data.join("keyring.key"), keyring).unwrap();
    std::fs::set_permissions(data.join("keyring.key"), PermissionsExt::from_mode(0o600)).unwrap();
    let usher = Usher::start_in(folder, &[]);
    assert_eq!(
        usher.admin("GET", "/consumers/jack", None).json()["value"]["plugins"]["key-auth"]["key"],
        "k"
    );
}

#[test]
fn memory_keeps_nothing() {
    let usher = Usher::start(&["--store", "memory"]);
    usher.put("/upstreams/1", &json!({ "nodes": { "127.0.0.1:1": 1 } }));
    let usher = Usher::start_in(usher.kill(), &["--store", "memory"]);
    assert_eq!(usher.admin("GET", "/upstreams", None).json()["total"], 0);
}

#[test]
fn the_first_start_makes_a_key_that_only_its_owner_can_read() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let usher = Usher::start_in(Arc::new(folder), &["--config", "/dev/null"]);
    drop(usher);
    let mut child = binary()
        .args([
            "serve",
            "--data",
            data.to_str().unwrap(),
            "--proxy-listen",
            "127.0.0.1:0",
            "--admin-listen",
            "127.0.0.1:0",
        ])
        .args(["--chat-listen", "off", "--metrics-listen", "off", "--print-addresses"])
        .stdout(std::process::Stdio::piped())
        .spawn();
    // The folder went with the first server; a new one is made.
    let child = child.as_mut().unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.take().unwrap()), &mut line)
        .unwrap();
    let addresses: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(addresses["chat"], json!([]));
    let key = std::fs::read_to_string(data.join("admin.key")).unwrap();
    for (name, mode) in [("admin.key", 0o600), ("keyring.key", 0o600), ("", 0o700)] {
        let found = std::fs::metadata(data.join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!(found, mode, "{name:?} has mode {found:o}");
    }
    let admin = addresses["admin"][0].as_str().unwrap().parse().unwrap();
    let with = |key: &str| request(admin, "GET", "/apisix/admin/routes", &[("X-API-KEY", key)], b"").status;
    assert_eq!((with(key.trim()), with("wrong"), with(KEY)), (200, 401, 401));
    child.kill().unwrap();
    child.wait().unwrap();
    std::fs::remove_dir_all(&data).unwrap();
}

#[test]
fn a_taken_port_is_an_error_that_names_port_and_option() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for (option, others) in [
        ("--proxy-listen", ["--admin-listen", "--chat-listen", "--metrics-listen"]),
        ("--admin-listen", ["--proxy-listen", "--chat-listen", "--metrics-listen"]),
        ("--chat-listen", ["--proxy-listen", "--admin-listen", "--metrics-listen"]),
        ("--metrics-listen", ["--proxy-listen", "--admin-listen", "--chat-listen"]),
    ] {
        let mut words = vec!["demo", "--exit", option, &address];
        for other in others {
            words.extend([other, "127.0.0.1:0"]);
        }
        let output = run(&words);
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{option}: {text}");
        for part in [option, &taken.local_addr().unwrap().port().to_string(), "holds it"] {
            assert!(text.contains(part), "{option}: {part} is missing in {text}");
        }
    }
}

#[test]
fn an_unknown_setting_is_an_error_with_the_nearest_name() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.yaml");
    std::fs::write(&config, "apisix:\n  node_lisen: 9080\n").unwrap();
    let output = run(&["serve", "--config", config.to_str().unwrap()]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && text.contains("did you mean apisix.node_listen?"), "{text}");
}

#[test]
fn metrics_are_told_to_our_own_names_alone() {
    let usher = Usher::start(&["--store", "memory"]);
    let ask = |fields: &[(&str, &str)]| {
        request(usher.address("metrics"), "GET", "/apisix/prometheus/metrics", fields, b"").status
    };
    assert_eq!((ask(&[]), ask(&[("Host", "evil.test")])), (200, 421));
}

#[test]
fn a_server_that_would_serve_nothing_is_refused() {
    let off =
        ["--proxy-listen", "off", "--admin-listen", "off", "--chat-listen", "off", "--metrics-listen", "off"];
    let output = run(&[&["serve", "--store", "memory"], &off[..]].concat());
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && text.contains("every listener is off"), "{text}");
}

#[test]
fn a_demo_whose_terminal_is_closed_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = binary()
        .args(["demo", "--proxy-listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])
        .args(["--chat-listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"])
        .env("TMPDIR", folder.path())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    assert!(lines.by_ref().any(|line| line.unwrap().contains("It stays up")), "the walk did not end");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    let id = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-HUP", &id]).status().unwrap().success());
    // Whatever it still says is read, so that it isn't stopped by a closed pipe.
    lines.for_each(drop);
    assert!(child.wait().unwrap().success());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_second_server_on_the_same_folder_is_refused() {
    let usher = Usher::start(&[]);
    let data = usher.folder.path().join("data");
    let words = [
        "serve",
        "--data",
        data.to_str().unwrap(),
        "--proxy-listen",
        "127.0.0.1:0",
        "--admin-listen",
        "127.0.0.1:0",
        "--chat-listen",
        "off",
        "--metrics-listen",
        "off",
    ];
    let output = run(&words);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && text.contains(data.to_str().unwrap()), "{text}");
}

#[test]
fn the_chat_side_refuses_to_listen_wider_than_loopback() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let words = [
        "serve",
        "--data",
        data.to_str().unwrap(),
        "--chat-listen",
        "0.0.0.0:0",
        "--proxy-listen",
        "127.0.0.1:0",
        "--admin-listen",
        "127.0.0.1:0",
        "--metrics-listen",
        "off",
    ];
    let output = run(&words);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && text.contains("published_on_loopback"), "{text}");
}

#[test]
fn sigterm_lets_a_request_in_flight_end_well() {
    use std::io::{Read as _, Write as _};
    let slow = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = slow.local_addr().unwrap();
    let usher = Usher::start(&[]);
    usher.put("/routes/1", &json!({ "uri": "/*", "upstream": { "nodes": { address.to_string(): 1 } } }));
    let proxy = usher.address("proxy");
    let client = std::thread::spawn(move || request(proxy, "GET", "/slow", &[], b""));
    let (mut upstream, _) = slow.accept().unwrap();
    let mut head = [0; 4096];
    assert!(upstream.read(&mut head).unwrap() > 0);
    let stopped = std::thread::spawn(move || usher.terminate());
    upstream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate").unwrap();
    let answer = client.join().unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (200, "late"));
    assert!(stopped.join().unwrap().success());
}

#[test]
fn the_version_is_printed() {
    let output = run(&["version"]);
    assert!(output.status.success());
    assert_eq!(String::from_utf8_lossy(&output.stdout), concat!("usher ", env!("CARGO_PKG_VERSION"), "\n"));
}
