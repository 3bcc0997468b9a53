//! The nodes of an upstream and which of them is next: by priority, then by turn, key, load or latency.
//!
//! A fleet is made once for a list of nodes. What it remembers of each node, and how many turns were taken, belongs to whoever made it, so that an
//! edit loses none of it. It knows nothing of HTTP.

mod ring;
mod turns;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use usher_model::resource::{Balancer, Node};

use super::links::Links;
use super::node::{Flight, NodeState, since_start_ms};
use ring::Ring;
pub(crate) use ring::place_of;
pub(crate) use turns::Taken;
use turns::Turns;

/// The nodes of one upstream.
#[derive(Debug)]
pub(crate) struct Fleet {
    /// Which list of nodes this is, where they are discovered.
    pub(crate) version: u64,
    nodes: Box<[Node]>,
    /// The port of nodes that name none.
    port: u16,
    states: Box<[Arc<NodeState>]>,
    /// The highest priority first; nodes of weight 0 are in none.
    levels: Box<[Level]>,
    usable: usize,
    balancer: Balancer,
    /// Whether health is looked at; otherwise failures in a row are.
    checked: bool,
}

/// What a fleet is made of.
pub(crate) struct Made<'a> {
    pub(crate) version: u64,
    pub(crate) nodes: Vec<Node>,
    pub(crate) port: u16,
    pub(crate) balancer: Balancer,
    pub(crate) checked: bool,
    /// What is remembered of a node.
    pub(crate) state: &'a mut dyn FnMut(&Node) -> Arc<NodeState>,
    /// Turns taken in a priority.
    pub(crate) taken: &'a mut dyn FnMut(i64) -> Arc<Taken>,
}

/// What a choice goes by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pick<'a> {
    /// The place of the request's key, for [`Balancer::Chash`].
    pub(crate) place: u32,
    /// The nodes that the request has met.
    pub(crate) tried: &'a [usize],
    pub(crate) now: Instant,
}

/// The nodes of one priority.
#[derive(Debug)]
struct Level {
    /// Indices into the fleet's nodes.
    nodes: Box<[usize]>,
    way: Way,
}

#[derive(Debug)]
enum Way {
    Turns(Turns),
    Ring(Ring),
    /// Where the search begins, so that of equal nodes not always the first is taken.
    Least(AtomicUsize),
    Ewma,
}

impl Fleet {
    pub(crate) fn of(made: Made<'_>) -> Self {
        let Made { version, nodes, port, balancer, checked, state, taken } = made;
        let states: Box<[_]> = nodes.iter().map(&mut *state).collect();
        let mut usable: Vec<usize> =
            nodes.iter().enumerate().filter(|(_, node)| node.weight > 0).map(|(index, _)| index).collect();
        let priority = |index: usize| nodes.get(index).map_or(0, |node| node.priority);
        usable.sort_by_key(|index| std::cmp::Reverse(priority(*index)));
        let levels = usable
            .chunk_by(|a, b| priority(*a) == priority(*b))
            .map(|level| {
                let weight = |index: &usize| nodes.get(*index).map_or(0, |node| node.weight);
                let way = match balancer {
                    Balancer::Roundrobin => {
                        let first = level.first().map_or(0, |index| priority(*index));
                        Way::Turns(Turns::of(level.iter().map(weight), taken(first)))
                    }
                    Balancer::Chash => {
                        Way::Ring(Ring::of(level.iter().enumerate().filter_map(|(at, index)| {
                            let node = nodes.get(*index)?;
                            Some((at, node.host.as_str(), node.port.unwrap_or(port), node.weight))
                        })))
                    }
                    Balancer::LeastConn => Way::Least(AtomicUsize::new(0)),
                    Balancer::Ewma => Way::Ewma,
                };
                Level { nodes: level.into(), way }
            })
            .collect();
        let usable = usable.len();
        Self { version, nodes: nodes.into(), port, states, levels, usable, balancer, checked }
    }

