//! The risk of changes, why, whom they meet, and what is warned of.

use serde_json::{Value, json};
use usher_admin::service::{Plan, Rules};
use usher_model::change::{Edit, Risk};
use usher_model::kind::Key;

use crate::bench::{
    Bench, admin, consumer, global_rule, gone, jack, nodes, plugin_config, put, route, service, split,
    upstream, wanted,
};

async fn town() -> Bench {
    let bench = Bench::with_rules(Rules { many_routes: 4, ..Rules::default() }).await;
    let all = [
        put(upstream("u"), nodes()),
        put(upstream("lonely"), nodes()),
        put(
            service("s"),
            json!({ "upstream_id": "u", "plugins": { "key-auth": {} }, "hosts": ["S.example"] }),
        ),
        put(plugin_config("p"), json!({ "plugins": { "key-auth": {} } })),
        put(route("1"), json!({ "uri": "/one", "service_id": "s", "methods": ["GET"], "name": "first" })),
        put(route("2"), json!({ "uri": "/two/*", "upstream_id": "u", "plugin_config_id": "p" })),
        put(
            route("3"),
            json!({ "uri": "/three", "host": "a.example", "upstream": nodes(), "plugins": { "key-auth": {} } }),
        ),
        put(consumer("jack"), jack("jack", "jacks-key")),
    ];
    bench.service.write(&admin(), wanted(all)).await.unwrap();
    bench
}

async fn plan(bench: &Bench, edit: Edit) -> Plan {
    bench.plan([edit]).await.unwrap()
}

#[tokio::test]
async fn each_kind_of_change_has_its_risk_and_reason() {
    let bench = town().await;
    let key_auth = |more: Value| json!({ "uri": "/three", "host": "a.example", "upstream": nodes(), "plugins": { "key-auth": more } });
    for (edit, risk, reason) in [
        (put(route("9"), json!({ "uri": "/nine", "upstream": nodes() })), Risk::Low, "adds route 9"),
        (put(upstream("9"), nodes()), Risk::Low, "adds upstream 9"),
        (
            put(upstream("lonely"), json!({ "nodes": {} })),
            Risk::Low,
            "changes nothing that a request meets in upstream lonely",
        ),
        (put(upstream("u"), json!({ "nodes": {} })), Risk::Medium, "changes upstream u"),
        (
            put(consumer("jack"), jack("jack", "other-key")),
            Risk::High,
            "consumer jack gets another credential by key-auth: whoever has it comes in as that consumer",
        ),
        (
            put(
                consumer("jack"),
                json!({ "username": "jack", "desc": "d", "plugins": { "key-auth": { "key": "jacks-key" } } }),
            ),
            Risk::Low,
            "changes nothing that a request meets in consumer jack",
        ),
        (
            put(Key::credential("jack", "c"), json!({ "plugins": {} })),
            Risk::Low,
            "adds credential jack/credentials/c",
        ),
        (gone(upstream("lonely")), Risk::High, "deletes upstream lonely"),
        (put(global_rule("g"), json!({ "plugins": {} })), Risk::High, "global rule g runs for every request"),
        (
            put(route("9"), json!({ "uri": "/*", "upstream": nodes() })),
            Risk::Medium,
            "route 9 takes every path that no other route takes",
        ),
        (
            put(route("3"), json!({ "uri": "/three", "host": "a.example", "upstream": nodes() })),
            Risk::High,
            "route 3 loses its authentication by key-auth",
        ),
        (
            put(route("3"), key_auth(json!({ "_meta": { "disable": true } }))),
            Risk::High,
            "route 3 loses its authentication by key-auth",
        ),
        (
            put(route("3"), key_auth(json!({ "anonymous_consumer": "x" }))),
            Risk::High,
            "route 3 lets requests pass key-auth without a credential",
        ),
        (
            put(route("3"), key_auth(json!({ "_meta": { "filter": [["arg_a", "==", "1"]] } }))),
            Risk::High,
            "route 3 lets requests pass key-auth without a credential",
        ),
        (put(route("3"), key_auth(json!({ "header": "x" }))), Risk::Medium, "changes route 3"),
        (
            put(route("1"), json!({ "uri": "/one", "upstream_id": "u", "methods": ["GET"] })),
            Risk::High,
            "route 1 loses its authentication by key-auth",
        ),
        (
            put(route("2"), json!({ "uri": "/two/*", "upstream_id": "u", "plugins": { "key-auth": {} } })),
            Risk::Medium,
            "changes route 2",
        ),
        (
            put(service("s"), json!({ "upstream_id": "u" })),
            Risk::High,
            "service s loses its authentication by key-auth",
        ),
        (
            put(plugin_config("p"), json!({ "plugins": {} })),
            Risk::High,
            "plugin config p loses its authentication by key-auth",
        ),
    ] {
        let plan = plan(&bench, edit.clone()).await;
        assert_eq!((plan.risk, plan.reasons[0].as_str()), (risk, reason), "{edit:?}: {:?}", plan.reasons);
    }
}

