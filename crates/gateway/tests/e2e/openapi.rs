//! What our OpenAPI documents promise, asked of the real binary by schemathesis, which makes requests of them, good ones and bad ones.
//!
//! It is a program of Python (`pip install schemathesis`); where it is missing, this says so and runs nothing. `USHER_TORTURE_EXAMPLES` says how many
//! requests of each kind it makes.

use std::process::Command;

use crate::support::{KEY, Usher};

/// Requests of each kind in an ordinary run; the same ones each time.
const EXAMPLES: &str = "2";

/// What is asked for by the document: no answer is a 5xx, and each is one that the document tells of, by status, type and shape. What is refused though it
/// is of the shape is no finding: a schema can't say everything that a configuration has to be.
const GOOD: [&str; 4] = [
    "--mode",
    "positive",
    "--checks",
    "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,response_headers_conformance,allow_header_conformance",
];
/// What isn't: no answer is a 5xx. (APISIX answers some of it by a bare sentence, and so do its paths here.)
const BAD: [&str; 4] = ["--mode", "negative", "--checks", "not_a_server_error"];

/// Runs it, where it is here.
fn asked(document: &str, words: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let examples = std::env::var("USHER_TORTURE_EXAMPLES").unwrap_or_else(|_| EXAMPLES.to_owned());
    let mut command = Command::new("schemathesis");
    command
        .args(["--no-color", "run", document, "--seed", "1", "--max-examples", &examples])
        .args([
            "--phases",
            "examples,coverage,fuzzing",
            "--request-timeout",
            "60",
            "--suppress-health-check",
            "all",
        ])
        .args(["--continue-on-failure", "--generation-database", "none", "--warnings", "off"])
        .args(["--generation-with-security-parameters", "false"])
        .args(words)
        .current_dir(folder.path());
    let ran = match command.output() {
        Ok(ran) => ran,
        Err(error) => {
            println!("skipped: schemathesis can't be started ({error})");
            return;
        }
    };
    let told = String::from_utf8_lossy(&ran.stdout);
    println!("{}", told.lines().rev().take(4).collect::<Vec<_>>().join("\n"));
    assert!(ran.status.success(), "{document}:\n{told}{}", String::from_utf8_lossy(&ran.stderr));
    assert!(told.contains(" passed"), "{told}");
}

#[test]
fn every_answer_of_the_service_api_is_one_of_its_document() {
    let usher = Usher::start(&["--store", "memory"]);
    let document = format!("http://{}/usher/v1/openapi.json", usher.address("admin"));
    let key = format!("X-API-KEY: {KEY}");
    for kind in [GOOD, BAD] {
        asked(&document, &[&kind[..], &["-H", &key]].concat());
    }
}

#[test]
fn every_answer_of_the_chat_side_is_one_of_its_document() {
    let usher = Usher::start(&["--store", "memory"]);
    let base = format!("http://{}", usher.address("chat"));
    for kind in [GOOD, BAD] {
        asked(&format!("{base}/openapi.json"), &[&kind[..], &["--url", &base]].concat());
    }
}
