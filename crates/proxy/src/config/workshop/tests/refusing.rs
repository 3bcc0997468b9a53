//! Routes that can't be served: their requests never fall to a wider route, before a restart as behind one.

use serde_json::{Value, json};
use usher_model::live::{Live as _, Sketch};

use crate::config::trial::Trial;

/// A wider route than every other one here.
async fn with_a_wide_route() -> Trial {
    let trial = Trial::start().await;
    trial.put("routes/wide", json!({ "uri": "/*", "plugins": {} })).await;
    trial
}

fn key_of(trial: &Trial) -> Vec<String> {
    trial.problems().into_iter().map(|(key, _)| key).collect()
}

#[tokio::test]
async fn a_route_whose_service_or_plugin_config_is_gone_refuses_its_requests() {
    let mut trial = with_a_wide_route().await;
    let mark = json!({ "plugins": { "mark-a": { "text": "x" } } });
    trial.put("services/s", mark.clone()).await;
    trial.put("plugin_configs/p", mark.clone()).await;
    for (id, more) in [
        ("s", json!({ "service_id": "s" })),
        ("p", json!({ "plugin_config_id": "p" })),
        ("both", json!({ "service_id": "s", "plugin_config_id": "p" })),
    ] {
        let mut route = more;
        route["uri"] = format!("/{id}/*").into();
        trial.put(&format!("routes/{id}"), route).await;
        assert_eq!(trial.answered(&format!("/{id}/x")), Some(0), "{id}");
    }
    trial.delete("services/s").await;
    trial.delete("plugin_configs/p").await;
    for round in ["behind the deletion", "behind a restart"] {
        for (path, status) in [("/s/x", 404), ("/p/x", 503), ("/both/x", 503), ("/x", 0)] {
            assert_eq!(trial.answered(path), Some(status), "{path} {round}");
        }
        assert_eq!(
            trial.problems(),
            [
                ("both", "the plugin config p, which it refers to, does not exist"),
                ("p", "the plugin config p, which it refers to, does not exist"),
                ("s", "the service s, which it refers to, does not exist"),
            ]
            .map(|(id, reason)| (format!("/apisix/routes/{id}"), reason.to_owned())),
            "{round}"
        );
        trial = trial.restart().await;
    }
    let told =
        trial.live.explain(&Sketch { method: "GET".into(), target: "/s/x".into(), ..Sketch::default() });
    assert_eq!(told.route.map(|route| route.id).as_deref(), Some("s"));
    assert_eq!(
        told.answer.as_deref(),
        Some("404 Not Found: the route can't be served: the service s, which it refers to, does not exist")
    );
    assert_eq!(told.plugins, Vec::<String>::new());
    trial.put("services/s", mark.clone()).await;
    trial.put("plugin_configs/p", mark).await;
    assert_eq!((trial.problems(), trial.marks("/both/x")), (Vec::new(), "a=x".to_owned()));
}

#[tokio::test]
async fn a_route_that_never_could_be_built_keeps_its_place() {
    let sealed = Trial::start().await.keyring.seal("/apisix/routes/other", "x").unwrap();
    let bad_upstream = json!({ "nodes": { "169.254.169.254:80": 1 } });
    for (why, more) in [
        ("a body that is refused", json!({ "plugins": { "mark-a": { "text": "refuse" } } })),
        ("a plugin that panics", json!({ "plugins": { "mark-a": { "text": "panic" } } })),
        ("an unknown plugin", json!({ "plugins": { "mark-z": {} } })),
        ("a secret that stays shut", json!({ "plugins": { "mark-a": { "text": sealed } } })),
        ("a script that is none", json!({ "filter_func": "function() return true" })),
        ("a member of the wrong shape", json!({ "timeout": "long", "plugins": [] })),
        ("a condition that can't be read", json!({ "vars": [["a", "=", 1]] })),
        ("an address that can't be read", json!({ "remote_addr": "nowhere" })),
        ("a node that is never called", json!({ "upstream": bad_upstream })),
        (
            "TLS material that is none",
            json!({ "upstream": { "nodes": {}, "scheme": "https", "tls": { "client_cert": "x", "client_key": "y" } } }),
        ),
    ] {
        let mut trial = with_a_wide_route().await;
        let mut route: Value = more;
        (route["uri"], route["methods"]) = ("/bad/*".into(), json!(["GET"]));
        trial.put("routes/bad", route.clone()).await;
        for round in ["at first", "behind a restart"] {
            assert_eq!(trial.answered("/bad/x"), Some(503), "{why} {round}");
            assert_eq!(trial.answered("/x"), Some(0), "{why} {round}");
            assert_eq!(key_of(&trial), ["/apisix/routes/bad"], "{why} {round}");
            trial = trial.restart().await;
        }
        let mut off = route.clone();
        off["status"] = 0.into();
        trial.put("routes/bad", off).await;
        assert_eq!(trial.answered("/bad/x"), Some(0), "{why}: one that is off takes nothing");
        trial
            .put("routes/bad", json!({ "uri": "/bad/*", "plugins": { "mark-a": { "text": "good" } } }))
            .await;
        assert_eq!((trial.marks("/bad/x"), trial.problems()), ("a=good".to_owned(), Vec::new()), "{why}");
        trial.put("routes/bad", route).await;
        assert_eq!(trial.marks("/bad/x"), "a=good", "{why}: the last good version serves on");
        trial.delete("routes/bad").await;
        assert_eq!((trial.answered("/bad/x"), trial.problems()), (Some(0), Vec::new()), "{why}");
    }
}

