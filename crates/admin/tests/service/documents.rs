//! Whole documents: only what differs is changed, what is missing is deleted where that is asked for, and large ones are quick.

use std::sync::Arc;
use std::time::Instant;

use serde_json::{Value, json};
use usher_admin::service::{Approval, Extent, HistoryQuery, Plan, Rules, ServiceError};
use usher_model::change::{Door, Principal, Role};
use usher_model::kind::{Key, Kind};
use usher_store::embedded::Embedded;

use crate::bench::{
    Bench, admin, consumer, jack, nodes, plugin_config, put, route, upstream, viewer, wanted,
};

fn whole() -> Extent {
    Extent { delete: true, ..Extent::default() }
}

fn ground() -> Vec<(Key, Value)> {
    vec![
        (upstream("u"), nodes()),
        (route("1"), json!({ "uri": "/1", "upstream_id": "u", "labels": { "team": "pay" } })),
        (route("2"), json!({ "uri": "/2", "upstream_id": "u" })),
        (consumer("jack"), jack("jack", "jacks-key")),
        (Key::credential("jack", "c"), json!({ "plugins": { "key-auth": { "key": "cs-key" } } })),
        (plugin_config("p"), json!({ "plugins": { "caller": { "token": "a-token" } } })),
    ]
}

async fn bench() -> Bench {
    let bench = Bench::new().await;
    bench
        .service
        .write(&admin(), wanted(ground().into_iter().map(|(key, value)| put(key, value))))
        .await
        .unwrap();
    bench
}

async fn plan(bench: &Bench, objects: Vec<(Key, Value)>, extent: Extent) -> Result<Plan, ServiceError> {
    bench.service.plan_document(&admin(), objects, extent, None).await
}

fn keys(plan: &Plan) -> Vec<String> {
    plan.changes
        .iter()
        .map(|change| {
            let sign = if change.after.is_none() {
                '-'
            } else if change.before.is_none() {
                '+'
            } else {
                '~'
            };
            format!("{sign} {}", change.key)
        })
        .collect()
}

/// What it is, the document, what it speaks for, and what it changes.
type Case = (&'static str, Vec<(Key, Value)>, Extent, Vec<&'static str>);

#[tokio::test]
async fn only_what_differs_is_changed() {
    let bench = bench().await;
    let without = |id: &str| ground().into_iter().filter(|(key, _)| key.id != id).collect::<Vec<_>>();
    let with = |key: Key, value: Value| {
        let mut all: Vec<_> = ground().into_iter().filter(|(other, _)| *other != key).collect();
        all.push((key, value));
        all
    };
    let routes = |delete| Extent { kinds: vec![Kind::Route], delete, ..Extent::default() };
    let only = |kind| ground().into_iter().filter(|(key, _)| key.kind == kind).collect::<Vec<_>>();
    let timed = json!({ "id": 1, "uri": "/1", "upstream_id": "u", "labels": { "team": "pay" }, "create_time": 1, "update_time": 2 });
    let pay = Extent {
        labels: vec![("team".to_owned(), "pay".to_owned())],
        kinds: vec![Kind::Route],
        delete: true,
    };
    let cases: Vec<Case> = vec![
        ("the same", ground(), whole(), vec![]),
        ("the same with times and ids", with(route("1"), timed), whole(), vec![]),
        (
            "another uri",
            with(route("2"), json!({ "uri": "/3", "upstream_id": "u" })),
            whole(),
            vec!["~ route 2"],
        ),
        ("another secret", with(consumer("jack"), jack("jack", "new-key")), whole(), vec!["~ consumer jack"]),
        (
            "one more",
            with(route("3"), json!({ "uri": "/3", "upstream_id": "u" })),
            whole(),
            vec!["+ route 3"],
        ),
        ("one less", without("2"), whole(), vec!["- route 2"]),
        ("one less, nothing deleted", without("2"), Extent::default(), vec![]),
        (
            "a consumer less",
            without("jack").into_iter().filter(|(key, _)| key.kind != Kind::Credential).collect(),
            whole(),
            vec!["- consumer jack", "- credential jack/credentials/c"],
        ),
        (
            "a credential less",
            without("jack/credentials/c"),
            whole(),
            vec!["- credential jack/credentials/c"],
        ),
        ("only routes", only(Kind::Route), routes(true), vec![]),
        ("no route at all", vec![], routes(true), vec!["- route 1", "- route 2"]),
        ("no route of a team", vec![], pay, vec!["- route 1"]),
        ("nothing, nothing deleted", vec![], Extent::default(), vec![]),
    ];
    for (what, objects, extent, changes) in cases {
        match plan(&bench, objects, extent).await {
            Ok(plan) => assert_eq!(keys(&plan), changes, "{what}"),
            Err(ServiceError::NothingToChange(_)) => assert!(changes.is_empty(), "{what}"),
            Err(error) => panic!("{what}: {error}"),
        }
    }
}

