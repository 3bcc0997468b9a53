//! What is refused, with the contract's sentence, and that a refused set changes nothing.

use serde_json::json;
use usher_admin::service::{Rules, ServiceError, Wanted};
use usher_model::change::Edit;
use usher_model::kind::{Key, Kind};

use crate::bench::{
    Bench, admin, consumer, global_rule, gone, jack, nodes, plugin_config, put, route, service, split,
    upstream, wanted,
};

#[tokio::test]
async fn every_refusal_has_its_sentence_and_changes_nothing() {
    let bench = Bench::new().await;
    bench.put(consumer("bob"), jack("bob", "bobs-key")).await.unwrap();
    bench
        .put(Key::credential("bob", "c1"), json!({ "plugins": { "key-auth": { "key": "second-key" } } }))
        .await
        .unwrap();
    bench.put(global_rule("1"), json!({ "plugins": { "caller": {} } })).await.unwrap();
    let before = bench.bytes().await;
    let deep = (0..70).fold(json!(1), |value, _| json!([value]));
    for (key, value, wanted) in [
        (
            route("1"),
            json!({ "uri": "/a", "foo": 1, "plugins": {} }),
            "invalid configuration: additional properties forbidden, found foo",
        ),
        (
            route("a b"),
            json!({ "uri": "/a", "plugins": {} }),
            "invalid configuration: property \"id\" validation failed: object matches none of the required",
        ),
        (
            route(""),
            json!({ "uri": "/a", "plugins": {} }),
            "invalid configuration: property \"id\" validation failed: object matches none of the required",
        ),
        (
            route("a/b"),
            json!({ "uri": "/a", "plugins": {} }),
            "invalid configuration: property \"id\" validation failed: object matches none of the required",
        ),
        (
            Key::new(Kind::Credential, "bob"),
            json!({ "plugins": {} }),
            "invalid configuration: property \"id\" validation failed: object matches none of the required",
        ),
        (
            Key::credential("bob", "a/b"),
            json!({ "plugins": {} }),
            "invalid configuration: property \"id\" validation failed: object matches none of the required",
        ),
        (
            consumer("bob/credentials/c1"),
            json!({ "username": "bob/credentials/c1" }),
            "invalid configuration: property \"id\" validation failed: object matches none of the required",
        ),
        (route("1"), json!("text"), "invalid configuration: wrong type: expected object, got string"),
        (route("1"), json!({ "id": "2", "uri": "/a", "plugins": {} }), "wrong route id"),
        (consumer("jack"), json!({ "username": "jill" }), "wrong username"),
        (consumer("jack"), json!({}), "invalid configuration: property \"username\" is required"),
        (
            route("1"),
            json!({ "uri": "/a", "host": "a", "hosts": ["b"], "plugins": {} }),
            "only one of host or hosts is allowed",
        ),
        (
            route("1"),
            json!({ "uri": "/a", "script": "return 123456", "upstream": nodes() }),
            "`script` is not supported by this version of Usher: use plugins",
        ),
        (
            route("1"),
            json!({ "uri": "/a", "plugins": { "limit-cout": {} } }),
            "unknown plugin [limit-cout]; did you mean limit-count?",
        ),
        (route("1"), json!({ "uri": "/a", "plugins": { "zzz": {} } }), "unknown plugin [zzz]"),
        (
            route("1"),
            json!({ "uri": "/a", "plugins": { "limit-count": { "time_window": 1 } } }),
            "failed to check the configuration of plugin limit-count err: property \"count\" is required",
        ),
        (
            route("1"),
            json!({ "uri": "/a", "plugins": { "limit-count": 5 } }),
            "invalid plugin conf 5 for plugin [limit-count]",
        ),
        (
            consumer("jack"),
            json!({ "username": "jack", "plugins": { "key-auth": {} } }),
            "invalid plugins configuration: failed to check the configuration of plugin key-auth err: property \"key\" is required",
        ),
        (
            consumer("jack"),
            json!({ "username": "jack", "plugins": { "x": {} } }),
            "invalid plugins configuration: unknown plugin [x]",
        ),
        (
            Key::credential("bob", "c2"),
            json!({ "plugins": { "limit-count": { "count": 1, "time_window": 1 } } }),
            "only supports auth type plugins in consumer credential",
        ),
        (Key::credential("nobody", "c2"), json!({ "plugins": {} }), "consumer nobody does not exist"),
        (
            route("1"),
            json!({ "uri": "/a", "upstream_id": 9 }),
            "failed to fetch upstream info by upstream id [9], response code: 404",
        ),
        (
            route("1"),
            json!({ "uri": "/a", "service_id": "s" }),
            "failed to fetch service info by service id [s], response code: 404",
        ),
        (
            route("1"),
            json!({ "uri": "/a", "plugin_config_id": "p" }),
            "failed to fetch plugin config info by plugin config id [p], response code: 404",
        ),
        (
            service("1"),
            json!({ "upstream_id": "u" }),
            "failed to fetch upstream info by upstream id [u], response code: 404",
        ),
        (
            plugin_config("1"),
            json!({ "plugins": split("u") }),
            "failed to fetch upstream info by upstream id [u], response code: 404",
        ),
        (
            consumer("jack"),
            jack("jack", "bobs-key"),
            "duplicate key of plugin key-auth found with consumer: bob",
        ),
        (
            consumer("jack"),
            jack("jack", "second-key"),
            "duplicate key of plugin key-auth found with credential: c1 of consumer: bob",
        ),
        (
            Key::credential("bob", "c2"),
            json!({ "plugins": { "key-auth": { "key": "bobs-key" } } }),
            "duplicate key of plugin key-auth found with consumer: bob",
        ),
        (
            global_rule("2"),
            json!({ "plugins": { "caller": {} } }),
            "plugin 'caller' already exists in global rule with id '1'",
        ),
        (
            upstream("1"),
            json!({ "nodes": { "169.254.169.254:80": 1 } }),
            "the upstream node 169.254.169.254:80 is refused: it is a link-local or cloud metadata address; name a server of your own",
        ),
        (
            route("1"),
            json!({ "uri": "/a", "plugins": { "limit-count": { "count": 1, "time_window": 1, "deep": deep } } }),
            "route 1 is nested deeper than 64 levels; flatten it",
        ),
        (
            route("1"),
            json!({ "uri": "/a", "desc": "$usher$1$x$y", "plugins": {} }),
            "/desc holds a sealed secret; give the secret itself, or leave its mask",
        ),
    ] {
        assert_eq!(bench.refusal(key, value).await, wanted);
    }
    let sentence = bench.refusal(consumer("jack"), json!({ "username": "jack", "group_id": "g" })).await;
    assert!(
        sentence
            .starts_with("failed to fetch consumer group info by consumer group id [g], response code: 404")
    );
    assert_eq!(bench.bytes().await, before);
    assert_eq!(bench.service.revision(), 3);
}

