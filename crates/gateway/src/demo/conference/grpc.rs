//! The conference as a gRPC service of one unary method: `conference.v1.Conference/GetSpeaker`, as examples/grpc/conference.proto says.
//!
//! Two messages of three fields are read and written by hand: a generator would weigh more than they do.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::stream;
use http_body_util::StreamBody;
use hyper::body::Frame;

use super::data::SPEAKERS;

/// The path of the method.
pub(super) const GET_SPEAKER: &str = "/conference.v1.Conference/GetSpeaker";

/// What came of a call: numbers and texts of gRPC's own list of status codes.
struct Status(&'static str, &'static str);

const OK: Status = Status("0", "");
const INVALID_ARGUMENT: Status = Status("3", "one message SpeakerRequest {uint32 id = 1} is wanted");
const NOT_FOUND: Status = Status("5", "no such speaker");

/// Answers with `Speaker {uint32 id = 1; string name = 2; string company = 3}`, or a status.
pub(super) async fn get_speaker(headers: HeaderMap, body: Bytes) -> Response {
    let kind = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    if !kind.starts_with(b"application/grpc") {
        return (StatusCode::UNSUPPORTED_MEDIA_TYPE, "calls of gRPC are answered here\n").into_response();
    }
    let Some(id) = asked(&body) else { return answer(&[], &INVALID_ARGUMENT) };
    let Some(speaker) = SPEAKERS.iter().find(|speaker| speaker.id == id) else {
        return answer(&[], &NOT_FOUND);
    };
    let mut message = vec![0x08];
    varint(&mut message, speaker.id);
    for (tag, text) in [(0x12, speaker.name), (0x1a, speaker.company)] {
        message.push(tag);
        varint(&mut message, u32::try_from(text.len()).unwrap_or_default());
        message.extend_from_slice(text.as_bytes());
    }
    // One message in clear: a zero, then its length in four bytes.
    let mut framed = vec![0];
    framed.extend_from_slice(&u32::try_from(message.len()).unwrap_or_default().to_be_bytes());
    framed.append(&mut message);
    answer(&framed, &OK)
}

fn answer(framed: &[u8], status: &Status) -> Response {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static(status.0));
    if !status.1.is_empty() {
        trailers.insert("grpc-message", HeaderValue::from_static(status.1));
    }
    // A stream, so that no length is announced: some clients leave at the last byte, and never see the trailers behind it.
    let frames = [Frame::data(Bytes::copy_from_slice(framed)), Frame::trailers(trailers)];
    let body = StreamBody::new(stream::iter(frames.map(Ok::<_, std::convert::Infallible>)));
    ([(header::CONTENT_TYPE, "application/grpc")], Body::new(body)).into_response()
}

/// The `id` of a request: one message in clear, whose only field is it. An empty message asks for 0, which nobody is.
fn asked(body: &[u8]) -> Option<u32> {
    let (prefix, message) = body.split_at_checked(5)?;
    let (compressed, length) = prefix.split_first()?;
    let length = u32::from_be_bytes(length.try_into().ok()?);
    if *compressed != 0 || usize::try_from(length).ok()? != message.len() {
        return None;
    }
    match message.split_first() {
        None => Some(0),
        Some((0x08, number)) => {
            let mut value = 0_u32;
            for (at, byte) in number.iter().enumerate() {
                let part = u32::from(byte & 0x7f).checked_shl(u32::try_from(at).ok()?.checked_mul(7)?)?;
                value |= part;
                if byte & 0x80 == 0 {
                    return (at + 1 == number.len()).then_some(value);
                }
            }
            None
        }
        Some(_) => None,
    }
}

/// A number as protobuf writes it: seven bits a byte, the lowest first.
fn varint(out: &mut Vec<u8>, mut number: u32) {
    while number >= 0x80 {
        out.extend_from_slice(&[(number & 0x7f).to_le_bytes()[0] | 0x80]);
        number >>= 7;
    }
    out.extend_from_slice(&[number.to_le_bytes()[0]]);
}

#[cfg(test)]
mod tests {
    use super::{asked, varint};

    #[test]
    fn a_request_names_a_speaker_or_is_none() {
        for (body, wanted) in [
            (&[0, 0, 0, 0, 2, 0x08, 7][..], Some(7)),
            (&[0, 0, 0, 0, 3, 0x08, 0xac, 0x02], Some(300)),
            (&[0, 0, 0, 0, 0], Some(0)),
            (&[], None),
            (&[0, 0, 0, 0], None),
            (&[1, 0, 0, 0, 2, 0x08, 7], None),
            (&[0, 0, 0, 0, 9, 0x08, 7], None),
            (&[0, 0, 0, 0, 2, 0x10, 7], None),
            (&[0, 0, 0, 0, 2, 0x08, 0x80], None),
            (&[0, 0, 0, 0, 8, 0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01], None),
        ] {
            assert_eq!(asked(body), wanted, "{body:?}");
        }
        let mut out = Vec::new();
        varint(&mut out, 300);
        assert_eq!(out, [0xac, 0x02]);
    }
}
