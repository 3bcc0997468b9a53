//! All label sets that there are: a bounded table that workers ask only when they meet a label set for the first time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::cells::Cell;
use super::labels::Family;

/// A label set that nothing moved for so long makes room when the table is full.
const IDLE_MS: u64 = 10 * 60 * 1000;
/// A full table is looked through at most this often.
const SWEEP_EVERY_MS: u64 = 60 * 1000;

/// One label set, with the numbers that each worker keeps for it.
pub(super) struct Series {
    labels: Box<str>,
    cells: Mutex<Vec<(usize, Arc<Cell>)>>,
}

impl Series {
    /// The labels as they are written.
    pub(super) fn labels(&self) -> &str {
        &self.labels
    }

    /// The numbers of all workers together.
    pub(super) fn sums(&self, width: usize) -> Vec<u64> {
        let mut sums = vec![0; width];
        for (_, cell) in self.cells.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            cell.add_to(&mut sums);
        }
        sums
    }

    /// The cell of this worker.
    pub(super) fn cell(&self, stripe: usize, width: usize, now_ms: u64) -> Arc<Cell> {
        let mut cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, cell)) = cells.iter().find(|(owner, _)| *owner == stripe) {
            return Arc::clone(cell);
        }
        let cell = Arc::new(Cell::new(width, now_ms));
        cells.push((stripe, Arc::clone(&cell)));
        cell
    }

    fn touched_ms(&self) -> u64 {
        let cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        cells.iter().map(|(_, cell)| cell.touched_ms()).max().unwrap_or_default()
    }
}

/// All label sets.
pub(super) struct Table {
    families: [HashMap<Box<str>, Arc<Series>>; Family::ALL.len()],
    most: usize,
    swept_ms: Option<u64>,
    is_full: bool,
}

/// What came of asking for a label set.
pub(super) enum Found {
    /// Here it is.
    Series(Arc<Series>),
    /// There is no room; `first` says that this was not known before.
    NoRoom {
        /// Whether somebody should be told.
        first: bool,
    },
}

impl Table {
    /// A table for at most `most` label sets.
    pub(super) fn new(most: usize) -> Self {
        Self { families: Default::default(), most, swept_ms: None, is_full: false }
    }

    /// The label set, made where it is new and there is room.
    pub(super) fn find(&mut self, family: Family, labels: &str) -> Found {
        if let Some(series) = self.family_mut(family).get(labels) {
            return Found::Series(Arc::clone(series));
        }
        if self.len() >= self.most {
            let first = !std::mem::replace(&mut self.is_full, true);
            return Found::NoRoom { first };
        }
        self.is_full = false;
        Found::Series(self.insert(family, labels))
    }

    /// The label set, made where it is new, room or not: for the one that stands for all others.
    pub(super) fn always(&mut self, family: Family, labels: &str) -> Arc<Series> {
        match self.family_mut(family).get(labels) {
            Some(series) => Arc::clone(series),
            None => self.insert(family, labels),
        }
    }

    /// Where the table is full: takes away what has been idle. `true` when that made room.
    pub(super) fn make_room(&mut self, now_ms: u64) -> bool {
        let recently = self.swept_ms.is_some_and(|swept| now_ms < swept + SWEEP_EVERY_MS);
        if self.len() < self.most || recently {
            return false;
        }
        self.swept_ms = Some(now_ms);
        for family in Family::ALL {
            self.expire(family, IDLE_MS, now_ms);
        }
        self.len() < self.most
    }

    /// Takes away label sets that nothing moved for `idle_ms`. `true` when there were any.
    pub(super) fn expire(&mut self, family: Family, idle_ms: u64, now_ms: u64) -> bool {
        let series = self.family_mut(family);
        let before = series.len();
        series.retain(|_, series| series.touched_ms().saturating_add(idle_ms) >= now_ms);
        series.len() < before
    }

    /// When a number of this metric last moved.
    pub(super) fn newest_ms(&mut self, family: Family) -> u64 {
        self.family_mut(family).values().map(|series| series.touched_ms()).max().unwrap_or_default()
    }

    /// The label sets of a metric, in no order.
    pub(super) fn of(&mut self, family: Family) -> Vec<Arc<Series>> {
        self.family_mut(family).values().cloned().collect()
    }

    fn len(&self) -> usize {
        self.families.iter().map(HashMap::len).sum()
    }

    fn insert(&mut self, family: Family, labels: &str) -> Arc<Series> {
        let series = Arc::new(Series { labels: labels.into(), cells: Mutex::default() });
        self.family_mut(family).insert(labels.into(), Arc::clone(&series));
        series
    }

    fn family_mut(&mut self, family: Family) -> &mut HashMap<Box<str>, Arc<Series>> {
        let [status, latency, bandwidth, llm_latency, prompt, completion] = &mut self.families;
        match family {
            Family::Status => status,
            Family::Latency => latency,
            Family::Bandwidth => bandwidth,
            Family::LlmLatency => llm_latency,
            Family::LlmPromptTokens => prompt,
            Family::LlmCompletionTokens => completion,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Family, Found, IDLE_MS, SWEEP_EVERY_MS, Table};

    fn fits(table: &mut Table, labels: &str, now_ms: u64) -> bool {
        match table.find(Family::Status, labels) {
            Found::Series(series) => {
                series.cell(0, 1, now_ms).touch(now_ms);
                true
            }
            Found::NoRoom { .. } => false,
        }
    }

    #[test]
    fn a_full_table_takes_nothing_more_and_says_so_once() {
        let mut table = Table::new(2);
        assert!(fits(&mut table, "a", 0) && fits(&mut table, "b", 0) && fits(&mut table, "a", 0));
        assert!(matches!(table.find(Family::Latency, "c"), Found::NoRoom { first: true }));
        assert!(matches!(table.find(Family::Latency, "d"), Found::NoRoom { first: false }));
        table.always(Family::Latency, "other");
        assert_eq!(table.of(Family::Latency).len(), 1);
    }

    #[test]
    fn what_is_idle_makes_room_and_what_moves_stays() {
        let mut table = Table::new(2);
        assert!(fits(&mut table, "old", 0) && fits(&mut table, "busy", 0));
        assert!(fits(&mut table, "busy", IDLE_MS));
        assert!(!table.make_room(IDLE_MS), "nothing has been idle for longer than that");
        assert!(!table.make_room(IDLE_MS + SWEEP_EVERY_MS - 1), "the table was looked through just now");
        assert!(table.make_room(IDLE_MS + SWEEP_EVERY_MS));
        assert!(fits(&mut table, "new", IDLE_MS + SWEEP_EVERY_MS));
        let mut left: Vec<String> =
            table.of(Family::Status).iter().map(|series| series.labels().to_owned()).collect();
        left.sort();
        assert_eq!(left, ["busy", "new"]);
    }
}
