//! Everything of an etcd as of one revision, read page by page from the members themselves: for backups.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::stream::{BoxStream, StreamExt as _, unfold};
use tonic::Code;

use super::ends;
use super::fault::Fault;
use super::load::{Pager, entry};
use super::names::Space;
use super::reading::Reading;
use super::wire::{RangeRequest, RangeResponse};
use crate::cut::Dated;
use crate::{Cut, StoreError};

/// How long a page may take, another member's try included.
const PAGE: Duration = Duration::from_secs(30);

struct Walk {
    reading: Reading,
    /// Where to go on; the first of them is being read.
    left: VecDeque<(Space, Pager)>,
    ended: bool,
}

/// What lies below these prefixes.
///
/// # Errors
/// [`StoreError::Unavailable`]; what breaks later is told by the pages.
pub(super) async fn cut(reading: Reading, below: &[&str]) -> Result<Cut, StoreError> {
    let mut left = VecDeque::new();
    for space in [Space::Resources, Space::Own] {
        for prefix in below.iter().filter(|prefix| space.meets(prefix)) {
            let (key, range_end) = reading.members.names.below(space, prefix);
            left.push_back((space, Pager::new(RangeRequest { key, range_end, ..RangeRequest::default() })));
        }
    }
    let mut walk = Walk { reading, left, ended: false };
    // The first page says which revision etcd is at, and all others are read as of that one.
    let first = walk.page().await?;
    let revision = walk.left.front().map_or(0, |(_, pager)| pager.revision());
    for (_, pager) in walk.left.iter_mut().skip(1) {
        pager.as_of(revision);
    }
    let pages: BoxStream<'static, _> = unfold((Some(first), walk), |(first, mut walk)| async move {
        let page = match first {
            Some(page) => Some(Ok(page)),
            None => walk.next().await,
        };
        Some((page?, (None, walk)))
    })
    .boxed();
    Ok(Cut { revision: revision.unsigned_abs(), one_revision: true, pages })
}

impl Walk {
    async fn next(&mut self) -> Option<Result<Vec<Dated>, StoreError>> {
        while !self.ended {
            if self.left.front().is_some_and(|(_, pager)| pager.is_at_end()) {
                self.left.pop_front();
            }
            if self.left.is_empty() {
                break;
            }
            let page = self.page().await;
            self.ended = page.is_err();
            // A page of marks alone holds nothing that is anybody's.
            if !matches!(&page, Ok(page) if page.is_empty()) {
                return Some(page);
            }
        }
        None
    }

    async fn page(&mut self) -> Result<Vec<Dated>, StoreError> {
        let Some((space, pager)) = self.left.front_mut() else { return Ok(Vec::new()) };
        let (space, within) = (*space, self.reading.timeout / 2);
        let names = &self.reading.members.names;
        loop {
            let question = pager.question();
            let asked = self.reading.ask(PAGE, |member| {
                let question = question.clone();
                async move {
                    let page = match member.range(question, within).await {
                        Err(Fault::Refused(Code::OutOfRange, text)) if !text.contains("compacted") => {
                            return Ok(None);
                        }
                        page => page?,
                    };
                    let ends = ends::ask(&member, page.kvs.iter().map(|found| found.lease), within).await?;
                    Ok(Some((page, ends)))
                }
            });
            let answer: Option<(RangeResponse, _)> = asked.await?;
            let Some((page, ends)) = answer else {
                // Larger than an answer may be.
                if pager.ask_for_fewer() {
                    continue;
                }
                return Err(StoreError::Unavailable(
                    "etcd: a value is larger than an answer may be".to_owned(),
                ));
            };
            let found = pager.take(page);
            let dated = found.into_iter().filter_map(|found| {
                let key = names.of_etcd(space, &found.key)?;
                let until = ends.get(&found.lease).copied();
                Some((entry(key, found), until))
            });
            return Ok(dated.collect());
        }
    }
}
