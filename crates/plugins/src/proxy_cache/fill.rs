//! An answer on its way to the client, of which a copy is kept once it has arrived whole.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use usher_http1::head::Head;
use usher_pipeline::body::{BodyError, BodyOut, BodyStep};

use super::disk::Writing;
use super::entry::{Kept, Stored};
use super::flights::Flight;
use super::zone::Zone;

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
    body: Coming,
}

/// A body as far as it has come.
enum Coming {
    Memory(Vec<u8>),
    Disk(Box<Writing>),
}

impl Coming {
    fn length(&self) -> u64 {
        match self {
            Self::Memory(body) => body.len() as u64,
            Self::Disk(writing) => writing.length(),
        }
    }

    /// # Errors
    /// The disk's.
    fn add(&mut self, piece: &[u8]) -> std::io::Result<()> {
        match self {
            Self::Memory(body) => body.extend_from_slice(piece),
            Self::Disk(writing) => writing.add(piece)?,
        }
        Ok(())
    }
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
        let body = match place.zone.begin_file() {
            None => {
                let room = expected.unwrap_or_default().min(64 * 1024);
                Some(Coming::Memory(Vec::with_capacity(usize::try_from(room).unwrap_or_default())))
            }
            Some(Ok(writing)) => Some(Coming::Disk(Box::new(writing))),
            Some(Err(error)) => {
                place.zone.complain(&error);
                None
            }
        };
        if body.is_none() {
            place.note_unkept(stored.stored);
        }
        let keeping = body.map(|body| Keeping { stored, body });
        Self { place, limit, expected, keeping, reserved: 0 }
    }

    /// Takes one piece of the body along, or gives up where there is no room for it.
    fn add(&mut self, piece: &[u8]) {
        let Some(keeping) = &mut self.keeping else { return };
        let more = piece.len() as u64;
        let has_room = keeping.body.length() + more <= self.limit && self.place.zone.reserve(more);
        if has_room {
            self.reserved += more;
        }
        let added =
            if has_room { keeping.body.add(piece) } else { Err(std::io::ErrorKind::FileTooLarge.into()) };
        if let Err(error) = added {
            if has_room {
                self.place.zone.complain(&error);
            }
            let now = keeping.stored.stored;
            self.place.note_unkept(now);
            self.leave();
        }
    }

    /// The body has come to its end.
    pub(super) fn finish(&mut self) {
        let Some(Keeping { stored, body }) = self.keeping.take() else { return };
        let length = body.length();
        if self.expected.is_none_or(|expected| expected == length) {
            self.keep(stored, body);
        } else {
            self.place.note_unkept(stored.stored);
        }
        self.leave();
    }

    fn keep(&self, mut stored: Stored, body: Coming) {
        let Place { zone, key, purges, .. } = &self.place;
        stored.body = match body {
            Coming::Memory(mut body) => {
                body.shrink_to_fit();
                Kept::Memory(body.into())
            }
            Coming::Disk(writing) => match zone.finish_file(*writing, key, &stored) {
                Ok(stay) => Kept::Disk(stay),
                Err(error) => {
                    zone.complain(&error);
                    return self.place.note_unkept(stored.stored);
                }
            },
        };
        zone.keep(key, stored, *purges);
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
