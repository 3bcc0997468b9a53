//! The 111 hostile and odd requests of `corpus/http1-corpus.json`: each gets its wanted answer, whole, split at every byte, and pipelined
//! behind a good request.

use bytes::BytesMut;
use serde_json::Value;
use usher_http1::body::{BodyDecoder, BodyEvent};
use usher_http1::encode::{RequestExtras, encode_last_chunk, encode_request};
use usher_http1::head::Head;
use usher_http1::limits::Limits;
use usher_http1::request::{Framing, HeadProgress, decode_request};

struct Case {
    id: String,
    request: Vec<u8>,
    expect: Vec<String>,
    drop: Vec<String>,
}

fn cases() -> Vec<Case> {
    let text = include_str!("../corpus/http1-corpus.json");
    let corpus: Value = serde_json::from_str(text).unwrap();
    let cases: Vec<Case> = corpus["cases"]
        .as_array()
        .unwrap()
        .iter()
        .map(|case| {
            let request: Vec<u8> = case["request"]
                .as_str()
                .unwrap()
                .chars()
                .map(|c| u8::try_from(u32::from(c)).unwrap())
                .collect();
            assert_eq!(request.len() as u64, case["bytes"].as_u64().unwrap(), "{}", case["id"]);
            Case {
                id: case["id"].as_str().unwrap().to_owned(),
                request,
                expect: case["expect"].as_str().unwrap().split(" | ").map(str::to_owned).collect(),
                drop: case["drop"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .map(|name| name.as_str().unwrap().to_owned())
                    .collect(),
            }
        })
        .collect();
    assert_eq!(cases.len(), 111);
    cases
}

/// What a server built on the codec does with a stream of bytes: an answer per request, and whether it closes.
#[derive(Debug, Default, PartialEq)]
struct Served {
    statuses: Vec<u16>,
    closed: bool,
    local: bool,
    continued: bool,
    forwarded: Vec<u8>,
}

fn serve<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Served {
    let limits = Limits::default();
    let (mut buf, mut head, mut progress) = (BytesMut::new(), Head::empty(), HeadProgress::default());
    let mut served = Served::default();
    let mut open: Option<(BodyDecoder, Framing, bool)> = None;
    for piece in pieces {
        buf.extend_from_slice(piece);
        loop {
            if served.closed {
                return served;
            }
            if let Some((decoder, framing, keep_alive)) = &mut open {
                match decoder.decode(&mut buf) {
                    Ok(BodyEvent::Data(_)) => continue,
                    Ok(BodyEvent::NeedMore) => break,
                    Ok(BodyEvent::End) => {
                        served.statuses.push(200);
                        served.closed = !*keep_alive;
                        head.drop_hop_by_hop();
                        let underscored: Vec<String> = head
                            .iter()
                            .filter(|(name, _)| name.contains('_'))
                            .map(|(name, _)| name.to_owned())
                            .collect();
                        assert_eq!(head.has_underscore_names(), !underscored.is_empty());
                        for name in &underscored {
                            head.remove(name);
                        }
                        let extras =
                            RequestExtras { framing: *framing, target: None, websocket: false, close: false };
                        encode_request(&mut served.forwarded, &head, extras);
                        if *framing == Framing::Chunked {
                            encode_last_chunk(&mut served.forwarded, decoder.trailers().as_ref());
                        }
                        open = None;
                        continue;
                    }
                    Err(bad) => {
                        served.statuses.push(bad.status);
                        served.closed = true;
                        continue;
                    }
                }
            }
            match decode_request(&mut buf, &mut head, &limits, &mut progress) {
                Ok(None) => break,
                Ok(Some(decoded)) if decoded.asterisk => {
                    served.statuses.push(200);
                    served.local = true;
                }
                Ok(Some(decoded)) if head.method() == "TRACE" => {
                    served.statuses.push(405);
                    served.closed = !decoded.keep_alive;
                }
                Ok(Some(decoded)) => {
                    served.continued |= decoded.expect_continue;
                    open = Some((
                        BodyDecoder::new(decoded.framing, &limits),
                        decoded.framing,
                        decoded.keep_alive,
                    ));
                }
                Err(reject) => {
                    served.statuses.push(reject.status);
                    served.closed = true;
                }
            }
        }
    }
    served
}

fn holds(case: &Case, served: &Served) -> bool {
    case.expect.iter().any(|expect| match expect.as_str() {
        "reject-400-close" => served.statuses == [400] && served.closed,
        "reject-501-close" => served.statuses == [501] && served.closed,
        "accept" => served.statuses == [200],
        "accept-local" => served.statuses == [200] && served.local,
        "accept-drop" => served.statuses == [200] && drops(case, served),
        "accept-close" => served.statuses == [200] && served.closed,
        "accept-two" => served.statuses == [200, 200],
        "accept-100" => served.statuses == [200] && served.continued,
        "accept-then-reject-400-close" => served.statuses == [200, 400] && served.closed,
        other => {
            let (kind, status) = other.split_once(':').unwrap();
            let status: u16 = status.parse().unwrap();
            served.statuses == [status] && (served.closed || kind == "reject-keep")
        }
    })
}

fn drops(case: &Case, served: &Served) -> bool {
    let text = String::from_utf8(served.forwarded.clone()).unwrap().to_ascii_lowercase();
    case.drop.iter().all(|name| {
        let name = name.strip_prefix("trailer:").unwrap_or(name);
        !text.contains(&format!("\r\n{name}:"))
    })
}

#[test]
fn every_case_gets_its_answer_when_it_comes_whole() {
    for case in cases() {
        let served = serve(std::iter::once(case.request.as_slice()));
        assert!(holds(&case, &served), "{}: wanted {:?}, but {served:?}", case.id, case.expect);
    }
}

#[test]
fn every_case_gets_the_same_answer_when_it_comes_in_two_pieces_split_anywhere() {
    for case in cases() {
        let step = (case.request.len() / 2000).max(1);
        for at in (1..case.request.len()).step_by(step) {
            let (one, two) = case.request.split_at(at);
            let served = serve([one, two].into_iter());
            assert!(
                holds(&case, &served),
                "{} split at {at}: wanted {:?}, but {served:?}",
                case.id,
                case.expect
            );
        }
    }
}

#[test]
fn every_case_gets_the_same_answer_byte_by_byte() {
    for case in cases() {
        let served = serve(case.request.chunks(1));
        assert!(holds(&case, &served), "{}: wanted {:?}, but {served:?}", case.id, case.expect);
    }
}

#[test]
fn every_case_gets_the_same_answer_behind_a_good_request() {
    let good = b"GET /good HTTP/1.1\r\nHost: a.test\r\n\r\n";
    for case in cases() {
        let pipelined = [good.as_slice(), &case.request].concat();
        let mut served = serve(std::iter::once(pipelined.as_slice()));
        assert_eq!(served.statuses.first(), Some(&200), "{}", case.id);
        served.statuses.remove(0);
        served.forwarded.drain(..b"GET /good HTTP/1.1\r\nHost: a.test\r\n\r\n".len());
        assert!(holds(&case, &served), "{}: wanted {:?}, but {served:?}", case.id, case.expect);
    }
}
