//! Commands that need no server: validate, restore, keyring, completion, help.

use super::{Desk, SMALL, run, word};
use crate::support::{Usher, binary};

#[test]
fn files_are_validated_without_a_server_and_every_mistake_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.yaml");
    std::fs::write(&file, SMALL).unwrap();
    let good = run(binary().args(["validate", word(&file)]), "");
    assert_eq!((good.code, good.out.starts_with("3 objects are good")), (0, true), "{good:?}");
    let bad = "usher: 1\nroutes:\n  a: {uri: /a, plugins: {limit-count: {count: -1, time_window: 60}}}\n  b: {uri: /b, plugins: {limit-cout: {}}}\n  c: {uri: /c, plugins: {}}\n";
    std::fs::write(&file, bad).unwrap();
    let said = run(binary().args(["validate", word(&file)]), "");
    assert_eq!(said.code, 3, "{said:?}");
    for part in ["2 of 3", "route a", "route b", "limit-cout"] {
        assert!(said.err.contains(part), "{part} is missing in {said:?}");
    }
    std::fs::write(&file, "usher: 1\nroutes:\n  a: {uri: /a, methods: [FOO]}\n").unwrap();
    let said = run(binary().args(["validate", word(&file)]), "");
    assert!(said.code == 3 && said.err.contains("line 3: route a: methods"), "{said:?}");
    let streams = "usher: 1\nstream_routes:\n  db: {server_port: 9100, upstream: {scheme: tcp, nodes: {\"127.0.0.1:9\": 1}}}\n";
    assert_eq!(
        run(binary().args(["validate", "-"]), streams).code,
        0,
        "whether they are served is the server's matter"
    );
    let piped = run(binary().args(["validate", "-"]), SMALL);
    assert_eq!(piped.code, 0, "{piped:?}");
}

#[test]
fn a_backup_becomes_a_server_again() {
    let folder = std::sync::Arc::new(tempfile::tempdir().unwrap());
    let usher = Usher::start_in(std::sync::Arc::clone(&folder), &[]);
    usher.put("/upstreams/u", &serde_json::json!({ "nodes": { "127.0.0.1:9": 1 } }));
    usher.put(
        "/consumers/jack",
        &serde_json::json!({ "username": "jack", "plugins": { "key-auth": { "key": "canary-of-jack" } } }),
    );
    let file = folder.path().join("backup.jsonl");
    let url = format!("http://{}", usher.address("admin"));
    let saved = run(
        binary().args(["backup", word(&file), "--url", &url]).env("USHER_ADMIN_KEY", crate::support::KEY),
        "",
    );
    assert_eq!(saved.code, 0, "{saved:?}");
    assert!(saved.err.contains("keyring.key"), "{saved:?}");
    assert!(!std::fs::read_to_string(&file).unwrap().contains("canary"));
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let again = |words: &[&str]| {
        let mut command = binary();
        run(
            command
                .args(["backup", word(&file), "--url", &url])
                .args(words)
                .env("USHER_ADMIN_KEY", crate::support::KEY),
            "",
        )
    };
    let there = std::fs::read(&file).unwrap();
    let refused = again(&[]);
    assert_eq!((refused.code, std::fs::read(&file).unwrap() == there), (5, true), "{refused:?}");
    assert!(refused.err.contains("--force"), "{refused:?}");
    assert_eq!(again(&["--force"]).code, 0);
    let fresh = std::sync::Arc::new(tempfile::tempdir().unwrap());
    let data = fresh.path().join("data");
    let checked = run(binary().args(["restore", word(&file), "--data", word(&data), "--dry-run"]), "");
    assert_eq!((checked.code, data.exists()), (0, false), "{checked:?}");
    let made = run(binary().args(["restore", word(&file), "--data", word(&data)]), "");
    assert_eq!(made.code, 0, "{made:?}");
    assert_eq!(run(binary().args(["restore", word(&file), "--data", word(&data)]), "").code, 5);
    std::fs::copy(folder.path().join("data/keyring.key"), data.join("keyring.key")).unwrap();
    let again = Usher::start_in(fresh, &[]);
    let jack = again.admin("GET", "/consumers/jack", None);
    assert!(jack.text().contains("canary-of-jack"), "{}", jack.text());
    let mut text = std::fs::read(&file).unwrap();
    text.truncate(text.len() - 10);
    std::fs::write(&file, text).unwrap();
    let broken = run(binary().args(["restore", word(&file), "--data", word(&folder.path().join("new"))]), "");
    assert_eq!(broken.code, 3, "{broken:?}");
    assert!(!folder.path().join("new").exists(), "a failed restore leaves nothing");
    assert_eq!(
        run(binary().args(["restore", "nowhere", "--data", word(&folder.path().join("new"))]), "").code,
        2
    );
}

