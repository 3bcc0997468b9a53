//! What holds of any message: what is written reads back as it was, and how the bytes were cut never matters.

use proptest::collection::vec;
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_oneof};
use proptest::sample::{Index, select};
use proptest::{prop_assert, prop_assert_eq, proptest};
use usher_http1::check::{check, check_answers, read, read_answers};
use usher_http1::encode::{
    RequestExtras, ResponseExtras, encode_chunk, encode_last_chunk, encode_request, encode_response,
};
use usher_http1::head::Head;
use usher_http1::request::Framing;

type Fields = Vec<(String, Vec<u8>)>;

/// Fields that belong to the message, not to the connection: those are framed anew.
fn fields() -> impl Strategy<Value = Fields> {
    let name = "[A-Za-z][A-Za-z0-9-]{0,20}".prop_map(|name| format!("X-{name}"));
    let value = vec(prop_oneof![0x21_u8..=0x7e, 0x80_u8..=0xff, Just(b' ')], 0..40)
        .prop_map(|value| value.trim_ascii().to_vec());
    vec((name, value), 0..12)
}

fn body() -> impl Strategy<Value = (bool, Vec<Vec<u8>>)> {
    (any::<bool>(), vec(vec(any::<u8>(), 1..200), 0..6))
}

/// A stream cut at these places.
fn cut<'a>(bytes: &'a [u8], at: &[Index]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = at.iter().map(|index| index.index(bytes.len() + 1)).collect();
    places.extend([0, bytes.len()]);
    places.sort_unstable();
    places.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
}

fn write_body(out: &mut Vec<u8>, chunked: bool, pieces: &[Vec<u8>]) {
    for piece in pieces {
        if chunked {
            encode_chunk(out, piece);
        } else {
            out.extend_from_slice(piece);
        }
    }
    if chunked {
        encode_last_chunk(out, None);
    }
}

fn framing(chunked: bool, pieces: &[Vec<u8>]) -> Framing {
    match (chunked, pieces.iter().map(Vec::len).sum::<usize>()) {
        (true, _) => Framing::Chunked,
        (false, 0) => Framing::None,
        (false, length) => Framing::Length(length as u64),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_request_reads_back_as_it_was_written_however_it_is_cut(
        method in select(vec!["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY"]),
        target in "/[a-zA-Z0-9._~!$&'()*+,;=:@/-]{0,60}",
        fields in fields(),
        (chunked, pieces) in body(),
        at in vec(any::<Index>(), 0..8),
    ) {
        let mut head = Head::request(method, &target);
        head.set("Host", "a.test").unwrap();
        for (name, value) in &fields {
            head.append(name, value).unwrap();
        }
        let framing = framing(chunked, &pieces);
        let mut wire = Vec::new();
        encode_request(&mut wire, &head, RequestExtras { framing, target: None, websocket: false, close: false });
        write_body(&mut wire, chunked, &pieces);

        let whole = read(std::iter::once(wire.as_slice()));
        prop_assert_eq!(whole.refused, None);
        prop_assert_eq!(whole.forwarded.len(), 1);
        if chunked {
            // Pieces may be joined; nothing else may change.
            prop_assert!(check(&wire).is_ok());
        } else {
            prop_assert_eq!(&whole.forwarded[0], &wire);
        }
        prop_assert_eq!(read(cut(&wire, &at).into_iter()), whole);
    }

    #[test]
    fn an_answer_reads_back_as_it_was_written_however_it_is_cut(
        status in 200_u16..600,
        fields in fields(),
        (chunked, pieces) in body(),
        at in vec(any::<Index>(), 0..8),
    ) {
        let bodiless = matches!(status, 204 | 304);
        let pieces = if bodiless { Vec::new() } else { pieces };
        let chunked = chunked && !bodiless;
        let mut head = Head::response(status);
        for (name, value) in &fields {
            head.append(name, value).unwrap();
        }
        let framing = framing(chunked, &pieces);
        let mut wire = Vec::new();
        encode_response(
            &mut wire,
            &head,
            ResponseExtras { framing, close: false, keep_alive_1_0: false, websocket: false },
        );
        write_body(&mut wire, chunked, &pieces);

        let whole = read_answers("GET", std::iter::once(wire.as_slice()));
        prop_assert!(!whole.refused, "{:?}", String::from_utf8_lossy(&wire));
        let found = &whole.read[0];
        prop_assert_eq!((whole.read.len(), found.status), (1, status));
        prop_assert_eq!(&found.body, &pieces.concat());
        let own: Fields = found
            .fields
            .iter()
            .filter(|(name, _)| !matches!(name.as_str(), "Content-Length" | "Transfer-Encoding"))
            .cloned()
            .collect();
        prop_assert_eq!(&own, &fields);
        prop_assert_eq!(read_answers("GET", cut(&wire, &at).into_iter()), whole);
    }

    #[test]
    fn any_bytes_are_read_the_same_however_they_are_cut(
        start in select(vec!["", "GET / HTTP/1.1\r\nHost: a\r\n", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"]),
        bytes in vec(prop_oneof![any::<u8>(), select(b"\r\n\t :;,0123456789abcdefGETHTP/.*".to_vec())], 0..120),
    ) {
        let data = [start.as_bytes(), &bytes].concat();
        prop_assert_eq!(check(&data), Ok(()));
        let answer = [b"\0HTTP/1.1 200 OK\r\n".as_slice(), &bytes].concat();
        prop_assert_eq!(check_answers(&answer), Ok(()));
        prop_assert_eq!(check_answers(&bytes), Ok(()));
    }
}
