//! etcd as the store: many gateways, beside or after an APISIX, on its keys.
//!
//! Resources are mirrored: they are read from memory, also while etcd is away, and a snapshot on the disk lets a gateway start without it.
//! Two watches keep the mirrors up to date, one for the resources and one for Usher's own keys. Of those, only what requests wait for is kept
//! with its value (`/usher/head`, and what lies below `/usher/agents/`, `/usher/chat/`, `/usher/ends/`, `/usher/tokens/`, `/usher/users/`); the others are known by name, and read from etcd when they are asked for.
//! Writes go to etcd in one transaction each, and return once the mirrors show them.
//!
//! What is known is never given up for silence. It is read anew where etcd's history isn't the known one any more, and where that would take
//! most objects away, it waits for a person ([`crate::Health::held`]).

mod cut;
mod ends;
mod fault;
mod follow;
mod load;
mod member;
mod members;
mod mirror;
mod names;
mod options;
mod reading;
mod snapshots;
mod status;
mod tls;
mod watching;
mod wire;
mod writing;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt as _};
use tokio::time::{Instant, timeout_at};
use tokio_util::task::AbortOnDropHandle;

use crate::embedded::snapshots::Snapshots;
use crate::{
    Capabilities, Committed, Cut, Description, Entry, Health, Lease, Listing, Revision, Store, StoreError,
    Transaction, Watch,
};
use follow::Follower;
use members::Members;
use mirror::Mirror;
use names::Space;
pub use options::Options;
use reading::Reading;
use status::{Contact, Status};
use writing::{MOST_BYTES, MOST_WRITES, Writing};

/// How long opening waits for etcd where a snapshot is there to begin with.
const WITH_SNAPSHOT: Duration = Duration::from_secs(1);
/// How long opening waits for everything to be read, once a member answers.
const READ_ALL: Duration = Duration::from_secs(60);

/// The store.
#[derive(Debug)]
pub struct Etcd {
    place: String,
    resources: Arc<Mirror>,
    own: Arc<Mirror>,
    status: Arc<Status>,
    reading: Reading,
    writing: Writing,
    /// The watches and the writers of snapshots; they stop with the store.
    _tasks: Vec<AbortOnDropHandle<()>>,
}

impl Etcd {
    /// Begins to follow an etcd. Where it is away and a snapshot is there, the store begins with that, and [`Store::health`] says so.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] where the options can't be used, or no member can and no snapshot is there; [`StoreError::Folder`].
    pub async fn open(options: Options) -> Result<Self, StoreError> {
        let unusable = |reason| StoreError::Unavailable(format!("etcd: {reason}"));
        let members = Arc::new(Members::new(&options).map_err(unusable)?);
        let status = Arc::new(Status::new());
        let marker = members.names.hidden(&format!("writers/{}", uuid::Uuid::new_v4()));
        let mut tasks = Vec::new();
        let mirrors = [Space::Resources, Space::Own].map(|space| Arc::new(Mirror::new(space)));
        for mirror in &mirrors {
            if let Some(folder) = &options.snapshots {
                let folder = snapshots::folder_of(folder, mirror.space);
                let snapshots = begin(Arc::clone(mirror), folder).await?;
                tasks.push(AbortOnDropHandle::new(tokio::spawn(snapshots::keep(
                    Arc::clone(mirror),
                    snapshots,
                ))));
            }
            let follower = Follower {
                members: Arc::clone(&members),
                mirror: Arc::clone(mirror),
                status: Arc::clone(&status),
                marker: marker.clone(),
                held_at: None,
                watching: None,
            };
            tasks.push(AbortOnDropHandle::new(tokio::spawn(follower.run())));
        }
        let [resources, own] = mirrors;
        first_contact(&resources, &status, options.timeout).await?;
        Ok(Self {
            place: format!("{}{}", options.endpoints.join(","), options.prefix),
            reading: Reading {
                members: Arc::clone(&members),
                own: Arc::clone(&own),
                timeout: options.timeout,
            },
            writing: Writing {
                members,
                resources: Arc::clone(&resources),
                own: Arc::clone(&own),
                status: Arc::clone(&status),
                timeout: options.timeout,
                key: marker,
                marker: tokio::sync::Mutex::default(),
            },
            resources,
            own,
            status,
            _tasks: tasks,
        })
    }

    /// The mirror that can answer for all keys that begin with a prefix.
    fn mirror_of(&self, prefix: &str) -> Option<&Mirror> {
        let (resources, own) = (Space::Resources.meets(prefix), Space::Own.meets(prefix));
        if !own {
            return Some(&self.resources);
        }
        let kept = Space::Own.kept().iter().any(|kept| prefix.starts_with(kept));
        (!resources && kept && self.own.place().is_some()).then_some(&self.own)
    }
}

