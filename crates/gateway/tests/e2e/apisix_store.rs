//! A running APISIX as the store. The far side of these tests is an Usher that shows itself as one (`compat: apisix`).

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::support::{Answer, KEY, Origin, Usher, eventually, request, run};

/// The far side, and a gateway that is managed with it.
struct Pair {
    far: Usher,
    near: Usher,
}

fn far(words: &[&str]) -> Usher {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    far_in(folder, words)
}

fn far_in(folder: Arc<tempfile::TempDir>, words: &[&str]) -> Usher {
    far_of(folder, "compat: apisix\n", words)
}

fn far_of(folder: Arc<tempfile::TempDir>, settings: &str, words: &[&str]) -> Usher {
    let config = folder.path().join("far.yaml");
    std::fs::write(&config, settings).unwrap();
    let mut all = vec!["--config", config.to_str().unwrap()];
    all.extend(words);
    Usher::start_in(Arc::clone(&folder), &all)
}

/// The settings with the key of the far side.
fn settings(folder: &Path, key: &str) -> String {
    let key_file = folder.join("far.key");
    std::fs::write(&key_file, format!("{key}\n")).unwrap();
    let config = folder.join("near.yaml");
    std::fs::write(&config, format!("store_key_file: {}\n", key_file.display())).unwrap();
    config.to_str().unwrap().to_owned()
}

fn near(folder: Arc<tempfile::TempDir>, far: &str) -> Usher {
    let config = settings(folder.path(), KEY);
    Usher::start_in(folder, &["--config", &config, "--store", &format!("apisix+http://{far}")])
}

impl Pair {
    fn start() -> Self {
        let far = far(&["--store", "memory"]);
        let address = far.address("admin").to_string();
        let near = near(Arc::new(tempfile::tempdir().unwrap()), &address);
        Self { far, near }
    }
}

