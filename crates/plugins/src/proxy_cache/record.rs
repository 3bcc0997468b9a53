//! What an answer on disk is: everything that is known of it but its body, as text.

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use usher_http1::head::Head;

use super::disk::Stay;
use super::entry::{Kept, Kind, Stored};

/// Everything but the body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    status: u16,
    /// Names and values, the latter in base64.
    fields: Vec<(String, String)>,
    route: String,
    body: Option<String>,
    vary: Vec<(String, Option<String>)>,
    for_everybody: bool,
    /// Milliseconds since 1970.
    stored_ms: u64,
    ttl_ms: u64,
    age_ms: u64,
}

/// A record with its key, as it stands in a file.
#[derive(Serialize, Deserialize)]
struct Written {
    key: String,
    #[serde(flatten)]
    record: Record,
}

impl Record {
    /// What is known of an answer that was stored at `unix_ms`.
    pub(super) fn of(stored: &Stored, unix_ms: u64) -> Self {
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Self {
            status: stored.head.status(),
            fields: stored
                .head
                .iter()
                .map(|(name, value)| (name.to_owned(), STANDARD.encode(value)))
                .collect(),
            route: stored.kind.route.to_string(),
            body: stored.kind.body.as_ref().map(|sum| STANDARD.encode(sum)),
            vary: stored
                .vary
                .iter()
                .map(|(name, value)| (name.clone(), value.as_ref().map(|value| STANDARD.encode(value))))
                .collect(),
            for_everybody: stored.for_everybody,
            stored_ms: unix_ms,
            ttl_ms: ms(stored.ttl),
            age_ms: ms(stored.age),
        }
    }

    /// The text of a file.
    pub(super) fn write(&self, key: &[u8]) -> Vec<u8> {
        let written = Written { key: STANDARD.encode(key), record: self.clone() };
        // A record has nothing that JSON can't hold.
        serde_json::to_vec(&written).unwrap_or_default()
    }

    /// Key and record of a file's text.
    pub(super) fn read(text: &[u8]) -> Option<(Vec<u8>, Self)> {
        let Written { key, record } = serde_json::from_slice(text).ok()?;
        Some((STANDARD.decode(key).ok()?, record))
    }

    /// The answer, at a time that is `now` and `unix_ms`; `None` where it has expired or can't be one.
    pub(super) fn restore(self, stay: Stay, now: Instant, unix_ms: u64) -> Option<Stored> {
        // A clock that was set back makes it no younger than new.
        let spent = Duration::from_millis(unix_ms.saturating_sub(self.stored_ms));
        let left = Duration::from_millis(self.ttl_ms).checked_sub(spent)?;
        let mut head = Head::response(self.status);
        for (name, value) in self.fields {
            head.append(&name, STANDARD.decode(value).ok()?).ok()?;
        }
        let value = |(name, value): (String, Option<String>)| {
            let value = value.map(|value| STANDARD.decode(value)).transpose().ok()?;
            Some((name, value))
        };
        Some(Stored {
            head,
            body: Kept::Disk(stay),
            kind: Kind {
                route: Arc::from(self.route),
                body: self.body.map(|sum| STANDARD.decode(sum)).transpose().ok()?.map(Vec::into_boxed_slice),
            },
            vary: self.vary.into_iter().map(value).collect::<Option<_>>()?,
            for_everybody: self.for_everybody,
            stored: now,
            ttl: left,
            age: Duration::from_millis(self.age_ms).saturating_add(spent),
        })
    }
}
