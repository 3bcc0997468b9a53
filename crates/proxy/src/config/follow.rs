//! Follows the store: everything is loaded at one revision, then each transaction becomes one new snapshot, swapped in as a whole.
//!
//! Building may take a while, so it runs beside the runtime's own threads. Requests load the snapshot each time, which makes a swap the moment
//! when a revision is in force on every worker.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle, JoinSet, spawn_blocking};
use tokio_util::sync::{CancellationToken, DropGuard};
use usher_model::kind::{Key, PREFIX};
use usher_model::seal::Keyring;
use usher_pipeline::cause::Causes;
use usher_pipeline::env::{Metadata, Process};
use usher_pipeline::front::Front;
use usher_pipeline::registry::Registry;
use usher_store::{Batch, Listing, Revision, Store, StoreError, WatchError};

use super::secrets::{Outcome, Secrets};
use super::shared::Parts;
use super::ssl::{Common, expiry};
use super::traffic::AllTraffic;
use super::workshop::{Certificates, Tools, Workshop};
use super::{Keeper, Shared, Snapshot};
use crate::StartError;
use crate::options::Options;

/// How long is waited between two attempts to list a store that can't be read, at first and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// How long a start waits for secrets that are kept elsewhere.
const SECRETS_WITHIN: Duration = Duration::from_secs(5);

/// The task that follows the store. Dropped, it stops too.
pub(crate) struct Follower {
    stop: DropGuard,
    task: JoinHandle<()>,
}

impl Follower {
    /// Stops following; what is in force stays.
    pub(crate) async fn stop(self) {
        drop(self.stop);
        // A task that panicked has stopped too, and said so in the log.
        let _ = self.task.await;
    }
}

/// Loads the configuration, and follows it from then on.
///
/// # Errors
/// The store can't be read.
pub(crate) async fn start(
    options: &Options,
    registry: Arc<Registry>,
    process: Arc<Process>,
    store: Arc<dyn Store>,
    keyring: Arc<Keyring>,
    keeper: Arc<Keeper>,
) -> Result<(Arc<Shared>, Follower), StartError> {
    let own: Arc<[_]> = options.forbidden.as_slice().into();
    let workers = options.workers.max(1);
    let traffic = Arc::new(AllTraffic::new(workers));
    let front = Front::of(&process);
    let causes = process.permanent(Causes::KEY, Causes::default);
    let tools = Tools {
        registry: Arc::clone(&registry),
        process,
        keyring,
        own: Arc::clone(&own),
        router: options.router,
        secrets: Secrets::default(),
        metadata: Metadata::default(),
        certificates: Certificates::default(),
        keeper,
        tls: Common::new(&options.tls, options.http2),
    };
    let mut workshop = Box::new(Workshop::new(tools, Arc::clone(&traffic)));
    let listing = list(&*store).await?;
    let mut snapshot = workshop.replace(&listing);
    let revision = listing.revision;
    note_entries(&front, &listing);
    drop(listing);
    let mut look_ups = LookUps { running: JoinSet::new(), own: Arc::clone(&own) };
    // Nobody is served by objects that wait for secrets, so that it is better to wait a little.
    let patience = tokio::time::Instant::now() + SECRETS_WITHIN;
    while look_ups.start(&mut workshop) {
        match tokio::time::timeout_at(patience, look_ups.next()).await {
            Ok(outcomes) => snapshot = workshop.take_secrets(outcomes, revision),
            Err(_) => break,
        }
    }
    tracing::info!(revision, problems = snapshot.problems().len(), "loaded the configuration");
    let snapshot = Arc::new(ArcSwap::from_pointee(snapshot));
    let (in_force, seen) = watch::channel(revision);
    let shared = Shared::new(Parts {
        snapshot: Arc::clone(&snapshot),
        in_force: seen,
        traffic,
        workers,
        registry,
        own,
        front: Arc::clone(&front),
        causes,
    });
    let stop = CancellationToken::new();
    let following = Following { store, snapshot, in_force, look_ups, front };
    let task = tokio::spawn({
        let stop = stop.clone();
        async move {
            // The channel closes with `following`, so that nobody waits for revisions that will never be in force.
            stop.run_until_cancelled(following.follow(workshop, revision)).await;
        }
    });
    Ok((Arc::new(shared), Follower { stop: stop.drop_guard(), task }))
}

async fn list(store: &dyn Store) -> Result<Listing, StoreError> {
    store.list(&format!("{PREFIX}/")).await
}

/// Tells metrics at which revisions objects were changed.
fn note<'a>(front: &Front, changes: impl Iterator<Item = (&'a str, Revision)>) {
    for (key, revision) in changes {
        let path = key.strip_prefix(PREFIX).and_then(|path| path.strip_prefix('/'));
        if let Some(key) = path.and_then(Key::parse) {
            front.note_change(key.kind, revision);
        }
    }
}

