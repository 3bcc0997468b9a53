//! Tokens and users from the command line.

use super::Desk;
use crate::support::KEY;

#[test]
fn a_token_is_made_used_and_revoked() {
    let desk = Desk::new();
    let said =
        desk.say(&["token", "create", "ci", "--role", "editor", "--label", "team=pay", "--expires", "30d"]);
    assert_eq!(said.code, 0, "{said:?}");
    let token = said.out.trim().to_owned();
    // Nothing but the token is on standard output, so that it can go into a variable.
    assert!(token.starts_with("ut_") && token.lines().count() == 1, "{said:?}");
    assert!(!said.err.contains(&token), "{said:?}");
    let status = desk.say_as(&["status", "-o", "json"], Some(&token), "");
    assert!(status.out.contains("\"editor\"") && status.out.contains("team=pay"), "{status:?}");
    assert_eq!(desk.say_as(&["token", "list"], Some(&token), "").code, 6);
    let list = desk.done(&["token", "list"]);
    assert!(list.contains("ci") && list.contains("team=pay") && !list.contains(&token), "{list}");
    let id = desk.json(&["token", "list", "-o", "json"])[0]["id"].as_str().unwrap().to_owned();
    desk.done(&["token", "revoke", &id]);
    assert_eq!(desk.say_as(&["status"], Some(&token), "").code, 6);
    assert_eq!(desk.say(&["token", "revoke", &id]).code, 4);
    assert_eq!(desk.say(&["token", "create", "x", "--role", "root"]).code, 2);
    assert_eq!(desk.say(&["token", "create", "a b", "--role", "viewer"]).code, 3);
}

#[test]
fn a_user_is_made_with_a_password_from_standard_input() {
    let desk = Desk::new();
    let add = |name: &str, password: &str| {
        desk.say_as(&["user", "add", name, "--role", "viewer"], Some(KEY), password)
    };
    let said = add("ada", "correct horse battery\n");
    assert_eq!(said.code, 0, "{said:?}");
    assert!(!format!("{}{}", said.out, said.err).contains("correct horse"), "{said:?}");
    assert_eq!(add("bob", "").code, 2);
    assert_eq!(add("bob", "short\n").code, 3);
    // Nobody is changed by the way.
    let again = add("ada", "another long password\n");
    assert_eq!(again.code, 5, "{again:?}");
    assert!(again.err.contains("usher user set ada"), "{again:?}");
    let set = |words: &[&str], password: &str| {
        desk.say_as(&[&["user", "set", "ada"], words].concat(), Some(KEY), password)
    };
    assert_eq!(
        set(&["--role", "editor", "--password"], "another long password\n").out,
        "user ada is editor, with another password\n"
    );
    assert_eq!(set(&["--role", "viewer"], "").out, "user ada is viewer\n");
    assert_eq!(set(&[], "").code, 2);
    assert_eq!(desk.say(&["user", "set", "nobody", "--role", "viewer"]).code, 4);
    // One name, one principal: not a user's, not an admin key's.
    for name in ["ada", "admin"] {
        let said = desk.say(&["token", "create", name, "--role", "viewer"]);
        assert!(said.code == 3 && said.err.contains("is taken"), "{said:?}");
    }
    let list = desk.done(&["user", "list"]);
    assert!(list.contains("ada") && list.contains("viewer"), "{list}");
    desk.done(&["user", "remove", "ada"]);
    assert_eq!(desk.say(&["user", "remove", "ada"]).code, 4);
    let audit = desk.done(&["audit"]);
    assert!(audit.contains("user-put") && audit.contains("user-deleted"), "{audit}");
    assert!(desk.done(&["audit", "--verify"]).starts_with("all "));
    assert_eq!(
        desk.done(&["audit", "--export"]).lines().count(),
        desk.json(&["audit", "-o", "json"]).as_array().unwrap().len()
    );
}
