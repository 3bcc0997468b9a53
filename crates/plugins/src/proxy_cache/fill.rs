//! An answer on its way to the client, of which a copy is kept once it has arrived whole.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use usher_http1::head::Head;
use usher_pipeline::body::{BodyError, BodyOut, BodyStep};

use super::entry::Stored;
use super::flights::Flight;
use super::zones::Zone;

/// An answer that will be kept. Dropped before its end it leaves nothing behind, and one of those that wait takes over.
pub(super) struct Fill {
    place: Place,
    limit: u64,
    expected: Option<u64>,
    keeping: Option<Keeping>,
    reserved: u64,
}

struct Keeping {
    stored: Stored,
    body: Vec<u8>,
}

/// Where an answer belongs.
pub(super) struct Place {
    /// The zone.
    pub(super) zone: Arc<Zone>,
    /// The key.
    pub(super) key: Vec<u8>,
    /// How often the zone had been purged before the request was sent.
    pub(super) purges: u64,
    /// What others wait for.
    pub(super) flight: Option<Flight>,
}

impl Place {
    /// Answers can't be kept here: those that wait are not to try one after the other.
    pub(super) fn note_unkept(&self, now: Instant) {
        if self.flight.as_ref().is_some_and(Flight::is_awaited) {
            self.zone.note_unkept(&self.key, now);
        }
    }
}

impl Fill {
    /// Keeps `stored` once its body has come, of at most `limit` bytes. `expected` is the length that the upstream announced.
    pub(super) fn begin(place: Place, stored: Stored, limit: u64, expected: Option<u64>) -> Self {
        let room = expected.unwrap_or_default().min(64 * 1024);
        let body = Vec::with_capacity(usize::try_from(room).unwrap_or_default());
        Self { place, limit, expected, keeping: Some(Keeping { stored, body }), reserved: 0 }
    }

    /// Takes one piece of the body along, or gives up where there is no room for it.
    fn add(&mut self, piece: &[u8]) {
        let Some(keeping) = &mut self.keeping else { return };
        let more = piece.len() as u64;
        if keeping.body.len() as u64 + more <= self.limit && self.place.zone.reserve(more) {
            self.reserved += more;
            keeping.body.extend_from_slice(piece);
        } else {
            let now = keeping.stored.stored;
            self.place.note_unkept(now);
            self.leave();
        }
    }

    /// The body has come to its end.
    pub(super) fn finish(&mut self) {
        let Some(mut keeping) = self.keeping.take() else { return };
        let length = keeping.body.len() as u64;
        if self.expected.is_none_or(|expected| expected == length) {
            keeping.body.shrink_to_fit();
            let stored = Stored { body: keeping.body.into(), ..keeping.stored };
            self.place.zone.keep(&self.place.key, stored, self.place.purges);
        } else {
            self.place.note_unkept(keeping.stored.stored);
        }
        self.leave();
    }

    fn leave(&mut self) {
        self.keeping = None;
        self.place.zone.release(std::mem::take(&mut self.reserved));
        self.place.flight = None;
    }
}

impl Drop for Fill {
    fn drop(&mut self) {
        self.leave();
    }
}

impl BodyStep for Fill {
    fn chunk(&mut self, bytes: Bytes, out: &mut BodyOut) -> Result<(), BodyError> {
        self.add(&bytes);
        out.push(bytes);
        Ok(())
    }

    fn end(&mut self, _: &mut Head, _: &mut BodyOut) -> Result<(), BodyError> {
        self.finish();
        Ok(())
    }

    fn keeps_length(&self) -> bool {
        true
    }
}