    /// The nodes, also those of weight 0.
    pub(crate) fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// A node's port.
    pub(crate) fn port(&self, node: &Node) -> u16 {
        node.port.unwrap_or(self.port)
    }

    /// What is remembered of a node.
    pub(crate) fn state(&self, node: usize) -> Option<&Arc<NodeState>> {
        self.states.get(node)
    }

    /// Where the connections to a node are noted.
    pub(crate) fn links(&self, node: usize) -> Option<Arc<Links>> {
        self.states.get(node).map(|state| Arc::clone(&state.links))
    }

    /// Whether probes find any node in use well.
    pub(crate) fn has_healthy(&self) -> bool {
        let mut used = self.levels.iter().flat_map(|level| &level.nodes);
        used.any(|node| self.states.get(*node).is_some_and(|state| state.health.status().is_up()))
    }

    /// How many nodes one request may try: one and the retries, each node once at most; 0 where no node is in use.
    pub(crate) fn tries(&self, retries: Option<u32>) -> usize {
        let retries = retries.map_or(self.usable.saturating_sub(1), |retries| retries as usize);
        retries.saturating_add(1).min(self.usable)
    }

    /// The node of the next try, as an index into [`Fleet::nodes`]: of the highest priority that has one left which is well and wasn't tried. Where no
    /// node is well, all are used.
    pub(crate) fn choose(&self, pick: &Pick<'_>) -> Option<usize> {
        let chosen = self.find(pick, |level, able| level.choose(pick, able, &self.states, &self.nodes))?;
        // A node alone is never passed over, so that nobody looks whether it fails.
        if !self.checked && self.usable > 1 {
            self.states.get(chosen)?.take(since_start_ms(pick.now));
        }
        Some(chosen)
    }

    /// The same without taking a turn.
    pub(crate) fn next(&self, pick: &Pick<'_>) -> Option<usize> {
        self.find(pick, |level, able| level.next(pick, able, &self.states, &self.nodes))
    }

    fn find(
        &self,
        pick: &Pick<'_>,
        choose: impl Fn(&Level, &dyn Fn(usize) -> bool) -> Option<usize>,
    ) -> Option<usize> {
        let is_left = |node: usize| !pick.tried.contains(&node);
        if self.usable <= 1 {
            // Whatever is known of a node alone: there is no other (data plane contract, section 6.5).
            return self.levels.first()?.nodes.first().copied().filter(|node| is_left(*node));
        }
        // Known before a turn is taken: one request takes one.
        let any = |able: &dyn Fn(usize) -> bool| {
            self.levels.iter().flat_map(|level| &level.nodes).any(|node| able(*node))
        };
        let of_all = |able: &dyn Fn(usize) -> bool| self.levels.iter().find_map(|level| choose(level, able));
        let state = |node: usize| self.states.get(node);
        if self.checked {
            let is_up = |node: usize| state(node).is_some_and(|state| state.health.status().is_up());
            let nobody_is = !any(&is_up);
            return of_all(&|node| (nobody_is || is_up(node)) && is_left(node));
        }
        let now_ms = since_start_ms(pick.now);
        let is_awake = |node: usize| state(node).is_some_and(|state| state.is_awake(now_ms)) && is_left(node);
        let nobody_is = !any(&is_awake);
        of_all(&|node| if nobody_is { is_left(node) } else { is_awake(node) })
    }

    /// A request is sent to this node: what is under way is counted where the choice goes by it.
    pub(crate) fn begin(&self, node: usize, now: Instant) -> Option<Flight> {
        match self.balancer {
            Balancer::Roundrobin | Balancer::Chash => None,
            Balancer::LeastConn | Balancer::Ewma => Some(Flight::begin(self.states.get(node)?, now)),
        }
    }

    /// A node answered.
    pub(crate) fn did_well(&self, node: usize) {
        if !self.checked
            && let Some(state) = self.states.get(node)
        {
            state.did_well();
        }
    }

