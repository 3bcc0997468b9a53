//! Pieces of bodies on their way into frames, counted per connection until they have left it.
//!
//! h2 bounds what waits for one stream. A peer that opens wide windows and then reads nothing would have that many times over, so what waits for a
//! connection is bounded as well.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes};

/// Bytes that may wait for one connection. One piece more may be on its way.
const MOST: usize = 512 << 10;

/// What waits for one connection.
#[derive(Default)]
pub(in crate::engine) struct Tally {
    held: Cell<usize>,
    waiting: RefCell<Vec<Waker>>,
}

/// Some bytes of a body.
pub(in crate::engine) struct Piece {
    bytes: Bytes,
    counted: usize,
    tally: Rc<Tally>,
}

impl Tally {
    /// Ready where more may be handed over.
    pub(super) fn poll_room(&self, context: &mut Context<'_>) -> Poll<()> {
        if self.held.get() < MOST {
            return Poll::Ready(());
        }
        let mut waiting = self.waiting.borrow_mut();
        if !waiting.iter().any(|waker| waker.will_wake(context.waker())) {
            waiting.push(context.waker().clone());
        }
        Poll::Pending
    }

    fn free(&self, count: usize) {
        let held = self.held.get().saturating_sub(count);
        self.held.set(held);
        if held < MOST {
            // Taken out first: waking may run anything.
            let waiting = std::mem::take(&mut *self.waiting.borrow_mut());
            waiting.into_iter().for_each(Waker::wake);
        }
    }
}

impl Piece {
    pub(super) fn new(bytes: Bytes, tally: &Rc<Tally>) -> Self {
        let counted = bytes.len();
        tally.held.set(tally.held.get() + counted);
        Self { bytes, counted, tally: Rc::clone(tally) }
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        if self.counted > 0 {
            self.tally.free(self.counted);
        }
    }
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.len()
    }

    fn chunk(&self) -> &[u8] {
        &self.bytes
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;
    use std::task::{Context, Waker};

    use bytes::Bytes;

    use super::{MOST, Piece, Tally};

    #[test]
    fn what_waits_is_counted_until_it_is_let_go() {
        let tally = Rc::new(Tally::default());
        let mut context = Context::from_waker(Waker::noop());
        let first = Piece::new(Bytes::from(vec![0; MOST]), &tally);
        let second = Piece::new(Bytes::from_static(b"x"), &tally);
        assert!(tally.poll_room(&mut context).is_pending());
        drop(second);
        assert!(tally.poll_room(&mut context).is_pending());
        drop(first);
        assert!(tally.poll_room(&mut context).is_ready());
        assert_eq!((tally.held.get(), tally.waiting.borrow().len()), (0, 0));
    }
}
