//! The new process's side of an upgrade.

use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use usher_proxy::handed::{Handed, Inherited};

use super::link::Link;
use super::wire::{FORMAT, New, Old, VARIABLE};

/// A server that is about to be taken over.
#[derive(Debug)]
pub(crate) struct Taking {
    link: Link,
    inherited: Arc<Inherited>,
}

impl Taking {
    /// Takes the sockets of the process that has started this one for an upgrade; `None` where it was started as usual.
    ///
    /// # Errors
    /// Standard input isn't what an upgrade makes of it, or what comes over it isn't understood.
    pub(crate) async fn begin() -> anyhow::Result<Option<Self>> {
        if std::env::var_os(VARIABLE).is_none() {
            return Ok(None);
        }
        let input = io::stdin().as_fd().try_clone_to_owned().map(UnixStream::from);
        let usual =
            || format!("{VARIABLE} is set by a server that starts its successor; leave it out otherwise");
        let stream = input.and_then(|stream| stream.peer_addr().map(|_| stream)).with_context(usual)?;
        let link = Link::new(stream).with_context(usual)?;
        let version = env!("CARGO_PKG_VERSION").to_owned();
        link.say(&New::Sockets { format: FORMAT, version }).await.with_context(usual)?;
        let Old::Sockets(groups) = link.hear().await.context("the sockets did not come")? else {
            bail!("something else came instead of the sockets");
        };
        let mut handed = Vec::with_capacity(groups.len());
        for group in groups {
            let sockets = link.take(group.sockets).await.context("the sockets did not come")?;
            handed.push(Handed {
                transport: group.transport(),
                purpose: group.purpose,
                asked: group.asked,
                sockets,
            });
        }
        Ok(Some(Self { link, inherited: Arc::new(Inherited::new(handed)) }))
    }

    /// The sockets that it has got.
    pub(crate) const fn inherited(&self) -> &Arc<Inherited> {
        &self.inherited
    }

    /// Waits until the old process has let go of the store.
    ///
    /// # Errors
    /// The old process has changed its mind, or is gone without having let go of it.
    pub(crate) async fn store(&self) -> anyhow::Result<()> {
        self.link.say(&New::Store).await?;
        match self.link.hear().await {
            Ok(Old::Store) => Ok(()),
            Ok(_) => bail!("something else came instead of the store"),
            // Whatever has ended it, it holds the store no more.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Says that the configuration is in force, and waits for the word to go. An old process that is gone meanwhile leaves nobody to wait for.
    ///
    /// # Errors
    /// It speaks of something else.
    pub(crate) async fn ready(&self) -> anyhow::Result<()> {
        let left = self.inherited.close_rest();
        if !left.is_empty() {
            tracing::info!(addresses = ?left, "the settings name these addresses no more; the process before listens there to its end");
        }
        if self.link.say(&New::Ready).await.is_err() {
            return Ok(());
        }
        match self.link.hear().await {
            Ok(Old::Go) => Ok(()),
            Ok(_) => bail!("something else came instead of the word to go"),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Tells the old process why this one gives up.
    pub(crate) async fn fail(&self, error: &anyhow::Error) {
        // It sees the end anyway.
        let _ = self.link.say(&New::Failed { reason: format!("{error:#}") }).await;
    }
}
