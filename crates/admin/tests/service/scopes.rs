//! Scopes: a principal for a part of the configuration sees and changes that part only, before and after.

use serde_json::{Value, json};
use usher_admin::service::{Approval, ChangesQuery, Extent, HistoryQuery, ServiceError, Wanted};
use usher_model::change::{Door, Edit, Principal, Role};
use usher_model::kind::{Key, Kind};
use usher_model::scope::Scope;

use crate::bench::{Bench, admin, consumer, global_rule, gone, nodes, put, route, service, upstream, wanted};

fn team(name: &str) -> Principal {
    let scope = Scope { labels: vec![format!("team={name}")], ..Scope::ALL };
    Principal::new(name, Role::Editor, Door::Cli).within(scope)
}

fn place(hosts: &[&str], paths: &[&str]) -> Principal {
    let own = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect();
    let scope = Scope { labels: Vec::new(), hosts: own(hosts), paths: own(paths) };
    Principal::new("place", Role::Editor, Door::Cli).within(scope)
}

fn of(team: &str, uri: &str) -> Value {
    json!({ "uri": uri, "plugins": {}, "labels": { "team": team } })
}

async fn bench() -> Bench {
    let bench = Bench::new().await;
    let labels = |name: &str| json!({ "team": name });
    let ground = wanted([
        put(route("pay"), of("pay", "/pay")),
        put(route("hr"), of("hr", "/hr")),
        put(upstream("u"), nodes()),
        put(service("s"), json!({ "hosts": ["pay.example"] })),
        put(route("inherits"), json!({ "uri": "/x", "service_id": "s" })),
        put(consumer("jack"), json!({ "username": "jack", "labels": labels("pay") })),
        put(consumer("jill"), json!({ "username": "jill", "labels": labels("hr") })),
        put(Key::credential("jack", "c"), json!({ "plugins": {} })),
        put(Key::credential("jill", "c"), json!({ "plugins": {} })),
    ]);
    bench.service.write(&admin(), ground).await.unwrap();
    bench
}

#[tokio::test]
async fn a_change_has_to_lie_inside_before_and_after() {
    let cases: Vec<(Principal, Edit, Option<&str>)> = vec![
        (team("pay"), put(route("new"), of("pay", "/new")), None),
        (team("pay"), put(route("new"), of("hr", "/new")), Some("team=pay")),
        (team("pay"), put(route("new"), json!({ "uri": "/new", "plugins": {} })), Some("team=pay")),
        (team("pay"), put(route("pay"), of("pay", "/other")), None),
        (team("pay"), put(route("pay"), of("hr", "/pay")), Some("route pay lies outside the scope of pay")),
        (team("pay"), put(route("hr"), of("pay", "/hr")), Some("that id is taken")),
        (team("pay"), gone(route("pay")), None),
        (team("pay"), put(global_rule("g"), json!({ "plugins": {} })), Some("met by every request")),
        (team("pay"), put(Key::credential("jack", "d"), json!({ "plugins": {} })), None),
        (team("pay"), gone(consumer("jack")), None),
        (
            place(&["pay.example"], &[]),
            put(route("new"), json!({ "uri": "/a", "host": "pay.example", "plugins": {} })),
            None,
        ),
        (
            place(&["pay.example"], &[]),
            put(route("new"), json!({ "uri": "/a", "plugins": {} })),
            Some("every host"),
        ),
        (
            place(&["pay.example"], &[]),
            put(route("inherits"), json!({ "uri": "/y", "service_id": "s" })),
            None,
        ),
        (
            place(&["hr.example"], &[]),
            put(route("inherits"), json!({ "uri": "/y", "service_id": "s" })),
            Some("that id is taken"),
        ),
        (
            place(&["pay.example"], &[]),
            put(service("s"), json!({ "hosts": ["pay.example", "b.example"] })),
            Some("b.example"),
        ),
        (place(&["pay.example"], &[]), put(upstream("u2"), nodes()), Some("only a label")),
        (place(&[], &["/pay"]), put(route("pay"), of("x", "/pay/a")), None),
        (place(&[], &["/pay"]), put(route("pay"), of("x", "/payroll")), Some("/payroll")),
    ];
    for (who, edit, wanted_part) in cases {
        let bench = bench().await;
        let before = bench.bytes().await;
        let what = format!("{} {edit:?}", who.scope);
        let outcome = bench.service.write(&who, wanted([edit])).await;
        match (outcome, wanted_part) {
            (Ok(_), None) => {}
            (Err(ServiceError::Forbidden(sentence)), Some(part)) => {
                assert!(sentence.contains(part), "{part} is missing in {sentence}");
                assert_eq!(bench.bytes().await, before);
            }
            (outcome, _) => panic!("{what}: {outcome:?}"),
        }
    }
}

