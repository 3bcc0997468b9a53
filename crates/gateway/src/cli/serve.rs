//! `usher serve`: starts a server, stops it on a signal, or hands it over to a new program.

use std::io::Write as _;
use std::net::SocketAddr;

use anyhow::Context as _;
use clap::Args;

use super::failure::See as _;
use super::options::ServerOptions;
use super::signals::{Asked, Signals};
use crate::handover::{Program, Taking, hand_over};
use crate::server::{Addresses, AdminKey, Server};
use crate::settings::Settings;
use crate::systemd;
use usher_proxy::Moved;

/// Options of `usher serve`.
#[derive(Args, Debug)]
pub(crate) struct Serve {
    #[command(flatten)]
    pub(crate) server: ServerOptions,
}

impl Serve {
    /// Serves until a signal asks for the end, where a second one ends at once; or until another process has taken over.
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let program = Program::own().context("the system does not tell where this program is")?;
        let mut signals = Signals::listen()?;
        let taking = Taking::begin().await?;
        let started = self.start(taking.as_ref()).await;
        if let (Some(taking), Err(error)) = (&taking, &started) {
            taking.fail(error).await;
        }
        let (mut server, mut taken) = started?;
        drop(taking);
        let successor = loop {
            match signals.next().await {
                Asked::Stop => break None,
                Asked::Reopen => {
                    server.reopen_logs();
                    tracing::info!("opened the access log anew");
                }
                Asked::Reload => {
                    systemd::reloading();
                    self.reload(&server, &mut taken).await;
                    systemd::ready();
                }
                Asked::Upgrade => {
                    let handed = tokio::select! {
                        handed = hand_over(&mut server, &program) => handed,
                        () = signals.stop() => break None,
                    };
                    match handed {
                        Ok(process) => break Some(process),
                        Err(error) => tracing::error!(
                            error = format!("{error:#}"),
                            "the new program did not take over, so that this one goes on"
                        ),
                    }
                }
            }
        };
        match successor {
            Some(process) => leave(server, &mut signals, process).await,
            None => stop(server, &mut signals).await,
        }
        Ok(())
    }

    async fn start(&self, taking: Option<&Taking>) -> anyhow::Result<(Server, Settings)> {
        let settings = self.server.settings().see("settings")?;
        for warning in &settings.warnings {
            tracing::warn!("{warning}");
        }
        let (data, admin_tls) = (settings.data.clone(), settings.admin_api.tls.is_some());
        let mut taken = settings.clone();
        taken.settle_listeners();
        let server = Server::start(settings, taking).await?;
        systemd::ready();
        announce(&server, &data, admin_tls);
        if self.server.print_addresses {
            let printed = print_addresses(server.addresses());
            // Whoever read them from the process before may not read any more.
            if taking.is_none() {
                printed?;
            }
        }
        Ok((server, taken))
    }

    /// Reads the settings anew. What can change does, what can't is named; a file that can't be read changes nothing.
    async fn reload(&self, server: &Server, taken: &mut Settings) {
        let mut newer = match self.server.settings() {
            Ok(newer) => newer,
            Err(error) => {
                return tracing::error!(
                    error = format!("{error:#}"),
                    "the settings could not be read anew, so that nothing changed"
                );
            }
        };
        newer.settle_listeners();
        match server.take_up(&newer, taken).await {
            Ok(moved) if moved == Moved::default() => {}
            Ok(Moved { opened, closed }) => {
                tracing::info!(?opened, ?closed, "the gateway listens elsewhere now");
            }
            Err(error) => {
                return tracing::error!(
                    error = format!("{error:#}"),
                    "the new settings can't be used, so that nothing changed"
                );
            }
        }
        let waiting = taken.needing_restart(&newer);
        if waiting.is_empty() {
            tracing::info!("read the settings anew");
        } else {
            tracing::warn!(
                restart = waiting.join(", "),
                "read the settings anew; these are taken up by a restart, or by an upgrade (SIGUSR2)"
            );
        }
        taken.take_over(newer);
    }
}

async fn stop(server: Server, signals: &mut Signals) {
    systemd::stopping();
    tracing::info!("stopping: requests in flight are answered first, a second signal ends at once");
    tokio::select! {
        () = server.stop() => {}
        () = signals.stop() => tracing::warn!("ended at once, as told"),
    }
}

async fn leave(server: Server, signals: &mut Signals, process: u32) {
    tracing::info!(
        process,
        "another process serves from now on; this one answers what it has begun, and ends"
    );
    let told = async {
        // What stops the service is told to this process too, which is about to end anyway.
        signals.stop().await;
        signals.stop().await;
    };
    tokio::select! {
        () = server.leave() => {}
        () = told => tracing::warn!("ended at once, as told"),
    }
}

/// One JSON line on standard output.
pub(crate) fn print_addresses(addresses: &Addresses) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, addresses)?;
    out.write_all(b"\n")?;
    out.flush().context("could not print the addresses")
}

fn announce(server: &Server, data: &std::path::Path, admin_tls: bool) {
    let addresses = server.addresses();
    let some = |addresses: &'_ [SocketAddr]| (!addresses.is_empty()).then(|| format!("{addresses:?}"));
    let (tls, balanced) = (some(&addresses.tls), some(&addresses.behind_balancer));
    let (stream, udp) = (some(&addresses.stream), some(&addresses.stream_udp));
    tracing::info!(proxy = ?addresses.proxy, tls, behind_balancer = balanced, stream, stream_udp = udp, admin = ?addresses.admin, chat = ?addresses.chat, metrics = ?addresses.metrics, data = %data.display(), "Usher is ready");
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
    if let (Some(code), Some(address)) = (server.setup_code(), addresses.admin.first()) {
        // Of use once, for a day, and only while nobody is known: it has to be told somewhere that only the machine's owner reads.
        tracing::info!(
            console = console(*address, admin_tls),
            code = code.expose(),
            "no user exists yet: open the console, and make the first one with this one-time code"
        );
    }
}

/// What a browser on this machine is given.
fn console(mut address: SocketAddr, tls: bool) -> String {
    if address.ip().is_unspecified() {
        // It listens everywhere, which is no place to go to.
        address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
    }
    format!("{}://{address}/ui/", if tls { "https" } else { "http" })
}

#[cfg(test)]
mod tests {
    use super::console;

    #[test]
    fn the_console_is_where_a_browser_finds_it() {
        for (address, tls, wanted) in [
            ("127.0.0.1:9180", false, "http://127.0.0.1:9180/ui/"),
            ("0.0.0.0:9180", true, "https://127.0.0.1:9180/ui/"),
            ("[::]:9180", false, "http://127.0.0.1:9180/ui/"),
            ("10.0.0.7:9180", true, "https://10.0.0.7:9180/ui/"),
        ] {
            assert_eq!(console(address.parse().unwrap(), tls), wanted);
        }
    }
}
