//! The thread that writes the access log.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use usher_model::template::Template;

use super::{DEFAULT_FORMAT, Lines};
use crate::StartError;
use crate::options::AccessLog;

/// Batches that may wait: some 16 MiB.
const WAITING: usize = 512;

/// Between two complaints about lines that were lost.
const COMPLAINS_EVERY: Duration = Duration::from_secs(10);

/// The log, as the engine holds it.
pub(in crate::engine) struct Log {
    format: Arc<Template>,
    to: SyncSender<Vec<u8>>,
    dropped: Arc<AtomicU64>,
    thread: thread::JoinHandle<()>,
}

impl Log {
    /// Opens the file and starts the thread.
    ///
    /// # Errors
    /// The file can't be opened, or the format can't be used.
    pub(in crate::engine) fn open(options: &AccessLog) -> Result<Self, StartError> {
        let format = options.format.as_deref().unwrap_or(DEFAULT_FORMAT);
        if format.is_empty() || format.contains(|c: char| c.is_control()) {
            return Err(StartError::AccessLogFormat(
                "it has to be one line of text with $variables, such as $remote_addr \"$request\" $status"
                    .to_owned(),
            ));
        }
        let place = options.path.clone().unwrap_or_else(|| "stdout".into());
        let failed = |source| StartError::AccessLog { path: place.clone(), source };
        let out: Box<dyn Write + Send> = match &options.path {
            Some(path) => Box::new(OpenOptions::new().append(true).create(true).open(path).map_err(failed)?),
            None => Box::new(io::stdout()),
        };
        let (to, from) = sync_channel(WAITING);
        let dropped = Arc::new(AtomicU64::new(0));
        let lost = Arc::clone(&dropped);
        let thread = thread::Builder::new()
            .name("usher-access-log".to_owned())
            .spawn(move || write_all(&from, out, &lost))
            .map_err(failed)?;
        Ok(Self { format: Arc::new(Template::parse(format)), to, dropped, thread })
    }

    /// One worker's way in.
    pub(in crate::engine) fn lines(&self) -> Lines {
        Lines::new(Arc::clone(&self.format), self.to.clone(), Arc::clone(&self.dropped))
    }

    /// Waits until everything that was handed over is written; the workers have to be gone.
    pub(in crate::engine) fn close(self) {
        drop(self.to);
        // The thread has no other way to end; a panic in it was reported when it happened.
        let _ = self.thread.join();
    }
}

fn write_all(from: &Receiver<Vec<u8>>, mut out: Box<dyn Write + Send>, dropped: &AtomicU64) {
    let mut complained: Option<Instant> = None;
    while let Ok(batch) = from.recv() {
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
    use super::Log;
    use crate::options::AccessLog;

    #[test]
    fn a_file_that_cannot_be_opened_and_a_format_that_is_none_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let bad = AccessLog { path: Some(folder.path().join("none/access.log")), format: None };
        assert!(Log::open(&bad).err().unwrap().to_string().contains("access.log"));
        let bad = AccessLog { path: None, format: Some("$status\n".to_owned()) };
        assert!(Log::open(&bad).err().unwrap().to_string().contains("one line"));
    }
}
