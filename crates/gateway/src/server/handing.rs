//! What a server gives to the process that takes over from it, and takes back where that fails.

use std::io;
use std::time::Duration;

use anyhow::Context as _;
use usher_proxy::handed::Handed;

use super::{DRAIN, Server};

/// How often the store is asked for again.
const ATTEMPTS: usize = 20;

impl Server {
    /// The sockets of every listener.
    pub(crate) fn handed(&self) -> io::Result<Vec<Handed>> {
        let mut handed = self.proxy.handed()?;
        handed.extend(self.sides.handed()?);
        Ok(handed)
    }

    /// Lets go of what only one process may have. Traffic goes on as it is configured; whoever comes to the admin side waits in its sockets.
    ///
    /// # Errors
    /// The store is one that no other process can take over.
    pub(crate) async fn release(&mut self) -> anyhow::Result<()> {
        self.released = true;
        self.sides.pause().await;
        self.store.release().await.context("the store can't be handed over")?;
        self.proxy.release().await;
        Ok(())
    }

    /// Takes back what was let go of, where it was.
    pub(crate) async fn resume(&mut self) {
        if !std::mem::take(&mut self.released) {
            return;
        }
        for attempt in 1.. {
            match self.store.resume().await {
                Ok(()) => break,
                // A process that has just been ended may hold it a moment longer.
                Err(error) if attempt < ATTEMPTS => {
                    tracing::debug!(%error, attempt, "the store is not back yet");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                Err(error) => {
                    tracing::error!(%error, "the store did not come back: traffic goes on, and no change is taken before a restart");
                    break;
                }
            }
        }
        self.proxy.resume();
        if let Err(error) = self.sides.open() {
            tracing::error!(error = format!("{error:#}"), "the admin side could not be opened again");
        }
    }

    /// Ends behind its last answer, while another process goes on with its sockets.
    pub(crate) async fn leave(self) {
        self.readiness.stops();
        drop((self.sides, self._attending, self._issuing));
        self.proxy.leave(DRAIN).await;
    }
}
