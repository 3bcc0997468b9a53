//! Accepts connections of the admin side, with bounds: how many at once, and how long a client may take to shake hands and to ask.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use super::strict::Strict;

/// Connections of one listener at once; further ones wait to be accepted.
const MOST_CONNECTIONS: usize = 1024;

/// How long a client may take for the handshake of TLS.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(5);

/// How long a client may take for a request's head, and stay silent between two requests.
const HEAD_WITHIN: Duration = Duration::from_secs(30);

/// A client that has never asked may be sending its first request when the server stops.
const FIRST_WORD_WITHIN: Duration = Duration::from_millis(500);

/// How long accepting pauses when the system refuses, such as for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// What is served on a listener, and how.
#[derive(Clone)]
pub(super) struct Served {
    pub(super) router: Router,
    /// Plain HTTP without.
    pub(super) tls: Option<TlsAcceptor>,
}

/// How servers are told to end.
#[derive(Clone, Default)]
pub(super) struct Stops {
    /// Takes no more connections; those that are there end behind their answers.
    pub(super) stop: CancellationToken,
    /// Ends what is left.
    pub(super) cut: CancellationToken,
}

/// Serves until told to stop; connections end in `tasks`.
pub(super) async fn serve(listener: TcpListener, served: Served, stops: Stops, tasks: TaskTracker) {
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            () = stops.stop.cancelled() => return,
            accepted = accept(&listener, &places) => accepted,
        };
        let Some((stream, peer, place)) = accepted else { continue };
        let (served, Stops { stop, cut }) = (served.clone(), stops.clone());
        tasks.spawn(async move {
            let served = async {
                match served.tls {
                    None => connection(stream, peer, served.router, stop).await,
                    Some(tls) => {
                        let shaken = stop.run_until_cancelled(handshake(&tls, stream, peer)).await;
                        if let Some(Some(stream)) = shaken {
                            connection(stream, peer, served.router, stop).await;
                        }
                    }
                }
            };
            cut.run_until_cancelled(served).await;
            drop(place);
        });
    }
}

type Accepted = Option<(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)>;

async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> Accepted {
    let place = Arc::clone(places).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, peer)) => Some((stream, peer, place)),
        Err(error) => {
            tracing::warn!(%error, "could not accept a connection of the admin side");
            tokio::time::sleep(PAUSE).await;
            None
        }
    }
}

async fn handshake(
    tls: &TlsAcceptor,
    stream: TcpStream,
    peer: SocketAddr,
) -> Option<tokio_rustls::server::TlsStream<TcpStream>> {
    match tokio::time::timeout(HANDSHAKE_WITHIN, tls.accept(stream)).await {
        Ok(Ok(stream)) => Some(stream),
        Ok(Err(error)) => {
            tracing::debug!(%error, %peer, "a client of the admin side failed to shake hands");
            None
        }
        Err(_) => {
            tracing::debug!(%peer, "a client of the admin side took too long to shake hands");
            None
        }
    }
}

async fn connection<S>(stream: S, peer: SocketAddr, router: Router, stop: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let asked = CancellationToken::new();
    let asks = asked.clone();
    let service = router.map_request(move |mut request: Request<Incoming>| {
        asks.cancel();
        request.extensions_mut().insert(ConnectInfo(peer));
        request
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_WITHIN);
    let served =
        builder.serve_connection(TokioIo::new(Strict::new(stream)), TowerToHyperService::new(service));
    let mut served = std::pin::pin!(served);
    let ended = tokio::select! {
        ended = served.as_mut() => ended,
        () = stop.cancelled() => {
            let word = tokio::time::timeout(FIRST_WORD_WITHIN, asked.cancelled());
            tokio::select! {
                biased;
                ended = served.as_mut() => ended,
                _ = word => {
                    served.as_mut().graceful_shutdown();
                    served.await
                }
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, %peer, "a connection of the admin side broke off");
    }
}
