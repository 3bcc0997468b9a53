//! An answer of gRPC on its way to a client that reads JSON.

use bytes::Bytes;
use serde_json::{Value, json};
use usher_http1::head::Head;
use usher_model::protobuf::{Message, Style};
use usher_pipeline::body::{BodyError, BodyOut, BodyStep};

use crate::grpc_frames::Frames;

/// A method that answers with one message.
pub(super) struct One {
    frames: Frames,
    kind: Message,
    style: Style,
    found: Option<Value>,
}

/// A method that answers with any number of them: a line each.
pub(super) struct Many {
    frames: Frames,
    kind: Message,
    style: Style,
}

impl One {
    pub(super) fn new(kind: Message, style: Style, limit: u64) -> Self {
        Self { frames: Frames::new(limit), kind, style, found: None }
    }
}

impl Many {
    pub(super) fn new(kind: Message, style: Style, limit: u64) -> Self {
        Self { frames: Frames::new(limit), kind, style }
    }
}

impl BodyStep for One {
    fn chunk(&mut self, bytes: Bytes, _: &mut BodyOut) -> Result<(), BodyError> {
        self.frames.push(&bytes);
        while let Some(message) = self.frames.next()? {
            if self.found.is_some() {
                return Err(refused("the upstream answered with more than one message"));
            }
            self.found = Some(decoded(&self.kind, &message, self.style)?);
        }
        Ok(())
    }

    fn end(&mut self, trailers: &mut Head, out: &mut BodyOut) -> Result<(), BodyError> {
        if self.frames.is_torn() {
            return Err(BodyError::Closed);
        }
        if let Some((code, message)) = failure(trailers) {
            return Err(refused(&format!(
                "the call failed behind its answer's head: status {code}, {message:?}"
            )));
        }
        let found = self.found.take().ok_or_else(|| refused("the upstream answered without a message"))?;
        out.push(found.to_string().into());
        Ok(())
    }
}

impl BodyStep for Many {
    fn chunk(&mut self, bytes: Bytes, out: &mut BodyOut) -> Result<(), BodyError> {
        self.frames.push(&bytes);
        while let Some(message) = self.frames.next()? {
            out.push(format!("{}\n", decoded(&self.kind, &message, self.style)?).into());
        }
        Ok(())
    }

    fn end(&mut self, trailers: &mut Head, out: &mut BodyOut) -> Result<(), BodyError> {
        if self.frames.is_torn() {
            return Err(BodyError::Closed);
        }
        // The head is with the client: what failed since then is the last thing that it reads.
        if let Some((code, message)) = failure(trailers) {
            out.push(format!("{}\n", json!({ "error": { "code": code, "message": message } })).into());
        }
        Ok(())
    }
}

/// The code and message of a call that failed.
fn failure(trailers: &Head) -> Option<(i64, String)> {
    let code = trailers.get_str("grpc-status").filter(|code| *code != "0")?;
    let message = trailers.get_str("grpc-message").unwrap_or_default().to_owned();
    Some((code.parse().unwrap_or(2), message))
}

fn decoded(kind: &Message, message: &[u8], style: Style) -> Result<Value, BodyError> {
    kind.decode(message, style)
        .map_err(|error| refused(&format!("the upstream's message can't be read: {error}")))
}

fn refused(why: &str) -> BodyError {
    BodyError::Refused(why.to_owned())
}
