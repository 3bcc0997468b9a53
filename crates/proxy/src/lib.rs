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
//!
//! What it is not: it never writes configuration, and never sees a concrete plugin.

mod ask;
mod config;
mod discover;
mod engine;
pub mod handed;
mod live;
pub mod options;
mod probe;
pub mod proofs;
pub mod proxy_protocol;
mod resolve;
mod series;
mod targets;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use usher_model::seal::Keyring;
use usher_pipeline::env::Process;
use usher_pipeline::front::StoreFacts;
use usher_pipeline::registry::Registry;
use usher_store::{Store, StoreError};

use config::Ways;
use discover::Discovery;
pub use engine::Moved;
use handed::Handed;
use options::Options;
use probe::Prober;
use resolve::{Asker, Resolver};
use series::{Desk, Series};
pub use targets::targets;

/// The running proxy.
pub struct Proxy {
    engine: engine::Engine,
    follower: config::Follower,
    live: Arc<live::LiveProxy>,
    series: Arc<Series>,
    _probing: Beside,
    _folding: Beside,
}

/// A task that runs beside the workers. Dropped, it stops.
struct Beside(JoinHandle<()>);

impl Drop for Beside {
    fn drop(&mut self) {
        self.0.abort();
    }
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
        source: io::Error,
    },
    /// The access log can't be written.
    #[error("could not open the access log {}", path.display())]
    AccessLog {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
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
        source: io::Error,
    },
    /// A registry of services can't be used as the settings say it.
    #[error("{0}")]
    Setting(String),
    /// The configuration can't be read.
    #[error("could not read the configuration")]
    Store(#[from] StoreError),
}

