//! What becomes of the store's objects: merging, what is built anew, and what stays when something can't be built.

mod bulk;
mod given;
mod refusing;

use std::sync::Arc;

use serde_json::{Value, json};
use usher_store::{Batch, Entry, Event};

use usher_pipeline::env::Metadata;

use super::{Certificates, Tools, Workshop};
use crate::config::secrets::Secrets;
use crate::config::ssl::Common;
use crate::config::trial::{Trial, marks, process, registry};
use crate::config::{Asked, BodyWord, Origin, Snapshot};
use crate::options::RouterMode;

fn plugins(a: &str, b: &str) -> Value {
    let mark = |text: &str| match text {
        "" => None,
        "off" => Some(json!({ "text": "", "_meta": { "disable": true } })),
        text => Some(json!({ "text": text })),
    };
    let all = [("mark-a", mark(a)), ("mark-b", mark(b))];
    all.into_iter().filter_map(|(name, body)| Some((name.to_owned(), body?))).collect()
}

#[tokio::test]
async fn plugins_are_merged_by_who_wins() {
    let trial = Trial::start().await;
    trial.put("services/s", json!({ "plugins": plugins("service", "service") })).await;
    trial.put("plugin_configs/p", json!({ "id": "p", "plugins": plugins("config", "") })).await;
    trial.put("plugin_configs/off", json!({ "id": "off", "plugins": plugins("", "off") })).await;
    for (route, wanted) in [
        (json!({ "plugins": plugins("route", "") }), "a=route"),
        (json!({ "service_id": "s" }), "a=service b=service"),
        (json!({ "service_id": "s", "plugins": plugins("route", "") }), "a=route b=service"),
        (json!({ "service_id": "s", "plugins": plugins("off", "") }), "b=service"),
        (json!({ "plugin_config_id": "p", "plugins": {} }), "a=config"),
        (json!({ "plugin_config_id": "p", "plugins": plugins("route", "route") }), "a=route b=route"),
        (json!({ "plugin_config_id": "p", "service_id": "s" }), "a=config b=service"),
        (json!({ "plugin_config_id": "off", "service_id": "s" }), "a=service"),
        (
            json!({ "plugin_config_id": "off", "service_id": "s", "plugins": plugins("", "route") }),
            "a=service b=route",
        ),
        (json!({ "plugins": {} }), ""),
    ] {
        let mut route = route;
        route["uri"] = "/a".into();
        trial.put("routes/1", route.clone()).await;
        assert_eq!(trial.marks("/a"), wanted, "{route}");
        assert_eq!(trial.problems(), [], "{route}");
    }
}

#[tokio::test]
async fn upstream_websocket_and_hosts_are_merged_by_who_wins() {
    let trial = Trial::start().await;
    let inline = |port: u16| json!({ "nodes": { format!("127.0.0.1:{port}"): 1 } });
    trial.put("services/id", json!({ "upstream_id": "of-service", "enable_websocket": true })).await;
    trial.put("services/own", json!({ "upstream": inline(1), "hosts": ["A.t"], "name": "Own" })).await;
    for (route, wanted, websocket) in [
        (json!({ "upstream_id": "u" }), "id u", false),
        (json!({ "upstream_id": "u", "upstream": inline(7) }), "id u", false),
        (json!({ "upstream": inline(7), "service_id": "id" }), "own route/1", true),
        (json!({ "service_id": "id" }), "id of-service", true),
        (json!({ "service_id": "id", "enable_websocket": false }), "id of-service", false),
        (json!({ "service_id": "own", "hosts": ["*"] }), "own service/own", false),
        (json!({ "service_id": "own", "upstream_id": 8, "hosts": ["*"] }), "id 8", false),
        (json!({ "plugins": {}, "enable_websocket": true }), "none", true),
    ] {
        let mut route = route;
        route["uri"] = "/a".into();
        trial.put("routes/1", route.clone()).await;
        let taken = trial.taken("/a").unwrap();
        let found = match &taken.upstream {
            Origin::None => "none".to_owned(),
            Origin::Own(upstream) => format!("own {}", upstream.name),
            Origin::Id(id) => format!("id {id}"),
        };
        assert_eq!((found.as_str(), taken.websocket), (wanted, websocket), "{route}");
    }
    trial.put("routes/1", json!({ "uri": "/a", "service_id": "own" })).await;
    assert!(trial.taken("/a").is_none(), "the service's host is asked for");
    trial
        .put("routes/1", json!({ "uris": ["/a", "/b"], "service_id": "own", "name": "One", "host": "*" }))
        .await;
    let facts = Arc::clone(&trial.taken("/b").unwrap().facts);
    let all = [&facts.id, &facts.name, &facts.uri, &facts.host, &facts.service_id, &facts.service_name];
    assert_eq!(all.map(|text| &**text), ["1", "One", "/a", "*", "own", "Own"]);
}

