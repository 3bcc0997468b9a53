//! Makes the answer's head, whoever gave the answer, and sees it to the client.

use usher_http1::encode::{ResponseExtras, takes_chunks};
use usher_http1::head::{Head, Version, is_name};
use usher_http1::reject::{Reject, page};
use usher_http1::request::Framing;
use usher_pipeline::body::{Body, BodySteps};
use usher_pipeline::cause::What;
use usher_pipeline::exchange::AnsweredBy;
use usher_pipeline::plugin::Flow;
use usher_pipeline::reply::Reply;

use super::client::Unread;
use super::connect::NoLink;
use super::course::{Course, Next};
use super::errors::{Failure, Trouble, dress, dress_for_grpc};
use super::http2::is_grpc;
use super::ingress::nominates_others;
use super::local::Local;
use super::relay::{Relay, Relayed, Source};
use super::websocket;

/// Answers the client, and says what becomes of the connection.
pub(super) async fn answer(course: &mut Course<'_>, outcome: Result<(), Failure>) -> Next {
    let mut must_close = false;
    let source = match outcome {
        Ok(()) => {
            course.state.exchange.answered_by = AnsweredBy::Upstream;
            Source::Upstream
        }
        Err(Failure::Refused(reject)) => return refuse(course, &reject).await,
        Err(failure) => {
            tell(course, &failure);
            must_close = matches!(failure, Failure::Body(..));
            if let Some((what, retry_safe)) = cause(course, &failure) {
                course.note(what, retry_safe);
            }
            let is_said = failure.is_said();
            let Some(mut reply) = failure.reply() else { return Next::Cut };
            if is_said {
                reply = course.plugins.exit(&mut course.state.exchange, reply);
            }
            replace(course, reply)
        }
    };
    let source = filter_head(course, source);
    send(course, source, must_close).await
}

/// The fixed answer to what can't be believed; no plugin sees it.
async fn refuse(course: &mut Course<'_>, reject: &Reject) -> Next {
    let settings = &course.client.local.settings;
    tracing::debug!(peer = %course.client.peer, status = reject.status, reason = reject.reason, "refused a request");
    course.route = None;
    course.answered = true;
    course.note(refusal(reject), true);
    let state = &mut *course.state;
    state.exchange.answer.clear();
    state.exchange.answer.set_status(reject.status);
    state.exchange.answered_by = AnsweredBy::Gateway;
    let client = course.client;
    if client.is_stream() {
        return refuse_stream(course, reject).await;
    }
    let mut answer = reject.answer(&settings.server, settings.product);
    let head = memchr::memmem::find(&answer, b"\r\n\r\n").map_or(answer.len(), |at| at + 4);
    if course.is_head {
        answer.truncate(head);
    }
    state.body_bytes = answer.len().saturating_sub(head) as u64;
    state.down.write(|text| text.extend_from_slice(&answer));
    let down = &mut state.down;
    match std::future::poll_fn(|context| client.poll_send(context, down)).await {
        Ok(()) if reject.status == 408 => Next::Leave,
        Ok(()) => Next::Linger,
        Err(_) => Next::Cut,
    }
}

/// The same on a stream, whose connection goes on.
async fn refuse_stream(course: &mut Course<'_>, reject: &Reject) -> Next {
    let local = &course.client.local;
    let page = page(reject.status, local.settings.product);
    let state = &mut *course.state;
    let answer = &mut state.exchange.answer;
    sign(answer, local);
    set(answer, "Content-Type", "text/html; charset=utf-8");
    let framing = Framing::Length(page.len() as u64);
    let extras = ResponseExtras { framing, close: false, keep_alive_1_0: false, websocket: false };
    course.client.put_head(&mut state.down, answer, extras);
    if !course.is_head {
        state.body_bytes = page.len() as u64;
        state.down.push(page.into());
    }
    course.client.end_body(Head::empty());
    let down = &mut state.down;
    match std::future::poll_fn(|context| course.client.poll_send(context, down)).await {
        Ok(()) => Next::Keep,
        Err(_) => Next::Cut,
    }
}

/// Why a head or a body is refused before anybody saw it.
const fn refusal(reject: &Reject) -> What {
    match reject.status {
        408 => What::SlowHead,
        413 => What::BodyTooLarge,
        _ => What::Malformed,
    }
}