#[tokio::test]
async fn one_edit_outside_spoils_the_whole_set() {
    let bench = bench().await;
    let before = bench.bytes().await;
    let set = wanted([put(route("pay"), of("pay", "/new")), put(route("hr"), of("hr", "/new"))]);
    let error = bench.service.plan(&team("pay"), set).await.unwrap_err();
    assert!(matches!(error, ServiceError::Forbidden(_)), "{error}");
    assert_eq!(bench.bytes().await, before);
}

#[tokio::test]
async fn what_lies_outside_is_not_there_for_a_reader() {
    let bench = bench().await;
    let service = &bench.service;
    let (pay, hosts) = (team("pay"), place(&["pay.example"], &[]));
    assert!(service.get(&pay, &route("pay")).await.unwrap().is_some());
    assert!(service.get(&pay, &route("hr")).await.unwrap().is_none());
    let ids = async |who: &Principal, kind| {
        let all = service.list(who, kind).await.unwrap();
        all.into_iter().map(|stored| stored.key.id).collect::<Vec<_>>()
    };
    assert_eq!(ids(&pay, Kind::Route).await, ["pay"]);
    assert_eq!(ids(&pay, Kind::Consumer).await, ["jack"]);
    assert_eq!(ids(&pay, Kind::Credential).await, ["jack/credentials/c"]);
    assert_eq!(ids(&hosts, Kind::Route).await, ["inherits"]);
    assert_eq!(ids(&hosts, Kind::Service).await, ["s"]);
    assert!(ids(&hosts, Kind::Upstream).await.is_empty());
    assert!(service.list_credentials(&pay, "jill").await.unwrap().is_empty());
    assert!(service.resolve(&pay, Kind::Route, "hr").await.unwrap().is_empty());
    assert_eq!(service.resolve(&pay, Kind::Consumer, "jack").await.unwrap(), [consumer("jack")]);
    bench.put(route("hr"), of("hr", "/hr2")).await.unwrap();
    let entries = service.history(&pay, HistoryQuery::default()).await.unwrap();
    assert_eq!(entries.len(), 1, "the change of the other team is not told of");
    let told: Vec<String> = entries[0].changes.iter().map(|change| change.key.to_string()).collect();
    assert_eq!(
        (told, entries[0].total),
        (
            vec![
                "route pay".to_owned(),
                "consumer jack".to_owned(),
                "credential jack/credentials/c".to_owned()
            ],
            3
        )
    );
    let page =
        |revision| service.changes(&pay, ChangesQuery { revision, limit: 2, ..ChangesQuery::default() });
    let first = page(entries[0].revision).await.unwrap().unwrap();
    assert_eq!((first.changes.len(), first.entry.total), (2, 3));
    let after = ChangesQuery { after: first.next.unwrap(), ..ChangesQuery::default() };
    let rest = service.changes(&pay, ChangesQuery { revision: entries[0].revision, ..after }).await.unwrap();
    let rest = rest.unwrap();
    assert_eq!(
        (rest.changes[0].key.to_string(), rest.next),
        ("credential jack/credentials/c".to_owned(), None)
    );
    assert!(page(entries[0].revision + 1).await.unwrap().is_none(), "the other team's change is none");
    let plan = service.plan(&pay, wanted([put(route("new"), of("pay", "/hr2"))])).await.unwrap();
    assert!(plan.affected.iter().all(|line| line.starts_with("route new:")), "{:?}", plan.affected);
}

#[tokio::test]
async fn an_undo_stays_inside_too() {
    let bench = bench().await;
    bench.put(route("hr"), of("hr", "/hr2")).await.unwrap();
    let error = bench.service.plan_undo(&team("pay"), Some(2), None).await.unwrap_err();
    let unknown = bench.service.plan_undo(&team("pay"), Some(99), None).await.unwrap_err();
    assert_eq!(
        error.to_string().replace("revision 2", "it"),
        unknown.to_string().replace("revision 99", "it")
    );
    assert!(matches!(error, ServiceError::NoSuch(_)), "{error}");
    assert!(bench.service.plan_undo(&team("hr"), Some(2), None).await.is_ok());
    // The first change was everybody's: what is shown of it can't be taken back alone.
    let error = bench.service.plan_undo(&team("pay"), Some(1), None).await.unwrap_err();
    assert!(matches!(&error, ServiceError::Forbidden(sentence) if !sentence.contains("hr")), "{error}");
}

