//! Whose turn it is: weighted round robin over the nodes of the highest priority, without a lock.
//!
//! Turns are numbered by one counter, and the node of a turn is computed from its number: the nodes are halved again and again, and each half
//! gets its share of the turns as evenly as whole numbers allow. After as many turns as the weights add up to, every node had exactly its weight.

use std::sync::atomic::{AtomicU64, Ordering};

use usher_model::resource::Node;

/// The turns of one upstream's nodes.
#[derive(Debug)]
pub(super) enum Balance {
    /// No node is in use.
    Empty,
    /// One node is.
    One(usize),
    /// Several are: one level per priority, the highest first.
    Levels(Box<[Level]>),
}

/// The nodes of one priority.
#[derive(Debug)]
pub(super) struct Level {
    /// Indices into the upstream's nodes.
    nodes: Box<[usize]>,
    /// `sums[i]` is the weight of all nodes before the i-th; one longer than `nodes`.
    sums: Box<[u64]>,
    turns: AtomicU64,
    /// Turns of second and later tries. Were they taken from `turns`, a node that is down could meet every first try.
    retries: AtomicU64,
}

impl Balance {
    pub(super) fn of(nodes: &[Node]) -> Self {
        let mut usable: Vec<usize> =
            nodes.iter().enumerate().filter(|(_, node)| node.weight > 0).map(|(index, _)| index).collect();
        let priority = |index: usize| nodes.get(index).map_or(0, |node| node.priority);
        match usable.as_slice() {
            [] => Self::Empty,
            [one] => Self::One(*one),
            _ => {
                usable.sort_by_key(|index| std::cmp::Reverse(priority(*index)));
                let levels = usable.chunk_by(|a, b| priority(*a) == priority(*b));
                Self::Levels(levels.map(|level| Level::of(nodes, level)).collect())
            }
        }
    }

    /// How many nodes are in use.
    pub(super) fn usable(&self) -> usize {
        match self {
            Self::Empty => 0,
            Self::One(_) => 1,
            Self::Levels(levels) => levels.iter().map(|level| level.nodes.len()).sum(),
        }
    }

    /// Whose turn is next, without taking it.
    pub(super) fn next(&self) -> Option<usize> {
        match self {
            Self::Empty => None,
            Self::One(node) => Some(*node),
            Self::Levels(levels) => {
                let level = levels.first()?;
                level.nodes.get(level.place(level.turns.load(Ordering::Relaxed))).copied()
            }
        }
    }

    pub(super) fn choose(&self, tried: &[usize]) -> Option<usize> {
        match self {
            Self::Empty => None,
            Self::One(node) => (!tried.contains(node)).then_some(*node),
            Self::Levels(levels) => levels.iter().find_map(|level| level.choose(tried)),
        }
    }
}

impl Level {
    fn of(nodes: &[Node], level: &[usize]) -> Self {
        let weight = |index: &usize| nodes.get(*index).map_or(0, |node| u64::from(node.weight));
        let mut sums = vec![0];
        let mut sum = 0;
        for index in level {
            sum += weight(index);
            sums.push(sum);
        }
        Self { nodes: level.into(), sums: sums.into(), turns: AtomicU64::new(0), retries: AtomicU64::new(0) }
    }

    fn choose(&self, tried: &[usize]) -> Option<usize> {
        if tried.is_empty() {
            return self.nodes.get(self.place(self.turns.fetch_add(1, Ordering::Relaxed))).copied();
        }
        let left = |node: &&usize| !tried.contains(node);
        let first = self.nodes.iter().find(left)?;
        // The next turns belong to the nodes that are left by their weights, so that no neighbour inherits all of a dead node's requests.
        for _ in 0..2 * self.nodes.len() {
            let node = self.nodes.get(self.place(self.retries.fetch_add(1, Ordering::Relaxed)));
            if let Some(node) = node.filter(left) {
                return Some(*node);
            }
        }
        Some(*first)
    }

    /// The node, as an index into `nodes`, of the turn with this number.
    fn place(&self, turn: u64) -> usize {
        let sum = |at: usize| self.sums.get(at).map_or(0, |sum| u128::from(*sum));
        let (mut low, mut high) = (0, self.nodes.len());
        let mut turn = u128::from(turn) % sum(high).max(1);
        while high - low > 1 {
            let middle = usize::midpoint(low, high);
            let (left, all) = (sum(middle) - sum(low), sum(high) - sum(low));
            // How many of the turns before this one went to the left half.
            let before = (turn * left).div_ceil(all);
            if ((turn + 1) * left).div_ceil(all) > before {
                (turn, high) = (before, middle);
            } else {
                (turn, low) = (turn - before, middle);
            }
        }
        low
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Strategy as _, prop};
    use usher_model::resource::Node;