#[tokio::test]
async fn what_cannot_be_built_keeps_its_last_good_version_and_is_listed() {
    let trial = Trial::start().await;
    let good = json!({ "uri": "/a", "plugins": plugins("good", "") });
    let foreign = trial.keyring.seal("/apisix/routes/2", "x").unwrap();
    for (bad, part) in [
        (json!("no object"), "expected struct Route"),
        (json!({ "uri": 7 }), "expected a string"),
        (json!({ "plugins": {} }), "it names no path"),
        (
            json!({ "uri": "/a", "filter_func": "function() return true" }),
            "failed to load 'filter_func' string: filter_func:1: ",
        ),
        (json!({ "uri": "/a", "vars": [["a", "=", 1]] }), "invalid operator '='"),
        (json!({ "uri": "/a", "host": "h".repeat(300) }), "at most 255 characters"),
        (json!({ "uri": "/a", "plugins": { "mark-c": {} } }), "unknown plugin [mark-c]"),
        (json!({ "uri": "/a", "plugins": plugins("refuse", "") }), "plugin mark-a: this text is refused"),
        (json!({ "uri": "/a", "plugins": plugins("panic", "") }), "a bug"),
        (json!({ "uri": "/a", "plugins": { "mark-a": {} } }), "property \"text\" is required"),
        (json!({ "uri": "/a", "upstream": { "nodes": { "169.254.169.254:80": 1 } } }), "link-local"),
        (json!({ "uri": "/a", "plugins": plugins(&foreign, "") }), "sealed for another record"),
    ] {
        trial.put("routes/1", good.clone()).await;
        assert_eq!(trial.problems(), [], "before {bad}");
        let revision = trial.put("routes/1", bad.clone()).await;
        assert_eq!(trial.marks("/a"), "a=good", "{bad}");
        let problems = trial.live_problems();
        assert_eq!(problems.len(), 1, "{bad}");
        assert_eq!((problems[0].key.as_str(), problems[0].revision), ("/apisix/routes/1", revision));
        assert!(problems[0].reason.contains(part), "{bad}: {}", problems[0].reason);
    }
    trial.delete("routes/1").await;
    assert_eq!((trial.problems(), trial.marks("/a")), (Vec::new(), "no route".to_owned()));
}

#[tokio::test]
async fn every_kind_keeps_its_last_good_version() {
    let trial = Trial::start().await;
    trial.put("upstreams/u", json!({ "nodes": { "10.0.0.1:80": 1 } })).await;
    trial.put("services/s", json!({ "plugins": plugins("s", "") })).await;
    trial.put("plugin_configs/p", json!({ "plugins": plugins("", "p") })).await;
    trial.put("global_rules/g", json!({ "plugins": plugins("g", "") })).await;
    trial.put("consumers/jack", json!({ "username": "jack", "plugins": { "gate": { "key": "k" } } })).await;
    trial.put("consumers/jack/credentials/c", json!({ "plugins": { "gate": { "key": "k2" } } })).await;
    trial.put("routes/1", json!({ "uri": "/a", "service_id": "s", "plugin_config_id": "p" })).await;
    let refused = json!({ "username": "jack", "plugins": plugins("refuse", "") });
    for key in
        ["services/s", "plugin_configs/p", "global_rules/g", "consumers/jack", "consumers/jack/credentials/c"]
    {
        trial.put(key, refused.clone()).await;
    }
    trial.put("upstreams/u", json!({ "nodes": {}, "type": "mine" })).await;
    assert_eq!(trial.problems().len(), 6);
    let snapshot = trial.shared.current();
    assert_eq!(trial.marks("/a"), "a=s b=p");
    assert_eq!(snapshot.upstream("u").unwrap().fleet().nodes().len(), 1);
    assert_eq!(marks(&snapshot.global_rules()[0].pipeline), "a=g");
    assert!(snapshot.credential("gate", b"k").is_some() && snapshot.credential("gate", b"k2").is_some());
    for key in [
        "routes/1",
        "services/s",
        "plugin_configs/p",
        "global_rules/g",
        "upstreams/u",
        "consumers/jack/credentials/c",
        "consumers/jack",
    ] {
        trial.delete(key).await;
    }
    let snapshot = trial.shared.current();
    assert_eq!(trial.problems(), []);
    assert!(snapshot.upstream("u").is_none() && snapshot.global_rules().is_empty());
    assert!(snapshot.credential("gate", b"k").is_none() && snapshot.consumer("jack").is_none());
}

