//! Redis as the place of counters that several gateways share: one connection a worker and node, opened by the worker's own dialer.
//!
//! A request costs one script, and so one round trip. Requests share the connection: what they send is not held up by what others wait for. A
//! connection that broke is opened anew once; after that the request is told, within the timeout that was set for it.

mod cluster;
mod script;
mod sentinel;
mod settings;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures_util::future::{Either, select};
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Cmd, ErrorKind, FromRedisValue, RedisConnectionInfo, RedisError, ServerErrorKind,
};
use tokio::sync::Mutex;
use usher_model::secret::Secret;
use usher_pipeline::worker::{Peer, Worker};

pub(crate) use script::Script;
pub(crate) use settings::{Cluster, Sentinel, Single};

use settings::Place;

/// How often one request follows a cluster that sends it elsewhere.
const MOST_REDIRECTS: usize = 4;

/// A Redis, a cluster of them, or one that sentinels know.
#[derive(Debug)]
pub(crate) struct Redis {
    place: Place,
    user: Option<String>,
    password: Option<Secret<String>>,
    database: i64,
    timeout: Duration,
    keepalive: Duration,
    tls: Option<usher_pipeline::worker::PeerTls>,
    /// What connections of one worker are shared by: a digest of everything above.
    identity: String,
}

/// Why a request was not counted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    /// Nothing came in time.
    #[error("redis did not answer within {0:?}")]
    TimedOut(Duration),
    /// The connection, or redis itself.
    #[error("redis: {0}")]
    Redis(#[from] RedisError),
    /// There is no connection.
    #[error("{0}")]
    Unreachable(String),
}

/// One worker's connections to one Redis.
#[derive(Default)]
struct Links {
    nodes: RefCell<Nodes>,
    slots: RefCell<cluster::Slots>,
    master: RefCell<Option<(String, u16)>>,
    /// Which of the sentinels, or of the cluster's seeds, is asked first.
    turn: Cell<usize>,
}

/// Connections by host and port.
type Nodes = HashMap<(String, u16), Rc<Node>>;

#[derive(Default)]
struct Node {
    link: Mutex<Link>,
    /// When it last answered.
    heard: Cell<Option<Instant>>,
}

#[derive(Default)]
struct Link {
    open: Option<MultiplexedConnection>,
    used: Option<Instant>,
}

/// Nodes that one worker remembers of one cluster.
const MOST_NODES: usize = 1024;

impl Links {
    /// Whom to ask who is where, each with its place. Whoever is silent uses up a request's time, and that request is dropped: the next one has
    /// its turn then.
    fn in_turn<'a>(
        &'a self,
        all: &'a [(String, u16)],
    ) -> impl Iterator<Item = (usize, &'a (String, u16))> + 'a {
        let first = self.turn.get();
        (0..all.len()).filter_map(move |next| {
            let at = first.wrapping_add(next) % all.len();
            self.turn.set(at + 1);
            Some((at, all.get(at)?))
        })
    }

    fn hear(&self, node: &(String, u16), now: Instant) {
        if let Some(node) = self.nodes.borrow().get(node) {
            node.heard.set(Some(now));
        }
    }

    /// Forgets who is where, and connections on which nothing came since then: they may lead nowhere any more, without a word of that.
    fn doubt(&self, since: Instant) {
        self.master.borrow_mut().take();
        *self.slots.borrow_mut() = cluster::Slots::default();
        for node in self.nodes.borrow().values() {
            if node.heard.get().is_none_or(|heard| heard < since)
                && let Ok(mut link) = node.link.try_lock()
            {
                link.open = None;
            }
        }
    }
}

impl Redis {
    /// Runs a script on a key, and reads its answer.
    ///
    /// # Errors
    /// [`Trouble`].
    pub(crate) async fn run<T: FromRedisValue>(
        &self,
        worker: &Rc<dyn Worker>,
        script: &Script,
        key: &[u8],
        arguments: &[String],
    ) -> Result<T, Trouble> {
        let links = worker.shelf().keep(&self.identity, Links::default);
        let began = worker.now();
        let ask = Box::pin(self.run_on_time(worker, &links, script, key, arguments));
        let answer = match select(ask, worker.sleep(self.timeout)).await {
            Either::Left((answer, _)) => answer,
            Either::Right(((), _)) => Err(Trouble::TimedOut(self.timeout)),
        };
        if answer.is_err() {
            // Others may be in charge by now. A node that can't be reached would be asked for as long as it is away.
            links.doubt(began);
        }
        answer
    }

