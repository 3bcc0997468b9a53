//! Other gateways of the same store: they are asked for what they add to figures of traffic, and are told what this one adds.
//!
//! Who they are is said in the settings, so that one that doesn't answer can be named instead of being missed. Questions and answers are sealed with the
//! keyring that such gateways share: nobody else can ask, read what is answered, or answer in the name of one. Everything is asked when it is wanted;
//! nothing is sent or kept otherwise.

use std::net::SocketAddr;
use std::time::Duration;

use axum::http::{Method, Request, StatusCode, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::Bytes;
use futures_util::future::join_all;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use usher_model::traffic::{Ask, Only, Portion};

use super::{Service, unix_ms};

/// Where gateways are asked.
pub(crate) const PATH: &str = "/usher/gateways/traffic";
/// Bytes of a question.
pub(crate) const MOST_QUESTION: usize = 1 << 20;
/// Bytes of an answer: a portion of sums, and a third more for how they are written, twice.
const MOST_ANSWER: usize = 12 << 20;
/// How long another gateway may take, the connection included.
const WITHIN: Duration = Duration::from_secs(3);
/// How far two clocks may be apart.
const APART_MS: u64 = 60_000;
/// Gateways that are asked, whatever names stand for.
const MOST: usize = 64;
/// Routes that a question names; whoever asks leaves the others out of what it shows.
const MOST_ROUTES: usize = 2_000;
/// Questions of others that are worked on at once.
const AT_ONCE: usize = 2;
/// What a question is sealed for. An answer is sealed for its question.
const QUESTION: &str = "usher gateways question";

/// Of how many gateways figures are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gateways {
    /// Those that are in the figures, this one among them.
    pub counted: usize,
    /// Those that are not.
    pub missing: Vec<Missing>,
}

/// A gateway whose traffic is in no figure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// As the settings name it.
    pub gateway: String,
    /// Why it is missing.
    pub reason: String,
}

impl Gateways {
    /// In a sentence: `of 3 gateways`, and which are missing.
    #[must_use]
    pub fn told(&self) -> String {
        let all = self.counted + self.missing.len();
        if self.missing.is_empty() {
            return format!("of all {all} gateways");
        }
        let missing: Vec<String> =
            self.missing.iter().map(|one| format!("{} ({})", one.gateway, one.reason)).collect();
        format!("of {} of {all} gateways; missing: {}", self.counted, missing.join(", "))
    }

    /// Adds those that a second question has missed.
    fn also(&mut self, other: Self) {
        let new = other
            .missing
            .into_iter()
            .filter(|one| self.missing.iter().all(|known| known.gateway != one.gateway));
        let new: Vec<Missing> = new.collect();
        self.counted = self.counted.saturating_sub(new.len());
        self.missing.extend(new);
    }
}

/// What the service knows of other gateways.
pub(super) struct Others {
    /// Tells this process from others, so that it passes itself over where the settings name it.
    own: String,
    answering: Semaphore,
}

#[derive(Serialize, Deserialize)]
struct Question {
    at_unix_ms: u64,
    from: u64,
    to: u64,
    step: u64,
    points: usize,
    only: Only,
}

#[derive(Serialize, Deserialize)]
struct Reply {
    gateway: String,
    since: Option<u64>,
    spans: Vec<(u64, String)>,
}

impl Others {
    pub(super) fn new(keyring: &usher_model::seal::Keyring) -> Self {
        // What is sealed is never the same twice.
        let own = keyring.seal(QUESTION, "").map(|sealed| keyring.digest(&sealed)).unwrap_or_default();
        Self { own, answering: Semaphore::new(AT_ONCE) }
    }
}

impl Service {
    /// What other gateways add to an answer, and which don't; `None` where the settings name none.
    pub(super) async fn ask_gateways(&self, ask: &Ask) -> (Vec<Portion>, Option<Gateways>) {
        let named = &self.parts.rules.gateways;
        if named.is_empty() {
            return (Vec::new(), None);
        }
        let mut gateways = Gateways { counted: 1, missing: Vec::new() };
        let mut missed = |gateway: &str, reason: String| {
            gateways.missing.push(Missing { gateway: gateway.to_owned(), reason });
        };
        let mut addresses: Vec<(String, SocketAddr)> = Vec::new();
        for name in named {
            let found = tokio::time::timeout(WITHIN, tokio::net::lookup_host(name.as_str())).await;
            match found {
                Ok(Ok(found)) => {
                    let found: Vec<SocketAddr> = found.collect();
                    for address in &found {
                        // A name that stands for several is told apart by their addresses.
                        let shown =
                            if found.len() > 1 { format!("{name} at {address}") } else { name.clone() };
                        if addresses.iter().all(|(_, known)| known != address) {
                            addresses.push((shown, *address));
                        }
                    }
                }
                Ok(Err(error)) => missed(name, format!("its name leads nowhere: {error}")),
                Err(_) => missed(name, "its name took too long".to_owned()),
            }
        }
        for (name, _) in addresses.iter().skip(MOST) {
            missed(name, format!("more than {MOST} are not asked"));
        }
        let asked = addresses.iter().take(MOST);
        let answers = join_all(asked.map(|(name, address)| async move {
            let answer = tokio::time::timeout(WITHIN, self.ask_one(*address, ask)).await;
            (name, answer.unwrap_or_else(|_| Err(format!("no answer within {} s", WITHIN.as_secs()))))
        }));
        let mut portions = Vec::new();
        let mut known = vec![self.others.own.clone()];
        for (name, answer) in answers.await {
            match answer {
                Ok((gateway, _)) if known.contains(&gateway) => {}
                Ok((gateway, portion)) => {
                    known.push(gateway);
                    portions.push(portion);
                }
                Err(reason) => missed(name, reason),
            }
        }
        gateways.counted += portions.len();
        (portions, Some(gateways))
    }

