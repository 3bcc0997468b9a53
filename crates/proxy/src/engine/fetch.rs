//! The small HTTP client that plugins call out with: the engine's own dialer, pool and codec, for whole answers of bounded size.

mod target;

use std::io;
use std::rc::Rc;

use bytes::BytesMut;
use tokio::io::AsyncWriteExt as _;
use tokio_rustls::TlsConnector;
use usher_http1::body::{BodyDecoder, BodyEvent};
use usher_http1::encode::{RequestExtras, encode_request};
use usher_http1::head::Head;
use usher_http1::request::{Framing, HeadProgress};
use usher_http1::response::{ResponseHead, decode_response};
use usher_model::resource::KeepalivePool;
use usher_pipeline::worker::{Answer, Call, FetchError};

pub(crate) use self::target::Target;
use super::buffers::LARGE;
use super::connect::{NoLink, connect};
use super::local::Local;
use super::nodes::{Endpoint, Place, Tls};
use super::outbound::Outbound;
use super::pool::Link;
use super::socket::Socket;
use crate::config;

/// Interim answers that are read over.
const MOST_INTERIMS: usize = 8;

/// Calls a server and reads its whole answer.
///
/// # Errors
/// [`FetchError`].
pub(super) async fn fetch(local: Rc<Local>, call: Call) -> Result<Answer, FetchError> {
    let target = Target::parse(&call.url)?;
    let peer = target.peer();
    let within = call.timeout;
    let fetched = tokio::time::timeout(within, fetch_from(&local, &call, &target)).await;
    local.clock.turn();
    fetched.unwrap_or(Err(FetchError::TimedOut(peer)))
}

async fn fetch_from(local: &Local, call: &Call, target: &Target<'_>) -> Result<Answer, FetchError> {
    let endpoint = endpoint(local, target, call.verify)?;
    let head = head(call, target, &endpoint)?;
    let idempotent = matches!(call.method.as_str(), "GET" | "HEAD" | "PUT" | "DELETE" | "OPTIONS");
    let now = local.clock.now();
    let kept =
        endpoint.idle.take(local.clock.ms(), !idempotent, |link| endpoint.place.is_at(link.address, now));
    if let Some(link) = kept {
        match ask(local, link, &endpoint, &head, call).await {
            // Closed while it was idle; nothing was done twice.
            Err(Broken::Stale(_)) if idempotent => {}
            other => return other.map_err(|broken| broken.told(target)),
        }
    }
    let link =
        Box::pin(connect(local, &endpoint, None, call.timeout)).await.map_err(|error| match error {
            NoLink::Forbidden(address, _) => FetchError::Forbidden(address.to_string()),
            NoLink::TimedOut(..) => FetchError::TimedOut(target.peer()),
            other => FetchError::Unreachable { peer: target.peer(), reason: other.to_string() },
        })?;
    ask(local, link, &endpoint, &head, call).await.map_err(|broken| broken.told(target))
}

/// Why there is no answer on a connection.
pub(super) enum Broken {
    /// Nothing was heard before it broke.
    Stale(io::Error),
    /// It broke later.
    Cut(io::Error),
    /// The answer breaks the rules, or is too large.
    Bad(String),
}

impl Broken {
    fn told(self, target: &Target<'_>) -> FetchError {
        self.by(target.peer())
    }

    /// The same of this peer.
    pub(super) fn by(self, peer: String) -> FetchError {
        match self {
            Self::Stale(error) | Self::Cut(error) => {
                FetchError::Unreachable { peer, reason: error.to_string() }
            }
            Self::Bad(reason) => FetchError::BadAnswer { peer, reason },
        }
    }
}

fn endpoint(local: &Local, target: &Target<'_>, verify: bool) -> Result<Endpoint, FetchError> {
    let unusable = |reason: String| FetchError::BadUrl { url: target.url.to_owned(), reason };
    let tls = if target.scheme == usher_model::resource::Scheme::Https {
        let config = config::client_tls(verify).map_err(unusable)?;
        let name = rustls::pki_types::ServerName::try_from(target.host.to_owned())
            .map_err(|_| unusable("its host can't be the name of a certificate".to_owned()))?;
        Some(Tls { connector: TlsConnector::from(config), name: Some(name), follows_host: false })
    } else {
        None
    };
    // Upstreams' pools are random numbers; these are ours.
    let pool = u64::from(tls.is_some()) + u64::from(tls.is_some() && verify);
    let place = match target.host.parse() {
        Ok(ip) => Place::Address(ip),
        Err(_) => Place::Name(local.resolver.name(target.host)),
    };
    Ok(Endpoint {
        place,
        port: target.port,
        authority: target.authority().into(),
        tls,
        idle: local.nodes.idle(pool, target.host, target.port, KeepalivePool::default()),
        trunk: None,
        links: None,
    })
}

