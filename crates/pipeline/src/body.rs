//! Bodies: whole, streaming, or changed chunk by chunk on their way.

use std::collections::VecDeque;
use std::task::{Context, Poll};

use bytes::Bytes;
use usher_http1::head::Head;

/// The body of a request or an answer.
#[derive(Default)]
pub enum Body {
    /// No body.
    #[default]
    Empty,
    /// A body that is there as a whole.
    Full(Bytes),
    /// A body that arrives while it is read.
    Stream(Box<dyn BodyRead>),
}

impl Body {
    /// Whether there is certainly no byte in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Full(bytes) => bytes.is_empty(),
            Self::Stream(stream) => stream.remaining() == Some(0),
        }
    }

    /// Its length in bytes, where that is known before reading.
    #[must_use]
    pub fn known_length(&self) -> Option<u64> {
        match self {
            Self::Empty => Some(0),
            Self::Full(bytes) => Some(bytes.len() as u64),
            Self::Stream(stream) => stream.remaining(),
        }
    }

    /// Reads the whole body, which afterwards is [`Body::Full`] or [`Body::Empty`] and can be read again.
    ///
    /// # Errors
    /// [`BodyError::TooLarge`] as soon as more than `limit` bytes are certain, or whatever broke the stream.
    pub async fn read_whole(&mut self, limit: u64) -> Result<Bytes, BodyError> {
        let Self::Stream(stream) = self else {
            return match self {
                Self::Full(bytes) if bytes.len() as u64 > limit => Err(BodyError::TooLarge { limit }),
                Self::Full(bytes) => Ok(bytes.clone()),
                _ => Ok(Bytes::new()),
            };
        };
        if stream.remaining().is_some_and(|length| length > limit) {
            return Err(BodyError::TooLarge { limit });
        }
        let mut whole: Vec<u8> = Vec::new();
        while let Some(chunk) = std::future::poll_fn(|context| stream.poll_read(context)).await {
            let chunk = chunk?;
            if (whole.len() + chunk.len()) as u64 > limit {
                return Err(BodyError::TooLarge { limit });
            }
            whole.extend_from_slice(&chunk);
        }
        let whole = Bytes::from(whole);
        *self = Self::Full(whole.clone());
        Ok(whole)
    }
}

impl Body {
    /// Reads the whole body where it has at most `limit` bytes, so that it is [`Body::Full`] or [`Body::Empty`] afterwards; of a larger one what was
    /// read stands in front of the rest, and nothing is lost. Whether it is there as a whole.
    ///
    /// # Errors
    /// Whatever broke the stream.
    pub async fn read_up_to(&mut self, limit: u64) -> Result<bool, BodyError> {
        let Self::Stream(stream) = self else { return Ok(true) };
        if stream.remaining().is_some_and(|length| length > limit) {
            return Ok(false);
        }
        let mut pieces = VecDeque::new();
        let mut read = 0;
        while let Some(chunk) = std::future::poll_fn(|context| stream.poll_read(context)).await {
            let chunk = chunk?;
            read += chunk.len() as u64;
            pieces.push_back(chunk);
            if read > limit {
                if let Self::Stream(rest) = std::mem::take(self) {
                    *self = Self::Stream(Box::new(Behind { pieces, rest }));
                }
                return Ok(false);
            }
        }
        let mut whole = Vec::with_capacity(usize::try_from(read).unwrap_or(0));
        pieces.iter().for_each(|piece| whole.extend_from_slice(piece));
        *self = if whole.is_empty() { Self::Empty } else { Self::Full(whole.into()) };
        Ok(true)
    }
}

/// A stream with what was read of it already in front.
struct Behind {
    pieces: VecDeque<Bytes>,
    rest: Box<dyn BodyRead>,
}

impl BodyRead for Behind {
    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        match self.pieces.pop_front() {
            Some(piece) => Poll::Ready(Some(Ok(piece))),
            None => self.rest.poll_read(context),
        }
    }

    fn remaining(&self) -> Option<u64> {
        let front: u64 = self.pieces.iter().map(|piece| piece.len() as u64).sum();
        self.rest.remaining().map(|rest| rest + front)
    }

    fn take_trailers(&mut self) -> Option<Head> {
        self.rest.take_trailers()
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Empty => f.write_str("Empty"),
            Self::Full(bytes) => write!(f, "Full({} bytes)", bytes.len()),
            Self::Stream(stream) => write!(f, "Stream({:?} bytes left)", stream.remaining()),
        }
    }
}