#[tokio::test]
async fn what_lies_outside_is_not_there_for_a_writer() {
    let bench = bench().await;
    let pay = team("pay");
    bench
        .put(
            global_rule("all-of-it"),
            json!({ "plugins": { "limit-count": { "count": 1, "time_window": 1 } } }),
        )
        .await
        .unwrap();
    for (there, missing) in [
        (route("hr"), route("nobody")),
        (consumer("jill"), consumer("nobody")),
        (Key::credential("jill", "c"), Key::credential("jill", "d")),
        (Key::credential("jill", "c"), Key::credential("nobody", "c")),
        (global_rule("all-of-it"), global_rule("nobody")),
        (upstream("u"), upstream("nobody")),
    ] {
        let told = async |key: &Key| {
            let outcome = bench.service.write(&pay, wanted([gone(key.clone())])).await;
            outcome.unwrap_err().to_string().replace(&key.to_string(), "it")
        };
        assert_eq!(told(&there).await, "it does not exist");
        assert_eq!(told(&missing).await, "it does not exist");
    }
    // Below what is not there nothing can be put, and a rule is refused alike whether or not it is taken.
    for (there, missing) in [
        (Key::credential("jill", "d"), Key::credential("nobody", "d")),
        (global_rule("all-of-it"), global_rule("nobody")),
    ] {
        let told = async |key: &Key| {
            let value = json!({ "plugins": {} });
            let outcome = bench.service.write(&pay, wanted([put(key.clone(), value)])).await;
            let own = key.consumer().unwrap_or(key.own_id()).to_owned();
            outcome.unwrap_err().to_string().replace(&own, "it")
        };
        assert_eq!(told(&there).await, told(&missing).await);
    }
    // A document can't be used to guess what is there, nor an expectation.
    let same = vec![(route("hr"), of("hr", "/hr"))];
    let error = bench.service.plan_document(&pay, same, Extent::default(), None).await.unwrap_err();
    assert!(error.to_string().contains("that id is taken"), "{error}");
    for revision in [1, 7] {
        let edits = wanted([gone(route("pay"))]);
        let expect = vec![(route("hr"), Some(revision))];
        let error = bench.service.plan(&pay, Wanted { expect, ..edits }).await.unwrap_err();
        assert!(error.to_string().contains("is not there any more"), "{error}");
    }
}

#[tokio::test]
async fn what_lies_outside_can_not_be_referred_to() {
    let bench = bench().await;
    let pay = team("pay");
    let own = json!({ "nodes": { "127.0.0.1:1": 1 }, "labels": { "team": "pay" } });
    bench.put(upstream("own"), own).await.unwrap();
    bench.put(Key::new(Kind::PluginConfig, "p"), json!({ "plugins": {} })).await.unwrap();
    bench.put(Key::new(Kind::ConsumerGroup, "g"), json!({ "plugins": {} })).await.unwrap();
    let with = |member: &str, id: &str| {
        let mut value = of("pay", "/new");
        value[member] = id.into();
        value
    };
    let split = |id: &str| {
        let mut value = of("pay", "/new");
        value["plugins"] =
            json!({ "traffic-split": { "rules": [{ "weighted_upstreams": [{ "upstream_id": id }] }] } });
        value
    };
    let jack = |id: &str| json!({ "username": "jack", "group_id": id, "labels": { "team": "pay" } });
    for (key, foreign, missing, id) in [
        (route("new"), with("upstream_id", "u"), with("upstream_id", "zz"), "u"),
        (route("new"), with("service_id", "s"), with("service_id", "zz"), "s"),
        (route("new"), with("plugin_config_id", "p"), with("plugin_config_id", "zz"), "p"),
        (route("new"), split("u"), split("zz"), "u"),
        (consumer("jack"), jack("g"), jack("zz"), "g"),
    ] {
        let told = async |value: Value, id: &str| {
            let error = bench.service.write(&pay, wanted([put(key.clone(), value)])).await.unwrap_err();
            error.to_string().replace(&format!("[{id}]"), "[it]")
        };
        let (there, not_there) = (told(foreign, id).await, told(missing, "zz").await);
        assert!(there.contains("404"), "{there}");
        assert_eq!(there, not_there);
    }
    bench.service.write(&pay, wanted([put(route("new"), with("upstream_id", "own"))])).await.unwrap();
    // What an object was given by somebody who may, it keeps.
    bench.put(route("given"), with("upstream_id", "u")).await.unwrap();
    let mut kept = with("upstream_id", "u");
    kept["desc"] = "still".into();
    bench.service.write(&pay, wanted([put(route("given"), kept)])).await.unwrap();
}

