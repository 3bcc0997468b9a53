//! Sends messages to a topic: asks the brokers where its partitions are, and hands each message to the leader of one.
//!
//! Connections live as long as one batch. Where partitions are is remembered for a while; whatever a leader refuses because the partition has moved is
//! asked anew and tried again, a few times.

use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::{Either, select};
use usher_model::compat::Behaviour;
use usher_pipeline::env::Env;
use usher_pipeline::plugin::BuildError;
use usher_pipeline::worker::{Peer, PeerTls, Stream, Worker};

use super::config::{Config, Mechanism, Sasl};
use super::records;
use super::sasl::{Scram, plain};
use super::wire::{Answer, MALFORMED, Request, ask};
use crate::addresses;

/// How often a message is tried again whose partition has moved, or isn't there yet.
const RETRIES: usize = 3;
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(100);

const PRODUCE: (i16, i16) = (0, 3);
const METADATA: (i16, i16) = (3, 1);
const HANDSHAKE: (i16, i16) = (17, 1);
const AUTHENTICATE: (i16, i16) = (36, 0);

/// Sends messages to one topic.
pub(super) struct Producer {
    brokers: Vec<(Peer, Option<Sasl>)>,
    topic: String,
    acks: i16,
    key: Option<String>,
    refresh: Duration,
    allows_plain: bool,
    known: Mutex<Option<Arc<Partitions>>>,
    next: AtomicUsize,
}

/// Where the topic's partitions are.
struct Partitions {
    /// Number and leader, in the order of the numbers.
    leaders: Vec<(i32, Peer)>,
    at: Instant,
}

/// Why messages were not sent.
struct Failed {
    why: String,
    /// Whether it may be otherwise soon.
    passes: bool,
}

impl Failed {
    const fn for_good(why: String) -> Self {
        Self { why, passes: false }
    }

    fn code(code: i16, what: &str) -> Self {
        let (name, passes) = meaning(code);
        Self { why: format!("{what}: {name} (error {code})"), passes }
    }
}

/// What Kafka's error codes mean, as far as a producer meets them, and whether they pass by themselves.
const fn meaning(code: i16) -> (&'static str, bool) {
    match code {
        2 => ("the message arrived damaged", true),
        3 => ("there is no such topic or partition", true),
        5 => ("the partition has no leader yet", true),
        6 => ("the broker does not lead the partition", true),
        7 => ("the replicas did not confirm in time", true),
        10 | 18 => ("the message is larger than the broker takes", false),
        17 => ("the topic's name can't be used", false),
        19 | 20 => ("too few replicas are in step", true),
        29 => ("the user may not write to the topic", false),
        33 => ("the broker does not know this way to authenticate", false),
        35 => ("the broker does not speak this version", false),
        58 => ("the user was not let in", false),
        87 => ("the broker refuses the message by its topic's rules", false),
        _ => ("the broker refused", false),
    }
}

/// A connection to a broker.
struct Link {
    peer: Peer,
    stream: Box<dyn Stream>,
    number: i32,
}

impl Producer {
    /// # Errors
    /// A broker that the gateway never calls, or a password that would be sent in the clear.
    pub(super) fn new(config: &Config, env: &Env<'_>) -> Result<Self, BuildError> {
        let timeout = Duration::from_secs(config.timeout);
        let tls = config.tls.as_ref().map(|tls| PeerTls { verify: tls.verify, name: None });
        let peer = |host: &str, port| Peer { host: host.to_owned(), port, tls: tls.clone(), timeout };
        let mut brokers = Vec::new();
        for (host, port) in config.broker_list.iter().flatten() {
            addresses::check_host("broker_list", host, *port, env)?;
            brokers.push((peer(host, *port), None));
        }
        for broker in config.brokers.iter().flatten() {
            addresses::check_host("brokers", &broker.host, broker.port, env)?;
            brokers.push((peer(&broker.host, broker.port), broker.sasl_config.clone()));
        }
        let made = Self {
            brokers,
            topic: config.kafka_topic.clone().unwrap_or_default(),
            acks: config.required_acks,
            key: config.key.clone().filter(|key| !key.is_empty()),
            refresh: Duration::from_secs(config.meta_refresh_interval),
            allows_plain: env.process().compat().has(Behaviour::PlainCredentials),
            known: Mutex::default(),
            next: AtomicUsize::new(0),
        };
        for (peer, sasl) in &made.brokers {
            if sasl.as_ref().is_some_and(|sasl| !made.may_say(sasl, peer)) {
                return Err(BuildError::new(format!(
                    "property \"brokers\" validation failed: the password of {} would be sent to {peer} in the clear; set \"tls\", or a \"mechanism\" of SCRAM-SHA-256 or SCRAM-SHA-512",
                    sasl.as_ref().map_or("", |sasl| &sasl.user),
                )));
            }
        }
        Ok(made)
    }