fn note_entries(front: &Front, listing: &Listing) {
    note(front, listing.entries.iter().map(|entry| (&*entry.key, entry.modified)));
}

/// Waits until then; for ever where nothing is due.
async fn due(at: Option<tokio::time::Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

struct Following {
    store: Arc<dyn Store>,
    snapshot: Arc<ArcSwap<Snapshot>>,
    in_force: watch::Sender<u64>,
    look_ups: LookUps,
    front: Arc<Front>,
}

/// Secrets that are being looked up. Dropped, they end.
struct LookUps {
    running: JoinSet<Outcome>,
    own: Arc<[SocketAddr]>,
}

impl LookUps {
    /// Starts those that are due. `false`: none is under way.
    fn start(&mut self, workshop: &mut Workshop) -> bool {
        for job in workshop.jobs() {
            self.running.spawn(job.run(Arc::clone(&self.own)));
        }
        !self.running.is_empty()
    }

    /// What has come of some; waits as long as none has. May be dropped while it waits.
    async fn next(&mut self) -> Vec<Outcome> {
        let first = match self.running.join_next().await {
            Some(first) => first,
            None => std::future::pending().await,
        };
        let others = std::iter::from_fn(|| self.running.try_join_next());
        // Those that were cut are nobody's business any more.
        std::iter::once(first).chain(others).filter_map(Result::ok).collect()
    }
}

/// What the follower woke up for.
enum Woken {
    Store(Result<Batch, WatchError>),
    Secrets(Vec<Outcome>),
    Due,
}

impl Following {
    /// Follows every transaction of the store, also those that touch no resource: they come into force too, and somebody may wait for them.
    async fn follow(mut self, mut workshop: Box<Workshop>, mut revision: Revision) {
        let mut watch = self.store.watch("", revision + 1);
        let mut looks = tokio::time::interval(expiry::EVERY);
        let mut reminder = expiry::Reminder::default();
        loop {
            self.look_ups.start(&mut workshop);
            let next_jobs = workshop.next_jobs();
            let woken = tokio::select! {
                batch = watch.next() => Woken::Store(batch),
                outcomes = self.look_ups.next() => Woken::Secrets(outcomes),
                () = due(next_jobs) => Woken::Due,
                _ = looks.tick() => {
                    reminder.look(&self.front);
                    Woken::Due
                }
            };
            let built = match woken {
                Woken::Due => continue,
                Woken::Secrets(outcomes) => {
                    self.build(workshop, move |workshop| workshop.take_secrets(outcomes, revision)).await
                }
                Woken::Store(Ok(batch)) => {
                    let keys = batch.events.iter().map(|event| &*event.key);
                    note(&self.front, keys.map(|key| (key, batch.revision)));
                    self.build(workshop, move |workshop| workshop.apply(&batch)).await
                }
                Woken::Store(Err(WatchError::Compacted { oldest })) => {
                    tracing::info!(revision, oldest, "fell behind the store; listing it anew");
                    let listing = self.list().await;
                    note_entries(&self.front, &listing);
                    watch = self.store.watch("", listing.revision + 1);
                    self.build(workshop, move |workshop| workshop.replace(&listing)).await
                }
                Woken::Store(Err(WatchError::Closed)) => {
                    tracing::info!(revision, "the store was closed; what is in force stays");
                    return;
                }
            };
            match built {
                Ok((used, new)) => (workshop, revision) = (used, new),
                Err(error) => {
                    tracing::error!(
                        revision,
                        %error,
                        "building the configuration failed inside Usher; no change comes into force before a restart"
                    );
                    return;
                }
            }
        }
    }

    /// Builds a snapshot beside the runtime's own threads, and puts it in force.
    async fn build(
        &self,
        mut workshop: Box<Workshop>,
        work: impl FnOnce(&mut Workshop) -> Snapshot + Send + 'static,
    ) -> Result<(Box<Workshop>, Revision), JoinError> {
        let (workshop, snapshot) = spawn_blocking(move || {
            let snapshot = work(&mut workshop);
            (workshop, snapshot)
        })
        .await?;
        let revision = snapshot.revision();
        self.snapshot.store(Arc::new(snapshot));
        self.in_force.send_replace(revision);
        tracing::debug!(revision, "in force");
        Ok((workshop, revision))
    }

    /// Lists the store, however long it takes until it can be read; what is in force serves meanwhile.
    async fn list(&self) -> Listing {
        let (mut pause, longest) = PAUSES;
        loop {
            match list(&*self.store).await {
                Ok(listing) => return listing,
                Err(error) => tracing::warn!(%error, "could not list the store; trying again"),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(longest);
        }
    }
}

#[cfg(test)]
mod tests;
