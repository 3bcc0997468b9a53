//! Beside httparse, which many servers split heads with: what is read here is read by it, with the same parts; and it reads nothing beyond that
//! but what is refused here on purpose.

use bytes::BytesMut;
use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, Strategy, any, prop_oneof};
use proptest::sample::select;
use proptest::{prop_assert, prop_assert_eq, proptest};
use usher_http1::head::{Head, Version};
use usher_http1::limits::Limits;
use usher_http1::request::{HeadProgress, decode_request};
use usher_http1::response::decode_response;

/// A head as both see it.
#[derive(Debug, PartialEq)]
struct Seen {
    /// Method and target, or the status.
    start: (String, String),
    version: u8,
    fields: Vec<(String, Vec<u8>)>,
    length: usize,
}

fn ours(head: &Head, start: (String, String), length: usize) -> Seen {
    let fields = head.iter().map(|(name, value)| (name.to_owned(), value.to_vec())).collect();
    Seen { start, version: u8::from(head.version() == Version::Http11), fields, length }
}

fn theirs(
    start: (String, String),
    version: Option<u8>,
    fields: &[httparse::Header<'_>],
    length: usize,
) -> Seen {
    let fields = fields.iter().map(|field| (field.name.to_owned(), field.value.to_vec())).collect();
    Seen { start, version: version.unwrap(), fields, length }
}

fn request_by_us(data: &[u8]) -> Option<Seen> {
    let (mut buf, mut head) = (BytesMut::from(data), Head::empty());
    decode_request(&mut buf, &mut head, &Limits::default(), &mut HeadProgress::default()).ok()??;
    let start = (head.method().to_owned(), head.target().to_owned());
    Some(ours(&head, start, data.len() - buf.len()))
}

fn request_by_httparse(data: &[u8]) -> Option<Seen> {
    let mut slots = [httparse::EMPTY_HEADER; 100];
    let mut parsed = httparse::Request::new(&mut slots);
    let httparse::Status::Complete(length) = parsed.parse(data).ok()? else { return None };
    let start = (parsed.method?.to_owned(), parsed.path?.to_owned());
    Some(theirs(start, parsed.version, parsed.headers, length))
}

fn answer_by_us(data: &[u8]) -> Option<Seen> {
    let (mut buf, mut head) = (BytesMut::from(data), Head::empty());
    decode_response(&mut buf, &mut head, &Limits::for_answers(), &mut HeadProgress::default(), "GET")
        .ok()??;
    Some(ours(&head, (head.status().to_string(), String::new()), data.len() - buf.len()))
}

fn answer_by_httparse(data: &[u8]) -> Option<Seen> {
    let mut slots = [httparse::EMPTY_HEADER; 100];
    let mut parsed = httparse::Response::new(&mut slots);
    let httparse::Status::Complete(length) = parsed.parse(data).ok()? else { return None };
    let start = (parsed.code?.to_string(), String::new());
    Some(theirs(start, parsed.version, parsed.headers, length))
}

/// Whether a line ends without CR, which is refused here.
fn has_bare_line_feed(head: &[u8]) -> bool {
    head.iter().enumerate().any(|(at, byte)| *byte == b'\n' && (at == 0 || head[at - 1] != b'\r'))
}

/// Lines that are nearly, or wholly, fields. None of them has a meaning that could be refused.
fn lines() -> impl Strategy<Value = Vec<u8>> {
    let odd = prop_oneof![any::<u8>(), select(b"\r\n\t :;,_-~!|\x7f\x80\xffaZ09".to_vec())];
    let name = prop_oneof![
        select(vec!["X-A", "Accept-Encoding", "x_under_score", "X.Y~z", "", "X ", "Caf\u{e9}"])
            .prop_map(str::to_owned),
        "[A-Za-z0-9-]{1,24}".prop_map(|name| format!("X{name}")),
    ];
    let separator = select(vec![":", ": ", ":\t", " :", "", ":  \t "]);
    let value =
        prop_oneof![vec(prop_oneof![0x20_u8..=0x7e, 0x80_u8..=0xff], 0..40), vec(odd.clone(), 0..12),];
    let ending = select(vec!["\r\n", "\r\n", "\r\n", "\r\n", "\n", "\r", " \t\r\n", "\r\n "]);
    let line = (name, separator, value, ending).prop_map(|(name, separator, value, ending)| {
        [name.as_bytes(), separator.as_bytes(), &value, ending.as_bytes()].concat()
    });
    (vec(prop_oneof![9 => line.boxed(), 1 => vec(odd, 0..30).boxed()], 0..6), any::<bool>()).prop_map(
        |(lines, ended)| [lines.concat().as_slice(), if ended { b"\r\n" } else { b"" }, b"rest"].concat(),
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn fields_are_split_as_httparse_splits_them(lines in lines()) {
        let data = [b"HTTP/1.1 200 OK\r\n".as_slice(), &lines].concat();
        let (ours, theirs) = (answer_by_us(&data), answer_by_httparse(&data));
        match (&ours, &theirs) {
            (Some(_), _) => prop_assert_eq!(&ours, &theirs),
            (None, Some(theirs)) => prop_assert!(has_bare_line_feed(&data[..theirs.length]), "{:?}", data),
            (None, None) => {}
        }
        let data = [b"GET /a HTTP/1.1\r\nHost: a\r\n".as_slice(), &lines].concat();
        let (ours, theirs) = (request_by_us(&data), request_by_httparse(&data));
        match (&ours, &theirs) {
            (Some(_), _) => prop_assert_eq!(&ours, &theirs),
            (None, Some(theirs)) => prop_assert!(has_bare_line_feed(&data[..theirs.length]), "{:?}", data),
            (None, None) => {}
        }
    }

    #[test]
    fn start_lines_that_are_read_are_read_by_httparse_alike(
        method in prop_oneof!["[A-Z]{1,33}", "[!-~]{0,9}"],
        spaces in select(vec![" ", " ", " ", "  ", "\t", ""]),
        target in prop_oneof!["/[ -~]{0,30}", "/[a-z0-9/?&=%.-]{0,30}", "\\PC{0,9}"],
        version in select(vec![" HTTP/1.1", " HTTP/1.1", " HTTP/1.0", " HTTP/1.2", " HTTP/2.0", "", " http/1.1", "  HTTP/1.1", " HTTP/1.1 "]),
        status in prop_oneof!["[0-9]{0,4}", "[ -~]{0,4}"],
        reason in prop_oneof![" [ -~\\t]{0,20}", "[\\x00-\\x7f]{0,3}"],
        ending in select(vec!["\r\n", "\r\n", "\r\n", "\n", "\r"]),
    ) {
        let request = format!("{method}{spaces}{target}{version}{ending}Host: a\r\n\r\n");
        let ours = request_by_us(request.as_bytes());
        if ours.is_some() {
            prop_assert_eq!(&ours, &request_by_httparse(request.as_bytes()));
        }
        let answer = format!("{}{spaces}{status}{reason}{ending}A: b\r\n\r\n", version.trim_start());
        let ours = answer_by_us(answer.as_bytes());
        if ours.is_some() {
            prop_assert_eq!(&ours, &answer_by_httparse(answer.as_bytes()));
        } else if let Some(theirs) = answer_by_httparse(answer.as_bytes()) {
            // A status below 100, a bare line feed, the like of `HTTP/1.1 200reason`, or a switch to no named protocol.
            let on_purpose = has_bare_line_feed(answer.as_bytes()) || status.starts_with('0') || status == "101";
            prop_assert!(on_purpose, "{:?}: {:?}", answer, theirs);
        }
    }
}
