//! Sends a request to one of an upstream's nodes and reads the head of its answer, trying others where that is safe.

mod attempt;
mod call;

use std::rc::Rc;
use std::time::Duration;

use usher_http1::encode::{RequestExtras, encode_request};
use usher_http1::request::{Framing, Upgrade};
use usher_model::resource::{PassHost, Timeouts};
use usher_pipeline::body::{Body, BodySteps};
use usher_pipeline::plugin::Flow;
use usher_pipeline::request::Request;

use self::attempt::{Attempt, Miss};
use super::connect::connect;
use super::course::Course;
use super::errors::{Failure, Trouble};
use super::ingress::split_host;
use super::nodes::{Chosen, Endpoint, Place};
use super::settings::CONNECT_WITH_OTHERS;
use super::state::State;
use super::upload::Upload;
use super::websocket;
use crate::config::{Pick, Upstream};

/// A body that is no longer than this is waited for before a node is: many clients send it apart from its head, and what is there as a whole leaves
/// with one write and can be sent again.
const GATHERED: u64 = 16 << 10;

/// What holds for every try of one request.
struct Terms {
    timeouts: Timeouts,
    websocket: bool,
    /// Whether the client asks for a WebSocket by a stream of HTTP/2.
    extended: bool,
    /// Whether doing it twice is the same as doing it once (RFC 9110, section 9.2.2).
    idempotent: bool,
}

/// Sends the request and reads the head of an answer: it is in `exchange.answer` then, and its connection in the state.
///
/// # Errors
/// [`Failure`]: no node answered, or there is no point in asking.
pub(super) async fn forward(course: &mut Course<'_>, chosen: Chosen<'_>) -> Result<(), Failure> {
    let upstream = chosen.upstream();
    let client = course.client;
    let local = &client.local;
    if upstream.spec.scheme.is_stream() {
        return Err(Failure::NoUpstream);
    }
    if !upstream.is_known() {
        // Boxed: it happens once in the life of an upstream.
        Box::pin(upstream.wait_until_known()).await;
        local.clock.turn();
    }
    let nodes = local.nodes.of(chosen, &local.resolver);
    let fleet = &*nodes.fleet;
    let most = fleet.tries(upstream.spec.retries);
    if most == 0 {
        return Err(Failure::NoNode);
    }
    upstream.want();
    let own = course.route.and_then(|route| route.timeouts);
    let exchange = &mut course.state.exchange;
    let asks = course.wants.upgrade == Upgrade::WebSocket;
    let terms = Terms {
        timeouts: own.or(upstream.spec.timeout).unwrap_or_default(),
        websocket: asks && course.route.is_some_and(|route| route.websocket),
        extended: asks && client.is_stream(),
        idempotent: is_idempotent(exchange.request.method()),
    };
    if terms.websocket {
        if terms.extended {
            websocket::put_key(&mut exchange.request.head);
        }
        websocket::check(&exchange.request.head)?;
    }
    if course.wants_grpc && upstream.spec.scheme.is_grpc() {
        return Err(Failure::GrpcByHttp1);
    }
    let body = &mut exchange.request.body;
    if matches!(body, Body::Stream(_)) && body.known_length().is_some_and(|length| length <= GATHERED) {
        let gathered = body.read_whole(GATHERED).await;
        gathered.map_err(|error| Failure::body(error, client.body_status()))?;
    }
    let mut steps = BodySteps::default();
    course.plugins.request_body(exchange, &mut steps);
    let far = &mut course.state.far;
    far.timeouts = terms.timeouts;
    let prepared = far.upload.prepare(&mut exchange.request.body, steps);
    prepared.map_err(|error| Failure::body(error, 400))?;

    let idle = course.plugins.are_idle_on_the_way_in();
    let start = local.clock.now();
    exchange.times.upstream_start.get_or_insert(start);
    exchange.upstream.scheme = upstream.spec.scheme.as_str();
    let place = upstream.place(&course.state.exchange);
    let mut failed = None;
    while let Some(index) = fleet.choose(&Pick { place, tried: &course.state.tried, now: local.clock.now() })
    {
        let Some(endpoint) = nodes.endpoints.get(index) else { break };
        let state = &mut *course.state;
        state.tried.push(index);
        state.flight = fleet.begin(index, local.clock.now());
        name_host(state, upstream, endpoint, idle);
        state.exchange.upstream.node_name.clear();
        if let Place::Name(name) = &endpoint.place {
            state.exchange.upstream.node_name.push_str(name.host());
        }
        if !idle && let Flow::Reply(reply) = course.plugins.before_proxy(&mut state.exchange).await {
            return Err(Failure::Reply(reply));
        }
        let others = state.tried.len() < most;
        let miss = match try_node(course, endpoint, &terms, others).await {
            Ok(()) => {
                upstream.answered(fleet, index, course.state.exchange.answer.status());
                return Ok(());
            }
            Err(Stop::Failure(failure)) => return Err(failure),
            Err(Stop::Miss(miss)) => miss,
        };
        if let Some(flight) = course.state.flight.take() {
            flight.failed(local.clock.now());
        }
        upstream.failed(fleet, index, miss.trouble.status() == 504, local.clock.now());
        course.state.exchange.upstream.statuses.push(miss.trouble.status());
        let again =
            others && miss.trouble.may_be_retried() && terms.may_repeat(&miss, &course.state.far.upload);
        if let Some(silent) = local.complaints.nodes.speak(local.clock.ms()) {
            tracing::warn!(
                route = course.route.map(|route| &*route.facts.id),
                upstream = &*upstream.name,
                node = &*endpoint.authority,
                error = %miss.trouble,
                again,
                silent,
                "a try of an upstream's node failed"
            );
        }
        if !again {
            return Err(Failure::Upstream(miss.trouble));
        }
        if is_over(upstream.spec.retry_timeout, local.clock.now() - start) {
            return Err(Failure::RetriesTimedOut);
        }
        if !local.retries.spend() {
            return Err(Failure::Upstream(miss.trouble));
        }
        let tried = &mut course.state.exchange.upstream;
        tried.earlier.extend(tried.address);
        failed = Some(miss.trouble);
    }
    Err(failed.map_or(Failure::NoNode, Failure::Upstream))
}

