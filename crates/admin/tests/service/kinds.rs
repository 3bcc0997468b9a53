//! The kinds beside routes: what is refused with which sentence, what is protected from deletion, and what a plan says of them.

use serde_json::{Value, json};
use usher_admin::service::Rules;
use usher_model::change::Risk;
use usher_model::kind::{Key, Kind};

use crate::bench::{
    Bench, admin, consumer, global_rule, gone, nodes, plugin_config, put, route, service, upstream, wanted,
};

fn key(kind: Kind, id: &str) -> Key {
    Key::new(kind, id)
}

fn certificate(name: &str) -> (String, String) {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

fn ssl(names: &[&str]) -> Value {
    let (cert, key) = certificate(names[0]);
    json!({ "snis": names, "cert": cert, "key": key })
}

fn client() -> Value {
    let (cert, key) = certificate("gateway");
    json!({ "type": "client", "cert": cert, "key": key })
}

async fn streams() -> Bench {
    Bench::with_rules(Rules { stream_mode: true, ..Rules::default() }).await
}

#[tokio::test]
async fn every_refusal_has_its_sentence() {
    let bench = Bench::new().await;
    bench.put(service("s"), json!({})).await.unwrap();
    bench.put(Key::cost_decoration("s", "d1"), json!({ "field_path": "Query.a" })).await.unwrap();
    for (key, value, wanted) in [
        (
            key(Kind::Consumer, "bob"),
            json!({ "username": "bob", "group_id": 9 }),
            "failed to fetch consumer group info by consumer group id [9], response code: 404",
        ),
        (
            key(Kind::PluginMetadata, "limit-cout"),
            json!({}),
            "invalid plugin name; did you mean limit-count?",
        ),
        (key(Kind::PluginMetadata, "zzz"), json!({}), "invalid plugin name"),
        (key(Kind::Secret, "other/1"), json!({}), "invalid secret manager: other"),
        (
            key(Kind::Secret, "vault/a b"),
            json!({ "uri": "http://v", "prefix": "kv", "token": "t" }),
            "invalid configuration: property \"id\" validation failed: failed to match pattern \"^(vault|aws|gcp)/[a-zA-Z0-9-_.]{1,64}$\" with \"vault/a b\"",
        ),
        (
            key(Kind::Secret, "vault/1"),
            json!({ "uri": "http://v", "prefix": "kv" }),
            "invalid configuration: property \"token\" is required",
        ),
        (key(Kind::StreamRoute, "1"), json!({}), "stream mode is disabled, can not add stream routes"),
        (
            Key::cost_decoration("s", "d2"),
            json!({ "field_path": "Query.a" }),
            "field_path Query.a is already decorated on this service by [d1]",
        ),
        (
            Key::cost_decoration("s", "d2"),
            json!({ "field_path": "Query.b", "service_id": "t" }),
            "wrong service_id, it is taken from the path",
        ),
        (Key::cost_decoration("t", "d1"), json!({ "field_path": "Query.a" }), "service t does not exist"),
        (
            key(Kind::Proto, "1"),
            json!({ "content": "syntax = \"proto3\"; message A { B b = 1; }" }),
            "invalid content: content.proto:1:32: name 'B' is not defined",
        ),
        (
            key(Kind::Ssl, "1"),
            json!({ "sni": "a.example", "cert": "x".repeat(128), "key": "y".repeat(128) }),
            "failed to parse cert: it holds no certificate in PEM, which begins with -----BEGIN CERTIFICATE-----",
        ),
        (
            key(Kind::ConsumerGroup, "g"),
            json!({ "plugins": { "limit-cout": {} } }),
            "unknown plugin [limit-cout]; did you mean limit-count?",
        ),
    ] {
        assert_eq!(bench.refusal(key, value).await, wanted);
    }
    let mut old = ssl(&["a.example"]);
    old["ssl_protocols"] = json!(["TLSv1.1"]);
    assert!(
        bench
            .refusal(key(Kind::Ssl, "1"), old)
            .await
            .contains("`ssl_protocols` \"TLSv1.1\" is not supported")
    );
}

#[tokio::test]
async fn stream_routes_are_judged_where_they_are_served() {
    let bench = streams().await;
    bench
        .put(key(Kind::StreamRoute, "1"), json!({ "server_port": 9100, "upstream": nodes() }))
        .await
        .unwrap();
    for (value, wanted) in [
        (json!({ "upstream_id": 9 }), "failed to fetch upstream info by upstream id [9], response code: 404"),
        (json!({ "service_id": 9 }), "failed to fetch service info by service id [9], response code: 404"),
        (json!({ "plugins": { "limit-count": {} } }), "unknown plugin [limit-count]"),
        (json!({ "protocol": { "name": "redis" } }), "unknown protocol [redis]"),
        (
            json!({ "protocol": { "name": "redis", "superior_id": "9" } }),
            "failed to fetch stream routes[9], response code: 404",
        ),
        (
            json!({ "protocol": { "name": "redis", "superior_id": "2" } }),
            "stream route can not set itself as superior_id",
        ),
        (json!({ "server_addr": ":/8" }), "invalid server_addr: :/8"),
        (
            json!({ "upstream": { "nodes": { "169.254.169.254:80": 1 } } }),
            "the upstream node 169.254.169.254:80 is refused: it is a link-local or cloud metadata address; name a server of your own",
        ),
    ] {
        assert_eq!(bench.refusal(key(Kind::StreamRoute, "2"), value).await, wanted);
    }
}

/// What an APISIX beside us may have stored, past every check.
async fn stored(bench: &Bench, key: &Key, value: &Value) {
    let transaction = usher_store::Transaction::default().put(key.path(), serde_json::to_vec(value).unwrap());
    bench.store.commit(transaction).await.unwrap();
}

#[tokio::test]
async fn what_is_used_can_not_be_deleted_unless_forced() {
    let split = |id: &str| crate::bench::split(id);
    let proto = json!({ "content": "message A {}" });
    let group = json!({ "plugins": {} });
    let transcode = json!({ "grpc-transcode": { "proto_id": "p" } });
    for (kind, value, user, refers, wanted) in [
        (
            Kind::Upstream,
            nodes(),
            consumer("bob"),
            json!({ "username": "bob", "plugins": split("p") }),
            "can not delete this upstream, plugin in consumer [bob] is still using it now",
        ),
        (
            Kind::Upstream,
            nodes(),
            key(Kind::ConsumerGroup, "g"),
            json!({ "plugins": split("p") }),
            "can not delete this upstream, plugin in consumer_group [g] is still using it now",
        ),
        (
            Kind::Upstream,
            nodes(),
            plugin_config("c"),
            json!({ "plugins": split("p") }),
            "can not delete this upstream, plugin in plugin_config [c] is still using it now",
        ),
        (
            Kind::Upstream,
            nodes(),
            global_rule("r"),
            json!({ "plugins": split("p") }),
            "can not delete this upstream, plugin in global_rules [r] is still using it now",
        ),
        (
            Kind::Upstream,
            nodes(),
            key(Kind::StreamRoute, "1"),
            json!({ "upstream_id": "p" }),
            "can not delete this upstream, stream_route [1] is still using it now",
        ),
        (
            Kind::Service,
            json!({}),
            key(Kind::StreamRoute, "1"),
            json!({ "service_id": "p" }),
            "can not delete this service directly, stream_route [1] is still using it now",
        ),
        (
            Kind::ConsumerGroup,
            group,
            consumer("bob"),
            json!({ "username": "bob", "group_id": "p" }),
            "can not delete this consumer group, consumer [bob] is still using it now",
        ),
        (
            Kind::Proto,
            proto.clone(),
            route("1"),
            json!({ "uri": "/a", "plugins": transcode }),
            "can not delete this proto, route [1] is still using it now",
        ),
        (
            Kind::Proto,
            proto,
            service("s"),
            json!({ "plugins": transcode }),
            "can not delete this proto, service [s] is still using it now",
        ),
        (
            Kind::Ssl,
            client(),
            upstream("u"),
            json!({ "nodes": {}, "tls": { "client_cert_id": "p" } }),
            "can not delete this ssl, upstream [u] is still using it now",
        ),
        (
            Kind::Ssl,
            client(),
            route("1"),
            json!({ "uri": "/a", "upstream": { "nodes": {}, "tls": { "client_cert_id": "p" } } }),
            "can not delete this ssl, route [1] is still using it now",
        ),
        (
            Kind::StreamRoute,
            json!({}),
            key(Kind::StreamRoute, "2"),
            json!({ "protocol": { "name": "redis", "superior_id": "p" } }),
            "can not delete this stream route directly, stream route [2] is still using it as superior_id",
        ),
    ] {
        let bench = streams().await;
        bench.put(key(kind, "p"), value).await.unwrap();
        stored(&bench, &user, &refers).await;
        assert_eq!(bench.delete(key(kind, "p")).await.unwrap_err().to_string(), wanted);
        let mut forced = wanted_gone(key(kind, "p"));
        forced.force = true;
        let applied = bench.service.write(&admin(), forced).await.unwrap();
        assert!(
            applied.warnings.iter().any(|warning| warning.contains("still refers to")),
            "{:?}",
            applied.warnings
        );
    }
}

fn wanted_gone(key: Key) -> usher_admin::service::Wanted {
    wanted([gone(key)])
}

#[tokio::test]
async fn a_certificate_of_a_client_is_asked_for_by_its_sort() {
    let bench = Bench::new().await;
    bench.put(key(Kind::Ssl, "server"), ssl(&["a.example"])).await.unwrap();
    let told = |id: &str| {
        bench.refusal(
            upstream("u"),
            json!({ "nodes": {}, "scheme": "https", "tls": { "client_cert_id": id } }),
        )
    };
    assert_eq!(told("server").await, "failed to fetch ssl info by ssl id [server], wrong ssl type");
    assert_eq!(told("9").await, "failed to fetch ssl info by ssl id [9], response code: 404");
    bench.put(key(Kind::Ssl, "c"), client()).await.unwrap();
    let inline = json!({ "uri": "/a", "upstream": { "nodes": {}, "scheme": "https", "tls": { "client_cert_id": "c" } } });
    bench.put(route("1"), inline).await.unwrap();
    let told = bench.refusal(key(Kind::Ssl, "c"), ssl(&["c.example"])).await;
    assert!(
        told.starts_with("can not change the type of this ssl from client, route [1] is still using it"),
        "{told}"
    );
    bench.put(key(Kind::Ssl, "c"), client()).await.unwrap();
    bench.put(route("1"), json!({ "uri": "/a", "upstream": { "nodes": {} } })).await.unwrap();
    bench.put(key(Kind::Ssl, "c"), ssl(&["c.example"])).await.unwrap();
}

#[tokio::test]
async fn a_service_takes_its_cost_decorations_along_and_an_undo_brings_them_back() {
    let bench = Bench::new().await;
    bench.put(service("s"), json!({})).await.unwrap();
    bench.put(service("other"), json!({})).await.unwrap();
    let own = Key::cost_decoration("s", "d1");
    bench.put(own.clone(), json!({ "field_path": "Query.a", "mul_arguments": ["first"] })).await.unwrap();
    bench.put(Key::cost_decoration("other", "d1"), json!({ "field_path": "Query.a" })).await.unwrap();
    let value = bench.value(own.clone()).await;
    assert_eq!((&value["id"], &value["service_id"]), (&json!("d1"), &json!("s")));
    bench.put(own.clone(), json!({ "field_path": "Query.b" })).await.unwrap();
    let before = bench.value(own.clone()).await;
    let deleted = bench.delete(service("s")).await.unwrap();
    assert_eq!(deleted.changes.len(), 2);
    assert!(bench.service.get(&admin(), &own).await.unwrap().is_none());
    assert!(bench.service.get(&admin(), &Key::cost_decoration("other", "d1")).await.unwrap().is_some());
    let undo = bench.service.plan_undo(&admin(), None, None).await.unwrap();
    bench
        .service
        .apply(&admin(), &undo.id, usher_admin::service::Approval::Person("test".to_owned()))
        .await
        .unwrap();
    assert_eq!(bench.value(own).await, before);
}

#[tokio::test]
async fn metadata_gets_its_id_and_no_times() {
    let bench = Bench::new().await;
    let key = key(Kind::PluginMetadata, "limit-count");
    bench.put(key.clone(), json!({ "log_format": { "a": "$host" } })).await.unwrap();
    assert_eq!(bench.value(key).await, json!({ "id": "limit-count", "log_format": { "a": "$host" } }));
}

#[tokio::test]
async fn a_name_that_is_no_longer_served_is_a_high_risk_and_a_warning() {
    let bench = Bench::new().await;
    let both = ssl(&["a.example", "b.example"]);
    let told = bench.put(key(Kind::Ssl, "1"), both.clone()).await.unwrap();
    assert_eq!(told.warnings, ["ssl 1 has a certificate that is not for b.example: clients refuse it there"]);
    let mut one = both.clone();
    one["snis"] = json!(["a.example"]);
    let mut off = both.clone();
    off["status"] = json!(0);
    let mut asks = both.clone();
    asks["client"] = json!({ "ca": both["cert"] });
    for (after, wanted) in [
        (Some(one), "ssl 1 no longer serves b.example: TLS clients that ask for it lose its certificate"),
        (
            Some(off),
            "ssl 1 no longer serves a.example, b.example: TLS clients that ask for it lose its certificate",
        ),
        (
            None,
            "ssl 1 no longer serves a.example, b.example: TLS clients that ask for it lose its certificate",
        ),
    ] {
        let plan = bench.plan([usher_model::change::Edit { key: key(Kind::Ssl, "1"), after }]).await.unwrap();
        assert_eq!(plan.risk, Risk::High);
        assert!(plan.warnings.iter().any(|warning| warning == wanted), "{:?}", plan.warnings);
        assert_eq!(plan.affected, ["ssl 1: TLS clients of a.example, b.example"]);
        let text = plan.text();
        assert!(!text.contains("BEGIN"), "{text}");
        let whole = plan.changes[0].after.is_none();
        assert_eq!(text.contains("of a.example, until 4096-01-01"), whole, "{text}");
    }
    bench.put(key(Kind::Ssl, "1"), asks).await.unwrap();
    let plan = bench.plan([put(key(Kind::Ssl, "1"), both)]).await.unwrap();
    assert_eq!(plan.risk, Risk::High);
    assert!(
        plan.warnings.iter().any(|warning| warning.contains("no longer asks TLS clients")),
        "{:?}",
        plan.warnings
    );
}

#[tokio::test]
async fn a_certificate_that_ends_is_told() {
    let bench = Bench::new().await;
    let made = |days: i64| {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(["a.example".to_owned()]).unwrap();
        let now = std::time::SystemTime::now();
        let day = std::time::Duration::from_secs(86_400);
        params.not_before = (now - 400 * day).into();
        let far = day * u32::try_from(days.abs()).unwrap();
        params.not_after = if days < 0 { now - far } else { now + far }.into();
        let cert = params.self_signed(&key).unwrap();
        json!({ "sni": "a.example", "cert": cert.pem(), "key": key.serialize_pem() })
    };
    for (days, wanted) in [(-2, "expired on"), (10, "expires soon, on")] {
        let told = bench.put(key(Kind::Ssl, "1"), made(days)).await.unwrap().warnings;
        assert!(told.len() == 1 && told[0].contains(wanted), "{told:?}");
    }
    assert!(bench.put(key(Kind::Ssl, "1"), made(90)).await.unwrap().warnings.is_empty());
}

#[tokio::test]
async fn who_takes_secrets_from_a_manager_is_told_when_it_goes_and_when_it_is_missing() {
    let bench = Bench::new().await;
    let vault = json!({ "uri": "http://vault.example:8200", "prefix": "kv", "token": "canary-token" });
    let uses = json!({ "uri": "/a", "upstream": nodes(), "plugins": { "caller": { "token": "$secret://vault/1/caller/token" } } });
    let told = bench.put(route("1"), uses.clone()).await.unwrap().warnings;
    assert!(
        told.iter()
            .any(|warning| warning
                .contains("plugins.caller.token refers to secret vault/1, which is not there")),
        "{told:?}"
    );
    bench.put(key(Kind::Secret, "vault/1"), vault).await.unwrap();
    assert!(bench.put(route("1"), uses).await.unwrap().warnings.is_empty());
    let plan = bench.plan([gone(key(Kind::Secret, "vault/1"))]).await.unwrap();
    assert_eq!(plan.risk, Risk::High);
    assert_eq!(plan.warnings, ["route 1 takes secrets from secret vault/1 and will not find them"]);
    assert_eq!(plan.affected, ["route 1: /a"]);
    let broken =
        json!({ "uri": "/a", "upstream": nodes(), "plugins": { "caller": { "token": "$secret://vault" } } });
    let told = bench.put(route("2"), broken).await.unwrap().warnings;
    assert!(told.iter().any(|warning| warning.contains("names no id of a secret manager")), "{told:?}");
}

#[tokio::test]
async fn a_group_reaches_its_consumers_and_metadata_every_use_of_its_plugin() {
    let bench = Bench::new().await;
    let limit = |count: u32| json!({ "plugins": { "limit-count": { "count": count, "time_window": 60 } } });
    bench.put(key(Kind::ConsumerGroup, "g"), limit(1)).await.unwrap();
    for name in ["ann", "bob"] {
        bench.put(consumer(name), json!({ "username": name, "group_id": "g" })).await.unwrap();
    }
    let plan = bench.plan([put(key(Kind::ConsumerGroup, "g"), limit(2))]).await.unwrap();
    assert_eq!(plan.risk, Risk::Medium);
    assert_eq!(
        plan.affected,
        ["consumer ann: requests with its credentials", "consumer bob: requests with its credentials"]
    );
    bench.put(service("s"), limit(1)).await.unwrap();
    bench.put(route("1"), json!({ "uri": "/a", "service_id": "s", "upstream": nodes() })).await.unwrap();
    let plan = bench.plan([put(key(Kind::PluginMetadata, "limit-count"), json!({ "a": 1 }))]).await.unwrap();
    assert_eq!(plan.affected, ["route 1: /a", "plugin_metadata limit-count: every use of that plugin"]);
}

#[tokio::test]
async fn private_keys_and_tokens_come_out_nowhere() {
    let bench = Bench::new().await;
    let pair = ssl(&["a.example"]);
    let pem = pair["key"].as_str().unwrap().to_owned();
    let mut both = pair.clone();
    both["certs"] = json!([pair["cert"]]);
    both["keys"] = json!([pem]);
    let aws = json!({ "access_key_id": "canary-id", "secret_access_key": "canary-key", "session_token": "canary-session" });
    let account = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap().serialize_pem();
    let gcp = json!({ "auth_config": { "client_email": "a@b", "private_key": account, "project_id": "p" } });
    let edits = [
        put(key(Kind::Ssl, "1"), both),
        put(key(Kind::Secret, "aws/1"), aws.clone()),
        put(key(Kind::Secret, "gcp/1"), gcp),
        put(
            key(Kind::Secret, "vault/1"),
            json!({ "uri": "http://v", "prefix": "kv", "token": "canary-token" }),
        ),
    ];
    let plan = bench.plan(edits).await.unwrap();
    let secrets = ["canary-", pem.lines().nth(1).unwrap(), account.lines().nth(1).unwrap()];
    let holds = |text: &str| secrets.iter().any(|secret| text.contains(secret));
    let clean = |text: &str| assert!(!holds(text), "{text}");
    clean(&plan.text());
    clean(&format!("{plan:?}"));
    bench.agree(&plan).await.unwrap();
    for (path, bytes) in bench.bytes().await {
        let text = String::from_utf8(bytes).unwrap();
        assert!(!holds(&text), "{path}");
    }
    // A manager's tokens are the admin's to see, private keys nobody's.
    assert_eq!(bench.value(key(Kind::Secret, "aws/1")).await["secret_access_key"], aws["secret_access_key"]);
    let shown = bench.value(key(Kind::Ssl, "1")).await;
    assert!(
        shown["key"].as_str().unwrap().starts_with("***")
            && shown["keys"][0].as_str().unwrap().starts_with("***")
    );
    // What is read can be written back: the masks keep the keys.
    let mut again = shown;
    again.as_object_mut().unwrap().retain(|name, _| name != "create_time" && name != "update_time");
    bench.put(key(Kind::Ssl, "1"), again).await.unwrap();
}

#[tokio::test]
async fn a_new_key_takes_over_and_the_history_still_goes_back() {
    use usher_admin::service::Approval;
    use usher_model::seal::Keyring;

    let (_, old) = Keyring::generate().unwrap();
    let (_, new) = Keyring::generate().unwrap();
    let store: std::sync::Arc<dyn usher_store::Store> =
        std::sync::Arc::new(usher_store::memory::Memory::new());
    let started = |keys: Vec<Vec<u8>>| {
        let ring = std::sync::Arc::new(Keyring::new(&keys).unwrap());
        Bench::started(std::sync::Arc::clone(&store), Rules::default(), ring)
    };
    let bench = started(vec![old.clone()]).await;
    bench.put(consumer("jack"), crate::bench::jack("jack", "one")).await.unwrap();
    bench.put(consumer("jack"), crate::bench::jack("jack", "two")).await.unwrap();
    let bench = started(vec![new.clone(), old]).await;
    assert_eq!(bench.service.older_seals(&admin()).await.unwrap().len(), 3);
    assert_eq!(bench.service.seal_anew(&admin()).await.unwrap(), 3);
    assert!(bench.service.older_seals(&admin()).await.unwrap().is_empty());
    assert!(bench.service.seal_anew(&crate::bench::agent()).await.is_err());
    let bench = started(vec![new]).await;
    assert_eq!(bench.value(consumer("jack")).await["plugins"]["key-auth"]["key"], "two");
    let undo = bench.service.plan_undo(&admin(), None, None).await.unwrap();
    bench.service.apply(&admin(), &undo.id, Approval::Person("test".to_owned())).await.unwrap();
    assert_eq!(bench.value(consumer("jack")).await["plugins"]["key-auth"]["key"], "one");
}
