//! Gathers what a connection of HTTP/2 writes in one turn, so that it leaves as one write.
//!
//! h2 writes frame by frame, and asks for a flush behind each piece of a body: a large answer, or small ones on many streams, would cost a system call
//! and a wake-up of the reader for each frame. Copying a frame costs a tenth of that.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::engine::buffers::Buffers;

/// One end of it is given to h2, the other kept by whoever drives the connection and calls [`Cork::poll_pull`] at the end of each turn.
pub(super) struct Cork<T>(Rc<RefCell<Inner<T>>>);

struct Inner<T> {
    to: T,
    buffers: Rc<Buffers>,
    /// What was written and hasn't left; lent for as long as that takes.
    waiting: BytesMut,
    /// Whether something left that the layer below may hold back, as TLS does.
    unflushed: bool,
}

impl<T> Clone for Cork<T> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Cork<T> {
    pub(super) fn new(to: T, buffers: &Rc<Buffers>) -> Self {
        let buffers = Rc::clone(buffers);
        Self(Rc::new(RefCell::new(Inner { to, buffers, waiting: BytesMut::new(), unflushed: false })))
    }

    /// Lets everything out that waits. Ready means: the kernel has it.
    ///
    /// # Errors
    /// The connection is gone.
    pub(super) fn poll_pull(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.borrow_mut().poll_drain(context)
    }
}

impl<T: AsyncWrite + Unpin> Inner<T> {
    fn poll_put(&mut self, context: &mut Context<'_>, pieces: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let length = pieces.iter().map(|piece| piece.len()).sum::<usize>();
        // It never grows: what has left in part makes no room in front of what hasn't.
        if self.waiting.capacity() - self.waiting.len() < length {
            ready!(self.poll_drain(context))?;
            self.waiting = self.buffers.large();
        }
        let mut room = self.waiting.capacity() - self.waiting.len();
        let mut put = 0;
        for piece in pieces {
            let now = piece.get(..room).unwrap_or(piece);
            self.waiting.extend_from_slice(now);
            put += now.len();
            room -= now.len();
        }
        Poll::Ready(Ok(put))
    }

    fn poll_drain(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.waiting.is_empty() {
            let written = ready!(Pin::new(&mut self.to).poll_write(context, &self.waiting))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.waiting.advance(written);
            self.unflushed = true;
        }
        if self.waiting.capacity() > 0 {
            self.buffers.give_back(std::mem::take(&mut self.waiting));
        }
        if self.unflushed {
            ready!(Pin::new(&mut self.to).poll_flush(context))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Cork<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0.borrow_mut().to).poll_read(context, buffer)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Cork<T> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.borrow_mut().poll_put(context, &[io::IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.0.borrow_mut().poll_put(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Nothing yet: the end of the turn does it.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut inner = self.0.borrow_mut();
        ready!(inner.poll_drain(context))?;
        Pin::new(&mut inner.to).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::io::IoSlice;
    use std::pin::Pin;
    use std::rc::Rc;
    use std::task::{Context, Poll, Waker};

    use tokio::io::{AsyncReadExt as _, AsyncWrite as _, duplex};

    use super::Cork;
    use crate::engine::buffers::{Buffers, LARGE};

    fn fill(cork: &mut Cork<tokio::io::DuplexStream>, text: &[u8]) -> usize {
        let mut context = Context::from_waker(Waker::noop());
        let (head, rest) = text.split_at(text.len().min(9));
        match Pin::new(cork).poll_write_vectored(&mut context, &[IoSlice::new(head), IoSlice::new(rest)]) {
            Poll::Ready(put) => put.unwrap(),
            Poll::Pending => 0,
        }
    }

    #[tokio::test]
    async fn what_is_written_in_a_turn_leaves_at_its_end_in_order_and_within_bounds() {
        let (near, mut far) = duplex(100_000);
        let buffers = Rc::new(Buffers::default());
        let mut cork = Cork::new(near, &buffers);
        let mut context = Context::from_waker(Waker::noop());
        let text: Vec<u8> = (0..200_000_u32).map(|at| at.to_le_bytes()[0]).collect();
        let mut put = 0;
        for piece in text.chunks(16_393) {
            let mut piece = piece;
            while !piece.is_empty() {
                let now = fill(&mut cork, piece);
                if now == 0 {
                    break;
                }
                put += now;
                piece = &piece[now..];
                assert!(Pin::new(&mut cork).poll_flush(&mut context).is_ready());
                assert!(cork.0.borrow().waiting.capacity() <= 2 * LARGE);
            }
            if !piece.is_empty() {
                break;
            }
        }
        // The other side takes so much without reading; then the cork is full, and then nothing goes in.
        assert!(put > 100_000 && put < 200_000, "{put}");
        assert!(cork.poll_pull(&mut context).is_pending());
        let mut seen = Vec::new();
        while seen.len() < put {
            let mut some = vec![0; 50_000];
            let count = far.read(&mut some).await.unwrap();
            seen.extend_from_slice(&some[..count]);
            let _ = cork.poll_pull(&mut context);
        }
        assert!(seen == text[..put], "what left is not what was written");
        assert!(cork.poll_pull(&mut context).is_ready());
        assert_eq!(cork.0.borrow().waiting.capacity(), 0, "an idle connection holds no buffer");
    }
}
