//! What is kept under one key: a few answers, told apart by what they vary by.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use usher_http1::head::Head;

use super::disk::Stay;

/// How many answers are kept under one key; the oldest makes room.
pub(super) const MAX_VARIANTS: usize = 16;
/// What an answer weighs beside its texts, in bytes.
const OVERHEAD: usize = 512;

/// What is kept under one key.
#[derive(Clone, Default)]
pub(super) struct Resource {
    variants: Vec<Arc<Stored>>,
    /// Until then, requests don't wait for each other: the last answer could not be kept.
    unkept_until: Option<Instant>,
}

/// What tells answers under one key apart, beside the fields they vary by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kind {
    /// The route that it was made for: another one may have another upstream.
    pub(super) route: Arc<str>,
    /// The digest of a POST's body.
    pub(super) body: Option<Box<[u8]>>,
}

/// A body that is kept.
pub(super) enum Kept {
    /// In memory.
    Memory(Bytes),
    /// On disk.
    Disk(Stay),
}

impl Kept {
    fn length(&self) -> usize {
        match self {
            Self::Memory(bytes) => bytes.len(),
            Self::Disk(stay) => usize::try_from(stay.length()).unwrap_or(usize::MAX),
        }
    }
}

/// An answer that is kept.
pub(super) struct Stored {
    /// Status and fields, without those of one connection.
    pub(super) head: Head,
    /// The whole body.
    pub(super) body: Kept,
    /// What it is told apart by.
    pub(super) kind: Kind,
    /// The fields of the request that it varies by, in order, with the values that it was made for.
    pub(super) vary: Vec<(String, Option<Vec<u8>>)>,
    /// It says by itself that everybody may have it.
    pub(super) for_everybody: bool,
    /// When it was made for us.
    pub(super) stored: Instant,
    /// How long it is good for from then.
    pub(super) ttl: Duration,
    /// How old it was then.
    pub(super) age: Duration,
}

impl Stored {
    /// How old it is.
    pub(super) fn age_at(&self, now: Instant) -> Duration {
        self.age.saturating_add(now.saturating_duration_since(self.stored))
    }

    /// How long it is still good for; `None` when it isn't any more.
    pub(super) fn left_at(&self, now: Instant) -> Option<Duration> {
        self.ttl.checked_sub(now.saturating_duration_since(self.stored)).filter(|left| !left.is_zero())
    }

    /// Its size, in bytes: what it takes in memory, and its body wherever that is.
    pub(super) fn weight(&self) -> usize {
        self.weight_without_body().saturating_add(self.body.length())
    }

    fn weight_without_body(&self) -> usize {
        let head: usize = self.head.iter().map(|(name, value)| name.len() + value.len() + 32).sum();
        let vary: usize =
            self.vary.iter().map(|(name, value)| name.len() + value.as_ref().map_or(0, Vec::len) + 48).sum();
        OVERHEAD + head + vary
    }

    fn answers(&self, kind: &Kind, request: &Head) -> bool {
        self.kind == *kind && self.vary.iter().all(|(name, value)| value_of(request, name) == *value)
    }

    /// Whether it takes the place of `other`. Answers that don't vary by the same fields can't stand side by side: nobody could tell which one
    /// a request is for.
    fn replaces(&self, other: &Self) -> bool {
        let names = |stored: &Self| stored.vary.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        self.kind == other.kind && (self.vary == other.vary || names(self) != names(other))
    }
}

/// The value of a field as one: all its lines, joined.
pub(super) fn value_of(head: &Head, name: &str) -> Option<Vec<u8>> {
    let mut lines = head.get_all(name);
    let first = lines.next()?;
    let mut joined = first.to_vec();
    for line in lines {
        joined.extend_from_slice(b", ");
        joined.extend_from_slice(line);
    }
    Some(joined)
}

impl Resource {
    /// The answer for this request, fresh or not.
    pub(super) fn find(&self, kind: &Kind, request: &Head) -> Option<&Arc<Stored>> {
        self.variants.iter().find(|stored| stored.answers(kind, request))
    }

    /// Whether requests are not to wait for each other.
    pub(super) fn is_unkept(&self, now: Instant) -> bool {
        self.unkept_until.is_some_and(|until| now < until)
    }

    /// Whether there is no answer in it.
    pub(super) const fn is_empty(&self) -> bool {
        self.variants.is_empty()
    }

