//! `usher keyring`: a new key takes over, and what an older one sealed is readable after that one is gone.

use serde_json::json;

use crate::cli::{Desk, word};
use crate::support::Usher;

#[test]
fn a_new_key_takes_over_and_the_older_one_can_go() {
    let desk = Desk::of(Usher::start(&[]));
    let folder = std::sync::Arc::clone(&desk.usher.folder);
    let data = folder.path().join("data");
    for name in ["jack", "jill"] {
        let value =
            json!({ "username": name, "plugins": { "key-auth": { "key": format!("canary-of-{name}") } } });
        desk.usher.put(&format!("/consumers/{name}"), &value);
    }
    desk.usher.put(
        "/consumers/jack",
        &json!({ "username": "jack", "plugins": { "key-auth": { "key": "second-canary" } } }),
    );
    let lines = || {
        let text = std::fs::read_to_string(data.join("keyring.key")).unwrap();
        text.lines().filter(|line| !line.starts_with('#')).count()
    };
    let said = desk.say(&["keyring", "rotate", "--data", word(&data)]);
    assert_eq!((said.code, lines()), (0, 2), "{said:?}");
    assert!(said.err.contains("restart each Usher, and run usher keyring reseal"), "{said:?}");
    // The running one has not read it: nothing may go yet.
    let early = desk.say(&["keyring", "prune", "--data", word(&data)]);
    assert_eq!((early.code, lines()), (5, 2), "{early:?}");
    desk.usher.terminate();

    let desk = Desk::of(Usher::start_in(std::sync::Arc::clone(&folder), &[]));
    let state = desk.done(&["keyring", "status"]);
    assert!(state.contains("records hold what older ones sealed"), "{state}");
    let early = desk.say(&["keyring", "prune", "--data", word(&data)]);
    assert!(early.code == 5 && early.err.contains("usher keyring reseal"), "{early:?}");
    let said = desk.say(&["keyring", "reseal"]);
    assert!(said.code == 0 && said.out.contains("records were sealed anew"), "{said:?}");
    assert!(said.err.contains("usher keyring prune"), "{said:?}");
    assert!(desk.done(&["keyring", "reseal"]).contains("0 records"));
    assert!(desk.done(&["audit"]).contains("resealed"));
    let dry = desk.done(&["keyring", "prune", "--data", word(&data), "--dry-run"]);
    assert!(dry.contains("1 older keys") && lines() == 2, "{dry}");
    desk.done(&["keyring", "prune", "--data", word(&data)]);
    assert_eq!(lines(), 1);
    desk.usher.terminate();

    // Without the older key: what is there is readable, and so is what the history holds.
    let desk = Desk::of(Usher::start_in(std::sync::Arc::clone(&folder), &[]));
    let key = |name: &str| {
        desk.usher.admin("GET", &format!("/consumers/{name}"), None).json()["value"]["plugins"]["key-auth"]["key"].clone()
    };
    assert_eq!((key("jack"), key("jill")), (json!("second-canary"), json!("canary-of-jill")));
    assert!(desk.done(&["keyring", "status"]).contains("nothing is sealed by older ones"));
    desk.done(&["undo", "--yes"]);
    assert_eq!(key("jack"), "canary-of-jack");
    let revealed = desk.done(&["export", "--reveal-secrets"]);
    assert!(revealed.contains("canary-of-jack") && revealed.contains("canary-of-jill"), "{revealed}");
}
