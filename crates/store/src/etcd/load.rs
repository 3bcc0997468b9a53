//! Reads a whole space, page by page, as of one revision.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tonic::Code;

use super::fault::Fault;
use super::member::Member;
use super::names::{Names, Space};
use super::wire::{self, KeyValue, RangeRequest, RangeResponse};
use crate::{Entry, Revision};

/// How long one page may take.
const PAGE: Duration = Duration::from_secs(10);
/// What a page should weigh, so that none is refused for its size and none holds up a member.
const PAGE_BYTES: usize = 2 << 20;
/// Keys of the first page, and of any at most.
const KEYS: (i64, i64) = (256, 16_384);

/// What a space held.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    /// Tells one cluster from another.
    pub(super) cluster: u64,
    pub(super) revision: Revision,
    /// In the order of their keys. Where a space keeps no value, it is empty.
    pub(super) entries: Vec<Entry>,
    /// The keys that have a lease, with it.
    pub(super) leased: Vec<(Arc<str>, i64)>,
    /// The marks of APISIX's that aren't there.
    pub(super) marks_missing: Vec<Vec<u8>>,
}

/// An entry, as everybody else sees it.
pub(super) fn entry(key: Arc<str>, found: KeyValue) -> Entry {
    Entry {
        key,
        value: Bytes::from(found.value),
        created: u64::try_from(found.create_revision).unwrap_or_default(),
        modified: u64::try_from(found.mod_revision).unwrap_or_default(),
    }
}

/// Reads a space.
///
/// # Errors
/// [`Fault`].
pub(super) async fn load(member: &Member, names: &Names, space: Space) -> Result<Loaded, Fault> {
    // A compaction may fall between two pages; then everything is read again, as of a newer revision.
    for _ in 0..5 {
        match load_once(member, names, space).await {
            Err(fault) if fault.is_compacted() => {
                tracing::info!("etcd was compacted while it was read; reading anew")
            }
            outcome => return outcome,
        }
    }
    Err(Fault::Lost("it was compacted each time before it was read to its end".to_owned()))
}

async fn load_once(member: &Member, names: &Names, space: Space) -> Result<Loaded, Fault> {
    let mut loaded = Loaded::default();
    let mut marks: Vec<Vec<u8>> = Vec::new();
    let (key, range_end) = names.range(space);
    let everything =
        RangeRequest { key, range_end, keys_only: space == Space::Own, ..RangeRequest::default() };
    let mut take = |found: KeyValue, loaded: &mut Loaded| match names.of_etcd(space, &found.key) {
        Some(key) => {
            if found.lease != 0 {
                loaded.leased.push((Arc::clone(&key), found.lease));
            }
            loaded.entries.push(entry(key, found));
        }
        None if found.key.ends_with(b"/") => marks.push(found.key),
        None => {}
    };
    pages(member, everything, &mut loaded, &mut take).await?;
    if space == Space::Own {
        for prefix in space.kept() {
            let key = names.in_etcd(space, prefix);
            let range_end = if prefix.ends_with('/') { wire::behind(&key) } else { Vec::new() };
            let kept = RangeRequest {
                key,
                range_end,
                revision: i64::try_from(loaded.revision).unwrap_or_default(),
                ..RangeRequest::default()
            };
            let mut fill = |found: KeyValue, loaded: &mut Loaded| {
                let Some(key) = names.of_etcd(space, &found.key) else { return };
                if let Ok(at) = loaded.entries.binary_search_by(|entry| entry.key.cmp(&key))
                    && let Some(known) = loaded.entries.get_mut(at)
                {
                    known.value = Bytes::from(found.value);
                }
            };
            pages(member, kept, &mut loaded, &mut fill).await?;
        }
    } else {
        loaded.marks_missing = names.marks().filter(|mark| marks.binary_search(mark).is_err()).collect();
    }
    Ok(loaded)
}

/// Everything below a prefix with its values, as of one revision.
///
/// # Errors
/// [`Fault`].
pub(super) async fn read(
    member: &Member,
    names: &Names,
    space: Space,
    prefix: &str,
    revision: i64,
) -> Result<(Revision, Vec<Entry>), Fault> {
    let mut loaded = Loaded::default();
    let (key, range_end) = names.below(space, prefix);
    let everything = RangeRequest { key, range_end, revision, ..RangeRequest::default() };
    let mut take = |found: KeyValue, loaded: &mut Loaded| {
        if let Some(key) = names.of_etcd(space, &found.key) {
            loaded.entries.push(entry(key, found));
        }
    };
    pages(member, everything, &mut loaded, &mut take).await?;
    Ok((loaded.revision, loaded.entries))
}

async fn pages(
    member: &Member,
    request: RangeRequest,
    loaded: &mut Loaded,
    take: &mut impl FnMut(KeyValue, &mut Loaded),
) -> Result<(), Fault> {
    let begins = request.revision == 0;
    let mut pager = Pager::new(request);
    while !pager.is_at_end() {
        let page = match member.range(pager.question(), PAGE).await {
            // Larger than an answer may be: fewer keys.
            Err(Fault::Refused(Code::OutOfRange, text))
                if !text.contains("compacted") && pager.ask_for_fewer() =>
            {
                continue;
            }
            page => page?,
        };
        let cluster = page.header.map_or(0, |header| header.cluster_id);
        for found in pager.take(page) {
            take(found, loaded);
        }
        if begins {
            loaded.cluster = cluster;
            loaded.revision = u64::try_from(pager.revision()).unwrap_or_default();
        }
    }
    Ok(())
}

/// Reads a range page by page, as of one revision: the newest, where none is asked for.
#[derive(Clone, Debug)]
pub(super) struct Pager {
    request: RangeRequest,
    at_end: bool,
}

impl Pager {
    pub(super) fn new(request: RangeRequest) -> Self {
        Self { request: RangeRequest { limit: KEYS.0, ..request }, at_end: false }
    }

    /// What is asked next.
    pub(super) fn question(&self) -> RangeRequest {
        self.request.clone()
    }

    /// The revision of the pages; 0 before the first one, where none was asked for.
    pub(super) const fn revision(&self) -> i64 {
        self.request.revision
    }

    /// Reads as of another revision.
    pub(super) const fn as_of(&mut self, revision: i64) {
        self.request.revision = revision;
    }

    pub(super) const fn is_at_end(&self) -> bool {
        self.at_end
    }

    /// Makes the page smaller; `false` where it can't be.
    pub(super) fn ask_for_fewer(&mut self) -> bool {
        let smaller = self.request.limit > 1;
        self.request.limit = (self.request.limit / 8).max(1);
        smaller
    }

    /// What a page holds, and goes on behind it.
    pub(super) fn take(&mut self, page: RangeResponse) -> Vec<KeyValue> {
        if self.request.revision == 0 {
            self.request.revision = page.header.map_or(0, |header| header.revision);
        }
        let bytes: usize = page.kvs.iter().map(|found| found.key.len() + found.value.len()).sum();
        match page.kvs.last().filter(|_| page.more) {
            Some(last) => {
                self.request.key = [last.key.as_slice(), &[0]].concat();
                let fitting = usize::try_from(self.request.limit).unwrap_or(1) * PAGE_BYTES / bytes.max(1);
                self.request.limit = i64::try_from(fitting).unwrap_or(KEYS.1).clamp(1, KEYS.1);
            }
            None => self.at_end = true,
        }
        page.kvs
    }
}
