//! What clients see of `authz-casbin`, by the models that Casbin's users know.
#![cfg(test)]

use serde_json::{Value, json};
use usher_pipeline::harness::{Harness, harness, try_harness};

use super::PLUGIN;

const HEAD: &str = "[request_definition]\nr = sub, obj, act\n";
const RBAC: &str = "[request_definition]
r = sub, obj, act

[policy_definition]
p = sub, obj, act

[role_definition]
g = _, _

[policy_effect]
e = some(where (p.eft == allow))

[matchers]
m = (g(r.sub, p.sub) || keyMatch(r.sub, p.sub)) && keyMatch(r.obj, p.obj) && keyMatch(r.act, p.act)";

fn body(model: &str, policy: &str) -> Value {
    json!({ "username": "user", "model": model, "policy": policy })
}

fn status(bench: &mut Harness, who: &str, method: &str, path: &str) -> u16 {
    bench.send(method, path, &[("user", who)], "").status()
}

#[test]
fn roles_decide() {
    let mut bench =
        harness(&PLUGIN, body(RBAC, "p, *, /, GET\np, admin, *, *\ng, alice, admin\n# a comment\n"));
    for (who, method, path, wanted) in [
        ("alice", "GET", "/", 200),
        ("alice", "DELETE", "/anything/at/all", 200),
        ("bob", "GET", "/", 200),
        ("bob", "GET", "/other", 403),
        ("bob", "POST", "/", 403),
        ("admin", "POST", "/", 200),
    ] {
        assert_eq!(status(&mut bench, who, method, path), wanted, "{who} {method} {path}");
    }
    let outcome = bench.send("POST", "/", &[], "");
    assert_eq!((outcome.status(), outcome.text()), (403, "{\"message\":\"Access Denied\"}\n"));
    assert_eq!(bench.get("/").status(), 200, "anonymous may what everybody may");
    let two = [("user", "bob"), ("user", "alice")];
    bench.send("GET", "/", &two, "").expect_status(403);
}

#[test]
fn effects_come_together_as_casbins_do() {
    let model = |effect: &str| {
        format!(
            "{HEAD}[policy_definition]\np = sub, obj, act, eft\n[policy_effect]\ne = {effect}\n[matchers]\nm = r.sub == p.sub && keyMatch2(r.obj, p.obj) && r.act in (p.act, 'HEAD')"
        )
    };
    let policy = "p, a, /x/:id, GET, allow\np, a, /x/7, GET, deny\np, b, /x/7, GET, deny";
    for (effect, a_six, a_seven, b_seven, c_seven) in [
        ("some(where (p.eft == allow))", 200, 200, 403, 403),
        ("!some(where (p.eft == deny))", 200, 403, 403, 200),
        ("some(where (p.eft == allow)) && !some(where (p.eft == deny))", 200, 403, 403, 403),
        ("priority(p.eft) || deny", 200, 200, 403, 403),
    ] {
        let mut bench = harness(&PLUGIN, body(&model(effect), policy));
        let mut ask = |who, path| status(&mut bench, who, "GET", path);
        let found = (ask("a", "/x/6"), ask("a", "/x/7"), ask("b", "/x/7"), ask("c", "/x/7"));
        assert_eq!(found, (a_six, a_seven, b_seven, c_seven), "{effect}");
        assert_eq!(status(&mut bench, "a", "HEAD", "/x/6"), if a_six == 200 { 200 } else { 403 });
    }
}

#[test]
fn a_superuser_needs_no_policy_and_strings_are_strings() {
    let model = RBAC.replace("m = ", "m = r.sub == \"root\" || ");
    let mut bench = harness(&PLUGIN, body(&model, ""));
    assert_eq!((status(&mut bench, "root", "GET", "/"), status(&mut bench, "bob", "GET", "/")), (200, 403));
    let regex = RBAC.replace("keyMatch(r.obj, p.obj)", "regexMatch(r.obj, p.obj)");
    let mut bench = harness(&PLUGIN, body(&regex, "p, bob, \"^/a{1,2}$\", GET"));
    assert_eq!(
        (status(&mut bench, "bob", "GET", "/aa"), status(&mut bench, "bob", "GET", "/aaa")),
        (200, 403)
    );
}

#[test]
fn without_a_policy_nobody_may_do_anything() {
    let mut bench = harness(&PLUGIN, json!({ "username": "user" }));
    assert_eq!(status(&mut bench, "root", "GET", "/"), 403);
}

#[test]
fn models_and_policies_that_can_not_work_are_refused_by_name() {
    let with = |from: &str, to: &str| body(&RBAC.replace(from, to), "p, a, /, GET");
    for (body, wanted) in [
        (json!({}), "property \"username\" is required"),
        (json!({ "username": "a b" }), "property \"username\""),
        (
            json!({ "username": "u", "model_path": "/etc/passwd", "policy_path": "/x" }),
            "property \"model_path\" validation failed: files",
        ),
        (json!({ "username": "u", "model": RBAC }), "policy"),
        (with("[matchers]", "[other]"), "the model has no section [matchers]"),
        (with("r = sub, obj, act", "r = sub, obj"), "three values"),
        (with("some(where (p.eft == allow))", "all"), "the model's effect \"all\""),
        (with("g(r.sub, p.sub)", "h(r.sub, p.sub)"), "calls h, which is not known"),
        (with("g(r.sub, p.sub)", "g(r.sub)"), "gives g 1 values"),
        (with("g(r.sub, p.sub)", "eval(p.sub)"), "calls eval"),
        (with("p.sub)", "p.nope)"), "can't be understood at \"p.nope"),
        (with("keyMatch(r.obj, p.obj)", "keyMatch(p.obj, r.obj)"), "from the request"),
        (with("&& keyMatch(r.act, p.act)", "&& ("), "can't be understood"),
        (with("m = (", &format!("m = {}", "(".repeat(100))), "nested more than"),
        (body(RBAC, "p, a, /"), "has to have 3 values"),
        (body(RBAC, "q, a, b"), "a line \"q\""),
        (body(RBAC, "g, a, b, c"), "has 3 values; it needs 2"),
        (
            body(&RBAC.replace("keyMatch(r.obj", "regexMatch(r.obj"), "p, a, (, GET"),
            "the policy's pattern \"(\"",
        ),
    ] {
        let error = try_harness(&PLUGIN, body.clone()).err().map(|error| error.message).unwrap_or_default();
        assert!(error.contains(wanted), "{body}: {error}");
    }
}
