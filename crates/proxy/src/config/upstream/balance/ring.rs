//! A ring of points for consistent hashing, placed as nginx and lua-resty-chash place them: 160 for each unit of weight.
//!
//! All nodes are on the ring whether they are well or not, and those that can't be used are stepped over when one is picked. So the keys of the others
//! stay where they are.

/// Points of one unit of weight.
const POINTS: u64 = 160;

/// Units of weight on one ring: more than that is scaled down, so that a ring stays below 3 MiB whatever is written.
const MOST_UNITS: u64 = 2_048;

/// A ring.
#[derive(Debug)]
pub(super) struct Ring(Box<[Point]>);

#[derive(Clone, Copy, Debug)]
struct Point {
    hash: u32,
    node: u32,
}

impl Ring {
    /// A ring of nodes with these names, `host` and `port`, and weights; the number is what [`Ring::find`] hands to `able`.
    pub(super) fn of<'a>(nodes: impl Iterator<Item = (usize, &'a str, u16, u32)> + Clone) -> Self {
        let divisor = nodes.clone().fold(0, |sum, (_, _, _, weight)| gcd(sum, u64::from(weight))).max(1);
        let all: u64 = nodes.clone().map(|(_, _, _, weight)| u64::from(weight) / divisor).sum();
        let mut points = Vec::new();
        for (node, host, port, weight) in nodes {
            let units = u64::from(weight) / divisor;
            let units = if all > MOST_UNITS { (units * MOST_UNITS / all).max(1) } else { units };
            let mut base = crc32fast::Hasher::new();
            base.update(host.as_bytes());
            base.update(&[0]);
            base.update(port.to_string().as_bytes());
            let mut last = 0_u32;
            for _ in 0..units * POINTS {
                let mut hasher = base.clone();
                hasher.update(&last.to_le_bytes());
                last = hasher.finalize();
                points.push(Point { hash: last, node: u32::try_from(node).unwrap_or(u32::MAX) });
            }
        }
        points.sort_unstable_by_key(|point| (point.hash, point.node));
        Self(points.into())
    }

    /// The first node at or behind this place that is able.
    pub(super) fn find(&self, place: u32, able: impl Fn(usize) -> bool) -> Option<usize> {
        let at = self.0.partition_point(|point| point.hash < place);
        let (before, behind) = self.0.split_at_checked(at)?;
        let mut refused = usize::MAX;
        behind.iter().chain(before).map(|point| point.node as usize).find(|node| {
            // Neighbouring points often are one node's.
            if *node == refused {
                return false;
            }
            let able = able(*node);
            if !able {
                refused = *node;
            }
            able
        })
    }
}

/// The place of a key on every ring.
pub(crate) fn place_of(key: &[u8]) -> u32 {
    crc32fast::hash(key)
}

const fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::{Ring, place_of};

    fn ring(nodes: &[(&'static str, u32)]) -> Ring {
        let nodes: Vec<_> =
            nodes.iter().enumerate().map(|(at, (host, weight))| (at, *host, 80, *weight)).collect();
        Ring::of(nodes.into_iter())
    }

    #[test]
    fn points_lie_where_nginx_puts_them() {
        // The chain of hashes as ngx_http_upstream_hash_module makes it, done by hand.
        let one = ring(&[("10.0.0.1", 3)]);
        assert_eq!(one.0.len(), 160, "weights are divided by what they have in common");
        let mut last = 0_u32;
        for _ in 0..160 {
            last = crc32fast::hash(&[b"10.0.0.1\x0080".as_slice(), &last.to_le_bytes()].concat());
            assert!(one.0.binary_search_by_key(&last, |point| point.hash).is_ok());
        }
    }

    #[test]
    fn shares_follow_weights() {
        let ring = ring(&[("10.0.0.1", 1), ("10.0.0.2", 2), ("10.0.0.3", 1)]);
        let mut counts = [0; 3];
        for key in 0..40_000_u32 {
            counts[ring.find(place_of(&key.to_le_bytes()), |_| true).unwrap()] += 1;
        }
        for (count, wanted) in counts.into_iter().zip([10_000, 20_000, 10_000]) {
            assert!((wanted * 8 / 10..wanted * 12 / 10).contains(&count), "{counts:?}");
        }
    }

    #[test]
    fn huge_weights_make_no_huge_ring() {
        let ring = ring(&[("a", 4_000_000_007), ("b", 1)]);
        assert!(ring.0.len() <= 2_049 * 160);
        assert!(ring.0.iter().any(|point| point.node == 1), "the smallest keeps a share");
    }

    proptest::proptest! {
        #[test]
        fn a_node_that_is_down_moves_no_key_of_the_others(count in 2_usize..9, down in 0_usize..9, keys in proptest::collection::vec(0_u32..u32::MAX, 1..100)) {
            const NAMES: [&str; 9] = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];
            let down = down % count;
            let nodes: Vec<_> = NAMES.iter().take(count).map(|name| (*name, 1)).collect();
            let ring = ring(&nodes);
            for key in keys {
                let place = place_of(&key.to_le_bytes());
                let before = ring.find(place, |_| true).unwrap();
                let after = ring.find(place, |node| node != down).unwrap();
                proptest::prop_assert!(after != down);
                proptest::prop_assert!(before == down || before == after);
            }
        }

        #[test]
        fn a_node_that_comes_takes_keys_only_for_itself(count in 1_usize..8, keys in proptest::collection::vec(0_u32..u32::MAX, 1..100)) {
            const NAMES: [&str; 9] = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];
            let nodes: Vec<_> = NAMES.iter().take(count + 1).map(|name| (*name, 1)).collect();
            let (small, large) = (ring(&nodes[..count]), ring(&nodes));
            for key in keys {
                let place = place_of(&key.to_le_bytes());
                let (before, after) = (small.find(place, |_| true).unwrap(), large.find(place, |_| true).unwrap());
                proptest::prop_assert!(after == count || before == after);
            }
        }
    }
}
