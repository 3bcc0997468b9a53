//! Whose turn it is: weighted turns, spread evenly, exact over all workers.

use std::sync::{Mutex, PoisonError};

/// Gives turns by weight. In each row of as many turns as all weights together, each entry has exactly its weight of them, and they lie as far
/// apart as they can (the smooth weighted round robin of nginx).
#[derive(Debug)]
pub(super) struct Wheel {
    weights: Vec<i64>,
    total: i64,
    /// How much of a turn each entry is owed. One short lock for all workers: that is what makes the split exact.
    owed: Mutex<Vec<i64>>,
}

impl Wheel {
    /// A wheel of these weights; `None` when all of them are 0.
    pub(super) fn new(weights: impl IntoIterator<Item = u32>) -> Option<Self> {
        let weights: Vec<i64> = weights.into_iter().map(i64::from).collect();
        let total = weights.iter().sum();
        let owed = Mutex::new(vec![0; weights.len()]);
        (total > 0).then_some(Self { weights, total, owed })
    }

    /// The entry whose turn it is.
    pub(super) fn turn(&self) -> usize {
        let mut owed = self.owed.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut best, mut most) = (0, i64::MIN);
        for (at, (owed, weight)) in owed.iter_mut().zip(&self.weights).enumerate() {
            *owed += weight;
            if *owed > most && *weight > 0 {
                (best, most) = (at, *owed);
            }
        }
        if let Some(owed) = owed.get_mut(best) {
            *owed -= self.total;
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use super::Wheel;

    #[test]
    fn turns_are_spread_by_weight() {
        for (weights, wanted) in [
            (vec![1], vec![0, 0]),
            (vec![1, 1], vec![0, 1, 0, 1]),
            (vec![5, 1, 1], vec![0, 0, 1, 0, 2, 0, 0, 0, 0, 1]),
            (vec![0, 2, 1], vec![1, 2, 1, 1, 2, 1]),
            (vec![2, 4], vec![1, 0, 1, 1, 0, 1]),
        ] {
            let wheel = Wheel::new(weights.clone()).unwrap();
            let turns: Vec<_> = wanted.iter().map(|_| wheel.turn()).collect();
            assert_eq!(turns, wanted, "{weights:?}");
        }
        assert!(Wheel::new([0, 0]).is_none() && Wheel::new([]).is_none());
    }

    #[test]
    fn many_threads_together_split_exactly() {
        let wheel = Wheel::new([7, 2, 1]).unwrap();
        let counts = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        let mut counts = [0_u32; 3];
                        (0..2500).for_each(|_| counts[wheel.turn()] += 1);
                        counts
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).fold([0; 3], |mut sum, counts| {
                sum.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
                sum
            })
        });
        assert_eq!(counts, [7000, 2000, 1000]);
    }

    #[test]
    fn the_largest_weights_do_not_overflow() {
        let wheel = Wheel::new([u32::MAX; 20]).unwrap();
        let turns: Vec<_> = (0..20).map(|_| wheel.turn()).collect();
        assert_eq!(turns, (0..20).collect::<Vec<_>>());
    }
}
