//! A document at a URL: fetched when it is first needed, kept for a while by all workers, asked for anew behind that.
//!
//! One that can't be had again stays what it was; one that never could be had isn't asked for by every request.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use usher_http1::head::Head;
use usher_pipeline::exchange::Exchange;
use usher_pipeline::worker::{Call, FetchError};

/// The largest document that is taken, in bytes.
pub(crate) const MAX_BYTES: usize = 4 << 20;
/// How long a document that could not be had isn't asked for again.
const PAUSE: Duration = Duration::from_secs(1);

/// A document, and where it comes from.
pub(crate) struct KeptDocument<T> {
    /// Where it is.
    pub(crate) url: String,
    /// What is sent along for it.
    pub(crate) fields: Head,
    /// Whether its server's certificate is verified.
    pub(crate) verify: bool,
    /// For the whole fetch.
    pub(crate) timeout: Duration,
    /// For how long it is good.
    pub(crate) keep: Duration,
    /// What all workers share.
    pub(crate) kept: Arc<Mutex<Kept<T>>>,
}

/// What was fetched last.
pub(crate) struct Kept<T> {
    document: Option<(Instant, Arc<T>)>,
    failed: Option<(Instant, Unavailable)>,
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self { document: None, failed: None }
    }
}

/// Why there is no document.
#[derive(Clone, Debug)]
pub(crate) struct Unavailable {
    /// Whether its server didn't answer in time.
    pub(crate) is_late: bool,
    /// In words.
    pub(crate) reason: String,
}

impl<T> KeptDocument<T> {
    /// The document, as `parse` reads it.
    ///
    /// # Errors
    /// It can't be had, or not be read, and there is none from before.
    pub(crate) async fn get(
        &self,
        exchange: &Exchange,
        parse: impl Fn(&[u8]) -> Result<T, String>,
    ) -> Result<Arc<T>, Unavailable> {
        let now = exchange.worker().now();
        let look = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let (old, failed) = {
            let kept = look();
            (kept.document.clone(), kept.failed.clone())
        };
        let is_young = |since: Instant, limit: Duration| now.saturating_duration_since(since) < limit;
        if let Some((since, document)) = &old
            && is_young(*since, self.keep)
        {
            return Ok(Arc::clone(document));
        }
        let old = old.map(|(_, document)| document);
        if let Some((at, why)) = failed
            && is_young(at, PAUSE)
        {
            return old.ok_or(why);
        }
        match self.fetch(exchange, parse).await {
            Ok(document) => {
                let document = Arc::new(document);
                *look() = Kept { document: Some((now, Arc::clone(&document))), failed: None };
                Ok(document)
            }
            Err(why) => {
                tracing::error!(error = why.reason, "an OpenAPI document can't be used");
                look().failed = Some((now, why.clone()));
                old.ok_or(why)
            }
        }
    }

    async fn fetch(
        &self,
        exchange: &Exchange,
        parse: impl Fn(&[u8]) -> Result<T, String>,
    ) -> Result<T, Unavailable> {
        let call = Call {
            method: "GET".to_owned(),
            url: self.url.clone(),
            fields: self.fields.clone(),
            body: Bytes::new(),
            timeout: self.timeout,
            verify: self.verify,
            max_answer_bytes: MAX_BYTES as u64,
        };
        let answer = exchange.worker().fetch(call).await.map_err(|error| Unavailable {
            is_late: matches!(error, FetchError::TimedOut(_)),
            reason: error.to_string(),
        })?;
        let read = match answer.head.status() {
            200 => parse(&answer.body),
            status => Err(format!("its server answered {status}")),
        };
        read.map_err(|reason| Unavailable { is_late: false, reason })
    }
}
