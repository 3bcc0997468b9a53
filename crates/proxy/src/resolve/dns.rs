//! Where names are asked: the name servers of the settings or of `/etc/resolv.conf`, with `/etc/hosts` in front of them.
//!
//! The system's own resolver doesn't tell how long an answer is good and knows no SRV. It stands in where the machine has no name servers.

use std::future::Future;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;
use std::time::Duration;

use tokio::runtime::Handle;

use super::files::{Conf, Hosts};
use super::wire::{Answers, Kind, Refused, ask};
use crate::options::Dns;

/// The system's resolver doesn't tell how long an answer is good, so it is asked this often; as is who has nothing to say.
const GOOD_FOR: Duration = Duration::from_secs(10);
/// An answer is good for at least this long, whatever it says: nobody asks for each request.
const LEAST: Duration = Duration::from_secs(1);
/// And for so long at most.
const MOST: Duration = Duration::from_secs(24 * 3600);
/// Addresses that are kept of one name.
const MOST_ADDRESSES: usize = 256;
/// How often each server is asked before a question is given up.
const ROUNDS: u32 = 2;

/// What a name resolved to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Addresses {
    /// Each address once, in the order of preference.
    pub(crate) all: Vec<IpAddr>,
    /// How long that is good.
    pub(crate) valid: Duration,
}

impl Addresses {
    /// What the system's resolver found.
    pub(super) fn of_system(all: Vec<IpAddr>) -> Result<Self, String> {
        if all.is_empty() { Err("it has no address".to_owned()) } else { Ok(Self { all, valid: GOOD_FOR }) }
    }
}

/// One server of a service (RFC 2782).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServiceRecord {
    pub(crate) host: String,
    /// 0: it has none of its own.
    pub(crate) port: u16,
    pub(crate) priority: u16,
    pub(crate) weight: u16,
}

/// Who is asked.
pub(crate) enum Asker {
    /// The system's resolver, on threads that may wait.
    System,
    /// Name servers, from a runtime that outlives every worker.
    Servers(Box<Servers>),
}

/// Name servers, and how they are asked.
pub(crate) struct Servers {
    all: Vec<SocketAddr>,
    conf: Conf,
    hosts: Hosts,
    valid: Option<Duration>,
    timeout: Duration,
    ipv6: bool,
    pub(super) runtime: Handle,
}

impl Asker {
    /// Reads the system's files, and goes by them as far as the settings don't say otherwise.
    pub(crate) fn new(dns: &Dns, runtime: Handle) -> Self {
        let mut conf = Conf::read(&PathBuf::from("/etc/resolv.conf"));
        let all = if dns.servers.is_empty() { conf.servers.clone() } else { dns.servers.clone() };
        if all.is_empty() {
            tracing::info!("no name servers in /etc/resolv.conf; names are looked up by the system");
            return Self::System;
        }
        if !dns.search {
            conf.search.clear();
        }
        let hosts = Hosts::new(PathBuf::from("/etc/hosts"));
        let Dns { valid, timeout, ipv6, .. } = *dns;
        Self::Servers(Box::new(Servers { all, conf, hosts, valid, timeout, ipv6, runtime }))
    }

    /// The addresses of a host.
    ///
    /// # Errors
    /// Why there are none.
    pub(crate) async fn addresses(&self, host: &str) -> Result<Addresses, String> {
        match self {
            Self::System => {
                let host = host.to_owned();
                let all = tokio::task::spawn_blocking(move || system_addresses(&host)).await;
                Addresses::of_system(all.map_err(|error| error.to_string())??)
            }
            Self::Servers(servers) => servers.addresses(host).await,
        }
    }

    /// The servers of a service, and how long that is good. Empty where the name has none.
    ///
    /// # Errors
    /// Nobody could be asked.
    pub(crate) async fn services(&self, name: &str) -> Result<(Vec<ServiceRecord>, Duration), String> {
        match self {
            Self::System => Ok((Vec::new(), GOOD_FOR)),
            Self::Servers(servers) => servers.services(name).await,
        }
    }
}

impl Servers {
    async fn addresses(&self, host: &str) -> Result<Addresses, String> {
        let written = self.hosts.find(host, self.ipv6);
        if !written.is_empty() {
            return Ok(Addresses { all: written, valid: GOOD_FOR });
        }
        let kinds: &[Kind] = if self.ipv6 { &[Kind::A, Kind::Aaaa] } else { &[Kind::A] };
        let mut failed = "it has no address".to_owned();
        for name in self.conf.names(host) {
            for kind in kinds {
                match self.ask(&name, *kind).await {
                    Ok(answers) if !answers.addresses.is_empty() => {
                        let all = each_once(answers.addresses.iter().map(IpAddr::to_canonical));
                        return Ok(Addresses { all, valid: self.span(answers.ttl) });
                    }
                    Ok(_) | Err(Refused::Nothing) => {}
                    // Where nobody answers, the next question would find nobody either.
                    Err(Refused::Nobody(reason)) => return Err(reason),
                    Err(Refused::Trouble(reason)) => failed = reason,
                }
            }
        }
        Err(failed)
    }

    async fn services(&self, name: &str) -> Result<(Vec<ServiceRecord>, Duration), String> {
        let mut failed = None;
        for name in self.conf.names(name) {
            match self.ask(&name, Kind::Srv).await {
                Ok(answers) if !answers.services.is_empty() => {
                    return Ok((answers.services, self.span(answers.ttl)));
                }
                Ok(_) | Err(Refused::Nothing) => {}
                Err(Refused::Nobody(reason)) => return Err(reason),
                Err(Refused::Trouble(reason)) => failed = Some(reason),
            }
        }
        failed.map_or(Ok((Vec::new(), GOOD_FOR)), Err)
    }

    /// Asks one server after the other, until one has an answer.
    async fn ask(&self, name: &str, kind: Kind) -> Result<Answers, Refused> {
        let mut failed = Refused::Nobody("there is no name server".to_owned());
        for _ in 0..ROUNDS {
            for server in &self.all {
                match timed(self.timeout, ask(*server, name, kind)).await {
                    Ok(answers) => return Ok(answers),
                    Err(Refused::Nothing) => return Err(Refused::Nothing),
                    Err(Refused::Trouble(reason)) => failed = Refused::Trouble(format!("{server}: {reason}")),
                    Err(Refused::Nobody(reason)) => failed = Refused::Nobody(format!("{server}: {reason}")),
                }
            }
        }
        Err(failed)
    }

    fn span(&self, said: Duration) -> Duration {
        self.valid.unwrap_or(said).clamp(LEAST, MOST)
    }
}

async fn timed<T>(within: Duration, ask: impl Future<Output = Result<T, Refused>>) -> Result<T, Refused> {
    let late = |_| Err(Refused::Nobody(format!("it did not answer within {within:?}")));
    tokio::time::timeout(within, ask).await.unwrap_or_else(late)
}

/// Waits, so it isn't called on a worker's own thread.
pub(super) fn system_addresses(host: &str) -> Result<Vec<IpAddr>, String> {
    let found = (host, 0).to_socket_addrs().map_err(|error| error.to_string())?;
    Ok(each_once(found.map(|address| address.ip().to_canonical())))
}

/// Each address once, in the order in which they came.
fn each_once(found: impl Iterator<Item = IpAddr>) -> Vec<IpAddr> {
    let mut each: Vec<IpAddr> = Vec::new();
    for address in found {
        if each.len() < MOST_ADDRESSES && !each.contains(&address) {
            each.push(address);
        }
    }
    each
}
