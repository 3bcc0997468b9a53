//! Secrets that are kept elsewhere: who may have them read, and who may say where they are looked up.

use serde_json::json;
use usher_admin::service::ServiceError;
use usher_model::change::{Door, Edit, Principal, Risk, Role};
use usher_model::kind::{Key, Kind};
use usher_model::scope::Scope;

use crate::bench::{Bench, admin, agent, consumer, jack, nodes, plugin, put, route, wanted};

fn reading(secret: &str) -> Edit {
    let plugins = json!({ "caller": { "token": secret } });
    put(
        route("1"),
        json!({ "uri": "/a", "labels": { "team": "a" }, "upstream": nodes(), "plugins": plugins }),
    )
}

#[tokio::test]
async fn an_agent_needs_a_person_to_have_a_secret_read() {
    let bench = Bench::new().await;
    let plan = bench.service.plan(&agent(), wanted([reading("$env://HOME")])).await.unwrap();
    assert_eq!((plan.risk, plan.needs_person), (Risk::High, true), "{:?}", plan.reasons);
    assert!(plan.reasons.iter().any(|reason| reason.contains("$env://HOME")), "{:?}", plan.reasons);
    // What was agreed to once is not asked again for an edit beside it.
    bench.service.write(&admin(), wanted([reading("$env://HOME")])).await.unwrap();
    let mut edit = reading("$env://HOME");
    if let Some(value) = &mut edit.after {
        value["desc"] = "the same".into();
    }
    let plan = bench.service.plan(&agent(), wanted([edit])).await.unwrap();
    assert!(!plan.needs_person, "{:?}", plan.reasons);
}

#[tokio::test]
async fn an_agent_needs_a_person_to_say_where_secrets_are_looked_up() {
    let bench = Bench::new().await;
    let vault = json!({ "uri": "http://127.0.0.1:8200", "prefix": "kv/apisix", "token": "a token" });
    let manager = put(Key::new(Kind::Secret, "vault/1"), vault);
    let plan = bench.service.plan(&agent(), wanted([manager])).await.unwrap();
    assert_eq!((plan.risk, plan.needs_person), (Risk::High, true), "{:?}", plan.reasons);
}

#[tokio::test]
async fn a_scope_reaches_no_secret_that_is_kept_elsewhere() {
    let bench = Bench::new().await;
    let scope = Scope { labels: vec!["team=a".to_owned()], ..Scope::ALL };
    let who = Principal::new("a", Role::Editor, Door::Cli).within(scope);
    bench.service.plan(&who, wanted([reading("plain")])).await.unwrap();
    // Nor does a door that asks for no key.
    for who in [who, plugin()] {
        let refused = bench.service.plan(&who, wanted([reading("$env://HOME")])).await.unwrap_err();
        assert!(matches!(refused, ServiceError::Forbidden(_)), "{refused}");
    }
}

#[tokio::test]
async fn what_tells_consumers_apart_may_be_kept_elsewhere() {
    let bench = Bench::new().await;
    // cargo tells every test the name of its package.
    let (reference, known) = ("$env://CARGO_PKG_NAME", std::env::var("CARGO_PKG_NAME").unwrap());
    let plan = bench.plan([put(consumer("jack"), jack("jack", reference))]).await.unwrap();
    assert!(plan.warnings.iter().any(|told| told.contains("tells consumers apart")), "{:?}", plan.warnings);
    bench.agree(&plan).await.unwrap();
    let told = "duplicate key of plugin key-auth found with consumer: jack";
    assert_eq!(bench.refusal(consumer("jill"), jack("jill", reference)).await, told);
    assert_eq!(bench.refusal(consumer("jill"), jack("jill", &known)).await, told);
    // The other way round, and what nobody here can look up.
    bench.put(consumer("jack"), jack("jack", &known)).await.unwrap();
    assert_eq!(bench.refusal(consumer("jill"), jack("jill", reference)).await, told);
    let managed = jack("jill", "$secret://vault/1/jill/key");
    let applied = bench.put(consumer("jill"), managed).await.unwrap();
    assert!(
        applied.warnings.iter().any(|told| told.contains("tells consumers apart")),
        "{:?}",
        applied.warnings
    );
}
