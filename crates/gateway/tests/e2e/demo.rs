//! The demo, as a newcomer runs it.

use crate::support::run;

const FREE: [&str; 8] = [
    "--proxy-listen",
    "127.0.0.1:0",
    "--admin-listen",
    "127.0.0.1:0",
    "--chat-listen",
    "127.0.0.1:0",
    "--metrics-listen",
    "127.0.0.1:0",
];

#[test]
fn the_walk_ends_well_and_shows_each_step() {
    let mut words = vec!["demo", "--exit"];
    words.extend(FREE);
    let output = run(&words);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    for part in ["Show all routes", "ten requests a minute", "/speaker/*", "refused: 429", "Undo that", "404"]
    {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
}

#[test]
fn the_data_stays_where_a_folder_was_named() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("kept");
    let mut words = vec!["demo", "--exit", "--data", data.to_str().unwrap()];
    words.extend(FREE);
    let output = run(&words);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(data.join("admin.key").exists());
}
