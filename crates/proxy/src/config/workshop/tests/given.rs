//! What objects are given from elsewhere: plugins their metadata, upstreams the certificates that they show.

use std::sync::Arc;

use serde_json::{Value, json};

use super::plugins;
use crate::config::trial::{Trial, marks};

#[tokio::test]
async fn an_edit_of_a_plugins_metadata_rebuilds_whatever_uses_the_plugin() {
    let trial = Trial::start().await;
    let told = json!({ "plugins": { "told": {} } });
    trial.put("services/s", told.clone()).await;
    trial.put("global_rules/g", told.clone()).await;
    trial.put("routes/1", json!({ "uri": "/a", "service_id": "s" })).await;
    trial.put("routes/2", json!({ "uri": "/b", "plugins": { "told": {} } })).await;
    trial.put("routes/3", json!({ "uri": "/c", "plugins": plugins("x", "") })).await;
    let other = trial.taken("/c").unwrap();
    let all = || {
        let rule = marks(&trial.shared.current().global_rules()[0].pipeline);
        [trial.marks("/a"), trial.marks("/b"), rule]
    };
    assert_eq!(all(), ["told=nothing"; 3]);
    trial.put("plugin_metadata/told", json!({ "text": "one" })).await;
    assert_eq!(all(), ["told=one"; 3]);
    // A secret in it is followed too, and what it isn't good for keeps the last good version.
    trial.put("plugin_metadata/told", json!({ "text": "$env://PATH" })).await;
    assert_eq!(all(), [(); 3].map(|()| format!("told={}", std::env::var("PATH").unwrap())));
    trial.put("plugin_metadata/told", json!({ "text": "two" })).await;
    trial.put("plugin_metadata/told", json!({ "text": 7 })).await;
    assert_eq!(all(), ["told=two"; 3]);
    let problems = trial.problems();
    assert_eq!(problems.len(), 3, "{problems:?}");
    assert!(problems[0].1.contains("its metadata (plugin_metadata/told) can't be used"), "{problems:?}");
    trial.delete("plugin_metadata/told").await;
    assert_eq!((all(), trial.problems()), (["told=nothing"; 3].map(str::to_owned), Vec::new()));
    assert!(Arc::ptr_eq(&other, &trial.taken("/c").unwrap()));
}

fn pair() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(vec!["usher".to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

#[tokio::test]
async fn an_upstream_shows_the_certificate_of_an_ssl_object_and_follows_it() {
    let trial = Trial::start().await;
    let ssl = |(cert, key): &(String, String), more: Value| {
        let mut ssl = json!({ "type": "client", "cert": cert, "key": key });
        usher_model::patch::merge(&mut ssl, &more);
        ssl
    };
    let upstream = |id: Value| json!({ "nodes": { "localhost:443": 1 }, "scheme": "https", "tls": { "client_cert_id": id } });
    let (one, two) = (pair(), pair());
    trial.put("upstreams/u", upstream(7.into())).await;
    let problem = |trial: &Trial| trial.problems().first().map(|(_, reason)| reason.clone());
    assert_eq!(problem(&trial).unwrap(), "the ssl 7, which `tls.client_cert_id` names, does not exist");
    trial.put("ssls/7", ssl(&one, json!({}))).await;
    assert_eq!(problem(&trial), None);
    trial.put("services/s", json!({ "upstream": upstream("7".into()) })).await;
    trial.put("routes/1", json!({ "uri": "/a", "service_id": "s" })).await;
    let of_u = || Arc::clone(trial.shared.current().upstream("u").unwrap());
    let of_route = || match &trial.taken("/a").unwrap().upstream {
        crate::config::Origin::Own(upstream) => Arc::clone(upstream),
        _ => panic!("no upstream of its own"),
    };
    let before = (of_u(), of_route());
    assert_eq!(before.0.spec.tls.client_cert.as_deref(), Some(one.0.as_str()));
    assert_eq!(before.0.pool, before.1.pool, "the same certificate, the same connections");
    trial.put("ssls/7", ssl(&two, json!({}))).await;
    for (now, before) in [(of_u(), before.0), (of_route(), before.1)] {
        assert_eq!(now.spec.tls.client_cert.as_deref(), Some(two.0.as_str()));
        assert!(
            now.pool != before.pool && !Arc::ptr_eq(now.tls.as_ref().unwrap(), before.tls.as_ref().unwrap())
        );
    }
    for (more, wrong) in [
        (json!({ "type": "server", "sni": "a.test" }), "is not of the type \"client\""),
        (json!({ "status": 0 }), "is switched off"),
        (json!({ "key": one.1 }), "don't fit together"),
    ] {
        trial.put("ssls/7", ssl(&two, more)).await;
        assert!(problem(&trial).unwrap().contains(wrong), "{:?}", trial.problems());
        assert_eq!(of_u().spec.tls.client_cert.as_deref(), Some(two.0.as_str()), "the last good one");
    }
    trial.delete("ssls/7").await;
    assert!(problem(&trial).unwrap().contains("does not exist"));
    trial.put("ssls/7", ssl(&one, json!({}))).await;
    assert_eq!((problem(&trial), of_u().spec.tls.client_cert.as_deref()), (None, Some(one.0.as_str())));
}