#[tokio::test]
async fn what_takes_other_requests_takes_them_as_a_refusal_too() {
    let trial = with_a_wide_route().await;
    let refuse = json!({ "mark-a": { "text": "refuse" } });
    trial.put("services/s", json!({ "hosts": ["a.t"], "plugins": refuse })).await;
    trial.put("plugin_configs/p", json!({ "plugins": refuse })).await;
    for (key, route) in [
        ("routes/1", json!({ "uri": "/post", "methods": ["POST"], "plugins": refuse })),
        ("routes/2", json!({ "uri": "/host", "host": "a.t", "plugins": refuse })),
        ("routes/3", json!({ "uri": "/inside", "remote_addr": "10.0.0.0/8", "plugins": refuse })),
        ("routes/4", json!({ "uri": "/service", "service_id": "s" })),
        ("routes/5", json!({ "uri": "/config", "plugin_config_id": "p" })),
        ("routes/6", json!("no object")),
    ] {
        trial.put(key, route).await;
    }
    for path in ["/post", "/host", "/inside", "/service"] {
        assert_eq!(trial.answered(path), Some(0), "{path}");
    }
    assert_eq!(trial.answered("/config"), Some(503));
    let explained = trial.live.explain(&Sketch {
        method: "GET".into(),
        host: "a.t".into(),
        target: "/service".into(),
        ..Sketch::default()
    });
    assert_eq!(explained.route.map(|route| route.id).as_deref(), Some("4"));
    assert_eq!(
        explained.answer.as_deref(),
        Some(
            "503 Service Temporarily Unavailable: the route can't be served: the service s, which it refers to, can't be used; mend that one first"
        )
    );
    trial.put("services/s", json!({ "hosts": ["a.t"] })).await;
    trial.put("plugin_configs/p", json!({ "plugins": {} })).await;
    assert_eq!(trial.answered("/config"), Some(0));
}

#[tokio::test]
async fn a_path_may_be_written_in_any_spelling() {
    let trial = with_a_wide_route().await;
    for (id, uri) in [("1", "/caf\u{e9}/*"), ("2", "/a b"), ("3", "/%c3%a9x"), ("4", "/%61b")] {
        trial.put(&format!("routes/{id}"), json!({ "uri": uri, "plugins": {} })).await;
        assert_eq!(trial.problems(), []);
    }
    for (path, wanted) in [
        ("/caf%C3%A9/x", "1"),
        ("/caf%c3%a9/x", "1"),
        ("/a%20b", "2"),
        ("/%C3%A9x", "3"),
        ("/ab", "4"),
        ("/%61%62", "4"),
        ("/other", "wide"),
    ] {
        assert_eq!(&*trial.taken(path).unwrap().facts.id, wanted, "{path}");
    }
    assert_eq!(&*trial.taken("/ab").unwrap().facts.uri, "/%61b", "what is said of it is what was written");
    trial.delete("routes/1").await;
    assert_eq!(&*trial.taken("/caf%C3%A9/x").unwrap().facts.id, "wide");
}