fn say(usher: &Usher, sentence: &str) -> String {
    let url = format!("http://{}", usher.address("chat"));
    let output = run(&["chat", "--url", &url, "--yes", sentence]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{sentence}: {text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

fn status(usher: &Usher) -> Value {
    let fields = [("X-API-KEY", KEY)];
    request(usher.address("admin"), "GET", "/usher/v1/status", &fields, b"").json()["store"].clone()
}

fn body(answer: &Answer) -> Value {
    answer.json()["value"].clone()
}

#[test]
fn a_conversation_manages_it_and_every_change_can_be_taken_back() {
    let origin = Origin::start("a");
    let Pair { far, near } = Pair::start();
    say(&near, &format!("put http://{} behind /c/*, ten requests a minute per client", origin.address));
    // In force on both sides: the far one serves what it was told.
    assert_eq!((near.get("/c/1", &[]).status, far.get("/c/1", &[]).status), (200, 200));
    let there = far.admin("GET", "/routes", None).json();
    assert_eq!(there["total"], 1, "{there}");
    let id = there["list"][0]["value"]["id"].as_str().unwrap().to_owned();
    assert!(say(&near, "show all routes").contains(&id));
    assert!(say(&near, &format!("show route {id}")).contains("/c/*"));
    assert!(say(&near, "what changed?").contains(&id));
    assert!(!say(&near, "how is the gateway?").is_empty());
    say(&near, &format!("disable route {id}"));
    assert_eq!(body(&far.admin("GET", &format!("/routes/{id}"), None))["status"], 0);
    say(&near, "undo that");
    assert_eq!(
        body(&far.admin("GET", &format!("/routes/{id}"), None))
            .get("status")
            .and_then(Value::as_u64)
            .unwrap_or(1),
        1
    );
    say(&near, "undo that");
    eventually("the route is gone on both sides", || {
        far.admin("GET", "/routes", None).json()["total"] == 0 && near.get("/c/1", &[]).status == 404
    });
}

#[test]
fn what_others_change_at_the_far_side_appears() {
    let (one, two) = (Origin::start("one"), Origin::start("two"));
    let Pair { far, near } = Pair::start();
    far.put("/routes/r", &json!({ "uri": "/*", "upstream": one.upstream() }));
    eventually("the new route", || near.get("/x", &[]).status == 200);
    far.put("/routes/r", &json!({ "uri": "/*", "upstream": two.upstream() }));
    eventually("the changed route", || near.get("/x", &[]).json()["origin"] == "two");
    // A change of ours that goes by what was there before is refused, and nothing of theirs is overwritten.
    let seen = near.admin("GET", "/routes/r", None);
    let etag = seen.field("etag").unwrap().to_owned();
    far.put("/routes/r", &json!({ "uri": "/theirs", "upstream": two.upstream() }));
    let ours = json!({ "uri": "/ours", "upstream": one.upstream() }).to_string();
    let fields = [("X-API-KEY", KEY), ("If-Match", etag.as_str()), ("Content-Type", "application/json")];
    let answer = request(near.address("admin"), "PUT", "/apisix/admin/routes/r", &fields, ours.as_bytes());
    assert!(matches!(answer.status, 409 | 412 | 503), "{} {}", answer.status, answer.text());
    assert_eq!(body(&far.admin("GET", "/routes/r", None))["uri"], "/theirs");
    assert_eq!(far.admin("DELETE", "/routes/r", None).status, 200);
    eventually("the deleted route", || near.admin("GET", "/routes/r", None).status == 404);
}

#[test]
fn it_says_what_is_best_effort() {
    let Pair { far: _far, near } = Pair::start();
    let store = status(&near);
    assert_eq!((&store["kind"], &store["writable"]), (&json!("apisix"), &json!(true)));
    assert_eq!((&store["atomic"], &store["watches"]), (&json!(false), &json!(false)));
    let answer = near.admin("PUT", "/routes/t?ttl=5", Some(&json!({ "uri": "/a", "plugins": {} })));
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert!(answer.text().contains("ttl"), "{}", answer.text());
}

#[test]
fn every_kind_of_object_goes_over() {
    let Pair { far, near } = Pair::start();
    let key = "k-canary-9f2e77aa";
    for (path, value) in [
        ("/upstreams/u", json!({ "nodes": { "127.0.0.1:1": 1 } })),
        ("/services/s", json!({ "upstream_id": "u" })),
        ("/plugin_configs/p", json!({ "plugins": { "cors": {} } })),
        ("/routes/r", json!({ "uri": "/r", "service_id": "s", "plugin_config_id": "p" })),
        ("/consumer_groups/g", json!({ "plugins": { "cors": {} } })),
        ("/consumers/jack", json!({ "username": "jack", "group_id": "g" })),
        ("/consumers/jack/credentials/c", json!({ "plugins": { "key-auth": { "key": key } } })),
        ("/global_rules/1", json!({ "plugins": { "prometheus": {} } })),
        ("/secrets/vault/1", json!({ "uri": "http://127.0.0.1:1", "prefix": "kv", "token": "t" })),
    ] {
        near.put(path, &value);
        let there = far.admin("GET", path, None);
        assert_eq!(there.status, 200, "{path}: {}", there.text());
    }
    // The far side holds the secret itself, this one holds it sealed.
    let there = body(&far.admin("GET", "/consumers/jack/credentials/c", None));
    assert_eq!(there["plugins"]["key-auth"]["key"], key, "{there}");
    for path in [
        "/routes/r",
        "/services/s",
        "/upstreams/u",
        "/plugin_configs/p",
        "/consumers/jack/credentials/c",
        "/consumers/jack",
        "/consumer_groups/g",
        "/global_rules/1",
        "/secrets/vault/1",
    ] {
        let answer = near.admin("DELETE", path, None);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        assert_eq!(far.admin("GET", path, None).status, 404, "{path}");
    }
    drop(far);
    assert_is_nowhere(near.kill().path(), key);
}

fn assert_is_nowhere(folder: &Path, secret: &str) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            assert_is_nowhere(&path, secret);
        } else {
            let bytes = std::fs::read(&path).unwrap();
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{} holds the key in clear", path.display());
        }
    }
}

