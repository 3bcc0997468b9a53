//! What must hold of any bytes: used by the fuzz target and by tests that replay its corpus.

use bytes::BytesMut;

use crate::body::{BodyDecoder, BodyEvent};
use crate::encode::{RequestExtras, encode_chunk, encode_last_chunk, encode_request};
use crate::familiar::Familiar;
use crate::head::Head;
use crate::limits::Limits;
use crate::request::{Framing, HeadProgress, MAX_FIELDS, decode_familiar_request};
use crate::response::decode_familiar_response;

/// What became of a stream of requests: what each held, and how it ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Each complete request, as it would be forwarded.
    pub forwarded: Vec<Vec<u8>>,
    /// The status it was refused with, if it was.
    pub refused: Option<u16>,
}

/// Reads requests from pieces of a stream, as a server does.
#[must_use]
pub fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Reading {
    read_from(pieces, &mut Familiar::forgetful())
}

fn read_from<'a>(pieces: impl Iterator<Item = &'a [u8]>, familiar: &mut Familiar) -> Reading {
    let limits = Limits::default();
    let mut reading = Reading::default();
    let mut buf = BytesMut::new();
    let mut head = Head::empty();
    let mut progress = HeadProgress::default();
    let mut body: Option<(BodyDecoder, Framing, Vec<u8>)> = None;
    for piece in pieces {
        buf.extend_from_slice(piece);
        loop {
            let Some((decoder, framing, collected)) = &mut body else {
                match decode_familiar_request(&mut buf, &mut head, &limits, &mut progress, familiar) {
                    Ok(Some(decoded)) => {
                        body =
                            Some((BodyDecoder::new(decoded.framing, &limits), decoded.framing, Vec::new()));
                        continue;
                    }
                    Ok(None) => break,
                    Err(reject) => {
                        reading.refused = Some(reject.status);
                        return reading;
                    }
                }
            };
            match decoder.decode(&mut buf) {
                Ok(BodyEvent::Data(data)) => collected.extend_from_slice(&data),
                Ok(BodyEvent::NeedMore) => break,
                Ok(BodyEvent::End) => {
                    let mut out = Vec::new();
                    if !head.contains("host") {
                        // An HTTP/1.0 client may leave it out; what is forwarded is HTTP/1.1.
                        head.put(b"Host", b"none");
                    }
                    let extras =
                        RequestExtras { framing: *framing, target: None, websocket: false, close: false };
                    encode_request(&mut out, &head, extras);
                    if *framing == Framing::Chunked {
                        encode_chunk(&mut out, collected);
                        encode_last_chunk(&mut out, decoder.trailers().as_ref());
                    } else {
                        out.extend_from_slice(collected);
                    }
                    reading.forwarded.push(out);
                    body = None;
                }
                Err(bad) => {
                    reading.refused = Some(bad.status);
                    return reading;
                }
            }
        }
    }
    reading
}

/// Checks one input: every split reads the same, what came before makes no difference, and what is forwarded reads back as the one request it is.
///
/// # Errors
/// What doesn't hold.
pub fn check(data: &[u8]) -> Result<(), String> {
    let data = &ended(data)[..];
    let whole = read(std::iter::once(data));
    if data.len() <= 4096 {
        let bytewise = read(data.chunks(1));
        if bytewise != whole {
            return Err(format!("read as {whole:?} at once, but as {bytewise:?} byte by byte"));
        }
    }
    let mut familiar = Familiar::default();
    for time in 1..=2 {
        let again = read_from(std::iter::once(data), &mut familiar);
        if again != whole {
            return Err(format!("read as {whole:?}, but as {again:?} the {time}. time by what came before"));
        }
    }
    for forwarded in &whole.forwarded {
        let again = read(std::iter::once(forwarded.as_slice()));
        let head = head_of(forwarded);
        if again.refused == Some(431) && memchr::memmem::find_iter(head, b"\r\n").count() > MAX_FIELDS {
            // A client may send as many fields as we take, and a host or a framing of ours comes beside them.
            continue;
        }
        if again.refused.is_some() || again.forwarded.as_slice() != std::slice::from_ref(forwarded) {
            return Err(format!(
                "forwarded {:?}, which reads back as {again:?}",
                String::from_utf8_lossy(forwarded)
            ));
        }
    }
    Ok(())
}

