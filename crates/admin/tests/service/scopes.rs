//! Scopes: a principal for a part of the configuration sees and changes that part only, before and after.

use serde_json::{Value, json};
use usher_admin::service::{HistoryQuery, ServiceError};
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
        (team("pay"), put(route("hr"), of("pay", "/hr")), Some("route hr lies outside the scope of pay")),
        (team("pay"), gone(route("pay")), None),
        (team("pay"), gone(route("hr")), Some("route hr lies outside")),
        (team("pay"), put(global_rule("g"), json!({ "plugins": {} })), Some("met by every request")),
        (team("pay"), put(Key::credential("jack", "d"), json!({ "plugins": {} })), None),
        (
            team("pay"),
            put(Key::credential("jill", "d"), json!({ "plugins": {} })),
            Some("credential jill/credentials/d lies"),
        ),
        (team("pay"), gone(consumer("jack")), None),
        (team("pay"), gone(consumer("jill")), Some("consumer jill lies outside")),
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
            Some("pay.example"),
        ),
        (
            place(&["pay.example"], &[]),
            put(service("s"), json!({ "hosts": ["pay.example", "b.example"] })),
            Some("b.example"),
        ),
        (place(&["pay.example"], &[]), put(upstream("u"), nodes()), Some("only a label")),
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
    assert_eq!((told, entries[0].total), (vec!["route pay".to_owned(), "consumer jack".to_owned()], 2));
    let plan = service.plan(&pay, wanted([put(route("new"), of("pay", "/hr2"))])).await.unwrap();
    assert!(plan.affected.iter().all(|line| line.starts_with("route new:")), "{:?}", plan.affected);
}

#[tokio::test]
async fn an_undo_stays_inside_too() {
    let bench = bench().await;
    bench.put(route("hr"), of("hr", "/hr2")).await.unwrap();
    let error = bench.service.plan_undo(&team("pay"), Some(2), None).await.unwrap_err();
    assert!(matches!(error, ServiceError::Forbidden(_)), "{error}");
    assert!(bench.service.plan_undo(&team("hr"), Some(2), None).await.is_ok());
}
