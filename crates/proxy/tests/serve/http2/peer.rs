//! A client of HTTP/2 with prior knowledge.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Request};

/// An answer as a client read it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) fields: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Option<HeaderMap>,
}

impl Reply {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name).and_then(|value| value.to_str().ok())
    }

    /// A field of the trailers, or of the head where there are none.
    pub(crate) fn trailer(&self, name: &str) -> Option<&str> {
        let fields = self.trailers.as_ref().unwrap_or(&self.fields);
        fields.get(name).and_then(|value| value.to_str().ok())
    }
}

/// A connection. Cloned, it opens further streams.
#[derive(Clone)]
pub(crate) struct Peer {
    sender: SendRequest<Bytes>,
}

/// Runs a test's client to its end, on a runtime of its own.
pub(crate) fn run<T>(client: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(40), client).await.unwrap() })
}

impl Peer {
    pub(crate) async fn connect(to: SocketAddr) -> Self {
        let stream = tokio::net::TcpStream::connect(to).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self::over(stream).await
    }

    pub(crate) async fn over<S>(stream: S) -> Self
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
    {
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(1 << 20).initial_connection_window_size(1 << 20);
        let (sender, connection) = builder.handshake(stream).await.unwrap();
        tokio::spawn(async move {
            // How it ended is seen by its streams.
            let _ = connection.await;
        });
        Self { sender: sender.ready().await.unwrap() }
    }

    pub(crate) fn sender(&self) -> SendRequest<Bytes> {
        self.sender.clone()
    }

    /// Opens a stream; the answer, and the half that is still to be sent.
    pub(crate) async fn open(
        &self,
        request: Request<()>,
        ended: bool,
    ) -> (h2::client::ResponseFuture, SendStream<Bytes>) {
        let mut sender = self.sender.clone().ready().await.unwrap();
        sender.send_request(request, ended).unwrap()
    }

    /// Sends a request with this body in one piece, and reads the whole answer.
    pub(crate) async fn send(&self, request: Request<()>, body: &[u8]) -> Result<Reply, h2::Error> {
        let mut sender = self.sender.clone().ready().await?;
        let (answer, mut stream) = sender.send_request(request, body.is_empty())?;
        let upload = async {
            if !body.is_empty() {
                push(&mut stream, Bytes::copy_from_slice(body), true).await?;
            }
            Ok::<_, h2::Error>(())
        };
        let download = async { collect(answer.await?).await };
        // An answer may come before the request is at its end.
        let (sent, reply) = tokio::join!(upload, download);
        reply.or_else(|error| sent.and(Err(error)))
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send(request("GET", path), b"").await.unwrap()
    }
}

/// Sends bytes as the windows allow.
pub(crate) async fn push(
    stream: &mut SendStream<Bytes>,
    mut bytes: Bytes,
    end: bool,
) -> Result<(), h2::Error> {
    while !bytes.is_empty() {
        stream.reserve_capacity(bytes.len());
        let room = match std::future::poll_fn(|context| stream.poll_capacity(context)).await {
            Some(room) => room?,
            None => return Err(Reason::CANCEL.into()),
        };
        let piece = bytes.split_to(room.min(bytes.len()));
        let last = end && bytes.is_empty();
        stream.send_data(piece, last)?;
    }
    Ok(())
}

/// Reads an answer to its end.
pub(crate) async fn collect(answer: http::Response<RecvStream>) -> Result<Reply, h2::Error> {
    let (parts, mut stream) = answer.into_parts();
    let mut reply = Reply { status: parts.status.as_u16(), fields: parts.headers, ..Reply::default() };
    while let Some(piece) = stream.data().await {
        let piece = piece?;
        stream.flow_control().release_capacity(piece.len())?;
        reply.body.extend_from_slice(&piece);
    }
    reply.trailers = stream.trailers().await?;
    Ok(reply)
}

/// A request to `a.test`.
pub(crate) fn request(method: &str, path: &str) -> Request<()> {
    with(method, path, &[])
}

/// The same with fields.
pub(crate) fn with(method: &str, path: &str, fields: &[(&str, &str)]) -> Request<()> {
    let mut request = Request::builder().method(method).uri(format!("http://a.test{path}"));
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap()
}
