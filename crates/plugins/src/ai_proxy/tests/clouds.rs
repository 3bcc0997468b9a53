//! The providers that are asked by an account or a key of a cloud.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use serde_json::{Value, json};
use usher_http1::head::Head;
use usher_model::aws::{Keys, Signed};
use usher_model::jose::algorithm::Algorithm;
use usher_model::jose::signing::Signer;
use usher_model::variables::Variables as _;
use usher_pipeline::harness::{Harness, harness, try_harness};
use usher_pipeline::reply::Reply;
use usher_pipeline::worker::Answer;

use super::{JSON, PLUGIN, body, chat, sent};
use crate::ai::frame;

const KEYS: (&str, &str) = ("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");

fn bedrock(more: Value) -> Value {
    let mut all = json!({
        "provider": "bedrock", "provider_conf": { "region": "us-east-1" },
        "auth": { "aws": { "access_key_id": KEYS.0, "secret_access_key": KEYS.1 } },
    });
    all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    all
}

fn converse(more: Value) -> String {
    let mut body = json!({ "messages": [{ "role": "user", "content": [{ "text": "hi" }] }] });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body.to_string()
}

#[test]
fn requests_to_amazon_are_signed_over_what_is_sent() {
    let answer = json!({ "output": {}, "usage": { "inputTokens": 5, "outputTokens": 7, "totalTokens": 12 } });
    for (token, endpoint, host) in [
        (None, None, "bedrock-runtime.us-east-1.amazonaws.com"),
        (Some("session"), Some("http://127.0.0.1:4566"), "127.0.0.1:4566"),
    ] {
        let keys = json!({ "access_key_id": KEYS.0, "secret_access_key": KEYS.1, "session_token": token });
        let keys: Value =
            keys.as_object().unwrap().clone().into_iter().filter(|(_, v)| !v.is_null()).collect();
        let over = endpoint.map_or(json!({}), |endpoint| json!({ "endpoint": endpoint }));
        let answer = answer.to_string();
        let mut bench = harness(
            &PLUGIN,
            bedrock(json!({ "auth": { "aws": keys }, "override": over,
                "options": { "model": "arn:aws:bedrock:us-east-1:1:application-inference-profile/a" } })),
        )
        .upstream(move |_| Reply::text(200, "application/json", answer.clone()));
        let fields = [
            JSON[0],
            ("Authorization", "Bearer clients"),
            ("X-Amz-Date", "19990101T000000Z"),
            ("X-Amz-Security-Token", "clients"),
        ];
        let outcome =
            bench.send("POST", "/converse", &fields, converse(json!({ "model": "mine", "stream": false })));
        let seen = outcome.expect_status(200).seen();
        let name = "arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Aapplication-inference-profile%2Fa";
        assert_eq!(seen.target, format!("/model/{name}/converse"));
        let body = sent(&outcome);
        assert_eq!((body.get("model"), body.get("stream")), (None, None));
        let date = seen.head.get_str("x-amz-date").unwrap();
        assert_ne!(date, "19990101T000000Z");
        assert_eq!(seen.head.get_str("x-amz-security-token"), token);
        let mut signed = vec![("host", host), ("x-amz-date", date)];
        signed.extend(token.map(|token| ("x-amz-security-token", token)));
        let again = Signed {
            method: "POST",
            path: &format!("/model/{}/converse", name.replace('%', "%25")),
            fields: &signed,
            body: &seen.body,
            date,
            region: "us-east-1",
        };
        let keys = Keys { id: KEYS.0, secret: KEYS.1 };
        assert_eq!(seen.head.get_str("authorization"), Some(&*again.authorization("bedrock", &keys)));
        for (name, value) in [("llm_prompt_tokens", "5"), ("llm_total_tokens", "12")] {
            assert_eq!(outcome.exchange.variable(name).unwrap(), value.as_bytes(), "{name}");
        }
    }
}

