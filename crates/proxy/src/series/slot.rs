//! The rows of one second, minute or hour as bytes: each name once, numbers as short as they are. Kept in memory and in the file alike.

use std::sync::Arc;

use super::pile::{Fact, NAMES, Pile};
use super::sum::{BUCKETS, Sum};

/// Rows of one slot that are told apart in full.
const MOST_ROWS: usize = 1_000;

/// The rows of one span of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    /// Its first second.
    pub(super) start: u64,
    bytes: Arc<[u8]>,
}

impl Slot {
    /// The pile as it is kept, in at most about `most_bytes`.
    pub(super) fn of(start: u64, pile: &Pile, most_bytes: usize) -> Self {
        let mut most_rows = MOST_ROWS;
        loop {
            let bytes = encode(&pile.top(most_rows));
            if bytes.len() <= most_bytes || most_rows < 8 {
                return Self { start, bytes: bytes.into() };
            }
            // What is too long by half has to lose half of its rows, and a few more for the sums of those.
            most_rows = (most_rows.min(bytes.len()) * most_bytes / bytes.len() * 7 / 8).max(4);
        }
    }

    /// A slot that was read from a file.
    pub(super) fn read(start: u64, bytes: &[u8]) -> Self {
        Self { start, bytes: bytes.into() }
    }

    /// Its bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Shows each row. Rows behind a damage are left out.
    pub(super) fn each(&self, mut row: impl FnMut([&str; NAMES], u16, &Sum)) {
        let mut rest = &*self.bytes;
        // `None` at the damage, or at the end.
        let _ = decode(&mut rest, &mut row);
    }
}

fn encode(rows: &[(Fact, Sum)]) -> Vec<u8> {
    let mut names: Vec<&str> =
        rows.iter().flat_map(|(fact, _)| fact.names.iter().map(|name| &**name)).collect();
    names.sort_unstable();
    names.dedup();
    let mut out = Vec::with_capacity(64 * rows.len());
    put(&mut out, names.len() as u64);
    for name in &names {
        put(&mut out, name.len() as u64);
        out.extend_from_slice(name.as_bytes());
    }
    put(&mut out, rows.len() as u64);
    for (fact, sum) in rows {
        for name in &fact.names {
            let at = names.binary_search(&&**name).unwrap_or(0);
            put(&mut out, at as u64);
        }
        put(&mut out, u64::from(fact.status));
        for number in [sum.requests, sum.received, sum.sent, sum.took_us, sum.upstream_us] {
            put(&mut out, number);
        }
        let filled = || sum.buckets.iter().enumerate().filter(|(_, count)| **count > 0);
        put(&mut out, filled().count() as u64);
        for (at, count) in filled() {
            put(&mut out, at as u64);
            put(&mut out, u64::from(*count));
        }
    }
    out
}

fn decode(rest: &mut &[u8], row: &mut impl FnMut([&str; NAMES], u16, &Sum)) -> Option<()> {
    let mut names = Vec::new();
    for _ in 0..take(rest)? {
        let length = usize::try_from(take(rest)?).ok()?;
        let (name, others) = rest.split_at_checked(length)?;
        names.push(std::str::from_utf8(name).ok()?);
        *rest = others;
    }
    for _ in 0..take(rest)? {
        let mut of = [""; NAMES];
        for name in &mut of {
            *name = names.get(usize::try_from(take(rest)?).ok()?)?;
        }
        let status = u16::try_from(take(rest)?).ok()?;
        let mut sum = Sum::NONE;
        for number in
            [&mut sum.requests, &mut sum.received, &mut sum.sent, &mut sum.took_us, &mut sum.upstream_us]
        {
            *number = take(rest)?;
        }
        for _ in 0..take(rest)?.min(BUCKETS as u64) {
            let bucket = sum.buckets.get_mut(usize::try_from(take(rest)?).ok()?)?;
            *bucket = u32::try_from(take(rest)?).ok()?;
        }
        row(of, status, &sum);
    }
    Some(())
}

/// Seven bits a byte, the lowest first; the eighth says that more follow.
fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn take(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for at in 0..10_u32 {
        let (byte, others) = rest.split_first()?;
        *rest = others;
        number |= u64::from(byte & 0x7f).checked_shl(7 * at)?;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Fact, Pile, Slot, Sum};

    fn pile(routes: u64) -> Pile {
        let mut pile = Pile::default();
        for number in 0..routes {
            let mut sum = Sum::NONE;
            for ms in 0..=number % 7 {
                sum.add_one(
                    Duration::from_millis(ms * 13),
                    Some(Duration::from_millis(ms)),
                    1 << (number % 40),
                    300,
                );
            }
            let route = format!("route-number-{number}");
            let names = [&*route, "service", "", "10.0.0.1", "plugin", "key-auth"].map(Into::into);
            pile.add(Fact { names, status: 200 + (number % 5) as u16 * 100 }, &sum);
        }
        pile
    }

    #[test]
    fn what_was_kept_comes_back() {
        let pile = pile(300);
        let slot = Slot::of(60, &pile, 1 << 20);
        let mut back = Pile::default();
        slot.each(|names, status, sum| back.add(Fact { names: names.map(Into::into), status }, sum));
        assert_eq!(back.top(1_000), pile.top(1_000));
        assert!(slot.bytes().len() < 300 * 70, "{} bytes", slot.bytes().len());
    }

    #[test]
    fn a_slot_keeps_to_its_bytes_and_counts_all() {
        let pile = pile(2_000);
        let all: u64 = pile.iter().map(|(_, sum)| sum.requests).sum();
        for most in [4_096, 20_000] {
            let slot = Slot::of(0, &pile, most);
            let mut seen = 0;
            slot.each(|_, _, sum| seen += sum.requests);
            assert_eq!(seen, all);
            assert!(slot.bytes().len() <= most, "{} bytes", slot.bytes().len());
        }
    }

    #[test]
    fn damaged_bytes_are_read_as_far_as_they_go() {
        let slot = Slot::of(0, &pile(20), 1 << 20);
        for end in 0..slot.bytes().len() {
            Slot::read(0, &slot.bytes()[..end]).each(|_, _, _| {});
        }
        for at in 0..slot.bytes().len() {
            let mut bytes = slot.bytes().to_vec();
            bytes[at] ^= 0xff;
            Slot::read(0, &bytes).each(|_, _, _| {});
        }
    }
}
