//! The ways in: which addresses are listened on and for what, with a socket a worker, and how that changes while the workers run.
//!
//! A socket is never closed while clients may wait in it: one that isn't needed by its worker any more is another worker's, or the next process's.

mod bind;

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener, UdpSocket as StdUdpSocket};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use super::Addresses;
use super::listen::{Kind, Speaks};
use crate::StartError;
use crate::handed::{Handed, Inherited, Transport};
use crate::options::Options;

/// What comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Means {
    Connections(Kind),
    Datagrams,
}

impl Means {
    const fn transport(self) -> Transport {
        match self {
            Self::Connections(_) => Transport::Tcp,
            Self::Datagrams => Transport::Udp,
        }
    }

    const fn purpose(self) -> &'static str {
        match self {
            Self::Datagrams => "gateway/datagrams",
            Self::Connections(Kind { speaks: Speaks::Http, balanced: false }) => "gateway/http",
            Self::Connections(Kind { speaks: Speaks::Http, balanced: true }) => "gateway/balanced-http",
            Self::Connections(Kind { speaks: Speaks::Https, balanced: false }) => "gateway/https",
            Self::Connections(Kind { speaks: Speaks::Https, balanced: true }) => "gateway/balanced-https",
            Self::Connections(Kind { speaks: Speaks::Stream, .. }) => "gateway/stream",
            Self::Connections(Kind { speaks: Speaks::SecureStream, .. }) => "gateway/secure-stream",
        }
    }
}

/// An address that is to be listened on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Wanted {
    address: SocketAddr,
    means: Means,
}

/// One that is.
struct Way {
    wanted: Wanted,
    real: SocketAddr,
    /// The sockets that the workers have, once more: for the next process.
    sockets: Vec<OwnedFd>,
    closing: Closing,
}

/// Says that a way is closed, while the workers go on.
#[derive(Clone, Default)]
pub(super) struct Closing {
    closed: CancellationToken,
    /// Whether its sockets go on for something else: then whoever waits in them is none of its clients any more.
    handed_on: Arc<AtomicBool>,
}

impl Closing {
    fn close(&self, handed_on: bool) {
        self.handed_on.store(handed_on, Ordering::Release);
        self.closed.cancel();
    }

    /// Whether it is closed.
    pub(super) fn is_closed(&self) -> bool {
        self.closed.is_cancelled()
    }

    /// Waits until it is.
    pub(super) async fn closed(&self) {
        self.closed.cancelled().await;
    }

    /// Whether those that have connected already are its clients.
    pub(super) fn takes_the_rest(&self) -> bool {
        !self.handed_on.load(Ordering::Acquire)
    }
}

/// A listener of one worker's.
pub(super) struct Door {
    pub(super) listener: StdListener,
    pub(super) kind: Kind,
    pub(super) closing: Closing,
}

/// A UDP socket of one worker's.
pub(super) struct Datagrams {
    pub(super) socket: StdUdpSocket,
    pub(super) closing: Closing,
}

/// What one worker gets of them.
#[derive(Default)]
pub(super) struct WaysIn {
    pub(super) doors: Vec<Door>,
    pub(super) datagrams: Vec<Datagrams>,
}

/// All of them.
pub(super) struct Ways {
    all: Mutex<Vec<Way>>,
    workers: usize,
}

/// A change of them that was prepared: everything that is new is bound.
pub(super) struct Change {
    opened: Vec<Way>,
    /// What each worker gets.
    pub(super) ways_in: Vec<WaysIn>,
    all: Vec<Wanted>,
}

impl Change {
    /// The addresses that are new.
    pub(super) fn opened(&self) -> Vec<SocketAddr> {
        self.opened.iter().map(|way| way.real).collect()
    }
}

