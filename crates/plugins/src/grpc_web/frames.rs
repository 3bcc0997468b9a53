//! Bodies of gRPC-Web: perhaps in base64, with what HTTP/2 sends behind a body as its last frame.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use usher_http1::head::Head;
use usher_pipeline::body::{BodyError, BodyOut, BodyStep};

use crate::grpc_frames::frame;

/// The flag of the frame that holds trailers.
const TRAILERS: u8 = 0x80;

/// The bytes of a body in base64. Clients may end it anywhere and begin anew, each piece with its own padding.
pub(super) fn decoded(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let mut piece = Vec::new();
    for group in text.chunks(4) {
        piece.extend_from_slice(group);
        if group.ends_with(b"=") {
            STANDARD.decode_vec(&piece, &mut out).ok()?;
            piece.clear();
        }
    }
    STANDARD.decode_vec(&piece, &mut out).ok()?;
    Some(out)
}

/// Passes an answer's body on, its trailers as the last frame.
pub(super) struct Trailing {
    pub(super) is_text: bool,
}

impl Trailing {
    fn send(&self, bytes: Bytes, out: &mut BodyOut) {
        out.push(if self.is_text { STANDARD.encode(bytes).into() } else { bytes });
    }
}

impl BodyStep for Trailing {
    fn chunk(&mut self, bytes: Bytes, out: &mut BodyOut) -> Result<(), BodyError> {
        self.send(bytes, out);
        Ok(())
    }

    fn end(&mut self, trailers: &mut Head, out: &mut BodyOut) -> Result<(), BodyError> {
        let mut block = Vec::new();
        for (name, value) in trailers.iter() {
            block.extend_from_slice(name.to_ascii_lowercase().as_bytes());
            block.push(b':');
            block.extend_from_slice(value);
            block.extend_from_slice(b"\r\n");
        }
        // An answer whose head says how the call went has none.
        if !block.is_empty() {
            self.send(frame(TRAILERS, &block), out);
            trailers.clear();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use usher_http1::head::Head;
    use usher_pipeline::body::{BodyOut, BodyStep as _};

    use super::{Trailing, decoded};

    #[test]
    fn trailers_are_the_last_frame() {
        for is_text in [false, true] {
            let mut step = Trailing { is_text };
            let mut out = BodyOut::default();
            let mut trailers = Head::empty();
            trailers.append("Grpc-Status", "5").unwrap();
            trailers.append("grpc-message", "gone").unwrap();
            step.chunk("data".into(), &mut out).unwrap();
            step.end(&mut trailers, &mut out).unwrap();
            let mut sent = out.take().concat();
            if is_text {
                sent = decoded(&sent).unwrap();
            }
            assert_eq!(sent, b"data\x80\0\0\0\x22grpc-status:5\r\ngrpc-message:gone\r\n");
            assert!(trailers.is_empty());
        }
    }

    #[test]
    fn base_64_may_come_in_pieces() {
        let text = format!("{}{}{}", STANDARD.encode("a"), STANDARD.encode("bc"), STANDARD.encode("def"));
        assert_eq!(decoded(text.as_bytes()).unwrap(), b"abcdef");
        assert_eq!(decoded(b""), Some(Vec::new()));
        for bad in [b"A".as_slice(), b"AAA", b"A=AA", b"====", b"AA!="] {
            assert_eq!(decoded(bad), None, "{bad:?}");
        }
    }
}
