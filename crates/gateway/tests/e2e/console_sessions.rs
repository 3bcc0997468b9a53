//! Sessions of the console: under which names they count, and what of them outlives a restart.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};

use crate::console::with;
use crate::support::{Answer, KEY, Usher, request};

const OURS: [(&str, &str); 2] = [("Content-Type", "application/json"), ("X-Usher-Console", "1")];

/// A request of a page of the console.
fn page(to: SocketAddr, method: &str, path: &str, more: &[(&str, &str)], body: &Value) -> Answer {
    let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    request(to, method, &format!("/usher/v1{path}"), &[&OURS[..], more].concat(), &body)
}

/// The cookie of a login.
fn cookie(usher: &Usher, body: &Value) -> String {
    let inside = page(usher.address("admin"), "POST", "/session", &[], body);
    assert_eq!(inside.status, 200, "{}", inside.text());
    inside.field("set-cookie").unwrap().split(';').next().unwrap().to_owned()
}

/// What a user logs in with.
fn ann() -> Value {
    json!({ "user": "ann", "password": "correct horse" })
}

fn add_ann(usher: &Usher) {
    let body = json!({ "name": "ann", "role": "editor", "password": "correct horse" }).to_string();
    let fields = [("X-API-KEY", KEY), ("Content-Type", "application/json")];
    let made = request(usher.address("admin"), "POST", "/usher/v1/users", &fields, body.as_bytes());
    assert_eq!(made.status, 201, "{}", made.text());
}

#[test]
fn a_page_that_gave_its_own_name_our_address_gets_no_console_and_no_session() {
    let usher = with(
        "console: {hosts: [gateway.corp, 'other.corp:8443'], public_url: 'https://usher.example.com'}\n",
    );
    let admin = usher.address("admin");
    let key = json!({ "key": KEY });
    let inside = cookie(&usher, &key);
    let inside = ("Cookie", inside.as_str());
    for (host, status) in [
        ("evil.test", 421),
        ("evil.test:9180", 421),
        ("127.0.0.1.evil.test:9180", 421),
        ("other.corp", 421),
        ("localhost:1", 200),
        ("10.0.0.7:9180", 200),
        ("[::1]:9180", 200),
        ("gateway.corp", 200),
        ("Gateway.corp:9180", 200),
        ("other.corp:8443", 200),
        ("usher.example.com", 200),
    ] {
        let at = ("Host", host);
        let seen = [
            request(admin, "GET", "/ui/", &[at], b""),
            request(admin, "GET", "/ui/objects/routes", &[at], b""),
            page(admin, "GET", "/session", &[at], &Value::Null),
            page(admin, "POST", "/session", &[at], &key),
            page(admin, "GET", "/status", &[at, inside], &Value::Null),
        ];
        for answer in seen {
            assert_eq!(answer.status, status, "{host}: {}", answer.text());
            assert!(status != 421 || answer.text().contains("console.hosts"), "{}", answer.text());
        }
        // Whoever brings a key is no page of somebody else's, and whoever brings nothing gets nothing.
        for path in ["/apisix/admin/routes", "/usher/v1/status"] {
            let bearer = format!("Bearer {KEY}");
            let with_key = [("X-API-KEY", KEY), at];
            assert_eq!(request(admin, "GET", path, &with_key, b"").status, 200, "{host} {path}");
            assert_eq!(request(admin, "GET", path, &[at], b"").status, 401, "{host} {path}");
            if path.starts_with("/usher") {
                let with_bearer = [("Authorization", bearer.as_str()), at];
                assert_eq!(request(admin, "GET", path, &with_bearer, b"").status, 200, "{host} {path}");
            }
        }
    }
}

