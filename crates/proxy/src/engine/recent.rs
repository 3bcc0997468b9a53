//! The last requests of each worker, for whoever wants to see them live: route, status, cause, times, node, consumer.
//!
//! Bodies, header fields and the values of queries are never in it. A worker writes into its own ring, whose places are used again with the room
//! they have: one lock that nobody else wants, and a few copies of short texts.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use usher_model::live::{Recent, RecentFilter, RecentRequest};
use usher_pipeline::cause::Cause;
use usher_pipeline::exchange::{AnsweredBy, Exchange, RouteFacts};

/// Requests that each worker keeps.
const KEPT: usize = 512;

/// The most of a path or host that is kept, in bytes.
const LONGEST: usize = 256;

/// How long a finished exchange took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spans {
    /// From the complete head to the last byte.
    pub(crate) took: Duration,
    /// Of that, the upstream; `None` where none was tried.
    pub(crate) upstream: Option<Duration>,
}

impl Spans {
    /// Those of an exchange that ends now.
    pub(crate) fn of(exchange: &Exchange) -> Self {
        let (times, ended) = (&exchange.times, exchange.worker().now());
        let upstream = |start| times.upstream_end.unwrap_or(ended).saturating_duration_since(start);
        Self {
            took: ended.saturating_duration_since(times.start),
            upstream: times.upstream_start.map(upstream),
        }
    }
}

/// One worker's ring.
#[derive(Default)]
pub(crate) struct Ring(Mutex<Places>);

#[derive(Default)]
struct Places {
    records: Vec<Record>,
    /// How many requests were noted; the next one's number.
    next: u64,
}

/// A request, as it is kept.
struct Record {
    at: Duration,
    method: String,
    host: String,
    path: String,
    status: u16,
    by: AnsweredBy,
    cause: Option<Cause>,
    plugin: Option<&'static str>,
    route: Option<Arc<RouteFacts>>,
    consumer: Option<Arc<str>>,
    client: IpAddr,
    node: Option<SocketAddr>,
    tries: Vec<u16>,
    took: Duration,
    upstream_took: Option<Duration>,
    received_bytes: u64,
    sent_bytes: u64,
}

impl Ring {
    /// Keeps a finished exchange, in the place of the oldest one.
    pub(super) fn note(&self, exchange: &Exchange, spans: &Spans, now: Duration) {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let number = places.next;
        places.next += 1;
        let at = usize::try_from(number % KEPT as u64).unwrap_or(0);
        match places.records.get_mut(at) {
            Some(record) => record.refill(exchange, spans, now),
            None => {
                let mut record = Record::empty();
                record.refill(exchange, spans, now);
                places.records.push(record);
            }
        }
    }
}

/// A finished exchange as it would be told of.
pub(super) fn told(exchange: &Exchange, now: Duration) -> RecentRequest {
    let mut record = Record::empty();
    record.refill(exchange, &Spans::of(exchange), now);
    record.told()
}

