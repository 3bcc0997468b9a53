//! What happens to an answer's body on its way: another one takes its place, or texts in it are replaced.

use bytes::Bytes;
use usher_http1::head::Head;
use usher_pipeline::body::{BodyError, BodyOut, BodyStep};
use usher_pipeline::plugin::BuildError;

use super::config;
use crate::decode::Coding;
use crate::pattern::{Pattern, Replacement, Scope};

/// Sends this body instead of the upstream's, which is read and dropped.
pub(super) struct Instead(pub(super) Bytes);

impl BodyStep for Instead {
    fn chunk(&mut self, _: Bytes, _: &mut BodyOut) -> Result<(), BodyError> {
        Ok(())
    }

    fn end(&mut self, trailers: &mut Head, out: &mut BodyOut) -> Result<(), BodyError> {
        // They speak of a body that nobody sees.
        trailers.clear();
        out.push(std::mem::take(&mut self.0));
        Ok(())
    }
}

/// One replacement in a body.
pub(super) struct Filter {
    pattern: Pattern,
    replacement: Replacement,
    scope: Scope,
}

impl Filter {
    /// Compiles one filter.
    ///
    /// # Errors
    /// A pattern or option letters that can't be used.
    pub(super) fn new(filter: &config::Filter) -> Result<Self, BuildError> {
        let pattern = Pattern::with_options(&filter.regex, &filter.options).map_err(|error| {
            BuildError::new(format!("regex \"{}\" validation failed: {error}", filter.regex))
        })?;
        Ok(Self { pattern, replacement: Replacement::parse(&filter.replace), scope: filter.scope })
    }
}

/// Keeps the body back until it is whole, and filters it then.
pub(super) struct Filtered {
    pub(super) filters: std::sync::Arc<[Filter]>,
    pub(super) coding: Coding,
    /// The largest body that is kept, coded or not, in bytes.
    pub(super) limit: usize,
    pub(super) held: Vec<u8>,
}

impl BodyStep for Filtered {
    fn chunk(&mut self, bytes: Bytes, _: &mut BodyOut) -> Result<(), BodyError> {
        if self.held.len() + bytes.len() > self.limit {
            return Err(BodyError::TooLarge { limit: self.limit as u64 });
        }
        self.held.extend_from_slice(&bytes);
        Ok(())
    }

    fn end(&mut self, _: &mut Head, out: &mut BodyOut) -> Result<(), BodyError> {
        let mut body = self.coding.decode(std::mem::take(&mut self.held), self.limit)?;
        for filter in &*self.filters {
            // A filter may be there to hide something: where it gives up, nothing is sent rather than the text as it was.
            let replaced = filter.pattern.replace(&body, &filter.replacement, filter.scope, self.limit);
            match replaced {
                Ok(Some(new)) => body = new,
                Ok(None) => {}
                Err(error) => {
                    tracing::error!(%error, "a filter of response-rewrite gave up");
                    return Err(BodyError::Refused(format!("the body can't be filtered: {error}")));
                }
            }
        }
        out.push(body.into());
        Ok(())
    }
}
