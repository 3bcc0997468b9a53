//! Serves the sample API: HTTP/1.1 and, by prior knowledge, HTTP/2 on one port, because calls of gRPC come by HTTP/2 only.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// What every connection of HTTP/2 begins with (RFC 9113, section 3.4); four bytes tell it from any method.
const PREFACE: &[u8] = b"PRI ";

/// Connections at once; further ones wait to be accepted.
const MOST_CONNECTIONS: usize = 1024;

/// How long a connection may take until its first bytes, and an HTTP/1 client for a head.
const HEAD_WITHIN: Duration = Duration::from_secs(30);

/// Serves until the task is dropped.
pub(crate) async fn forever(listener: TcpListener, router: Router) {
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let router = router.clone();
                tokio::spawn(async move {
                    connection(stream, router).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the sample API could not accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, router: Router) {
    let Ok(Ok(newer)) = tokio::time::timeout(HEAD_WITHIN, speaks_http2(&stream)).await else { return };
    let service = TowerToHyperService::new(router);
    let io = TokioIo::new(stream);
    let ended = if newer {
        http2::Builder::new(TokioExecutor::new()).timer(TokioTimer::new()).serve_connection(io, service).await
    } else {
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(HEAD_WITHIN);
        builder.serve_connection(io, service).with_upgrades().await
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection of the sample API ended");
    }
}

/// Looks at the first bytes without taking them.
async fn speaks_http2(stream: &TcpStream) -> std::io::Result<bool> {
    let mut first = [0; PREFACE.len()];
    loop {
        let seen = stream.peek(&mut first).await?;
        let same = first.iter().zip(PREFACE).take(seen).all(|(seen, wanted)| seen == wanted);
        if seen == 0 || !same {
            return Ok(false);
        }
        if seen == PREFACE.len() {
            return Ok(true);
        }
        // A part of the preface: the rest is on its way, and readiness doesn't tell of it anew.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