#[tokio::test]
async fn what_the_gateway_could_not_use_is_refused_before_it_is_stored() {
    let own = "127.0.0.1:9180".parse().unwrap();
    let bench = Bench::with_rules(Rules { forbidden_nodes: vec![own], ..Rules::default() }).await;
    bench.put(consumer("bob"), json!({ "username": "bob" })).await.unwrap();
    let keyless = json!({ "nodes": {}, "scheme": "https",
        "tls": { "client_cert": "c".repeat(140), "client_key": "no-key".repeat(20) } });
    let no_key = "`tls.client_key` is no private key in PEM, but ***";
    let inside = format!("invalid configuration: property \"upstream\" validation failed: {no_key}");
    let retries = "`retries` has to be a whole number from 0 to 4294967295, not 1099511627776";
    for (key, value, sentence, at) in [
        (upstream("1"), keyless.clone(), format!("invalid configuration: {no_key}"), ""),
        (service("1"), json!({ "upstream": keyless }), inside.clone(), "/upstream"),
        (route("1"), json!({ "uri": "/a", "upstream": keyless }), inside, "/upstream"),
        (
            upstream("1"),
            json!({ "nodes": {}, "retries": 1_099_511_627_776_u64 }),
            format!("invalid configuration: {retries}"),
            "",
        ),
        (
            route("1"),
            json!({ "uri": "/a", "plugins": { "forward-auth": { "uri": "http://x:y@localhost:9180/auth" } } }),
            "`uri` points at localhost:9180, which is refused: it is a listener of Usher itself that is no gateway; \
             name a server of your own"
                .to_owned(),
            "/plugins/forward-auth/uri",
        ),
    ] {
        let error = bench.put(key.clone(), value).await.unwrap_err();
        assert_eq!(error.to_string(), sentence);
        let ServiceError::Invalid { key: blamed, pointer, .. } = error else { panic!("{error}") };
        assert_eq!((blamed, pointer.as_str()), (Some(key), at));
    }
    assert_eq!(bench.service.revision(), 1, "nothing was stored");
    bench.put(route("1"), json!({ "uri": "/a", "priority": 1.0, "upstream": nodes() })).await.unwrap();
}

