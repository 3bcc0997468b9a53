//! Messages of gRPC in a body: each has five bytes in front of it, a flag and its length.

use bytes::{Buf as _, Bytes, BytesMut};
use usher_pipeline::body::BodyError;

/// The bytes in front of a message.
const PREFIX: usize = 5;

/// One message, framed.
pub(crate) fn frame(flag: u8, message: &[u8]) -> Bytes {
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes();
    [&[flag], length.as_slice(), message].concat().into()
}

/// Takes messages out of a body as it comes.
pub(crate) struct Frames {
    coming: BytesMut,
    limit: u64,
}

impl Frames {
    /// A message of more than `limit` bytes is refused.
    pub(crate) fn new(limit: u64) -> Self {
        Self { coming: BytesMut::new(), limit }
    }

    /// More of the body came.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.coming.extend_from_slice(bytes);
    }

    /// The next whole message.
    ///
    /// # Errors
    /// It is too long, or compressed, which nobody asked for.
    pub(crate) fn next(&mut self) -> Result<Option<Bytes>, BodyError> {
        let Some((prefix, rest)) = self.coming.split_first_chunk::<PREFIX>() else { return Ok(None) };
        let [flag, length @ ..] = *prefix;
        let length = u32::from_be_bytes(length);
        if u64::from(length) > self.limit {
            return Err(BodyError::TooLarge { limit: self.limit });
        }
        if flag != 0 {
            return Err(BodyError::Refused(
                "a message of gRPC is compressed, which nobody asked for".to_owned(),
            ));
        }
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if rest.len() < length {
            return Ok(None);
        }
        self.coming.advance(PREFIX);
        Ok(Some(self.coming.split_to(length).freeze()))
    }

    /// Whether a message was begun and isn't whole.
    pub(crate) fn is_torn(&self) -> bool {
        !self.coming.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::{Frames, frame};

    #[test]
    fn messages_are_found_wherever_the_body_is_cut() {
        let body = [frame(0, b"one"), frame(0, b""), frame(0, b"three")].concat();
        for size in 1..body.len() {
            let mut frames = Frames::new(5);
            let mut found = Vec::new();
            for piece in body.chunks(size) {
                frames.push(piece);
                while let Some(message) = frames.next().unwrap() {
                    found.push(message);
                }
            }
            assert_eq!(found, ["one", "", "three"], "{size}");
            assert!(!frames.is_torn());
        }
    }

    #[test]
    fn what_is_too_long_compressed_or_torn_is_no_message() {
        for (body, wanted) in [
            (frame(0, b"four").to_vec(), None),
            (frame(1, b"abc").to_vec(), None),
            (vec![0, 0xff, 0xff, 0xff, 0xff], None),
            (vec![0, 0, 0, 0, 3, b'a'], Some(())),
        ] {
            let mut frames = Frames::new(3);
            frames.push(&body);
            assert_eq!(frames.next().ok().map(|message| assert!(message.is_none())), wanted, "{body:?}");
            assert!(frames.is_torn());
        }
    }
}