impl Record {
    const fn empty() -> Self {
        Self {
            at: Duration::ZERO,
            method: String::new(),
            host: String::new(),
            path: String::new(),
            status: 0,
            by: AnsweredBy::Gateway,
            cause: None,
            plugin: None,
            route: None,
            consumer: None,
            client: IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED),
            node: None,
            tries: Vec::new(),
            took: Duration::ZERO,
            upstream_took: None,
            received_bytes: 0,
            sent_bytes: 0,
        }
    }

    fn refill(&mut self, exchange: &Exchange, spans: &Spans, now: Duration) {
        let request = &exchange.request;
        for (place, text) in [
            (&mut self.method, request.method()),
            (&mut self.host, request.host()),
            (&mut self.path, request.original_path()),
        ] {
            place.clear();
            let end = (0..=LONGEST.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
            place.push_str(text.get(..end).unwrap_or_default());
        }
        let times = &exchange.times;
        self.took = spans.took;
        self.at = now.saturating_sub(self.took);
        self.status = exchange.answer.status();
        self.by = exchange.answered_by;
        self.cause = exchange.cause;
        self.plugin = exchange.answered_by_plugin();
        // Mostly the same as before: then nobody else's counter is touched.
        if !same(self.route.as_ref(), exchange.route.as_ref()) {
            self.route.clone_from(&exchange.route);
        }
        let consumer = exchange.consumer().map(|consumer| &consumer.name);
        if self.consumer.as_ref() != consumer {
            self.consumer = consumer.cloned();
        }
        self.client = exchange.client.ip();
        self.node = exchange.upstream.address;
        self.tries.clone_from(&exchange.upstream.statuses);
        self.upstream_took = spans.upstream;
        self.received_bytes = times.received_bytes;
        self.sent_bytes = times.sent_bytes;
    }

    fn fits(&self, filter: &RecentFilter) -> bool {
        let is = |wanted: &Option<String>, found: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| found == Some(wanted))
        };
        let route = self.route.as_deref();
        // An empty text asks for requests of no route, and most routes have no name.
        let named = route
            .is_some_and(|route| !route.name.is_empty() && filter.route.as_deref() == Some(&*route.name));
        (named || is(&filter.route, Some(route.map_or("", |route| &*route.id))))
            && is(&filter.consumer, self.consumer.as_deref())
            && is(&filter.method, Some(&self.method))
            && is(&filter.cause, self.cause.map(|cause| cause.what.name()))
            && filter.path.as_deref().is_none_or(|path| self.path.starts_with(path))
            && filter.status.is_none_or(|(least, most)| (least..=most).contains(&self.status))
    }

    fn told(&self) -> RecentRequest {
        let ms = |time: Duration| (time.as_secs_f64() * 1e6).round() / 1e3;
        let route = self.route.as_deref();
        RecentRequest {
            at_ms: super::clock::millis(self.at),
            method: self.method.clone(),
            host: self.host.clone(),
            path: self.path.clone(),
            status: self.status,
            route: route.map(|route| route.id.to_string()),
            route_name: route.filter(|route| !route.name.is_empty()).map(|route| route.name.to_string()),
            consumer: self.consumer.as_deref().map(str::to_owned),
            client: self.client.to_canonical().to_string(),
            node: self.node.map(|node| node.to_string()),
            upstream_status: self.tries.last().copied(),
            tries: self.tries.clone(),
            answered_by: if self.by == AnsweredBy::Upstream { "upstream" } else { "gateway" },
            cause: self.cause.map(|cause| cause.what.name()),
            plugin: self.plugin,
            failed_by: self.cause.map(|cause| cause.what.who().name()),
            retry_safe: self.cause.map(|cause| cause.retry_safe),
            took_ms: ms(self.took),
            upstream_took_ms: self.upstream_took.map(ms),
            received_bytes: self.received_bytes,
            sent_bytes: self.sent_bytes,
        }
    }
}

fn same(a: Option<&Arc<RouteFacts>>, b: Option<&Arc<RouteFacts>>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => Arc::ptr_eq(a, b),
        (None, None) => true,
        _ => false,
    }
}

