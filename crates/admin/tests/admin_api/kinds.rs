//! Certificates, metadata, secrets, stream routes, cost decorations and the like: their paths, ids and sentences (contract, sections 4 and 4.1).

use serde_json::{Value, json};
use usher_admin::http::Form;

use crate::bench::{Bench, VIEWER};

async fn bench() -> Bench {
    Bench::formed(Form { streams: true, ..Form::default() }).await
}

#[tokio::test]
async fn every_kind_beside_the_way_of_a_request_is_made_read_and_deleted() {
    let bench = bench().await;
    bench.put("/services/s1", json!({})).await;
    for (path, id, one, other) in [
        ("/consumer_groups/g", "g", json!({ "plugins": {} }), json!({ "plugins": { "notes": {} } })),
        (
            "/protos/p",
            "p",
            json!({ "content": "syntax = \"proto3\";" }),
            json!({ "content": "syntax = \"proto3\"; message A {}" }),
        ),
        (
            "/secrets/vault/v-1",
            "vault/v-1",
            json!({ "uri": "http://127.0.0.1:8200", "prefix": "kv/apisix", "token": "hvs.x" }),
            json!({ "uri": "http://127.0.0.1:8201", "prefix": "kv/apisix", "token": "hvs.x" }),
        ),
        (
            "/stream_routes/s",
            "s",
            json!({ "server_port": 9100, "upstream": { "nodes": {} } }),
            json!({ "server_port": 9101, "upstream": { "nodes": {} } }),
        ),
        (
            "/services/s1/graphql_cost_decorations/d",
            "d",
            json!({ "field_path": "Query.users", "service_id": "s1" }),
            json!({ "field_path": "Query.topics", "service_id": "s1" }),
        ),
    ] {
        let key = format!("/apisix{path}");
        let with_id = |mut value: Value| {
            value["id"] = id.into();
            value
        };
        for (value, status) in [(one, 201), (other.clone(), 200)] {
            let seen = bench.call("PUT", path, value.clone()).await;
            assert_eq!(seen.status, status, "{path}: {}", seen.text());
            assert_eq!(seen.header("x-api-version"), Some("v3"), "{path}");
            let mut told = seen.timeless();
            // Who reads the secret of a secret's manager is told elsewhere.
            let token = |value: &mut Value| value["value"].as_object_mut().unwrap().shift_remove("token");
            let mut wanted = json!({ "key": key, "value": with_id(value) });
            token(&mut told);
            token(&mut wanted);
            assert_eq!(told, wanted, "{path}");
        }
        let read = bench.call("GET", path, Value::Null).await;
        assert_eq!((read.status, &read.json()["value"]["id"]), (200, &json!(id)), "{path}");
        let collection = path.rsplit_once('/').unwrap().0;
        let listed = bench.call("GET", collection, Value::Null).await.json();
        assert_eq!((&listed["total"], &listed["list"][0]), (&json!(1), &read.json()), "{path}");
        let deleted = bench.call("DELETE", path, Value::Null).await;
        assert_eq!((deleted.status, deleted.json()), (200, json!({ "key": key, "deleted": "1" })), "{path}");
        let gone = bench.call("GET", path, Value::Null).await;
        assert_eq!((gone.status, gone.json()), (404, json!({ "message": "Key not found" })), "{path}");
    }
}

