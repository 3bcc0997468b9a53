//! The workers: threads that accept connections and serve requests, each with everything of its own.
//!
//! Nothing of a request crosses to another thread. What the workers share is the pointer to the snapshot, counters that are striped, and the names of
//! upstream nodes.

mod access_log;
mod alarm;
mod answer;
mod balancer;
mod budget;
mod buffers;
mod calls;
mod client;
mod clients;
mod clock;
mod connect;
mod connection;
mod course;
mod errors;
mod far;
mod fetch;
mod files;
mod forward;
mod http2;
mod ingress;
mod inner;
mod listen;
mod local;
mod nodes;
mod outbound;
mod path;
mod plugins;
mod pool;
mod pressure;
mod proof;
mod recent;
mod relay;
mod serving;
mod settings;
mod socket;
mod state;
mod stream;
mod throttle;
mod tls;
mod upload;
mod view;
mod watched;
mod ways;
mod websocket;
mod worker;

pub(crate) use fetch::Target as CallTarget;
pub(crate) use ingress::split_host;
pub(crate) use path::{Spelling, canonical, judged};
pub(crate) use recent::{Ring, Spans, recent};
pub(crate) use serving::Serving;
pub(crate) use watched::Watches;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

pub(crate) use self::access_log::Reopen;
use self::access_log::{DEFAULT_FORMAT, Log, STREAM_FORMAT};
use self::clients::Clients;
use self::ingress::Ingress;
use self::local::Parts;
use self::pressure::Pressure;
use self::settings::Settings;
use self::ways::{Ways, WaysIn};
use self::worker::Order;
use crate::StartError;
use crate::config::Shared;
use crate::handed::Handed;
use crate::options::Options;
use crate::resolve::Resolver;
use crate::series::Desk;

/// The running workers. Dropped without having been drained, it cuts them.
pub(crate) struct Engine {
    ways: Ways,
    orders: watch::Sender<Order>,
    workers: Vec<Worker>,
    serving: Serving,
    log: Option<Log>,
    stream_log: Option<Log>,
}

struct Worker {
    thread: JoinHandle<()>,
    /// Where it hears of more ways in.
    ways_in: mpsc::Sender<WaysIn>,
}

/// Ways in that a worker may not have heard of yet.
const WAYS_IN: usize = 4;

/// Where the workers listen; the real ports where 0 was asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Addresses {
    /// For HTTP.
    pub(crate) plain: Vec<SocketAddr>,
    /// For HTTP inside of TLS.
    pub(crate) tls: Vec<SocketAddr>,
    /// Behind a load balancer, for either.
    pub(crate) behind_balancer: Vec<SocketAddr>,
    /// For stream routes over TCP, with and without TLS.
    pub(crate) stream: Vec<SocketAddr>,
    /// For stream routes over UDP.
    pub(crate) datagrams: Vec<SocketAddr>,
}

/// What a change of the ways in came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// Addresses that are listened on since.
    pub opened: Vec<SocketAddr>,
    /// Addresses that no longer are.
    pub closed: Vec<SocketAddr>,
}

