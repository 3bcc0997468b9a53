//! The workers: threads that accept connections and serve requests, each with everything of its own.
//!
//! Nothing of a request crosses to another thread. What the workers share is the pointer to the snapshot, counters that are striped, and the names of
//! upstream nodes.

mod access_log;
mod alarm;
mod answer;
mod budget;
mod buffers;
mod client;
mod clock;
mod connect;
mod connection;
mod course;
mod errors;
mod far;
mod fetch;
mod files;
mod forward;
mod ingress;
mod listen;
mod local;
mod nodes;
mod outbound;
mod path;
mod plugins;
mod pool;
mod relay;
mod resolve;
mod serving;
mod settings;
mod socket;
mod state;
mod throttle;
mod upload;
mod view;
mod websocket;
mod worker;

pub(crate) use fetch::Target as CallTarget;
pub(crate) use ingress::split_host;
pub(crate) use path::canonical;
pub(crate) use serving::Serving;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::watch;

use self::access_log::Log;
use self::ingress::Ingress;
use self::local::Parts;
use self::resolve::Resolver;
use self::settings::Settings;
use self::worker::Order;
use crate::StartError;
use crate::config::Shared;
use crate::options::Options;

/// The running workers. Dropped without having been drained, it cuts them.
pub(crate) struct Engine {
    addresses: Vec<SocketAddr>,
    orders: watch::Sender<Order>,
    workers: Vec<JoinHandle<()>>,
    serving: Serving,
    log: Option<Log>,
}

/// Binds every listener and starts the workers. When it returns, connections are accepted.
///
/// # Errors
/// An address, the access log or a thread can't be had; nothing runs then.
pub(crate) fn start(options: &Options, shared: Arc<Shared>) -> Result<Engine, StartError> {
    let workers = options.workers.max(1);
    let files = files::raise_limit();
    let log = options.access_log.as_ref().map(Log::open).transpose()?;
    let listeners = listen::bind(&options.listen, workers)?;
    let addresses =
        listeners.iter().take(1).flatten().filter_map(|listener| listener.local_addr().ok()).collect();
    let resolver = Arc::new(Resolver::default());
    let (orders, heard) = watch::channel(Order::Serve);
    let serving = Serving::new(workers);
    let mut engine = Engine { addresses, orders, workers: Vec::with_capacity(workers), serving, log };
    for (index, listeners) in listeners.into_iter().enumerate() {
        let failed = |source| StartError::Worker { index, source };
        let parts = Parts {
            index,
            settings: Settings::new(options, workers, files),
            ingress: Ingress::new(options, &shared),
            shared: Arc::clone(&shared),
            resolver: Arc::clone(&resolver),
            lines: engine.log.as_ref().map(Log::lines),
        };
        let (started, word) = sync_channel(1);
        let serving = engine.serving.clone();
        let worker = worker::start(parts, listeners, heard.clone(), started, serving).map_err(failed)?;
        engine.workers.push(worker);
        // A thread that ends without a word has panicked, which is told where it happens.
        word.recv().unwrap_or_else(|_| Err(std::io::ErrorKind::Other.into())).map_err(failed)?;
    }
    Ok(engine)
}

impl Engine {
    /// Where it listens; the real ports where 0 was asked for.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.addresses.clone()
    }

    /// Which workers serve.
    pub(crate) fn serving(&self) -> Serving {
        self.serving.clone()
    }

    /// Takes no more connections, lets requests in flight end within this time, then cuts what is left.
    pub(crate) async fn drain(mut self, within: Duration) {
        let workers = std::mem::take(&mut self.workers);
        let log = self.log.take();
        self.orders.send_replace(Order::Drain);
        let mut ended = tokio::task::spawn_blocking(move || {
            for worker in workers {
                if worker.join().is_err() {
                    tracing::error!("a worker ended by a panic");
                }
            }
            if let Some(log) = log {
                log.close();
            }
        });
        if tokio::time::timeout(within, &mut ended).await.is_err() {
            self.orders.send_replace(Order::Cut);
            // Whatever it is, it was told.
            let _ = ended.await;
        }
    }
}
