//! Tells systemd, or whatever else has set `NOTIFY_SOCKET`, how far the service is: that it is ready, reads its settings anew, stops, or goes on in
//! another process (sd_notify(3)).

use std::ffi::OsString;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Whether it wants to be told.
pub(crate) fn listens() -> bool {
    socket().is_some()
}

/// Whether systemd has started this very process as a service's main one.
pub(crate) fn looks_after_us() -> bool {
    std::env::var("SYSTEMD_EXEC_PID").is_ok_and(|id| id == std::process::id().to_string())
}

/// Everything is in force.
pub(crate) fn ready() {
    complain(tell("READY=1\n"));
}

/// The settings are read anew.
pub(crate) fn reloading() {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let micros = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1_000;
    complain(tell(&format!("RELOADING=1\nMONOTONIC_USEC={micros}\n")));
}

/// Requests in flight are answered, then it ends.
pub(crate) fn stopping() {
    complain(tell("STOPPING=1\n"));
}

/// Another process is the service from now on.
///
/// # Errors
/// It can't be told.
pub(crate) fn main_process(id: u32) -> io::Result<()> {
    tell(&format!("MAINPID={id}\n"))
}

fn socket() -> Option<OsString> {
    std::env::var_os("NOTIFY_SOCKET").filter(|path| !path.is_empty())
}

fn tell(words: &str) -> io::Result<()> {
    let Some(path) = socket() else { return Ok(()) };
    let address = match path.as_bytes().split_first() {
        Some((b'@', name)) => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(&path)?,
    };
    UnixDatagram::unbound()?.send_to_addr(words.as_bytes(), &address).map(drop)
}

fn complain(told: io::Result<()>) {
    if let Err(error) = told {
        tracing::warn!(%error, "systemd could not be told how far the service is");
    }
}
