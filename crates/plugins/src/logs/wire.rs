//! Lines over a bare connection or in datagrams, for sinks that speak no HTTP.

use std::rc::Rc;

use futures_util::future::{Either, select};
use tokio::io::AsyncWriteExt as _;
use usher_pipeline::worker::{Peer, Worker};

use super::batch::{Line, together};

/// What fits into one datagram, in bytes, whatever its family's header takes.
const DATAGRAM: usize = 60_000;

/// Opens a connection, sends all of the text, and closes it.
///
/// # Errors
/// Why it could not be sent within the peer's timeout.
pub(crate) async fn send_all(worker: &Rc<dyn Worker>, peer: &Peer, text: &[u8]) -> Result<(), String> {
    let sending = Box::pin(async {
        let mut stream = worker.connect(peer.clone()).await.map_err(|error| error.to_string())?;
        stream.write_all(text).await.map_err(|error| error.to_string())?;
        stream.shutdown().await.map_err(|error| error.to_string())
    });
    match select(sending, worker.sleep(peer.timeout)).await {
        Either::Left((sent, _)) => sent,
        Either::Right(_) => Err(format!("{peer} took nothing for {:?}", peer.timeout)),
    }
}

/// Sends texts as datagrams.
///
/// # Errors
/// The first that could not be sent.
pub(crate) async fn send_datagrams(
    worker: &Rc<dyn Worker>,
    peer: &Peer,
    texts: impl IntoIterator<Item = String>,
) -> Result<(), String> {
    for text in texts {
        worker.send_datagram(peer.clone(), text.into()).await.map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// Lines as JSON: one object where batches have one line, or else lists.
pub(crate) fn json(lines: &[Line], single: bool) -> String {
    match lines {
        [line] if single => line.text.clone(),
        _ => together(lines, "[", ",", "]"),
    }
}

/// The same in pieces that fit into datagrams each. A line that doesn't fit alone is cut off from the others, and the system refuses it.
pub(crate) fn json_pieces(lines: &[Line], single: bool) -> Vec<String> {
    json_pieces_of(lines, single, DATAGRAM)
}

/// The same in pieces of so many bytes at most, but for a line that is longer by itself.
pub(crate) fn json_pieces_of(lines: &[Line], single: bool, most: usize) -> Vec<String> {
    let (mut pieces, mut start, mut size) = (Vec::new(), 0, 0);
    for (at, line) in lines.iter().enumerate() {
        if at > start && size + line.text.len() + 2 > most {
            pieces.push(json(lines.get(start..at).unwrap_or_default(), single));
            (start, size) = (at, 0);
        }
        size += line.text.len() + 1;
    }
    pieces.push(json(lines.get(start..).unwrap_or_default(), single));
    pieces
}
