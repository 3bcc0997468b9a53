//! How a large set falls into steps that the store takes, in an order in which each is good by itself.

use std::ops::Range;

use bytes::Bytes;
use usher_model::kind::Kind;
use usher_store::Capabilities;

use crate::service::world::Move;

/// Writes of a commit beside its resources: the head, the entry of the history and the oldest one, the record of the audit.
const OWN_WRITES: usize = 4;

/// The same for a step, which also writes down how far the plan has come.
const STEP_WRITES: usize = OWN_WRITES + 2;

/// Room for what a commit writes beside its resources, in bytes: the audit tells of 100 objects.
const OWN_BYTES: usize = 64 << 10;

/// Bytes of an entry of the history from which on it is packed.
const PACKED: usize = 1 << 20;

/// What one object takes.
#[derive(Clone, Copy, Default)]
struct Size {
    resource: usize,
    history: usize,
}

impl Size {
    fn of(moved: &Move) -> Self {
        let key = moved.key.id.len() + 64;
        let length = |text: &Option<Bytes>| text.as_ref().map_or(0, Bytes::len);
        let (before, after) = (length(&moved.before), length(&moved.after));
        Self { resource: key + after, history: key + before + after }
    }

    const fn plus(self, other: Self) -> Self {
        Self { resource: self.resource + other.resource, history: self.history + other.history }
    }

    /// About how many bytes a transaction of it takes.
    const fn bytes(self) -> usize {
        let packed = self.history.saturating_sub(PACKED) / 2;
        OWN_BYTES + self.resource + packed + if self.history < PACKED { self.history } else { PACKED }
    }
}

/// Into how many steps a set falls; 1 where one transaction holds it.
pub(in crate::service) fn count(moves: &[Move], able: &Capabilities) -> usize {
    let mut whole = Size::default();
    for moved in moves {
        whole = whole.plus(Size::of(moved));
    }
    if moves.len() <= able.most_writes.saturating_sub(OWN_WRITES) && whole.bytes() <= able.most_bytes {
        return 1;
    }
    let mut order: Vec<&Move> = moves.iter().collect();
    order.sort_by_key(|moved| rank(moved));
    // A set that must fall apart takes two steps at least, whatever the estimate says.
    ranges(&order, able).len().max(2)
}

/// The steps themselves.
pub(super) fn steps(mut moves: Vec<Move>, able: &Capabilities) -> Vec<Vec<Move>> {
    moves.sort_by_key(rank);
    let order: Vec<&Move> = moves.iter().collect();
    let ranges = ranges(&order, able);
    let mut left = moves.into_iter();
    ranges.into_iter().map(|range| left.by_ref().take(range.len()).collect()).collect()
}

fn ranges(moves: &[&Move], able: &Capabilities) -> Vec<Range<usize>> {
    let most = able.most_writes.saturating_sub(STEP_WRITES).max(1);
    let mut ranges = Vec::new();
    let (mut begin, mut size) = (0, Size::default());
    for (at, moved) in moves.iter().enumerate() {
        let own = Size::of(moved);
        if at > begin && (at - begin >= most || size.plus(own).bytes() > able.most_bytes) {
            ranges.push(begin..at);
            (begin, size) = (at, Size::default());
        }
        size = size.plus(own);
    }
    ranges.push(begin..moves.len());
    ranges
}

/// Where an object stands in the order: what others lean on is put first; what is deleted goes behind all of that, the other way round.
fn rank(moved: &Move) -> u8 {
    let rank = match moved.key.kind {
        Kind::Secret | Kind::Proto | Kind::PluginMetadata => 0,
        Kind::Upstream => 1,
        Kind::PluginConfig | Kind::ConsumerGroup | Kind::Ssl => 2,
        Kind::Service | Kind::Consumer | Kind::GlobalRule => 3,
        Kind::Credential | Kind::CostDecoration => 4,
        Kind::Route | Kind::StreamRoute => 5,
    };
    if moved.after.is_some() { rank } else { 100 - rank }
}

#[cfg(test)]
mod tests {
    use usher_model::kind::{Key, Kind};
    use usher_store::Capabilities;

    use super::{count, steps};
    use crate::service::world::Move;

    fn moved(kind: Kind, id: &str, size: usize, put: bool) -> Move {
        let value = Some(format!(r#"{{"desc":"{}"}}"#, "x".repeat(size)).into());
        let (before, after) = if put { (None, value) } else { (value, None) };
        Move { key: Key::new(kind, id), before, after, seen: None }
    }

    #[test]
    fn a_set_falls_into_steps_that_the_store_takes() {
        let able = Capabilities { most_writes: 128, most_bytes: 1 << 20, ..Capabilities::OWN };
        for (objects, size, wanted) in
            [(1, 10, 1), (124, 10, 1), (125, 10, 2), (1000, 10, 9), (100, 10_000, 3), (3, 900_000, 3)]
        {
            let all: Vec<Move> =
                (0..objects).map(|at| moved(Kind::Route, &at.to_string(), size, true)).collect();
            assert_eq!(count(&all, &able), wanted, "{objects} of {size}");
            let steps = steps(all, &able);
            assert_eq!(steps.iter().map(Vec::len).sum::<usize>(), objects);
            assert!(steps.iter().all(|step| step.len() <= 122));
        }
    }

    #[test]
    fn what_others_lean_on_comes_first_and_goes_last() {
        let able = Capabilities { most_writes: 7, ..Capabilities::OWN };
        let all = vec![
            moved(Kind::Upstream, "old", 1, false),
            moved(Kind::Route, "new", 1, true),
            moved(Kind::Route, "old", 1, false),
            moved(Kind::Upstream, "new", 1, true),
            moved(Kind::Service, "new", 1, true),
        ];
        assert_eq!(count(&all, &able), 5);
        let steps = steps(all, &able);
        let order: Vec<String> = steps.iter().flatten().map(|moved| moved.key.to_string()).collect();
        assert_eq!(order, ["upstream new", "service new", "route new", "route old", "upstream old"]);
    }
}
