//! Reads that only etcd can answer: the journal, the audit and whatever else is ours and isn't mirrored with its values.
//!
//! They are linearizable, so they see every write that returned before. A member that doesn't answer is left for another, within one limit of
//! time for all of it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::fault::Fault;
use super::load::{entry, read};
use super::member::Member;
use super::members::Members;
use super::mirror::Mirror;
use super::names::Space;
use super::wire::{self, RangeRequest, RangeResponse, TxnRequest};
use crate::sorted::{self, Sorted};
use crate::{Entry, Listing, StoreError};

/// Values that are asked for at once where their keys are known. With etcd's largest, they fill an answer.
const TOGETHER: usize = 16;
/// Keys of a page at most, where the caller sets no bound.
const MOST_KEYS: usize = 10_000;
/// How long a whole list may take.
pub(super) const WHOLE: Duration = Duration::from_secs(60);

/// What reads need.
#[derive(Clone, Debug)]
pub(super) struct Reading {
    pub(super) members: Arc<Members>,
    pub(super) own: Arc<Mirror>,
    pub(super) timeout: Duration,
}

impl Reading {
    /// Asks a member, and another where it doesn't answer.
    pub(super) async fn ask<T, F: Future<Output = Result<T, Fault>> + Send>(
        &self,
        whole: Duration,
        work: impl Fn(Arc<Member>) -> F + Send,
    ) -> Result<T, StoreError> {
        let begin = Instant::now();
        let mut said = "no member answered in time".to_owned();
        // A first answer has to come soon; only what takes many may take longer.
        while begin.elapsed() < self.timeout {
            let Ok(found) = timeout_at(begin + self.timeout, self.members.get()).await else { break };
            let member = found?;
            let answer = timeout_at(begin + whole, work(Arc::clone(&member))).await;
            match answer.unwrap_or_else(|_| Err(Fault::Lost("it did not answer in time".to_owned()))) {
                Ok(answer) => return Ok(answer),
                Err(fault @ Fault::Refused(..)) => return Err(fault.into()),
                Err(Fault::Away(text) | Fault::Lost(text)) => {
                    member.fail(&text);
                    said = text;
                }
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Err(StoreError::Unavailable(format!("etcd: {said}")))
    }

    async fn range(&self, question: RangeRequest) -> Result<RangeResponse, StoreError> {
        let (question, within) = (&question, self.timeout / 2);
        self.ask(self.timeout, |member| async move { member.range(question.clone(), within).await }).await
    }

    /// What is under one of our own keys.
    pub(super) async fn get(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        let question = wire::one(self.members.names.in_etcd(Space::Own, key));
        let answer = self.range(question).await?;
        Ok(answer.kvs.into_iter().next().map(|found| entry(key.into(), found)))
    }

    /// Everything below a prefix as of one revision, in both spaces where it reaches into both.
    pub(super) async fn list(&self, prefix: &str) -> Result<Listing, StoreError> {
        let names = &self.members.names;
        self.ask(WHOLE, |member| async move {
            // A compaction may fall between two pages.
            for _ in 0..5 {
                let both = async {
                    let mut listing = Listing::default();
                    for space in
                        [Space::Resources, Space::Own].into_iter().filter(|space| space.meets(prefix))
                    {
                        let as_of = i64::try_from(listing.revision).unwrap_or_default();
                        let (revision, entries) = read(&member, names, space, prefix, as_of).await?;
                        listing.revision = listing.revision.max(revision);
                        listing.entries.extend(entries);
                    }
                    Ok::<_, Fault>(listing)
                };
                match both.await {
                    Err(fault) if fault.is_compacted() => {}
                    done => return done,
                }
            }
            Err(Fault::Lost("it was compacted each time before it was read to its end".to_owned()))
        })
        .await
    }

    /// A page of what [`Reading::list`] gives.
    pub(super) async fn page(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        reverse: bool,
    ) -> Result<Listing, StoreError> {
        if Space::Resources.meets(prefix) || limit > MOST_KEYS {
            // Both spaces: nobody pages through everything, so it is simply read.
            let whole = self.list(prefix).await?;
            let sorted: Sorted =
                whole.entries.into_iter().map(|entry| (Arc::clone(&entry.key), entry)).collect();
            let entries = sorted::page(&sorted, prefix, after, limit, reverse);
            return Ok(Listing { revision: whole.revision, entries });
        }
        if reverse && self.own.place().is_some() {
            return self.backwards(prefix, after, limit).await;
        }
        self.straight(prefix, after, limit, reverse).await
    }

    /// A page in the order that etcd itself has.
    async fn straight(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        reverse: bool,
    ) -> Result<Listing, StoreError> {
        let names = &self.members.names;
        let first = names.in_etcd(Space::Own, prefix);
        let mut question = RangeRequest {
            range_end: wire::behind(&first),
            key: first,
            limit: i64::try_from(limit).unwrap_or(i64::MAX),
            sort_order: if reverse { wire::range_request::SortOrder::Descend.into() } else { 0 },
            ..RangeRequest::default()
        };
        if let Some(after) = after.filter(|after| after.starts_with(prefix)) {
            let mut after = names.in_etcd(Space::Own, after);
            if reverse {
                question.range_end = after;
            } else {
                after.push(0);
                question.key = after;
            }
        }
        let answer = self.range(question).await?;
        let revision = answer.header.map_or(0, |header| header.revision.unsigned_abs());
        let named = answer
            .kvs
            .into_iter()
            .filter_map(|found| Some(entry(names.of_etcd(Space::Own, &found.key)?, found)));
        Ok(Listing { revision, entries: named.collect() })
    }

    /// A page from the end. etcd would read all of the prefix for it; the mirror knows the keys, so that only their values are asked for. Those
    /// are etcd's newest, which may be newer than the page says.
    async fn backwards(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Listing, StoreError> {
        let names = &self.members.names;
        let within = self.timeout / 2;
        self.ask(WHOLE, |member| async move {
            let mut page = self.own.page(prefix, after, limit, true);
            let mut entries = Vec::with_capacity(page.entries.len());
            for some in page.entries.chunks(TOGETHER) {
                let question = |entry: &Entry| wire::read(wire::one(names.in_etcd(Space::Own, &entry.key)));
                let request =
                    TxnRequest { success: some.iter().map(question).collect(), ..TxnRequest::default() };
                let found = wire::found(member.transact(request, within).await?.responses);
                // One that was deleted meanwhile is left out.
                entries.extend(found.into_iter().filter_map(|found| {
                    let key = names.of_etcd(Space::Own, &found.key)?;
                    Some(entry(key, found))
                }));
            }
            page.entries = entries;
            Ok(page)
        })
        .await
    }
}
