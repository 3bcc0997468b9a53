//! The old process's side of an upgrade.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use tokio::time::timeout;
use usher_proxy::handed::Transport;

use super::link::Link;
use super::wire::{FORMAT, Group, New, Old, VARIABLE};
use crate::server::Server;
use crate::systemd;

/// How long the new process may take to begin, and again to listen wherever it has to.
const BEGINS_WITHIN: Duration = Duration::from_secs(10);

/// How long it may take from having the store to having its configuration in force. Nobody writes meanwhile; traffic goes on.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// First processes of containers that end when the one that they have started does.
const CONTAINER_INITS: &[&str] = &["tini", "docker-init", "dumb-init", "catatonit"];

/// The program of this process, and how it was called.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    path: PathBuf,
    words: Vec<OsString>,
}

impl Program {
    /// Looked up at the start, while the path still names this program. Links aren't followed, so that a link that is put on a newer program counts.
    ///
    /// # Errors
    /// The system doesn't tell.
    pub(crate) fn own() -> io::Result<Self> {
        let mut words = std::env::args_os();
        let called = words.next().map(PathBuf::from).unwrap_or_default();
        let path = if called.components().count() > 1 && called.exists() {
            std::path::absolute(called)?
        } else {
            let real = std::env::current_exe()?;
            on_path(&called, &real).unwrap_or(real)
        };
        Ok(Self { path, words: words.collect() })
    }
}

/// The place in `PATH` where a bare name leads to this program.
fn on_path(name: &Path, real: &Path) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    let leads = |path: &PathBuf| path.canonicalize().is_ok_and(|found| found == real);
    std::env::split_paths(&folders).map(|folder| folder.join(name)).find(leads)
}

/// A process that was started, and ends with this unless it is let go.
struct Starting(Option<Child>);

impl Starting {
    fn id(&self) -> u32 {
        self.0.as_ref().map_or(0, Child::id)
    }

    /// How it ended, once it is gone or is made to be.
    fn end(&mut self) -> Option<std::process::ExitStatus> {
        let mut child = self.0.take()?;
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status);
        }
        // One that has just ended can't be killed, and isn't waited for in vain.
        let _ = child.kill();
        child.wait().ok()
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        self.end();
    }
}

/// Starts the program anew and hands everything over to it; says which process serves then. From then on this one has only to leave.
///
/// # Errors
/// Why that can't be, or what the new one failed by. This one serves as before.
pub(crate) async fn hand_over(server: &mut Server, program: &Program) -> anyhow::Result<u32> {
    refuse_alone()?;
    let (ours, theirs) = UnixStream::pair().context("could not make a socket")?;
    let link = Link::new(ours)?;
    let child = Command::new(&program.path)
        .args(&program.words)
        .env(VARIABLE, "1")
        .stdin(OwnedFd::from(theirs))
        .stdout(Stdio::inherit())
        .stderr(Stdio::inherit())
        .spawn()
        .with_context(|| format!("could not start {}", program.path.display()))?;
    let mut starting = Starting(Some(child));
    tracing::info!(program = %program.path.display(), process = starting.id(), "started the new program");
    let prepared = prepare(server, &link).await;
    let taken = match prepared {
        Ok(()) => match server.release().await {
            Ok(()) => finish(&link, &starting).await,
            Err(error) => Err(error),
        },
        Err(error) => Err(error),
    };
    if let Err(error) = taken {
        let error = explain(error, &mut starting);
        server.resume().await;
        return Err(error);
    }
    let process = starting.id();
    // It is on its own from now on.
    starting.0 = None;
    Ok(process)
}

/// Where this process is the one that others hold on to, its end would end its successor as well.
fn refuse_alone() -> anyhow::Result<()> {
    if std::process::id() == 1 {
        bail!(
            "this is process 1 of its container, which ends with it; start another container beside this one instead"
        );
    }
    let parent = rustix::process::getppid().map(|parent| parent.as_raw_nonzero().get());
    let init = std::fs::read_to_string("/proc/1/comm").unwrap_or_default();
    if parent == Some(1) && CONTAINER_INITS.contains(&init.trim()) {
        bail!(
            "{} ends its container together with this process; start another container beside it instead",
            init.trim()
        );
    }
    if systemd::looks_after_us() && !systemd::listens() {
        bail!(
            "systemd would end the new process together with this one, because it can't be told of it; set Type=notify in the unit, and restart once"
        );
    }
    Ok(())
}

/// Hands the sockets over, and waits until the new process listens wherever it has to.
async fn prepare(server: &Server, link: &Link) -> anyhow::Result<()> {
    match hear(link, BEGINS_WITHIN, "to begin").await? {
        New::Sockets { format: FORMAT, version } => tracing::info!(version, "the new program begins"),
        New::Sockets { format, version } => {
            bail!("version {version} hands over by format {format}, this one by {FORMAT}; restart instead")
        }
        word => return Err(unexpected(word)),
    }
    let handed = server.handed().context("the sockets could not be handed over")?;
    let group = |one: &usher_proxy::handed::Handed| Group {
        purpose: one.purpose.clone(),
        udp: one.transport == Transport::Udp,
        asked: one.asked,
        sockets: one.sockets.len(),
    };
    link.say(&Old::Sockets(handed.iter().map(group).collect())).await?;
    for one in &handed {
        link.give(&one.sockets).await?;
    }
    match hear(link, BEGINS_WITHIN, "to listen").await? {
        New::Store => Ok(()),
        word => Err(unexpected(word)),
    }
}

/// Waits until the new process has everything in force, and lets it go.
async fn finish(link: &Link, starting: &Starting) -> anyhow::Result<()> {
    link.say(&Old::Store).await?;
    match hear(link, READY_WITHIN, "to bring its configuration into force").await? {
        New::Ready => {}
        word => return Err(unexpected(word)),
    }
    systemd::main_process(starting.id()).context("systemd could not be told of the new process")?;
    link.say(&Old::Go).await?;
    Ok(())
}

async fn hear(link: &Link, within: Duration, to: &str) -> anyhow::Result<New> {
    let heard = timeout(within, link.hear()).await;
    let heard = heard.map_err(|_| anyhow!("it took longer than {} s {to}", within.as_secs()))?;
    heard.map_err(anyhow::Error::new)
}

fn unexpected(word: New) -> anyhow::Error {
    match word {
        New::Failed { reason } => anyhow!(reason),
        word => anyhow!("it said {word:?} out of turn"),
    }
}

/// Of a process that has ended without a word, how it ended is all that is known.
fn explain(error: anyhow::Error, starting: &mut Starting) -> anyhow::Error {
    let gone = error.downcast_ref::<io::Error>().is_some_and(|error| {
        matches!(
            error.kind(),
            io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
        )
    });
    let status = starting.end();
    match status {
        Some(status) if gone => anyhow!("it ended ({status}); what it said is above in the log"),
        _ => error,
    }
}