/// Why an answer is the gateway's own, and whether the request may be sent again; `None` for what is no failure.
fn cause(course: &Course<'_>, failure: &Failure) -> Option<(What, bool)> {
    let unsent = course.state.exchange.upstream.statuses.is_empty();
    Some(match failure {
        Failure::Reply(reply) if reply.head.status() < 400 => return None,
        Failure::Reply(_) if course.route.is_some_and(|route| route.refused.is_some()) => {
            (What::RouteUnusable, true)
        }
        Failure::Reply(reply) if reply.head.status() == 500 => (What::PluginFailed, unsent),
        Failure::Reply(_) => (What::Plugin, unsent),
        Failure::Refused(reject) => (refusal(reject), true),
        Failure::Body(error, status) => (
            match (error, status) {
                (_, 413) => What::BodyTooLarge,
                (_, 408) => What::BodyTooSlow,
                _ => What::BodyMalformed,
            },
            unsent,
        ),
        Failure::GrpcByHttp1 => (What::Malformed, true),
        Failure::Circle => (What::Loop, true),
        Failure::Overload => (What::Overload, true),
        Failure::NotFound => (What::NoRoute, true),
        Failure::NoUpstream => (What::NoUpstream, true),
        Failure::UnknownUpstream(_) => (What::UnknownUpstream, true),
        Failure::NoNode => (What::NoNode, true),
        Failure::RetriesTimedOut => (What::RetriesTimedOut, false),
        Failure::ClientGone => (What::ClientGone, false),
        Failure::Upstream(trouble) => match trouble {
            Trouble::NoLink(NoLink::TimedOut(..)) => (What::ConnectTimeout, true),
            Trouble::NoLink(_) => (What::ConnectRefused, true),
            Trouble::Refused => (What::Broken, true),
            Trouble::Broken(_) | Trouble::Reset(_) => (What::Broken, false),
            Trouble::Closed => (What::ClosedEarly, false),
            Trouble::SendTimedOut => (What::SendTimeout, false),
            Trouble::ReadTimedOut => (What::ReadTimeout, false),
            Trouble::Malformed(_)
            | Trouble::TooManyInterims(_)
            | Trouble::Switched
            | Trouble::NotSwitched
            | Trouble::NotAccepted => (What::BadAnswer, false),
        },
    })
}

/// Says in the log what the client learns only as a status. Nodes that failed were told of when they did.
fn tell(course: &Course<'_>, failure: &Failure) {
    let local = &course.client.local;
    let route = course.route.map(|route| &*route.facts.id);
    let upstream = match failure {
        Failure::NoNode
        | Failure::NoUpstream
        | Failure::RetriesTimedOut
        | Failure::Circle
        | Failure::Overload => None,
        Failure::UnknownUpstream(id) => Some(&**id),
        Failure::Body(error, status) => {
            return tracing::debug!(route, %error, status, "a request's body was refused");
        }
        _ => return,
    };
    if let Some(silent) = local.complaints.unserved.speak(local.clock.ms()) {
        let cause = cause(course, failure).map(|(what, _)| what.sentence());
        tracing::warn!(route, upstream, silent, cause, "a request was not sent to an upstream");
    }
}

/// Puts an answer of the gateway's in the place of whatever was there.
fn replace(course: &mut Course<'_>, mut reply: Reply) -> Source {
    let exchange = &mut course.state.exchange;
    if course.client.is_stream() && is_grpc(&exchange.request.head) {
        dress_for_grpc(&mut reply);
    } else {
        dress(&mut reply, course.client.local.settings.product);
    }
    exchange.answered_by = AnsweredBy::Gateway;
    exchange.answer = reply.head;
    match reply.body {
        Body::Empty => Source::Nothing,
        Body::Full(bytes) => Source::Full(bytes),
        Body::Stream(stream) => Source::Stream(stream),
    }
}

/// Gives the head what every answer has, and lets the plugins see it.
fn filter_head(course: &mut Course<'_>, source: Source) -> Source {
    sign(&mut course.state.exchange.answer, &course.client.local);
    let always = course.client.local.settings.show_upstream_status;
    let exchange = &mut course.state.exchange;
    if exchange.upstream.statuses.last().is_some_and(|status| always || *status >= 500) {
        let all: Vec<String> = exchange.upstream.statuses.iter().map(u16::to_string).collect();
        set(&mut exchange.answer, "X-APISIX-Upstream-Status", &all.join(", "));
    }
    let source = match course.plugins.header_filter(exchange) {
        Flow::Continue => source,
        Flow::Reply(reply) => {
            let source = replace(course, *reply);
            course.note(What::Plugin, false);
            sign(&mut course.state.exchange.answer, &course.client.local);
            source
        }
    };
    let exchange = &mut course.state.exchange;
    // A request that is watched is answered as any other.
    if course.client.local.settings.debug
        && let Some(ran) = exchange.ran()
    {
        set(&mut exchange.answer, "Apisix-Plugins", &ran);
    }
    source
}