/// A message's head, without the empty line.
fn head_of(message: &[u8]) -> &[u8] {
    let end = memchr::memmem::find(message, b"\r\n\r\n").unwrap_or(message.len());
    message.get(..end).unwrap_or_default()
}

/// The input with the end of a head behind it: a head is looked at when a line ends, so that nonsense in a line that never ends may be
/// noticed early or not at all.
fn ended(data: &[u8]) -> Vec<u8> {
    [data, b"\r\n\r\n"].concat()
}

/// What became of one upstream's bytes, read as the answers to requests of one method.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answers {
    /// Each complete answer.
    pub read: Vec<Answer>,
    /// Whether the bytes were refused, so that the connection is given up.
    pub refused: bool,
    /// Whether the connection became a tunnel.
    pub switched: bool,
}

/// One complete answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its fields in order.
    pub fields: Vec<(String, Vec<u8>)>,
    /// Its whole body.
    pub body: Vec<u8>,
}

impl Answer {
    fn of(head: &Head, body: Vec<u8>) -> Self {
        let fields = head.iter().map(|(name, value)| (name.to_owned(), value.to_vec())).collect();
        Self { status: head.status(), fields, body }
    }
}

/// Reads answers from pieces of a stream, as a client does, to the end of the stream.
#[must_use]
pub fn read_answers<'a>(method: &str, pieces: impl Iterator<Item = &'a [u8]>) -> Answers {
    read_answers_from(method, pieces, &mut Familiar::forgetful())
}

fn read_answers_from<'a>(
    method: &str,
    pieces: impl Iterator<Item = &'a [u8]>,
    familiar: &mut Familiar,
) -> Answers {
    let limits = Limits::for_answers();
    let mut answers = Answers::default();
    let (mut buf, mut head, mut progress) = (BytesMut::new(), Head::empty(), HeadProgress::default());
    let mut body: Option<(BodyDecoder, Vec<u8>)> = None;
    for piece in pieces {
        buf.extend_from_slice(piece);
        loop {
            let Some((decoder, collected)) = &mut body else {
                match decode_familiar_response(&mut buf, &mut head, &limits, &mut progress, method, familiar)
                {
                    Ok(Some(decoded)) if decoded.switching => {
                        answers.switched = true;
                        return answers;
                    }
                    Ok(Some(decoded)) if decoded.interim => continue,
                    Ok(Some(decoded)) => {
                        body = Some((BodyDecoder::new(decoded.framing, &limits), Vec::new()));
                        continue;
                    }
                    Ok(None) => break,
                    Err(_) => {
                        answers.refused = true;
                        return answers;
                    }
                }
            };
            match decoder.decode(&mut buf) {
                Ok(BodyEvent::Data(data)) => collected.extend_from_slice(&data),
                Ok(BodyEvent::NeedMore) => break,
                Ok(BodyEvent::End) => {
                    answers.read.push(Answer::of(&head, std::mem::take(collected)));
                    body = None;
                }
                Err(_) => {
                    answers.refused = true;
                    return answers;
                }
            }
        }
    }
    if let Some((mut decoder, collected)) = body {
        match decoder.eof() {
            Ok(_) => answers.read.push(Answer::of(&head, collected)),
            Err(_) => answers.refused = true,
        }
    }
    answers
}

/// Checks one input as an upstream's bytes: every split reads the same, and what came before makes no difference. Its first byte chooses the method.
///
/// # Errors
/// What doesn't hold.
pub fn check_answers(data: &[u8]) -> Result<(), String> {
    let Some((first, data)) = data.split_first() else { return Ok(()) };
    let method = if first & 1 == 0 { "GET" } else { "HEAD" };
    let data = &ended(data)[..];
    let whole = read_answers(method, std::iter::once(data));
    if data.len() <= 4096 {
        let bytewise = read_answers(method, data.chunks(1));
        if bytewise != whole {
            return Err(format!("read as {whole:?} at once, but as {bytewise:?} byte by byte"));
        }
    }
    let mut familiar = Familiar::default();
    for time in 1..=2 {
        let again = read_answers_from(method, std::iter::once(data), &mut familiar);
        if again != whole {
            return Err(format!("read as {whole:?}, but as {again:?} the {time}. time by what came before"));
        }
    }
    Ok(())
}
