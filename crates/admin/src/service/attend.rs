//! What the service does by itself: it follows the store, and looks after what nobody writes through it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use usher_model::kind::PREFIX;
use usher_store::WatchError;

use super::{Service, ServiceError};

/// How long is waited before what failed is tried again.
const PAUSE: Duration = Duration::from_secs(1);

impl Service {
    /// Follows the store until it is closed, or this is dropped. What lives below objects that ended by themselves is deleted (a consumer's
    /// credentials, a service's cost decorations), in the history by `system`. Where others write to the store too, what they write is judged
    /// ([`Service::problems`]). Ends at once where there is neither.
    pub async fn attend(&self) {
        let able = self.capabilities();
        let (ends, judges) = (able.writable && able.leases, !able.alone);
        let others_end = ends && judges;
        if !ends && !judges {
            return;
        }
        let below = format!("{PREFIX}/");
        let mut said = String::new();
        'anew: loop {
            let mut watch = self.store().watch(&below, self.revision() + 1);
            if judges && let Err(error) = self.judge_all().await {
                self.later(&mut said, &error).await;
                continue;
            }
            // Everything at first, then what was written or deleted.
            let (mut all, mut due) = (ends, Vec::new());
            loop {
                while all || !due.is_empty() {
                    match self.look_after((!all).then_some(&due), others_end).await {
                        Ok(()) => (all, due) = (false, Vec::new()),
                        Err(error) => self.later(&mut said, &error).await,
                    }
                }
                match watch.next().await {
                    Ok(batch) => {
                        if judges {
                            batch.events.iter().for_each(|event| self.judge_event(event));
                        }
                        if others_end || ends && self.has_ends() {
                            due = batch.events.iter().map(|event| Arc::clone(&event.key)).collect();
                        }
                    }
                    Err(WatchError::Compacted { .. }) => continue 'anew,
                    Err(WatchError::Closed) => return,
                }
            }
        }
    }

    /// Looks after what ends by itself: among these keys, or all.
    fn look_after<'a>(
        &'a self,
        of: Option<&'a Vec<Arc<str>>>,
        others_end: bool,
    ) -> BoxFuture<'a, Result<(), ServiceError>> {
        Box::pin(async move {
            if others_end {
                self.note_ends_of_others(of).await?;
            }
            self.end_what_is_below(of).await
        })
    }

    /// Says once what failed, and waits a little.
    async fn later(&self, said: &mut String, error: &ServiceError) {
        if *said != error.to_string() {
            *said = error.to_string();
            tracing::warn!(%error, "looking after the store failed; it will be tried again");
        }
        tokio::time::sleep(PAUSE).await;
    }
}