/// Fills a mirror from the newest snapshot of a folder.
async fn begin(mirror: Arc<Mirror>, folder: PathBuf) -> Result<Snapshots, StoreError> {
    let read = tokio::task::spawn_blocking(move || {
        let snapshots = Snapshots::open(&folder)?;
        // One that was written while fewer values were kept lacks some, and would be taken for the truth.
        let whole = |entries: &[Entry]| {
            let kept = |entry: &&Entry| mirror.space == Space::Own && Space::Own.keeps(&entry.key);
            entries.iter().filter(kept).all(|entry| !entry.value.is_empty())
        };
        let newest = snapshots::newest(&snapshots).filter(|(_, _, entries)| whole(entries));
        if let Some((cluster, revision, entries)) = newest {
            tracing::info!(revision, entries = entries.len(), folder = %folder.display(), "began with a snapshot of etcd");
            mirror.begin(cluster, revision, entries);
        }
        Ok(snapshots)
    });
    read.await.map_err(|error| StoreError::Unavailable(format!("reading the snapshots failed: {error}")))?
}

/// Waits until etcd's newest is known, or until it is clear that it isn't to be had.
async fn first_contact(resources: &Mirror, status: &Status, timeout: Duration) -> Result<(), StoreError> {
    let mut contact = status.contact();
    let known = resources.place().is_some();
    let mut deadline = Instant::now() + if known { WITH_SNAPSHOT } else { timeout };
    let longest = if known { deadline } else { deadline + READ_ALL };
    loop {
        let last = contact.borrow_and_update().clone();
        match &last {
            Contact::Known => return Ok(()),
            // All of it may be much.
            Contact::Reading => deadline = longest,
            Contact::Seeking(_) => {}
        }
        if timeout_at(deadline, contact.changed()).await.is_err() {
            return match last {
                _ if known => Ok(()),
                Contact::Seeking(reason) => Err(StoreError::Unavailable(format!(
                    "etcd: {reason}; Usher starts without etcd only once it has seen it, from the snapshot that it then keeps"
                ))),
                _ => Err(StoreError::Unavailable("etcd: it could not be read in time".to_owned())),
            };
        }
    }
}

impl Store for Etcd {
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Entry>, StoreError>> {
        async move {
            match Space::of(key) {
                None => Ok(None),
                Some(Space::Resources) => Ok(self.resources.get(key)),
                Some(Space::Own) if Space::Own.keeps(key) && self.own.place().is_some() => {
                    Ok(self.own.get(key))
                }
                Some(Space::Own) => self.reading.get(key).await,
            }
        }
        .boxed()
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Listing, StoreError>> {
        async move {
            match self.mirror_of(prefix) {
                Some(mirror) => Ok(mirror.page(prefix, None, usize::MAX, false)),
                None => self.reading.list(prefix).await,
            }
        }
        .boxed()
    }

    fn list_page<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
        reverse: bool,
    ) -> BoxFuture<'a, Result<Listing, StoreError>> {
        async move {
            match self.mirror_of(prefix) {
                Some(mirror) => Ok(mirror.page(prefix, after, limit, reverse)),
                None => self.reading.page(prefix, after, limit, reverse).await,
            }
        }
        .boxed()
    }

    fn leases(&self) -> BoxFuture<'_, Result<Vec<Lease>, StoreError>> {
        ends::leases(&self.reading, [&self.resources, &self.own], None).boxed()
    }

    fn leases_of<'a>(&'a self, keys: &'a [Arc<str>]) -> BoxFuture<'a, Result<Vec<Lease>, StoreError>> {
        ends::leases(&self.reading, [&self.resources, &self.own], Some(keys)).boxed()
    }

    fn cut(&self, below: &'static [&'static str]) -> BoxFuture<'_, Result<Cut, StoreError>> {
        cut::cut(self.reading.clone(), below).boxed()
    }

    fn commit(&self, transaction: Transaction) -> BoxFuture<'_, Result<Committed, StoreError>> {
        self.writing.commit(transaction).boxed()
    }

    fn watch(&self, prefix: &str, from: Revision) -> Watch {
        if Space::Resources.meets(prefix) || !Space::Own.meets(prefix) {
            self.resources.feed.watch(prefix, from)
        } else {
            self.own.feed.watch(prefix, from)
        }
    }

    fn revision(&self) -> Revision {
        self.resources.feed.newest()
    }

    fn describe(&self) -> Description {
        Description { kind: "etcd", place: Some(PathBuf::from(&self.place)), recovered: None }
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            alone: false,
            shared: true,
            most_writes: MOST_WRITES,
            most_bytes: MOST_BYTES,
            ..Capabilities::OWN
        }
    }

    fn health(&self) -> Health {
        self.status.health()
    }

    fn accept(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        self.writing.accept().boxed()
    }
}
