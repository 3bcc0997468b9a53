//! What waits to be written to one connection: small text gathered in one place, large pieces as they are.
//!
//! A head and a small body leave with one write, a large body without having been copied.

use std::collections::VecDeque;
use std::io;
use std::io::IoSlice;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use usher_http1::encode::write_chunk_line;

/// More than this isn't gathered: the writer waits until some of it has left.
pub(super) const WINDOW: usize = 64 << 10;

/// A piece below this size is copied behind the text in front of it; a larger one would cost more to copy than to point at.
pub(super) const COPIED_BELOW: usize = 4 << 10;

/// Pieces that one write points at.
const SLICES: usize = 16;

#[derive(Debug)]
enum Part {
    /// So many bytes of the text.
    Text(usize),
    /// A piece on its own.
    Data(Bytes),
}

/// The queue of one direction.
#[derive(Debug, Default)]
pub(super) struct Outbound {
    text: Vec<u8>,
    /// Where the text of the first part begins.
    text_at: usize,
    parts: VecDeque<Part>,
    pending: usize,
    unflushed: bool,
    written: u64,
}

impl Outbound {
    /// Forgets everything; its memory stays.
    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.text_at = 0;
        while self.parts.pop_front().is_some() {}
        self.pending = 0;
        self.unflushed = false;
        self.written = 0;
    }

    /// Memory that it holds for text.
    pub(super) fn capacity(&self) -> usize {
        self.text.capacity()
    }

    /// Bytes that wait.
    pub(super) const fn pending(&self) -> usize {
        self.pending
    }

    /// Whether more may be gathered.
    pub(super) const fn has_room(&self) -> bool {
        self.pending < WINDOW
    }

    /// Bytes that the kernel has taken since the last [`Outbound::clear`].
    pub(super) const fn written(&self) -> u64 {
        self.written
    }

    /// Adds text that `write` puts behind what is there.
    pub(super) fn write(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let before = self.text.len();
        write(&mut self.text);
        let added = self.text.len().saturating_sub(before);
        if added == 0 {
            return;
        }
        self.pending += added;
        match self.parts.back_mut() {
            Some(Part::Text(length)) => *length += added,
            _ => self.parts.push_back(Part::Text(added)),
        }
    }

    /// Adds a piece of a body.
    pub(super) fn push(&mut self, data: Bytes) {
        if data.len() < COPIED_BELOW {
            self.write(|text| text.extend_from_slice(&data));
        } else {
            self.pending += data.len();
            self.parts.push_back(Part::Data(data));
        }
    }

    /// Adds a piece of a body as one chunk.
    pub(super) fn push_chunk(&mut self, data: Bytes) {
        if data.is_empty() {
            return;
        }
        self.write(|text| write_chunk_line(text, data.len()));
        self.push(data);
        self.write(|text| text.extend_from_slice(b"\r\n"));
    }

    /// Writes until nothing is left, as far as the other side takes it. Ready means: all of it is with the kernel.
    pub(super) fn poll_send<W: AsyncWrite + Unpin>(
        &mut self,
        context: &mut Context<'_>,
        to: &mut W,
    ) -> Poll<io::Result<()>> {
        while let Some(first) = self.parts.front() {
            let written = match first {
                Part::Text(length) if self.parts.len() == 1 => {
                    let text = self.text.get(self.text_at..self.text_at + length).unwrap_or_default();
                    ready!(Pin::new(&mut *to).poll_write(context, text))?
                }
                _ => {
                    let mut slices = [IoSlice::new(&[]); SLICES];
                    let count = self.point(&mut slices);
                    let slices = slices.get(..count).unwrap_or_default();
                    ready!(Pin::new(&mut *to).poll_write_vectored(context, slices))?
                }
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.unflushed = true;
            self.written += written as u64;
            self.forget(written);
        }
        if self.unflushed {
            ready!(Pin::new(to).poll_flush(context))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Takes up to so many bytes from the front, for a sender that frames them by itself.
    pub(super) fn take(&mut self, most: usize) -> Option<Bytes> {
        let taken = match self.parts.front_mut()? {
            Part::Text(length) => {
                let now = most.min(*length);
                let text = self.text.get(self.text_at..self.text_at + now).unwrap_or_default();
                Bytes::copy_from_slice(text)
            }
            Part::Data(data) => data.slice(..most.min(data.len())),
        };
        self.written += taken.len() as u64;
        self.forget(taken.len());
        Some(taken)
    }

    /// Counts bytes that were sent beside the queue.
    pub(super) const fn note(&mut self, count: usize) {
        self.written += count as u64;
    }

    /// Points at the first parts.
    fn point<'a>(&'a self, slices: &mut [IoSlice<'a>; SLICES]) -> usize {
        let mut text_at = self.text_at;
        let mut count = 0;
        for (slice, part) in slices.iter_mut().zip(&self.parts) {
            *slice = match part {
                Part::Text(length) => {
                    let text = self.text.get(text_at..text_at + length).unwrap_or_default();
                    text_at += length;
                    IoSlice::new(text)
                }
                Part::Data(data) => IoSlice::new(data),
            };
            count += 1;
        }
        count
    }

    /// Takes away what was written.
    fn forget(&mut self, mut written: usize) {
        if written == self.pending {
            // Nearly every time, and then it is one part.
            while self.parts.pop_front().is_some() {}
            self.text.clear();
            (self.text_at, self.pending) = (0, 0);
            return;
        }
        self.pending = self.pending.saturating_sub(written);
        while written > 0 {
            let done = match self.parts.front_mut() {
                Some(Part::Text(length)) => {
                    let now = written.min(*length);
                    self.text_at += now;
                    *length -= now;
                    written -= now;
                    *length == 0
                }
                Some(Part::Data(data)) => {
                    let now = written.min(data.len());
                    bytes::Buf::advance(data, now);
                    written -= now;
                    data.is_empty()
                }
                None => break,
            };
            if !done {
                return;
            }
            self.parts.pop_front();
        }
        if self.parts.is_empty() {
            self.text.clear();
            self.text_at = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};

    use bytes::Bytes;
    use tokio::io::AsyncWrite;

    use super::Outbound;

    /// Takes a few bytes at a time, and never when told not to.
    struct Narrow {
        taken: Vec<u8>,
        width: usize,
        writes: usize,
    }

    impl AsyncWrite for Narrow {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            let count = bytes.len().min(self.width);
            self.taken.extend_from_slice(&bytes[..count]);
            self.writes += 1;
            if count == 0 { Poll::Pending } else { Poll::Ready(Ok(count)) }
        }

        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            pieces: &[io::IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            let all: Vec<u8> = pieces.iter().flat_map(|piece| piece.to_vec()).collect();
            let count = all.len().min(self.width);
            self.taken.extend_from_slice(&all[..count]);
            self.writes += 1;
            if count == 0 { Poll::Pending } else { Poll::Ready(Ok(count)) }
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn fill(outbound: &mut Outbound) -> Vec<u8> {
        let large = Bytes::from(vec![b'x'; 5000]);
        outbound.write(|text| text.extend_from_slice(b"head\r\n\r\n"));
        outbound.push(Bytes::from_static(b"small"));
        outbound.push(large.clone());
        outbound.push_chunk(Bytes::from_static(b"tail"));
        outbound.push_chunk(Bytes::new());
        [b"head\r\n\r\nsmall".as_slice(), &large, b"4\r\ntail\r\n"].concat()
    }

    #[test]
    fn everything_leaves_in_order_however_little_the_other_side_takes() {
        let mut context = Context::from_waker(Waker::noop());
        for (width, writes) in [(usize::MAX, 1), (4096, 2), (7, 720)] {
            let mut outbound = Outbound::default();
            let mut narrow = Narrow { taken: Vec::new(), width, writes: 0 };
            for _ in 0..2 {
                let wanted = fill(&mut outbound);
                assert_eq!(outbound.pending(), wanted.len());
                assert!(outbound.poll_send(&mut context, &mut narrow).is_ready());
                assert_eq!(narrow.taken, wanted);
                assert_eq!((outbound.pending(), outbound.written()), (0, wanted.len() as u64));
                assert!(narrow.writes <= writes, "{} writes of {width} bytes", narrow.writes);
                narrow = Narrow { taken: Vec::new(), width, writes: 0 };
                outbound.clear();
            }
        }
    }

    #[test]
    fn what_is_not_taken_waits() {
        let mut context = Context::from_waker(Waker::noop());
        let mut outbound = Outbound::default();
        let wanted = fill(&mut outbound);
        let mut narrow = Narrow { taken: Vec::new(), width: 0, writes: 0 };
        assert!(outbound.poll_send(&mut context, &mut narrow).is_pending());
        assert_eq!(outbound.pending(), wanted.len());
        narrow.width = 100_000;
        assert!(outbound.poll_send(&mut context, &mut narrow).is_ready());
        assert_eq!(narrow.taken, wanted);
    }
}
