//! The access logs: one line a request, and in a log of its own one a connection of stream routes, gathered by the worker and written by a thread that may wait for the disk.
//!
//! What can't be taken in time is dropped, counted and told: a slow disk never slows a request.

mod line;
mod writer;

use std::cell::{Cell, RefCell};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;

use arc_swap::ArcSwap;
use usher_model::template::Template;

pub(super) use self::line::Finished;
use self::line::{Line, Moment};
use super::clock::Clock;
pub(super) use writer::Log;
pub(crate) use writer::Reopen;

use crate::options::Escape;

/// A batch that is this large is handed over at once; smaller ones by the next sweep.
const BATCH: usize = 32 << 10;

/// APISIX's default format.
pub(super) const DEFAULT_FORMAT: &str = "$remote_addr - $remote_user [$time_local] $http_host \"$request\" $status $body_bytes_sent $request_time \
    \"$http_referer\" \"$http_user_agent\" $upstream_addr $upstream_status $upstream_response_time \
    \"$upstream_scheme://$upstream_host$upstream_uri\" \"$apisix_request_id\"";

/// APISIX's default format of connections.
pub(super) const STREAM_FORMAT: &str =
    "$remote_addr [$time_local] $protocol $status $bytes_sent $bytes_received $session_time";

/// One worker's lines on their way to the log.
pub(super) struct Lines {
    format: Arc<ArcSwap<Format>>,
    batch: RefCell<Vec<u8>>,
    count: Cell<u64>,
    moment: Moment,
    to: SyncSender<Item>,
    dropped: Arc<AtomicU64>,
}

/// How lines look.
struct Format {
    template: Template,
    escape: Escape,
}

/// What the writing thread is handed.
enum Item {
    /// Lines.
    Lines(Vec<u8>),
    /// Opens the file anew, or another one: the old one was moved away, or the settings changed.
    Reopen(Option<PathBuf>),
}

impl Lines {
    fn new(format: Arc<ArcSwap<Format>>, to: SyncSender<Item>, dropped: Arc<AtomicU64>) -> Self {
        let (batch, count) = (RefCell::default(), Cell::new(0));
        Self { format, batch, count, moment: Moment::default(), to, dropped }
    }

    /// Adds the line of what has finished.
    pub(super) fn add(&self, finished: Finished<'_>, clock: &Clock) {
        let full = {
            let mut batch = self.batch.borrow_mut();
            let format = self.format.load();
            let line = Line { finished, unix: clock.unix(), moment: &self.moment, escape: format.escape };
            format.template.render_into(&line, &mut batch);
            batch.push(b'\n');
            batch.len() >= BATCH
        };
        self.count.set(self.count.get() + 1);
        if full {
            self.hand_over();
        }
    }

    /// Hands the lines over to the writing thread.
    pub(super) fn hand_over(&self) {
        let batch = std::mem::take(&mut *self.batch.borrow_mut());
        let count = self.count.replace(0);
        if !batch.is_empty() && self.to.try_send(Item::Lines(batch)).is_err() {
            self.dropped.fetch_add(count, Ordering::Relaxed);
        }
    }
}
