//! One request to a secret manager or a registry of services: the gateway's own codec, its rules on addresses, and bounds on everything.
//!
//! Not the workers' client: this runs beside them, seldom, and keeps no connection. Redirects aren't followed.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use usher_http1::body::{BodyDecoder, BodyEvent};
use usher_http1::encode::{RequestExtras, encode_request};
use usher_http1::head::Head;
use usher_http1::limits::Limits;
use usher_http1::request::{Framing, HeadProgress};
use usher_http1::response::decode_response;
use usher_model::resource::Scheme;

use crate::config::{client_tls, forbidden};
use crate::engine::CallTarget;

/// For everything from the name's look-up to the last byte.
const WITHIN: Duration = Duration::from_secs(5);
/// The largest answer.
const MOST_BYTES: usize = 1 << 20;
/// Interim answers that are read over.
const MOST_INTERIMS: usize = 8;

/// A request.
pub(super) struct Ask<'a> {
    pub(super) method: &'a str,
    pub(super) url: &'a str,
    /// Fields to send; framing and, where it is missing, `Host` are added.
    pub(super) fields: Head,
    pub(super) body: &'a [u8],
    /// Whether an https server's certificate is verified.
    pub(super) verify: bool,
}

/// How far it may go.
#[derive(Clone)]
pub(super) struct Bounds {
    /// For everything from the name's look-up to the last byte.
    pub(super) within: Duration,
    /// The largest answer.
    pub(super) most_bytes: usize,
    /// Whether the first line of a body is the whole of it: whoever answers goes on and on.
    pub(super) one_line: bool,
    /// Whom an https server has to be known to, instead of what [`Ask::verify`] says.
    pub(super) tls: Option<Arc<ClientConfig>>,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { within: WITHIN, most_bytes: MOST_BYTES, one_line: false, tls: None }
    }
}

/// An answer.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) fields: Head,
    pub(super) body: Vec<u8>,
}

impl Answer {
    /// The JSON of a good answer.
    ///
    /// # Errors
    /// Who it was, and which status it gave; nothing of the answer itself, which may hold secrets.
    pub(super) fn json(&self, who: &str) -> Result<Value, String> {
        match self.status {
            200 => serde_json::from_slice(&self.body).map_err(|_| format!("{who} did not answer with JSON")),
            401 | 403 => Err(format!("{who} answered {}: the credentials don't open this", self.status)),
            404 => Err(format!("{who} answered 404: it keeps nothing there")),
            status => Err(format!("{who} answered {status}")),
        }
    }
}

/// Adds a field.
///
/// # Errors
/// It can't be sent.
pub(super) fn field(fields: &mut Head, name: &str, value: &str) -> Result<(), String> {
    fields.append(name, value).map_err(|error| error.to_string())
}

/// The `Host` and the path of a URL.
///
/// # Errors
/// It is no URL that can be called.
pub(super) fn authority(url: &str) -> Result<(String, String), String> {
    let target = CallTarget::parse(url).map_err(|error| error.to_string())?;
    Ok((target.authority(), target.path_and_query.clone()))
}

/// Asks, and reads the whole answer.
///
/// # Errors
/// Why there is none, without anything of what was sent or came.
pub(super) async fn ask(ask: Ask<'_>, own: &[SocketAddr]) -> Result<Answer, String> {
    ask_within(ask, &Bounds::default(), own).await
}

/// The same within other bounds.
///
/// # Errors
/// Why there is no answer, without anything of what was sent or came.
pub(super) async fn ask_within(ask: Ask<'_>, bounds: &Bounds, own: &[SocketAddr]) -> Result<Answer, String> {
    let target = CallTarget::parse(ask.url).map_err(|error| error.to_string())?;
    let peer = target.peer();
    match tokio::time::timeout(bounds.within, ask_at(&ask, &target, bounds, own)).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(reason)) => Err(format!("{peer} could not be asked: {reason}")),
        Err(_) => Err(format!("{peer} did not answer within {:?}", bounds.within)),
    }
}