#[test]
fn a_certificate_is_changed_without_its_key_being_known() {
    let Pair { far, near } = Pair::start();
    let made = rcgen::generate_simple_self_signed(vec!["a.example".to_owned()]).unwrap();
    let (cert, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    far.put("/ssls/a", &json!({ "sni": "a.example", "cert": cert, "key": key }));
    eventually("the certificate", || near.admin("GET", "/ssls/a", None).status == 200);
    let answer = near.admin("PATCH", "/ssls/a", Some(&json!({ "labels": { "team": "web" } })));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let there = body(&far.admin("GET", "/ssls/a", None));
    assert_eq!(there["labels"]["team"], "web");
    // The key there is still the one that it was: with the certificate it was made for, it is taken.
    let answer = far.admin("PATCH", "/ssls/a", Some(&json!({ "labels": { "team": "api" } })));
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(near.admin("DELETE", "/ssls/a", None).status, 200);
    assert_eq!(far.admin("GET", "/ssls/a", None).status, 404);
}

#[test]
fn while_it_is_away_the_copy_serves_and_writes_are_refused() {
    let origin = Origin::start("a");
    let there = far(&[]);
    let address = there.address("admin").to_string();
    there.put("/routes/r", &json!({ "uri": "/*", "upstream": origin.upstream() }));
    let here = near(Arc::new(tempfile::tempdir().unwrap()), &address);
    assert_eq!(here.get("/x", &[]).status, 200);
    let folder = there.kill();
    let refused = here.admin("PUT", "/routes/n", Some(&json!({ "uri": "/n", "plugins": {} })));
    assert_eq!(refused.status, 503, "{}", refused.text());
    eventually("the loss is told", || status(&here)["away"].is_string());
    assert_eq!((here.get("/x", &[]).status, here.admin("GET", "/routes/r", None).status), (200, 200));
    // A start without it serves the copy, too.
    let here = near(here.kill(), &address);
    assert_eq!(here.get("/x", &[]).status, 200);
    assert!(status(&here)["away"].is_string());
    let there = far_in(folder, &["--admin-listen", &address]);
    eventually("it is back", || {
        here.admin("PUT", "/routes/n", Some(&json!({ "uri": "/n", "plugins": {} }))).status < 300
    });
    let port = address.rsplit_once(':').unwrap().1;
    let answer =
        request(address.parse().unwrap(), "GET", "/apisix/admin/routes/n", &[("X-API-KEY", KEY)], b"");
    assert_eq!(answer.status, 200, "port {port}: {}", answer.text());
    drop(there);
}

#[test]
fn a_start_that_can_t_work_is_refused_with_the_next_step() {
    let far = far(&["--store", "memory"]);
    let address = far.address("admin").to_string();
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let begin = |words: &[&str]| {
        let mut all = vec!["serve", "--data", data.to_str().unwrap(), "--proxy-listen", "127.0.0.1:0"];
        all.extend(["--admin-listen", "off", "--chat-listen", "off", "--metrics-listen", "off"]);
        all.extend(words);
        let output = run(&all);
        assert!(!output.status.success(), "{words:?} started");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let text = begin(&["--store", &format!("apisix+http://{address}")]);
    assert!(text.contains("USHER_APISIX_KEY") && text.contains("store_key_file"), "{text}");
    let config = settings(folder.path(), "a-wrong-key-of-the-far-side");
    let text = begin(&["--config", &config, "--store", &format!("apisix+http://{address}")]);
    assert!(text.contains("refuses the key") && !text.contains("a-wrong-key"), "{text}");
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let text = begin(&["--config", &config, "--store", &format!("apisix+http://{free}")]);
    assert!(text.contains(&free), "{text}");
    let text = begin(&["--store", &format!("http://{free}")]);
    assert!(text.contains(&format!("apisix+http://{free}")), "{text}");
}

#[test]
fn a_loss_is_held_back_until_a_person_accepts_it() {
    let Pair { far, near } = Pair::start();
    let desk = crate::cli::Desk::of(near);
    for id in ["a", "b", "c"] {
        far.put(&format!("/routes/{id}"), &json!({ "uri": format!("/{id}"), "plugins": {} }));
    }
    eventually("they are known", || desk.json(&["list", "-o", "json"])["route"] == 3);
    assert!(desk.done(&["status", "--accept"]).contains("nothing is held back"));
    // All at once: to who looks, the far side lost everything.
    let each = ["a", "b", "c"].map(|id| json!({ "op": "delete", "kind": "route", "id": id }));
    let gone = json!({ "changes": each });
    let fields = [("X-API-KEY", KEY), ("Content-Type", "application/json")];
    let plan = request(far.address("admin"), "POST", "/usher/v1/plans", &fields, gone.to_string().as_bytes());
    let id = plan.json()["id"].as_str().unwrap().to_owned();
    let agreed = json!({ "approval": { "person": "test" } }).to_string();
    let path = format!("/usher/v1/plans/{id}/apply");
    let applied = request(far.address("admin"), "POST", &path, &fields, agreed.as_bytes());
    assert_eq!(applied.status, 200, "{}", applied.text());
    eventually("the loss is held", || desk.json(&["status", "-o", "json"])["store"]["held"].is_string());
    assert!(desk.done(&["status"]).contains("held back"));
    assert_eq!(desk.json(&["list", "-o", "json"])["route"], 3, "their copies serve");
    // Nothing is written over ghosts meanwhile.
    let refused = desk.usher.admin("PUT", "/routes/a", Some(&json!({ "uri": "/new", "plugins": {} })));
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert!(refused.text().contains("nothing is written meanwhile"), "{}", refused.text());
    assert_eq!(far.admin("GET", "/routes/a", None).status, 404);
    let viewer = desk.done(&["token", "create", "eyes", "--role", "viewer"]);
    assert!(!viewer.is_empty());
    let said = desk.done(&["status", "--accept"]);
    assert!(said.contains("confirmed"), "{said}");
    eventually("it is in force", || desk.json(&["list", "-o", "json"])["route"] == 0);
    assert!(desk.json(&["status", "-o", "json"])["store"]["held"].is_null());
    desk.usher.put("/routes/a", &json!({ "uri": "/new", "plugins": {} }));
    assert_eq!(far.admin("GET", "/routes/a", None).status, 200);
}

#[test]
fn a_plan_there_says_that_it_is_not_written_at_once_and_what_was_written_is_told() {
    // The far side doesn't know a plugin that this one does, so that the second object is refused there.
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let far = far_of(Arc::clone(&folder), "compat: apisix\nplugins: [cors]\n", &["--store", "memory"]);
    let near = near(Arc::new(tempfile::tempdir().unwrap()), &far.address("admin").to_string());
    let desk = crate::cli::Desk::of(near);
    let file = desk.file(
        "two.yaml",
        "usher: 1\nroutes:\n  a: {uri: /a, plugins: {cors: {}}}\n  b: {uri: /b, plugins: {ip-restriction: {whitelist: [10.0.0.0/8]}}}\n",
    );
    let dry = desk.done(&["apply", "-f", crate::cli::word(&file), "--dry-run"]);
    assert!(dry.contains("has no transactions"), "{dry}");
    let said = desk.say(&["apply", "-f", crate::cli::word(&file), "--yes"]);
    assert_ne!(said.code, 0, "{said:?}");
    assert!(said.err.contains("1 of 2 objects were written (route a)"), "{said:?}");
    let newest = desk.json(&["history", "-o", "json"])[0].clone();
    assert_eq!((&newest["total"], &newest["not_written"]), (&json!(1), &json!(1)), "{newest}");
    assert!(desk.done(&["history"]).contains("in part, 1 not written"));
    desk.done(&["undo", "--yes"]);
    assert_eq!(far.admin("GET", "/routes/a", None).status, 404);
}