#[test]
fn sessions_outlive_a_restart_and_the_page_says_why_one_ended() {
    let usher = Usher::start(&[]);
    add_ann(&usher);
    let (holder, person) = (cookie(&usher, &json!({ "key": KEY })), cookie(&usher, &ann()));
    let out = cookie(&usher, &ann());
    assert_eq!(
        page(usher.address("admin"), "DELETE", "/session", &[("Cookie", &out)], &Value::Null).status,
        200
    );
    let folder = usher.kill();
    let file = folder.path().join("data/sessions");
    let kept = std::fs::read_to_string(&file).unwrap();
    assert!(kept.starts_with("$usher$") && !kept.contains("digest"), "{kept}");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);

    let usher = Usher::start_in(folder, &[]);
    let admin = usher.address("admin");
    let session = |cookie: &str| page(admin, "GET", "/session", &[("Cookie", cookie)], &Value::Null).json();
    assert_eq!(session(&holder)["you"]["by"], "key");
    let still = session(&person);
    assert_eq!((&still["you"]["name"], &still["ended"]), (&json!("ann"), &Value::Null), "{still}");
    assert!(still["you"]["expires_in_secs"].as_u64().unwrap() <= 12 * 60 * 60);
    assert_eq!(session(&out)["you"], Value::Null);
    assert!(session("usher_session=made-up")["ended"].as_str().unwrap().contains("isn't known here"));
    assert_eq!(page(admin, "GET", "/session", &[], &Value::Null).json().get("ended"), None);
    let fields = [("X-API-KEY", KEY), ("Content-Type", "application/json")];
    let changed =
        request(admin, "PUT", "/usher/v1/users/ann", &fields, br#"{"password": "another password"}"#);
    assert_eq!(changed.status, 200, "{}", changed.text());
    assert!(session(&person)["ended"].as_str().unwrap().contains("role or password was changed"));

    // What somebody else wrote there lets nobody in.
    let folder = usher.kill();
    std::fs::write(&file, kept.replace("$usher$1$", "$usher$1$x")).unwrap();
    let usher = Usher::start_in(folder, &[]);
    let admin = usher.address("admin");
    assert_eq!(page(admin, "GET", "/status", &[("Cookie", &holder)], &Value::Null).status, 401);
}

#[test]
fn a_plan_that_waited_before_a_restart_is_gone_and_that_is_said() {
    let usher = Usher::start(&[]);
    usher.put(
        "/routes/old",
        &json!({ "uri": "/old", "upstream": { "type": "roundrobin", "nodes": { "127.0.0.1:1": 1 } } }),
    );
    let admin = usher.address("admin");
    let holder = cookie(&usher, &json!({ "key": KEY }));
    let made =
        page(admin, "POST", "/tokens", &[("Cookie", &holder)], &json!({ "name": "agent", "role": "chat" }));
    let token = made.json()["token"].as_str().unwrap().to_owned();
    let fields = [("X-API-KEY", token.as_str()), ("Content-Type", "application/json")];
    let wish = br#"{"changes": [{"op": "delete", "kind": "route", "id": "old"}]}"#;
    let plan = request(admin, "POST", "/usher/v1/plans", &fields, wish).json();
    let path = format!("/approvals/{}", plan["id"].as_str().unwrap());
    let listed = page(admin, "GET", "/approvals", &[("Cookie", &holder)], &Value::Null).json();
    assert_eq!(listed["total"], 1, "{listed}");
    let usher = Usher::start_in(usher.kill(), &[]);
    let admin = usher.address("admin");
    let now = page(admin, "GET", "/approvals", &[("Cookie", &holder)], &Value::Null).json();
    assert_eq!(now["total"], 0, "{now}");
    assert!(now["since_unix_ms"].as_u64() > listed["since_unix_ms"].as_u64(), "{now}");
    let gone = page(admin, "GET", &path, &[("Cookie", &holder)], &Value::Null);
    let error = gone.json()["error"].clone();
    assert_eq!(gone.status, 404, "{error}");
    assert!(error["message"].as_str().unwrap().contains("started the last time"), "{error}");
    assert!(error["next"].as_str().unwrap().contains("plans again"), "{error}");
}