    /// Whether a password may be said to a broker: over TLS, to this very machine, or where it isn't said at all.
    fn may_say(&self, sasl: &Sasl, peer: &Peer) -> bool {
        let is_local = peer.host.eq_ignore_ascii_case("localhost")
            || peer.host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback());
        sasl.mechanism != Mechanism::Plain || peer.tls.is_some() || is_local || self.allows_plain
    }

    /// Sends messages, in their order.
    ///
    /// # Errors
    /// Why the first of those that are left could not be sent.
    pub(super) async fn send(&self, worker: &Rc<dyn Worker>, messages: &[String]) -> Result<(), String> {
        let mut left = messages;
        let mut tries = 0;
        loop {
            let mut links = Vec::new();
            let sent = self.send_some(worker, &mut left, &mut links).await;
            let Err(failed) = sent else { return Ok(()) };
            self.remember(None);
            if !failed.passes || tries >= RETRIES {
                return Err(failed.why);
            }
            tries += 1;
            worker.sleep(PAUSE).await;
        }
    }

    /// Takes those that were sent off the front.
    async fn send_some(
        &self,
        worker: &Rc<dyn Worker>,
        left: &mut &[String],
        links: &mut Vec<Link>,
    ) -> Result<(), Failed> {
        let partitions = self.partitions(worker).await?;
        while let Some((message, rest)) = left.split_first() {
            let count = partitions.leaders.len().max(1);
            let at = match &self.key {
                // As lua-resty-kafka does it, so that keys keep their partitions.
                Some(key) => crc32fast::hash(key.as_bytes()) as usize % count,
                None => self.next.fetch_add(1, Ordering::Relaxed) % count,
            };
            let Some((partition, leader)) = partitions.leaders.get(at) else {
                return Err(Failed::code(5, &format!("the topic {}", self.topic)));
            };
            let link = self.link(worker, leader, links).await?;
            let record =
                records::batch(self.key.as_ref().map(String::as_bytes), message.as_bytes(), worker.unix_ms());
            self.produce(worker, link, *partition, &record).await?;
            *left = rest;
        }
        Ok(())
    }

    fn remember(&self, found: Option<Arc<Partitions>>) {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = found;
    }

    async fn partitions(&self, worker: &Rc<dyn Worker>) -> Result<Arc<Partitions>, Failed> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(known) =
            known.filter(|known| worker.now().saturating_duration_since(known.at) < self.refresh)
        {
            return Ok(known);
        }
        let mut why = Failed::for_good("no broker is written".to_owned());
        let start = self.next.load(Ordering::Relaxed) % self.brokers.len().max(1);
        let (behind, first) = self.brokers.split_at_checked(start).unwrap_or_default();
        for (peer, _) in first.iter().chain(behind) {
            match self.ask_where(worker, peer).await {
                Ok(found) => {
                    let found = Arc::new(found);
                    self.remember(Some(Arc::clone(&found)));
                    return Ok(found);
                }
                Err(failed) => why = failed,
            }
        }
        Err(why)
    }

    async fn ask_where(&self, worker: &Rc<dyn Worker>, peer: &Peer) -> Result<Partitions, Failed> {
        let mut links = Vec::new();
        let link = self.link(worker, peer, &mut links).await?;
        let answer = link
            .ask(worker, METADATA, |request| {
                request.i32(1).text(&self.topic);
            })
            .await?;
        let read = read_metadata(&mut Answer::new(&answer), &self.topic);
        let (brokers, code, partitions) = read.map_err(|why| Failed::for_good(why.to_owned()))?;
        if code != 0 {
            return Err(Failed::code(code, &format!("the topic {}", self.topic)));
        }
        let leader = |id: i32| {
            let (_, host, port) = brokers.iter().find(|(known, ..)| *known == id)?;
            Some(Peer { host: host.clone(), port: *port, ..peer.clone() })
        };
        let mut leaders: Vec<_> =
            partitions.iter().filter_map(|(partition, id)| Some((*partition, leader(*id)?))).collect();
        leaders.sort_by_key(|(partition, _)| *partition);
        if leaders.is_empty() {
            return Err(Failed::code(5, &format!("the topic {}", self.topic)));
        }
        Ok(Partitions { leaders, at: worker.now() })
    }

    /// The connection to a broker among these, opened where it isn't there.
    async fn link<'a>(
        &self,
        worker: &Rc<dyn Worker>,
        peer: &Peer,
        links: &'a mut Vec<Link>,
    ) -> Result<&'a mut Link, Failed> {
        let at = match links.iter().position(|link| link.peer == *peer) {
            Some(at) => at,
            None => {
                links.push(self.open(worker, peer).await?);
                links.len() - 1
            }
        };
        links.get_mut(at).ok_or_else(|| Failed::for_good(MALFORMED.to_owned()))
    }

    async fn open(&self, worker: &Rc<dyn Worker>, peer: &Peer) -> Result<Link, Failed> {
        let stream =
            worker.connect(peer.clone()).await.map_err(|error| Failed::for_good(error.to_string()))?;
        let mut link = Link { peer: peer.clone(), stream, number: 0 };
        // A broker that others have named is one of theirs.
        let own = self.brokers.iter().find(|(known, _)| known.host == peer.host && known.port == peer.port);
        let sasl = own.map_or_else(
            || self.brokers.iter().find_map(|(_, sasl)| sasl.as_ref()),
            |(_, sasl)| sasl.as_ref(),
        );
        if let Some(sasl) = sasl {
            if !self.may_say(sasl, peer) {
                return Err(Failed::for_good(format!("the password would be sent to {peer} in the clear")));
            }
            link.authenticate(worker, sasl).await?;
        }
        Ok(link)
    }

    async fn produce(
        &self,
        worker: &Rc<dyn Worker>,
        link: &mut Link,
        partition: i32,
        record: &[u8],
    ) -> Result<(), Failed> {
        let timeout = i32::try_from(link.peer.timeout.as_millis()).unwrap_or(i32::MAX);
        let answer = link
            .ask(worker, PRODUCE, |request| {
                // No transaction; one topic, one partition.
                request.i16(-1).i16(self.acks).i32(timeout);
                request.i32(1).text(&self.topic).i32(1).i32(partition).bytes(record);
            })
            .await?;
        let code =
            read_produced(&mut Answer::new(&answer)).map_err(|why| Failed::for_good(why.to_owned()))?;
        match code {
            0 => Ok(()),
            code => Err(Failed::code(code, &format!("partition {partition} of the topic {}", self.topic))),
        }
    }
}

