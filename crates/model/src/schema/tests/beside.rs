//! The sentences about certificates, secrets, protobuf definitions, stream routes, consumer groups and cost decorations.

use serde_json::{Value, json};

use super::{Kind, sentence, unsupported};
use crate::schema::{check_schema, secret_schema};

fn made() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

#[test]
fn every_rule_about_certificates_has_its_sentence() {
    let ((cert, key), (_, other)) = (made(), made());
    let ssl = |more: Value| {
        let mut ssl = json!({ "sni": "a.example", "cert": cert, "key": key });
        crate::patch::merge(&mut ssl, &more);
        ssl
    };
    let mismatch = "failed to parse key: it does not belong to the certificate; give the key that the certificate was made for";
    for (value, wanted) in [
        (ssl(json!({})), "ok"),
        (ssl(json!({ "sni": null, "snis": ["a.example", "*.a.example", "*"] })), "ok"),
        (ssl(json!({ "type": "client", "sni": null })), "ok"),
        (ssl(json!({ "cert": "$env://CERT", "key": "$secret://vault/1/a/key" })), "ok"),
        (ssl(json!({ "certs": [cert], "keys": [key] })), "ok"),
        (ssl(json!({ "client": { "ca": cert, "depth": 2, "skip_mtls_uri_regex": ["^/health$"] } })), "ok"),
        (ssl(json!({ "sni": null })), "invalid configuration: then clause did not match"),
        (ssl(json!({ "snis": ["b.example"] })), "invalid configuration: then clause did not match"),
        (ssl(json!({ "key": null })), "invalid configuration: then clause did not match"),
        (ssl(json!({ "type": "client", "key": null })), "invalid configuration: else clause did not match"),
        (
            ssl(json!({ "type": "both" })),
            "invalid configuration: property \"type\" validation failed: matches none of the enum values",
        ),
        (
            ssl(json!({ "cert": "short" })),
            "invalid configuration: property \"cert\" validation failed: string too short, expected at least 128, got 5",
        ),
        (
            ssl(json!({ "sni": "a b" })),
            "invalid configuration: property \"sni\" validation failed: failed to match pattern \"^\\*$|^\\*?[0-9a-zA-Z-.]+$\" with \"a b\"",
        ),
        (
            ssl(json!({ "client": {} })),
            "invalid configuration: property \"client\" validation failed: property \"ca\" is required",
        ),
        (ssl(json!({ "name": "x" })), "invalid configuration: additional properties forbidden, found name"),
        (
            ssl(json!({ "cert": "x".repeat(128) })),
            "failed to parse cert: it holds no certificate in PEM, which begins with -----BEGIN CERTIFICATE-----",
        ),
        (
            ssl(json!({ "key": "x".repeat(128) })),
            "failed to parse key: it is no private key in PEM, which begins with -----BEGIN PRIVATE KEY----- or the like",
        ),
        (ssl(json!({ "key": other })), mismatch),
        (ssl(json!({ "certs": [cert] })), "mismatched number of certs and keys"),
        (
            ssl(json!({ "certs": [cert, "x".repeat(128)], "keys": [key, key] })),
            "failed to handle cert-key pair[2]: failed to parse cert: it holds no certificate in PEM, which begins with -----BEGIN CERTIFICATE-----",
        ),
        (
            ssl(json!({ "certs": [cert], "keys": [other] })),
            &format!("failed to handle cert-key pair[1]: {mismatch}"),
        ),
        (
            ssl(json!({ "client": { "ca": "x".repeat(128) } })),
            "failed to validate client_cert: it holds no certificate in PEM, which begins with -----BEGIN CERTIFICATE-----",
        ),
        (
            ssl(json!({ "client": { "ca": cert, "skip_mtls_uri_regex": ["ok", "(?=x)"] } })),
            "invalid configuration: property \"client\" validation failed: property \"skip_mtls_uri_regex\" validation failed: failed to \
             validate item 2: \"(?=x)\" is no pattern that runs in linear time; leave out look-around and references back",
        ),
    ] {
        assert_eq!(sentence(Kind::Ssl, &value), wanted);
    }
    let old = unsupported(Kind::Ssl, &ssl(json!({ "ssl_protocols": ["TLSv1.1", "TLSv1.2"] }))).unwrap();
    assert!(old.contains("\"TLSv1.1\" is not supported"), "{old}");
    assert_eq!(unsupported(Kind::Ssl, &ssl(json!({ "ssl_protocols": ["TLSv1.2", "TLSv1.3"] }))), None);
}

