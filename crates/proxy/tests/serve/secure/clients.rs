//! Certificates of clients: who is taken, at the handshake or per path, and that no other way leads past it.

use std::sync::Arc;

use rustls::ClientConfig;
use rustls::client::Resumption;
use serde_json::{Value, json};

use super::authority::{Authority, Pair, Wanted};
use super::{client, client_with, secure, ssl};
use crate::origin::Origin;
use crate::support::Gateway;

struct World {
    root: Authority,
    clients: Authority,
    gateway: Gateway,
}

/// `m.test` asks for certificates of `clients` with these further rules, `a.test` asks for none.
fn world(rules: &Value) -> World {
    let (root, clients) = (Authority::new("root"), Authority::new("clients"));
    let origin = Origin::echo();
    let gateway = Gateway::start_with(
        secure(),
        &[
            ("ssls/a", ssl(&["a.test"], &root.sign(&["a.test"]))),
            ("ssls/m", mutual(&root, &clients, rules)),
            ("routes/1", json!({ "uri": "/*", "upstream": origin.upstream() })),
        ],
    );
    World { root, clients, gateway }
}

fn mutual(root: &Authority, clients: &Authority, rules: &Value) -> Value {
    let mut object = ssl(&["m.test", "*.m.test"], &root.sign(&["m.test", "x.m.test"]));
    object["client"] = json!({ "ca": clients.pem });
    object["client"].as_object_mut().unwrap().extend(rules.as_object().unwrap().clone());
    object
}

impl World {
    fn config(&self, own: Option<&Pair>) -> Arc<ClientConfig> {
        Arc::new(client_with(&self.root, own))
    }

    /// The status, or the alert.
    fn ask(&self, own: Option<&Pair>, target: &str) -> String {
        match self.gateway.ask(&self.config(own), "m.test", target) {
            Ok(answer) => answer.status.to_string(),
            Err(error) => error,
        }
    }
}

#[test]
fn only_clients_of_the_authority_are_taken() {
    let world = world(&json!({}));
    let stranger = Authority::new("strangers").sign(&["jack"]);
    let signed = |years| world.clients.sign_as(&Wanted { common_name: "jack", years, ..Wanted::default() });
    assert_eq!(world.ask(Some(&signed((2020, 2120))), "/"), "200");
    for (own, wanted) in [
        (None, "CertificateRequired"),
        (Some(&stranger), "UnknownCA"),
        (Some(&signed((2020, 2021))), "CertificateExpired"),
        (Some(&signed((2110, 2120))), "CertificateExpired"),
    ] {
        let refused = world.ask(own, "/");
        assert!(refused.contains(wanted), "{wanted}: {refused}");
    }
    // A certificate for servers alone is none of a client's, which the server's own here isn't: it is for both.
    assert!(world.ask(Some(&world.root.sign(&["m.test"])), "/").contains("UnknownCA"));
}

#[test]
fn a_chain_is_no_longer_than_the_depth() {
    for (depth, levels, wanted) in
        [(None, 1, true), (None, 2, false), (Some(2), 2, true), (Some(0), 1, false), (Some(0), 0, true)]
    {
        let rules = depth.map_or(json!({}), |depth| json!({ "depth": depth }));
        let world = world(&rules);
        let mut chain: Vec<Authority> = Vec::new();
        for level in 0..levels {
            let above = chain.last().unwrap_or(&world.clients);
            let below = above.below(&format!("level {level}"));
            chain.push(below);
        }
        let pair = chain.last().unwrap_or(&world.clients).sign(&["jack"]);
        let pair = chain.iter().rev().fold(pair, Pair::below);
        let answered = world.ask(Some(&pair), "/");
        assert_eq!(answered == "200", wanted, "depth {depth:?}, {levels} levels: {answered}");
    }
}

