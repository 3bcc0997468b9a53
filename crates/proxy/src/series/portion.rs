//! What one gateway adds to the answer of another: its slots, those of one point put together, of what is asked for alone, and within bounds.
//!
//! What is sent are sums with their buckets, so that percentiles are those of all gateways together, and not averages of averages.

use std::collections::BTreeMap;

use usher_model::traffic::{Ask, Portion};

use super::ask::{Looked, Spread, fits};
use super::pile::{Fact, Pile};
use super::slot::Slot;

/// Bytes of all sums together; rows that are rare go together where there are more.
const MOST_BYTES: usize = 4 << 20;
/// Bytes of the sums of one span at most, and at least.
const MOST_SPAN_BYTES: usize = 256 << 10;
const LEAST_SPAN_BYTES: usize = 1 << 10;

/// The portion of what was looked up.
pub(super) fn of(looked: &Looked, ask: &Ask) -> Portion {
    let spread = Spread::of(looked, ask);
    // Sums alone need no points.
    let width = if ask.points == 0 { spread.to - spread.from } else { spread.step };
    let mut piles: BTreeMap<u64, Pile> = BTreeMap::new();
    for slot in looked.slots.iter().filter(|slot| (spread.from..spread.to).contains(&slot.start)) {
        let start = slot.start - (slot.start - spread.from) % width.max(1);
        slot.each(|names, status, sum| {
            if fits(&ask.only, &names, status) {
                let fact = Fact { names: names.map(Into::into), status };
                piles.entry(start).or_default().add(fact, sum);
            }
        });
    }
    let bytes = (MOST_BYTES / piles.len().max(1)).clamp(LEAST_SPAN_BYTES, MOST_SPAN_BYTES);
    let spans = piles.iter().map(|(start, pile)| (*start, Slot::of(*start, pile, bytes).bytes().to_vec()));
    Portion { since: looked.since, spans: spans.collect() }
}

/// Adds what others sent. One that keeps its past more coarsely may begin a span somewhat earlier: that counts for the first point.
pub(super) fn add(looked: &mut Looked, ask: &Ask, others: &[Portion]) {
    let spread = Spread::of(looked, ask);
    for other in others {
        looked.since = looked.since.into_iter().chain(other.since).min();
        let spans = other.spans.iter().filter(|(start, _)| *start < spread.to);
        looked.slots.extend(spans.map(|(start, bytes)| Slot::read((*start).max(spread.from), bytes)));
    }
}
