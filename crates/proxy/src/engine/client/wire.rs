//! A client's connection as plain bytes both ways, for a protocol that reads and writes it by itself.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Buf as _;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Client, Io};

/// The bytes of one connection; those that were read already come first.
pub(in crate::engine) struct Wire(Rc<Client>);

impl Wire {
    pub(in crate::engine) const fn new(client: Rc<Client>) -> Self {
        Self(client)
    }

    fn with<T>(&self, act: impl FnOnce(&mut Io) -> Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match self.0.io() {
            Some(mut io) => act(&mut io),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.with(|io| {
            if io.buffer.is_empty() {
                return Pin::new(&mut io.stream).poll_read(context, buffer);
            }
            let count = io.buffer.len().min(buffer.remaining());
            buffer.put_slice(io.buffer.get(..count).unwrap_or_default());
            io.buffer.advance(count);
            if io.buffer.is_empty() {
                self.0.local.buffers.give_back(std::mem::take(&mut io.buffer));
            }
            Poll::Ready(Ok(()))
        })
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.with(|io| Pin::new(&mut io.stream).poll_write(context, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.with(|io| Pin::new(&mut io.stream).poll_write_vectored(context, pieces))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|io| Pin::new(&mut io.stream).poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|io| Pin::new(&mut io.stream).poll_shutdown(context))
    }
}