#[tokio::test]
async fn force_takes_nothing_from_under_others() {
    let bench = bench().await;
    let pay = team("pay");
    let own = json!({ "nodes": { "127.0.0.1:1": 1 }, "labels": { "team": "pay" } });
    bench.put(upstream("own"), own).await.unwrap();
    let uses = |team: &str, at: usize| {
        let mut value = of(team, &format!("/u{at}"));
        value["upstream_id"] = "own".into();
        value
    };
    // More own users than are looked at where nothing but the first matters.
    for at in 0..20 {
        bench.put(route(&format!("a{at}")), uses("pay", at)).await.unwrap();
    }
    bench.put(route("zz-hr"), uses("hr", 99)).await.unwrap();
    for force in [false, true] {
        let edits = wanted([gone(upstream("own"))]);
        let error = bench.service.write(&pay, Wanted { force, ..edits }).await.unwrap_err();
        assert!(matches!(error, ServiceError::StillUsed(_)) && !error.to_string().contains("hr"), "{error}");
    }
    bench.service.write(&admin(), wanted([gone(route("zz-hr"))])).await.unwrap();
    let edits = wanted([gone(upstream("own"))]);
    bench.service.write(&pay, Wanted { force: true, ..edits }).await.unwrap();
}

#[tokio::test]
async fn no_sentence_names_what_lies_outside() {
    let bench = bench().await;
    let pay = team("pay");
    let key_auth = |key: &str| json!({ "key-auth": { "key": key } });
    let jill = json!({ "username": "jill", "labels": { "team": "hr" }, "plugins": key_auth("jills-key") });
    bench.put(consumer("jill"), jill).await.unwrap();
    let jack = json!({ "username": "jack", "labels": { "team": "pay" }, "plugins": key_auth("jills-key") });
    let error = bench.service.write(&pay, wanted([put(consumer("jack"), jack)])).await.unwrap_err();
    assert!(error.to_string().ends_with("duplicate key of plugin key-auth found"), "{error}");
    // The same path as another team's route, which is protected.
    let mut secret = of("hr", "/hr");
    secret["plugins"] = json!({ "key-auth": {} });
    bench.put(route("hr"), secret).await.unwrap();
    let plan = bench.service.plan(&pay, wanted([put(route("new"), of("pay", "/hr"))])).await.unwrap();
    let told = format!("{:?} {:?} {:?}", plan.warnings, plan.reasons, plan.affected);
    assert!(told.contains("a route outside your scope") && !told.contains("route hr"), "{told}");
    bench.live.problems.lock().unwrap().push(usher_model::live::Problem {
        key: route("hr").path(),
        revision: bench.service.revision() + 1,
        reason: "it breaks".to_owned(),
    });
    let applied = bench.service.apply(&pay, &plan.id, Approval::Client).await.unwrap();
    let told = format!("{:?}", applied.warnings);
    assert!(told.contains("outside your scope") && !told.contains("routes/hr"), "{told}");
}

#[tokio::test]
async fn a_credential_does_not_move_to_a_namesake() {
    let bench = bench().await;
    let (pay, hr) = (team("pay"), team("hr"));
    let labelled = json!({ "plugins": {}, "labels": { "team": "pay" } });
    bench.put(Key::credential("jill", "c"), labelled).await.unwrap();
    let gone_at = bench.service.write(&hr, wanted([gone(consumer("jill"))])).await.unwrap().revision;
    let mine = json!({ "username": "jill", "labels": { "team": "pay" } });
    bench.service.write(&pay, wanted([put(consumer("jill"), mine)])).await.unwrap();
    let error = bench.service.plan_undo(&pay, Some(gone_at), None).await.unwrap_err();
    assert!(matches!(error, ServiceError::NoSuch(_)), "{error}");
    let entries = bench.service.history(&pay, HistoryQuery::default()).await.unwrap();
    let told = format!("{:?}", entries.iter().map(|entry| &entry.changes).collect::<Vec<_>>());
    assert!(!told.contains("jill/credentials"), "{told}");
}