#[tokio::test]
async fn a_route_waits_for_what_it_refers_to() {
    let trial = Trial::start().await;
    trial.put("routes/1", json!({ "uri": "/a", "service_id": "s" })).await;
    assert_eq!((trial.problems().len(), trial.answered("/a")), (1, Some(404)));
    trial.put("services/s", json!({ "plugins": plugins("s", "") })).await;
    assert_eq!((trial.problems().len(), trial.marks("/a")), (0, "a=s".to_owned()));
    // Both at once, whatever their order in the transaction.
    let service = json!({ "plugins": plugins("t", "") });
    trial
        .change(&[
            ("routes/2", Some(json!({ "uri": "/b", "service_id": "t" }))),
            ("services/t", Some(service)),
        ])
        .await;
    assert_eq!(trial.marks("/b"), "a=t");
    trial.delete("services/s").await;
    assert_eq!((trial.problems().len(), trial.answered("/a")), (1, Some(404)));
    trial.put("routes/1", json!({ "uri": "/a", "plugins": {} })).await;
    assert_eq!((trial.problems(), trial.answered("/a")), (Vec::new(), Some(0)));
}

#[tokio::test]
async fn a_route_that_is_off_is_not_taken_and_keeps_its_place() {
    let trial = Trial::start().await;
    trial.put("routes/9", json!({ "uri": "/a", "plugins": plugins("9", "") })).await;
    trial.put("routes/1", json!({ "uri": "/a", "plugins": plugins("1", "") })).await;
    assert_eq!(trial.marks("/a"), "a=9");
    trial.put("routes/9", json!({ "uri": "/a", "status": 0, "plugins": plugins("9", "") })).await;
    assert_eq!((trial.marks("/a"), trial.problems()), ("a=1".to_owned(), Vec::new()));
    trial.put("routes/9", json!({ "uri": "/a", "plugins": plugins("again", "") })).await;
    assert_eq!(trial.marks("/a"), "a=again");
    trial.delete("routes/9").await;
    trial.put("routes/9", json!({ "uri": "/a", "plugins": plugins("9", "") })).await;
    assert_eq!(trial.marks("/a"), "a=1", "a new route stands behind the older ones");
}

#[tokio::test]
async fn sealed_secrets_are_open_for_plugins() {
    let trial = Trial::start().await;
    let seal = |key: &str, text: &str| trial.keyring.seal(key, text).unwrap();
    trial
        .put("routes/1", json!({ "uri": "/a", "plugins": plugins(&seal("/apisix/routes/1", "open"), "") }))
        .await;
    assert_eq!(trial.marks("/a"), "a=open");
    let key = seal("/apisix/consumers/jack", "jacks-key");
    trial.put("consumers/jack", json!({ "username": "jack", "plugins": { "gate": { "key": key } } })).await;
    assert!(trial.shared.current().credential("gate", b"jacks-key").is_some());
}

/// A workshop without a follower.
struct Bench {
    workshop: Workshop,
    revision: u64,
}

impl Bench {
    fn with_routes(size: usize) -> Self {
        let tools = Tools {
            registry: registry(),
            process: process(),
            keyring: Arc::new(usher_model::seal::Keyring::generate().unwrap().0),
            own: Arc::from([]),
            router: RouterMode::HostUri,
            secrets: Secrets::default(),
            metadata: Metadata::default(),
            certificates: Certificates::default(),
            keeper: Arc::default(),
            tls: Common::new(&crate::options::Tls::default(), true),
        };
        let mut bench =
            Self { workshop: Workshop::new(tools, Arc::new(super::AllTraffic::new(1))), revision: 0 };
        let leaning = json!({ "upstream_id": "u", "service_id": "s", "plugin_config_id": "p" });
        let mut all = vec![
            ("upstreams/u".to_owned(), Some(json!({ "nodes": { "10.0.0.1:80": 1 } }))),
            ("services/s".to_owned(), Some(json!({ "plugins": plugins("s", "") }))),
            ("plugin_configs/p".to_owned(), Some(json!({ "plugins": plugins("", "p") }))),
        ];
        for number in 0..size {
            let mut route = if number < 10 { leaning.clone() } else { json!({ "upstream_id": "u" }) };
            route["uri"] = format!("/api/{number}/*").into();
            all.push((format!("routes/{number}"), Some(route)));
        }
        bench.apply(all);
        bench
    }

