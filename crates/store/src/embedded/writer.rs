//! The one thread that commits. What waits in the queue is committed together: one sync for many, each with its own revision.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use tokio::sync::oneshot;

use super::database::{Database, Fault, Writing};
use super::history::History;
use crate::feed::Feed;
use crate::{Batch, Committed, Entry, Event, Revision, StoreError, Transaction, Write};

/// Transactions that share one sync at most.
const TOGETHER: usize = 64;

/// How soon the change log is synced behind a commit.
const SYNC_EVERY: Duration = Duration::from_secs(1);

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
}

impl Writer {
    /// Commits until the queue is closed and empty.
    pub(super) fn run(mut self) {
        loop {
            match self.jobs.recv_timeout(SYNC_EVERY) {
                Ok(first) => {
                    let mut jobs = vec![first];
                    while jobs.len() < TOGETHER
                        && let Ok(next) = self.jobs.try_recv()
                    {
                        jobs.push(next);
                    }
                    self.commit(jobs);
                    self.fold_if_due();
                }
                Err(RecvTimeoutError::Timeout) => {
                    self.history.sync();
                    self.fold_if_due();
                }
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.history.sync();
        self.history.finish_fold();
    }

    fn commit(&mut self, jobs: Vec<Job>) {
        let (transactions, answers): (Vec<_>, Vec<_>) =
            jobs.into_iter().map(|job| (job.transaction, job.answer)).unzip();
        let before = self.feed.newest();
        match write(&self.database, before, transactions) {
            Ok((outcomes, batches)) => {
                self.history.append(&batches);
                for batch in batches {
                    self.feed.publish(batch);
                }
                for (answer, outcome) in answers.into_iter().zip(outcomes) {
                    // Whoever asked may have gone away; the commit stands all the same.
                    let _ = answer.send(outcome);
                }
            }
            Err(fault) => {
                tracing::error!(?fault, "a commit failed; the data file is opened anew");
                let error = StoreError::from(fault);
                self.reopen(before);
                for answer in answers {
                    let _ = answer.send(Err(error.clone()));
                }
            }
        }
    }

    /// After an error of the disk nothing in memory is trusted: the file is read again before the next write.
    fn reopen(&self, before: Revision) {
        match self.database.reopen() {
            // The failed commit may have reached the disk after all; watchers then have to list anew.
            Ok(revision) if revision != before => self.feed.restart(revision),
            Ok(_) => {}
            Err(fault) => {
                tracing::error!(?fault, "the data file could not be opened anew; the next write tries again")
            }
        }
    }

    fn fold_if_due(&mut self) {
        if !self.history.wants_fold() {
            return;
        }
        match self.database.page("", None, usize::MAX, false) {
            Ok(listing) => self.history.fold(listing.revision, listing.entries),
            Err(error) => tracing::warn!(%error, "could not read everything for a snapshot"),
        }
    }
}

type Outcomes = (Vec<Result<Committed, StoreError>>, Vec<Batch>);

/// Applies several transactions, each all or nothing, and commits them as one.
fn write(database: &Database, before: Revision, transactions: Vec<Transaction>) -> Result<Outcomes, Fault> {
    let writing = match database.begin() {
        Ok(writing) => writing,
        // A file that could not be opened anew is tried again here.
        Err(_) => {
            database.reopen()?;
            database.begin()?
        }
    };
    let mut revision = before;
    let (mut outcomes, mut batches) = (Vec::new(), Vec::new());
    for transaction in transactions {
        if let Err(error) = check(&writing, revision, &transaction)? {
            outcomes.push(Err(error));
            continue;
        }
        revision += 1;
        batches.push(apply(&writing, revision, transaction)?);
        outcomes.push(Ok(Committed { revision }));
    }
    if batches.is_empty() {
        writing.abort();
    } else {
        writing.commit(revision)?;
    }
    Ok((outcomes, batches))
}

fn check(
    writing: &Writing,
    newest: Revision,
    transaction: &Transaction,
) -> Result<Result<(), StoreError>, Fault> {
    if let Err(error) = transaction.check_revision(newest) {
        return Ok(Err(error));
    }
    for (key, compare) in &transaction.compare {
        if let Err(error) = compare.check(key, writing.get(key)?.as_ref()) {
            return Ok(Err(error));
        }
    }
    Ok(Ok(()))
}

fn apply(writing: &Writing, revision: Revision, transaction: Transaction) -> Result<Batch, Fault> {
    let mut events: Vec<Event> = Vec::with_capacity(transaction.writes.len());
    for write in transaction.writes {
        let (key, value) = match write {
            Write::Put { key, value } => (Arc::<str>::from(key), Some(value)),
            Write::Delete { key } => (Arc::<str>::from(key), None),
        };
        let before = writing.get(&key)?;
        let after = value.map(|value| Entry {
            key: Arc::clone(&key),
            value,
            created: before.as_ref().map_or(revision, |before| before.created),
            modified: revision,
        });
        match &after {
            Some(entry) => writing.put(entry)?,
            None if before.is_some() => writing.delete(&key)?,
            None => continue,
        }
        events.push(Event { key, before, after });
    }
    Ok(Batch { revision, events })
}