#[tokio::test]
async fn an_error_names_the_object_and_where_in_it() {
    let bench = Bench::new().await;
    for (value, at) in [
        (json!({ "uri": "/a", "upstream": { "nodes": { "a:80": -1 } } }), "/upstream/nodes"),
        (json!({ "uri": "/a", "plugins": { "limit-count": {} } }), "/plugins/limit-count"),
        (json!({ "uri": "/a", "service_id": "s" }), "/service_id"),
    ] {
        let error = bench.put(route("1"), value).await.unwrap_err();
        let ServiceError::Invalid { key, pointer, .. } = error else { panic!("{error}") };
        assert_eq!((key, pointer.as_str()), (Some(route("1")), at));
    }
}

#[tokio::test]
async fn what_is_used_stays_and_what_is_deleted_together_goes() {
    let bench = Bench::new().await;
    let all = [
        put(upstream("u"), nodes()),
        put(upstream("v"), nodes()),
        put(service("s"), json!({ "upstream_id": "u" })),
        put(plugin_config("p"), json!({ "plugins": split("v") })),
        put(route("1"), json!({ "uri": "/1", "service_id": "s", "plugin_config_id": "p" })),
        put(route("2"), json!({ "uri": "/2", "upstream_id": "u", "plugins": split("v") })),
    ];
    bench.service.write(&admin(), wanted(all)).await.unwrap();
    for (key, sentence) in [
        (upstream("u"), "can not delete this upstream, route [2] is still using it now"),
        (upstream("v"), "can not delete this upstream, plugin in route [2] is still using it now"),
        (service("s"), "can not delete this service directly, route [1] is still using it now"),
        (plugin_config("p"), "can not delete this plugin config, route [1] is still using it now"),
    ] {
        let error = bench.delete(key).await.unwrap_err();
        assert!(matches!(error, ServiceError::StillUsed(_)), "{error}");
        assert_eq!(error.to_string(), sentence);
    }
    bench.delete(route("2")).await.unwrap();
    let error = bench.delete(upstream("v")).await.unwrap_err().to_string();
    assert_eq!(error, "can not delete this upstream, plugin in plugin_config [p] is still using it now");
    let error = bench.delete(upstream("u")).await.unwrap_err().to_string();
    assert_eq!(error, "can not delete this upstream, service [s] is still using it now");
    let rest = [upstream("u"), service("s"), route("1"), plugin_config("p"), upstream("v")].map(gone);
    bench.service.write(&admin(), wanted(rest)).await.unwrap();
    assert!(bench.bytes().await.is_empty());
}

#[tokio::test]
async fn force_deletes_what_is_used_and_warns() {
    let bench = Bench::new().await;
    let set = [put(upstream("u"), nodes()), put(route("1"), json!({ "uri": "/1", "upstream_id": "u" }))];
    bench.service.write(&admin(), wanted(set)).await.unwrap();
    let forced = Wanted { force: true, ..wanted([gone(upstream("u"))]) };
    let applied = bench.service.write(&admin(), forced).await.unwrap();
    assert_eq!(applied.warnings, ["route 1 still refers to upstream u"]);
    let error = bench.put(route("1"), json!({ "uri": "/2", "upstream_id": "u" })).await.unwrap_err();
    assert!(error.to_string().starts_with("failed to fetch upstream info"));
}