impl Proxy {
    /// Loads the configuration, follows it from then on, and serves. When it returns, every listener accepts, unless [`Options::waits`].
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
        let runtime = Handle::current();
        let resolver = Arc::new(Resolver::new(Asker::new(&options.dns, runtime.clone())));
        let own: Arc<[_]> = options.forbidden.as_slice().into();
        let discovery = Discovery::new(&options.discovery, &resolver, &own, runtime);
        let discovery = Arc::new(discovery.map_err(StartError::Setting)?);
        let keeper = targets::keeper(&process);
        keeper.begin(Ways { discovery: Arc::clone(&discovery), checks: options.health_checks });
        let watched = Arc::downgrade(&store);
        let (shared, follower) =
            config::start(&options, registry, process, store, keyring, Arc::clone(&keeper)).await?;
        shared.front().watch_store(move || store_facts(&*watched.upgrade()?));
        let desk = Arc::new(Desk::default());
        let series = Arc::new(Series::open(options.series.as_deref(), Arc::clone(&desk)));
        let engine = engine::start(&options, Arc::clone(&shared), Arc::clone(&resolver), &desk)?;
        let prober = Prober { keeper: Arc::clone(&keeper), resolver, own };
        let probing = Beside(tokio::spawn(prober.run()));
        let folding = Beside(tokio::spawn(Arc::clone(&series).run()));
        let listeners = RwLock::new(listeners(&engine));
        let serving = engine.serving();
        let series_of_live = Arc::clone(&series);
        let paths = options.paths;
        let parts =
            live::Parts { shared, listeners, serving, keeper, paths, discovery, series: series_of_live };
        let live = Arc::new(live::LiveProxy::new(parts));
        Ok(Self { engine, follower, live, series, _probing: probing, _folding: folding })
    }

    /// What others may ask of it while it runs.
    #[must_use]
    pub fn live(&self) -> Arc<dyn usher_model::live::Live> {
        Arc::clone(&self.live) as Arc<dyn usher_model::live::Live>
    }

    /// Where it listens for HTTP; the real ports where 0 was asked for.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.engine.addresses().plain
    }

    /// Where it listens for HTTP inside of TLS.
    #[must_use]
    pub fn tls_addresses(&self) -> Vec<SocketAddr> {
        self.engine.addresses().tls
    }

    /// Where it listens for load balancers that speak the PROXY protocol: for HTTP, then for HTTP inside of TLS.
    #[must_use]
    pub fn balancer_addresses(&self) -> Vec<SocketAddr> {
        self.engine.addresses().behind_balancer
    }

    /// Where it listens for stream routes over TCP.
    #[must_use]
    pub fn stream_addresses(&self) -> Vec<SocketAddr> {
        self.engine.addresses().stream
    }

    /// Where it listens for stream routes over UDP.
    #[must_use]
    pub fn datagram_addresses(&self) -> Vec<SocketAddr> {
        self.engine.addresses().datagrams
    }

    /// Opens the access logs anew by their names, which log rotation has moved away.
    pub fn reopen_access_logs(&self) {
        let (log, stream_log) = self.engine.access_logs();
        log.iter().chain(&stream_log).for_each(engine::Reopen::again);
    }

    /// Writes the access logs to other files, or in other formats, from now on. One that is off stays so: it can't be switched on while workers run.
    ///
    /// # Errors
    /// [`StartError::AccessLogFormat`]; nothing changes then.
    pub fn change_access_logs(
        &self,
        requests: Option<&options::AccessLog>,
        connections: Option<&options::AccessLog>,
    ) -> Result<(), StartError> {
        let (log, stream_log) = self.engine.access_logs();
        let pairs = [log.zip(requests), stream_log.zip(connections)];
        for (log, options) in pairs.iter().flatten() {
            log.check(options)?;
        }
        pairs.iter().flatten().try_for_each(|(log, options)| log.change(options))
    }

    /// Takes connections from now on, where [`Options::waits`] has kept it from that.
    pub fn open(&self) {
        self.engine.open();
    }

    /// The sockets that it listens on, for the process that goes on with them.
    ///
    /// # Errors
    /// There are too many open files.
    pub fn handed(&self) -> io::Result<Vec<Handed>> {
        self.engine.handed()
    }

    /// Listens where these options say, of which nothing else is looked at. What is the same stays untouched; connections that came by a way that is
    /// closed end behind their requests.
    ///
    /// # Errors
    /// [`StartError::Bind`]; nothing has changed then.
    pub async fn listen(&self, options: &Options) -> Result<Moved, StartError> {
        let moved = self.engine.listen(options).await?;
        self.live.listens(listeners(&self.engine));
        Ok(moved)
    }

    /// Lets go of the files that only one process may write. What is remembered of the traffic from now on ends with this process, unless it takes
    /// them back.
    pub async fn release(&self) {
        let series = Arc::clone(&self.series);
        // Whatever it is, it was told.
        let _ = tokio::task::spawn_blocking(move || series.release()).await;
    }

    /// Takes them back.
    pub fn resume(&self) {
        self.series.resume();
    }

    /// Stops accepting, lets requests in flight end within this time, then closes everything. Changes come into force until the end.
    pub async fn drain(self, within: Duration) {
        self.end(within, false).await;
    }

    /// The same where another process goes on with the sockets: idle connections live their time out, so that none is closed across a request.
    pub async fn leave(self, within: Duration) {
        self.end(within, true).await;
    }

    async fn end(self, within: Duration, goes_on: bool) {
        self.engine.drain(within, goes_on).await;
        let series = self.series;
        // Whatever it is, it was told.
        let _ = tokio::task::spawn_blocking(move || series.finish()).await;
        self.follower.stop().await;
    }
}

/// Where clients come to by connections.
fn listeners(engine: &engine::Engine) -> Vec<SocketAddr> {
    let addresses = engine.addresses();
    [addresses.plain, addresses.tls, addresses.behind_balancer, addresses.stream].concat()
}

/// How a store is that others reach too; one of this gateway's own needs no metric.
fn store_facts(store: &dyn Store) -> Option<StoreFacts> {
    (store.describe().kind == "etcd")
        .then(|| StoreFacts { reachable: store.health().away.is_none(), revision: store.revision() })
}
