//! A body that is held back until it is whole, because it is changed as one.

use bytes::Bytes;
use usher_http1::head::Head;
use usher_pipeline::body::{BodyError, BodyOut, BodyStep};

/// Makes of the whole body and its trailers what goes on.
pub(crate) type Change = Box<dyn FnOnce(Vec<u8>, &mut Head) -> Result<Bytes, BodyError>>;

/// Holds a body back, and changes it at its end.
pub(crate) struct Held {
    limit: u64,
    held: Vec<u8>,
    change: Option<Change>,
}

impl Held {
    /// At most `limit` bytes are held; a larger body is cut visibly.
    pub(crate) fn new(
        limit: u64,
        change: impl FnOnce(Vec<u8>, &mut Head) -> Result<Bytes, BodyError> + 'static,
    ) -> Self {
        Self { limit, held: Vec::new(), change: Some(Box::new(change)) }
    }
}

impl BodyStep for Held {
    fn chunk(&mut self, bytes: Bytes, _: &mut BodyOut) -> Result<(), BodyError> {
        if (self.held.len() + bytes.len()) as u64 > self.limit {
            return Err(BodyError::TooLarge { limit: self.limit });
        }
        self.held.extend_from_slice(&bytes);
        Ok(())
    }

    fn end(&mut self, trailers: &mut Head, out: &mut BodyOut) -> Result<(), BodyError> {
        if let Some(change) = self.change.take() {
            out.push(change(std::mem::take(&mut self.held), trailers)?);
        }
        Ok(())
    }
}

/// What an answer's head says of a body that is no more, where another one takes its place.
pub(crate) fn forget_old_body(answer: &mut Head) {
    for gone in [
        "content-length",
        "content-encoding",
        "content-md5",
        "content-digest",
        "repr-digest",
        "digest",
        "etag",
        "last-modified",
        "accept-ranges",
    ] {
        answer.remove(gone);
    }
}