async fn ask_at(
    ask: &Ask<'_>,
    target: &CallTarget<'_>,
    bounds: &Bounds,
    own: &[SocketAddr],
) -> Result<Answer, String> {
    let mut head = ask.fields.clone();
    head.set_method(ask.method).map_err(|error| error.to_string())?;
    head.set_target(&target.path_and_query).map_err(|error| error.to_string())?;
    if !head.contains("host") {
        field(&mut head, "Host", &target.authority())?;
    }
    let framing = match ask.body.len() {
        0 => Framing::None,
        length => Framing::Length(length as u64),
    };
    let mut out = Vec::new();
    let extras = RequestExtras { framing, target: None, websocket: false, close: true };
    encode_request(&mut out, &head, extras);
    out.extend_from_slice(ask.body);

    let stream = connect(target, own).await?;
    if target.scheme == Scheme::Http {
        return exchange(stream, &out, ask.method, bounds).await;
    }
    let name = ServerName::try_from(target.host.to_owned())
        .map_err(|_| "its host can't be the name of a certificate".to_owned())?;
    let tls = bounds.tls.clone().map_or_else(|| client_tls(ask.verify), Ok)?;
    let connector = TlsConnector::from(tls);
    let stream = connector.connect(name, stream).await.map_err(|error| format!("TLS failed: {error}"))?;
    exchange(stream, &out, ask.method, bounds).await
}

async fn connect(target: &CallTarget<'_>, own: &[SocketAddr]) -> Result<TcpStream, String> {
    let addresses: Vec<SocketAddr> = match target.host.parse::<IpAddr>() {
        Ok(ip) => vec![SocketAddr::new(ip, target.port)],
        Err(_) => {
            let found = tokio::net::lookup_host((target.host, target.port)).await;
            found.map_err(|error| format!("its name could not be resolved: {error}"))?.collect()
        }
    };
    let mut failed = "its name leads nowhere".to_owned();
    for address in addresses {
        if let Some(reason) = forbidden(address, own) {
            failed = format!("{address} is not called: {reason}");
            continue;
        }
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => failed = format!("{address} did not take the connection: {error}"),
        }
    }
    Err(failed)
}

async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    request: &[u8],
    method: &str,
    bounds: &Bounds,
) -> Result<Answer, String> {
    let broken = |error: io::Error| format!("the connection broke: {error}");
    stream.write_all(request).await.map_err(broken)?;
    stream.flush().await.map_err(broken)?;
    let limits = Limits::for_answers();
    let (mut buffer, mut head, mut progress) = (BytesMut::new(), Head::empty(), HeadProgress::default());
    let mut interims = 0;
    let received = loop {
        let decoded = decode_response(&mut buffer, &mut head, &limits, &mut progress, method);
        match decoded.map_err(|bad| bad.to_string())? {
            Some(received) if received.switching => return Err("it switched to another protocol".to_owned()),
            Some(received) if !received.interim => break received,
            Some(_) if interims < MOST_INTERIMS => interims += 1,
            Some(_) => return Err("it gave too many interim answers".to_owned()),
            None if stream.read_buf(&mut buffer).await.map_err(broken)? == 0 => {
                return Err("it closed before its answer".to_owned());
            }
            None => {}
        }
    };
    let mut decoder = BodyDecoder::new(received.framing, &limits);
    let mut body = Vec::new();
    loop {
        match decoder.decode(&mut buffer).map_err(|bad| bad.to_string())? {
            BodyEvent::End => return Ok(Answer { status: head.status(), fields: head, body }),
            BodyEvent::Data(piece) if body.len() + piece.len() > bounds.most_bytes => {
                return Err(format!("its answer is larger than {} bytes", bounds.most_bytes));
            }
            BodyEvent::Data(piece) => {
                body.extend_from_slice(&piece);
                if bounds.one_line && head.status() == 200 && piece.contains(&b'\n') {
                    return Ok(Answer { status: head.status(), fields: head, body });
                }
            }
            BodyEvent::NeedMore => {
                if stream.read_buf(&mut buffer).await.map_err(broken)? == 0 {
                    decoder.eof().map_err(|bad| bad.to_string())?;
                }
            }
        }
    }
}
