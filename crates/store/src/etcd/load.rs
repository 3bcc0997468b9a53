//! Reads a whole space, page by page, as of one revision.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tonic::Code;

use super::fault::Fault;
use super::member::Member;
use super::names::{Names, Space};
use super::wire::{self, KeyValue, RangeRequest};
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
        Some(key) => loaded.entries.push(entry(key, found)),
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
    let (key, range_end) = if space.prefix().starts_with(prefix) {
        names.range(space)
    } else {
        let key = names.in_etcd(space, prefix);
        let behind = wire::behind(&key);
        (key, behind)
    };
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
    mut request: RangeRequest,
    loaded: &mut Loaded,
    take: &mut impl FnMut(KeyValue, &mut Loaded),
) -> Result<(), Fault> {
    request.limit = KEYS.0;
    loop {
        let page = match member.range(request.clone(), PAGE).await {
            // Larger than an answer may be: fewer keys.
            Err(Fault::Refused(Code::OutOfRange, text))
                if request.limit > 1 && !text.contains("compacted") =>
            {
                request.limit = (request.limit / 8).max(1);
                continue;
            }
            page => page?,
        };
        if request.revision == 0 {
            let header = page.header.unwrap_or_default();
            loaded.cluster = header.cluster_id;
            loaded.revision = u64::try_from(header.revision).unwrap_or_default();
            request.revision = header.revision;
        }
        let bytes: usize = page.kvs.iter().map(|found| found.key.len() + found.value.len()).sum();
        let last = page.kvs.last().map(|found| found.key.clone());
        for found in page.kvs {
            take(found, loaded);
        }
        let Some(mut next) = last.filter(|_| page.more) else { return Ok(()) };
        next.push(0);
        request.key = next;
        let fitting = usize::try_from(request.limit).unwrap_or(1) * PAGE_BYTES / bytes.max(1);
        request.limit = i64::try_from(fitting).unwrap_or(KEYS.1).clamp(1, KEYS.1);
    }
}