#[tokio::test]
async fn a_set_is_judged_by_the_state_after_all_of_it() {
    let bench = Bench::new().await;
    // The user stands before what it uses, and keys are swapped between two consumers.
    let set = [put(route("1"), json!({ "uri": "/1", "upstream_id": "u" })), put(upstream("u"), nodes())];
    bench.service.write(&admin(), wanted(set)).await.unwrap();
    let pair = |a: &str, b: &str| [put(consumer("a"), jack("a", a)), put(consumer("b"), jack("b", b))];
    bench.service.write(&admin(), wanted(pair("key-one", "key-two"))).await.unwrap();
    bench.service.write(&admin(), wanted(pair("key-two", "key-one"))).await.unwrap();
    let error = bench.service.write(&admin(), wanted(pair("key-one", "key-one"))).await.unwrap_err();
    assert_eq!(error.to_string(), "duplicate key of plugin key-auth found with consumer: a");
    let set = [put(route("2"), json!({ "uri": "/2", "upstream_id": "u" })), gone(upstream("u"))];
    let error = bench.service.write(&admin(), wanted(set)).await.unwrap_err();
    assert_eq!(error.to_string(), "failed to fetch upstream info by upstream id [u], response code: 404");
    let moved = [
        put(global_rule("2"), json!({ "plugins": { "caller": {} } })),
        put(global_rule("1"), json!({ "plugins": {} })),
    ];
    bench.put(global_rule("1"), json!({ "plugins": { "caller": {} } })).await.unwrap();
    bench.service.write(&admin(), wanted(moved)).await.unwrap();
}

#[tokio::test]
async fn a_consumer_takes_its_credentials_along() {
    let bench = Bench::new().await;
    bench.put(consumer("jack"), json!({ "username": "jack" })).await.unwrap();
    bench.put(consumer("jack2"), json!({ "username": "jack2" })).await.unwrap();
    for (name, key) in [("jack", "key-one"), ("jack2", "key-two")] {
        let credential = json!({ "plugins": { "key-auth": { "key": key } } });
        bench.put(Key::credential(name, "c1"), credential).await.unwrap();
    }
    let applied = bench.delete(consumer("jack")).await.unwrap();
    assert_eq!(applied.changes.len(), 2);
    let left: Vec<String> = bench.bytes().await.into_iter().map(|(key, _)| key).collect();
    assert_eq!(left, ["/apisix/consumers/jack2", "/apisix/consumers/jack2/credentials/c1"]);
    bench.put(consumer("jill"), jack("jill", "key-one")).await.unwrap();
    let set = [gone(consumer("jack2")), put(Key::credential("jack2", "c2"), json!({ "plugins": {} }))];
    let error = bench.service.write(&admin(), wanted(set)).await.unwrap_err();
    assert!(matches!(error, ServiceError::NotFound(key) if key == consumer("jack2")));
}

#[tokio::test]
async fn ids_and_times_are_stamped_and_the_order_of_members_is_kept() {
    let bench = Bench::new().await;
    bench.put(route("7"), json!({ "uri": "/b", "plugins": {}, "name": "n", "desc": "d" })).await.unwrap();
    let first = bench.value(route("7")).await;
    let members = |value: &serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(members(&first), ["id", "uri", "plugins", "name", "desc", "create_time", "update_time"]);
    assert_eq!(first["id"], "7");
    let kept = Wanted {
        keep_times: true,
        ..wanted([put(route("7"), json!({ "uri": "/b", "plugins": {}, "create_time": 5, "update_time": 6 }))])
    };
    bench.service.write(&admin(), kept).await.unwrap();
    let second = bench.value(route("7")).await;
    assert_eq!((second["create_time"].as_u64(), second["update_time"].as_u64()), (Some(5), Some(6)));
    bench
        .put(route("7"), json!({ "id": 7, "update_time": 1, "create_time": 1, "uri": "/c", "plugins": {} }))
        .await
        .unwrap();
    let third = bench.value(route("7")).await;
    assert_eq!(third["id"], 7, "a number stays a number");
    assert_eq!(third["create_time"], 5);
    assert!(third["update_time"].as_u64() > Some(1_000_000_000));
    bench.put(consumer("jack"), json!({ "username": "jack" })).await.unwrap();
    assert!(bench.value(consumer("jack")).await.get("id").is_none());
    bench.put(Key::credential("jack", "c1"), json!({ "plugins": {} })).await.unwrap();
    assert_eq!(bench.value(Key::credential("jack", "c1")).await["id"], "c1");
}

