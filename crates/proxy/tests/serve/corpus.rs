//! The hostile and odd requests of the codec's corpus, through the whole gateway: whole, split at every byte, behind a good request.

use std::io::Write as _;
use std::net::Shutdown;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use crate::origin::{Origin, answer};
use crate::support::{Client, Gateway};

struct Case {
    id: String,
    request: Vec<u8>,
    expect: Vec<String>,
}

fn cases() -> Vec<Case> {
    let text = include_str!("../../../http1/tests/corpus/http1-corpus.json");
    let corpus: Value = serde_json::from_str(text).unwrap();
    let cases = corpus["cases"].as_array().unwrap().iter().map(|case| Case {
        id: case["id"].as_str().unwrap().to_owned(),
        request: case["request"]
            .as_str()
            .unwrap()
            .chars()
            .map(|c| u8::try_from(u32::from(c)).unwrap())
            .collect(),
        expect: case["expect"].as_str().unwrap().split(" | ").map(str::to_owned).collect(),
    });
    let cases: Vec<Case> = cases.collect();
    assert_eq!(cases.len(), 111);
    cases
}

/// What a client saw: the statuses in order, and whether the connection was closed.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    statuses: Vec<u16>,
    closed: bool,
}

fn play(gateway: &Gateway, pieces: &[&[u8]], method: &str) -> Outcome {
    let mut client = Client::connect(gateway.address);
    for piece in pieces {
        // A connection that was refused early may break while the rest is written.
        if client.stream.write_all(piece).is_err() {
            break;
        }
    }
    let mut outcome = Outcome { statuses: Vec::new(), closed: false };
    // A client that ends its side while it waits has left, so the end of the answers is found by a last request instead.
    let _ = client.stream.write_all(b"GET /last HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n");
    while let Some(answer) = client.answer_to(method) {
        if answer.field("x-last").is_some() {
            return outcome;
        }
        outcome.statuses.push(answer.status);
    }
    let _ = client.stream.shutdown(Shutdown::Both);
    outcome.closed = true;
    outcome
}

fn fits(outcome: &Outcome, expect: &str) -> bool {
    let (kind, code) = expect.split_once(':').unwrap_or((expect, ""));
    let wanted: (&[u16], bool) = match kind {
        "reject-400-close" => (&[400], true),
        "reject-501-close" => (&[501], true),
        "reject-other" => (&[code.parse().unwrap()], true),
        "reject-keep" => (&[code.parse().unwrap()], false),
        "accept" | "accept-local" | "accept-drop" => (&[200], false),
        "accept-close" => (&[200], true),
        "accept-two" => (&[200, 200], false),
        "accept-100" => (&[100, 200], false),
        "accept-then-reject-400-close" => (&[200, 400], true),
        other => panic!("{other}"),
    };
    outcome.statuses == wanted.0 && outcome.closed == wanted.1
}

fn gateway() -> (Gateway, std::sync::Arc<AtomicUsize>) {
    let smuggled = std::sync::Arc::new(AtomicUsize::new(0));
    let counted = std::sync::Arc::clone(&smuggled);
    let origin = Origin::start(move |seen, stream| {
        if seen.line().contains("smuggled") {
            counted.fetch_add(1, Ordering::SeqCst);
        }
        let last: &[(&str, &str)] = if seen.line().contains("/last") { &[("X-Last", "1")] } else { &[] };
        assert!(
            seen.fields("x-consumer-username").is_empty() && seen.fields("x_consumer_username").is_empty()
        );
        stream.write_all(&answer(200, last, "")).is_ok()
    });
    (Gateway::to(origin.upstream()), smuggled)
}

#[test]
fn every_case_gets_its_wanted_answer_whole_split_and_pipelined() {
    let (gateway, smuggled) = gateway();
    let mut wrong = Vec::new();
    for case in cases() {
        let method = String::from_utf8_lossy(&case.request).split(' ').next().unwrap_or_default().to_owned();
        let before = smuggled.load(Ordering::SeqCst);
        let bytes: Vec<&[u8]> = case.request.chunks(1).collect();
        let good = b"GET /good HTTP/1.1\r\nHost: a.test\r\n\r\n".as_slice();
        let behind = [good, &case.request].concat();
        let mut ways = vec![
            ("whole", play(&gateway, &[&case.request], &method)),
            ("behind", {
                let mut outcome = play(&gateway, &[&behind], &method);
                assert_eq!(outcome.statuses.remove(0), 200, "{}", case.id);
                outcome
            }),
        ];
        if case.request.len() < 2000 {
            ways.push(("bytewise", play(&gateway, &bytes, &method)));
        }
        for (way, outcome) in ways {
            if !case.expect.iter().any(|expect| fits(&outcome, expect)) {
                wrong.push(format!("{} {way}: {outcome:?} instead of {:?}", case.id, case.expect));
            }
        }
        let two = case.expect.iter().any(|expect| expect == "accept-two");
        assert!(two || smuggled.load(Ordering::SeqCst) == before, "{} smuggled a request", case.id);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
