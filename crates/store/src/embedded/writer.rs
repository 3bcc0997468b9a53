//! The one thread that commits. What waits in the queue is committed together: one sync for many, each with its own revision.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use tokio::sync::oneshot;

use super::Clock;
use super::database::{Check, Database, Fault, Found, Writing, guarded};
use super::group::{self, Group};
use super::history::History;
use super::leases::Leases;
use super::trouble::Trouble;
use crate::feed::Feed;
use crate::{Committed, Revision, StoreError, Transaction, Write};

/// Transactions that share one sync at most.
const TOGETHER: usize = 1024;
/// Bytes of keys and values after which no further transaction joins.
const TOGETHER_BYTES: usize = 8 << 20;
/// How often it looks whether something is due while nothing is asked.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Keys that one transaction deletes at most because they have ended.
const ENDED_TOGETHER: usize = 10_000;

/// A transaction and who waits for it.
pub(super) struct Job {
    pub(super) transaction: Transaction,
    pub(super) answer: oneshot::Sender<Result<Committed, StoreError>>,
}

/// The writer.
pub(super) struct Writer {
    pub(super) jobs: Receiver<Job>,
    pub(super) database: Arc<Database>,
    pub(super) feed: Arc<Feed>,
    pub(super) history: History,
    pub(super) leases: Leases,
    pub(super) clock: Clock,
    pub(super) trouble: Arc<Trouble>,
}

/// Why a group wasn't committed.
struct Failed {
    fault: Fault,
    /// The group, if the commit itself was begun: then it may have reached the disk all the same.
    begun: Option<Group>,
}

impl From<Fault> for Failed {
    fn from(fault: Fault) -> Self {
        Self { fault, begun: None }
    }
}