/// Why a try is not followed by an answer.
enum Stop {
    /// This node failed.
    Miss(Miss),
    /// The request itself can't go on.
    Failure(Failure),
}

impl Terms {
    /// Whether the request may be sent once more.
    fn may_repeat(&self, miss: &Miss, upload: &Upload) -> bool {
        upload.is_repeatable() && (!miss.sent || self.idempotent)
    }
}

/// One node: a kept connection if there is one, a new one otherwise, and a new one too where the kept one turns out to be dead.
async fn try_node(
    course: &mut Course<'_>,
    endpoint: &Endpoint,
    terms: &Terms,
    others: bool,
) -> Result<(), Stop> {
    if let Some(trunk) = &endpoint.trunk {
        return call::try_node(course, endpoint, trunk, terms, others).await;
    }
    let client = course.client;
    let local = &client.local;
    let certain = !terms.idempotent || !course.state.far.upload.is_repeatable();
    let followed = followed_name(course, endpoint);
    let now = local.clock.now();
    let mut kept = endpoint.idle.take(local.clock.ms(), certain, |link| {
        link.name == followed && endpoint.place.is_at(link.address, now)
    });
    let mut fresh = kept.is_none();
    loop {
        let link = match kept.take() {
            Some(link) => link,
            None => {
                let within = connect_within(terms, others);
                // Boxed: it is rare, and large beside everything else of a request.
                let connected = Box::pin(connect(local, endpoint, followed.clone(), within)).await;
                connected.map_err(|error| {
                    course.state.exchange.upstream.address = error.address();
                    Stop::Miss(Miss { trouble: Trouble::NoLink(error), sent: false, heard: false })
                })?
            }
        };
        let state = &mut *course.state;
        state.exchange.upstream.address = Some(link.address);
        state.exchange.times.upstream_connected = Some(local.clock.now());
        state.far.link = Some(link);
        state.far.buffer.clear();
        state.up.clear();
        let framing = state.far.upload.begin(&state.exchange.request.body);
        write_head(state, framing, terms.websocket);
        match Attempt::new(client, state, terms, &endpoint.idle.familiar).run().await {
            Ok(head) => {
                state.exchange.upstream.statuses.push(state.exchange.answer.status());
                state.exchange.times.upstream_headed = Some(local.clock.now());
                state.far.idle = Some(Rc::clone(&endpoint.idle));
                state.far.begin_body(head, &local.settings.answers);
                return Ok(());
            }
            Err(stop) => {
                state.far.cut();
                match stop {
                    // Closed while it was idle, as far as anybody can tell: the node itself has not failed.
                    Stop::Miss(miss)
                        if !fresh
                            && !miss.heard
                            && miss.is_stale()
                            && terms.may_repeat(&miss, &state.far.upload) =>
                    {
                        fresh = true;
                    }
                    stop => return Err(stop),
                }
            }
        }
    }
}

