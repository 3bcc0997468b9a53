//! Every path of the Admin API without a key: 401, but for those that are public, each with its reason.
//!
//! The key is asked for before the path's kind is looked at, so that a new one can't forget to; this walks all of them, in the spellings that
//! once led around such checks elsewhere.

use serde_json::json;
use usher_admin::http::Form;
use usher_model::kind::Kind;

use crate::bench::Bench;

/// What answers without a key, and why that tells nobody anything.
const PUBLIC: [(&str, &str, u16, &str); 3] = [
    ("HEAD", "", 200, "APISIX's way to ask whether an Admin API listens; an empty answer"),
    ("GET", "", 404, "no path of the API; the same page as anywhere else"),
    ("OPTIONS", "/routes", 404, "no method of the API; a preflight gets no CORS headers and so is refused"),
];

fn paths() -> Vec<String> {
    let mut paths = vec![];
    for kind in Kind::ALL {
        let collection = match kind {
            Kind::Credential => "/consumers/jack/credentials".to_owned(),
            Kind::CostDecoration => "/services/s1/graphql_cost_decorations".to_owned(),
            Kind::Secret => "/secrets/vault".to_owned(),
            other => format!("/{}", other.collection()),
        };
        paths.push(format!("/schema/{}", kind.schema_name()));
        paths.push(format!("/schema/validate/{}", collection.rsplit('/').next().unwrap()));
        for below in ["", "/1", "/1/plugins/cors"] {
            paths.push(format!("{collection}{below}"));
        }
    }
    let others = [
        "/secrets",
        "/plugins",
        "/plugins?all=true",
        "/plugins/list",
        "/plugins/reload",
        "/plugins/notes",
        "/schema",
        "/schema/plugins",
        "/schema/plugins/notes",
        "/schema/validate",
        "/configs",
        "/configs/validate",
        "/migrate/export",
        "/users",
        "/credentials",
        "/prometheus/metrics",
        "/%2e%2e%2fconfigs",
    ];
    paths.extend(others.map(str::to_owned));
    paths
}

#[tokio::test]
async fn nothing_but_what_is_public_answers_without_a_key() {
    let bench = Bench::formed(Form { streams: true, ..Form::default() }).await;
    bench.put("/upstreams/1", json!({ "nodes": {} })).await;
    let revision = bench.service.revision();
    let mut asked = 0;
    for path in paths() {
        let (bare, query) = path.split_once('?').unwrap_or((&path, ""));
        for spelt in [
            bare.to_owned(),
            format!("{bare}/"),
            format!("/{bare}"),
            format!("{bare}//"),
            bare.replacen('s', "%73", 1),
            format!("{bare}?{query}&api_key=guess"),
        ] {
            for method in ["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE"] {
                let seen = bench.send(method, &spelt, &[], "{}").await;
                let outside = bare.contains("%2e");
                let wanted = if outside { 404 } else { 401 };
                assert_eq!(seen.status, wanted, "{method} {spelt} answered {}", seen.text());
                asked += 1;
            }
            for method in ["OPTIONS", "TRACE", "CONNECT", "PURGE", "get", "PROPFIND"] {
                let seen = bench.send(method, &spelt, &[], "{}").await;
                assert_eq!(seen.status, 404, "{method} {spelt} answered {}", seen.text());
            }
        }
        // Neither in another case is it a path of the API.
        let seen = bench.send("GET", &format!("/apisix/ADMIN{bare}"), &[], "").await;
        assert_eq!(seen.status, 404, "{bare}");
    }
    assert!(asked > 2000, "only {asked} were asked");
    for (method, path, status, why) in PUBLIC {
        let seen = bench.send(method, &format!("/apisix/admin{path}"), &[], "").await;
        assert_eq!(seen.status, status, "{method} {path}: {why}");
        assert!(!seen.text().contains('{'), "{method} {path}: {}", seen.text());
    }
    assert_eq!(bench.service.revision(), revision);
}