    async fn run_on_time<T: FromRedisValue>(
        &self,
        worker: &Rc<dyn Worker>,
        links: &Links,
        script: &Script,
        key: &[u8],
        arguments: &[String],
    ) -> Result<T, Trouble> {
        let mut node = self.node_for(worker, links, key).await?;
        let mut asking = false;
        let mut opened_anew = false;
        for _ in 0..MOST_REDIRECTS {
            let (mut connection, was_open) = self.open(worker, links, &node, self.node_login()).await?;
            let answer = script.send(&mut connection, key, arguments, asking).await;
            links.hear(&node, worker.now());
            asking = false;
            let error = match answer {
                Ok(value) => return Ok(redis::from_redis_value(value).map_err(RedisError::from)?),
                Err(error) => error,
            };
            if error.is_connection_dropped() || error.is_io_error() || error.is_unrecoverable_error() {
                self.forget(links, &node).await;
                if !was_open || opened_anew {
                    return Err(error.into());
                }
                opened_anew = true;
                if matches!(self.place, Place::Sentinel(_)) {
                    links.master.borrow_mut().take();
                    node = self.node_for(worker, links, key).await?;
                }
                continue;
            }
            match (error.kind(), error.redirect_node()) {
                (ErrorKind::Server(ServerErrorKind::Moved), Some((address, slot))) => {
                    node = cluster::address(address, &node.0)
                        .ok_or_else(|| Trouble::Unreachable(format!("redis moved a key to {address:?}")))?;
                    links.slots.borrow_mut().moved(slot, node.clone());
                }
                (ErrorKind::Server(ServerErrorKind::Ask), Some((address, _))) => {
                    node = cluster::address(address, &node.0)
                        .ok_or_else(|| Trouble::Unreachable(format!("redis asks for {address:?}")))?;
                    asking = true;
                }
                (ErrorKind::Server(ServerErrorKind::ReadOnly), _)
                    if matches!(self.place, Place::Sentinel(_)) =>
                {
                    // The master became a replica.
                    links.master.borrow_mut().take();
                    let next = self.node_for(worker, links, key).await?;
                    if next == node {
                        return Err(error.into());
                    }
                    node = next;
                }
                _ => return Err(error.into()),
            }
        }
        Err(Trouble::Unreachable("redis sends the request from node to node".to_owned()))
    }

    /// The node that a key is on.
    async fn node_for(
        &self,
        worker: &Rc<dyn Worker>,
        links: &Links,
        key: &[u8],
    ) -> Result<(String, u16), Trouble> {
        match &self.place {
            Place::Single(host, port) => Ok((host.clone(), *port)),
            Place::Cluster(seeds) => cluster::node_for(self, worker, links, seeds, key).await,
            Place::Sentinel(sentinel) => sentinel::node_for(self, worker, links, sentinel).await,
        }
    }

    fn node_login(&self) -> RedisConnectionInfo {
        login(self.user.as_deref(), self.password.as_ref(), self.database)
    }

    /// A connection to a node, and whether it was there before.
    async fn open(
        &self,
        worker: &Rc<dyn Worker>,
        links: &Links,
        node: &(String, u16),
        login: RedisConnectionInfo,
    ) -> Result<(MultiplexedConnection, bool), Trouble> {
        let known = {
            let mut nodes = links.nodes.borrow_mut();
            if nodes.len() >= MOST_NODES && !nodes.contains_key(node) {
                nodes.clear();
            }
            Rc::clone(nodes.entry(node.clone()).or_default())
        };
        // Held while the connection is opened, so that many requests at once open one.
        let mut place = known.link.lock().await;
        let now = worker.now();
        let is_old = place.used.is_some_and(|used| now.saturating_duration_since(used) >= self.keepalive);
        place.used = Some(now);
        if let Some(open) = place.open.as_ref().filter(|_| !is_old) {
            return Ok((open.clone(), true));
        }
        place.open = None;
        let (host, port) = node.clone();
        let peer = Peer { host, port, tls: self.tls.clone(), timeout: self.timeout };
        let stream = worker.connect(peer).await.map_err(|error| Trouble::Unreachable(error.to_string()))?;
        let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        let (connection, driver) = MultiplexedConnection::new_with_config(&login, stream, config).await?;
        if !worker.attend(Box::pin(driver)) {
            return Err(Trouble::Unreachable("the worker has too many connections of plugins".to_owned()));
        }
        place.open = Some(connection.clone());
        known.heard.set(Some(worker.now()));
        Ok((connection, false))
    }

    async fn forget(&self, links: &Links, node: &(String, u16)) {
        let place = links.nodes.borrow().get(node).map(Rc::clone);
        if let Some(place) = place {
            place.link.lock().await.open = None;
        }
    }

    /// Sends one command to a node.
    async fn ask(
        &self,
        worker: &Rc<dyn Worker>,
        links: &Links,
        node: &(String, u16),
        login: RedisConnectionInfo,
        command: &Cmd,
    ) -> Result<redis::Value, Trouble> {
        let (mut connection, _) = self.open(worker, links, node, login).await?;
        match command.query_async(&mut connection).await {
            Ok(value) => Ok(value),
            Err(error) => {
                self.forget(links, node).await;
                Err(error.into())
            }
        }
    }
}

fn login(user: Option<&str>, password: Option<&Secret<String>>, database: i64) -> RedisConnectionInfo {
    let mut login = RedisConnectionInfo::default().set_db(database).set_skip_set_lib_name();
    if let Some(password) = password.map(Secret::expose).filter(|password| !password.is_empty()) {
        login = login.set_password(password);
        if let Some(user) = user.filter(|user| !user.is_empty()) {
            login = login.set_username(user);
        }
    }
    login
}

/// The longest text of a key that stands in a counter's name as it is, in bytes.
const PLAIN: usize = 64;

/// The name of a key's counter: the key as it is where it is short and plain, or else its digest, so that no client makes names long.
pub(crate) fn shared_name(prefix: &str, key: &[u8]) -> Vec<u8> {
    let mut name = format!("{prefix}:").into_bytes();
    if key.len() <= PLAIN && key.iter().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'{' | b'}')) {
        name.extend_from_slice(key);
    } else {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, key);
        name.push(b'=');
        name.extend_from_slice(script::hex(digest.as_ref()).as_bytes());
    }
    name
}

#[cfg(test)]
pub(crate) mod tests;
