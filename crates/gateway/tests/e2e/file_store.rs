//! APISIX's standalone file as the store of the real binary.

use std::sync::Arc;

use serde_json::json;

use crate::support::{Origin, Usher, eventually, request, run};

fn text(origin: &Origin, path: &str) -> String {
    format!(
        "routes:\n  - id: r\n    uri: {path}\n    upstream:\n      nodes:\n        \"{}\": 1\n#END\n",
        origin.address
    )
}

#[test]
fn a_data_plane_serves_the_file_and_follows_it() {
    let origin = Origin::start("a");
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let config = folder.path().join("config.yaml");
    std::fs::write(&config, "deployment: {role: data_plane, role_data_plane: {config_provider: yaml}}\n")
        .unwrap();
    let file = folder.path().join("apisix.yaml");
    std::fs::write(&file, text(&origin, "/one/*")).unwrap();
    let words = ["--config", config.to_str().unwrap()];
    let usher = Usher::start_in(Arc::clone(&folder), &words);
    assert_eq!(usher.addresses["admin"], json!([]), "a data plane has no Admin API");
    assert_eq!((usher.get("/one/x", &[]).status, usher.get("/two/x", &[]).status), (200, 404));
    std::fs::write(&file, text(&origin, "/two/*")).unwrap();
    eventually("the changed file", || usher.get("/two/x", &[]).status == 200);
    assert_eq!(usher.get("/one/x", &[]).status, 404);
    // Half a file, and one with a mistake: the last good one stays.
    for bad in
        ["routes:\n  - id: r\n    uri: /hal", "routes:\n  - id: r\n    uri: 3\n    plugins: {}\n#END\n"]
    {
        std::fs::write(&file, bad).unwrap();
        let seen = origin.seen();
        eventually("some looks", || {
            assert_eq!(usher.get("/two/x", &[]).status, 200);
            origin.seen() > seen + 200
        });
    }
    // It is changed in the file, by nobody else.
    let route = json!({ "uri": "/mine", "plugins": {} }).to_string();
    let fields = [("Content-Type", "application/json")];
    let answer = request(usher.address("chat"), "PUT", "/apisix/admin/routes/m", &fields, route.as_bytes());
    assert_eq!(answer.status, 403, "{}", answer.text());
    assert!(answer.text().contains("apisix.yaml"), "{}", answer.text());
    // A start with the bad file serves the copy of the last good one.
    let usher = Usher::start_in(usher.kill(), &words);
    assert_eq!(usher.get("/two/x", &[]).status, 200);
}

#[test]
fn a_bad_file_at_the_first_start_is_told_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("apisix.yaml");
    std::fs::write(&file, "routes:\n  - id: r\n    uri: /a\n    upstrem: {}\n#END\n").unwrap();
    let data = folder.path().join("data");
    let store = format!("file:{}", file.display());
    let output = run(&[
        "serve",
        "--data",
        data.to_str().unwrap(),
        "--store",
        &store,
        "--proxy-listen",
        "127.0.0.1:0",
        "--admin-listen",
        "off",
        "--chat-listen",
        "off",
        "--metrics-listen",
        "off",
    ]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{text}");
    for part in ["apisix.yaml", "line 4", "route r", "did you mean upstream?"] {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
}