#[tokio::test]
async fn what_a_reader_is_shown_can_be_given_back() {
    let bench = bench().await;
    let mut masked = Vec::new();
    for kind in Kind::ALL {
        let stored = bench.service.list(&viewer(), kind).await.unwrap();
        masked.extend(stored.into_iter().map(|stored| (stored.key, stored.value)));
    }
    assert_eq!(masked.len(), 6);
    assert!(matches!(plan(&bench, masked.clone(), whole()).await, Err(ServiceError::NothingToChange(_))));
    masked[0].1["uri"] = "/other".into();
    let plan = plan(&bench, masked, whole()).await.unwrap();
    let before = bench.bytes().await;
    bench.service.apply(&admin(), &plan.id, Approval::Client).await.unwrap();
    assert_eq!(bench.value(consumer("jack")).await["plugins"]["key-auth"]["key"], "jacks-key");
    let undo = bench.service.plan_undo(&admin(), None, None).await.unwrap();
    bench.service.apply(&admin(), &undo.id, Approval::Client).await.unwrap();
    assert_eq!(bench.bytes().await, before);
}

#[tokio::test]
async fn a_document_that_can_not_be_meant_is_refused() {
    let bench = bench().await;
    let twice = vec![(upstream("u"), nodes()), (upstream("u"), nodes())];
    let error = plan(&bench, twice, whole()).await.unwrap_err();
    assert!(error.to_string().contains("stands in the document twice"), "{error}");
    let routes = Extent { kinds: vec![Kind::Route], ..Extent::default() };
    let error = plan(&bench, vec![(upstream("v"), nodes())], routes).await.unwrap_err();
    assert!(error.to_string().contains("its kind is not among"), "{error}");
    let error = plan(
        &bench,
        vec![(route("1"), json!({ "id": "2", "uri": "/1", "upstream_id": "u" }))],
        Extent::default(),
    )
    .await;
    assert_eq!(error.unwrap_err().to_string(), "wrong route id");
    let many = (0..200_001).map(|at| (route(&at.to_string()), Value::Null)).collect();
    let error = plan(&bench, many, whole()).await.unwrap_err();
    assert!(error.to_string().contains("200001 objects"), "{error}");
    let error = bench.service.plan_document(&viewer(), ground(), whole(), None).await.unwrap_err();
    assert!(matches!(error, ServiceError::Forbidden(_)), "{error}");
}

fn rss_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_thousand_routes_are_imported_changed_and_taken_back() {
    const COUNT: usize = 100_000;
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::with(Arc::new(Embedded::open(folder.path()).unwrap()), Rules::default()).await;
    let who = Principal::new("ops", Role::Admin, Door::Cli);
    let table = |node: u16| -> Vec<(Key, Value)> {
        let routes = (0..COUNT).map(|at| {
            let limit = json!({ "limit-count": { "count": 10, "time_window": 60, "key": "remote_addr" } });
            let value = json!({ "uri": format!("/r/{at}/*"), "host": format!("h{}.example", at % 100), "upstream_id": "u", "plugins": limit });
            (route(&at.to_string()), value)
        });
        std::iter::once((upstream("u"), json!({ "nodes": { format!("127.0.0.1:{node}"): 1 } })))
            .chain(routes)
            .collect()
    };
    let calm = rss_kib();
    let document = table(8080);
    let begun = Instant::now();
    let plan = bench.service.plan_document(&who, document, whole(), None).await.unwrap();
    let planned = begun.elapsed();
    assert_eq!((plan.total, plan.steps, plan.changes.len()), (COUNT + 1, 1, 10_000));
    assert!(plan.text().len() < 400 << 10, "{} bytes of text", plan.text().len());
    bench.service.apply(&who, &plan.id, Approval::Client).await.unwrap();
    let applied = begun.elapsed();
    drop(plan);
    println!(
        "{COUNT} routes: planned in {planned:?}, applied in {:?}, {} MiB more",
        applied - planned,
        (rss_kib() - calm) >> 10
    );
    let begun = Instant::now();
    let nothing = bench.service.plan_document(&who, table(8080), whole(), None).await;
    assert!(matches!(nothing, Err(ServiceError::NothingToChange(_))));
    let plan = bench.service.plan_document(&who, table(8081), whole(), None).await.unwrap();
    assert_eq!(plan.total, 1);
    println!("the same again twice, one object changed: {:?}", begun.elapsed());
    let begun = Instant::now();
    let entry = bench.service.history(&who, HistoryQuery::default()).await.unwrap().remove(0);
    // A list tells of the first ones; an entry by itself of all, page by page.
    assert_eq!((entry.total, entry.changes.len()), (COUNT + 1, 10));
    let of_one = HistoryQuery { key: Some(route("77777")), ..HistoryQuery::default() };
    let entry = bench.service.history(&who, of_one).await.unwrap().remove(0);
    assert_eq!((entry.total, entry.changes.len(), &entry.changes[0].key), (COUNT + 1, 1, &route("77777")));
    println!("the history of it: {:?}", begun.elapsed());
    let begun = Instant::now();
    let undo = bench.service.plan_undo(&who, None, None).await.unwrap();
    assert_eq!((undo.total, undo.steps), (COUNT + 1, 1));
    bench.service.apply(&who, &undo.id, Approval::Client).await.unwrap();
    println!(
        "taken back in {:?}, {} MiB more than at the start",
        begun.elapsed(),
        (rss_kib().saturating_sub(calm)) >> 10
    );
    assert!(bench.bytes().await.is_empty());
}
