//! `/live`: the conference as a WebSocket (RFC 6455). It tells the next talks, then says back what it is told.
//!
//! Frames are read and written by hand, within bounds, so that no other library is needed for a sample.

use std::time::Duration;

use aws_lc_rs::digest;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::data::SESSIONS;

/// What a client's key is digested with (RFC 6455, section 1.3).
const WITH: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Talks that are told at the start.
const TOLD: usize = 3;

/// The longest frame that is read, in bytes.
const LONGEST: u64 = 64 * 1024;

/// How long a client may be silent.
const IDLE: Duration = Duration::from_secs(60);

const TEXT: u8 = 1;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// Switches protocols where that is asked for.
pub(super) async fn open(request: Request) -> Response {
    let fields = request.headers();
    let Some(key) = fields.get("sec-websocket-key").filter(|_| asks(fields)) else {
        let upgrade = [(header::UPGRADE, "websocket")];
        return (StatusCode::UPGRADE_REQUIRED, upgrade, "this is a WebSocket\n").into_response();
    };
    let mut keyed = key.as_bytes().to_vec();
    keyed.extend_from_slice(WITH.as_bytes());
    let accept = STANDARD.encode(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &keyed));
    let switched = hyper::upgrade::on(request);
    tokio::spawn(async move {
        if let Ok(stream) = switched.await
            && let Err(error) = converse(&mut TokioIo::new(stream)).await
        {
            tracing::debug!(%error, "a WebSocket of the sample API ended");
        }
    });
    let fields = [
        (header::UPGRADE, "websocket".to_owned()),
        (header::CONNECTION, "upgrade".to_owned()),
        (header::SEC_WEBSOCKET_ACCEPT, accept),
    ];
    (StatusCode::SWITCHING_PROTOCOLS, fields).into_response()
}

fn asks(fields: &HeaderMap) -> bool {
    let is = |name, wanted: &str| {
        fields.get(name).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(wanted.as_bytes()))
    };
    is(header::UPGRADE, "websocket") && is(header::SEC_WEBSOCKET_VERSION, "13")
}

async fn converse<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> std::io::Result<()> {
    for session in SESSIONS.iter().take(TOLD) {
        let line = format!("{}: {}", session.timeslot, session.title);
        write(stream, TEXT, line.as_bytes()).await?;
    }
    loop {
        let Ok(read) = tokio::time::timeout(IDLE, read(stream)).await else {
            return write(stream, CLOSE, &1001_u16.to_be_bytes()).await;
        };
        match read? {
            Some((TEXT, payload)) => write(stream, TEXT, &payload).await?,
            Some((PING, payload)) => write(stream, PONG, &payload).await?,
            Some((PONG, _)) => {}
            Some((CLOSE, payload)) => return write(stream, CLOSE, &payload).await,
            // Pieces of messages, binary ones, and frames that are too long or unmasked: 1003, "can't accept".
            Some(_) | None => return write(stream, CLOSE, &1003_u16.to_be_bytes()).await,
        }
    }
}

/// One whole frame of a client: its kind and what it says. `None` for one that isn't taken.
async fn read<S: AsyncRead + Unpin>(stream: &mut S) -> std::io::Result<Option<(u8, Vec<u8>)>> {
    let [first, second] = {
        let mut two = [0; 2];
        stream.read_exact(&mut two).await?;
        two
    };
    let length = match second & 0x7f {
        126 => u64::from(stream.read_u16().await?),
        127 => stream.read_u64().await?,
        short => u64::from(short),
    };
    // The last piece of a message, without extensions, and masked, as section 5.1 asks of clients.
    if first & 0xf0 != 0x80 || second & 0x80 == 0 || length > LONGEST {
        return Ok(None);
    }
    let mut mask = [0; 4];
    stream.read_exact(&mut mask).await?;
    let mut payload = vec![0; usize::try_from(length).unwrap_or_default()];
    stream.read_exact(&mut payload).await?;
    for (byte, mask) in payload.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
    Ok(Some((first & 0x0f, payload)))
}

async fn write<S: AsyncWrite + Unpin>(stream: &mut S, kind: u8, payload: &[u8]) -> std::io::Result<()> {
    let mut frame = vec![0x80 | kind];
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(short), _) if short < 126 => frame.push(short),
        (_, Ok(length)) => {
            frame.push(126);
            frame.extend_from_slice(&length.to_be_bytes());
        }
        _ => {
            frame.push(127);
            frame.extend_from_slice(&u64::try_from(payload.len()).unwrap_or(u64::MAX).to_be_bytes());
        }
    }
    frame.extend_from_slice(payload);
    stream.write_all(&frame).await?;
    stream.flush().await
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::converse;

    #[tokio::test]
    async fn it_tells_talks_and_says_back_what_it_hears() {
        let (mut client, mut server) = tokio::io::duplex(4096);
        let talk = tokio::spawn(async move { converse(&mut server).await });
        for _ in 0..3 {
            assert_eq!(client.read_u8().await.unwrap(), 0x81);
            let length = client.read_u8().await.unwrap();
            client.read_exact(&mut vec![0; usize::from(length)]).await.unwrap();
        }
        client.write_all(&[0x81, 0x82, 1, 2, 3, 4, b'h' ^ 1, b'i' ^ 2]).await.unwrap();
        let mut back = [0; 4];
        client.read_exact(&mut back).await.unwrap();
        assert_eq!(&back, &[0x81, 2, b'h', b'i']);
        // Not masked: the end.
        client.write_all(&[0x81, 0x02, b'h', b'i']).await.unwrap();
        client.read_exact(&mut back).await.unwrap();
        assert_eq!(&back, &[0x88, 2, 3, 0xeb]);
        talk.await.unwrap().unwrap();
    }
}