#[test]
fn some_paths_need_no_certificate_and_only_those() {
    let world = world(&json!({ "skip_mtls_uri_regex": ["^/open/.*", "^/health$"] }));
    let good = world.clients.sign(&["jack"]);
    let bad = Authority::new("strangers").sign(&["jack"]);
    for (own, target, wanted) in [
        (None, "/open/a", "200"),
        (None, "/health", "200"),
        (None, "/health?x=1", "200"),
        (None, "/", "400"),
        (None, "/closed", "400"),
        (None, "/healthy", "400"),
        // The path that is judged is the path that is forwarded.
        (None, "/open/../closed", "400"),
        (None, "/open/%2e%2e/closed", "400"),
        (None, "/closed?/open/", "400"),
        (None, "//open/a", "200"),
        (None, "/%6fpen/a", "200"),
        (Some(&bad), "/open/a", "200"),
        (Some(&bad), "/closed", "400"),
        (Some(&good), "/closed", "200"),
    ] {
        assert_eq!(world.ask(own, target), wanted, "{target}");
    }
}

#[test]
fn another_host_leads_past_no_certificate() {
    for rules in [json!({}), json!({ "skip_mtls_uri_regex": ["^/open$"] })] {
        let world = world(&rules);
        let good = world.clients.sign(&["jack"]);
        // Its own name is served; a name that asks for certificates isn't over a connection that is for another one.
        let mut open = world.gateway.shake(&world.config(None), "a.test").unwrap();
        for (host, wanted) in [
            ("a.test", 200),
            ("M.test:443", 421),
            ("m.test", 421),
            ("m.test.", 421),
            ("x.m.test", 421),
            ("a.test", 200),
            ("b.test", 200),
        ] {
            assert_eq!(open.get(host, "/closed").unwrap().status, wanted, "{host}");
        }
        let mut mutual = world.gateway.shake(&world.config(Some(&good)), "m.test").unwrap();
        for (host, wanted) in [("m.test", 200), ("M.TEST.", 200), ("x.m.test", 421), ("a.test", 200)] {
            assert_eq!(mutual.get(host, "/closed").unwrap().status, wanted, "{host}");
        }
    }
}

#[test]
fn rules_that_come_later_hold_for_connections_that_are_open() {
    let world = world(&json!({}));
    let mut open = world.gateway.shake(&world.config(None), "a.test").unwrap();
    assert_eq!(open.get("a.test", "/").unwrap().status, 200);
    let mut object = ssl(&["a.test"], &world.root.sign(&["a.test"]));
    object["client"] = json!({ "ca": world.clients.pem });
    world.gateway.put(&[("ssls/a", object)]);
    assert_eq!(open.get("a.test", "/").unwrap().status, 400, "it has shown no certificate");
}

#[test]
fn a_session_is_no_certificate_for_others_and_ends_with_its_rules() {
    let world = world(&json!({}));
    let good = world.clients.sign(&["jack"]);
    let mut config = client_with(&world.root, Some(&good));
    config.resumption = Resumption::in_memory_sessions(8);
    let config = Arc::new(config);
    let reused = |config: &Arc<ClientConfig>| {
        let answer = world.gateway.ask(config, "m.test", "/")?;
        Ok::<_, String>(answer.status)
    };
    assert_eq!(reused(&config), Ok(200));
    assert_eq!(reused(&config), Ok(200));
    // Another authority from now on: the session that the old one let in is worth nothing.
    let others = Authority::new("other clients");
    world.gateway.put(&[("ssls/m", mutual(&world.root, &others, &json!({})))]);
    assert!(reused(&config).unwrap_err().contains("UnknownCA"));
}

#[test]
fn plugins_and_logs_see_who_the_client_is() {
    let world = world(&json!({ "skip_mtls_uri_regex": ["^/open$"] }));
    let upstream = Origin::echo();
    let fields = "$ssl_client_verify|$ssl_client_s_dn|$ssl_server_name|$ssl_protocol|$ssl_session_reused";
    let route = json!({
        "uri": "/told", "vars": [["ssl_client_verify", "==", "SUCCESS"], ["ssl_client_s_dn", "==", "CN=jack"], ["ssl_server_name", "==", "m.test"]],
        "upstream": upstream.upstream(),
    });
    world.gateway.put(&[("routes/2", route)]);
    let jack = world.clients.sign_as(&Wanted { common_name: "jack", ..Wanted::default() });
    assert_eq!(world.ask(Some(&jack), "/told"), "200", "{fields}");
    assert_eq!(upstream.seen().len(), 1, "the route was found by who the client is");
    let config = Arc::new(client(&world.root));
    assert_eq!(world.gateway.ask(&config, "a.test", "/told").unwrap().status, 200);
    assert_eq!(upstream.seen().len(), 1);
}
