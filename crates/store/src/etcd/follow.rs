//! Keeps one mirror up to date: finds out whether it is still true, reads everything where it isn't, and watches from there.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::Instant;

use super::fault::Fault;
use super::load::{Loaded, load};
use super::member::Member;
use super::members::Members;
use super::mirror::{Mirror, Place};
use super::names::Space;
use super::status::Status;
use super::watching::{self, Ended};
use super::wire::{self, RangeRequest};

/// How long is waited between two attempts, at first and at most. Half of it is drawn by lot, so that gateways don't come all at once.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));
/// A watch that lasted so long was a good one: the next attempt comes soon.
const LASTED: Duration = Duration::from_secs(1);
/// How often is looked whether a person confirmed what is held back, and how often it is read anew in between.
const ASK: (Duration, u32) = (Duration::from_millis(500), 20);
/// How long a single question may take.
const ANSWER: Duration = Duration::from_secs(3);

/// Follows one space.
pub(super) struct Follower {
    pub(super) members: Arc<Members>,
    pub(super) mirror: Arc<Mirror>,
    pub(super) status: Arc<Status>,
    /// The key that this process writes with each of its transactions.
    pub(super) marker: Vec<u8>,
    /// The revision at which something was first held back.
    pub(super) held_at: Option<u64>,
    /// Since when the newest watch is open.
    pub(super) watching: Option<Instant>,
}