    /// The same with one more answer. What it replaces and what has expired is left out.
    pub(super) fn with(&self, stored: Arc<Stored>) -> Self {
        let stays = |old: &&Arc<Stored>| old.left_at(stored.stored).is_some() && !stored.replaces(old);
        let mut variants: Vec<Arc<Stored>> = self.variants.iter().filter(stays).cloned().collect();
        if variants.len() >= MAX_VARIANTS {
            variants.remove(0);
        }
        variants.push(stored);
        Self { variants, unkept_until: None }
    }

    /// The same with an answer of an earlier process; `None` where a newer one has its place.
    pub(super) fn with_restored(&self, stored: Arc<Stored>) -> Option<Self> {
        let now = stored.stored;
        let is_older = |known: &Arc<Stored>| {
            stored.replaces(known) && known.left_at(now).is_some() && known.age_at(now) <= stored.age
        };
        let is_full = self.variants.len() >= MAX_VARIANTS;
        if is_full || self.variants.iter().any(is_older) {
            return None;
        }
        Some(Self { unkept_until: self.unkept_until, ..self.with(stored) })
    }

    /// The same with a note that answers can't be kept until then.
    pub(super) fn unkept(&self, until: Instant) -> Self {
        Self { variants: self.variants.clone(), unkept_until: Some(until) }
    }

    /// What of it lies in memory where its bodies don't, in bytes.
    pub(super) fn weight_in_memory(&self) -> usize {
        64 + self.variants.iter().map(|stored| stored.weight_without_body()).sum::<usize>()
    }

    /// Its size, in bytes.
    pub(super) fn weight(&self) -> usize {
        64 + self.variants.iter().map(|stored| stored.weight()).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use bytes::Bytes;
    use usher_http1::head::Head;

    use super::{Kept, Kind, MAX_VARIANTS, Resource, Stored, value_of};

    fn kind(route: &str) -> Kind {
        Kind { route: route.into(), body: None }
    }

    fn stored(route: &str, vary: &[(&str, &str)], now: Instant) -> Arc<Stored> {
        Arc::new(Stored {
            head: Head::response(200),
            body: Kept::Memory(Bytes::from_static(b"0123456789")),
            kind: kind(route),
            vary: vary
                .iter()
                .map(|(name, value)| ((*name).to_owned(), Some(value.as_bytes().to_vec())))
                .collect(),
            for_everybody: false,
            stored: now,
            ttl: Duration::from_secs(10),
            age: Duration::ZERO,
        })
    }

    fn request(accept: &str) -> Head {
        let mut head = Head::request("GET", "/");
        head.append("Accept", accept).unwrap();
        head
    }

    #[test]
    fn answers_are_told_apart_by_route_and_by_what_they_vary_by() {
        let now = Instant::now();
        let all = Resource::default()
            .with(stored("1", &[("accept", "a")], now))
            .with(stored("1", &[("accept", "b")], now))
            .with(stored("2", &[], now));
        let found = |route: &str, accept: &str| {
            all.find(&kind(route), &request(accept)).map(|stored| stored.vary.len())
        };
        assert_eq!((found("1", "a"), found("1", "b"), found("1", "c")), (Some(1), Some(1), None));
        assert_eq!((found("2", "c"), found("3", "a")), (Some(0), None));
        assert_eq!(value_of(&Head::empty(), "accept"), None);
    }

    #[test]
    fn an_answer_that_varies_otherwise_takes_the_place_of_the_older_ones() {
        let now = Instant::now();
        let all = Resource::default()
            .with(stored("1", &[("accept", "a")], now))
            .with(stored("1", &[("accept", "b")], now))
            .with(stored("1", &[], now));
        assert_eq!(all.variants.len(), 1);
        assert_eq!(all.find(&kind("1"), &request("a")).map(|stored| stored.vary.len()), Some(0));
    }

    #[test]
    fn variants_are_bounded_and_the_expired_ones_go_first() {
        let now = Instant::now();
        let mut all = Resource::default();
        for number in 0..MAX_VARIANTS + 4 {
            all = all.with(stored("1", &[("accept", &number.to_string())], now));
        }
        assert_eq!(all.variants.len(), MAX_VARIANTS);
        assert!(
            all.find(&kind("1"), &request("3")).is_none() && all.find(&kind("1"), &request("4")).is_some()
        );
        let later = now + Duration::from_secs(11);
        let all = all.with(stored("1", &[("accept", "z")], later));
        assert_eq!(all.variants.len(), 1);
        assert!(all.weight() > 500 && all.weight() < 1000, "{}", all.weight());
    }
}
