//! Commands that change something: apply, diff, import, delete, undo.

use serde_json::json;

use super::{Desk, SMALL, word};

#[test]
fn files_are_planned_shown_and_applied() {
    let desk = Desk::new();
    let file = desk.file("small.yaml", SMALL);
    let said = desk.say(&["apply", "-f", word(&file)]);
    assert_eq!(said.code, 8, "nobody agreed: {said:?}");
    assert!(said.out.contains("+ route a") && said.err.contains("--yes"), "{said:?}");
    assert!(!said.out.contains('\u{1b}') && !said.err.contains('\u{1b}'), "colours in a pipe: {said:?}");
    let out = desk.done(&["apply", "-f", word(&file), "--yes", "--intent", "the first"]);
    assert!(out.contains("applied, in force since revision 1"), "{out}");
    assert!(!out.contains("canary"), "{out}");
    assert_eq!(
        desk.done(&["apply", "-f", word(&file), "--yes"]).trim(),
        "nothing differs from what is there"
    );
    assert_eq!(desk.json(&["history", "-o", "json"])[0]["intent"], "the first");
    assert_eq!(desk.json(&["history", "-o", "json"])[0]["door"], "cli");
}

#[test]
fn a_folder_and_standard_input_are_documents_too() {
    let desk = Desk::new();
    desk.file("all/one.yaml", "usher: 1\nroutes:\n  a: {uri: /a, upstream_id: u}\n");
    desk.file("all/deep/two.yml", "usher: 1\nupstreams:\n  u: {nodes: {\"127.0.0.1:9\": 1}}\n");
    desk.file("all/read.me", "no document");
    desk.done(&["apply", "-f", word(&desk.path("all")), "--yes"]);
    let said = desk.say_as(
        &["apply", "-f", "-", "--yes"],
        Some(crate::support::KEY),
        "usher: 1\nroutes:\n  b: {uri: /b, upstream_id: u}\n",
    );
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(desk.json(&["list", "routes", "-o", "json"]).as_array().unwrap().len(), 2);
    desk.file("twice.yaml", "usher: 1\nroutes:\n  a: {uri: /other, upstream_id: u}\n");
    let twice =
        desk.say(&["apply", "-f", word(&desk.path("all")), "-f", word(&desk.path("twice.yaml")), "--yes"]);
    assert_eq!(twice.code, 3, "{twice:?}");
    assert!(twice.err.contains("route a is in"), "{twice:?}");
}

#[test]
fn apisix_and_adc_files_are_understood() {
    let desk = Desk::new();
    let apisix = "routes:\n  - id: r1\n    uri: /x\n    upstream_id: u1\nupstreams:\n  - id: u1\n    nodes: {\"127.0.0.1:9\": 1}\n#END\n";
    desk.done(&["apply", "-f", word(&desk.file("apisix.yaml", apisix)), "--yes"]);
    let adc = "services:\n  - name: shop\n    upstream: {nodes: [{host: 127.0.0.1, port: 9, weight: 1}]}\n    routes:\n      - name: list\n        uris: [/shop]\n";
    desk.done(&["apply", "-f", word(&desk.file("adc.yaml", adc)), "--yes"]);
    let routes = desk.done(&["list", "routes"]);
    assert!(routes.contains("/x") && routes.contains("/shop"), "{routes}");
}

#[test]
fn what_is_not_in_the_files_goes_only_when_told_to() {
    let desk = Desk::new();
    desk.done(&["apply", "-f", word(&desk.file("a.yaml", SMALL)), "--yes"]);
    let rest = desk.file("b.yaml", "usher: 1\nroutes:\n  b: {uri: /b, upstream_id: u}\n");
    desk.done(&["apply", "-f", word(&rest), "--yes"]);
    let out = desk.done(&["apply", "-f", word(&rest), "--delete", "--label", "team=pay", "--dry-run"]);
    assert!(out.contains("- route a"), "{out}");
    let out = desk.done(&["apply", "-f", word(&rest), "--delete", "--yes"]);
    assert!(out.contains("- route a") && !out.contains("- upstream"), "{out}");
    assert_eq!(desk.say(&["apply", "-f", word(&rest), "--kind", "routes"]).code, 2);
}

