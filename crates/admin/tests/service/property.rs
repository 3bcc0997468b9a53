//! Whatever is applied can be taken back to the byte, and what was taken back can be brought again.

use std::cell::Cell;
use std::collections::BTreeMap;

use proptest::collection;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use usher_admin::service::{Applied, Approval, Extent, Plan, ServiceError};
use usher_model::change::{Door, Edit, Principal, Role};
use usher_model::kind::{Key, Kind};
use usher_model::scope::Scope;

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
        _ => json!({ "plugins": plugins }),
    })
}

fn edit() -> impl Strategy<Value = Edit> {
    (0..=Kind::GlobalRule as usize, id(), id(), 0..4_u8).prop_flat_map(|(kind, id, other, what)| {
        let kind = Kind::ALL[kind];
        let key = match kind {
            Kind::Route => route(&id),
            Kind::Service => service(&id),
            Kind::Upstream => upstream(&id),
            Kind::Consumer => consumer(&id),
            Kind::Credential => Key::credential(&id, &other),
            Kind::PluginConfig => plugin_config(&id),
            _ => global_rule(&id),
        };
        let team = other.clone();
        value(kind).prop_map(move |mut value| {
            if what == 0 {
                return gone(key.clone());
            }
            if kind != Kind::GlobalRule {
                value["labels"] = json!({ "team": team });
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

/// How a set is wanted.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// As edits, by an agent.
    Edits,
    /// As a document of the kinds in it, with what it lacks deleted or not.
    Document(bool),
    /// As edits, by somebody who may change only what carries the label `team=a`.
    Scoped,
}

fn way() -> impl Strategy<Value = Way> {
    prop_oneof![
        4 => Just(Way::Edits),
        1 => Just(Way::Document(true)),
        1 => Just(Way::Document(false)),
        2 => Just(Way::Scoped)
    ]
}

impl Way {
    fn who(self) -> Principal {
        match self {
            Self::Edits => agent(),
            Self::Document(_) => Principal::new("files", Role::Editor, Door::Cli),
            Self::Scoped => Principal::new("team", Role::Editor, Door::Cli)
                .within(Scope { labels: vec!["team=a".to_owned()], ..Scope::ALL }),
        }
    }

    async fn plan(self, bench: &Bench, set: Vec<Edit>) -> Result<Plan, ServiceError> {
        let Self::Document(delete) = self else { return bench.service.plan(&self.who(), wanted(set)).await };
        let kinds = set.iter().map(|edit| edit.key.kind).collect();
        let objects: BTreeMap<Key, Value> =
            set.into_iter().filter_map(|edit| Some((edit.key, edit.after?))).collect();
        let extent = Extent { kinds, delete, ..Extent::default() };
        bench.service.plan_document(&self.who(), objects.into_iter().collect(), extent, None).await
    }

    async fn apply(self, bench: &Bench, plan: &Plan) -> Applied {
        let approval = Approval::Person("asked in a test".to_owned());
        bench.service.apply(&self.who(), &plan.id, approval).await.unwrap()
    }
}

/// Whoever is bound to a label changes nothing that lacks it, before or after. A credential lies where its consumer does.
fn stays_inside(plan: &Plan) {
    for change in plan.changes.iter().filter(|change| change.key.kind != Kind::Credential) {
        for value in [&change.before, &change.after].into_iter().flatten() {
            assert_eq!(value["labels"]["team"], "a", "{}", change.key);
        }
    }
}

/// How many sets were applied each way, so that a test of nothing but refusals is noticed.
async fn walk(sets: Vec<(Way, Vec<Edit>)>) -> [u32; 3] {
    let bench = Bench::new().await;
    // Something to refer to, so that many sets are good ones.
    let ground = ["a", "b"].into_iter().flat_map(|id| {
        let labels = json!({ "team": id });
        [
            put(upstream(id), json!({ "nodes": {}, "labels": labels })),
            put(service(id), json!({ "labels": labels })),
            put(plugin_config(id), json!({ "plugins": {}, "labels": labels })),
            put(consumer(id), json!({ "username": id, "labels": labels })),
        ]
    });
    bench.service.write(&crate::bench::admin(), wanted(ground)).await.unwrap();
    let mut applied = [0; 3];
    for (way, set) in sets {
        let before = bench.bytes().await;
        let Ok(plan) = way.plan(&bench, set).await else {
            assert_eq!(bench.bytes().await, before);
            continue;
        };
        assert_eq!(bench.bytes().await, before, "a plan changes nothing");
        if let Way::Scoped = way {
            stays_inside(&plan);
        }
        let done = way.apply(&bench, &plan).await;
        let after = bench.bytes().await;
        nothing_dangles(&after);
        if before == after {
            continue;
        }
        let back = async |revision| bench.service.plan_undo(&way.who(), Some(revision), None).await.unwrap();
        let undone = way.apply(&bench, &back(done.revision).await).await;
        assert_eq!(bench.bytes().await, before, "an undo brings the bytes back");
        way.apply(&bench, &back(undone.revision).await).await;
        assert_eq!(bench.bytes().await, after, "an undo of an undo too");
        let counted = match way {
            Way::Edits => &mut applied[0],
            Way::Document(_) => &mut applied[1],
            Way::Scoped => &mut applied[2],
        };
        *counted += 1;
    }
    applied
}

#[test]
fn an_undo_brings_the_very_bytes_back() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut runner = TestRunner::new(Config { cases: 1000, failure_persistence: None, ..Config::default() });
    let applied = Cell::new([0; 3]);
    let outcome = runner.run(&collection::vec((way(), collection::vec(edit(), 1..4)), 1..12), |sets| {
        let counts = runtime.block_on(walk(sets));
        let sum = applied.get();
        applied.set([sum[0] + counts[0], sum[1] + counts[1], sum[2] + counts[2]]);
        Ok(())
    });
    assert!(outcome.is_ok(), "{outcome:?}");
    let [edits, documents, scoped] = applied.get();
    assert!(edits > 300 && documents > 100 && scoped > 30, "only {:?} sets were good ones", applied.get());
}
