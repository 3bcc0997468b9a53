//! Connections that aren't HTTP: found a route for, asked about, and passed on byte for byte.

mod datagrams;
mod first;
mod pump;
mod reach;

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use usher_pipeline::secured::Secured;
use usher_pipeline::stream::{Progress, Session, Verdict};

use super::access_log::Finished;
use super::alarm::Alarm;
use super::local::{Local, Seat};
use super::socket::Socket;
use super::view::View;
use crate::config::{AskedStream, StreamRoute};
pub(super) use datagrams::serve as serve_datagrams;

/// How long nothing may move, where the upstream doesn't say: nginx's `proxy_timeout`.
const PATIENCE: Duration = Duration::from_secs(600);

/// A connection that was accepted, behind its handshake where it has one.
pub(super) struct Opened {
    pub(super) socket: Socket,
    pub(super) secured: Option<Rc<Secured>>,
    pub(super) client: SocketAddr,
    pub(super) server: SocketAddr,
}

/// Serves a connection to its end.
pub(super) async fn serve(local: Rc<Local>, alarm: Rc<Alarm>, opened: Opened, seat: Seat) {
    let _seat = seat;
    let Opened { mut socket, secured, client, server } = opened;
    local.clock.turn();
    let Some(mut passage) = Passage::find(&local, "TCP", secured, client, server) else {
        return pump::close(&local, &alarm, &mut socket).await;
    };
    let mut said = first::Said { alarm: &alarm, socket: &mut socket };
    if passage.is_admitted(&local, Some(&mut said)).await {
        match reach::connect(&local, &passage).await {
            Ok(mut reached) => {
                let link = &mut *reached.link;
                passage.session.upstream = Some(link.address);
                let mut ends = pump::Ends { client: &mut socket, upstream: &mut link.socket };
                let patience = passage.patience();
                let front = pump::Front {
                    greeting: passage.greeting(&local),
                    first: std::mem::take(&mut passage.session.first),
                };
                let moved = pump::pump(&local, &alarm, &mut ends, patience, front).await;
                (passage.session.received, passage.session.sent) = (moved.up, moved.down);
                if moved.cut {
                    // Best effort: without it the cut looks like an end.
                    socket.cut();
                    return passage.end(&local);
                }
            }
            Err(reason) => passage.fail(&local, &reason),
        }
    }
    pump::close(&local, &alarm, &mut socket).await;
    passage.end(&local);
}

/// One connection on its way: its route as it was when it came, and what is known of it.
struct Passage {
    view: Rc<View>,
    route: Arc<StreamRoute>,
    session: Session,
}

impl Passage {
    /// The route of a connection; `None` closes it.
    fn find(
        local: &Rc<Local>,
        protocol: &'static str,
        secured: Option<Rc<Secured>>,
        client: SocketAddr,
        server: SocketAddr,
    ) -> Option<Self> {
        let view = local.view();
        let sni = secured.as_ref().map(|secured| &*secured.server_name).filter(|name| !name.is_empty());
        let found = view.snapshot.stream_route(&AskedStream { sni, client: client.ip(), server });
        let Some(route) = found.filter(|route| !route.closed).cloned() else {
            if let Some(silent) = local.complaints.streams.speak(local.clock.ms()) {
                let route = found.map(|route| &*route.id);
                tracing::warn!(%client, %server, protocol, route, silent, "closed a connection: no stream route takes it, or the one that does can't be used");
            }
            return None;
        };
        let mut session = Session::new(protocol, client, server, local.clock.now());
        session.secured = secured;
        session.route = Arc::clone(&route.id);
        session.route_name = Arc::clone(&route.name);
        session.worker = Some(Rc::<Local>::clone(local));
        Some(Self { view, route, session })
    }

    /// Whether the plugins let it in, once they have read what they want to and it has waited for as long as they say. Where nothing can be read ahead,
    /// whoever wants to closes it.
    async fn is_admitted(&mut self, local: &Local, mut said: Option<&mut first::Said<'_>>) -> bool {
        let mut progress = Progress::default();
        loop {
            match self.route.plugins.preread(&mut self.session, &mut progress) {
                Verdict::Continue => return true,
                Verdict::Wait(time) => {
                    tokio::time::sleep(time).await;
                    return true;
                }
                Verdict::Read => {
                    let read = match &mut said {
                        Some(said) => said.read_on(local, &mut self.session.first).await,
                        None => Err("a plugin wants to read what comes first, and this is UDP".into()),
                    };
                    local.clock.turn();
                    if let Err(reason) = read {
                        self.session.refused = Some(reason);
                        self.refuse(local);
                        return false;
                    }
                }
                Verdict::Close => {
                    self.refuse(local);
                    return false;
                }
            }
        }
    }

    /// A plugin doesn't want it; where it says why, the log is told.
    fn refuse(&mut self, local: &Local) {
        self.session.status = 403;
        self.session.received = self.session.first.len() as u64;
        if let Some(reason) = &self.session.refused
            && let Some(silent) = local.complaints.refused.speak(local.clock.ms())
        {
            tracing::warn!(stream_route = &*self.route.id, client = %self.session.client, %reason, silent, "closed a connection: a plugin of its stream route refuses it");
        }
    }

    /// No node took it.
    fn fail(&mut self, local: &Local, reason: &str) {
        self.session.status = 502;
        if let Some(silent) = local.complaints.unserved.speak(local.clock.ms()) {
            tracing::warn!(stream_route = &*self.route.id, reason, silent, "a connection found no node");
        }
    }

    /// The plugins see how it went.
    fn end(mut self, local: &Local) {
        local.clock.turn();
        self.session.lasted = local.clock.now().saturating_duration_since(self.session.came);
        self.route.plugins.log(&self.session);
        if let Some(lines) = &local.stream_lines {
            lines.add(Finished::Session(&self.session), &local.clock);
        }
        let Session { client, upstream, protocol, status, received, sent, lasted, refused, .. } =
            &self.session;
        let (upstream, refused) = (upstream.map(tracing::field::display), refused.as_deref());
        tracing::debug!(stream_route = &*self.route.id, %client, upstream, protocol, status, received, sent, ?lasted, refused, "a connection ended");
    }

    /// How long nothing may move.
    fn patience(&self) -> Duration {
        let upstream = reach::upstream_of(self);
        let written = upstream.and_then(|chosen| chosen.upstream().spec.timeout);
        written.map_or(PATIENCE, |timeouts| timeouts.read.min(timeouts.send))
    }

    /// What the upstream is sent in front of the client's bytes.
    fn greeting(&self, local: &Local) -> Option<String> {
        local
            .settings
            .greets_upstreams
            .then(|| crate::proxy_protocol::line(self.session.client, self.session.server))
    }
}
