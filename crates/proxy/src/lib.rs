//! The data plane: from an accepted socket to the last byte of the answer.
//!
//! Two halves. `config` makes of the store's resources one immutable snapshot and follows every change of them; `engine` runs the workers that
//! serve requests by that snapshot. A request loads the snapshot once and keeps it to its end, so that it never sees half of a change.
//!
//! The way of a request: a worker accepts its connection (`engine::listen`, `engine::connection`) and walks it through its course
//! (`engine::course`): what of its head is believed (`ingress`), its one canonical path (`path`), its route (`config::router`), the plugins of global
//! rules, route and consumer (`plugins`), a node of its upstream (`config::upstream`), there and back (`forward`, `relay`), and the log.
//!
//! The way of a change: the store's watch wakes `config::follow`, `config::workshop` builds what the change touches and what leans on it, the
//! pointer to the snapshot is swapped, and whoever waits for that revision (`live`) goes on. Secrets that are kept elsewhere (`config::secrets`)
//! are looked up beside it; a value that changed is a change like any other.

mod config;
mod engine;
mod live;
pub mod options;
mod targets;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use usher_model::seal::Keyring;
use usher_pipeline::env::Process;
use usher_pipeline::registry::Registry;
use usher_store::{Store, StoreError};

use options::Options;
pub use targets::targets;

/// The running proxy.
pub struct Proxy {
    engine: engine::Engine,
    follower: config::Follower,
    live: Arc<live::LiveProxy>,
}

/// Why the proxy can't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A listener's address can't be bound.
    #[error("could not listen on {address}")]
    Bind {
        /// The address as it was asked for.
        address: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// The access log can't be written.
    #[error("could not open the access log {}", path.display())]
    AccessLog {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The access log's format can't be used.
    #[error("the format of the access log can't be used: {0}")]
    AccessLogFormat(String),
    /// A worker's thread or runtime can't be made.
    #[error("could not start worker {index}")]
    Worker {
        /// Which one, from 0.
        index: usize,
        /// What the system says.
        source: std::io::Error,
    },
    /// The configuration can't be read.
    #[error("could not read the configuration")]
    Store(#[from] StoreError),
}

impl Proxy {
    /// Loads the configuration, follows it from then on, and serves. When it returns, every listener accepts.
    ///
    /// # Errors
    /// [`StartError`]. Nothing runs then.
    pub async fn start(
        options: Options,
        registry: Arc<Registry>,
        process: Arc<Process>,
        store: Arc<dyn Store>,
        keyring: Arc<Keyring>,
    ) -> Result<Self, StartError> {
        let (shared, follower) = config::start(&options, registry, process, store, keyring).await?;
        let engine = engine::start(&options, Arc::clone(&shared))?;
        let live = Arc::new(live::LiveProxy::new(shared, engine.addresses(), engine.serving()));
        Ok(Self { engine, follower, live })
    }

    /// What others may ask of it while it runs.
    #[must_use]
    pub fn live(&self) -> Arc<dyn usher_model::live::Live> {
        Arc::clone(&self.live) as Arc<dyn usher_model::live::Live>
    }

    /// Where it listens; the real ports where 0 was asked for.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.engine.addresses()
    }

    /// Stops accepting, lets requests in flight end within this time, then closes everything. Changes come into force until the end.
    pub async fn drain(self, within: Duration) {
        self.engine.drain(within).await;
        self.follower.stop().await;
    }
}
