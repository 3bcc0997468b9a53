//! The receiving half of a stream: pieces as they come, then trailers. A sender may send on once its piece was taken.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::RecvStream;
use usher_http1::framed::admit_trailers;
use usher_http1::head::Head;
use usher_http1::limits::Limits;

use super::fields::pairs;

/// Why there is no next piece.
#[derive(Debug)]
pub(in crate::engine) enum Lost {
    /// The stream was reset, or its connection broke.
    Broken(h2::Error),
    /// The trailers break the rules.
    Malformed(&'static str),
}

/// The receiving half of one stream.
pub(in crate::engine) struct Inlet {
    stream: RecvStream,
    trailers: Option<Head>,
    ended: bool,
    /// Whether trailers of every name are kept.
    any_trailer: bool,
}

impl Inlet {
    pub(in crate::engine) fn new(stream: RecvStream, any_trailer: bool) -> Self {
        let ended = stream.is_end_stream();
        Self { stream, trailers: None, ended, any_trailer }
    }

    /// Whether everything was read.
    pub(in crate::engine) const fn is_done(&self) -> bool {
        self.ended
    }

    /// The next piece, never empty; `None` at a good end.
    pub(in crate::engine) fn poll_piece(
        &mut self,
        context: &mut Context<'_>,
        limits: &Limits,
    ) -> Poll<Option<Result<Bytes, Lost>>> {
        while !self.ended {
            match ready!(self.stream.poll_data(context)) {
                Some(Ok(piece)) => {
                    // Fails only for more than what came.
                    let _ = self.stream.flow_control().release_capacity(piece.len());
                    if !piece.is_empty() {
                        return Poll::Ready(Some(Ok(piece)));
                    }
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(Lost::Broken(error)))),
                None => match ready!(self.stream.poll_trailers(context)) {
                    Ok(trailers) => {
                        self.ended = true;
                        if let Some(trailers) = trailers {
                            match admit_trailers(pairs(&trailers), limits, self.any_trailer) {
                                Ok(admitted) => self.trailers = Some(admitted),
                                Err(why) => return Poll::Ready(Some(Err(Lost::Malformed(why)))),
                            }
                        }
                    }
                    Err(error) => return Poll::Ready(Some(Err(Lost::Broken(error)))),
                },
            }
        }
        Poll::Ready(None)
    }

    /// The trailers, once the end was read.
    pub(in crate::engine) fn take_trailers(&mut self) -> Option<Head> {
        self.trailers.take()
    }
}