impl Link {
    /// Sends a request and reads its answer, within the time that a broker has.
    async fn ask(
        &mut self,
        worker: &Rc<dyn Worker>,
        (api, version): (i16, i16),
        write: impl FnOnce(&mut Request),
    ) -> Result<Vec<u8>, Failed> {
        self.number = self.number.wrapping_add(1);
        let mut request = Request::new(api, version, self.number);
        write(&mut request);
        let answered = within(worker, self.peer.timeout, ask(&mut *self.stream, request, self.number)).await;
        match answered {
            Some(answered) => {
                answered.map_err(|why| Failed { why: format!("{}: {why}", self.peer), passes: true })
            }
            None => {
                Err(Failed::for_good(format!("{} did not answer within {:?}", self.peer, self.peer.timeout)))
            }
        }
    }

    async fn authenticate(&mut self, worker: &Rc<dyn Worker>, sasl: &Sasl) -> Result<(), Failed> {
        let answer = self
            .ask(worker, HANDSHAKE, |request| {
                request.text(sasl.mechanism.name());
            })
            .await?;
        let code = Answer::new(&answer).i16().map_err(|why| Failed::for_good(why.to_owned()))?;
        if code != 0 {
            return Err(Failed::code(code, &format!("{}: {}", self.peer, sasl.mechanism.name())));
        }
        if sasl.mechanism == Mechanism::Plain {
            return self.prove(worker, &plain(sasl)).await.map(drop);
        }
        let mut scram = Scram::new(sasl).map_err(Failed::for_good)?;
        let first = self.prove(worker, scram.first().as_bytes()).await?;
        let second = scram.second(&first).map_err(|why| Failed::for_good(why.to_owned()))?;
        let last = self.prove(worker, second.as_bytes()).await?;
        if scram.is_proved(&last) {
            return Ok(());
        }
        Err(Failed::for_good(format!("{} does not know the password that it was asked to check", self.peer)))
    }

