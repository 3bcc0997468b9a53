//! The gateway's own memory of its traffic: who asked for what, how it was answered and how long it took, for thirty days, in bounded room.
//!
//! Workers count in tables of their own (`tally`), which are folded once a second into seconds, minutes and hours (`book`). What is kept is told apart by
//! route, service, consumer, status, cause, plugin, and for answers of 400 and above by client; whatever is asked by (`ask`) is added up from that.
//! Minutes and hours outlive a restart in a file of their own (`file`). Memory and file have at most 64 MiB each, however many names there are: what is
//! rare is kept together, and counted all the same.

mod ask;
mod book;
mod file;
mod pile;
mod portion;
mod slot;
mod sum;
mod tally;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::MissedTickBehavior;
use usher_model::traffic::{Ask, Portion, Traffic};

use self::book::{Book, Grain};
use self::file::Kept;
use self::slot::Slot;
pub(crate) use self::tally::{Desk, Tally};

/// How often what workers counted is folded.
const EVERY: Duration = Duration::from_millis(500);

/// The series.
pub(crate) struct Series {
    desk: Arc<Desk>,
    book: Mutex<Book>,
    /// `None` where nothing outlives the process.
    kept: Option<Mutex<Kept>>,
    /// The file is another process's.
    released: AtomicBool,
}

impl Series {
    /// Takes up what an earlier process has kept in this file.
    pub(crate) fn open(path: Option<&Path>, desk: Arc<Desk>) -> Self {
        let now = now();
        let mut book = Book::new(now);
        let kept = path.map(|path| {
            let (kept, slots) = Kept::open(path);
            // The hours that this makes are in what is written anew below.
            drop(book.restore(slots, now));
            Mutex::new(kept)
        });
        let series = Self { desk, book: Mutex::new(book), kept, released: AtomicBool::new(false) };
        series.write(&[]);
        series
    }

    /// Folds what workers count, until it is dropped.
    pub(crate) async fn run(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let written = self.fold(now(), false);
            if !written.is_empty() {
                let series = Arc::clone(&self);
                // Whatever it is, it was told.
                let _ = tokio::task::spawn_blocking(move || series.write(&written)).await;
            }
        }
    }

    /// Folds all that was counted and writes it down, once the workers have ended.
    pub(crate) fn finish(&self) {
        let written = self.fold(now(), true);
        self.write(&written);
    }

    /// Writes all that was counted down and lets the file go to another process.
    pub(crate) fn release(&self) {
        self.finish();
        self.released.store(true, Ordering::Release);
    }

    /// Takes the file back; it is written anew.
    pub(crate) fn resume(&self) {
        if let Some(kept) = &self.kept {
            kept.lock().unwrap_or_else(PoisonError::into_inner).distrust();
        }
        self.released.store(false, Ordering::Release);
    }

    /// Answers a question, with what other gateways add. It may take a tenth of a second, and nobody who serves waits for it.
    pub(crate) fn answer(&self, ask: &Ask, others: &[Portion]) -> Traffic {
        self.answer_at(ask, others, now())
    }

    /// What this gateway adds to the answer of another one.
    pub(crate) fn portion(&self, ask: &Ask) -> Portion {
        self.portion_at(ask, now())
    }

    fn answer_at(&self, ask: &Ask, others: &[Portion], now: u64) -> Traffic {
        let mut looked = self.look(ask, now);
        portion::add(&mut looked, ask, others);
        ask::answer(&looked, ask)
    }

    fn portion_at(&self, ask: &Ask, now: u64) -> Portion {
        portion::of(&self.look(ask, now), ask)
    }

    fn look(&self, ask: &Ask, now: u64) -> ask::Looked {
        self.fold_counted();
        ask::look(&self.lock(), ask, now)
    }

    fn fold_counted(&self) {
        let halves = self.desk.take();
        if !halves.is_empty() {
            self.lock().take(&halves);
            self.desk.give_back(halves);
        }
    }

    fn fold(&self, now: u64, all: bool) -> Vec<(Grain, Slot)> {
        self.fold_counted();
        self.lock().close(now, all)
    }

    fn write(&self, written: &[(Grain, Slot)]) {
        let Some(kept) = self.kept.as_ref().filter(|_| !self.released.load(Ordering::Acquire)) else {
            return;
        };
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        let outcome = if kept.is_stale() {
            let all: Vec<(Grain, Slot)> =
                self.lock().kept().map(|(grain, slot)| (grain, slot.clone())).collect();
            kept.rewrite(&all)
        } else {
            kept.append(written)
        };
        if let Err(error) = outcome {
            tracing::warn!(%error, "past traffic can't be written down; it is kept in memory and tried again");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests;
