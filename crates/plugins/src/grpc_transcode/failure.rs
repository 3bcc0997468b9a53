//! What clients learn of a call that failed: the status of HTTP that stands for it, and its details as JSON.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use serde_json::{Map, Value, json};
use usher_http1::head::Head;
use usher_model::protobuf::{Message, Style};

/// The status of HTTP that stands for a code of gRPC.
pub(super) fn status(code: &str) -> u16 {
    match code {
        "1" => 499,
        "3" | "9" | "11" => 400,
        "4" => 504,
        "5" => 404,
        "6" | "10" => 409,
        "7" => 403,
        "8" => 429,
        "12" => 501,
        "2" | "13" | "15" => 500,
        "14" => 503,
        "16" => 401,
        _ => 599,
    }
}

/// The details of a failure; `None` where it has none. Details that can't be read are answered with what is wrong with them.
pub(super) fn body(answer: &Head, detail: Option<&Message>, style: Style) -> Option<Vec<u8>> {
    let text = answer.get_str("grpc-status-details-bin")?.trim_end_matches('=');
    let Ok(bytes) = STANDARD_NO_PAD.decode(text) else {
        return Some(b"grpc-status-details-bin is not base64 format".to_vec());
    };
    let Some(status) = Status::read(&bytes) else {
        return Some(b"failed to decode grpc-status-details-bin".to_vec());
    };
    let mut told = Map::new();
    told.insert("code".to_owned(), status.code.into());
    told.insert("message".to_owned(), status.message.into());
    let mut details = Vec::with_capacity(status.details.len());
    for (kind, value) in status.details {
        let one = match detail {
            Some(detail) => detail.decode(value, style).ok(),
            None => Some(json!({ "type_url": kind, "value": plain(value) })),
        };
        let Some(one) = one else {
            return Some(b"failed to decode details in grpc-status-details-bin".to_vec());
        };
        details.push(one);
    }
    if !details.is_empty() {
        told.insert("details".to_owned(), Value::Array(details));
    }
    Some(json!({ "error": told }).to_string().into_bytes())
}

/// Bytes as a text, or in base64 where they are none.
fn plain(bytes: &[u8]) -> String {
    std::str::from_utf8(bytes).map_or_else(|_| STANDARD.encode(bytes), str::to_owned)
}

/// A failure with its details (`google.rpc.Status`): each the name of its kind and its bytes.
#[derive(Default)]
struct Status<'a> {
    code: i64,
    message: String,
    details: Vec<(String, &'a [u8])>,
}

impl<'a> Status<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut status = Self::default();
        let mut rest = bytes;
        while !rest.is_empty() {
            match field(&mut rest)? {
                // A negative number stands as its two's complement.
                (1, Part::Number(code)) => status.code = code.cast_signed(),
                (2, Part::Bytes(text)) => status.message = String::from_utf8_lossy(text).into_owned(),
                (3, Part::Bytes(mut any)) => {
                    let mut one = (String::new(), &[][..]);
                    while !any.is_empty() {
                        match field(&mut any)? {
                            (1, Part::Bytes(kind)) => one.0 = String::from_utf8_lossy(kind).into_owned(),
                            (2, Part::Bytes(value)) => one.1 = value,
                            _ => {}
                        }
                    }
                    status.details.push(one);
                }
                _ => {}
            }
        }
        Some(status)
    }
}

enum Part<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The first field of a message: its number and its value.
fn field<'a>(rest: &mut &'a [u8]) -> Option<(u64, Part<'a>)> {
    let tag = varint(rest)?;
    let length = match tag & 7 {
        0 => return Some((tag >> 3, Part::Number(varint(rest)?))),
        1 => 8,
        2 => usize::try_from(varint(rest)?).ok()?,
        5 => 4,
        _ => return None,
    };
    let (value, behind) = rest.split_at_checked(length)?;
    *rest = behind;
    Some((tag >> 3, Part::Bytes(value)))
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, behind) = rest.split_first()?;
        *rest = behind;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}
