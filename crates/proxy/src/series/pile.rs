//! Sums by what they are of, bounded: what comes when there is no more room is told apart by less, and nothing is lost of it.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use usher_model::traffic::OTHER;

use super::sum::Sum;
use super::tally::Row;

/// Rows of one pile that are told apart in full. A quarter more may come that don't tell clients and consumers, then only statuses.
const MOST: usize = 4_000;

/// The names of a fact, in this order.
pub(super) const NAMES: usize = 6;
pub(super) const ROUTE: usize = 0;
pub(super) const SERVICE: usize = 1;
pub(super) const CONSUMER: usize = 2;
pub(super) const CLIENT: usize = 3;
pub(super) const CAUSE: usize = 4;
pub(super) const PLUGIN: usize = 5;

/// What requests have in common. An empty name: none.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Fact {
    pub(super) names: [Arc<str>; NAMES],
    pub(super) status: u16,
}

impl Fact {
    /// What a worker's row is of.
    fn of(row: &Row) -> Self {
        let mark = &row.mark;
        let none = || Arc::<str>::from("");
        let other = || Arc::<str>::from(OTHER);
        let (route, service) = match &mark.route {
            Some(route) => (Arc::clone(&route.id), Arc::clone(&route.service_id)),
            None if mark.packed => (other(), other()),
            None => (none(), none()),
        };
        let crowd =
            |name: Option<Arc<str>>| name.unwrap_or_else(|| if mark.crowded { other() } else { none() });
        let packed = |name: Option<&str>| match name {
            Some(name) => name.into(),
            None if mark.packed => other(),
            None => none(),
        };
        let names = [
            route,
            service,
            crowd(mark.consumer.clone()),
            crowd(mark.client.map(|client| client.to_string().into())),
            packed(mark.cause.map(|cause| cause.name())),
            packed(mark.plugin),
        ];
        Self { names, status: mark.status }
    }

    /// The same without consumer and client.
    fn crowded(mut self) -> Self {
        for at in [CONSUMER, CLIENT] {
            self.forget(at);
        }
        self
    }

    /// The same with nothing but its status.
    fn packed(mut self) -> Self {
        (0..NAMES).for_each(|at| self.forget(at));
        self
    }

    /// One name becomes any; none stays none.
    fn forget(&mut self, at: usize) {
        if let Some(name) = self.names.get_mut(at).filter(|name| !name.is_empty()) {
            *name = OTHER.into();
        }
    }
}

/// Sums by fact.
#[derive(Default)]
pub(super) struct Pile {
    rows: HashMap<Fact, Sum>,
}

impl Pile {
    /// Adds a worker's rows.
    pub(super) fn add_rows(&mut self, rows: &[Row]) {
        for row in rows {
            self.add(Fact::of(row), &row.sum);
        }
    }

    /// Adds a sum.
    pub(super) fn add(&mut self, fact: Fact, sum: &Sum) {
        let is_new = |fact: &Fact| !self.rows.contains_key(fact);
        let mut fact = fact;
        if self.rows.len() >= MOST && is_new(&fact) {
            fact = fact.crowded();
            if self.rows.len() >= MOST + MOST / 4 && is_new(&fact) {
                fact = fact.packed();
            }
        }
        self.rows.entry(fact).or_insert(Sum::NONE).add(sum);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Its rows, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Fact, &Sum)> {
        self.rows.iter()
    }

    /// At most about this many rows, the busiest ones as they are and the others together, in an order that is always the same.
    pub(super) fn top(&self, most: usize) -> Vec<(Fact, Sum)> {
        let mut rows: Vec<(&Fact, &Sum)> = self.rows.iter().collect();
        rows.sort_unstable_by(|a, b| (Reverse(a.1.requests), a.0).cmp(&(Reverse(b.1.requests), b.0)));
        let rest = rows.split_off(most.min(rows.len()));
        let mut kept: Vec<(Fact, Sum)> =
            rows.into_iter().map(|(fact, sum)| (fact.clone(), sum.clone())).collect();
        let crowded = folded(rest.iter().map(|(fact, sum)| ((*fact).clone().crowded(), *sum)));
        if crowded.len() <= most / 4 + 16 {
            kept.extend(crowded);
        } else {
            kept.extend(folded(crowded.iter().map(|(fact, sum)| (fact.clone().packed(), sum))));
        }
        kept
    }
}

fn folded<'a>(rows: impl Iterator<Item = (Fact, &'a Sum)>) -> Vec<(Fact, Sum)> {
    let mut folded: HashMap<Fact, Sum> = HashMap::new();
    for (fact, sum) in rows {
        folded.entry(fact).or_insert(Sum::NONE).add(sum);
    }
    let mut folded: Vec<_> = folded.into_iter().collect();
    folded.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    folded
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use usher_model::traffic::OTHER;

    use super::{CLIENT, Fact, MOST, Pile, ROUTE};
    use crate::series::sum::Sum;

    fn fact(route: &str, client: &str, status: u16) -> Fact {
        let names = [route, "", "", client, "", ""].map(Into::into);
        Fact { names, status }
    }

    fn requests(count: u64) -> Sum {
        let mut sum = Sum::NONE;
        (0..count).for_each(|_| sum.add_one(Duration::from_millis(1), None, 1, 1));
        sum
    }

    #[test]
    fn a_full_pile_goes_on_counting() {
        let mut pile = Pile::default();
        for number in 0..(2 * MOST) {
            pile.add(fact("r", &format!("10.0.{}.{}", number / 256, number % 256), 404), &requests(1));
        }
        let (mut all, mut other) = (0, 0);
        for (fact, sum) in pile.iter() {
            all += sum.requests;
            if &*fact.names[CLIENT] == OTHER {
                assert_eq!(&*fact.names[ROUTE], "r");
                other += sum.requests;
            }
        }
        assert_eq!((all, other), (2 * MOST as u64, MOST as u64));
    }

    #[test]
    fn the_busiest_rows_stay_and_the_rest_is_one() {
        let mut pile = Pile::default();
        for number in 0..100 {
            pile.add(fact(&format!("r{number}"), "", 200), &requests(number + 1));
        }
        let top = pile.top(10);
        assert_eq!(top.iter().map(|(_, sum)| sum.requests).sum::<u64>(), 5050);
        assert_eq!((&*top[0].0.names[ROUTE], top[0].1.requests), ("r99", 100));
        assert_eq!((top.len(), &*top[10].0.names[ROUTE]), (11, OTHER));
    }
}
