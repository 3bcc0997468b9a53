//! The sending half of a stream: takes from a queue as much as windows and memory allow, and ends with trailers where there are any.

use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{Reason, SendStream};
use usher_http1::head::Head;

use super::broken;
use super::fields::trailer_fields;
use super::piece::{Piece, Tally};
use crate::engine::outbound::Outbound;

/// As much as one stream asks for at once.
const AT_ONCE: usize = super::SEND_BUFFER;

/// What comes behind the queue's content.
enum End {
    /// More of it.
    Open,
    /// Nothing, and these trailers.
    Here(Option<Head>),
    /// It was said.
    Said,
}

/// The sending half of one stream.
pub(in crate::engine) struct Outlet {
    stream: SendStream<Piece>,
    tally: Rc<Tally>,
    end: End,
}

impl Outlet {
    /// `ended`: the head has said that nothing follows.
    pub(in crate::engine) const fn new(stream: SendStream<Piece>, tally: Rc<Tally>, ended: bool) -> Self {
        Self { stream, tally, end: if ended { End::Said } else { End::Open } }
    }

    /// Nothing is put into the queue any more; these trailers come behind it.
    pub(in crate::engine) fn end(&mut self, trailers: Option<Head>) {
        if matches!(self.end, End::Open) {
            self.end = End::Here(trailers.filter(|trailers| !trailers.is_empty()));
        }
    }

    /// Whether the end was said.
    pub(in crate::engine) const fn has_ended(&self) -> bool {
        matches!(self.end, End::Said)
    }

    /// Hands over what waits. Ready means: all of it, and the end where it was reached.
    ///
    /// # Errors
    /// The stream or its connection is gone.
    pub(in crate::engine) fn poll_send(
        &mut self,
        context: &mut Context<'_>,
        queue: &mut Outbound,
    ) -> Poll<io::Result<()>> {
        while queue.pending() > 0 {
            let room = ready!(self.poll_room(context, queue.pending()))?;
            let Some(bytes) = queue.take(room) else { break };
            let last = queue.pending() == 0 && matches!(self.end, End::Here(None));
            self.stream.send_data(Piece::new(bytes, &self.tally), last).map_err(broken)?;
            if last {
                self.end = End::Said;
            }
        }
        if matches!(self.end, End::Here(_))
            && let End::Here(trailers) = std::mem::replace(&mut self.end, End::Said)
        {
            match trailers {
                Some(trailers) => self.stream.send_trailers(trailer_fields(&trailers)),
                None => self.stream.send_data(Piece::new(Bytes::new(), &self.tally), true),
            }
            .map_err(broken)?;
        }
        Poll::Ready(Ok(()))
    }

    /// Hands over some of these bytes, and says how many.
    ///
    /// # Errors
    /// As for [`Outlet::poll_send`].
    pub(in crate::engine) fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let room = ready!(self.poll_room(context, bytes.len()))?;
        let now = bytes.get(..room).unwrap_or(bytes);
        let piece = Piece::new(Bytes::copy_from_slice(now), &self.tally);
        self.stream.send_data(piece, false).map_err(broken)?;
        Poll::Ready(Ok(now.len()))
    }

    fn poll_room(&mut self, context: &mut Context<'_>, wanted: usize) -> Poll<io::Result<usize>> {
        ready!(self.tally.poll_room(context));
        let wanted = wanted.min(AT_ONCE);
        self.stream.reserve_capacity(wanted);
        loop {
            let room = self.stream.capacity();
            if room > 0 {
                return Poll::Ready(Ok(room.min(wanted)));
            }
            match ready!(self.stream.poll_capacity(context)) {
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Err(broken(error))),
                None => return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            }
        }
    }

    /// Ready once the other side wants no more.
    pub(in crate::engine) fn poll_gone(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.stream.poll_reset(context).map(drop)
    }

    /// Whether the other side has reset the stream.
    pub(in crate::engine) fn was_reset(&mut self) -> bool {
        let mut context = Context::from_waker(std::task::Waker::noop());
        matches!(self.stream.poll_reset(&mut context), Poll::Ready(Ok(_)))
    }

    /// Ends the stream in the middle.
    pub(in crate::engine) fn reset(&mut self, reason: Reason) {
        self.stream.send_reset(reason);
    }
}
