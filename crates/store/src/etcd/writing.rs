//! Writes: one etcd transaction each, and never a doubt about it that can be resolved.
//!
//! Each transaction of this process also writes the process's marker, and compares the revision that last did. So a transaction whose answer
//! got lost is settled by a second one on the same marker: either that one wins, and the lost one can't be done any more, or it finds what the
//! lost one wrote. etcd has no other way to tell, and repeating blindly would be a second write.

mod request;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, timeout, timeout_at};
use tonic::Code;

use super::fault::Fault;
use super::member::Member;
use super::members::Members;
use super::mirror::Mirror;
use super::names::Space;
use super::status::Status;
use super::wire::{self, KeyValue, PutRequest, TxnRequest};
use crate::{Committed, StoreError, Transaction};
use request::Prepared;

pub(super) use request::{MOST_BYTES, MOST_WRITES};

/// The marker ends by itself some time after its process.
const MARKER_TTL_SECS: i64 = 3600;
/// Its lease is replaced long before that.
const RENEW: Duration = Duration::from_secs(1200);
/// How long a finished write waits for the watch, before and after the connection is renewed for it.
const SEEN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(5));

/// The writes of this process.
#[derive(Debug)]
pub(super) struct Writing {
    pub(super) members: Arc<Members>,
    pub(super) resources: Arc<Mirror>,
    pub(super) own: Arc<Mirror>,
    pub(super) status: Arc<Status>,
    pub(super) timeout: Duration,
    pub(super) key: Vec<u8>,
    pub(super) marker: Mutex<Marker>,
}

/// What is known of the marker. One write at a time: the next compares what this one wrote.
#[derive(Debug, Default)]
pub(super) struct Marker {
    /// The revision that last wrote it; `None` where that isn't known.
    revision: Option<i64>,
    lease: Option<(i64, Instant)>,
    turn: u64,
}

impl Marker {
    /// What no other write of this process writes into it.
    fn turn(&mut self) -> Vec<u8> {
        self.turn += 1;
        self.turn.to_string().into_bytes()
    }
}

/// How a try ended without an answer of etcd's for the caller.
enum Again {
    /// Nothing was done; the same may be tried again.
    Retry(String),
    Failed(StoreError),
}

impl Writing {
    pub(super) async fn commit(&self, transaction: Transaction) -> Result<Committed, StoreError> {
        let prepared = Prepared::new(&self.members.names, transaction)?;
        if let Some(held) = self.status.held() {
            return Err(StoreError::Unavailable(format!("nothing is written meanwhile: {held}")));
        }
        let deadline = Instant::now() + self.timeout;
        let mut marker = timeout_at(deadline, self.marker.lock()).await.map_err(|_| StoreError::Busy)?;
        let revision = self.write(&mut marker, &prepared, deadline).await?;
        drop(marker);
        self.seen(revision, prepared.own).await?;
        Ok(Committed { revision })
    }

    async fn member(&self, deadline: Instant) -> Result<Arc<Member>, Fault> {
        match timeout_at(deadline, self.members.get()).await {
            Ok(found) => found,
            Err(_) => Err(Fault::Away(
                self.status.health().away.unwrap_or_else(|| "no member answered in time".to_owned()),
            )),
        }
    }

    async fn write(
        &self,
        marker: &mut Marker,
        prepared: &Prepared,
        deadline: Instant,
    ) -> Result<u64, StoreError> {
        let mut said = "no member answered in time".to_owned();
        let mut pause = Duration::from_millis(20);
        while Instant::now() < deadline {
            let member = self.member(deadline).await?;
            match self.try_once(&member, marker, prepared, deadline).await {
                Ok(revision) => return Ok(revision),
                Err(Again::Failed(error)) => return Err(error),
                Err(Again::Retry(reason)) => said = reason,
            }
            tokio::time::sleep_until(deadline.min(Instant::now() + pause)).await;
            pause *= 2;
        }
        Err(StoreError::Unavailable(format!("etcd: {said}")))
    }

