//! The thread that writes the access log.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use usher_model::template::Template;

use super::{Format, Item, Lines};
use crate::StartError;
use crate::options::AccessLog;

/// Batches that may wait: some 16 MiB.
const WAITING: usize = 512;

/// Between two complaints about lines that were lost.
const COMPLAINS_EVERY: Duration = Duration::from_secs(10);

/// The log, as the engine holds it.
pub(in crate::engine) struct Log {
    usual: &'static str,
    format: Arc<ArcSwap<Format>>,
    to: SyncSender<Item>,
    dropped: Arc<AtomicU64>,
    thread: thread::JoinHandle<()>,
}

impl Log {
    /// Opens the file and starts the thread. Lines look as `usual` where the options don't say.
    ///
    /// # Errors
    /// The file can't be opened, or the format can't be used.
    pub(in crate::engine) fn open(options: &AccessLog, usual: &'static str) -> Result<Self, StartError> {
        let format = format(options, usual)?;
        let place = options.path.clone().unwrap_or_else(|| "stdout".into());
        let failed = |source| StartError::AccessLog { path: place.clone(), source };
        let out = open(options.path.as_deref()).map_err(failed)?;
        let path = options.path.clone();
        let (to, from) = sync_channel(WAITING);
        let dropped = Arc::new(AtomicU64::new(0));
        let lost = Arc::clone(&dropped);
        let thread = thread::Builder::new()
            .name("usher-access-log".to_owned())
            .spawn(move || write_all(&from, out, path, &lost))
            .map_err(failed)?;
        Ok(Self { usual, format: Arc::new(ArcSwap::from_pointee(format)), to, dropped, thread })
    }

    /// One worker's way in.
    pub(in crate::engine) fn lines(&self) -> Lines {
        Lines::new(Arc::clone(&self.format), self.to.clone(), Arc::clone(&self.dropped))
    }

    /// What opens the file anew.
    pub(in crate::engine) fn reopen(&self) -> Reopen {
        Reopen { usual: self.usual, format: Arc::clone(&self.format), to: self.to.clone() }
    }

    /// Waits until everything that was handed over is written; the workers have to be gone.
    pub(in crate::engine) fn close(self) {
        drop(self.to);
        // The thread has no other way to end; a panic in it was reported when it happened.
        let _ = self.thread.join();
    }
}

/// Opens the log anew while it is written. Holds the log open, so that it has to be dropped before [`Log::close`].
#[derive(Clone)]
pub(crate) struct Reopen {
    usual: &'static str,
    format: Arc<ArcSwap<Format>>,
    to: SyncSender<Item>,
}

impl Reopen {
    /// The file is opened anew by its name, which log rotation has moved away.
    pub(crate) fn again(&self) {
        self.send(None);
    }

    /// Whether these options could be gone by.
    ///
    /// # Errors
    /// The format can't be used.
    pub(crate) fn check(&self, options: &AccessLog) -> Result<(), StartError> {
        format(options, self.usual).map(drop)
    }

    /// Another file and format are used from now on.
    ///
    /// # Errors
    /// The format can't be used; nothing changes.
    pub(crate) fn change(&self, options: &AccessLog) -> Result<(), StartError> {
        self.format.store(Arc::new(format(options, self.usual)?));
        self.send(Some(options.path.clone().unwrap_or_default()));
        Ok(())
    }

    fn send(&self, path: Option<PathBuf>) {
        // The queue may be full behind a slow disk; whoever asks is told by the log, and may ask again.
        if self.to.try_send(Item::Reopen(path)).is_err() {
            tracing::warn!(
                "the access log was not opened anew, because too much waits to be written; ask again"
            );
        }
    }
}

fn format(options: &AccessLog, usual: &str) -> Result<Format, StartError> {
    let format = options.format.as_deref().unwrap_or(usual);
    if format.is_empty() || format.contains(|c: char| c.is_control()) {
        return Err(StartError::AccessLogFormat(
            "it has to be one line of text with $variables, such as $remote_addr \"$request\" $status"
                .to_owned(),
        ));
    }
    Ok(Format { template: Template::parse(format), escape: options.escape })
}

fn open(path: Option<&Path>) -> io::Result<Box<dyn Write + Send>> {
    Ok(match path {
        Some(path) => Box::new(OpenOptions::new().append(true).create(true).open(path)?),
        None => Box::new(io::stdout()),
    })
}

fn write_all(
    from: &Receiver<Item>,
    mut out: Box<dyn Write + Send>,
    mut path: Option<PathBuf>,
    dropped: &AtomicU64,
) {
    let mut complained: Option<Instant> = None;
    while let Ok(item) = from.recv() {
        let batch = match item {
            Item::Lines(batch) => batch,
            Item::Reopen(other) => {
                let wanted = match other {
                    None => path.clone(),
                    Some(other) => (!other.as_os_str().is_empty()).then_some(other),
                };
                match open(wanted.as_deref()) {
                    Ok(opened) => (out, path) = (opened, wanted),
                    // What is written goes on where it went.
                    Err(error) => {
                        tracing::error!(path = ?wanted, %error, "the access log could not be opened anew")
                    }
                }
                continue;
            }
        };
        let written = out.write_all(&batch).and_then(|()| out.flush());
        if written.is_err() {
            let lines = batch.iter().filter(|byte| **byte == b'\n').count();
            dropped.fetch_add(lines as u64, Ordering::Relaxed);
        }
        if dropped.load(Ordering::Relaxed) > 0
            && complained.is_none_or(|then| then.elapsed() >= COMPLAINS_EVERY)
        {
            let lines = dropped.swap(0, Ordering::Relaxed);
            let error = written.err().map(|error| error.to_string());
            tracing::warn!(lines, error, "lines of the access log were lost");
            complained = Some(Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::DEFAULT_FORMAT;
    use super::Log;
    use crate::options::AccessLog;

    #[test]
    fn a_file_that_cannot_be_opened_and_a_format_that_is_none_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let bad = AccessLog { path: Some(folder.path().join("none/access.log")), ..AccessLog::default() };
        assert!(Log::open(&bad, DEFAULT_FORMAT).err().unwrap().to_string().contains("access.log"));
        let bad = AccessLog { format: Some("$status\n".to_owned()), ..AccessLog::default() };
        assert!(Log::open(&bad, DEFAULT_FORMAT).err().unwrap().to_string().contains("one line"));
    }
}