    /// A node failed. `true` where it is passed over for a while from now on.
    pub(crate) fn failed(&self, node: usize, now: Instant) -> bool {
        let state = self.states.get(node).filter(|_| !self.checked && self.usable > 1);
        state.is_some_and(|state| state.failed(since_start_ms(now)))
    }
}

impl Level {
    fn choose(
        &self,
        pick: &Pick<'_>,
        able: &dyn Fn(usize) -> bool,
        states: &[Arc<NodeState>],
        nodes: &[Node],
    ) -> Option<usize> {
        match &self.way {
            Way::Turns(turns) => {
                self.at(turns.choose(pick.tried.is_empty(), |at| self.at(Some(at)).is_some_and(able)))
            }
            Way::Least(start) => self.least(start.fetch_add(1, Ordering::Relaxed), able, states, nodes),
            Way::Ring(_) | Way::Ewma => self.next(pick, able, states, nodes),
        }
    }

    fn next(
        &self,
        pick: &Pick<'_>,
        able: &dyn Fn(usize) -> bool,
        states: &[Arc<NodeState>],
        nodes: &[Node],
    ) -> Option<usize> {
        let is_able = |at: usize| self.at(Some(at)).is_some_and(able);
        match &self.way {
            Way::Turns(turns) => self.at(turns.next(is_able)),
            Way::Ring(ring) => self.at(ring.find(pick.place, is_able)),
            Way::Least(start) => self.least(start.load(Ordering::Relaxed), able, states, nodes),
            Way::Ewma => self.sooner(since_start_ms(pick.now), able, states),
        }
    }

    fn at(&self, at: Option<usize>) -> Option<usize> {
        self.nodes.get(at?).copied()
    }

    /// The node with the smallest (1 + requests under way) / weight.
    fn least(
        &self,
        start: usize,
        able: &dyn Fn(usize) -> bool,
        states: &[Arc<NodeState>],
        nodes: &[Node],
    ) -> Option<usize> {
        let count = self.nodes.len().max(1);
        let in_turn =
            (0..self.nodes.len()).filter_map(|step| self.nodes.get((start + step) % count).copied());
        let load = |node: usize| {
            let requests = states.get(node).map_or(0, |state| state.in_flight());
            let weight = nodes.get(node).map_or(1, |node| node.weight);
            (u128::from(requests) + 1, u128::from(weight))
        };
        // Compared crosswise: fractions of whole numbers need no rounding. Of equal ones the first is taken.
        in_turn
            .filter(|node| able(*node))
            .map(|node| (node, load(node)))
            .reduce(|best, one| {
                let ((_, (requests, weight)), (_, (more, heavier))) = (best, one);
                if more * weight < requests * heavier { one } else { best }
            })
            .map(|(node, _)| node)
    }

    /// Of two nodes taken at random the one that is expected to answer sooner.
    fn sooner(&self, now_ms: u64, able: &dyn Fn(usize) -> bool, states: &[Arc<NodeState>]) -> Option<usize> {
        let count = self.nodes.iter().filter(|node| able(**node)).count();
        let nth = |at: usize| self.nodes.iter().copied().filter(|node| able(*node)).nth(at);
        if count <= 2 {
            let (one, other) = (nth(0)?, nth(1));
            return Some(other.map_or(one, |other| faster(one, other, now_ms, states)));
        }
        let first = fastrand::usize(..count);
        let second = (first + 1 + fastrand::usize(..count - 1)) % count;
        Some(faster(nth(first)?, nth(second)?, now_ms, states))
    }
}

fn faster(one: usize, other: usize, now_ms: u64, states: &[Arc<NodeState>]) -> usize {
    let expected = |node: usize| states.get(node).map_or(0.0, |state| state.expected_secs(now_ms));
    let (a, b) = (expected(one), expected(other));
    // Nothing is known of two new nodes: a coin keeps them even.
    if a < b || (a == b && fastrand::bool()) { one } else { other }
}

#[cfg(test)]
mod tests;