impl Writer {
    /// Commits until the queue is closed and empty.
    pub(super) fn run(mut self) {
        loop {
            match self.jobs.recv_timeout(self.pause()) {
                Ok(first) => {
                    self.commit(first);
                    if !self.trouble.is_there() {
                        self.end_leases();
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    self.end_leases();
                    self.look_for_an_end_of_trouble();
                }
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.reopen_if_failed();
            self.history.sync_if_due();
            self.fold_if_due();
        }
        self.history.sync();
        self.history.finish_fold();
        if self.history.has_gap()
            && let Ok(cut) = self.database.cut()
        {
            self.history.fold(cut);
            self.history.finish_fold();
        }
    }

    /// How long to wait for a job: at most until the next key ends.
    fn pause(&self) -> Duration {
        let Some(next) = self.leases.next().filter(|_| !self.trouble.is_there()) else { return LOOK_EVERY };
        Duration::from_millis(next.saturating_sub((self.clock)())).min(LOOK_EVERY)
    }

    fn commit(&mut self, first: Job) {
        let mut bytes = first.transaction.bytes();
        let mut jobs = vec![first];
        while jobs.len() < TOGETHER
            && bytes < TOGETHER_BYTES
            && let Ok(next) = self.jobs.try_recv()
        {
            bytes += next.transaction.bytes();
            jobs.push(next);
        }
        let (transactions, answers): (Vec<_>, Vec<_>) =
            jobs.into_iter().map(|job| (job.transaction, job.answer)).unzip();
        let outcomes = self.commit_all(transactions);
        for (answer, outcome) in answers.into_iter().zip(outcomes) {
            // Whoever asked may have gone away; the commit stands all the same.
            let _ = answer.send(outcome);
        }
    }

    /// Deletes what has ended, in transactions of its own.
    pub(super) fn end_leases(&mut self) {
        loop {
            let ended = self.leases.ended((self.clock)(), ENDED_TOGETHER);
            if ended.is_empty() {
                return;
            }
            let writes = ended.iter().map(|key| Write::Delete { key: key.to_string() }).collect();
            let outcomes = self.commit_all(vec![Transaction { writes, ..Transaction::default() }]);
            if let Some(error) = outcomes.into_iter().find_map(Result::err) {
                tracing::warn!(%error, "could not delete keys whose time is over; it will be tried again");
                return;
            }
        }
    }

    /// Commits several transactions, each all or nothing, with one sync.
    fn commit_all(&mut self, transactions: Vec<Transaction>) -> Vec<Result<Committed, StoreError>> {
        let count = transactions.len();
        let group = match self.write(transactions) {
            Ok(group) => group,
            Err(Failed { fault, begun }) => {
                tracing::error!(?fault, "a commit failed; the data file is opened anew");
                match self.settle(&fault, begun) {
                    Ok(group) => group,
                    Err(error) => {
                        self.trouble.begin(&error);
                        return vec![Err(error); count];
                    }
                }
            }
        };
        if !group.changes.is_empty() {
            self.trouble.end();
        }
        self.history.append(&group.changes);
        for change in group.changes {
            self.feed.publish(change.batch);
        }
        group.outcomes
    }

    fn write(&mut self, transactions: Vec<Transaction>) -> Result<Group, Failed> {
        if !self.database.is_writable() {
            let found = self.database.reopen(Check::Everything).map_err(|(fault, _)| fault)?;
            self.take(found);
        }
        let now = (self.clock)();
        let (database, leases, newest) = (&self.database, &mut self.leases, self.feed.newest());
        let (writing, group) = guarded(|| {
            let writing = database.begin()?;
            let group = group::apply(&writing, newest, now, leases, transactions)?;
            Ok((writing, group))
        })?;
        if group.changes.is_empty() {
            writing.abort();
            return Ok(group);
        }
        match commit(writing, group.revision) {
            Ok(()) => Ok(group),
            Err(fault) => Err(Failed { fault, begun: Some(group) }),
        }
    }

    /// After an error of the disk nothing in memory is trusted: the file is read again, which also shows whether the commit reached it.
    fn settle(&mut self, fault: &Fault, begun: Option<Group>) -> Result<Group, StoreError> {
        let before = self.feed.newest();
        let check = if matches!(fault, Fault::Full) { Check::Numbers } else { Check::Everything };
        let (found, writable) = match self.database.reopen(check) {
            Ok(found) => (Some(found), true),
            Err((fault, found)) => {
                tracing::error!(?fault, "the data file takes no writes; the next write tries again");
                (found, false)
            }
        };
        let nothing_written = begun.is_none() || found.as_ref().is_some_and(|found| found.revision == before);
        if let Some(found) = found {
            let landed = begun.filter(|group| writable && group.revision == found.revision);
            if let Some(group) = landed
                && self.keeps(found.revision)
            {
                self.leases = Leases::new(found.leases);
                return Ok(group);
            }
            self.take(found);
        }
        let error = StoreError::from(fault.clone());
        Err(if nothing_written { error } else { StoreError::Unknown(error.to_string()) })
    }

    /// Whether the disk keeps a commit that failed and is in the file all the same: another one behind it shows that.
    fn keeps(&self, revision: Revision) -> bool {
        let Err(fault) = self.database.begin().and_then(|writing| commit(writing, revision)) else {
            return true;
        };
        tracing::error!(?fault, "the disk failed again");
        if let Err((fault, _)) = self.database.reopen(Check::Everything) {
            tracing::error!(?fault, "the data file takes no writes; the next write tries again");
        }
        false
    }

    /// Goes on from what was found in the file.
    fn take(&mut self, found: Found) {
        self.leases = Leases::new(found.leases);
        if found.revision != self.feed.newest() {
            // A commit that failed is there after all: watchers have to list anew, and the change log lacks it.
            self.feed.restart(found.revision);
            self.history.leave_gap();
        }
    }

    /// While the disk takes no writes, tries whether it does again, so that it is known before somebody needs it.
    fn look_for_an_end_of_trouble(&mut self) {
        if !self.trouble.is_there() {
            return;
        }
        let tried = (|| {
            if !self.database.is_writable() {
                let found = self.database.reopen(Check::Everything).map_err(|(fault, _)| fault)?;
                self.take(found);
            }
            let revision = self.feed.newest();
            self.database.begin().and_then(|writing| commit(writing, revision))
        })();
        match tried {
            Ok(()) => {
                self.trouble.end();
                tracing::info!("the disk takes writes again");
            }
            Err(fault) => {
                if let Err(error) = self.settle(&fault, None) {
                    self.trouble.begin(&error);
                }
            }
        }
    }

    /// After a read that failed nothing can be read before the file is opened anew.
    fn reopen_if_failed(&mut self) {
        if !self.database.has_failed() {
            return;
        }
        match self.database.reopen(Check::Everything) {
            Ok(found) => self.take(found),
            Err((fault, found)) => {
                tracing::error!(?fault, "the data file could not be opened anew after a failed read");
                found.into_iter().for_each(|found| self.take(found));
                self.trouble.begin(&fault.into());
            }
        }
    }

    fn fold_if_due(&mut self) {
        if self.trouble.is_there() || !self.history.wants_fold() {
            return;
        }
        match self.database.cut() {
            Ok(cut) => self.history.fold(cut),
            Err(fault) => tracing::warn!(?fault, "could not read everything for a snapshot"),
        }
    }
}

fn commit(writing: Writing, revision: Revision) -> Result<(), Fault> {
    guarded(|| writing.commit(revision))
}
