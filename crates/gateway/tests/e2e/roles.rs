//! The parts that a gateway can play: control plane, data plane.

use std::sync::Arc;

use serde_json::json;

use crate::support::{Usher, request, run};

fn start(settings: &str, words: &[&str]) -> Usher {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let config = folder.path().join("config.yaml");
    std::fs::write(&config, settings).unwrap();
    let mut all = vec!["--config", config.to_str().unwrap()];
    all.extend(words);
    Usher::start_in(folder, &all)
}

#[test]
fn a_control_plane_is_managed_and_serves_no_traffic() {
    let usher = start("deployment: {role: control_plane}\n", &["--store", "memory"]);
    assert_eq!(usher.addresses["proxy"], json!([]));
    usher.put("/routes/1", &json!({ "uri": "/a", "plugins": {} }));
    assert_eq!(usher.admin("GET", "/routes", None).json()["total"], 1);
}

#[test]
fn a_data_plane_takes_no_change_whatever_its_store_could() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    // A data plane serves a store that is there, such as a restored one.
    drop(Usher::start_in(Arc::clone(&folder), &[]));
    let config = folder.path().join("config.yaml");
    std::fs::write(&config, "deployment: {role: data_plane}\n").unwrap();
    let usher = Usher::start_in(folder, &["--config", config.to_str().unwrap()]);
    assert_eq!(usher.addresses["admin"], json!([]));
    let route = json!({ "uri": "/a", "plugins": {} }).to_string();
    let fields = [("Content-Type", "application/json")];
    let chat = usher.address("chat");
    let answer = request(chat, "PUT", "/apisix/admin/routes/1", &fields, route.as_bytes());
    assert_eq!(answer.status, 403, "{}", answer.text());
    assert_eq!(request(chat, "GET", "/apisix/admin/routes", &[], b"").json()["total"], 0);
}

#[test]
fn wrong_roles_and_providers_are_named_with_what_is_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.yaml");
    for (settings, part) in [
        ("deployment: {role: worker}\n", "write traditional, control_plane or data_plane"),
        (
            "deployment: {role: data_plane, role_data_plane: {config_provider: xds}}\n",
            "write etcd, yaml or json",
        ),
        ("store: etcd://\n", "store: "),
    ] {
        std::fs::write(&config, settings).unwrap();
        let output = run(&["serve", "--config", config.to_str().unwrap()]);
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && text.contains(part), "{settings}: {text}");
    }
}