impl Follower {
    /// Follows until it is dropped.
    pub(super) async fn run(mut self) {
        let mut pause = PAUSES.0;
        let mut said = String::new();
        loop {
            let Err(fault) = self.follow().await;
            if self.watching.take().is_some_and(|since| since.elapsed() > LASTED) {
                pause = PAUSES.0;
            }
            if said != fault.text() {
                said = fault.text().to_owned();
                tracing::info!(
                    space = self.mirror.space.prefix(),
                    reason = said,
                    "the watch of etcd begins anew"
                );
            }
            let mut found = self.members.found();
            tokio::time::sleep(PAUSES.0.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
            let rest = pause.saturating_sub(PAUSES.0).mul_f64(0.5 + fastrand::f64() / 2.0);
            tokio::select! {
                () = tokio::time::sleep(rest) => {}
                // A write, or the other watch, found a member.
                _ = found.changed() => {}
            }
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    fn leads(&self) -> bool {
        self.mirror.space == Space::Resources
    }

    /// Follows until it fails.
    fn follow(&mut self) -> BoxFuture<'_, Result<std::convert::Infallible, Fault>> {
        Box::pin(async move {
            let found = self.members.get().await;
            let member = found.inspect_err(|fault| {
                if self.leads() {
                    self.status.away(fault.text());
                }
            })?;
            if self.leads() {
                self.status.reading();
            }
            let still_true = match self.mirror.place() {
                Some(place) => self.continues(&member, &place).await?,
                None => false,
            };
            if !still_true {
                self.read_anew(&member).await?;
            }
            if self.leads() {
                self.status.hold(None);
                self.status.here();
            }
            loop {
                self.watching = Some(Instant::now());
                match watching::watch(&member, &self.members.names, &self.mirror, &self.marker).await {
                    Ended::Compacted => {
                        tracing::info!(
                            space = self.mirror.space.prefix(),
                            "etcd was compacted; reading anew"
                        );
                        self.read_anew(&member).await?;
                    }
                    Ended::Failed(fault) => return Err(fault),
                }
            }
        })
    }

    /// Whether etcd's history still holds the place of the mirror: it is the same cluster, it wasn't taken back behind that place, and
    /// nothing else happened there.
    async fn continues(&self, member: &Arc<Member>, place: &Place) -> Result<bool, Fault> {
        let names = &self.members.names;
        let key = match &place.witness {
            Some(witness) => names.in_etcd(self.mirror.space, &witness.key),
            None => names.hidden("probe"),
        };
        let revision = i64::try_from(place.revision).unwrap_or_default();
        let question = RangeRequest { revision, keys_only: true, ..wire::one(key) };
        let answer = match member.range(question, ANSWER).await {
            Ok(answer) => answer,
            // Then a watch from there has nothing to begin with either.
            Err(fault) if fault.is_compacted() => return Ok(false),
            Err(fault @ Fault::Refused(tonic::Code::OutOfRange, _)) => {
                tracing::warn!(revision, reason = fault.text(), "etcd went back; reading anew");
                return Ok(false);
            }
            Err(fault) => return Err(self.failed(member, fault)),
        };
        if answer.header.is_some_and(|header| header.cluster_id != place.cluster) {
            tracing::warn!(revision, "this is another cluster of etcd than before; reading anew");
            return Ok(false);
        }
        let found = answer.kvs.first().map(|found| found.mod_revision.unsigned_abs());
        let expected = place.witness.as_ref().map(|witness| witness.modified);
        if expected.is_some_and(|expected| expected != found) {
            tracing::warn!(revision, "etcd's history is another one than before; reading anew");
            return Ok(false);
        }
        Ok(true)
    }

    /// Reads everything, and puts what differs in force; holds it back where most would go, until a person confirms it.
    async fn read_anew(&mut self, member: &Arc<Member>) -> Result<(), Fault> {
        let mut loaded = self.load(member).await?;
        let mut confirmed = false;
        loop {
            let revision = loaded.revision;
            let missing = std::mem::take(&mut loaded.marks_missing);
            let Err(reason) = self.mirror.replace(loaded, confirmed) else {
                tracing::info!(space = self.mirror.space.prefix(), revision, "read everything from etcd");
                if self.leads() {
                    self.status.hold(None);
                    self.held_at = None;
                    self.put_marks(member, missing).await;
                }
                return Ok(());
            };
            let held_at = self.held_at.map_or(revision, |at| at.min(revision));
            self.held_at = Some(held_at);
            self.status.hold(Some(reason));
            self.status.here();
            confirmed = self.wait_for_consent(member, held_at).await?;
            loaded = self.load(member).await?;
        }
    }

    async fn load(&self, member: &Arc<Member>) -> Result<Loaded, Fault> {
        let loaded = load(member, &self.members.names, self.mirror.space).await;
        loaded.map_err(|fault| {
            if self.leads() {
                self.status.away(fault.text());
            }
            self.failed(member, fault)
        })
    }

    /// Waits until a person says yes, or for some time.
    async fn wait_for_consent(&self, member: &Arc<Member>, held_at: u64) -> Result<bool, Fault> {
        for _ in 0..ASK.1 {
            tokio::time::sleep(ASK.0).await;
            let question = wire::one(self.members.names.hidden("accept"));
            let answer = member.range(question, ANSWER).await;
            let answer = answer.map_err(|fault| self.failed(member, fault))?;
            if answer.kvs.first().is_some_and(|found| found.mod_revision.unsigned_abs() > held_at) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// APISIX's marks, where they are missing. It is no failure where they can't be written: who only reads needs none.
    async fn put_marks(&self, member: &Arc<Member>, missing: Vec<Vec<u8>>) {
        if missing.is_empty() {
            return;
        }
        let compare = missing.iter().map(|mark| wire::is_there(mark.clone(), false)).collect();
        let success = missing.into_iter().map(|mark| wire::put(mark, b"init_dir".to_vec(), 0)).collect();
        let request = wire::TxnRequest { compare, success, failure: Vec::new() };
        if let Err(fault) = member.transact(request, ANSWER).await {
            tracing::debug!(reason = fault.text(), "could not write APISIX's marks of folders");
        }
    }

    /// A member that doesn't answer is given up; the next attempt finds another.
    fn failed(&self, member: &Arc<Member>, fault: Fault) -> Fault {
        if !matches!(fault, Fault::Refused(..)) {
            member.fail(fault.text());
        }
        fault
    }
}
