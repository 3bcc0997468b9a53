//! `requests`: the last requests that the gateway has served, for whoever wants to see them live. No bodies, no header fields, no queries.

use std::collections::HashMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use usher_model::kind::{Key, Kind};
use usher_model::live::{Recent, RecentFilter, RecentRequest};
use usher_model::traffic::statuses;

use super::answer::Answer;
use super::endpoint::{Call, Nothing};
use super::refusal::Refusal;
use crate::service::ServiceError;

/// The most that one look tells of.
const MOST: usize = 1000;

/// The longest that a look waits for something new, in seconds.
const LONGEST: u64 = 20;

/// Between two looks while somebody waits.
const EVERY: Duration = Duration::from_millis(200);

/// Which requests are wanted.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Asked {
    /// Only those behind this place: `next` of an earlier look.
    after: Option<String>,
    /// At most so many, the newest ones, 1 to 1000. Default 50.
    limit: Option<usize>,
    /// Only those that took the route of this id or name; empty: those that took none.
    route: Option<String>,
    /// Only those of this status, such as `404`, of this class, such as `5xx`, or between two, such as `400-499`.
    status: Option<String>,
    /// Only those of this consumer.
    consumer: Option<String>,
    /// Only those of this method.
    method: Option<String>,
    /// Only those whose path begins so.
    path: Option<String>,
    /// Only those that the gateway answered for this cause, such as `connect-timeout`.
    cause: Option<String>,
    /// Where nothing fits yet: how long to wait for something that does, in seconds, 0 to 20. Default 0.
    wait: Option<u64>,
}

/// Requests that were served, oldest first.
#[derive(Serialize, JsonSchema)]
pub(super) struct Requests {
    /// The requests.
    requests: Vec<RequestShape>,
    /// Where the next look goes on, as `after`.
    next: String,
    /// How many came since `after` and are no longer kept.
    missed: u64,
    /// Since when requests are remembered, in milliseconds since 1970: the start of this gateway. They are kept in memory alone, the newest few
    /// hundred of each worker; the figures of `/traffic` outlast a restart.
    since_ms: u64,
}

/// A request that was served.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Request")]
pub(super) struct RequestShape {
    /// When its head was complete, in milliseconds since 1970.
    at_ms: u64,
    /// The method.
    method: String,
    /// The host, without port.
    host: String,
    /// The path, without query.
    path: String,
    /// The answer's status; 499 for a client that left before it had one.
    status: u16,
    /// The route's id.
    route: Option<String>,
    /// The route's name.
    route_name: Option<String>,
    /// The consumer's name.
    consumer: Option<String>,
    /// The client's address.
    client: String,
    /// The node that was last tried.
    node: Option<String>,
    /// The status that the node gave; 502 and 504 stand for connections that failed.
    upstream_status: Option<u16>,
    /// The same of all nodes that were tried, in order.
    tries: Vec<u16>,
    /// `upstream` or `gateway`.
    answered_by: &'static str,
    /// Why the gateway gave an answer of its own.
    cause: Option<&'static str>,
    /// The plugin that answered, where one did.
    plugin: Option<&'static str>,
    /// Who failed then: `client`, `upstream` or `gateway`.
    failed_by: Option<&'static str>,
    /// Whether it may then be sent again.
    retry_safe: Option<bool>,
    /// From the complete head to the last byte of the answer, in milliseconds.
    took_ms: f64,
    /// Of that, what the upstream took.
    upstream_took_ms: Option<f64>,
    /// Bytes of the request.
    received_bytes: u64,
    /// Bytes of the answer.
    sent_bytes: u64,
}

/// `GET /requests`.
pub(super) async fn read(call: Call, asked: Asked, _: Nothing) -> Result<Answer<Requests>, Refusal> {
    let limit = asked.limit.unwrap_or(50);
    if !(1..=MOST).contains(&limit) {
        return Err(
            Refusal::invalid(format!("limit is {limit}, but has to lie between 1 and {MOST}")).at("limit")
        );
    }
    let wait = asked.wait.unwrap_or(0);
    if wait > LONGEST {
        return Err(Refusal::invalid(format!("wait is {wait}, but has at most {LONGEST} seconds")).at("wait"));
    }
    let filter = RecentFilter {
        limit,
        status: asked.status.as_deref().map(status).transpose()?,
        after: asked.after,
        route: asked.route,
        consumer: asked.consumer,
        method: asked.method.map(|method| method.to_ascii_uppercase()),
        path: asked.path,
        cause: asked.cause,
    };
    let until = tokio::time::Instant::now() + Duration::from_secs(wait);
    loop {
        let found = within(&call, call.service.live().recent(&filter)).await?;
        if !found.requests.is_empty() || tokio::time::Instant::now() >= until {
            let requests = found.requests.into_iter().map(RequestShape::of).collect();
            let Recent { next, missed, since_ms, .. } = found;
            return Ok(Answer::ok(Requests { requests, next, missed, since_ms }));
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// `404`, `5xx` or `400-499`.
pub(super) fn status(text: &str) -> Result<(u16, u16), Refusal> {
    statuses(text).ok_or_else(|| {
        Refusal::invalid(format!("{text:?} is no status"))
            .at("status")
            .next("write one such as 404, a class such as 5xx, or two with a hyphen such as 400-499")
    })
}

/// What a principal may see: requests of routes outside of its scope, and of none, are not told of.
async fn within(call: &Call, mut found: Recent) -> Result<Recent, Refusal> {
    if call.who.scope.is_all() {
        return Ok(found);
    }
    let mut known: HashMap<String, bool> = HashMap::new();
    let mut kept = Vec::new();
    for request in found.requests {
        let Some(route) = &request.route else { continue };
        let sees = match known.get(route) {
            Some(sees) => *sees,
            None => {
                let key = Key::new(Kind::Route, route.as_str());
                let sees = match call.service.get(&call.who, &key).await {
                    Ok(found) => found.is_some(),
                    Err(ServiceError::Forbidden(_)) => false,
                    Err(error) => return Err(error.into()),
                };
                known.insert(route.clone(), sees);
                sees
            }
        };
        if sees {
            kept.push(request);
        }
    }
    found.requests = kept;
    Ok(found)
}

impl RequestShape {
    /// A request that was served.
    pub(super) fn of(request: RecentRequest) -> Self {
        Self {
            at_ms: request.at_ms,
            method: request.method,
            host: request.host,
            path: request.path,
            status: request.status,
            route: request.route,
            route_name: request.route_name,
            consumer: request.consumer,
            client: request.client,
            node: request.node,
            upstream_status: request.upstream_status,
            tries: request.tries,
            answered_by: request.answered_by,
            cause: request.cause,
            plugin: request.plugin,
            failed_by: request.failed_by,
            retry_safe: request.retry_safe,
            took_ms: request.took_ms,
            upstream_took_ms: request.upstream_took_ms,
            received_bytes: request.received_bytes,
            sent_bytes: request.sent_bytes,
        }
    }
}
