//! Answers of a provider that speaks another protocol than the client, in the client's.

pub(super) mod answer;
pub(super) mod embeddings;
pub(super) mod question;
mod stream;

use bytes::Bytes;
use usher_http1::head::Head;
use usher_pipeline::body::{BodyError, BodyOut, BodyStep};

use super::usage::{Meter, Way};

/// From which protocol to which an answer is translated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Translation {
    /// None: both speak the same.
    #[default]
    None,
    /// Embeddings of Vertex AI's, for a client of `OpenAI`'s.
    Embeddings,
    /// Chat completions of `OpenAI`'s, for a client of Anthropic's.
    Messages,
}

/// Translates an answer, as it comes or as a whole.
pub(super) trait Translate {
    /// What is known behind these bytes.
    fn chunk(&mut self, bytes: &[u8]) -> Result<Vec<u8>, BodyError>;

    /// What is left at the end.
    fn end(&mut self) -> Result<Vec<u8>, BodyError>;
}

/// The step that reads what an answer cost and translates it. Model is the name that the client has asked for.
pub(super) fn step(translation: Translation, meter: Meter, way: Way, model: &str) -> Box<dyn BodyStep> {
    let translate: Box<dyn Translate> = match (translation, way) {
        (Translation::None, _) => return Box::new(meter),
        (Translation::Embeddings, _) => Box::new(embeddings::Answer::new(meter.usage(), model)),
        (Translation::Messages, Way::Events) => Box::new(stream::Stream::default()),
        (Translation::Messages, _) => Box::new(answer::Answer::default()),
    };
    Box::new(Translated { meter, translate })
}

/// Reads what an answer cost, and passes it on translated.
struct Translated {
    meter: Meter,
    translate: Box<dyn Translate>,
}

impl BodyStep for Translated {
    fn chunk(&mut self, bytes: Bytes, out: &mut BodyOut) -> Result<(), BodyError> {
        // The meter passes on what comes, which nobody wants here.
        self.meter.chunk(bytes.clone(), &mut BodyOut::default())?;
        let translated = self.translate.chunk(&bytes)?;
        if !translated.is_empty() {
            out.push(Bytes::from(translated));
        }
        Ok(())
    }

    fn end(&mut self, trailers: &mut Head, out: &mut BodyOut) -> Result<(), BodyError> {
        self.meter.end(trailers, &mut BodyOut::default())?;
        let translated = self.translate.end()?;
        if !translated.is_empty() {
            out.push(Bytes::from(translated));
        }
        Ok(())
    }

    fn keeps_length(&self) -> bool {
        false
    }
}

/// A whole answer as it comes, up to a bound.
#[derive(Default)]
pub(super) struct Held(Vec<u8>);

impl Held {
    /// The largest answer that is taken, in bytes: vectors are long.
    const MOST: u64 = 64 << 20;

    fn take(&mut self, bytes: &[u8]) -> Result<(), BodyError> {
        if self.0.len() as u64 + bytes.len() as u64 > Self::MOST {
            return Err(BodyError::TooLarge { limit: Self::MOST });
        }
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn bytes(&self) -> &[u8] {
        &self.0
    }
}

fn refused(reason: &str) -> BodyError {
    BodyError::Refused(format!("the provider's answer can't be translated: it {reason}"))
}