    async fn try_once(
        &self,
        member: &Member,
        marker: &mut Marker,
        prepared: &Prepared,
        deadline: Instant,
    ) -> Result<u64, Again> {
        // Half of what is left: the other half is for settling what became of it.
        let within = || deadline.saturating_duration_since(Instant::now()) / 2;
        let unsent = |fault: Fault| match fault {
            Fault::Refused(Code::NotFound, text) => Again::Retry(text),
            Fault::Refused(..) => Again::Failed(fault.of_write()),
            Fault::Away(text) | Fault::Lost(text) => {
                member.fail(&text);
                Again::Retry(text)
            }
        };
        let lease = match marker.lease.filter(|(_, granted)| granted.elapsed() < RENEW) {
            Some((lease, _)) => lease,
            None => {
                let lease = member.grant(MARKER_TTL_SECS, within()).await.map_err(unsent)?;
                marker.lease = Some((lease, Instant::now()));
                lease
            }
        };
        let last = match marker.revision {
            Some(revision) => revision,
            None => {
                let put = PutRequest { key: self.key.clone(), value: marker.turn(), lease };
                let put = member.put(put, within()).await;
                if matches!(put, Err(Fault::Refused(Code::NotFound, _))) {
                    marker.lease = None;
                }
                let revision = put.map_err(unsent)?.header.unwrap_or_default().revision;
                marker.revision = Some(revision);
                revision
            }
        };
        let mut leases = Vec::new();
        for secs in prepared.lives() {
            let lease =
                member.grant(i64::try_from(*secs).unwrap_or(i64::MAX), within()).await.map_err(unsent)?;
            leases.push((*secs, lease));
        }
        let turn = marker.turn();
        let mut request = prepared.request(&leases);
        request.compare.push(wire::modified_at(self.key.clone(), last));
        request.success.push(wire::put(self.key.clone(), turn.clone(), lease));
        request.failure.push(wire::read(wire::one(self.key.clone())));
        prepared.check_whole(&request).map_err(Again::Failed)?;
        let outcome = match member.transact(request, within()).await {
            Ok(answer) if answer.succeeded => {
                let revision = answer.header.unwrap_or_default().revision;
                marker.revision = Some(revision);
                return Ok(revision.unsigned_abs());
            }
            Ok(answer) => {
                let found = wire::found(answer.responses);
                marker.revision = found.iter().find(|one| one.key == self.key).map(|one| one.mod_revision);
                match prepared.conflict(&found) {
                    Some(conflict) => Err(Again::Failed(conflict)),
                    // Only the marker was another: a write of ours that was abandoned, or its end.
                    None => Err(Again::Retry("its marker was changed meanwhile".to_owned())),
                }
            }
            Err(Fault::Refused(Code::NotFound, text)) => {
                // The lease ended, or the cluster is another.
                marker.lease = None;
                Err(Again::Retry(text))
            }
            Err(fault @ Fault::Refused(..)) => Err(Again::Failed(fault.of_write())),
            Err(Fault::Away(text)) => {
                member.fail(&text);
                Err(Again::Retry(text))
            }
            Err(Fault::Lost(text)) => {
                member.fail(&text);
                let settled = self.settle(marker, &turn, last, lease, deadline, &text).await;
                settled.map_err(Again::Failed)
            }
        };
        // What isn't known may be there; then its end has to stay.
        if matches!(&outcome, Err(again) if !matches!(again, Again::Failed(StoreError::Unknown(_)))) {
            for (_, lease) in leases {
                // Where this fails too, the lease ends by itself.
                let _ = member.revoke(lease, within()).await;
            }
        }
        outcome
    }

    /// Finds out what became of a transaction, and makes sure that nothing becomes of it later.
    async fn settle(
        &self,
        marker: &mut Marker,
        turn: &[u8],
        last: i64,
        lease: i64,
        deadline: Instant,
        reason: &str,
    ) -> Result<u64, StoreError> {
        // Until it is settled, nothing is known of the marker. A plain write of it would settle the matter for the next one.
        marker.revision = None;
        let mut fences = Vec::new();
        while Instant::now() < deadline {
            let Ok(member) = self.member(deadline).await else { break };
            let within = deadline.saturating_duration_since(Instant::now());
            let fence = marker.turn();
            fences.push(fence.clone());
            let request = TxnRequest {
                compare: vec![wire::modified_at(self.key.clone(), last)],
                success: vec![wire::put(self.key.clone(), fence, lease)],
                failure: vec![wire::read(wire::one(self.key.clone()))],
            };
            match member.transact(request, within).await {
                Ok(answer) if answer.succeeded => {
                    marker.revision = answer.header.map(|header| header.revision);
                    return Err(not_written(reason));
                }
                Ok(answer) => {
                    let Some(KeyValue { value, mod_revision, .. }) = wire::found(answer.responses).pop()
                    else {
                        break;
                    };
                    marker.revision = Some(mod_revision);
                    if value == turn {
                        return Ok(mod_revision.unsigned_abs());
                    }
                    if fences.contains(&value) {
                        return Err(not_written(reason));
                    }
                    break;
                }
                Err(Fault::Refused(..)) => break,
                Err(Fault::Away(text) | Fault::Lost(text)) => {
                    member.fail(&text);
                    tokio::time::sleep_until(deadline.min(Instant::now() + Duration::from_millis(50))).await;
                }
            }
        }
        Err(StoreError::Unknown(format!("etcd did not answer ({reason})")))
    }

    /// Waits until the mirrors show a write that was done.
    async fn seen(&self, revision: u64, own: bool) -> Result<(), StoreError> {
        let shown = || async {
            self.resources.feed.reached(revision).await;
            if own && self.own.place().is_some() {
                self.own.feed.reached(revision).await;
            }
        };
        if timeout(SEEN.0, shown()).await.is_ok() {
            return Ok(());
        }
        // The watch may hang where the write didn't.
        self.members.renew("a write is done, but its watch is silent").await;
        timeout(SEEN.1, shown()).await.map_err(|_| {
            StoreError::Unknown(format!("it was written at revision {revision}, but not read back in time"))
        })
    }

    /// Writes the key that confirms what is held back, here and on every gateway that holds it.
    pub(super) async fn accept(&self) -> Result<(), StoreError> {
        if self.status.held().is_none() {
            return Ok(());
        }
        let deadline = Instant::now() + self.timeout;
        let member = self.member(deadline).await?;
        let key = self.members.names.hidden("accept");
        let put = PutRequest { key, value: b"yes".to_vec(), lease: 0 };
        let done = member.put(put, deadline.saturating_duration_since(Instant::now())).await;
        done.map(drop).map_err(Fault::of_write)
    }
}

fn not_written(reason: &str) -> StoreError {
    StoreError::Unavailable(format!("etcd did not answer ({reason}); the change was not written"))
}

/// Whether a transaction touches our own keys.
fn touches_own(transaction: &Transaction) -> bool {
    transaction.writes.iter().any(|write| Space::of(write.key()) == Some(Space::Own))
}