    /// Of how many gateways figures are at the moment; `None` where the settings name no others.
    pub async fn gateways(&self) -> Option<Gateways> {
        let now = unix_ms() / 1000;
        let nothing = Ask { from: now, to: now + 1, ..Ask::default() };
        self.ask_gateways(&nothing).await.1
    }

    async fn ask_one(&self, address: SocketAddr, ask: &Ask) -> Result<(String, Portion), String> {
        let keyring = &self.parts.keyring;
        let mut only = ask.only.clone();
        only.routes = only.routes.filter(|routes| routes.len() <= MOST_ROUTES);
        let question = Question {
            at_unix_ms: unix_ms(),
            from: ask.from,
            to: ask.to,
            step: ask.step,
            points: ask.points,
            only,
        };
        let question = serde_json::to_string(&question).map_err(|error| error.to_string())?;
        let question = keyring.seal(QUESTION, &question).map_err(|error| error.to_string())?;
        let sealed_for = answer_to(&keyring.digest(&question));
        let answer = exchange(address, question).await?;
        let answer = keyring
            .open(&sealed_for, &answer)
            .map_err(|_| "its answer is not sealed with a key of this keyring".to_owned())?;
        let reply: Reply =
            serde_json::from_str(&answer).map_err(|error| format!("its answer can't be read: {error}"))?;
        let spans = reply.spans.into_iter().map(|(start, bytes)| Ok((start, STANDARD_NO_PAD.decode(bytes)?)));
        let spans: Result<_, base64::DecodeError> = spans.collect();
        let spans = spans.map_err(|error| format!("its answer can't be read: {error}"))?;
        Ok((reply.gateway, Portion { since: reply.since, spans }))
    }

    /// Answers another gateway.
    ///
    /// # Errors
    /// Why not, in a sentence that tells a stranger nothing.
    pub(crate) async fn answer_gateway(&self, sealed: &str) -> Result<String, String> {
        let keyring = &self.parts.keyring;
        let question = keyring.open(QUESTION, sealed).map_err(|_| {
            "the question is not sealed with a key of this gateway's keyring; give both the same one (keyring_file)"
                .to_owned()
        })?;
        let question: Question = serde_json::from_str(&question)
            .map_err(|_| "the question can't be read: the gateways are of different versions".to_owned())?;
        let apart = unix_ms().abs_diff(question.at_unix_ms);
        if apart > APART_MS {
            return Err(format!("the clocks are {} s apart; {} are taken", apart / 1000, APART_MS / 1000));
        }
        let _turn = self.others.answering.acquire().await.map_err(|_| "it is stopping".to_owned())?;
        let Question { from, to, step, points, only, .. } = question;
        let ask = Ask { from, to, step, points, only, ..Ask::default() };
        let live = std::sync::Arc::clone(self.live());
        let portion = tokio::task::spawn_blocking(move || live.portion(&ask)).await;
        let portion = portion.map_err(|_| "the traffic could not be added up".to_owned())?;
        let spans =
            portion.spans.iter().map(|(start, bytes)| (*start, STANDARD_NO_PAD.encode(bytes))).collect();
        let reply = Reply { gateway: self.others.own.clone(), since: portion.since, spans };
        let reply = serde_json::to_string(&reply).map_err(|error| error.to_string())?;
        keyring.seal(&answer_to(&keyring.digest(sealed)), &reply).map_err(|error| error.to_string())
    }
}

/// What an answer is sealed for, so that none fits another question.
fn answer_to(digest: &str) -> String {
    format!("usher gateways answer {digest}")
}

/// Both of them, where two questions were asked.
pub(super) fn both(first: Option<Gateways>, second: Option<Gateways>) -> Option<Gateways> {
    let mut all = first?;
    if let Some(second) = second {
        all.also(second);
    }
    Some(all)
}

async fn exchange(address: SocketAddr, question: String) -> Result<String, String> {
    let text = |error: &dyn std::error::Error| error.to_string();
    let stream = tokio::net::TcpStream::connect(address).await.map_err(|error| text(&error))?;
    let shaken = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = shaken.map_err(|error| text(&error))?;
    let request = Request::builder()
        .method(Method::POST)
        .uri(PATH)
        .header(header::HOST, address.to_string())
        .header(header::CONTENT_TYPE, "text/plain")
        .body(Full::new(Bytes::from(question)))
        .map_err(|error| text(&error))?;
    let answered = async {
        let (head, body) = sender.send_request(request).await.map_err(|error| text(&error))?.into_parts();
        let body = Limited::new(body, MOST_ANSWER).collect().await.map_err(|error| error.to_string())?;
        Ok::<_, String>((head.status, body.to_bytes()))
    };
    let mut answered = std::pin::pin!(answered);
    let mut connection = std::pin::pin!(connection);
    let mut is_open = true;
    let (status, body) = loop {
        tokio::select! {
            answer = &mut answered => break answer?,
            closed = &mut connection, if is_open => match closed {
                Ok(()) => is_open = false,
                Err(error) => return Err(text(&error)),
            },
        }
    };
    let said = String::from_utf8_lossy(&body);
    match status {
        StatusCode::OK => Ok(said.into_owned()),
        StatusCode::FORBIDDEN => Err(said.chars().take(200).collect()),
        other => {
            Err(format!("it answers {other}; is {address} what another gateway has in listen.gateways?"))
        }
    }
}