/// A body that is read piece by piece.
pub trait BodyRead {
    /// The next piece, never empty; `None` at the end.
    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>>;

    /// How many bytes are left, where that is known.
    fn remaining(&self) -> Option<u64>;

    /// The trailer fields, once the end was read.
    fn take_trailers(&mut self) -> Option<Head> {
        None
    }
}

/// Why a body can't be read to its end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// More bytes than the reader takes.
    #[error("the body is larger than {limit} bytes")]
    TooLarge {
        /// What would have been taken, in bytes.
        limit: u64,
    },
    /// The sender broke the rules of framing; a client is answered with 400.
    #[error("the body is malformed: {0}")]
    Malformed(&'static str),
    /// The sender went away.
    #[error("the sender closed the connection before the end of the body")]
    Closed,
    /// The sender was silent for too long.
    #[error("the sender was silent for too long")]
    TimedOut,
    /// A step on the way refused it.
    #[error("{0}")]
    Refused(String),
}

impl BodyError {
    /// The status of the answer to a client whose body can't be read for this reason.
    #[must_use]
    pub const fn status(&self) -> u16 {
        match self {
            Self::TooLarge { .. } => 413,
            Self::TimedOut => 408,
            Self::Malformed(_) | Self::Closed | Self::Refused(_) => 400,
        }
    }
}

/// Changes a body on its way: chunk by chunk, then the end. Whatever it keeps back, it must bound.
pub trait BodyStep {
    /// One piece came; what goes on is written to `out`.
    ///
    /// # Errors
    /// An error cuts the body visibly: the receiver never takes a cut body for a whole one.
    fn chunk(&mut self, bytes: Bytes, out: &mut BodyOut) -> Result<(), BodyError>;

    /// The body ended well. Trailers may be read and changed.
    ///
    /// # Errors
    /// As for [`BodyStep::chunk`].
    fn end(&mut self, trailers: &mut Head, out: &mut BodyOut) -> Result<(), BodyError>;

    /// Whether as many bytes go on as come, so that the length that was announced stays true.
    fn keeps_length(&self) -> bool {
        false
    }
}

/// What a step passes on.
#[derive(Debug, Default)]
pub struct BodyOut {
    pieces: Vec<Bytes>,
}

impl BodyOut {
    /// Passes one piece on; empty ones are dropped.
    pub fn push(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.pieces.push(bytes);
        }
    }

    /// Takes what has been passed on.
    pub fn take(&mut self) -> Vec<Bytes> {
        std::mem::take(&mut self.pieces)
    }
}

/// Several steps one behind the other, as the engine runs them.
#[derive(Default)]
pub struct BodySteps {
    steps: Vec<Box<dyn BodyStep>>,
}

impl BodySteps {
    /// Adds a step behind the others.
    pub fn push(&mut self, step: Box<dyn BodyStep>) {
        self.steps.push(step);
    }

    /// Whether the body streams untouched.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Whether as many bytes go on as come; so it is where there are no steps.
    #[must_use]
    pub fn keep_length(&self) -> bool {
        self.steps.iter().all(|step| step.keeps_length())
    }

    /// Sends one piece through all steps.
    ///
    /// # Errors
    /// The first step's that refuses.
    pub fn chunk(&mut self, bytes: Bytes) -> Result<Vec<Bytes>, BodyError> {
        let mut pieces = vec![bytes];
        for step in &mut self.steps {
            let mut out = BodyOut::default();
            for piece in pieces {
                step.chunk(piece, &mut out)?;
            }
            pieces = out.take();
        }
        Ok(pieces)
    }

    /// Ends the body: each step's last pieces go through the steps behind it.
    ///
    /// # Errors
    /// The first step's that refuses.
    pub fn end(&mut self, trailers: &mut Head) -> Result<Vec<Bytes>, BodyError> {
        let mut pieces: Vec<Bytes> = Vec::new();
        for step in &mut self.steps {
            let mut out = BodyOut::default();
            for piece in pieces {
                step.chunk(piece, &mut out)?;
            }
            step.end(trailers, &mut out)?;
            pieces = out.take();
        }
        Ok(pieces)
    }
}
