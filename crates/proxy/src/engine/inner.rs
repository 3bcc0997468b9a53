//! Requests that a plugin puts through the gateway itself in its client's name: over a connection inside of the worker, served like any other.
//!
//! Nothing is left out for them: framing, canonical path, route, plugins, limits, upstream, log and metrics are those of a request from outside.
//! They take no seat among the connections and need no listener, so that they are served wherever the client itself came in.

use std::rc::Rc;
use std::time::Duration;

use futures_util::future::join;
use usher_http1::encode::{RequestExtras, encode_request};
use usher_http1::head::Head;
use usher_http1::request::Framing;
use usher_pipeline::worker::{Answer, FetchError, InnerCall};

use super::client::Client;
use super::connection;
use super::fetch::{Broken, receive_body, receive_head};
use super::local::Local;
use super::outbound::Outbound;
use super::socket::{Socket, inner_pair};

/// Bytes that may be under way beside the request itself, which has room as a whole: the side that writes never waits for the other one.
const ROOM: usize = 64 << 10;

/// How long the serving side may go on behind its answer, for its plugins' log phases and its own end.
const ENDS_WITHIN: Duration = Duration::from_secs(1);

/// What errors call the other end.
const ITSELF: &str = "the gateway itself";

/// Puts a request through the gateway and reads its whole answer.
///
/// # Errors
/// [`FetchError`].
pub(super) async fn fetch(local: Rc<Local>, call: InnerCall) -> Result<Answer, FetchError> {
    let within = call.timeout + ENDS_WITHIN;
    let fetched = tokio::time::timeout(within, fetch_from(&local, &call)).await;
    local.clock.turn();
    fetched.unwrap_or_else(|_| Err(FetchError::TimedOut(ITSELF.to_owned())))
}

async fn fetch_from(local: &Rc<Local>, call: &InnerCall) -> Result<Answer, FetchError> {
    let mut out = Outbound::default();
    out.write(|text| write_head(text, call));
    out.push(call.body.clone());
    let (near, far) = inner_pair(out.pending() + ROOM);
    let serving = connection::guarded(Rc::new(Client::inner(Rc::clone(local), far, call)));
    let asking = async {
        let asked = tokio::time::timeout(call.timeout, ask(local, near, out, call)).await;
        asked.unwrap_or_else(|_| Err(FetchError::TimedOut(ITSELF.to_owned())))
    };
    // Its end of the connection is gone with the answer, so that the other side comes to its end too.
    let (answer, ()) = Box::pin(join(asking, serving)).await;
    answer
}

fn write_head(text: &mut Vec<u8>, call: &InnerCall) {
    let framing = match call.body.len() {
        0 => Framing::None,
        length => Framing::Length(length as u64),
    };
    encode_request(text, &call.head, RequestExtras { framing, target: None, websocket: false, close: true });
    if call.is_http10
        && let Some(end) = memchr::memchr(b'\r', text)
        && let Some(minor) = text.get_mut(..end).and_then(<[u8]>::last_mut)
    {
        *minor = b'0';
    }
}

async fn ask(
    local: &Local,
    mut near: Socket,
    mut out: Outbound,
    call: &InnerCall,
) -> Result<Answer, FetchError> {
    // A gateway that has answered early takes no more of the body, but its answer is there to be read.
    let _ = std::future::poll_fn(|context| out.poll_send(context, &mut near)).await;
    let mut buffer = local.buffers.large();
    let mut head = Head::empty();
    let received = async {
        let received = receive_head(local, &mut near, &mut buffer, &mut head, call.head.method()).await?;
        let body = receive_body(local, &mut near, &mut buffer, received, call.max_answer_bytes).await?;
        if near.was_cut() {
            return Err(Broken::Bad("the answer was cut".to_owned()));
        }
        Ok(body)
    }
    .await;
    local.buffers.give_back(buffer);
    let body = received.map_err(|broken| broken.by(ITSELF.to_owned()))?;
    Ok(Answer { head, body: body.freeze() })
}
