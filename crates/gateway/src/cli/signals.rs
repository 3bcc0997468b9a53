//! The signals that a server hears: SIGTERM and SIGINT end it, SIGHUP reads its settings anew, SIGUSR1 opens its logs anew, SIGUSR2 hands everything
//! over to the program that lies at its path by now.
//!
//! Where a person has started it at a terminal, SIGHUP says that the terminal was closed, and ends it too.

use std::io::IsTerminal as _;

use rustix::process::Signal as Number;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// The end.
    Stop,
    /// Reading the settings anew.
    Reload,
    /// Opening the logs anew.
    Reopen,
    /// Handing over to the program at its own path.
    Upgrade,
}

/// Waits for signals.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    rotate: Signal,
    upgrade: Signal,
    /// SIGXFSZ, which nobody waits for: heard, it doesn't end the process at a file as large as `RLIMIT_FSIZE` allows, and the write fails instead.
    _file_size: Signal,
    at_terminal: bool,
}

impl Signals {
    /// From now on these signals don't end the process by themselves.
    pub(crate) fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            rotate: signal(SignalKind::user_defined1())?,
            upgrade: signal(SignalKind::user_defined2())?,
            _file_size: signal(SignalKind::from_raw(Number::XFSZ.as_raw()))?,
            at_terminal: std::io::stdin().is_terminal(),
        })
    }

    /// The next one.
    pub(crate) async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::Stop,
            _ = self.interrupt.recv() => Asked::Stop,
            _ = self.hangup.recv() => if self.at_terminal { Asked::Stop } else { Asked::Reload },
            _ = self.rotate.recv() => Asked::Reopen,
            _ = self.upgrade.recv() => Asked::Upgrade,
        }
    }

    /// Waits for one that ends what has no settings to read anew: a closed terminal does too.
    pub(crate) async fn end(&mut self) {
        while matches!(self.next().await, Asked::Reopen | Asked::Upgrade) {}
    }

    /// Waits for one that asks for the end; the others pass by.
    pub(crate) async fn stop(&mut self) {
        while self.next().await != Asked::Stop {}
    }
}
