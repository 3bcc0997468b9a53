//! Commands that only look: get, list, history, explain, status, and what every command does about keys and addresses.

use std::io::{BufReader, Write as _};

use serde_json::json;

use super::{Desk, SMALL, run, word};
use crate::support::{KEY, binary, read_request};

fn filled() -> Desk {
    let desk = Desk::new();
    desk.done(&["apply", "-f", word(&desk.file("small.yaml", SMALL)), "--yes"]);
    desk
}

#[test]
fn objects_are_shown_in_three_forms() {
    let desk = filled();
    let yaml = desk.done(&["get", "route", "a"]);
    assert!(yaml.contains("uri: /a/*\n") && yaml.contains("team: pay"), "{yaml}");
    assert_eq!(desk.json(&["get", "routes", "a", "-o", "json"])["name"], "alpha");
    let table = desk.done(&["get", "route", "a", "-o", "table"]);
    assert!(table.contains("uri") && table.contains("/a/*"), "{table}");
    let list = desk.done(&["list", "routes"]);
    assert!(list.starts_with("ID  NAME") && list.contains("alpha") && list.contains("upstream u"), "{list}");
    assert_eq!(desk.json(&["list", "routes", "--label", "team=shop", "-o", "json"]), json!([]));
    assert_eq!(desk.json(&["list", "routes", "--name", "alp", "-o", "json"])[0]["id"], "a");
    assert_eq!(desk.json(&["list", "-o", "json"])["route"], 1);
    assert!(!desk.done(&["list", "consumers", "-o", "yaml"]).contains("canary"));
    assert!(desk.done(&["get", "consumer", "jack"]).contains("***"));
}

#[test]
fn the_history_is_listed_and_told_in_full() {
    let desk = filled();
    desk.done(&["delete", "route", "a", "--yes"]);
    let list = desk.done(&["history"]);
    assert!(list.contains("- route a") && list.contains("+ route a; "), "{list}");
    assert_eq!(desk.json(&["history", "-n", "1", "-o", "json"]).as_array().unwrap().len(), 1);
    assert_eq!(desk.json(&["history", "--key", "upstream/u", "-o", "json"]).as_array().unwrap().len(), 1);
    let one = desk.done(&["history", "1"]);
    assert!(one.contains("revision 1") && one.contains("+ uri: \"/a/*\""), "{one}");
    assert_eq!(desk.say(&["history", "99"]).code, 4);
    assert_eq!(desk.say(&["history", "-n", "0"]).code, 2);
}

#[test]
fn a_request_is_explained_from_curl_or_in_words() {
    let desk = filled();
    let gateway = desk.usher.address("proxy");
    let curl = format!("curl -H 'apikey: x' http://{gateway}/a/1");
    let told = desk.done(&["explain", &curl]);
    for part in [
        "route a (alpha) takes it by /a/*",
        "plugin key-auth in",
        "upstream u",
        "127.0.0.1:9  weight 1  <- its turn",
    ] {
        assert!(told.contains(part), "{part} is missing in {told}");
    }
    let words = desk.json(&[
        "explain",
        "post",
        "example.com/none",
        "-H",
        "X-A: it's",
        "--client",
        "10.0.0.1",
        "-o",
        "json",
    ]);
    assert_eq!(
        (&words["request"]["method"], &words["request"]["host"]),
        (&json!("POST"), &json!("example.com"))
    );
    assert_eq!((&words["route"], &words["request"]["client"]), (&json!(null), &json!("10.0.0.1")));
    assert_eq!(desk.say(&["explain", "curl --what x"]).code, 3);
    assert_eq!(desk.say(&["explain"]).code, 2);
}

