//! The body and the query of a request: read within bounds, then strictly into the shape that an endpoint takes.
//!
//! A member that nobody knows is an error with the nearest name, because what is overlooked here would be believed to be done.

use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::http::{HeaderMap, StatusCode, header};
use futures_util::StreamExt as _;
use serde::de::DeserializeOwned;
use usher_model::nearest::nearest;

use super::refusal::Refusal;

/// How much of a refused body is read away so that its sender gets to see the answer, in bytes.
const DRAIN_BYTES: usize = 16 << 20;
/// How long a whole body may take.
const READ_WITHIN: Duration = Duration::from_secs(60);
/// How long reading away what is refused may take.
const DRAIN_WITHIN: Duration = Duration::from_secs(5);
/// The most arguments of a query.
const MOST_ARGUMENTS: usize = 100;

/// A body on its way in.
pub(super) struct Incoming {
    stream: BodyDataStream,
    announced: Option<usize>,
    seen: usize,
    ended: bool,
    /// The client sends nothing before it is told to, so there is nothing to read away.
    waits: bool,
}

impl Incoming {
    pub(super) fn new(headers: &HeaderMap, body: Body) -> Self {
        let announced = headers
            .get(header::CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok())
            // Digits that fit into no number are a size all the same.
            .map(|text| text.parse().unwrap_or(usize::MAX));
        let waits = headers.contains_key(header::EXPECT);
        Self { stream: body.into_data_stream(), announced, seen: 0, ended: false, waits }
    }

    /// The whole body.
    ///
    /// # Errors
    /// It is larger than `most` bytes, too slow, cut off, or says that it is no JSON.
    pub(super) async fn read(&mut self, headers: &HeaderMap, most: usize) -> Result<Vec<u8>, Refusal> {
        if self.announced.is_some_and(|size| size > most) {
            return Err(too_large(most));
        }
        self.waits = false;
        let bytes = tokio::time::timeout(READ_WITHIN, self.collect(most)).await.map_err(|_| {
            let message = format!("the body did not arrive within {} seconds", READ_WITHIN.as_secs());
            Refusal::new(StatusCode::REQUEST_TIMEOUT, "timeout", message).next("send it again")
        })??;
        if !bytes.is_empty() && !is_json(headers) {
            return Err(Refusal::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "not_json",
                "a body has to come with Content-Type: application/json",
            )
            .next("add that header; YAML goes into the member \"document\" as a string"));
        }
        Ok(bytes)
    }

    async fn collect(&mut self, most: usize) -> Result<Vec<u8>, Refusal> {
        let mut bytes = Vec::with_capacity(self.announced.unwrap_or_default().min(most));
        while let Some(chunk) = self.stream.next().await {
            let Ok(chunk) = chunk else {
                self.ended = true;
                return Err(malformed("the body ended too early").next("send it again"));
            };
            self.seen += chunk.len();
            if self.seen > most {
                return Err(too_large(most));
            }
            bytes.extend_from_slice(&chunk);
        }
        self.ended = true;
        Ok(bytes)
    }

    /// Reads away what nobody has asked for, within bounds.
    pub(super) async fn drain(&mut self) {
        // What is announced to be more than is read away isn't waited for at all.
        if self.ended || self.waits || self.announced.is_some_and(|size| size > DRAIN_BYTES) {
            return;
        }
        let mut left = DRAIN_BYTES;
        let rest = async {
            while let Some(Ok(chunk)) = self.stream.next().await {
                match left.checked_sub(chunk.len()) {
                    Some(rest) => left = rest,
                    None => return,
                }
            }
        };
        // Whoever is slower than that has to do without the answer.
        let _ = tokio::time::timeout(DRAIN_WITHIN, rest).await;
    }
}

/// A body as its shape. Where the endpoint takes one, nothing at all counts as `{}`.
///
/// # Errors
/// 400 for what is no JSON, 422 for what isn't of the shape, with the nearest name of an unknown member.
pub(super) fn parse<B: DeserializeOwned>(given: &[u8], takes: bool) -> Result<B, Refusal> {
    if !takes && !given.is_empty() {
        return Err(malformed("this takes no body").next("leave the body out"));
    }
    let given = if given.is_empty() { b"{}" } else { given };
    // A list would be taken for the members in their order.
    if given.trim_ascii_start().first() == Some(&b'[') {
        return Err(Refusal::invalid("the body is a list, but an object is taken here")
            .next("write the members by their names, such as {\"changes\": []}"));
    }
    let mut reader = serde_json::Deserializer::from_slice(given);
    let parsed: B = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        of_shape(error.inner(), pointer(&path))
    })?;
    reader.end().map_err(|error| of_shape(&error, String::new()))?;
    Ok(parsed)
}

/// A query as its shape.
///
/// # Errors
/// 422, as for [`parse`].
pub(super) fn query<Q: DeserializeOwned>(text: &str) -> Result<Q, Refusal> {
    let pairs: Vec<(String, String)> =
        form_urlencoded::parse(text.as_bytes()).into_owned().take(MOST_ARGUMENTS).collect();
    let members = pairs.into_iter().map(|(name, value)| (name, Text(value)));
    let reader = serde::de::value::MapDeserializer::<_, serde::de::value::Error>::new(members);
    serde_path_to_error::deserialize(reader).map_err(|error| {
        let field = error.path().to_string();
        wrong_shape(&error.inner().to_string(), if field == "." { String::new() } else { field })
    })
}