/// Binds every listener and starts the workers. When it returns, connections are accepted, unless the options say that they wait for
/// [`Engine::open`].
///
/// # Errors
/// An address, the access log or a thread can't be had; nothing runs then.
pub(crate) fn start(
    options: &Options,
    shared: Arc<Shared>,
    resolver: Arc<Resolver>,
    desk: &Arc<Desk>,
) -> Result<Engine, StartError> {
    let workers = options.workers.max(1);
    let files = files::raise_limit();
    let log = options.access_log.as_ref().map(|log| Log::open(log, DEFAULT_FORMAT)).transpose()?;
    let stream_log =
        options.stream_access_log.as_ref().map(|log| Log::open(log, STREAM_FORMAT)).transpose()?;
    let (ways, ways_in) = Ways::open(options, workers)?;
    let pressure = Pressure::watch(options.bounds.memory_bytes);
    let clients = options.bounds.connections_per_client.map(|most| Arc::new(Clients::new(most)));
    let (orders, heard) = watch::channel(if options.waits { Order::Wait } else { Order::Serve });
    let serving = Serving::new(workers);
    let mut engine = Engine { ways, orders, workers: Vec::with_capacity(workers), serving, log, stream_log };
    for (index, first) in ways_in.into_iter().enumerate() {
        let failed = |source| StartError::Worker { index, source };
        let parts = Parts {
            index,
            settings: Settings::new(options, workers, files),
            ingress: Ingress::new(options, &shared),
            shared: Arc::clone(&shared),
            resolver: Arc::clone(&resolver),
            pressure: Arc::clone(&pressure),
            clients: clients.clone(),
            desk: Arc::clone(desk),
            lines: engine.log.as_ref().map(Log::lines),
            stream_lines: engine.stream_log.as_ref().map(Log::lines),
        };
        let (started, word) = sync_channel(1);
        let serving = engine.serving.clone();
        let (ways_in, arriving) = mpsc::channel(WAYS_IN);
        // There is room for the first.
        let _ = ways_in.try_send(first);
        let thread = worker::start(parts, arriving, heard.clone(), started, serving).map_err(failed)?;
        engine.workers.push(Worker { thread, ways_in });
        // A thread that ends without a word has panicked, which is told where it happens.
        word.recv().unwrap_or_else(|_| Err(io::ErrorKind::Other.into())).map_err(failed)?;
    }
    Ok(engine)
}

impl Engine {
    /// Where it listens.
    pub(crate) fn addresses(&self) -> Addresses {
        self.ways.addresses()
    }

    /// Takes connections from now on.
    pub(crate) fn open(&self) {
        self.orders.send_if_modified(|order| {
            let waits = *order == Order::Wait;
            if waits {
                *order = Order::Serve;
            }
            waits
        });
    }

    /// The sockets that it listens on, for another process.
    ///
    /// # Errors
    /// There are too many open files.
    pub(crate) fn handed(&self) -> io::Result<Vec<Handed>> {
        self.ways.handed()
    }

    /// Listens where newer options say; what is the same stays untouched. Connections that came by a way that is closed end behind their requests.
    ///
    /// # Errors
    /// An address can't be had; nothing has changed then.
    pub(crate) async fn listen(&self, options: &Options) -> Result<Moved, StartError> {
        let mut change = self.ways.prepare(options)?;
        let opened = change.opened();
        for (worker, more) in self.workers.iter().zip(std::mem::take(&mut change.ways_in)) {
            // One that has ended is missed elsewhere.
            let _ = worker.ways_in.send(more).await;
        }
        let closed = self.ways.finish(change);
        Ok(Moved { opened, closed })
    }

    /// What opens the access logs anew, where there are any: that of requests, and that of connections.
    pub(crate) fn access_logs(&self) -> (Option<Reopen>, Option<Reopen>) {
        (self.log.as_ref().map(Log::reopen), self.stream_log.as_ref().map(Log::reopen))
    }

    /// Which workers serve.
    pub(crate) fn serving(&self) -> Serving {
        self.serving.clone()
    }

    /// Takes no more connections, lets requests in flight end within this time, then cuts what is left. Where another process `goes_on` listening,
    /// idle connections live their time out.
    pub(crate) async fn drain(mut self, within: Duration, goes_on: bool) {
        let workers = std::mem::take(&mut self.workers);
        let logs = [self.log.take(), self.stream_log.take()];
        self.ways.forget();
        self.orders.send_replace(if goes_on { Order::Leave } else { Order::Drain });
        let mut ended = tokio::task::spawn_blocking(move || {
            for worker in workers {
                if worker.thread.join().is_err() {
                    tracing::error!("a worker ended by a panic");
                }
            }
            logs.into_iter().flatten().for_each(Log::close);
        });
        if tokio::time::timeout(within, &mut ended).await.is_err() {
            self.orders.send_replace(Order::Cut);
            // Whatever it is, it was told.
            let _ = ended.await;
        }
    }
}
