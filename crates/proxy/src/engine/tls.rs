//! A handshake with a client: the name that it asks for chooses the `ssl` object, and that one's rules do the rest.
//!
//! Handshakes cost a thousand times what a request does, so their number has a bound. Beyond it, connections whose client has said nothing yet make
//! way for newer ones; where all are busy, the kernel keeps the next ones waiting.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::Poll;

use rustls::pki_types::CertificateDer;
use rustls::server::{Acceptor, ServerConnection};
use rustls::{HandshakeKind, ProtocolVersion};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio_rustls::LazyConfigAcceptor;
use usher_pipeline::front::Handshake;
use usher_pipeline::secured::Secured;

use super::alarm::{Alarm, Wait};
use super::local::Local;
use super::proof::Proof;
use super::socket::Socket;
use crate::config::Ssl;
use crate::options::cipher_name;

/// A fatal alert of TLS 1.0 to 1.2, as it is sent before a version was agreed upon: unrecognized_name (RFC 6066, section 3).
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

/// The handshakes of one worker.
pub(super) struct Handshakes {
    most: usize,
    running: Cell<usize>,
    silent: RefCell<VecDeque<Weak<Silent>>>,
    ended: Notify,
}

/// A connection whose client hasn't said yet what it wants.
struct Silent(Rc<Alarm>);

/// A handshake's place among the worker's.
struct Place<'a>(&'a Handshakes);

impl Handshakes {
    /// None yet, and so many at most.
    pub(super) fn new(most: usize) -> Self {
        Self { most, running: Cell::new(0), silent: RefCell::default(), ended: Notify::new() }
    }

    /// Waits until one more may begin.
    pub(super) async fn room(&self) {
        while self.running.get() >= self.most && !self.make_room() {
            self.ended.notified().await;
        }
    }

    /// Ends the one that has been silent for longest.
    fn make_room(&self) -> bool {
        let mut silent = self.silent.borrow_mut();
        while let Some(first) = silent.pop_front() {
            if let Some(Silent(alarm)) = first.upgrade().as_deref() {
                alarm.ring(Wait::ClientRead);
                return true;
            }
        }
        false
    }

    fn begin(&self) -> Place<'_> {
        self.running.set(self.running.get() + 1);
        Place(self)
    }

    fn watch(&self, alarm: &Rc<Alarm>) -> Rc<Silent> {
        let one = Rc::new(Silent(Rc::clone(alarm)));
        let mut silent = self.silent.borrow_mut();
        // Those that have spoken since are taken out from the front; the queue is never longer than what has begun lately.
        while silent.front().is_some_and(|first| first.strong_count() == 0) {
            silent.pop_front();
        }
        if silent.len() > 2 * self.most {
            silent.retain(|one| one.strong_count() > 0);
        }
        silent.push_back(Rc::downgrade(&one));
        one
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.running.set(self.0.running.get() - 1);
        self.0.ended.notify_one();
    }
}

/// What is spoken inside of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Inside {
    /// HTTP, in the version that is agreed upon.
    Http,
    /// Whatever client and upstream speak.
    Stream,
}

/// A connection whose handshake is done.
pub(super) struct Shaken {
    pub(super) stream: Socket,
    pub(super) secured: Secured,
    pub(super) proof: Proof,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("it took too long")]
    TimedOut,
    #[error("the client asks for no name, and the settings have no fallback_sni")]
    NoName,
    #[error("there is no certificate for the name")]
    Unknown(Box<str>),
    #[error("it was for a certificate authority's proof alone")]
    Proof,
    #[error("{0}")]
    Broken(io::Error),
}

/// Shakes hands. `None`: the connection is at its end, which was told.
pub(super) async fn accept(
    local: &Local,
    alarm: &Rc<Alarm>,
    stream: TcpStream,
    peer: SocketAddr,
    inside: Inside,
) -> Option<Shaken> {
    let _place = local.handshakes.begin();
    local.clock.turn();
    alarm.arm(Wait::ClientRead, local.clock.ms() + local.settings.handshake_ms);
    let shaken = shake(local, alarm, stream, inside).await;
    alarm.disarm(Wait::ClientRead);
    local.clock.turn();
    match shaken {
        Ok(shaken) => {
            let how = if shaken.secured.reused { Handshake::Resumed } else { Handshake::Full };
            local.shared.front().count(how);
            Some(shaken)
        }
        Err(failed) => {
            local.shared.front().count(match failed {
                Failed::TimedOut => Handshake::TimedOut,
                Failed::NoName | Failed::Unknown(_) => Handshake::UnknownName,
                Failed::Proof => Handshake::Full,
                Failed::Broken(_) => Handshake::Broken,
            });
            tell(local, peer, &failed);
            None
        }
    }
}

