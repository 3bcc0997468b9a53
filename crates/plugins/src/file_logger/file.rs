//! The files that lines are appended to, each with a thread that may wait for its disk.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;

use tokio::sync::oneshot;

/// Pieces that may wait for the thread; each worker has one under way for each use of the plugin.
const WAITING: usize = 64;

/// Folders that hold no logs: what stands there changes how the machine works.
const NO_LOGS: [&str; 11] =
    ["/bin", "/boot", "/dev", "/etc", "/lib", "/lib64", "/proc", "/run", "/sbin", "/sys", "/usr"];
/// Devices that lines may go to all the same.
const DEVICES: [&str; 3] = ["/dev/stdout", "/dev/stderr", "/dev/null"];

/// Whether lines may be appended to this file.
///
/// # Errors
/// Why they may not.
pub(super) fn check(path: &str) -> Result<(), &'static str> {
    if DEVICES.contains(&path) {
        return Ok(());
    }
    let mut names = Path::new(path).components();
    if names.any(|name| name == Component::ParentDir) {
        return Err("steps up with ..; write the path without");
    }
    if Path::new(path)
        .components()
        .any(|name| name.as_os_str().to_string_lossy().starts_with('.') && name != Component::CurDir)
    {
        return Err("has a hidden folder or file in it; choose one that is not hidden");
    }
    if NO_LOGS.iter().any(|folder| Path::new(path).starts_with(folder)) {
        return Err("lies in a folder of the system; choose one for logs, such as /var/log");
    }
    Ok(())
}

/// All files of a process.
#[derive(Default)]
pub(super) struct Files(Mutex<HashMap<String, Weak<Writer>>>);

impl Files {
    /// The one writer of a file.
    pub(super) fn writer(&self, path: &str) -> Arc<Writer> {
        let mut files = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(writer) = files.get(path).and_then(Weak::upgrade) {
            return writer;
        }
        files.retain(|_, writer| writer.strong_count() > 0);
        let writer = Arc::new(Writer { path: path.to_owned(), to: Mutex::new(None) });
        files.insert(path.to_owned(), Arc::downgrade(&writer));
        writer
    }
}

/// A piece of text, and who hears whether it was written.
type Piece = (Vec<u8>, oneshot::Sender<Result<(), String>>);

/// The way to a file's thread, which is started by the first piece and ends with the last who could send one.
pub(super) struct Writer {
    path: String,
    to: Mutex<Option<SyncSender<Piece>>>,
}

impl Writer {
    /// Appends a piece, and waits until the system has it.
    ///
    /// # Errors
    /// Why it has not.
    pub(super) async fn write(&self, text: Vec<u8>) -> Result<(), String> {
        let (told, heard) = oneshot::channel();
        self.hand_over((text, told))?;
        heard.await.unwrap_or_else(|_| Err("the file's thread is gone".to_owned()))
    }

    fn hand_over(&self, piece: Piece) -> Result<(), String> {
        let mut to = self.to.lock().unwrap_or_else(PoisonError::into_inner);
        let sender = match &*to {
            Some(sender) => sender.clone(),
            None => {
                let (sender, receiver) = sync_channel(WAITING);
                let path = self.path.clone();
                thread::Builder::new()
                    .name("usher-file-log".to_owned())
                    .spawn(move || write_all(&path, &receiver))
                    .map_err(|error| error.to_string())?;
                *to = Some(sender.clone());
                sender
            }
        };
        match sender.try_send(piece) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(_)) => Err("the disk is too slow".to_owned()),
            Err(TrySendError::Disconnected(_)) => {
                *to = None;
                Err("the file's thread is gone".to_owned())
            }
        }
    }
}

fn write_all(path: &str, from: &Receiver<Piece>) {
    let mut open: Option<File> = None;
    while let Ok((text, told)) = from.recv() {
        let written = write(path, &mut open, &text);
        if written.is_err() {
            open = None;
        }
        // Whoever sent it may have gone.
        drop(told.send(written.map_err(|error| format!("{path}: {error}"))));
    }
}

fn write(path: &str, open: &mut Option<File>, text: &[u8]) -> io::Result<()> {
    if open.as_ref().is_some_and(|file| !is_still_there(path, file)) {
        *open = None;
    }
    let file = match open {
        Some(file) => file,
        None => open.insert(OpenOptions::new().append(true).create(true).open(path)?),
    };
    file.write_all(text)
}

/// Whether the path still leads to this file: a rotation moves it away and leaves another, or none.
fn is_still_there(path: &str, file: &File) -> bool {
    let (Ok(there), Ok(here)) = (std::fs::metadata(path), file.metadata()) else { return false };
    (there.dev(), there.ino()) == (here.dev(), here.ino())
}
