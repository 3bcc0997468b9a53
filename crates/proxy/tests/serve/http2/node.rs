//! An origin that speaks HTTP/2 and acts by the path that it is asked for, as a gRPC server does.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use serde_json::{Value, json};
use tokio_rustls::TlsAcceptor;

use super::peer::push;

/// A request as the origin saw it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) authority: String,
    pub(crate) scheme: String,
    pub(crate) fields: HeaderMap,
}

#[derive(Default)]
struct Shared {
    seen: Mutex<Vec<Seen>>,
    trailers: Mutex<Vec<HeaderMap>>,
    connections: AtomicUsize,
    cancelled: AtomicUsize,
    refused: AtomicUsize,
}

/// The origin. It runs as long as the test.
#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) address: SocketAddr,
    scheme: &'static str,
    shared: Arc<Shared>,
}

impl Node {
    pub(crate) fn start() -> Self {
        Self::with(None, 200)
    }

    /// One that lets only so many streams be open.
    pub(crate) fn narrow(streams: u32) -> Self {
        Self::with(None, streams)
    }

    /// One behind TLS that chooses among these protocols.
    pub(crate) fn secure(protocols: &[&str]) -> Self {
        let made = rcgen::generate_simple_self_signed(vec!["a.test".to_owned()]).unwrap();
        let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        Self::with(Some(TlsAcceptor::from(Arc::new(config))), 200)
    }

    fn with(tls: Option<TlsAcceptor>, streams: u32) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let scheme = if tls.is_some() { "grpcs" } else { "grpc" };
        let node = Self { address, scheme, shared: Arc::default() };
        let shared = Arc::clone(&node.shared);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                while let Ok((stream, _)) = listener.accept().await {
                    stream.set_nodelay(true).unwrap();
                    let (shared, tls) = (Arc::clone(&shared), tls.clone());
                    tokio::spawn(async move {
                        match tls {
                            None => serve(stream, streams, shared).await,
                            Some(tls) => {
                                if let Ok(stream) = tls.accept(stream).await {
                                    serve(stream, streams, shared).await;
                                }
                            }
                        }
                    });
                }
            });
        });
        node
    }

    /// An upstream with this node alone.
    pub(crate) fn upstream(&self) -> Value {
        json!({
            "type": "roundrobin",
            "scheme": self.scheme,
            "nodes": { self.address.to_string(): 1 },
            "tls": { "verify": false },
        })
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }

    pub(crate) fn last(&self) -> Seen {
        self.seen().pop().unwrap()
    }

    /// The trailers of requests, in order.
    pub(crate) fn trailers(&self) -> Vec<HeaderMap> {
        self.shared.trailers.lock().unwrap().clone()
    }

    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Requests that were given up by whoever sent them.
    pub(crate) fn cancelled(&self) -> usize {
        self.shared.cancelled.load(Ordering::SeqCst)
    }
}

async fn serve<S>(stream: S, streams: u32, shared: Arc<Shared>)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
{
    shared.connections.fetch_add(1, Ordering::SeqCst);
    let mut builder = h2::server::Builder::new();
    builder.max_concurrent_streams(streams);
    let Ok(mut server) = builder.handshake::<_, Bytes>(stream).await else { return };
    while let Some(Ok((request, respond))) = server.accept().await {
        let uri = request.uri();
        shared.seen.lock().unwrap().push(Seen {
            method: request.method().to_string(),
            path: uri.path_and_query().unwrap().to_string(),
            authority: uri.authority().map(ToString::to_string).unwrap_or_default(),
            scheme: uri.scheme_str().unwrap_or_default().to_owned(),
            fields: request.headers().clone(),
        });
        match uri.path() {
            "/goaway" => server.graceful_shutdown(),
            // Says that nothing of this stream was done, and takes no more.
            "/abrupt" if shared.refused.fetch_add(1, Ordering::SeqCst) == 0 => {
                server.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
            }
            _ => {}
        }
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            if act(request, respond, &shared).await.is_err() {
                shared.cancelled.fetch_add(1, Ordering::SeqCst);
            }
        });
    }
}