#[tokio::test]
async fn many_routes_make_a_high_risk() {
    let bench = town().await;
    for id in ["4", "5", "6"] {
        bench.put(route(id), json!({ "uri": format!("/{id}"), "upstream_id": "u" })).await.unwrap();
    }
    let plan = plan(&bench, put(upstream("u"), json!({ "nodes": { "127.0.0.1:1": 1 } }))).await;
    assert_eq!((plan.risk, plan.reasons[0].as_str()), (Risk::High, "5 routes meet it"));
}

#[tokio::test]
async fn whoever_meets_a_change_is_named() {
    let bench = town().await;
    let nodes = json!({ "nodes": { "127.0.0.1:1": 1 } });
    for (edit, wanted) in [
        (put(upstream("u"), nodes.clone()), vec!["route 1 (first): GET s.example /one", "route 2: /two/*"]),
        (
            put(service("s"), json!({ "upstream_id": "u", "plugins": { "key-auth": {} } })),
            vec!["route 1 (first): GET /one"],
        ),
        (
            put(plugin_config("p"), json!({ "plugins": { "key-auth": {}, "caller": {} } })),
            vec!["route 2: /two/*"],
        ),
        (put(route("9"), json!({ "uri": "/nine", "upstream": nodes })), vec!["route 9: /nine"]),
        (gone(route("3")), vec!["route 3: a.example /three"]),
        (
            put(consumer("jack"), json!({ "username": "jack" })),
            vec!["consumer jack: requests with its credentials"],
        ),
        (
            put(global_rule("g"), json!({ "plugins": {} })),
            vec![
                "every request, also those that no route takes",
                "route 1 (first): GET s.example /one",
                "route 2: /two/*",
                "route 3: a.example /three",
            ],
        ),
    ] {
        assert_eq!(plan(&bench, edit).await.affected, wanted);
    }
    let set: Vec<Edit> = (100..170)
        .map(|id| put(route(&id.to_string()), json!({ "uri": format!("/{id}"), "upstream_id": "lonely" })))
        .collect();
    bench.service.write(&admin(), wanted(set)).await.unwrap();
    let plan = plan(&bench, put(upstream("lonely"), json!({ "nodes": {} }))).await;
    assert_eq!((plan.affected.len(), plan.affected[50].as_str()), (51, "20 more routes"));
    assert!(
        plan.text().ends_with(
            "    20 more routes\nwarning: upstream lonely has no nodes: its requests are answered with 503"
        ),
        "{}",
        plan.text()
    );
}