    use super::Balance;

    fn nodes(written: &[(u32, i64)]) -> Vec<Node> {
        let node = |(weight, priority): &(u32, i64)| Node {
            host: "a".to_owned(),
            port: None,
            weight: *weight,
            priority: *priority,
        };
        written.iter().map(node).collect()
    }

    #[test]
    fn equal_nodes_take_turns() {
        let balance = Balance::of(&nodes(&[(1, 0), (1, 0), (1, 0)]));
        let turns: Vec<_> = (0..6).map(|_| balance.choose(&[]).unwrap()).collect();
        assert_eq!(turns, [0, 1, 2, 0, 1, 2]);
        let heavy = Balance::of(&nodes(&[(70, 0), (70, 0)]));
        let turns: Vec<_> = (0..4).map(|_| heavy.choose(&[]).unwrap()).collect();
        assert_eq!(turns, [0, 1, 0, 1]);
    }

    #[test]
    fn heavy_nodes_are_spread_over_the_turns() {
        let balance = Balance::of(&nodes(&[(5, 0), (1, 0), (1, 0)]));
        let turns: Vec<_> = (0..14)
            .map(|_| {
                let next = balance.next();
                assert_eq!(balance.next(), next, "a look takes no turn");
                assert_eq!(balance.choose(&[]), next);
                next.unwrap()
            })
            .collect();
        for window in turns.windows(4) {
            assert!(window.iter().any(|node| *node != 0), "{turns:?}");
        }
        assert_eq!(turns.iter().filter(|node| **node == 0).count(), 10);
    }

    #[test]
    fn lower_priorities_come_when_all_higher_nodes_were_tried() {
        let balance = Balance::of(&nodes(&[(1, -1), (1, 5), (0, 9), (1, 5), (3, -7)]));
        assert_eq!(balance.usable(), 4);
        let mut tried = Vec::new();
        while let Some(node) = balance.choose(&tried) {
            tried.push(node);
        }
        assert_eq!(tried.len(), 4);
        assert!([[1, 3], [3, 1]].contains(&[tried[0], tried[1]]), "{tried:?}");
        assert_eq!(&tried[2..], [0, 4]);
        for none in [&[][..], &[(0, 0)], &[(0, 1), (0, 2)]] {
            assert_eq!(Balance::of(&nodes(none)).choose(&[]), None, "{none:?}");
        }
        let one = Balance::of(&nodes(&[(0, 0), (4, 0)]));
        assert_eq!((one.choose(&[]), one.choose(&[1])), (Some(1), None));
    }

    #[test]
    fn a_dead_node_does_not_meet_every_first_try() {
        let balance = Balance::of(&nodes(&[(1, 0), (1, 0)]));
        let mut first_tries = [0; 2];
        for _ in 0..100 {
            let first = balance.choose(&[]).unwrap();
            first_tries[first] += 1;
            if first == 0 {
                assert_eq!(balance.choose(&[0]), Some(1));
            }
        }
        assert_eq!(first_tries, [50, 50]);
    }

    proptest::proptest! {
        #[test]
        fn every_node_gets_exactly_its_weight_and_never_runs_ahead(weights in prop::collection::vec(0_u32..40, 2..9)) {
            let written: Vec<(u32, i64)> = weights.iter().map(|weight| (*weight, 0)).collect();
            let balance = Balance::of(&nodes(&written));
            let all: u32 = weights.iter().sum();
            let mut had = vec![0_u32; weights.len()];
            for turn in 1..=all {
                let node = balance.choose(&[]).unwrap();
                had[node] += 1;
                // Each halving may be one turn off; nothing is off by more than the number of halvings.
                let due = f64::from(turn) * f64::from(weights[node]) / f64::from(all);
                proptest::prop_assert!((f64::from(had[node]) - due).abs() <= 4.0, "turn {turn}: {had:?} of {weights:?}");
            }
            proptest::prop_assert_eq!(had, weights);
        }

        #[test]
        fn a_try_never_meets_a_tried_node(weights in prop::collection::vec((0_u32..3, -1_i64..2), 0..7).prop_map(|w| w), seed in 0_u64..50) {
            let balance = Balance::of(&nodes(&weights));
            for _ in 0..seed {
                let _ = balance.choose(&[]);
            }
            let mut tried = Vec::new();
            while let Some(node) = balance.choose(&tried) {
                proptest::prop_assert!(!tried.contains(&node) && weights[node].0 > 0);
                tried.push(node);
            }
            proptest::prop_assert_eq!(tried.len(), balance.usable());
        }
    }
}
