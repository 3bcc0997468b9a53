//! Heads of one connection, which are compared with those before: each has to be read as if it came alone.

use bytes::BytesMut;
use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, Strategy};
use proptest::sample::select;
use proptest::{prop_assert_eq, proptest};
use usher_http1::encode::{RequestExtras, encode_request};
use usher_http1::familiar::Familiar;
use usher_http1::head::Head;
use usher_http1::limits::Limits;
use usher_http1::request::{Framing, HeadProgress, decode_familiar_request};
use usher_http1::response::decode_familiar_response;

/// Few lines, so that the same come again; many of them mean something to framing, and some are refused.
const LINES: &[&str] = &[
    "Host: a.example",
    "Host: b.example",
    "Accept: */*",
    "Accept: text/x",
    "Date: Mon, 01 Jan 2024 00:00:00 GMT",
    "Date: Mon, 01 Jan 2024 00:00:01 GMT",
    "x_under: 1",
    "Content-Length: 5",
    "Content-Length: 15",
    "Transfer-Encoding: chunked",
    "Connection: close",
    "Connection: keep-alive, Upgrade",
    "Upgrade: websocket",
    "Upgrade: h2c",
    "Expect: 100-continue",
    "X-Empty:",
];

fn heads(starts: &'static [&'static str]) -> impl Strategy<Value = Vec<String>> {
    let lines = select(vec![1_usize, 3, 7]).prop_flat_map(|most| vec(select(LINES), 0..=most));
    let head = (select(starts), lines).prop_map(|(start, lines)| {
        let host = if start.starts_with("HTTP/") { "" } else { "Host: a.example\r\n" };
        format!("{start}\r\n{host}{}\r\n", lines.iter().map(|line| format!("{line}\r\n")).collect::<String>())
    });
    // Each comes several times, so that it is known as a whole.
    vec((head, 1..4_usize), 1..12)
        .prop_map(|heads| heads.into_iter().flat_map(|(head, times)| vec![head; times]).collect())
}

fn written(head: &Head) -> String {
    let mut head = head.clone();
    head.drop_hop_by_hop();
    let mut out = Vec::new();
    let extras = RequestExtras { framing: Framing::None, target: None, websocket: false, close: false };
    encode_request(&mut out, &head, extras);
    format!("{} {}", head.has_underscore_names(), String::from_utf8_lossy(&out))
}

fn request(text: &str, familiar: &mut Familiar) -> String {
    let (mut buf, mut head) = (BytesMut::from(format!("{text}GET").as_str()), Head::empty());
    let (limits, mut progress) = (Limits::default(), HeadProgress::default());
    let read = decode_familiar_request(&mut buf, &mut head, &limits, &mut progress, familiar);
    let shown = if matches!(read, Ok(Some(_))) { written(&head) } else { String::new() };
    format!("{read:?} {shown} {}", buf.len())
}

fn answer(text: &str, familiar: &mut Familiar) -> String {
    let (mut buf, mut head) = (BytesMut::from(format!("{text}body").as_str()), Head::empty());
    let (limits, mut progress) = (Limits::for_answers(), HeadProgress::default());
    let read = decode_familiar_response(&mut buf, &mut head, &limits, &mut progress, "GET", familiar);
    let shown = if matches!(read, Ok(Some(_))) { written(&head) } else { String::new() };
    format!("{read:?} {} {shown} {}", head.status(), buf.len())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn requests_are_read_as_if_each_came_alone(
        heads in heads(&["GET / HTTP/1.1", "POST /longer?q=1 HTTP/1.1", "GET / HTTP/1.0", "GET http://a.example/x HTTP/1.1"])
    ) {
        let mut familiar = Familiar::default();
        for text in heads {
            prop_assert_eq!(request(&text, &mut familiar), request(&text, &mut Familiar::forgetful()));
        }
    }

    #[test]
    fn answers_are_read_as_if_each_came_alone(
        heads in heads(&["HTTP/1.1 200 OK", "HTTP/1.1 304 Not Modified", "HTTP/1.0 200 OK", "HTTP/1.1 101 Switching"])
    ) {
        let mut familiar = Familiar::default();
        for text in heads {
            prop_assert_eq!(answer(&text, &mut familiar), answer(&text, &mut Familiar::forgetful()));
        }
    }
}