    async fn prove(&mut self, worker: &Rc<dyn Worker>, proof: &[u8]) -> Result<Vec<u8>, Failed> {
        let answer = self
            .ask(worker, AUTHENTICATE, |request| {
                request.bytes(proof);
            })
            .await?;
        let mut answer = Answer::new(&answer);
        let mut read = || {
            let code = answer.i16()?;
            // What the broker says of it may quote what it was sent.
            answer.text()?;
            Ok::<_, &'static str>((code, answer.bytes()?.to_vec()))
        };
        match read().map_err(|why| Failed::for_good(why.to_owned()))? {
            (0, said) => Ok(said),
            (code, _) => Err(Failed::code(code, &self.peer.to_string())),
        }
    }
}

async fn within<T>(worker: &Rc<dyn Worker>, time: Duration, work: impl Future<Output = T>) -> Option<T> {
    match select(pin!(work), worker.sleep(time)).await {
        Either::Left((done, _)) => Some(done),
        Either::Right(_) => None,
    }
}

/// The brokers by their numbers, the topic's error code, and its partitions with the numbers of their leaders.
type Metadata = (Vec<(i32, String, u16)>, i16, Vec<(i32, i32)>);

fn read_metadata(answer: &mut Answer<'_>, topic: &str) -> Result<Metadata, &'static str> {
    let brokers = answer.each(|answer| {
        let (id, host, port) = (answer.i32()?, answer.text()?.unwrap_or_default(), answer.i32()?);
        let _rack = answer.text()?;
        Ok((id, host, u16::try_from(port).map_err(|_| MALFORMED)?))
    })?;
    let _controller = answer.i32()?;
    let topics = answer.each(|answer| {
        let (code, name) = (answer.i16()?, answer.text()?.unwrap_or_default());
        let _is_internal = answer.truth()?;
        let partitions = answer.each(|answer| {
            let _code = answer.i16()?;
            let (partition, leader) = (answer.i32()?, answer.i32()?);
            let _replicas = answer.each(Answer::i32)?;
            let _in_step = answer.each(Answer::i32)?;
            Ok((partition, leader))
        })?;
        Ok((code, name, partitions))
    })?;
    let (code, _, partitions) = topics.into_iter().find(|(_, name, _)| name == topic).ok_or(MALFORMED)?;
    Ok((brokers, code, partitions))
}

/// The error code of the one partition.
fn read_produced(answer: &mut Answer<'_>) -> Result<i16, &'static str> {
    let codes = answer.each(|answer| {
        let _topic = answer.text()?;
        answer.each(|answer| {
            let (_partition, code) = (answer.i32()?, answer.i16()?);
            let (_offset, _time) = (answer.i64()?, answer.i64()?);
            Ok(code)
        })
    })?;
    codes.first().and_then(|codes| codes.first()).copied().ok_or(MALFORMED)
}
