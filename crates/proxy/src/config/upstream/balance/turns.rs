//! Whose turn it is: weighted round robin without a lock.
//!
//! Turns are numbered by one counter, and the node of a turn is computed from its number: the nodes are halved again and again, and each half
//! gets its share of the turns as evenly as whole numbers allow. After as many turns as the weights add up to, every node had exactly its weight.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many turns were taken. Kept over edits of what the turns are of.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    turns: AtomicU64,
    /// Turns of second and later tries, and of those that met a node which can't be used. Were they taken from `turns`, a node that is down could
    /// meet every first try.
    others: AtomicU64,
}

/// The turns of the nodes of one priority.
#[derive(Debug)]
pub(super) struct Turns {
    /// `sums[i]` is the weight of all nodes before the i-th; one longer than the nodes.
    sums: Box<[u64]>,
    taken: Arc<Taken>,
}

impl Turns {
    pub(super) fn of(weights: impl Iterator<Item = u32>, taken: Arc<Taken>) -> Self {
        let mut sums = vec![0];
        let mut sum = 0;
        for weight in weights {
            sum += u64::from(weight);
            sums.push(sum);
        }
        Self { sums: sums.into(), taken }
    }

    /// Whose turn is next, without taking it.
    pub(super) fn next(&self, able: impl Fn(usize) -> bool) -> Option<usize> {
        let turn = self.taken.turns.load(Ordering::Relaxed);
        let others = self.taken.others.load(Ordering::Relaxed);
        let first = std::iter::once(self.place(turn));
        let others = (0..2 * self.len() as u64).map(|step| self.place(others.wrapping_add(step)));
        first.chain(others).chain(0..self.len()).find(|at| able(*at))
    }

    /// Takes a turn. `first`: the first try of a request.
    pub(super) fn choose(&self, first: bool, able: impl Fn(usize) -> bool) -> Option<usize> {
        if first {
            let at = self.place(self.taken.turns.fetch_add(1, Ordering::Relaxed));
            if able(at) {
                return Some(at);
            }
        }
        let fallback = (0..self.len()).find(|at| able(*at))?;
        // The next turns belong to the nodes that are left by their weights, so that no neighbour inherits all of a dead node's requests.
        for _ in 0..2 * self.len() {
            let at = self.place(self.taken.others.fetch_add(1, Ordering::Relaxed));
            if able(at) {
                return Some(at);
            }
        }
        Some(fallback)
    }

    const fn len(&self) -> usize {
        self.sums.len() - 1
    }

    /// The node of the turn with this number.
    fn place(&self, turn: u64) -> usize {
        let sum = |at: usize| self.sums.get(at).map_or(0, |sum| u128::from(*sum));
        let (mut low, mut high) = (0, self.len());
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