#[test]
fn a_keyring_gains_a_key_and_still_opens_what_it_sealed() {
    let folder = std::sync::Arc::new(tempfile::tempdir().unwrap());
    let usher = Usher::start_in(std::sync::Arc::clone(&folder), &[]);
    usher.put(
        "/consumers/jack",
        &serde_json::json!({ "username": "jack", "plugins": { "key-auth": { "key": "canary-of-jack" } } }),
    );
    drop(usher);
    let data = folder.path().join("data");
    let before = std::fs::read(data.join("keyring.key")).unwrap();
    let looked = run(binary().args(["keyring", "rotate", "--data", word(&data), "--dry-run"]), "");
    assert_eq!(
        (looked.code, std::fs::read(data.join("keyring.key")).unwrap() == before),
        (0, true),
        "{looked:?}"
    );
    assert_eq!(run(binary().args(["keyring", "rotate", "--data", word(&data)]), "").code, 0);
    assert_ne!(std::fs::read(data.join("keyring.key")).unwrap(), before);
    let usher = Usher::start_in(folder, &[]);
    assert!(usher.admin("GET", "/consumers/jack", None).text().contains("canary-of-jack"));
    assert_eq!(run(binary().args(["keyring", "rotate", "--data", "nowhere"]), "").code, 4);
}

#[test]
fn a_keyring_without_a_folder_is_not_found() {
    let folder = tempfile::tempdir().unwrap();
    let said = run(binary().args(["keyring", "rotate", "--data", word(folder.path())]), "");
    assert_eq!(said.code, 4, "{said:?}");
}

#[test]
fn each_shell_gets_a_script_and_each_command_its_help() {
    for (shell, part) in [("bash", "complete -F"), ("zsh", "#compdef usher"), ("fish", "complete -c usher")] {
        let said = run(binary().args(["completion", shell]), "");
        assert_eq!(said.code, 0, "{said:?}");
        assert!(said.out.contains(part) && said.out.contains("explain"), "{shell}");
    }
    let help = run(binary().arg("--help"), "");
    assert!(help.out.contains("Exit codes:"), "{help:?}");
    assert_eq!(run(binary().args(["completion", "tcsh"]), "").code, 2);
    assert_eq!(run(binary().args(["list", "--nonsense"]), "").code, 2);
}

#[test]
fn the_manual_names_every_command_and_exit_code() {
    let manual = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/cli.md")).unwrap();
    let help = run(binary().arg("--help"), "").out;
    let commands = help.split("Commands:").nth(1).unwrap().split("\n\n").next().unwrap();
    let mut count = 0;
    for line in commands.lines().filter(|line| !line.trim().is_empty()) {
        let name = line.split_whitespace().next().unwrap();
        if name != "help" && line.starts_with("  ") && !line.starts_with("   ") {
            assert!(manual.contains(&format!("usher {name}")), "docs/cli.md doesn't name usher {name}");
            count += 1;
        }
    }
    assert!(count > 20, "{help}");
    for code in 0..=9 {
        assert!(manual.contains(&format!("| {code} |")), "docs/cli.md doesn't name exit code {code}");
    }
}

#[test]
fn a_server_that_is_away_is_no_reason_for_a_desk_to_hang() {
    let desk = Desk::new();
    let url = format!("http://{}", desk.usher.address("admin"));
    drop(desk);
    let said = run(binary().args(["apply", "-f", "-", "--yes", "--url", &url]), SMALL);
    assert_eq!(said.code, 7, "{said:?}");
}

#[test]
fn a_start_that_fails_says_why_once_and_names_the_page_that_helps() {
    let folder = tempfile::tempdir().unwrap();
    let (data, config) = (folder.path().join("data"), folder.path().join("none.yaml"));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().to_string();
    for (words, reason, page) in [
        (["--config", config.to_str().unwrap()], "No such file", "docs/settings.md#configyaml"),
        (["--admin-listen", &port], "is taken", "docs/settings.md#command-line"),
        (["--chat-listen", "0.0.0.0:0"], "has no authentication", "docs/agents.md#tokens"),
    ] {
        let mut command = binary();
        command.args(["serve", "--data", data.to_str().unwrap(), "--proxy-listen", "127.0.0.1:0"]);
        for other in ["--admin-listen", "--chat-listen", "--metrics-listen"] {
            if other != words[0] {
                command.args([other, "127.0.0.1:0"]);
            }
        }
        let said = command.args(words).output().unwrap();
        let told = String::from_utf8_lossy(&said.stderr);
        assert_eq!(said.status.code(), Some(1), "{told}");
        assert_eq!(told.matches(reason).count(), 1, "{told}");
        assert!(told.ends_with(&format!("\n  see:   {page}\n")), "{told}");
    }
}
