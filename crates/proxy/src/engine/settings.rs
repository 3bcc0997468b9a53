//! The options as the workers use them: durations as milliseconds, names made once.

use std::sync::Arc;
use std::time::Duration;

use usher_http1::head::Head;
use usher_http1::limits::Limits;
use usher_model::compat::Behaviour;

use super::clock::millis;
use crate::options::{Options, PathRules};
use crate::proofs::Proofs;

/// Connecting takes at most this long while another node is left to try.
pub(super) const CONNECT_WITH_OTHERS: Duration = Duration::from_secs(5);

/// What every worker goes by.
pub(super) struct Settings {
    /// How many workers there are.
    pub(super) workers: u64,
    /// Whether clients may speak HTTP/2.
    pub(super) http2: bool,
    pub(super) head: Limits,
    pub(super) answers: Limits,
    pub(super) head_ms: u64,
    pub(super) body_ms: u64,
    pub(super) idle_ms: u64,
    pub(super) write_ms: u64,
    pub(super) age_ms: u64,
    pub(super) requests: u64,
    pub(super) body_bytes: Option<u64>,
    /// Connections of clients that one worker takes.
    pub(super) connections: usize,
    /// From a connection's first byte to the end of its handshake.
    pub(super) handshake_ms: u64,
    /// Handshakes that one worker has under way.
    pub(super) handshakes: usize,
    /// Whether upstreams of stream routes are told where the client is, by the PROXY protocol.
    pub(super) greets_upstreams: bool,
    /// The name that clients without SNI are taken to ask for.
    pub(super) fallback_sni: Option<Box<str>>,
    pub(super) proofs: Arc<Proofs>,
    /// The `Server` of every answer.
    pub(super) server: Box<str>,
    /// The same as a field.
    pub(super) signature: Head,
    /// The name at the foot of HTML pages.
    pub(super) product: &'static str,
    pub(super) paths: PathRules,
    /// Whether every answer says the upstream's status.
    pub(super) show_upstream_status: bool,
    /// Whether every answer says which plugins ran.
    pub(super) debug: bool,
}

impl Settings {
    pub(super) fn new(options: &Options, workers: usize, files: u64) -> Self {
        let (patience, bounds) = (&options.patience, &options.bounds);
        let connections = bounds.connections.min(for_clients(files)).div_ceil(workers).max(1);
        Self {
            workers: workers as u64,
            http2: options.http2,
            head: options.head.clone(),
            answers: Limits::for_answers(),
            head_ms: millis(patience.head),
            body_ms: millis(patience.body),
            idle_ms: millis(patience.idle),
            write_ms: millis(patience.write),
            age_ms: millis(patience.age),
            requests: bounds.requests_per_connection,
            body_bytes: bounds.body_bytes,
            connections,
            handshake_ms: millis(options.tls.handshake),
            handshakes: options.tls.handshakes.div_ceil(workers).max(1),
            greets_upstreams: options.streams.proxy_protocol_to_upstreams,
            proofs: Arc::clone(&options.proofs),
            fallback_sni: options.tls.fallback_sni.as_deref().map(Into::into),
            server: options.server.as_str().into(),
            signature: signature(&options.server),
            paths: options.paths,
            show_upstream_status: options.show_upstream_status,
            debug: options.debug,
            product: if options.compat.has(Behaviour::ApisixNames) { "openresty" } else { "usher" },
        }
    }
}

impl Settings {
    /// The path that routes see.
    pub(super) fn routed<'a>(&self, path: &'a str) -> &'a str {
        if !self.paths.delete_tail_slash || path.len() < 2 {
            return path;
        }
        path.strip_suffix('/').unwrap_or(path)
    }
}

fn signature(server: &str) -> Head {
    let mut head = Head::empty();
    if let Err(error) = head.append("Server", server) {
        tracing::warn!(%error, "the name of the server can't be sent, so answers have none");
    }
    head
}

/// Of so many files, how many may be clients: each may need an upstream's connection too, and the rest of the process needs some.
fn for_clients(files: u64) -> usize {
    let spare = (files / 4).min(1000);
    usize::try_from((files - spare) / 2).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::Settings;
    use crate::options::{Bounds, Options};

    #[test]
    fn clients_leave_files_for_upstreams_and_for_the_rest() {
        for (files, workers, wanted) in
            [(1024, 1, 384), (20_000, 1, 9_500), (20_000, 4, 2_375), (1 << 30, 2, 10_000), (4, 8, 1)]
        {
            let options =
                Options { bounds: Bounds { connections: 20_000, ..Bounds::default() }, ..Options::default() };
            assert_eq!(Settings::new(&options, workers, files).connections, wanted, "{files} files");
        }
    }
}
