//! One call to an upstream over HTTP/2: the request's half, the answer's half, and the place of both on a connection.

use std::io;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::Reason;
use h2::client::ResponseFuture;
use http::Request;
use usher_http1::body::BodyEvent;
use usher_http1::framed::admit_answer;
use usher_http1::head::Head;
use usher_http1::limits::Limits;
use usher_http1::request::Framing;
use usher_http1::response::{BadResponse, ResponseHead};
use usher_pipeline::body::BodyError;

use super::broken;
use super::fields::pairs;
use super::inlet::{Inlet, Lost};
use super::line::Seat;
use super::outlet::Outlet;

/// Why a call has no answer.
#[derive(Debug)]
pub(in crate::engine) enum Lapse {
    /// The other side certainly did nothing of it (RFC 9113, sections 6.8 and 8.7).
    Refused,
    /// It gave the stream up.
    Reset(Reason),
    /// The connection broke.
    Broken(io::Error),
    /// The answer breaks the rules.
    Malformed(BadResponse),
}

/// One call.
pub(in crate::engine) struct Call {
    seat: Seat,
    pub(in crate::engine) outlet: Outlet,
    coming: Coming,
    /// The piece that was read last.
    piece: Option<Bytes>,
}

enum Coming {
    Head(ResponseFuture),
    Body(Inlet),
}

impl Call {
    /// Sends a request's head. `ended`: nothing follows it.
    ///
    /// # Errors
    /// [`Lapse`].
    pub(in crate::engine) fn open(seat: Seat, request: Request<()>, ended: bool) -> Result<Self, Lapse> {
        let (answer, stream) = seat.sender().send_request(request, ended).map_err(|error| {
            seat.distrust();
            lapse(error)
        })?;
        let outlet = Outlet::new(stream, seat.tally(), ended);
        Ok(Self { seat, outlet, coming: Coming::Head(answer), piece: None })
    }

    pub(in crate::engine) const fn seat(&self) -> &Seat {
        &self.seat
    }

    /// The answer's head. `method` is that of the request.
    ///
    /// # Errors
    /// [`Lapse`].
    pub(in crate::engine) fn poll_head(
        &mut self,
        context: &mut Context<'_>,
        head: &mut Head,
        limits: &Limits,
        method: &str,
    ) -> Poll<Result<ResponseHead, Lapse>> {
        let Coming::Head(answer) = &mut self.coming else {
            return Poll::Ready(Err(Lapse::Malformed(BadResponse("a second answer"))));
        };
        let answer = ready!(std::pin::Pin::new(answer).poll(context)).map_err(lapse)?;
        let (parts, body) = answer.into_parts();
        let status = parts.status.as_u16();
        let announced =
            admit_answer(status, pairs(&parts.headers), limits, head).map_err(Lapse::Malformed)?;
        let inlet = Inlet::new(body, true);
        let bodiless = method == "HEAD" || matches!(status, 204 | 304);
        let framing = match announced {
            _ if bodiless || inlet.is_done() => Framing::None,
            Some(length) => Framing::Length(length),
            None => Framing::Chunked,
        };
        self.coming = Coming::Body(inlet);
        Poll::Ready(Ok(ResponseHead {
            framing,
            announced,
            keep_alive: true,
            interim: false,
            switching: false,
        }))
    }

    /// What was read of the body.
    pub(in crate::engine) fn next(&mut self) -> (BodyEvent, Option<Head>) {
        if let Some(piece) = self.piece.take() {
            return (BodyEvent::Data(piece), None);
        }
        match &mut self.coming {
            Coming::Body(inlet) if inlet.is_done() => (BodyEvent::End, inlet.take_trailers()),
            _ => (BodyEvent::NeedMore, None),
        }
    }

    /// Reads one piece of the body, or its end.
    ///
    /// # Errors
    /// The stream was cut.
    pub(in crate::engine) fn poll_more(
        &mut self,
        context: &mut Context<'_>,
        limits: &Limits,
    ) -> Poll<Result<(), BodyError>> {
        let Coming::Body(inlet) = &mut self.coming else { return Poll::Ready(Err(BodyError::Closed)) };
        Poll::Ready(match ready!(inlet.poll_piece(context, limits)) {
            Some(Ok(piece)) => {
                self.piece = Some(piece);
                Ok(())
            }
            None => Ok(()),
            Some(Err(Lost::Malformed(why))) => Err(BodyError::Malformed(why)),
            Some(Err(Lost::Broken(error))) => {
                tracing::debug!(%error, "an upstream's stream was cut");
                Err(BodyError::Closed)
            }
        })
    }

    /// Whether the answer was read to its end.
    pub(in crate::engine) fn is_read(&self) -> bool {
        matches!(&self.coming, Coming::Body(inlet) if inlet.is_done())
    }
}

fn lapse(error: h2::Error) -> Lapse {
    let unheard = error.is_remote()
        && (error.is_go_away() || (error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM)));
    match error.reason() {
        _ if unheard => Lapse::Refused,
        Some(reason) if error.is_reset() => Lapse::Reset(reason),
        _ => Lapse::Broken(broken(error)),
    }
}
