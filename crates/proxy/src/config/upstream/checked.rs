//! An upstream that has health checks: takes up what probes and requests show of its nodes, and tells of it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::ClientConfig;
use usher_model::live::{HealthChange, HealthCounters, NodeHealth, UpstreamHealth};
use usher_model::resource::{Checks, HealthBounds, Node};

use super::balance::Fleet;
use super::health::Sign;
use super::kept::Kept;
use super::members::Members;

/// One version of an upstream with checks.
pub(crate) struct Checked {
    name: Arc<str>,
    /// What its nodes have to show.
    pub(crate) checks: Checks,
    /// The `Host` of probes where the upstream names one.
    pub(crate) host: Option<String>,
    /// TLS of https probes.
    pub(crate) tls: Option<Arc<ClientConfig>>,
    members: Arc<Members>,
    kept: Arc<Kept>,
}

/// What a [`Checked`] is made of.
pub(super) struct Parts {
    pub(super) name: Arc<str>,
    pub(super) checks: Checks,
    pub(super) host: Option<String>,
    pub(super) tls: Option<Arc<ClientConfig>>,
    pub(super) members: Arc<Members>,
    pub(super) kept: Arc<Kept>,
}

impl Checked {
    pub(super) fn new(parts: Parts) -> Self {
        let Parts { name, checks, host, tls, members, kept } = parts;
        Self { name, checks, host, tls, members, kept }
    }

    /// The upstream's name.
    pub(crate) const fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Its nodes.
    pub(crate) fn fleet(&self) -> Arc<Fleet> {
        self.members.fleet()
    }

    /// A request came: from now on its nodes are probed.
    pub(super) fn want(&self) {
        if !self.kept.wanted.load(Ordering::Relaxed) {
            self.kept.wanted.store(true, Ordering::Relaxed);
        }
    }

    /// Whether nodes of any health are probed.
    pub(crate) fn is_probed(&self) -> bool {
        let active = &self.checks.active;
        !active.healthy_interval.is_zero() || !active.unhealthy_interval.is_zero()
    }

    /// Whether any request came.
    pub(crate) fn is_wanted(&self) -> bool {
        self.kept.wanted.load(Ordering::Relaxed)
    }

    /// A probe of a node came to this.
    pub(crate) fn probed(&self, fleet: &Fleet, node: usize, sign: Sign, shown: &str) {
        self.note(fleet, node, sign, &self.checks.active.bounds, shown);
    }

    /// An ordinary request was answered by a node.
    pub(super) fn answered(&self, fleet: &Fleet, node: usize, status: u16) {
        if let Some(passive) = &self.checks.passive
            && let Some(sign) = Sign::of_status(status, &passive.bounds)
        {
            self.note(fleet, node, sign, &passive.bounds, "a request");
        }
    }

    /// An ordinary request got no answer of a node.
    pub(super) fn failed(&self, fleet: &Fleet, node: usize, timed_out: bool) {
        if let Some(passive) = &self.checks.passive {
            let sign = if timed_out { Sign::Timeout } else { Sign::Tcp };
            self.note(fleet, node, sign, &passive.bounds, "a request");
        }
    }

    fn note(&self, fleet: &Fleet, index: usize, sign: Sign, bounds: &HealthBounds, shown_by: &str) {
        let (Some(state), Some(node)) = (fleet.state(index), fleet.nodes().get(index)) else { return };
        let Some(status) = state.health.note(sign, bounds) else { return };
        let node = address(fleet, node);
        let because = match sign {
            Sign::Good => format!("{shown_by} did well {} times in a row", bounds.successes),
            Sign::Http => format!("{} bad answers, the last one to {shown_by}", bounds.http_failures),
            Sign::Tcp => format!("{} broken connections, the last one of {shown_by}", bounds.tcp_failures),
            Sign::Timeout => format!("{} timeouts, the last one of {shown_by}", bounds.timeouts),
        };
        if status.is_up() {
            tracing::info!(upstream = &*self.name, node, because, "a node is healthy again");
        } else {
            tracing::warn!(upstream = &*self.name, node, because, "a node is unhealthy and gets no requests");
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.kept.note(HealthChange {
            unix_ms: u64::try_from(now.as_millis()).unwrap_or(u64::MAX),
            node,
            status: status.as_str().to_owned(),
            because,
        });
    }

    /// What is known; `None` before the first request.
    pub(super) fn health(&self) -> Option<UpstreamHealth> {
        if !self.is_wanted() {
            return None;
        }
        let fleet = self.fleet();
        let nodes = fleet.nodes().iter().enumerate().filter_map(|(at, node)| {
            let state = fleet.state(at)?;
            let counters = state.health.counters();
            Some(NodeHealth {
                ip: state.address().map_or_else(|| node.host.clone(), |ip| ip.to_string()),
                port: fleet.port(node),
                hostname: self.checks.active.host.clone().unwrap_or_else(|| node.host.clone()),
                status: state.health.status().as_str().to_owned(),
                counter: HealthCounters {
                    success: counters.success,
                    http_failure: counters.http_failure,
                    tcp_failure: counters.tcp_failure,
                    timeout_failure: counters.timeout_failure,
                },
            })
        });
        Some(UpstreamHealth {
            name: key_of(&self.name),
            kind: self.checks.active.kind.as_str().to_owned(),
            nodes: nodes.collect(),
            changes: self.kept.changes(),
        })
    }
}

/// A node as people write it.
fn address(fleet: &Fleet, node: &Node) -> String {
    place_of(&node.host, fleet.port(node))
}

/// A host and a port as people write them.
pub(super) fn place_of(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// The key of the object that an upstream is written in, by the upstream's name.
pub(super) fn key_of(name: &str) -> String {
    match name.split_once('/') {
        None => format!("/apisix/upstreams/{name}"),
        Some(("", _)) => name.to_owned(),
        Some((kind, id)) => format!("/apisix/{kind}s/{id}"),
    }
}