#[tokio::test]
async fn what_is_worth_a_look_is_warned_of() {
    let bench = town().await;
    for (edit, warning) in [
        (
            put(upstream("9"), json!({ "nodes": {} })),
            "upstream 9 has no nodes: its requests are answered with 503",
        ),
        (
            put(upstream("9"), json!({ "nodes": { "a:1": 0 } })),
            "upstream 9 has only nodes of weight 0: its requests are answered with 503",
        ),
        (
            put(
                upstream("9"),
                json!({ "nodes": { "a:1": 1 }, "scheme": "https", "tls": { "verify": false } }),
            ),
            "upstream 9 does not verify the certificates of its nodes",
        ),
        (
            put(route("9"), json!({ "uris": ["/ok", "/nine?a=1"], "upstream": nodes() })),
            "route 9 gets no request for its path /nine?a=1: a path ends before its \"?\"; put conditions on the query into vars, such as arg_name",
        ),
        (
            put(route("9"), json!({ "uri": "/nine", "plugins": {} })),
            "route 9 has no upstream: a request that none of its plugins answers ends with 503",
        ),
        (
            put(
                route("9"),
                json!({ "uri": "/nine", "upstream": nodes(), "plugins": { "limit-count": { "count": 1, "time_window": 1, "rejected_cod": 1 } } }),
            ),
            "route 9: plugins.limit-count.rejected_cod is no member that limit-count knows; did you mean rejected_code?",
        ),
        (
            put(route("9"), json!({ "uri": "/two/*", "upstream": nodes() })),
            "route 2 hides route 9: they have the same host and path, and the older one goes first",
        ),
        (
            put(route("9"), json!({ "uri": "/two/*", "upstream": nodes(), "priority": 1 })),
            "route 9 hides route 2: they have the same host and path, and priority 1 goes before 0",
        ),
        (
            put(
                route("9"),
                json!({ "uri": "/two/*", "upstream": nodes(), "priority": 1, "methods": ["GET"] }),
            ),
            "route 9 and route 2 share host and path: where both fit, priority 1 goes before 0",
        ),
        (
            put(route("9"), json!({ "uri": "/two/x", "upstream": nodes() })),
            "route 9 takes requests that route 2 took so far",
        ),
        (
            put(route("9"), json!({ "uri": "/one", "host": "s.example", "upstream": nodes() })),
            "route 1 and route 9 share host and path: where both fit, the older one goes first",
        ),
    ] {
        let plan = plan(&bench, edit.clone()).await;
        assert!(plan.warnings.iter().any(|found| found == warning), "{edit:?}: {:?}", plan.warnings);
    }
    for edit in [
        put(route("9"), json!({ "uri": "/nine", "upstream": nodes() })),
        put(route("9"), json!({ "uri": "/nine", "plugins": split("u") })),
        put(
            route("9"),
            json!({ "uri": "/one", "host": "s.example", "upstream": nodes(), "methods": ["PUT"] }),
        ),
        put(route("9"), json!({ "uri": "/three", "host": "b.example", "upstream": nodes() })),
        put(consumer("jack"), jack("jack", "other-key")),
    ] {
        let plan = plan(&bench, edit.clone()).await;
        assert!(plan.warnings.is_empty(), "{edit:?}: {:?}", plan.warnings);
    }
}

#[tokio::test]
async fn taking_requests_away_from_authentication_is_high() {
    let bench = town().await;
    for (value, reason) in [
        (
            json!({ "uri": "/two/*", "upstream": nodes(), "priority": 1 }),
            "route 9 takes requests from route 2, whose traffic loses its authentication by key-auth",
        ),
        (
            json!({ "uri": "/two/open", "upstream": nodes() }),
            "route 9 takes requests from route 2, whose traffic loses its authentication by key-auth",
        ),
        (
            json!({ "uri": "/two/open/*", "host": "x.example", "upstream": nodes() }),
            "route 9 takes requests from route 2, whose traffic loses its authentication by key-auth",
        ),
        (
            json!({ "uri": "/two/*", "host": "x.example", "upstream": nodes() }),
            "route 9 takes requests from route 2, whose traffic loses its authentication by key-auth",
        ),
    ] {
        let plan = plan(&bench, put(route("9"), value)).await;
        assert_eq!((plan.risk, plan.reasons.as_slice()), (Risk::High, [reason.to_owned()].as_slice()));
    }
    let guarded = json!({ "uri": "/two/x", "upstream": nodes(), "plugins": { "key-auth": {} } });
    assert_eq!(plan(&bench, put(route("9"), guarded)).await.risk, Risk::Medium);
}