/// How long connecting may take.
fn connect_within(terms: &Terms, others: bool) -> Duration {
    let most = terms.timeouts.connect;
    if others { most.min(CONNECT_WITH_OTHERS) } else { most }
}

/// Sets the `Host` that this node sees (data plane contract, section 6.4).
/// `untouched`: no plugin can have changed it.
fn name_host(state: &mut State, upstream: &Upstream, endpoint: &Endpoint, untouched: bool) {
    let State { exchange, authority, .. } = state;
    let facts = &mut exchange.upstream;
    facts.host.clear();
    let head = &mut exchange.request.head;
    let wanted = match (upstream.spec.pass_host, &upstream.spec.upstream_host) {
        (PassHost::Node, _) => &*endpoint.authority,
        (PassHost::Rewrite, Some(host)) => host.as_str(),
        _ if untouched && !authority.is_empty() => return facts.host.push_str(authority),
        _ => match head.get("host") {
            Some(host) if host == authority.as_bytes() => return facts.host.push_str(authority),
            Some(host) => return facts.host.push_str(std::str::from_utf8(host).unwrap_or_default()),
            // What is forwarded is HTTP/1.1, which can't do without one.
            None => &*endpoint.authority,
        },
    };
    facts.host.push_str(wanted);
    if let Err(error) = head.set("Host", wanted) {
        tracing::warn!(%error, upstream = &*upstream.name, "the Host for a node can't be sent");
    }
}

/// The name that TLS goes by where the node is an address and the client's `Host` is passed on.
fn followed_name(course: &Course<'_>, endpoint: &Endpoint) -> Option<Rc<str>> {
    if !endpoint.tls.as_ref().is_some_and(|tls| tls.follows_host) {
        return None;
    }
    let host = course.state.exchange.request.head.get_str("host")?;
    let (host, _) = split_host(host);
    let is_name = !host.starts_with('[') && host.parse::<std::net::IpAddr>().is_err();
    is_name.then(|| host.to_ascii_lowercase().into())
}

fn write_head(state: &mut State, framing: Framing, websocket: bool) {
    let State { exchange, up, target, .. } = state;
    let request = &exchange.request;
    let target = target_of(request, target);
    let extras = RequestExtras { framing, target, websocket, close: false };
    up.write(|text| encode_request(text, &request.head, extras));
}

/// The target, where it isn't the head's own; written into `text`.
fn target_of<'a>(request: &Request, text: &'a mut String) -> Option<&'a str> {
    request.is_rewritten().then(|| {
        text.clear();
        text.push_str(request.sent_path());
        if let Some(query) = request.query() {
            text.push('?');
            text.push_str(query);
        }
        text.as_str()
    })
}

fn is_idempotent(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "PUT" | "DELETE" | "OPTIONS" | "PROPFIND")
}

fn is_over(retry_timeout_secs: f64, spent: Duration) -> bool {
    retry_timeout_secs > 0.0 && spent.as_secs_f64() >= retry_timeout_secs
}