/// `Server` is ours, `Date` is the upstream's where it has one, and nginx's own control fields go no further.
fn sign(answer: &mut Head, local: &Local) {
    let (mut dated, mut nominates) = (false, false);
    answer.remove_named(
        |first, length| matches!((length, first | 0x20), (4, b'd') | (6, b's') | (10, b'c') | (9.., b'x')),
        |name, value| match name.len() {
            4 => {
                dated |= is_name(name, b"date");
                false
            }
            6 => is_name(name, b"server"),
            10 if is_name(name, b"connection") => {
                nominates |= nominates_others(value);
                false
            }
            9.. => name.get(..8).is_some_and(|start| is_name(start, b"x-accel-")),
            _ => false,
        },
    );
    if nominates {
        answer.drop_hop_by_hop();
    }
    if let Err(error) = answer.append_all(&local.settings.signature) {
        tracing::warn!(%error, "left out a field of an answer");
    }
    if !dated {
        append(answer, "Date", &local.clock.date());
    }
}

fn append(answer: &mut Head, name: &str, value: &str) {
    if let Err(error) = answer.append(name, value) {
        tracing::warn!(%error, "left out a field of an answer");
    }
}

fn set(answer: &mut Head, name: &str, value: &str) {
    if let Err(error) = answer.set(name, value) {
        tracing::warn!(%error, "left out a field of an answer");
    }
}

/// Writes head and body.
async fn send(course: &mut Course<'_>, source: Source, must_close: bool) -> Next {
    let client = course.client;
    let exchange = &mut course.state.exchange;
    let status = exchange.answer.status();
    let switching = matches!(source, Source::Upstream) && course.state.far.head.switching;
    let bodiless = course.is_head || matches!(status, 100..=199 | 204 | 304);
    let mut steps = BodySteps::default();
    // Of the body that HEAD asks about, plugins say whether they would change it.
    if !matches!(status, 100..=199 | 204 | 304) {
        course.plugins.body_filter(exchange, &mut steps);
    }
    let version = exchange.request.head.version();
    let whole = match source.through(&mut steps) {
        Ok(source) => source,
        Err(error) => {
            tracing::warn!(%error, "a plugin refused an answer's body");
            return Next::Cut;
        }
    };
    let untouched = steps.keep_length();
    if bodiless {
        steps = BodySteps::default();
    }
    let mut framing = whole.framing(&course.state.far.head, bodiless, untouched);
    if bodiless && !untouched {
        // The length that the upstream said is that of another body.
        framing = Framing::UntilClose;
    }
    if framing == Framing::Chunked && (client.is_stream() || !takes_chunks(version)) {
        // Streams have an end of their own, and know no chunks.
        framing = Framing::UntilClose;
    }
    let unread = client.unread();
    let close = !course.wants.keep_alive
        || course.last
        || must_close
        || client.is_leaving()
        || client.local.pressure.closes()
        || (framing == Framing::UntilClose && !bodiless)
        || unread == Unread::Much;
    let extras = ResponseExtras {
        framing,
        close: close && !switching,
        keep_alive_1_0: version == Version::Http10 && !close,
        websocket: switching,
    };
    let state = &mut *course.state;
    if switching && client.is_stream() {
        websocket::open_stream(&mut state.exchange.answer);
    }
    client.put_head(&mut state.down, &state.exchange.answer, extras);
    course.answered = true;

    let mut relay = Relay::new(client, state, whole, steps, framing, bodiless && !switching);
    let relayed = relay.run().await;
    match relayed {
        Relayed::Done => {}
        Relayed::ClientGone => return Next::Cut,
        Relayed::Cut => {
            if framing == Framing::UntilClose {
                // Closing is this body's good end, so that its cut has to look different.
                client.reset();
            }
            return Next::Cut;
        }
    }
    if switching {
        return websocket::tunnel(course).await;
    }
    finish(course, close).await
}

/// Settles what becomes of the connection once the answer is out.
async fn finish(course: &mut Course<'_>, close: bool) -> Next {
    let client = course.client;
    match client.unread() {
        Unread::Nothing if close && client.has_more() => Next::Linger,
        Unread::Nothing if close => Next::Close,
        Unread::Nothing => Next::Keep,
        _ if close => Next::Linger,
        _ if client.skip_body(&mut course.state.exchange.request.body).await => Next::Keep,
        _ => Next::Linger,
    }
}
