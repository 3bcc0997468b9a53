//! The bytes of Kafka's protocol, as far as a producer needs them: numbers in network order, texts with their length in front.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use usher_pipeline::worker::Stream;

/// The largest answer that is read, in bytes.
const MOST_ANSWER: usize = 4 << 20;
/// Items of a list in an answer that are read.
const MOST_ITEMS: i32 = 100_000;

/// What the gateway calls itself.
const CLIENT: &str = "usher";

/// A request, while it is written.
pub(super) struct Request(Vec<u8>);

impl Request {
    /// Begins a request of this kind. `number` comes back with its answer.
    pub(super) fn new(api: i16, version: i16, number: i32) -> Self {
        // Room for the length.
        let mut request = Self(vec![0; 4]);
        request.i16(api).i16(version).i32(number).text(CLIENT);
        request
    }

    pub(super) fn i16(&mut self, value: i16) -> &mut Self {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    pub(super) fn i32(&mut self, value: i32) -> &mut Self {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    /// A text; those of a configuration are shorter than the protocol's bound, and longer ones are cut there.
    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        let bytes = text.as_bytes().get(..text.len().min(0x7fff)).unwrap_or_default();
        self.i16(i16::try_from(bytes.len()).unwrap_or(i16::MAX));
        self.0.extend_from_slice(bytes);
        self
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.i32(i32::try_from(bytes.len()).unwrap_or(i32::MAX));
        self.0.extend_from_slice(bytes);
        self
    }

    /// The whole request with its length in front.
    pub(super) fn finish(mut self) -> Vec<u8> {
        let length = i32::try_from(self.0.len().saturating_sub(4)).unwrap_or(i32::MAX);
        if let Some(place) = self.0.first_chunk_mut::<4>() {
            *place = length.to_be_bytes();
        }
        self.0
    }
}

/// An answer, while it is read.
pub(super) struct Answer<'a>(&'a [u8]);

/// What an answer is that breaks off or holds what can't be.
pub(super) const MALFORMED: &str = "a broker's answer can't be read";

type Read<T> = Result<T, &'static str>;

impl<'a> Answer<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    fn take(&mut self, count: usize) -> Read<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(MALFORMED)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Read<[u8; N]> {
        self.take(N)?.try_into().map_err(|_| MALFORMED)
    }

    pub(super) fn truth(&mut self) -> Read<bool> {
        Ok(self.array::<1>()? != [0])
    }

    pub(super) fn i16(&mut self) -> Read<i16> {
        self.array().map(i16::from_be_bytes)
    }

    pub(super) fn i32(&mut self) -> Read<i32> {
        self.array().map(i32::from_be_bytes)
    }

    pub(super) fn i64(&mut self) -> Read<i64> {
        self.array().map(i64::from_be_bytes)
    }

    /// A text; `None` where there is none.
    pub(super) fn text(&mut self) -> Read<Option<String>> {
        match usize::try_from(self.i16()?) {
            Ok(length) => Ok(Some(String::from_utf8_lossy(self.take(length)?).into_owned())),
            Err(_) => Ok(None),
        }
    }

    pub(super) fn bytes(&mut self) -> Read<&'a [u8]> {
        match usize::try_from(self.i32()?) {
            Ok(length) => self.take(length),
            Err(_) => Ok(&[]),
        }
    }

    /// Each item of a list.
    pub(super) fn each<T>(&mut self, mut read: impl FnMut(&mut Self) -> Read<T>) -> Read<Vec<T>> {
        let count = self.i32()?;
        if count > MOST_ITEMS {
            return Err(MALFORMED);
        }
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(read(self)?);
        }
        Ok(items)
    }
}

/// Sends a request and reads its answer, without length and number.
///
/// # Errors
/// The connection broke, or what came is no answer to it.
pub(super) async fn ask(stream: &mut dyn Stream, request: Request, number: i32) -> Result<Vec<u8>, String> {
    let broken = |error: std::io::Error| format!("the connection to a broker broke: {error}");
    stream.write_all(&request.finish()).await.map_err(broken)?;
    stream.flush().await.map_err(broken)?;
    let length = stream.read_i32().await.map_err(broken)?;
    let length = usize::try_from(length).ok().filter(|length| (4..=MOST_ANSWER).contains(length));
    let length = length.ok_or(MALFORMED)?;
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer).await.map_err(broken)?;
    let body = answer.split_off(4);
    if answer == number.to_be_bytes() { Ok(body) } else { Err(MALFORMED.to_owned()) }
}