/// A value of a query, which is whatever its field wants it to be.
struct Text(String);

impl<'de> serde::de::IntoDeserializer<'de, serde::de::value::Error> for Text {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> serde::de::Deserializer<'de> for Text {
    type Error = serde::de::value::Error;

    fn deserialize_any<V: serde::de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_string(self.0)
    }

    fn deserialize_u64<V: serde::de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        match self.0.parse() {
            Ok(number) => visitor.visit_u64(number),
            Err(_) => visitor.visit_string(self.0),
        }
    }

    fn deserialize_bool<V: serde::de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        match self.0.as_str() {
            "true" | "1" | "" => visitor.visit_bool(true),
            "false" | "0" => visitor.visit_bool(false),
            _ => visitor.visit_string(self.0),
        }
    }

    fn deserialize_option<V: serde::de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_some(self)
    }

    fn deserialize_enum<V: serde::de::Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        visitor.visit_enum(serde::de::value::StringDeserializer::new(self.0))
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u32 u128 f32 f64 char str string bytes byte_buf unit unit_struct newtype_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

fn of_shape(error: &serde_json::Error, field: String) -> Refusal {
    if error.is_data() {
        // serde_json adds the place in bytes, which the field says better.
        let text = error.to_string();
        let sentence = text.split(" at line ").next().unwrap_or_default();
        return wrong_shape(sentence, field);
    }
    malformed(format!("the body is no JSON: {error}")).next("mend it there; nothing was changed")
}

/// The sentence of serde, and the nearest name where it is about an unknown one.
fn wrong_shape(sentence: &str, field: String) -> Refusal {
    let refusal = Refusal::invalid(sentence).at(field);
    let mut quoted = sentence.split('`').skip(1).step_by(2);
    let unknown = sentence.starts_with("unknown field") || sentence.starts_with("unknown variant");
    match quoted.next().filter(|_| unknown) {
        Some(word) => match nearest(word, quoted.clone()) {
            Some(meant) => refusal.next(format!("did you mean {meant}?")),
            // A value that has to be one of a few can't be left out.
            None if sentence.starts_with("unknown variant") => {
                refusal.next(format!("write one of {}", quoted.collect::<Vec<_>>().join(", ")))
            }
            None => refusal.next("leave it out, or look at /usher/v1/openapi.yaml for what is taken"),
        },
        None => refusal.next("look at /usher/v1/openapi.yaml for what is taken"),
    }
}

/// A path as `serde_path_to_error` writes it, as a JSON pointer.
fn pointer(path: &str) -> String {
    if path == "." {
        return String::new();
    }
    let steps = path.replace('[', ".").replace(']', "");
    let steps = steps.split('.').filter(|step| !step.is_empty() && *step != "?");
    steps.map(|step| format!("/{step}")).collect()
}

fn malformed(message: impl Into<String>) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, "malformed", message)
}

fn too_large(most: usize) -> Refusal {
    let message = format!("the body is larger than the {most} bytes that are taken here");
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message).next("send it in several plans")
}

/// `application/json`, or a type that is written in it.
fn is_json(headers: &HeaderMap) -> bool {
    let named = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = named.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::{parse, pointer, query};

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Page {
        limit: Option<u64>,
        key: Option<String>,
        whole: bool,
    }

    #[test]
    fn a_query_is_read_as_its_fields_want_it() {
        let page: Page = query("limit=20&key=12&whole").unwrap();
        assert_eq!(page, Page { limit: Some(20), key: Some("12".to_owned()), whole: true });
        assert_eq!(query::<Page>("").unwrap(), Page::default());
        for wrong in ["limit=many", "whole=perhaps", "limt=1", "limit=1&limit=2"] {
            assert!(query::<Page>(wrong).is_err(), "{wrong}");
        }
        let told = format!("{:?}", query::<Page>("limt=1").unwrap_err());
        assert!(told.contains("did you mean limit?"), "{told}");
    }

    #[test]
    fn a_body_is_read_strictly() {
        assert_eq!(parse::<Page>(b"", true).unwrap(), Page::default());
        for (wrong, part) in [
            (&b"{\"limit\": \"x\"}"[..], "/limit"),
            (b"{\"lmit\": 1}", "did you mean limit?"),
            (b"{\"limit\": 1", "no JSON"),
            (b"{} {}", "no JSON"),
        ] {
            let told = format!("{:?}", parse::<Page>(wrong, true).unwrap_err());
            assert!(told.contains(part), "{part} is missing in {told}");
        }
        assert!(parse::<Page>(b"{}", false).is_err());
    }

    #[test]
    fn places_are_json_pointers() {
        for (path, wanted) in [(".", ""), ("changes[0].op", "/changes/0/op"), ("a.b", "/a/b")] {
            assert_eq!(pointer(path), wanted);
        }
    }
}