/// The requests of all workers that fit, oldest first, at most as many as asked for: the newest ones.
pub(crate) fn recent(rings: &[Arc<Ring>], filter: &RecentFilter) -> Recent {
    let after: Option<Vec<u64>> =
        filter.after.as_deref().map(|text| text.split('.').map(|part| part.parse().unwrap_or(0)).collect());
    let mut found = Recent::default();
    let mut next = Vec::with_capacity(rings.len());
    for (worker, ring) in rings.iter().enumerate() {
        let places = ring.0.lock().unwrap_or_else(PoisonError::into_inner);
        let oldest = places.next.saturating_sub(KEPT as u64);
        let asked = after.as_ref().map(|after| after.get(worker).copied().unwrap_or(0));
        // A place from before a restart lies ahead of everything.
        let asked = asked.filter(|from| *from <= places.next);
        let from = asked.unwrap_or(oldest).max(oldest);
        found.missed += asked.map_or(0, |asked| from - asked);
        for number in from..places.next {
            let at = usize::try_from(number % KEPT as u64).unwrap_or(0);
            if let Some(record) = places.records.get(at).filter(|record| record.fits(filter)) {
                found.requests.push(record.told());
            }
        }
        next.push(places.next.to_string());
    }
    found.requests.sort_by_key(|request| request.at_ms);
    let surplus = found.requests.len().saturating_sub(filter.limit);
    found.requests.drain(..surplus);
    found.next = next.join(".");
    found
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use usher_http1::head::Head;
    use usher_model::live::{RecentFilter, Sketch};
    use usher_pipeline::cause::{Cause, What};
    use usher_pipeline::exchange::{Exchange, RouteFacts};

    use super::{KEPT, Ring, Spans, recent};

    fn exchange(path: &str, status: u16, route: &str) -> Exchange {
        let sketch = Sketch { method: "GET".into(), target: path.into(), ..Sketch::default() };
        let mut exchange = crate::live::exchange(&sketch, crate::options::PathRules::default()).unwrap();
        exchange.answer = Head::response(status);
        exchange.route =
            (!route.is_empty()).then(|| Arc::new(RouteFacts { id: route.into(), ..RouteFacts::default() }));
        if status >= 500 {
            exchange.cause = Some(Cause { what: What::ReadTimeout, retry_safe: false });
        }
        exchange
    }

    fn all() -> RecentFilter {
        RecentFilter { limit: 10_000, ..RecentFilter::default() }
    }

    fn note(ring: &Ring, exchange: &Exchange, at: u64) {
        ring.note(exchange, &Spans::of(exchange), Duration::from_secs(at));
    }

    #[test]
    fn what_was_served_is_told_without_queries_and_in_order() {
        let rings = [Arc::new(Ring::default()), Arc::new(Ring::default())];
        for (at, (ring, path, status, route)) in
            [(0, "/a?secret=1", 200, "r1"), (1, "/b", 504, "r2"), (0, "/c", 404, ""), (1, "/a/d", 200, "r1")]
                .into_iter()
                .enumerate()
        {
            note(&rings[ring], &exchange(path, status, route), at as u64 + 1);
        }
        let told = |filter: RecentFilter| -> Vec<String> {
            recent(&rings, &filter).requests.into_iter().map(|request| request.path).collect()
        };
        assert_eq!(told(all()), ["/a", "/b", "/c", "/a/d"]);
        assert_eq!(told(RecentFilter { limit: 2, ..RecentFilter::default() }), ["/c", "/a/d"]);
        assert_eq!(told(RecentFilter { route: Some("r1".into()), ..all() }), ["/a", "/a/d"]);
        assert_eq!(told(RecentFilter { route: Some(String::new()), ..all() }), ["/c"]);
        assert_eq!(told(RecentFilter { status: Some((400, 599)), ..all() }), ["/b", "/c"]);
        assert_eq!(told(RecentFilter { cause: Some("read-timeout".into()), ..all() }), ["/b"]);
        assert_eq!(told(RecentFilter { path: Some("/a".into()), ..all() }), ["/a", "/a/d"]);
        let text = serde_json::to_string(&recent(&rings, &all())).unwrap();
        assert!(!text.contains("secret") && text.contains("\"failed_by\":\"upstream\""), "{text}");
    }

    #[test]
    fn whoever_follows_gets_each_request_once_and_hears_what_it_missed() {
        let rings = [Arc::new(Ring::default())];
        let note = |count: usize| (0..count).for_each(|_| note(&rings[0], &exchange("/x", 200, "r"), 1));
        note(3);
        let first = recent(&rings, &all());
        assert_eq!((first.requests.len(), first.missed), (3, 0));
        let after = |next: &str| recent(&rings, &RecentFilter { after: Some(next.to_owned()), ..all() });
        assert_eq!(after(&first.next).requests.len(), 0);
        note(2);
        let second = after(&first.next);
        assert_eq!((second.requests.len(), second.missed), (2, 0));
        note(KEPT + 7);
        let third = after(&second.next);
        assert_eq!((third.requests.len(), third.missed), (KEPT, 7));
        // After a restart numbers begin anew.
        assert_eq!(after("99999999").requests.len(), KEPT);
        assert_eq!(after("nonsense").requests.len(), KEPT);
    }
}
