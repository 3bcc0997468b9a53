//! The requests that somebody watches on their way: which plugins ran, and how long each took.
//!
//! A request is named by the address that its connection comes from, which whoever sends it knows before it is sent: no field of a request, that
//! anybody could write, asks for it. While nobody watches, a request costs one look at a number for this.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, ready};
use tokio::sync::oneshot;
use usher_model::live::{PluginRun, Watched};
use usher_pipeline::exchange::Exchange;

use super::recent;

/// Requests that are watched at the same time.
const MOST: usize = 64;

/// Those that are watched now.
#[derive(Default)]
pub(crate) struct Watches {
    count: AtomicUsize,
    waiting: Mutex<Vec<(SocketAddr, oneshot::Sender<Watched>)>>,
}

/// Ends a watch, however it ends.
struct Watch {
    watches: Arc<Watches>,
    client: SocketAddr,
}

impl Watches {
    /// Watches the next request from this address, from now on. `None` where too many are watched already, or this one is.
    pub(crate) fn add(watches: &Arc<Self>, client: SocketAddr) -> BoxFuture<'static, Option<Watched>> {
        let client = canonical(client);
        let (tell, told) = oneshot::channel();
        {
            let mut waiting = watches.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            if waiting.len() >= MOST || waiting.iter().any(|(known, _)| *known == client) {
                return ready(None).boxed();
            }
            waiting.push((client, tell));
            watches.count.store(waiting.len(), Ordering::Release);
        }
        let watch = Watch { watches: Arc::clone(watches), client };
        async move {
            let watched = told.await.ok();
            drop(watch);
            watched
        }
        .boxed()
    }

    /// Whether somebody watches this connection.
    pub(super) fn has(&self, peer: SocketAddr) -> bool {
        if self.count.load(Ordering::Acquire) == 0 {
            return false;
        }
        let peer = canonical(peer);
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).iter().any(|(known, _)| *known == peer)
    }

    /// Tells whoever watches this connection how its request went.
    pub(super) fn tell(&self, peer: SocketAddr, exchange: &Exchange, now: Duration) {
        if let Some(tell) = self.take(canonical(peer)) {
            // Whoever left in between isn't told.
            let _ = tell.send(watched(exchange, now));
        }
    }

    fn take(&self, client: SocketAddr) -> Option<oneshot::Sender<Watched>> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let at = waiting.iter().position(|(known, _)| *known == client)?;
        let (_, tell) = waiting.swap_remove(at);
        self.count.store(waiting.len(), Ordering::Release);
        Some(tell)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.watches.take(self.client);
    }
}

/// An address of IPv4 as such, however the listener has it.
const fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

fn watched(exchange: &Exchange, now: Duration) -> Watched {
    let start = exchange.times.start;
    let since = |at: Instant| ms(at.saturating_duration_since(start));
    let trail = exchange.trail().unwrap_or_default();
    let plugins = trail.iter().map(|ran| PluginRun {
        name: ran.plugin,
        phase: ran.phase,
        began_ms: since(ran.began),
        took_ms: ran.took.map(ms),
    });
    let mut request = recent::told(exchange, now);
    // The worker's clock moves once a turn, and plugins are timed within one: no node is asked before they are through, and nothing ends before
    // its parts.
    let last = |phases: &[&str]| {
        let of = trail.iter().filter(|ran| phases.contains(&ran.phase));
        of.map(|ran| since(ran.began) + ran.took.map_or(0.0, ms)).fold(0.0, f64::max)
    };
    let through = last(&["rewrite", "access"]);
    let began = exchange.times.upstream_start.map(since);
    if let (Some(began), Some(took)) = (began, &mut request.upstream_took_ms) {
        *took = micros((*took - (through - began).max(0.0)).max(0.0));
    }
    request.took_ms =
        request.took_ms.max(micros(last(&["rewrite", "access", "before_proxy", "header_filter"])));
    Watched {
        request,
        plugins: plugins.collect(),
        upstream_began_ms: began.map(|began| micros(began.max(through))),
    }
}

/// A span in milliseconds, to the microsecond.
fn ms(span: Duration) -> f64 {
    micros(span.as_secs_f64() * 1e3)
}

fn micros(ms: f64) -> f64 {
    (ms * 1e3).round() / 1e3
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::Arc;
    use std::time::Duration;

    use futures_util::FutureExt as _;
    use usher_model::live::Sketch;

    use super::{MOST, Watches};

    fn from(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    #[test]
    fn only_who_is_watched_is_told_of_and_once() {
        let watches = Arc::new(Watches::default());
        let sketch = Sketch { method: "GET".into(), target: "/a?secret=1".into(), ..Sketch::default() };
        let exchange = crate::live::exchange(&sketch, crate::options::PathRules::default()).unwrap();
        assert!(!watches.has(from(1)));
        let mut told = Watches::add(&watches, from(1));
        // The listener may know the same address as one of IPv6.
        let mapped: SocketAddr = "[::ffff:127.0.0.1]:1".parse().unwrap();
        assert!(watches.has(from(1)) && watches.has(mapped) && !watches.has(from(2)));
        assert!(Watches::add(&watches, from(1)).now_or_never().unwrap().is_none(), "one watches already");
        watches.tell(from(2), &exchange, Duration::from_secs(1));
        assert!((&mut told).now_or_never().is_none());
        watches.tell(mapped, &exchange, Duration::from_secs(1));
        let seen = told.now_or_never().unwrap().unwrap();
        assert_eq!((seen.request.path.as_str(), seen.request.tries.len()), ("/a", 0));
        assert!(!watches.has(from(1)));
    }

    #[test]
    fn what_is_dropped_is_watched_no_more_and_few_are_watched_at_once() {
        let watches = Arc::new(Watches::default());
        let all: Vec<_> = (1..=MOST as u16).map(|port| Watches::add(&watches, from(port))).collect();
        assert!(Watches::add(&watches, from(999)).now_or_never().unwrap().is_none());
        drop(all);
        assert!(!watches.has(from(1)));
        assert!(Watches::add(&watches, from(999)).now_or_never().is_none());
    }
}