#[test]
fn every_other_kind_beside_the_way_of_a_request_has_its_sentences() {
    let vault = |more: Value| {
        let mut vault =
            json!({ "id": "vault/1", "uri": "https://v.example:8200", "prefix": "kv", "token": "t" });
        crate::patch::merge(&mut vault, &more);
        vault
    };
    let auth = json!({ "client_email": "a@b", "private_key": "k", "project_id": "p" });
    for (kind, value, wanted) in [
        (Kind::ConsumerGroup, json!({ "id": "1", "plugins": {} }), "ok"),
        (
            Kind::ConsumerGroup,
            json!({ "id": "1" }),
            "invalid configuration: property \"plugins\" is required",
        ),
        (
            Kind::ConsumerGroup,
            json!({ "id": "1", "plugins": {}, "upstream_id": "u" }),
            "invalid configuration: additional properties forbidden, found upstream_id",
        ),
        (Kind::PluginMetadata, json!({ "id": "x", "anything": [1] }), "ok"),
        (Kind::Proto, json!({}), "invalid configuration: property \"content\" is required"),
        (
            Kind::Proto,
            json!({ "content": "" }),
            "invalid configuration: property \"content\" validation failed: string too short, expected at least 1, got 0",
        ),
        (
            Kind::Proto,
            json!({ "content": "syntax = \"proto3\"; message A { string b = 1; }", "name": "n" }),
            "ok",
        ),
        (
            Kind::Proto,
            json!({ "content": "message 5 {}" }),
            "invalid content: content.proto:1:9: expected an identifier, but found '5'",
        ),
        (Kind::Secret, vault(json!({ "timeout": 5, "namespace": "n" })), "ok"),
        (Kind::Secret, vault(json!({ "token": "$env://VAULT_TOKEN" })), "ok"),
        (
            Kind::Secret,
            vault(json!({ "token": null })),
            "invalid configuration: property \"token\" is required",
        ),
        (
            Kind::Secret,
            vault(json!({ "uri": "vault" })),
            "invalid configuration: property \"uri\" validation failed: failed to match pattern \
             \"^[^\\/]+:\\/\\/([\\da-zA-Z.-]+|\\[[\\da-fA-F:]+\\])(:\\d+)?\" with \"vault\"",
        ),
        (
            Kind::Secret,
            json!({ "id": "aws/1", "access_key_id": "a" }),
            "invalid configuration: property \"secret_access_key\" is required",
        ),
        (Kind::Secret, json!({ "id": "aws/1", "access_key_id": "a", "secret_access_key": "b" }), "ok"),
        (
            Kind::Secret,
            json!({ "id": "gcp/1" }),
            "invalid configuration: value should match only one schema, but matches none",
        ),
        (
            Kind::Secret,
            json!({ "id": "gcp/1", "auth_config": auth, "auth_file": "f" }),
            "invalid configuration: value should match only one schema, but matches both schemas 1 and 2",
        ),
        (
            Kind::Secret,
            json!({ "id": "gcp/1", "auth_config": {} }),
            "invalid configuration: property \"auth_config\" validation failed: property \"client_email\" is required",
        ),
        (Kind::StreamRoute, json!({}), "ok"),
        (
            Kind::StreamRoute,
            json!({ "remote_addr": "10.0.0.0/8", "server_addr": "::1", "sni": "*.a.example" }),
            "ok",
        ),
        (
            Kind::StreamRoute,
            json!({ "uri": "/a" }),
            "invalid configuration: additional properties forbidden, found uri",
        ),
        (
            Kind::StreamRoute,
            json!({ "remote_addr": "x" }),
            "invalid configuration: property \"remote_addr\" validation failed: object matches none of the required",
        ),
        (Kind::StreamRoute, json!({ "remote_addr": "999.0.0.0/8" }), "invalid remote_addr: 999.0.0.0/8"),
        (Kind::StreamRoute, json!({ "server_addr": ":/8" }), "invalid server_addr: :/8"),
        (
            Kind::StreamRoute,
            json!({ "id": "7", "protocol": { "name": "redis", "superior_id": 7 } }),
            "stream route can not set itself as superior_id",
        ),
        (
            Kind::StreamRoute,
            json!({ "protocol": {} }),
            "invalid configuration: property \"protocol\" validation failed: property \"name\" is required",
        ),
        (Kind::StreamRoute, json!({ "upstream": { "nodes": {}, "type": "chash" } }), "missing key"),
        (
            Kind::CostDecoration,
            json!({ "field_path": "Query.products.nodes", "mul_arguments": ["first"], "add_value": 1 }),
            "ok",
        ),
        (Kind::CostDecoration, json!({}), "invalid configuration: property \"field_path\" is required"),
        (
            Kind::CostDecoration,
            json!({ "field_path": "Query." }),
            "invalid configuration: property \"field_path\" validation failed: failed to match pattern \
             \"^[_A-Za-z][_0-9A-Za-z]*(\\.[_A-Za-z][_0-9A-Za-z]*)+$\" with \"Query.\"",
        ),
        (
            Kind::CostDecoration,
            json!({ "field_path": "Query" }),
            "invalid configuration: property \"field_path\" validation failed: failed to match pattern \
             \"^[_A-Za-z][_0-9A-Za-z]*(\\.[_A-Za-z][_0-9A-Za-z]*)+$\" with \"Query\"",
        ),
        (
            Kind::CostDecoration,
            json!({ "field_path": "Query.a", "add_value": -1 }),
            "invalid configuration: property \"add_value\" validation failed: expected -1 to be at least 0",
        ),
    ] {
        assert_eq!(sentence(kind, &value), wanted, "{kind} {value}");
    }
}

#[test]
fn a_secret_manager_of_no_known_sort_has_no_schema() {
    assert!(secret_schema("vault").is_some() && secret_schema("other").is_none());
    assert!(check_schema(Kind::Secret, &json!({ "id": "other/1" })).is_err());
}