impl Ways {
    /// Binds every address that the options ask for. The list is by worker.
    ///
    /// # Errors
    /// The first address that can't be bound.
    pub(super) fn open(options: &Options, workers: usize) -> Result<(Self, Vec<WaysIn>), StartError> {
        let (all, ways_in) = open(&wanted(options), workers, &options.inherited)?;
        Ok((Self { all: Mutex::new(all), workers }, ways_in))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Way>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where they are; the real ports where 0 was asked for.
    pub(super) fn addresses(&self) -> Addresses {
        let mut addresses = Addresses::default();
        for way in self.lock().iter() {
            let place = match way.wanted.means {
                Means::Datagrams => &mut addresses.datagrams,
                Means::Connections(Kind { speaks: Speaks::Stream | Speaks::SecureStream, .. }) => {
                    &mut addresses.stream
                }
                Means::Connections(Kind { balanced: true, .. }) => &mut addresses.behind_balancer,
                Means::Connections(Kind { speaks: Speaks::Http, .. }) => &mut addresses.plain,
                Means::Connections(Kind { speaks: Speaks::Https, .. }) => &mut addresses.tls,
            };
            place.push(way.real);
        }
        addresses
    }

    /// The sockets, for another process.
    ///
    /// # Errors
    /// There are too many open files.
    pub(super) fn handed(&self) -> io::Result<Vec<Handed>> {
        let handed = |way: &Way| -> io::Result<Handed> {
            let sockets = way.sockets.iter().map(OwnedFd::try_clone).collect::<io::Result<_>>()?;
            let Wanted { address: asked, means } = way.wanted;
            Ok(Handed { purpose: means.purpose().to_owned(), transport: means.transport(), asked, sockets })
        };
        self.lock().iter().map(handed).collect()
    }

    /// Lets go of the sockets, so that only the workers hold them.
    pub(super) fn forget(&self) {
        self.lock().clear();
    }

    /// Binds what newer options ask for beyond what is there. Nothing has changed yet.
    ///
    /// # Errors
    /// The first address that can't be bound.
    pub(super) fn prepare(&self, options: &Options) -> Result<Change, StartError> {
        let all = wanted(options);
        let mut missing = all.clone();
        let mut gone = Vec::new();
        for way in self.lock().iter() {
            match missing.iter().position(|wanted| *wanted == way.wanted) {
                Some(place) => drop(missing.remove(place)),
                None => {
                    // Where only what is spoken changes, whoever waits in a socket is served by the new rule.
                    let sockets = way.sockets.iter().map(OwnedFd::try_clone).collect::<io::Result<_>>();
                    let failed = |source| StartError::Bind { address: way.wanted.address, source };
                    let transport = way.wanted.means.transport();
                    let sockets = sockets.map_err(failed)?;
                    let purpose = way.wanted.means.purpose().to_owned();
                    gone.push(Handed { purpose, transport, asked: way.wanted.address, sockets });
                }
            }
        }
        let (opened, ways_in) = open(&missing, self.workers, &Inherited::new(gone))?;
        Ok(Change { opened, ways_in, all })
    }

    /// Closes what a change leaves out, once its new ones are with the workers. Says which addresses these were.
    pub(super) fn finish(&self, change: Change) -> Vec<SocketAddr> {
        let mut ways = self.lock();
        let mut kept = change.all;
        for way in &change.opened {
            // What was opened anew isn't what was there.
            if let Some(place) = kept.iter().position(|wanted| *wanted == way.wanted) {
                kept.remove(place);
            }
        }
        let mut gone = Vec::new();
        ways.retain(|way| match kept.iter().position(|wanted| *wanted == way.wanted) {
            Some(place) => {
                kept.remove(place);
                true
            }
            None => {
                let is_same = |other: &Way| {
                    other.wanted.address == way.wanted.address
                        && other.wanted.means.transport() == way.wanted.means.transport()
                };
                way.closing.close(change.opened.iter().any(is_same));
                gone.push(way.real);
                false
            }
        });
        ways.extend(change.opened);
        gone
    }
}

/// Binds all of these, or none.
fn open(
    wanted: &[Wanted],
    workers: usize,
    inherited: &Inherited,
) -> Result<(Vec<Way>, Vec<WaysIn>), StartError> {
    let mut ways_in: Vec<WaysIn> = (0..workers).map(|_| WaysIn::default()).collect();
    let mut ways = Vec::with_capacity(wanted.len());
    for wanted in wanted {
        let failed = |source| StartError::Bind { address: wanted.address, source };
        let transport = wanted.means.transport();
        let handed = inherited.take(wanted.means.purpose(), transport, wanted.address);
        let bound = bind::bind(transport, wanted.address, workers, handed).map_err(failed)?;
        let closing = Closing::default();
        for (at, socket) in bound.sockets.iter().enumerate() {
            // More sockets than workers: some workers have several.
            let Some(place) = ways_in.get_mut(at % workers.max(1)) else { continue };
            let socket = socket.try_clone().map_err(failed)?;
            let closing = closing.clone();
            match wanted.means {
                Means::Connections(kind) => {
                    place.doors.push(Door { listener: socket.into(), kind, closing });
                }
                Means::Datagrams => place.datagrams.push(Datagrams { socket: socket.into(), closing }),
            }
        }
        ways.push(Way { wanted: *wanted, real: bound.address, sockets: bound.sockets, closing });
    }
    Ok((ways, ways_in))
}

fn wanted(options: &Options) -> Vec<Wanted> {
    let balanced = &options.behind_balancer;
    let all = [
        (&options.listen, Speaks::Http, false),
        (&options.tls.listen, Speaks::Https, false),
        (&balanced.listen, Speaks::Http, true),
        (&balanced.tls_listen, Speaks::Https, true),
    ];
    let http = all.into_iter().flat_map(|(addresses, speaks, balanced)| {
        addresses.iter().map(move |address| (*address, Means::Connections(Kind { speaks, balanced })))
    });
    let streams = options.streams.tcp.iter().map(|listen| {
        let speaks = if listen.tls { Speaks::SecureStream } else { Speaks::Stream };
        (listen.address, Means::Connections(Kind { speaks, balanced: options.streams.proxy_protocol }))
    });
    let datagrams = options.streams.udp.iter().map(|address| (*address, Means::Datagrams));
    http.chain(streams).chain(datagrams).map(|(address, means)| Wanted { address, means }).collect()
}
