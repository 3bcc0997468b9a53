//! The entries of one commit, a page at a time, while others read and write.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::stream::{BoxStream, StreamExt as _, unfold};
use tokio_util::task::AbortOnDropHandle;

use super::database::{Cut, guarded};
use crate::StoreError;
use crate::cut::Dated;

/// How long a cut is held at most: meanwhile the data file can't use the room of what is written over, and grows.
const LONGEST: Duration = Duration::from_secs(15 * 60);

struct Walk {
    /// `None` once it was held too long.
    cut: Arc<Mutex<Option<Cut>>>,
    below: &'static [&'static str],
    /// The last key that was given.
    after: Option<Arc<str>>,
    ended: bool,
    /// Lets go of the cut in time, also of one that nobody asks for any more.
    _end: Option<AbortOnDropHandle<()>>,
}

/// What a cut holds below these prefixes.
pub(super) fn pages(
    cut: Cut,
    below: &'static [&'static str],
) -> BoxStream<'static, Result<Vec<Dated>, StoreError>> {
    let cut = Arc::new(Mutex::new(Some(cut)));
    let end = tokio::runtime::Handle::try_current().ok().map(|runtime| {
        let cut = Arc::clone(&cut);
        AbortOnDropHandle::new(runtime.spawn(async move {
            tokio::time::sleep(LONGEST).await;
            *cut.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }))
    });
    let walk = Walk { cut, below, after: None, ended: false, _end: end };
    unfold(walk, |mut walk| async move { Some((walk.next()?, walk)) }).boxed()
}

impl Walk {
    fn next(&mut self) -> Option<Result<Vec<Dated>, StoreError>> {
        if self.ended {
            return None;
        }
        let page = self.page();
        match &page {
            Ok(page) if !page.is_empty() => self.after = page.last().map(|(entry, _)| Arc::clone(&entry.key)),
            _ => self.ended = true,
        }
        Some(page).filter(|page| !matches!(page, Ok(page) if page.is_empty()))
    }

    fn page(&self) -> Result<Vec<Dated>, StoreError> {
        let cut = self.cut.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(cut) = &*cut else {
            let minutes = LONGEST.as_secs() / 60;
            return Err(StoreError::Unavailable(format!(
                "it was not read to its end within {minutes} minutes; read it faster"
            )));
        };
        Ok(guarded(|| cut.page(self.below, self.after.as_deref()))?)
    }
}
