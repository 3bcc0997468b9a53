//! A connection, of a client or to an upstream: TCP, with or without TLS around it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

/// A connection.
pub(super) enum Socket {
    /// Bare TCP.
    Plain(TcpStream),
    /// TLS; boxed, because it is ten times as large.
    Tls(Box<TlsStream<TcpStream>>),
    /// The other end is the gateway itself.
    Inner(Box<InnerSocket>),
}

/// One end of a connection inside of a worker.
pub(super) struct InnerSocket {
    stream: DuplexStream,
    /// Whether either end was cut: an end of bytes is no good end then.
    cut: Arc<AtomicBool>,
}

/// Both ends of a connection inside of a worker. So many bytes may be under way in each direction.
pub(super) fn inner_pair(room: usize) -> (Socket, Socket) {
    let (near, far) = tokio::io::duplex(room);
    let cut = Arc::new(AtomicBool::new(false));
    let end = |stream, cut| Socket::Inner(Box::new(InnerSocket { stream, cut }));
    (end(near, Arc::clone(&cut)), end(far, cut))
}

impl Socket {
    /// Reads what is there into the room that `buffer` has. 0 is the end.
    pub(super) fn poll_fill(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut BytesMut,
    ) -> Poll<io::Result<usize>> {
        tokio_util::io::poll_read_buf(Pin::new(self), context, buffer)
    }

    /// Whether the handshake has chosen HTTP/2 (ALPN).
    pub(super) fn chose_http2(&self) -> bool {
        match self {
            Self::Plain(_) | Self::Inner(_) => false,
            Self::Tls(tls) => tls.get_ref().1.alpn_protocol() == Some(b"h2"),
        }
    }

    /// Whether the other side didn't choose another protocol than HTTP/2. One that doesn't know ALPN chooses none.
    pub(super) fn may_speak_http2(&self) -> bool {
        match self {
            Self::Plain(_) | Self::Inner(_) => true,
            Self::Tls(tls) => tls.get_ref().1.alpn_protocol().is_none_or(|chosen| chosen == b"h2"),
        }
    }

    /// Whether nothing has happened on a connection that nobody waits for: neither an end nor bytes that nobody asked for.
    /// Costs no system call while the kernel has reported nothing.
    pub(super) fn is_quiet(&mut self) -> bool {
        let mut one = [0; 1];
        match self {
            Self::Plain(tcp) => {
                tcp.try_read(&mut one).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
            }
            Self::Tls(tls) => {
                let mut context = Context::from_waker(Waker::noop());
                Pin::new(tls.as_mut()).poll_read(&mut context, &mut ReadBuf::new(&mut one)).is_pending()
            }
            // None is ever kept.
            Self::Inner(_) => false,
        }
    }

    /// The same, asking the kernel: what has just arrived is seen too.
    pub(super) fn is_quiet_now(&mut self) -> bool {
        let Some(tcp) = self.tcp() else { return false };
        let mut one = [std::mem::MaybeUninit::uninit(); 1];
        let calm = match socket2::SockRef::from(tcp).peek(&mut one) {
            // TLS has words of its own, such as tickets, that are no answer.
            Ok(came) => came > 0 && matches!(self, Self::Tls(_)),
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        };
        calm && self.is_quiet()
    }
}

impl Socket {
    /// What lies under it; nothing inside of a worker.
    pub(super) fn tcp(&self) -> Option<&TcpStream> {
        match self {
            Self::Plain(tcp) => Some(tcp),
            Self::Tls(tls) => Some(tls.get_ref().0),
            Self::Inner(_) => None,
        }
    }

    /// Makes its end one that can't be taken for a good one.
    pub(super) fn cut(&self) {
        match self {
            Self::Inner(inner) => inner.cut.store(true, Ordering::Relaxed),
            // Best effort: the connection is closed either way.
            Self::Plain(tcp) => drop(tcp.set_zero_linger()),
            Self::Tls(tls) => drop(tls.get_ref().0.set_zero_linger()),
        }
    }

    /// Whether its other end, inside of a worker, was cut.
    pub(super) fn was_cut(&self) -> bool {
        matches!(self, Self::Inner(inner) if inner.cut.load(Ordering::Relaxed))
    }

    /// Writes what is taken at once, without waiting for the rest.
    pub(super) fn write_now(&mut self, bytes: &[u8]) {
        let mut context = Context::from_waker(Waker::noop());
        // Best effort: whoever asks for this closes the connection next.
        if Pin::new(&mut *self).poll_write(&mut context, bytes).is_ready() {
            let _ = Pin::new(self).poll_flush(&mut context);
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_read(context, buffer),
            Self::Tls(tls) => Pin::new(tls.as_mut()).poll_read(context, buffer),
            Self::Inner(inner) => Pin::new(&mut inner.stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(context, bytes),
            Self::Tls(tls) => Pin::new(tls.as_mut()).poll_write(context, bytes),
            Self::Inner(inner) => Pin::new(&mut inner.stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write_vectored(context, pieces),
            Self::Tls(tls) => Pin::new(tls.as_mut()).poll_write_vectored(context, pieces),
            Self::Inner(inner) => Pin::new(&mut inner.stream).poll_write_vectored(context, pieces),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(_) | Self::Inner(_) => Poll::Ready(Ok(())),
            Self::Tls(tls) => Pin::new(tls.as_mut()).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_shutdown(context),
            Self::Tls(tls) => Pin::new(tls.as_mut()).poll_shutdown(context),
            Self::Inner(inner) => Pin::new(&mut inner.stream).poll_shutdown(context),
        }
    }
}