#[tokio::test]
async fn private_keys_of_certificates_are_never_read_and_survive_a_patch() {
    let bench = bench().await;
    let made = rcgen::generate_simple_self_signed(vec!["a.test".to_owned()]).unwrap();
    let (cert, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let secret: String = key.lines().nth(1).unwrap().to_owned();
    let put = bench.put("/ssls/1", json!({ "cert": cert, "key": key, "sni": "a.test" })).await;
    assert!(!put.text().contains(&secret), "{}", put.text());
    for path in ["/ssls/1", "/ssls"] {
        let seen = bench.call("GET", path, Value::Null).await;
        assert!(!seen.text().contains("\"key\":\"-") && !seen.text().contains(&secret), "{}", seen.text());
    }
    let read = bench.call("GET", "/ssls/1", Value::Null).await.json();
    assert_eq!((read["value"].get("key"), &read["value"]["sni"]), (None, &json!("a.test")));
    let patched = bench.call("PATCH", "/ssls/1", json!({ "status": 0 })).await;
    assert_eq!(patched.status, 200, "{}", patched.text());
    // What a GET gave lacks the key, so it can't be put back.
    let without = bench.call("PUT", "/ssls/1", json!({ "cert": cert, "sni": "a.test" })).await;
    assert_eq!(
        (without.status, without.error().as_str()),
        (400, "invalid configuration: then clause did not match")
    );
    assert_eq!(
        bench.call("POST", "/ssls", json!({ "cert": cert, "key": key, "sni": "b.test" })).await.status,
        201
    );
}

#[tokio::test]
async fn metadata_is_known_by_its_plugin() {
    let bench = bench().await;
    let wanted =
        json!({ "key": "/apisix/plugin_metadata/notes", "value": { "log_format": "x", "id": "notes" } });
    let seen = bench.call("PUT", "/plugin_metadata/notes", json!({ "log_format": "x" })).await;
    assert_eq!((seen.status, seen.json()["key"].clone()), (201, wanted["key"].clone()), "{}", seen.text());
    assert_eq!(seen.json()["value"], json!({ "id": "notes", "log_format": "x" }));
    for (method, path, body, status, sentence) in [
        ("PUT", "/plugin_metadata", json!({}), 400, "missing plugin name"),
        ("PUT", "/plugin_metadata/nope", json!({}), 400, "invalid plugin name"),
        ("PUT", "/plugin_metadata/notes", json!({ "id": "cors" }), 400, "wrong plugin_metadata id"),
        ("DELETE", "/plugin_metadata", Value::Null, 400, "missing plugin_metadata id"),
    ] {
        let seen = bench.call(method, path, body).await;
        assert_eq!((seen.status, seen.error().as_str()), (status, sentence), "{method} {path}");
    }
    assert_eq!(bench.call("PUT", "/plugin_metadata", json!({ "id": "notes" })).await.status, 200);
    assert_eq!(bench.call("GET", "/plugin_metadata", Value::Null).await.json()["total"], 1);
}

#[tokio::test]
async fn secrets_are_known_by_manager_and_id() {
    let bench = bench().await;
    let vault = || json!({ "uri": "http://127.0.0.1:8200", "prefix": "kv", "token": "t" });
    bench.put("/secrets/vault/1", vault()).await;
    bench.put("/secrets/aws/1", json!({ "access_key_id": "a", "secret_access_key": "b" })).await;
    for (method, path, body, status, sentence) in [
        ("PUT", "/secrets/vault", vault(), 400, "missing secret id"),
        ("PUT", "/secrets", vault(), 400, "missing secret id"),
        ("PATCH", "/secrets/vault", json!({ "token": "u" }), 400, "no secret id"),
        ("PATCH", "/secrets", json!({ "token": "u" }), 400, "missing secret id"),
        ("DELETE", "/secrets/vault", Value::Null, 400, "missing secret id"),
        ("PUT", "/secrets/consul/1", vault(), 400, "invalid secret manager: consul"),
        ("PUT", "/secrets/vault/1", json!({ "id": "vault/2" }), 400, "wrong secret id"),
    ] {
        let seen = bench.call(method, path, body).await;
        assert_eq!((seen.status, seen.error().as_str()), (status, sentence), "{method} {path}");
    }
    // The manager's name chooses nothing in a list, as in APISIX.
    for path in ["/secrets", "/secrets/vault", "/secrets/gcp"] {
        assert_eq!(bench.call("GET", path, Value::Null).await.json()["total"], 2, "{path}");
    }
    let patched = bench.call("PATCH", "/secrets/vault/1/uri", json!("http://127.0.0.1:8201")).await;
    assert_eq!(
        (patched.status, &patched.json()["value"]["uri"]),
        (200, &json!("http://127.0.0.1:8201")),
        "{}",
        patched.text()
    );
    let patched = bench.call("PATCH", "/secrets/vault/1", json!({ "prefix": "kv2" })).await;
    assert_eq!((patched.status, &patched.json()["key"]), (200, &json!("/apisix/secrets/vault/1")));
    for (method, path) in
        [("GET", "/secrets/consul/1"), ("DELETE", "/secrets/gcp/1"), ("PATCH", "/secrets/gcp/1")]
    {
        let seen = bench.call(method, path, json!({})).await;
        assert_eq!(
            (seen.status, seen.json()),
            (404, json!({ "message": "Key not found" })),
            "{method} {path}"
        );
    }
}

#[tokio::test]
async fn stream_routes_are_there_where_streams_are() {
    let off = Bench::new().await;
    let sentence = "stream mode is disabled, can not add stream routes";
    for (method, path) in [
        ("GET", "/stream_routes"),
        ("GET", "/stream_routes/1"),
        ("PUT", "/stream_routes/1"),
        ("DELETE", "/stream_routes/1"),
    ] {
        let seen = off.call(method, path, json!({})).await;
        assert_eq!((seen.status, seen.error().as_str()), (400, sentence), "{method} {path}");
    }
    // The method comes first.
    assert_eq!(off.call("PATCH", "/stream_routes/1", json!({})).await.status, 405);
    let on = bench().await;
    assert_eq!(
        on.call("POST", "/stream_routes", json!({ "server_port": 1, "upstream": { "nodes": {} } }))
            .await
            .status,
        201
    );
}

#[tokio::test]
async fn cost_decorations_belong_to_the_service_of_their_path() {
    let bench = bench().await;
    let body = || json!({ "field_path": "Query.users" });
    for (method, path) in [
        ("GET", "/services/s1/graphql_cost_decorations"),
        ("GET", "/services/s1/graphql_cost_decorations/d"),
        ("PUT", "/services/s1/graphql_cost_decorations/d"),
        ("POST", "/services/s1/graphql_cost_decorations"),
        ("PATCH", "/services/s1/graphql_cost_decorations/d"),
        ("DELETE", "/services/s1/graphql_cost_decorations/d"),
    ] {
        let seen = bench.call(method, path, body()).await;
        assert_eq!(
            (seen.status, seen.json()),
            (404, json!({ "error_msg": "service not found" })),
            "{method} {path}"
        );
    }
    bench.put("/services/s1", json!({})).await;
    bench.put("/services/s2", json!({})).await;
    assert_eq!(
        bench.call("GET", "/services/s1/graphql_cost_decorations", Value::Null).await.json(),
        json!({ "total": 0, "list": [] })
    );
    let posted = bench.call("POST", "/services/s1/graphql_cost_decorations", body()).await;
    assert_eq!(
        (posted.status, &posted.json()["value"]["service_id"]),
        (201, &json!("s1")),
        "{}",
        posted.text()
    );
    bench.put("/services/s2/graphql_cost_decorations/d", body()).await;
    for (method, path, body, status, sentence) in [
        ("PUT", "/services//graphql_cost_decorations/d", body(), 400, "missing service id"),
        (
            "PUT",
            "/services/s1/graphql_cost_decorations/d",
            json!({ "field_path": "Query.a", "service_id": "s2" }),
            400,
            "wrong service_id, it is taken from the path",
        ),
        (
            "PATCH",
            "/services/s2/graphql_cost_decorations/d",
            json!({ "service_id": "s1" }),
            400,
            "service_id can not be patched",
        ),
        (
            "PATCH",
            "/services/s2/graphql_cost_decorations/d/field_path",
            json!("Query.b"),
            400,
            "invalid sub-path: /field_path: PATCH is for the whole graphql cost decoration",
        ),
        ("PUT", "/services/s1/graphql_cost_decorations", body(), 400, "missing graphql cost decoration id"),
    ] {
        let seen = bench.call(method, path, body).await;
        assert_eq!((seen.status, seen.error().as_str()), (status, sentence), "{method} {path}");
    }
    let patched =
        bench.call("PATCH", "/services/s2/graphql_cost_decorations/d", json!({ "desc": "x" })).await;
    assert_eq!((patched.status, &patched.json()["value"]["id"]), (200, &json!("d")), "{}", patched.text());
    // Each service lists its own, and they are no services.
    assert_eq!(
        bench.call("GET", "/services/s2/graphql_cost_decorations", Value::Null).await.json()["total"],
        1
    );
    assert_eq!(bench.call("GET", "/services", Value::Null).await.json()["total"], 2);
}

#[tokio::test]
async fn what_no_schema_knows_of_a_secret_manager_is_a_secret_for_all_but_admins() {
    let bench = bench().await;
    let manager = json!({
        "uri": "http://127.0.0.1:8200", "prefix": "kv", "token": "canary",
        "secret_id": "canary", "login": { "password": ["canary"] },
    });
    let put = bench.put("/secrets/vault/1", manager).await;
    assert!(!put.text().contains("canary"), "{}", put.text());
    for path in ["/secrets/vault/1", "/secrets"] {
        let read = bench.send("GET", path, &[("x-api-key", VIEWER)], Value::Null).await;
        assert!(read.text().contains("secret_id") && !read.text().contains("canary"), "{}", read.text());
    }
    // As APISIX shows them, and as they were given.
    let own = bench.call("GET", "/secrets/vault/1", Value::Null).await.json();
    assert_eq!(own["value"]["login"]["password"], json!(["canary"]));
    let key =
        rcgen::generate_simple_self_signed(vec!["a.test".to_owned()]).unwrap().signing_key.serialize_pem();
    for (bad, part) in [("canary", "no private key in PEM"), (key.as_str(), "no RSA key")] {
        let account = json!({ "client_email": "a", "private_key": bad, "project_id": "p" });
        let seen = bench.call("PUT", "/secrets/gcp/1", json!({ "auth_config": account })).await;
        assert_eq!(seen.status, 400, "{}", seen.text());
        assert!(seen.error().contains(part) && !seen.text().contains("canary"), "{}", seen.text());
    }
}

#[tokio::test]
async fn numbers_are_those_that_lua_makes_of_them() {
    let bench = bench().await;
    let seen = bench.call("PUT", "/upstreams", json!({ "id": 7.0, "nodes": { "127.0.0.1:80": 1.0 } })).await;
    assert_eq!(seen.status, 201, "{}", seen.text());
    assert_eq!(
        (&seen.json()["key"], &seen.json()["value"]["id"]),
        (&json!("/apisix/upstreams/7"), &json!(7))
    );
    for (path, value) in [
        ("/routes/1", json!({ "id": "1", "uri": "/a", "upstream_id": 7.0 })),
        ("/routes/2", json!({ "id": 2.0, "uri": "/a", "upstream_id": 7 })),
    ] {
        let seen = bench.call("PUT", path, value).await;
        assert_eq!((seen.status, &seen.json()["value"]["upstream_id"]), (201, &json!(7)), "{}", seen.text());
    }
    assert_eq!(bench.call("DELETE", "/upstreams/7", Value::Null).await.status, 400);
}
