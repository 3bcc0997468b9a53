//! `usher serve`: starts a server and stops it on a signal.

use std::io::Write as _;

use anyhow::Context as _;
use clap::Args;

use super::options::ServerOptions;
use super::signals::Signals;
use crate::server::{Addresses, AdminKey, Server};

/// Options of `usher serve`.
#[derive(Args, Debug)]
pub(crate) struct Serve {
    #[command(flatten)]
    pub(crate) server: ServerOptions,
}

impl Serve {
    /// Serves until a signal asks for the end; a second one ends at once.
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let settings = self.server.settings()?;
        for warning in &settings.warnings {
            tracing::warn!("{warning}");
        }
        let mut signals = Signals::listen()?;
        let data = settings.data.clone();
        let server = Server::start(settings).await?;
        announce(&server, &data);
        if self.server.print_addresses {
            print_addresses(server.addresses())?;
        }
        signals.next().await;
        tracing::info!("stopping: requests in flight are answered first, a second signal ends at once");
        tokio::select! {
            () = server.stop() => {}
            () = signals.next() => tracing::warn!("ended at once, as told"),
        }
        Ok(())
    }
}

/// One JSON line on standard output.
pub(crate) fn print_addresses(addresses: &Addresses) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, addresses)?;
    out.write_all(b"\n")?;
    out.flush().context("could not print the addresses")
}

fn announce(server: &Server, data: &std::path::Path) {
    let addresses = server.addresses();
    tracing::info!(proxy = ?addresses.proxy, admin = ?addresses.admin, chat = ?addresses.chat, metrics = ?addresses.metrics, data = %data.display(), "Usher is ready");
    match server.admin_key() {
        AdminKey::File { path, new: true } => {
            tracing::info!(file = %path.display(), "made an admin key; clients send it as X-API-KEY");
        }
        AdminKey::File { path, new: false } => {
            tracing::info!(file = %path.display(), "the admin key is in this file")
        }
        AdminKey::Given => {}
        AdminKey::NotRequired => tracing::warn!("the Admin API asks for no key, as the settings say"),
    }
}