#[test]
fn how_things_are_is_told() {
    let desk = filled();
    let status = desk.done(&["status"]);
    assert!(
        status.starts_with("version") && status.contains("memory") && status.contains("admin by cli"),
        "{status}"
    );
    let doctor = desk.say(&[
        "doctor",
        "--data",
        "data",
        "--proxy-listen",
        "127.0.0.1:0",
        "--admin-listen",
        "127.0.0.1:0",
        "--chat-listen",
        "off",
        "--metrics-listen",
        "off",
    ]);
    assert_eq!(doctor.code, 0, "{doctor:?}");
    for part in ["ok    running Usher", "ok    store", "ok    clock", "data folder", "disk"] {
        assert!(doctor.out.contains(part), "{part} is missing in {doctor:?}");
    }
    let open = desk.path("open");
    std::fs::create_dir(&open).unwrap();
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o777)).unwrap();
    let doctor = desk.say(&["doctor", "--data", "open", "--proxy-listen", "off"]);
    assert_eq!(doctor.code, 1, "{doctor:?}");
    assert!(doctor.out.contains("fail  data folder") && doctor.out.contains("chmod 700"), "{doctor:?}");
}

#[test]
fn a_key_comes_from_the_environment_or_a_file_and_a_wrong_one_has_its_code() {
    let desk = filled();
    let list = ["list", "routes"];
    for (key, code) in [(Some(KEY), 0), (None, 6), (Some("wrong"), 6)] {
        let said = desk.say_as(&list, key, "");
        assert_eq!(said.code, code, "{key:?}: {said:?}");
    }
    let file = desk.file("key", &format!("{KEY}\n"));
    assert_eq!(desk.say_as(&["list", "routes", "--key-file", word(&file)], Some("wrong"), "").code, 0);
    desk.file("usher-data/admin.key", KEY);
    assert_eq!(desk.say_as(&list, None, "").code, 0, "the key of the folder is found");
    let viewer = desk.done(&["token", "create", "v", "--role", "viewer"]);
    let denied = desk.say_as(&["delete", "route", "a", "--yes"], Some(viewer.trim()), "");
    assert_eq!(denied.code, 6, "{denied:?}");
    assert!(!desk.say(&["list", "--help"]).out.contains("--key "), "a key is no option");
}

#[test]
fn nobody_there_has_its_code_and_says_where() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    let said = run(binary().args(["list", "routes", "--url", &url]), "");
    assert_eq!(said.code, 7, "{said:?}");
    assert!(said.err.contains(&url) && said.err.contains("usher serve"), "{said:?}");
    assert_eq!(run(binary().args(["list", "routes", "--url", "nonsense"]), "").code, 2);
    let desk = Desk::new();
    let chat = format!("http://{}", desk.usher.address("metrics"));
    let said = desk.say(&["list", "routes", "--url", &chat]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.err.contains("--url"), "{said:?}");
}

#[test]
fn colours_are_for_terminals() {
    let desk = filled();
    for words in [
        &["list", "routes"][..],
        &["history"],
        &["diff", "-f", "small.yaml"],
        &["undo", "--dry-run"],
        &["status"],
    ] {
        assert!(!desk.done(words).contains('\u{1b}'), "{words:?}");
    }
}

/// An Admin port that answers every question with this status.
fn telling(status: &serde_json::Value) -> std::net::SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let body = status.to_string();
    std::thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            let mut reader = BufReader::new(socket);
            if read_request(&mut reader).is_none() {
                continue;
            }
            let head =
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length";
            // Who asked may be gone.
            let _ = write!(reader.get_mut(), "{head}: {}\r\n\r\n{body}", body.len());
        }
    });
    address
}

#[test]
fn a_store_whose_writes_fail_is_shown_with_the_reason_and_what_to_do() {
    let status = json!({
        "version": "0", "you": { "name": "ops", "role": "admin", "door": "api" }, "revision": 3, "in_force": 3,
        "store": { "kind": "embedded", "place": "/data", "writable": true, "away": null, "writes_fail": "no space left on the device" },
    });
    let url = format!("http://{}", telling(&status));
    let folder = tempfile::tempdir().unwrap();
    let said = |command: &str| {
        let mut program = binary();
        program.current_dir(folder.path()).env("USHER_ADMIN_KEY", KEY);
        run(program.args([command, "--url", &url]), "")
    };
    let told = said("status");
    assert!(
        told.code == 0
            && told.out.contains("writes fail")
            && told.out.contains("no space left on the device"),
        "{told:?}"
    );
    let told = said("doctor");
    assert!(told.code != 0, "{told:?}");
    for part in ["takes no writes: no space left on the device", "free some space", "is reachable"] {
        assert!(told.out.contains(part), "{part}: {told:?}");
    }
}