fn head(call: &Call, target: &Target<'_>, endpoint: &Endpoint) -> Result<Head, FetchError> {
    let bad = |error: usher_http1::head::BadField| FetchError::BadUrl {
        url: call.url.clone(),
        reason: error.to_string(),
    };
    let mut head = call.fields.clone();
    head.set_method(&call.method).map_err(bad)?;
    head.set_target(&target.path_and_query).map_err(bad)?;
    if !head.contains("host") {
        head.set("Host", endpoint.authority.as_bytes()).map_err(bad)?;
    }
    Ok(head)
}

async fn ask(
    local: &Local,
    mut link: Box<Link>,
    endpoint: &Endpoint,
    head: &Head,
    call: &Call,
) -> Result<Answer, Broken> {
    let framing = match call.body.len() {
        0 => Framing::None,
        length => Framing::Length(length as u64),
    };
    let extras = RequestExtras { framing, target: None, websocket: false, close: false };
    let mut out = Outbound::default();
    out.write(|text| encode_request(text, head, extras));
    out.push(call.body.clone());
    let sent = std::future::poll_fn(|context| out.poll_send(context, &mut link.socket)).await;
    sent.map_err(Broken::Stale)?;

    let mut buffer = local.buffers.large();
    let mut answer = Head::empty();
    let received = receive_head(local, &mut link.socket, &mut buffer, &mut answer, &call.method).await?;
    let body = receive_body(local, &mut link.socket, &mut buffer, received, call.max_answer_bytes).await?;
    if received.keep_alive && buffer.is_empty() {
        endpoint.idle.put(link, local.clock.ms());
    } else {
        // An orderly end, for the sake of TLS; whoever doesn't care has closed already.
        let _ = link.socket.shutdown().await;
    }
    local.buffers.give_back(buffer);
    Ok(Answer { head: answer, body: body.freeze() })
}

pub(super) async fn receive_head(
    local: &Local,
    socket: &mut Socket,
    buffer: &mut BytesMut,
    answer: &mut Head,
    method: &str,
) -> Result<ResponseHead, Broken> {
    let mut progress = HeadProgress::default();
    let mut interims = 0;
    loop {
        let decoded = decode_response(buffer, answer, &local.settings.answers, &mut progress, method);
        match decoded.map_err(|bad| Broken::Bad(bad.to_string()))? {
            Some(head) if head.switching => {
                return Err(Broken::Bad("it switched to another protocol".to_owned()));
            }
            Some(head) if !head.interim => return Ok(head),
            Some(_) if interims < MOST_INTERIMS => interims += 1,
            Some(_) => return Err(Broken::Bad("too many interim answers".to_owned())),
            None => {
                let nothing_yet = buffer.is_empty() && interims == 0;
                let broken = |error| if nothing_yet { Broken::Stale(error) } else { Broken::Cut(error) };
                if fill(local, socket, buffer).await.map_err(broken)? == 0 {
                    return Err(broken(io::ErrorKind::UnexpectedEof.into()));
                }
            }
        }
    }
}

pub(super) async fn receive_body(
    local: &Local,
    socket: &mut Socket,
    buffer: &mut BytesMut,
    head: ResponseHead,
    most: u64,
) -> Result<BytesMut, Broken> {
    let too_large = || Broken::Bad(format!("its body is larger than {most} bytes"));
    if matches!(head.framing, Framing::Length(length) if length > most) {
        return Err(too_large());
    }
    let mut decoder = BodyDecoder::new(head.framing, &local.settings.answers);
    let mut body = BytesMut::new();
    loop {
        match decoder.decode(buffer).map_err(|bad| Broken::Bad(bad.to_string()))? {
            BodyEvent::End => return Ok(body),
            BodyEvent::Data(piece) if (body.len() + piece.len()) as u64 > most => return Err(too_large()),
            BodyEvent::Data(piece) => body.extend_from_slice(&piece),
            BodyEvent::NeedMore => {
                if fill(local, socket, buffer).await.map_err(Broken::Cut)? == 0 {
                    decoder.eof().map_err(|bad| Broken::Bad(bad.to_string()))?;
                }
            }
        }
    }
}

async fn fill(local: &Local, socket: &mut Socket, buffer: &mut BytesMut) -> io::Result<usize> {
    local.buffers.make_room(buffer, LARGE);
    std::future::poll_fn(|context| socket.poll_fill(context, buffer)).await
}
