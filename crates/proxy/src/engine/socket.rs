//! A connection to an upstream: TCP, with or without TLS around it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// A connection.
pub(super) enum Socket {
    /// Bare TCP.
    Plain(TcpStream),
    /// TLS; boxed, because it is ten times as large.
    Tls(Box<TlsStream<TcpStream>>),
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
        }
    }

    /// The same, asking the kernel: what has just arrived is seen too.
    pub(super) fn is_quiet_now(&mut self) -> bool {
        let tcp = match self {
            Self::Plain(tcp) => &*tcp,
            Self::Tls(tls) => tls.get_ref().0,
        };
        let mut one = [std::mem::MaybeUninit::uninit(); 1];
        let calm = match socket2::SockRef::from(tcp).peek(&mut one) {
            // TLS has words of its own, such as tickets, that are no answer.
            Ok(came) => came > 0 && matches!(self, Self::Tls(_)),
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        };
        calm && self.is_quiet()
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
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(context, bytes),
            Self::Tls(tls) => Pin::new(tls.as_mut()).poll_write(context, bytes),
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
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(_) => Poll::Ready(Ok(())),
            Self::Tls(tls) => Pin::new(tls.as_mut()).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_shutdown(context),
            Self::Tls(tls) => Pin::new(tls.as_mut()).poll_shutdown(context),
        }
    }
}