#[test]
fn streams_of_amazon_pass_as_they_are_and_are_read_for_what_they_cost() {
    let usage = r#"{"usage":{"inputTokens":3,"outputTokens":9,"totalTokens":12}}"#;
    let stream = [frame(r#"{"delta":{"text":"a"}}"#), frame(usage)].concat();
    let given = stream.clone();
    let mut bench = harness(&PLUGIN, bedrock(json!({ "override": { "llm_options": { "max_tokens": 64 } } })))
        .upstream(move |_| Reply::text(200, "application/vnd.amazon.eventstream", given.clone()));
    let more =
        json!({ "stream": true, "model": "amazon.nova-lite-v1:0", "inferenceConfig": { "topP": 0.5 } });
    let outcome = bench.send("POST", "/v1/converse", JSON, converse(more));
    assert_eq!(outcome.body, stream);
    assert_eq!(outcome.seen().target, "/model/amazon.nova-lite-v1%3A0/converse-stream");
    assert_eq!(sent(&outcome)["inferenceConfig"], json!({ "topP": 0.5, "maxTokens": 64 }));
    assert_eq!(outcome.exchange.variable("llm_completion_tokens").unwrap(), "9".as_bytes());
}

#[test]
fn amazon_is_asked_by_its_own_protocol_and_for_a_model_with_a_name() {
    for (path, sent, sentence) in [
        ("/", chat(json!({})), "does not support openai-chat protocol (supported: bedrock-converse)"),
        ("/converse", converse(json!({})), "is asked by a model's name; write `model`"),
    ] {
        let outcome = harness(&PLUGIN, bedrock(json!({}))).send("POST", path, JSON, sent);
        assert!(outcome.expect_status(400).text().contains(sentence), "{}", outcome.text());
    }
}

/// A service account, and a bench whose token service counts how often it is asked.
fn vertex(more: Value) -> (Harness, Rc<RefCell<Vec<String>>>) {
    let signer = Signer::generate(Algorithm::Rs256);
    let account = json!({ "client_email": "me@p.test", "private_key": signer.private_pem().unwrap(), "token_uri": "https://tokens.test/token" });
    let mut all = json!({
        "provider": "vertex-ai", "provider_conf": { "region": "europe-west4", "project_id": "p-1" },
        "auth": { "gcp": { "service_account_json": account.to_string() } },
    });
    all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let asked = Rc::new(RefCell::new(Vec::new()));
    let told = Rc::clone(&asked);
    let bench = harness(&PLUGIN, all).fetches(move |call| {
        let mut all = told.borrow_mut();
        all.push(format!("{} {}", call.url, String::from_utf8_lossy(&call.body)));
        let head = Head::response(200);
        let body = json!({ "access_token": format!("token-{}", all.len()), "expires_in": 3600 });
        Ok(Answer { head, body: body.to_string().into() })
    });
    (bench, asked)
}

#[test]
fn a_token_of_google_is_asked_for_once_and_anew_before_its_end() {
    let (mut bench, asked) = vertex(json!({ "options": { "model": "google/gemini-2.0-flash" } }));
    for (wait, token) in [(0, "token-1"), (3500, "token-1"), (50, "token-2")] {
        bench.pass(Duration::from_secs(wait));
        let outcome = bench.send("POST", "/v1/chat/completions", JSON, chat(json!({})));
        let seen = outcome.expect_status(200).seen();
        assert_eq!(
            seen.target,
            "/v1beta1/projects/p-1/locations/europe-west4/endpoints/openapi/chat/completions"
        );
        assert_eq!(seen.head.get_str("authorization"), Some(&*format!("Bearer {token}")));
        let host = &seen.target_json.as_ref().unwrap()["nodes"][0]["host"];
        assert_eq!(host, "europe-west4-aiplatform.googleapis.com");
    }
    let all = asked.borrow();
    assert_eq!(all.len(), 2);
    let wanted = "https://tokens.test/token grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=ey";
    assert!(all[0].starts_with(wanted), "{all:?}");
}

#[test]
fn without_a_token_nobody_is_asked() {
    let (bench, _) = vertex(json!({}));
    for status in [400, 500] {
        let mut bench = vertex(json!({})).0.fetches(move |_| {
            let head = Head::response(status);
            Ok(Answer { head, body: "secret".into() })
        });
        let outcome = bench.send("POST", "/", JSON, chat(json!({})));
        assert!(outcome.expect_status(500).upstream.is_none());
        assert!(outcome.text().contains("could not authorize itself"), "{}", outcome.text());
    }
    drop(bench);
}

#[test]
fn embeddings_of_google_are_asked_and_answered_in_the_protocol_of_openai() {
    let answer = json!({ "predictions": [
        { "embeddings": { "values": [0.5, -1.0], "statistics": { "token_count": 3.0 } } },
        { "embeddings": { "values": [2], "statistics": { "token_count": 4 } } },
    ] });
    let (bench, _) = vertex(json!({}));
    let mut bench = bench.upstream(move |_| Reply::text(200, "application/json", answer.to_string()));
    let asked = json!({ "model": "text-embedding-005", "input": ["a", "b"], "dimensions": 2 });
    let outcome = bench.send("POST", "/v1/embeddings", JSON, asked.to_string());
    assert_eq!(
        outcome.expect_status(200).seen().target,
        "/v1/projects/p-1/locations/europe-west4/publishers/google/models/text-embedding-005:predict"
    );
    assert_eq!(
        sent(&outcome),
        json!({ "instances": [{ "content": "a" }, { "content": "b" }], "parameters": { "outputDimensionality": 2 } })
    );
    let heard: Value = serde_json::from_str(outcome.text()).unwrap();
    assert_eq!(
        heard,
        json!({ "object": "list", "model": "text-embedding-005", "usage": { "prompt_tokens": 7, "total_tokens": 7 },
            "data": [
                { "object": "embedding", "index": 0, "embedding": [0.5, -1.0] },
                { "object": "embedding", "index": 1, "embedding": [2] },
            ] })
    );
    assert_eq!(outcome.exchange.variable("llm_prompt_tokens").unwrap(), "7".as_bytes());
    for input in [json!(5), json!([]), json!([[1, 2]]), json!(["a", 1])] {
        let (mut bench, asked) = vertex(json!({}));
        let sent = json!({ "model": "m", "input": input }).to_string();
        let outcome = bench.send("POST", "/v1/embeddings", JSON, sent);
        assert!(outcome.expect_status(400).text().contains("`input`"), "{}", outcome.text());
        assert!(asked.borrow().is_empty(), "nobody had to be asked");
    }
    // What the provider refuses is the client's as it is.
    let (bench, _) = vertex(json!({}));
    let mut bench = bench.upstream(|_| Reply::text(429, "application/json", "{\"error\":1}"));
    let sent = json!({ "model": "m", "input": "a" }).to_string();
    let outcome = bench.send("POST", "/v1/embeddings", JSON, sent);
    assert_eq!(outcome.expect_status(429).text(), "{\"error\":1}");
}

#[test]
fn refuses_clouds_without_what_they_need() {
    let gcp = |text: &str| json!({ "auth": { "gcp": { "service_account_json": text } } });
    let place = json!({ "region": "r", "project_id": "p" });
    for (more, sentence) in [
        (json!({ "provider": "bedrock" }), "the provider bedrock needs its region"),
        (
            json!({ "provider": "bedrock", "override": { "endpoint": "https://x.test/model/m/converse" } }),
            "the provider bedrock needs its region",
        ),
        (
            json!({ "provider": "vertex-ai", "provider_conf": { "region": "r" } }),
            "the provider vertex-ai needs its region and project_id",
        ),
        (
            json!({ "provider": "bedrock", "provider_conf": { "region": "evil.test/" } }),
            "property \"region\" validation failed",
        ),
        (
            json!({ "auth": { "aws": { "access_key_id": "a", "secret_access_key": "sk-1" } } }),
            "aws is for the provider bedrock, and this one is openai",
        ),
        (
            json!({ "provider": "bedrock", "provider_conf": { "region": "r" },
                "auth": { "aws": { "access_key_id": "a", "secret_access_key": "sk-1" }, "query": { "a": "b" } } }),
            "requests with arguments can't be signed",
        ),
        (
            json!({ "auth": { "aws": { "access_key_id": "a" } } }),
            "property \"secret_access_key\" is required",
        ),
        (gcp("{}"), "gcp is for the provider vertex-ai"),
        (
            json!({ "provider": "vertex-ai", "provider_conf": place, "auth": gcp("sk-1")["auth"] }),
            "gcp.service_account_json is no account",
        ),
        (
            json!({ "provider": "vertex-ai", "provider_conf": place,
                "auth": gcp("{\"client_email\":\"a\",\"private_key\":\"sk-1\"}")["auth"] }),
            "has a private_key that can't sign",
        ),
        (
            json!({ "provider": "vertex-ai", "provider_conf": place,
                "auth": gcp("{\"client_email\":\"a\",\"private_key\":\"sk-1\",\"token_uri\":\"http://t.test\"}")["auth"] }),
            "is plain http, and secrets are sent there",
        ),
    ] {
        let error =
            try_harness(&PLUGIN, body(more.clone())).err().unwrap_or_else(|| panic!("{more} was taken"));
        assert!(error.message.contains(sentence), "{more}: {error}");
        assert!(!error.message.contains("sk-1"), "{error}");
    }
}