fn head(status: u16) -> Response<()> {
    Response::builder().status(status).header("content-type", "application/grpc").body(()).unwrap()
}

fn fields(pairs: &[(&'static str, &str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
}

async fn read(shared: &Shared, body: &mut RecvStream) -> Result<(usize, Vec<u8>), h2::Error> {
    let (mut pieces, mut all) = (0, Vec::new());
    while let Some(piece) = body.data().await {
        let piece = piece?;
        body.flow_control().release_capacity(piece.len())?;
        pieces += usize::from(!piece.is_empty());
        all.extend_from_slice(&piece);
    }
    if let Some(trailers) = body.trailers().await? {
        shared.trailers.lock().unwrap().push(trailers);
    }
    Ok((pieces, all))
}

async fn finish(mut stream: SendStream<Bytes>, body: Vec<u8>) -> Result<(), h2::Error> {
    push(&mut stream, body.into(), false).await?;
    stream.send_trailers(fields(&[("grpc-status", "0"), ("x-own-trailer", "yes")]))
}

async fn act(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    shared: &Shared,
) -> Result<(), h2::Error> {
    let (parts, mut body) = request.into_parts();
    match parts.uri.path() {
        // One message there, one back.
        "/unary" | "/goaway" | "/abrupt" | "/pkg.Service/Method" => {
            let (_, all) = read(shared, &mut body).await?;
            finish(respond.send_response(head(200), false)?, all).await
        }
        "/large" => {
            let stream = respond.send_response(head(200), false)?;
            finish(stream, vec![b'x'; 3 << 20]).await
        }
        // Each message back as soon as it comes.
        "/bidi" => {
            let mut stream = respond.send_response(head(200), false)?;
            while let Some(piece) = body.data().await {
                let piece = piece?;
                body.flow_control().release_capacity(piece.len())?;
                push(&mut stream, piece, false).await?;
            }
            stream.send_trailers(fields(&[("grpc-status", "0")]))
        }
        "/trailers-only" => {
            let mut head = head(200);
            head.headers_mut().extend(fields(&[("grpc-status", "5"), ("grpc-message", "not here")]));
            respond.send_response(head, true).map(drop)
        }
        "/refuse-once" if shared.refused.fetch_add(1, Ordering::SeqCst) == 0 => {
            respond.send_reset(Reason::REFUSED_STREAM);
            Ok(())
        }
        "/refuse" => {
            respond.send_reset(Reason::REFUSED_STREAM);
            Ok(())
        }
        "/reset" => {
            respond.send_reset(Reason::INTERNAL_ERROR);
            Ok(())
        }
        "/cut" => {
            let mut stream = respond.send_response(head(200), false)?;
            push(&mut stream, Bytes::from_static(b"half"), false).await?;
            tokio::task::yield_now().await;
            stream.send_reset(Reason::INTERNAL_ERROR);
            Ok(())
        }
        // Until the other side gives up.
        "/hang" => match std::future::poll_fn(|context| respond.poll_reset(context)).await {
            Ok(reason) => Err(reason.into()),
            Err(error) => Err(error),
        },
        // A head, then nothing until the other side gives up.
        "/stall" => {
            let mut stream = respond.send_response(head(200), false)?;
            push(&mut stream, Bytes::from_static(b"first"), false).await?;
            match std::future::poll_fn(|context| stream.poll_reset(context)).await {
                Ok(reason) => Err(reason.into()),
                Err(error) => Err(error),
            }
        }
        "/early" => {
            let mut head = head(200);
            head.headers_mut().extend(fields(&[("grpc-status", "8")]));
            respond.send_response(head, true).map(drop)
        }
        _ => {
            let (_, all) = read(shared, &mut body).await?;
            finish(respond.send_response(head(200), false)?, all).await
        }
    }
}
