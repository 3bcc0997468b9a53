//! Whatever is applied can be taken back to the byte, and what was taken back can be brought again.

use std::cell::Cell;

use proptest::collection;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use usher_model::change::Edit;
use usher_model::kind::{Key, Kind};

use crate::bench::{
    Bench, agent, consumer, global_rule, gone, plugin_config, put, route, service, split, upstream, wanted,
};

fn id() -> impl Strategy<Value = String> {
    prop_oneof![Just("a".to_owned()), Just("b".to_owned()), Just("c".to_owned())]
}

/// Plugins with references, secrets and numbers.
fn plugins() -> impl Strategy<Value = Value> {
    (any::<bool>(), any::<bool>(), id(), any::<f64>()).prop_map(|(limit, caller, id, number)| {
        // 0 and -0 are one number, so that going from one to the other changes nothing that could be taken back.
        let number = number + 0.0;
        let mut plugins = json!({});
        if limit {
            plugins["limit-count"] = json!({ "count": 1, "time_window": 2, "x": number });
        }
        if caller {
            plugins["caller"] =
                json!({ "token": format!("t-{id}"), "brokers": [{ "host": "h", "password": id }] });
        }
        if limit && caller {
            plugins["traffic-split"] = split(&id)["traffic-split"].clone();
        }
        plugins
    })
}

fn value(kind: Kind) -> impl Strategy<Value = Value> {
    (id(), id(), plugins(), any::<[bool; 3]>()).prop_map(move |(one, two, plugins, flags)| match kind {
        Kind::Route => {
            let mut value = json!({ "name": two, "uri": format!("/{one}/*"), "plugins": plugins });
            for (flag, member) in flags.into_iter().zip(["upstream_id", "service_id", "plugin_config_id"]) {
                if flag {
                    value[member] = one.clone().into();
                }
            }
            value
        }
        Kind::Service if flags[0] => json!({ "upstream_id": one, "plugins": plugins }),
        Kind::Service => json!({ "plugins": plugins, "hosts": [format!("{two}.example")] }),
        Kind::Upstream => json!({ "nodes": { format!("{one}:80"): 1 }, "retry_timeout": 0.1 + f64::from(u8::from(flags[1])) }),
        Kind::Consumer | Kind::Credential => {
            json!({ "plugins": { "key-auth": { "key": format!("key-{one}{two}") } }, "desc": two })
        }
        Kind::PluginConfig | Kind::GlobalRule => json!({ "plugins": plugins }),
    })
}

fn edit() -> impl Strategy<Value = Edit> {
    (0..Kind::ALL.len(), id(), id(), 0..4_u8).prop_flat_map(|(kind, id, other, what)| {
        let kind = Kind::ALL[kind];
        let key = match kind {
            Kind::Route => route(&id),
            Kind::Service => service(&id),
            Kind::Upstream => upstream(&id),
            Kind::Consumer => consumer(&id),
            Kind::Credential => Key::credential(&id, &other),
            Kind::PluginConfig => plugin_config(&id),
            Kind::GlobalRule => global_rule(&id),
        };
        value(kind).prop_map(move |mut value| {
            if what == 0 {
                return gone(key.clone());
            }
            if kind == Kind::Consumer {
                value["username"] = key.id.clone().into();
            }
            put(key.clone(), value)
        })
    })
}

/// Every reference that a stored resource makes has to be there.
fn nothing_dangles(bytes: &[(String, Vec<u8>)]) {
    let has = |path: String| bytes.iter().any(|(key, _)| *key == path);
    for (key, value) in bytes {
        let value: Value = serde_json::from_slice(value).unwrap();
        for (member, kind) in [
            ("upstream_id", Kind::Upstream),
            ("service_id", Kind::Service),
            ("plugin_config_id", Kind::PluginConfig),
        ] {
            if let Some(id) = value.get(member).and_then(Value::as_str) {
                assert!(has(Key::new(kind, id).path()), "{key} refers to {member} {id}, which is gone");
            }
        }
        let key = Key::parse(key).unwrap();
        if key.kind == Kind::Credential {
            assert!(has(consumer(key.consumer().unwrap()).path()), "{key} has no consumer");
        }
    }
}

/// How many sets were applied, so that a test of nothing but refusals is noticed.
async fn walk(sets: Vec<Vec<Edit>>) -> u32 {
    let bench = Bench::new().await;
    // Something to refer to, so that many sets are good ones.
    let ground = ["a", "b"].into_iter().flat_map(|id| {
        [
            put(upstream(id), json!({ "nodes": {} })),
            put(service(id), json!({})),
            put(plugin_config(id), json!({ "plugins": {} })),
            put(consumer(id), json!({ "username": id })),
        ]
    });
    bench.service.write(&crate::bench::admin(), wanted(ground)).await.unwrap();
    let mut applied = 0;
    for set in sets {
        let before = bench.bytes().await;
        let revision = bench.service.revision();
        let Ok(plan) = bench.service.plan(&agent(), wanted(set)).await else {
            assert_eq!((bench.bytes().await, bench.service.revision()), (before, revision));
            continue;
        };
        assert_eq!(bench.bytes().await, before, "a plan changes nothing");
        let done = bench.agree(&plan).await.unwrap();
        let after = bench.bytes().await;
        nothing_dangles(&after);
        if before == after {
            continue;
        }
        let undo = bench.service.plan_undo(&agent(), Some(done.revision), None).await.unwrap();
        let undone = bench.agree(&undo).await.unwrap();
        assert_eq!(bench.bytes().await, before, "an undo brings the bytes back");
        let redo = bench.service.plan_undo(&agent(), Some(undone.revision), None).await.unwrap();
        bench.agree(&redo).await.unwrap();
        assert_eq!(bench.bytes().await, after, "an undo of an undo too");
        applied += 1;
    }
    applied
}

#[test]
fn an_undo_brings_the_very_bytes_back() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut runner = TestRunner::new(Config { cases: 1000, failure_persistence: None, ..Config::default() });
    let applied = Cell::new(0);
    let outcome = runner.run(&collection::vec(collection::vec(edit(), 1..4), 1..12), |sets| {
        applied.set(applied.get() + runtime.block_on(walk(sets)));
        Ok(())
    });
    assert!(outcome.is_ok(), "{outcome:?}");
    assert!(applied.get() > 300, "only {} sets were good ones", applied.get());
}
