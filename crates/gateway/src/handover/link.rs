//! The socket between the two processes of an upgrade: words as JSON behind their length, and open files beside single bytes.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::Interest;
use tokio::net::UnixStream;

/// The longest word.
const MOST_BYTES: usize = 1 << 20;

/// Files that one message carries; the kernel takes 253.
const TOGETHER: usize = 64;

/// One end.
#[derive(Debug)]
pub(super) struct Link(UnixStream);

impl Link {
    /// # Errors
    /// It can't be registered with the runtime.
    pub(super) fn new(stream: std::os::unix::net::UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        UnixStream::from_std(stream).map(Self)
    }

    /// Says a word.
    ///
    /// # Errors
    /// The other end is gone.
    pub(super) async fn say(&self, word: &impl Serialize) -> io::Result<()> {
        let text = serde_json::to_vec(word)?;
        let length = u32::try_from(text.len()).map_err(io::Error::other)?;
        let bytes = [&length.to_be_bytes()[..], &text].concat();
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            self.0.writable().await?;
            match self.0.try_write(rest) {
                Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Hears the next word.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] where the other end is gone; what it said is no such word.
    pub(super) async fn hear<T: DeserializeOwned>(&self) -> io::Result<T> {
        let mut length = [0; 4];
        self.fill(&mut length).await?;
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if length > MOST_BYTES {
            return Err(io::Error::other("the other process speaks another language"));
        }
        let mut text = vec![0; length];
        self.fill(&mut text).await?;
        Ok(serde_json::from_slice(&text)?)
    }

    async fn fill(&self, mut room: &mut [u8]) -> io::Result<()> {
        while !room.is_empty() {
            self.0.readable().await?;
            match self.0.try_read(room) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(came) => room = room.get_mut(came..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Gives open files.
    ///
    /// # Errors
    /// The other end is gone.
    pub(super) async fn give(&self, files: &[OwnedFd]) -> io::Result<()> {
        for some in files.chunks(TOGETHER) {
            let some: Vec<BorrowedFd<'_>> = some.iter().map(OwnedFd::as_fd).collect();
            self.0.async_io(Interest::WRITABLE, || give(&self.0, &some)).await?;
        }
        Ok(())
    }

    /// Takes so many open files.
    ///
    /// # Errors
    /// The other end is gone, or gave fewer.
    pub(super) async fn take(&self, count: usize) -> io::Result<Vec<OwnedFd>> {
        let mut files = Vec::with_capacity(count);
        while files.len() < count {
            let wanted = (count - files.len()).min(TOGETHER);
            let came = self.0.async_io(Interest::READABLE, || take(&self.0)).await?;
            if came.len() != wanted {
                return Err(io::Error::other(format!("{} sockets came instead of {wanted}", came.len())));
            }
            files.extend(came);
        }
        Ok(files)
    }
}

fn give(stream: &UnixStream, files: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(TOGETHER))];
    let mut beside = SendAncillaryBuffer::new(&mut space);
    if !beside.push(SendAncillaryMessage::ScmRights(files)) {
        return Err(io::Error::other("too many open files for one message"));
    }
    sendmsg(stream, &[IoSlice::new(b"+")], &mut beside, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// One byte, so that what is beside it is all that is taken.
fn take(stream: &UnixStream) -> io::Result<Vec<OwnedFd>> {
    let mut byte = [0];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(TOGETHER))];
    let mut beside = RecvAncillaryBuffer::new(&mut space);
    let came = recvmsg(stream, &mut [IoSliceMut::new(&mut byte)], &mut beside, RecvFlags::CMSG_CLOEXEC)?;
    if came.bytes == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let mut files = Vec::new();
    for message in beside.drain() {
        if let RecvAncillaryMessage::ScmRights(some) = message {
            files.extend(some);
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::unix::net::UnixStream;

    use super::Link;
    use crate::handover::wire::{New, Old};

    #[tokio::test]
    async fn words_and_sockets_arrive_in_order() {
        let (one, other) = UnixStream::pair().unwrap();
        let (one, other) = (Link::new(one).unwrap(), Link::new(other).unwrap());
        let listeners: Vec<TcpListener> =
            (0..150).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let wanted: Vec<_> = listeners.iter().map(|listener| listener.local_addr().unwrap()).collect();
        one.say(&Old::Store).await.unwrap();
        one.give(&listeners.into_iter().map(Into::into).collect::<Vec<_>>()).await.unwrap();
        one.say(&Old::Go).await.unwrap();
        drop(one);
        assert_eq!(other.hear::<Old>().await.unwrap(), Old::Store);
        let came = other.take(wanted.len()).await.unwrap();
        let came: Vec<_> = came.into_iter().map(|one| TcpListener::from(one).local_addr().unwrap()).collect();
        assert_eq!(came, wanted);
        assert_eq!(other.hear::<Old>().await.unwrap(), Old::Go);
        let gone = other.hear::<Old>().await.unwrap_err();
        assert_eq!(gone.kind(), std::io::ErrorKind::UnexpectedEof);
    }

    #[tokio::test]
    async fn another_language_is_an_error_and_not_a_wait() {
        let (one, other) = UnixStream::pair().unwrap();
        let (one, other) = (Link::new(one).unwrap(), Link::new(other).unwrap());
        one.say(&"nonsense").await.unwrap();
        assert!(other.hear::<New>().await.is_err());
        one.say(&New::Ready).await.unwrap();
        assert!(other.take(1).await.is_err());
    }
}