    /// How many objects this transaction builds, and what comes of it.
    fn apply(&mut self, edits: Vec<(String, Option<Value>)>) -> (u64, Snapshot) {
        self.revision += 1;
        let event = |(key, value): (String, Option<Value>)| {
            let key: Arc<str> = format!("/apisix/{key}").into();
            let after = value.map(|value| Entry {
                key: Arc::clone(&key),
                value: value.to_string().into(),
                created: self.revision,
                modified: self.revision,
            });
            Event { key, before: None, after }
        };
        let batch = Batch { revision: self.revision, events: edits.into_iter().map(event).collect() };
        let before = self.workshop.built;
        let snapshot = self.workshop.apply(&batch);
        (self.workshop.built - before, snapshot)
    }

    fn edit(&mut self, key: &str, value: Value) -> u64 {
        self.apply(vec![(key.to_owned(), Some(value))]).0
    }
}

#[test]
fn an_edit_builds_what_leans_on_it_and_nothing_else() {
    for size in [20, 2_000] {
        let mut bench = Bench::with_routes(size);
        for (key, value, wanted) in [
            ("upstreams/u", json!({ "nodes": { "10.0.0.2:80": 1 } }), 1),
            ("routes/3", json!({ "uri": "/x", "service_id": "s" }), 1),
            ("routes/new", json!({ "uri": "/y", "upstream_id": "u" }), 1),
            ("services/s", json!({ "plugins": plugins("t", "") }), 1 + 10),
            ("plugin_configs/p", json!({ "plugins": plugins("", "q") }), 1 + 9),
            ("services/other", json!({}), 1),
            ("global_rules/g", json!({ "plugins": {} }), 1),
            ("consumers/jack", json!({ "username": "jack" }), 1),
            ("ssls/x", json!({}), 1),
            ("protos/x", json!({}), 1),
        ] {
            assert_eq!(bench.edit(key, value), wanted, "{key} among {size} routes");
        }
        let deleted = bench.apply(vec![("routes/11".to_owned(), None)]).0;
        assert_eq!(deleted, 0);
        let both = vec![
            ("services/s".to_owned(), Some(json!({}))),
            ("plugin_configs/p".to_owned(), Some(json!({ "plugins": {} }))),
            ("routes/0".to_owned(), Some(json!({ "uri": "/z", "service_id": "s", "plugin_config_id": "p" }))),
        ];
        assert_eq!(bench.apply(both).0, 2 + 10, "each route once");
    }
}

#[test]
fn what_is_not_touched_stays_the_very_same() {
    let mut bench = Bench::with_routes(20);
    let taken = |snapshot: &Snapshot, path: &str| {
        let sketch =
            usher_model::live::Sketch { method: "GET".into(), target: path.into(), ..Default::default() };
        let exchange = crate::live::exchange(&sketch, crate::options::PathRules::default()).unwrap();
        let asked = Asked::of(&exchange, path, BodyWord::Read);
        Arc::clone(&snapshot.take(&asked).unwrap().route)
    };
    let (_, before) = bench.apply(Vec::new());
    let (_, after) =
        bench.apply(vec![("routes/3".to_owned(), Some(json!({ "uri": "/x", "upstream_id": "u" })))]);
    assert!(Arc::ptr_eq(before.upstream("u").unwrap(), after.upstream("u").unwrap()));
    assert!(Arc::ptr_eq(&taken(&before, "/api/4/x"), &taken(&after, "/api/4/x")));
    assert_eq!(&*taken(&before, "/api/3/x").facts.id, "3", "the older snapshot stays as it was");
    // Routes of one service and plugin config share one pipeline.
    assert!(Arc::ptr_eq(&taken(&after, "/api/4/x").pipeline, &taken(&after, "/api/5/x").pipeline));
}