async fn shake(
    local: &Local,
    alarm: &Rc<Alarm>,
    stream: TcpStream,
    inside: Inside,
) -> Result<Shaken, Failed> {
    let silent = local.handshakes.watch(alarm);
    let mut acceptor = LazyConfigAcceptor::new(Acceptor::default(), stream);
    let start = within(alarm, &mut acceptor).await?.map_err(Failed::Broken)?;
    drop(silent);
    let hello = start.client_hello();
    let name: Box<str> = hello.server_name().unwrap_or_default().into();
    if let Some(config) = local.settings.proofs.of_hello(&hello) {
        let mut stream = within(alarm, start.into_stream(config)).await?.map_err(Failed::Broken)?;
        // Nothing is said inside; the authority has seen what it wanted to.
        let _ = within(alarm, stream.shutdown()).await?;
        return Err(Failed::Proof);
    }
    let asked = if name.is_empty() { local.settings.fallback_sni.as_deref() } else { Some(&*name) };
    let found = asked.and_then(|name| local.view().snapshot.ssl(name).cloned());
    let Some(ssl) = found else {
        // Best effort: the connection is closed either way.
        let _ = start.io.try_write(&UNRECOGNIZED_NAME);
        return Err(if asked.is_none() { Failed::NoName } else { Failed::Unknown(name) });
    };
    let config = match inside {
        Inside::Http => &ssl.config,
        Inside::Stream => &ssl.stream,
    };
    let shaken = start.into_stream(Arc::clone(config));
    let stream = within(alarm, shaken).await?.map_err(Failed::Broken)?;
    let connection = stream.get_ref().1;
    let shown: Vec<_> = connection
        .peer_certificates()
        .unwrap_or_default()
        .iter()
        .cloned()
        .map(CertificateDer::into_owned)
        .collect();
    let secured = secured(&ssl, name, connection, &shown);
    let proof = Proof::new(shown, ssl.clients.clone(), secured.is_verified());
    Ok(Shaken { stream: Socket::Tls(Box::new(stream.into())), secured, proof })
}

/// Runs until it is done or the alarm rings.
async fn within<T>(alarm: &Alarm, future: impl Future<Output = T>) -> Result<T, Failed> {
    let mut future = pin!(future);
    poll_fn(|context| {
        alarm.wakes(context.waker());
        match future.as_mut().poll(context) {
            Poll::Ready(done) => Poll::Ready(Ok(done)),
            Poll::Pending if alarm.rang(Wait::ClientRead) => Poll::Ready(Err(Failed::TimedOut)),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

fn secured(
    ssl: &Ssl,
    server_name: Box<str>,
    connection: &ServerConnection,
    shown: &[CertificateDer<'_>],
) -> Secured {
    // Looked at once more where the handshake took anybody, or was a short one by an earlier look.
    let verdict = match &ssl.clients {
        Some(clients) if !shown.is_empty() => match clients.judge(shown) {
            Ok(()) => "SUCCESS".into(),
            Err(reason) => format!("FAILED:{reason}").into(),
        },
        _ => "NONE".into(),
    };
    Secured {
        version: match connection.protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
            Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
            _ => "",
        },
        cipher: connection.negotiated_cipher_suite().map_or("", |suite| cipher_name(suite.suite())),
        server_name,
        reused: connection.handshake_kind() == Some(HandshakeKind::Resumed),
        certificate: shown.first().map_or_else(Box::default, |own| own.as_ref().into()),
        intermediates: shown.iter().skip(1).map(|other| other.as_ref().into()).collect(),
        verdict,
    }
}

/// Scanners do this all day, so that a line in ten seconds is enough; a client that left without a word isn't worth any.
fn tell(local: &Local, peer: SocketAddr, failed: &Failed) {
    if matches!(failed, Failed::Proof)
        || matches!(failed, Failed::Broken(error) if error.kind() == io::ErrorKind::UnexpectedEof)
    {
        return;
    }
    if let Some(silent) = local.complaints.handshakes.speak(local.clock.ms()) {
        let name = match failed {
            Failed::Unknown(name) => Some(&**name),
            _ => None,
        };
        tracing::warn!(%peer, name, error = %failed, silent, "a TLS handshake failed");
    }
}