#[tokio::test]
async fn names_and_ids_are_resolved_exactly() {
    let bench = Bench::new().await;
    for (id, name) in [("1", "speaker"), ("2", "speaker"), ("speaker", "other")] {
        bench.put(route(id), json!({ "uri": format!("/{id}"), "name": name, "plugins": {} })).await.unwrap();
    }
    let found = |name: &'static str| {
        let service = std::sync::Arc::clone(&bench.service);
        async move { service.resolve(&admin(), Kind::Route, name).await.unwrap() }
    };
    assert_eq!(found("speaker").await, [route("speaker"), route("1"), route("2")]);
    assert_eq!(found("other").await, [route("speaker")]);
    assert!(found("speak").await.is_empty() && found("").await.is_empty() && found("1/2").await.is_empty());
    bench.put(route("1"), json!({ "uri": "/1", "plugins": {} })).await.unwrap();
    assert_eq!(found("speaker").await, [route("speaker"), route("2")]);
    bench.put(consumer("jack"), json!({ "username": "jack" })).await.unwrap();
    bench.put(Key::credential("jack", "c1"), json!({ "plugins": {}, "name": "laptop" })).await.unwrap();
    for name in ["c1", "laptop", "jack/credentials/c1"] {
        let keys = bench.service.resolve(&admin(), Kind::Credential, name).await.unwrap();
        assert_eq!(keys, [Key::credential("jack", "c1")], "{name}");
    }
    assert_eq!(bench.service.next_id(), "00000000000000000007");
    assert_eq!(bench.service.list(&admin(), Kind::Consumer).await.unwrap().len(), 1);
    assert_eq!(bench.service.list_credentials(&admin(), "jack").await.unwrap().len(), 1);
}

#[tokio::test]
async fn expectations_that_are_not_met_are_conflicts() {
    let bench = Bench::new().await;
    bench.put(route("1"), json!({ "uri": "/1", "plugins": {} })).await.unwrap();
    for (expected, good) in [(None, false), (Some(7), false), (Some(1), true)] {
        let change = Wanted {
            expect: vec![(route("1"), expected)],
            ..wanted([put(route("1"), json!({ "uri": "/2", "plugins": {} }))])
        };
        let outcome = bench.service.write(&admin(), change).await;
        assert_eq!(outcome.is_ok(), good, "{expected:?}");
        assert!(good || matches!(outcome, Err(ServiceError::Conflict(_))));
    }
    let absent = Wanted { expect: vec![(route("9"), None)], ..wanted([gone(route("1"))]) };
    bench.service.write(&admin(), absent).await.unwrap();
    let error = bench.delete(route("1")).await.unwrap_err();
    assert!(matches!(error, ServiceError::NotFound(_)), "{error}");
    let error = bench.service.write(&admin(), wanted(Vec::<Edit>::new())).await.unwrap_err();
    assert_eq!(error.to_string(), "there is nothing to change: give at least one edit");
}

#[tokio::test]
async fn a_route_with_thousands_of_hosts_and_paths_stays_cheap() {
    let bench = Bench::new().await;
    let many = |what: &str| (0..3000).map(|at| format!("{what}{at}")).collect::<Vec<_>>();
    let value = json!({ "uris": many("/"), "hosts": many("h"), "plugins": {} });
    let begun = std::time::Instant::now();
    bench.put(route("1"), value.clone()).await.unwrap();
    bench.put(route("2"), value).await.unwrap();
    bench.delete(route("1")).await.unwrap();
    assert!(begun.elapsed().as_secs() < 10, "{:?}", begun.elapsed());
}
