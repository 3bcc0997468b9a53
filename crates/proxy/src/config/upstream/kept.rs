//! What is remembered of upstreams by their names, so that it outlives each of their versions: nodes, turns, health and how that changed.
//!
//! It belongs to the versions that use it: once the last one is gone, it is too.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use usher_model::live::{HealthChange, RefusingNode, UpstreamHealth};
use usher_model::resource::Node;

use super::balance::Taken;
use super::checked::{Checked, key_of, place_of};
use super::node::NodeState;
use crate::discover::Discovery;

/// Changes of health that are remembered of one upstream.
const MOST_CHANGES: usize = 64;

/// Nodes by host and port.
type States = HashMap<(Box<str>, u16), Arc<NodeState>>;

/// What one upstream remembers.
#[derive(Default)]
pub(crate) struct Kept {
    /// Whether any request came: until then nobody is probed.
    pub(super) wanted: AtomicBool,
    nodes: Mutex<States>,
    taken: Mutex<HashMap<i64, Arc<Taken>>>,
    changes: Mutex<VecDeque<HealthChange>>,
}

impl Kept {
    /// What is remembered of a node.
    pub(super) fn node(&self, node: &Node, port: u16) -> Arc<NodeState> {
        let mut nodes = lock(&self.nodes);
        if nodes.len() == nodes.capacity() {
            // Those that no version has any more.
            nodes.retain(|_, state| Arc::strong_count(state) > 1);
        }
        Arc::clone(nodes.entry((node.host.as_str().into(), port)).or_default())
    }

    /// The nodes that refused their last connection, with the upstream's name.
    fn refusing(&self, name: &str) -> Vec<RefusingNode> {
        let nodes = lock(&self.nodes);
        let used = nodes.iter().filter(|(_, state)| Arc::strong_count(state) > 1);
        let refusing = used.filter_map(|((host, port), state)| {
            let seen = state.links.refusals()?;
            Some(RefusingNode {
                upstream: key_of(name),
                address: place_of(host, *port),
                refused: seen.refused,
                of: seen.of,
                unix_ms: seen.unix_ms,
            })
        });
        refusing.collect()
    }

    /// The turns taken in a priority.
    pub(super) fn taken(&self, priority: i64) -> Arc<Taken> {
        let mut taken = lock(&self.taken);
        if taken.len() == taken.capacity() {
            taken.retain(|_, turns| Arc::strong_count(turns) > 1);
        }
        Arc::clone(taken.entry(priority).or_default())
    }

    /// Notes that a node's health changed.
    pub(super) fn note(&self, change: HealthChange) {
        let mut changes = lock(&self.changes);
        if changes.len() >= MOST_CHANGES {
            changes.pop_front();
        }
        changes.push_back(change);
    }

    /// How health changed, the newest first.
    pub(super) fn changes(&self) -> Vec<HealthChange> {
        lock(&self.changes).iter().rev().cloned().collect()
    }
}

/// What all upstreams of a process share.
#[derive(Default)]
pub(crate) struct Keeper {
    kept: Mutex<HashMap<Arc<str>, Weak<Kept>>>,
    /// The versions with checks, by the upstreams' names, the newest last.
    checked: Mutex<HashMap<Arc<str>, Vec<Weak<Checked>>>>,
    ways: OnceLock<Ways>,
}

/// What is known once the proxy runs.
pub(crate) struct Ways {
    /// Where services are found.
    pub(crate) discovery: Arc<Discovery>,
    /// Whether checks are on (`apisix.disable_upstream_healthcheck`).
    pub(crate) checks: bool,
}

impl Keeper {
    /// What is known once the proxy runs. The first word counts.
    pub(crate) fn begin(&self, ways: Ways) {
        if self.ways.set(ways).is_err() {
            tracing::debug!(
                "two proxies share the upstreams of plugins; those go by the settings of the first"
            );
        }
    }

    pub(super) fn discovery(&self) -> Option<&Arc<Discovery>> {
        self.ways.get().map(|ways| &ways.discovery)
    }

    pub(super) fn checks_are_on(&self) -> bool {
        self.ways.get().is_none_or(|ways| ways.checks)
    }

    /// What the upstream of this name remembers.
    pub(super) fn of(&self, name: &Arc<str>) -> Arc<Kept> {
        let mut kept = lock(&self.kept);
        if let Some(found) = kept.get(name).and_then(Weak::upgrade) {
            return found;
        }
        let made = Arc::new(Kept::default());
        if kept.len() == kept.capacity() {
            kept.retain(|_, one| one.strong_count() > 0);
        }
        kept.insert(Arc::clone(name), Arc::downgrade(&made));
        made
    }

    /// A version with checks was built.
    pub(super) fn add(&self, checked: &Arc<Checked>) {
        let mut all = lock(&self.checked);
        let versions = all.entry(Arc::clone(checked.name())).or_default();
        versions.retain(|version| version.strong_count() > 0);
        versions.push(Arc::downgrade(checked));
    }

    /// The newest version of each upstream that has checks.
    pub(crate) fn checked(&self) -> Vec<Arc<Checked>> {
        let mut all = lock(&self.checked);
        let mut newest = Vec::with_capacity(all.len());
        all.retain(|_, versions| {
            versions.retain(|version| version.strong_count() > 0);
            newest.extend(versions.iter().rev().find_map(Weak::upgrade));
            !versions.is_empty()
        });
        newest
    }

    /// Lets go of what belonged to upstreams that are gone.
    pub(crate) fn sweep(&self) {
        let mut kept = lock(&self.kept);
        kept.retain(|_, one| one.strong_count() > 0);
        if kept.capacity() > 1024 && kept.len() < kept.capacity() / 8 {
            let enough = 2 * kept.len();
            kept.shrink_to(enough);
        }
    }

    /// The nodes that refused the gateway's last connection to them, by the names of their upstreams; at most `limit`.
    pub(crate) fn refusing(&self, limit: usize) -> Vec<RefusingNode> {
        let kept: Vec<_> = {
            let all = lock(&self.kept);
            all.iter().filter_map(|(name, one)| Some((Arc::clone(name), one.upgrade()?))).collect()
        };
        let mut all: Vec<_> = kept.iter().flat_map(|(name, one)| one.refusing(name)).collect();
        all.sort_by(|a, b| (&a.upstream, &a.address).cmp(&(&b.upstream, &b.address)));
        all.truncate(limit);
        all
    }

    /// What is known of the nodes of upstreams that are checked and were used, by the names of what they are written in.
    pub(crate) fn health(&self) -> Vec<UpstreamHealth> {
        let mut all: Vec<_> = self.checked().iter().filter_map(|checked| checked.health()).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
