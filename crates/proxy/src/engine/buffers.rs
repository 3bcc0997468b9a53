//! Read buffers, lent for as long as a message is on its way: an idle connection holds none.
//!
//! They are kept per worker, last in first out, so that the next request gets memory that is still in the processor's cache.

use std::cell::RefCell;

use bytes::BytesMut;

/// What a head is read into. Grows up to the limits of a head.
pub(super) const SMALL: usize = 8 << 10;
/// What bodies and answers are read into: one read takes that much.
pub(super) const LARGE: usize = 64 << 10;

/// Less room than this isn't worth a read.
pub(super) const LEAST: usize = 1 << 10;

/// Kept spare; more are given back to the allocator.
const MOST_SMALL: usize = 1024;
const MOST_LARGE: usize = 256;

/// A worker's spare buffers.
#[derive(Default)]
pub(super) struct Buffers {
    small: RefCell<Vec<BytesMut>>,
    large: RefCell<Vec<BytesMut>>,
}

impl Buffers {
    /// An empty buffer of at least [`SMALL`] bytes.
    pub(super) fn small(&self) -> BytesMut {
        self.small.borrow_mut().pop().unwrap_or_else(|| BytesMut::with_capacity(SMALL))
    }

    /// An empty buffer of at least [`LARGE`] bytes.
    pub(super) fn large(&self) -> BytesMut {
        self.large.borrow_mut().pop().unwrap_or_else(|| BytesMut::with_capacity(LARGE))
    }

    /// Takes a buffer back. One whose bytes are still in somebody's hands is let go.
    pub(super) fn give_back(&self, mut buffer: BytesMut) {
        buffer.clear();
        if buffer.try_reclaim(LARGE) {
            keep(&self.large, MOST_LARGE, buffer);
        } else if buffer.try_reclaim(SMALL) {
            keep(&self.small, MOST_SMALL, buffer);
        }
    }

    /// Makes room for a read of up to `most` bytes. An empty buffer begins anew where nobody holds a piece of it; otherwise, and where a small
    /// one would make many reads of a large body, another takes its place.
    pub(super) fn make_room(&self, buffer: &mut BytesMut, most: usize) {
        let wanted = if most > SMALL { LARGE } else { SMALL };
        if buffer.is_empty() {
            if buffer.try_reclaim(wanted) {
                return;
            }
        } else if buffer.capacity() - buffer.len() >= LEAST {
            return;
        }
        let mut fresh = if wanted == LARGE { self.large() } else { self.small() };
        fresh.extend_from_slice(buffer);
        self.give_back(std::mem::replace(buffer, fresh));
    }
}

fn keep(spare: &RefCell<Vec<BytesMut>>, most: usize, buffer: BytesMut) {
    let mut spare = spare.borrow_mut();
    if spare.len() < most {
        spare.push(buffer);
    }
}

#[cfg(test)]
mod tests {
    use super::{Buffers, LARGE};

    #[test]
    fn a_buffer_comes_back_whole_unless_somebody_holds_a_piece_of_it() {
        let buffers = Buffers::default();
        let mut buffer = buffers.large();
        let place = buffer.as_ptr();
        buffer.extend_from_slice(b"body");
        let piece = buffer.split_to(2).freeze();
        buffers.give_back(buffer);
        assert!(buffers.large.borrow().is_empty(), "a piece of it was still in use");
        drop(piece);

        let mut buffer = buffers.large();
        let place_of_second = buffer.as_ptr();
        assert_ne!(place, std::ptr::null());
        buffer.extend_from_slice(b"body");
        drop(buffer.split_to(2).freeze());
        buffers.give_back(buffer);
        let again = buffers.large();
        assert_eq!(again.as_ptr(), place_of_second);
        assert!(again.capacity() >= LARGE && again.is_empty());
    }
}
