//! The signals that end a server: SIGTERM, SIGINT, and SIGHUP when its terminal is closed. SIGUSR1, which log rotation sends, doesn't.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Waits for a signal that asks for the end.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    rotate: Signal,
}

impl Signals {
    /// From now on these signals don't end the process by themselves.
    pub(crate) fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            rotate: signal(SignalKind::user_defined1())?,
        })
    }

    /// The next one.
    pub(crate) async fn next(&mut self) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hangup.recv() => return,
                _ = self.rotate.recv() => {
                    tracing::warn!("SIGUSR1 does nothing yet: rotate the access log with copytruncate");
                }
            }
        }
    }
}