#[test]
fn a_dry_run_changes_nothing_anywhere() {
    let desk = Desk::new();
    let file = desk.file("small.yaml", SMALL);
    desk.done(&["apply", "-f", word(&file), "--yes"]);
    desk.done(&["token", "create", "ci", "--role", "viewer"]);
    let token = desk.json(&["token", "list", "-o", "json"])[0]["id"].as_str().unwrap().to_owned();
    let user = desk.say_as(
        &["user", "add", "ada", "--role", "viewer"],
        Some(crate::support::KEY),
        "a long password\n",
    );
    assert_eq!(user.code, 0, "{user:?}");
    let other = desk.file("other.yaml", "usher: 1\nroutes:\n  b: {uri: /b, plugins: {}}\n");
    let before = desk.state();
    for words in [
        &["apply", "-f", word(&other), "--dry-run"][..],
        &["apply", "-f", word(&other), "--delete", "--dry-run", "-o", "json"],
        &["import", word(&other), "--replace", "--dry-run"],
        &["delete", "route", "a", "--dry-run"],
        &["undo", "--dry-run"],
        &["token", "create", "more", "--role", "admin", "--dry-run"],
        &["token", "revoke", &token, "--dry-run"],
        &["user", "add", "bob", "--role", "admin", "--dry-run"],
        &["user", "remove", "ada", "--dry-run"],
        &["diff", "-f", word(&other)],
    ] {
        desk.done(words);
        assert_eq!(desk.state(), before, "{words:?}");
    }
    assert_eq!(desk.json(&["token", "list", "-o", "json"]).as_array().unwrap().len(), 1);
    assert_eq!(desk.json(&["user", "list", "-o", "json"]).as_array().unwrap().len(), 1);
}

#[test]
fn differences_have_an_exit_code_of_their_own() {
    let desk = Desk::new();
    let file = desk.file("small.yaml", SMALL);
    let said = desk.say(&["diff", "-f", word(&file), "--exit-code"]);
    assert_eq!(said.code, 9, "{said:?}");
    assert!(said.out.contains("+ route a"), "{said:?}");
    assert_eq!(desk.json(&["diff", "-f", word(&file), "-o", "json"])["counts"]["created"], 3);
    desk.done(&["apply", "-f", word(&file), "--yes"]);
    assert_eq!(desk.say(&["diff", "-f", word(&file), "--exit-code"]).code, 0);
}

#[test]
fn what_was_deleted_comes_back() {
    let desk = Desk::new();
    desk.done(&["apply", "-f", word(&desk.file("small.yaml", SMALL)), "--yes"]);
    let used = desk.say(&["delete", "upstream", "u", "--yes"]);
    assert_eq!(used.code, 5, "{used:?}");
    assert!(used.err.contains("--force"), "{used:?}");
    let out = desk.json(&["delete", "route", "a", "--yes", "-o", "json"]);
    assert_eq!(
        (&out["revision"], &out["in_force"], &out["counts"]["deleted"]),
        (&json!(2), &json!(true), &json!(1))
    );
    assert_eq!(desk.say(&["get", "route", "a"]).code, 4);
    assert_eq!(desk.say(&["delete", "route", "a", "--yes"]).code, 4);
    desk.done(&["undo", "--yes"]);
    assert_eq!(desk.say(&["get", "route", "a"]).code, 0);
    desk.done(&["undo", "1", "--dry-run"]);
    assert_eq!(desk.say(&["undo", "77", "--yes"]).code, 4);
}

#[test]
fn a_mistake_in_a_file_is_named_with_its_line() {
    let desk = Desk::new();
    for (text, part) in [
        ("usher: 1\nrotes: {}\n", "line 2"),
        ("usher: 1\nroutes:\n  a: {uri: 7}\n", "uri"),
        ("usher: 1\nroutes:\n  a: {uri: /a, upstream_id: none}\n", "upstream id [none]"),
        ("a: [", "line"),
    ] {
        let said = desk.say(&["apply", "-f", word(&desk.file("bad.yaml", text)), "--yes"]);
        assert_eq!(said.code, 3, "{text}: {said:?}");
        assert!(said.err.contains(part) && said.err.contains("next:"), "{part} is missing in {said:?}");
    }
    assert_eq!(desk.say(&["apply", "-f", "nowhere.yaml"]).code, 2);
    assert_eq!(desk.say(&["history", "-o", "json"]).out.trim(), "[]");
}
