//! The memory zones: how large they are is settled in `config.yaml`, and what is kept in them is bounded by that.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use moka::ops::compute::Op;
use moka::sync::Cache;
use serde::Deserialize;
use serde_json::Value;
use usher_pipeline::env::Process;

use super::entry::{Resource, Stored};
use super::flights::Flights;

/// APISIX's default zone, which is on disk.
pub(super) const DISK_ZONE: &str = "disk_cache_one";
/// APISIX's memory zone, which is there when nothing else is configured.
const MEMORY_ZONE: &str = "memory_cache";
/// Its size.
const MEMORY_BYTES: u64 = 50 << 20;
/// How long requests don't wait for each other after an answer that could not be kept.
const UNKEPT: Duration = Duration::from_secs(5);

/// All zones of a process.
pub(crate) struct Zones {
    zones: BTreeMap<String, Option<Arc<Zone>>>,
    refused: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    zones: Option<Vec<WrittenZone>>,
    #[serde(rename = "cache_ttl")]
    _cache_ttl: Option<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenZone {
    name: String,
    memory_size: Value,
    disk_size: Option<Value>,
    disk_path: Option<String>,
    #[serde(rename = "cache_levels")]
    _cache_levels: Option<String>,
}

impl Zones {
    /// The zones of this process, made at the first call.
    pub(crate) fn of(process: &Process) -> Arc<Self> {
        process.permanent("proxy-cache", || Self::new(process.attribute("proxy-cache")))
    }

    fn new(attribute: Option<&Value>) -> Self {
        match read(attribute) {
            Ok(zones) => Self { zones, refused: None },
            Err(reason) => {
                Self { zones: BTreeMap::new(), refused: Some(format!("apisix.proxy_cache: {reason}")) }
            }
        }
    }

    /// The memory zone of this name.
    ///
    /// # Errors
    /// The sentence of why there is none, and which ones there are.
    pub(super) fn memory(&self, name: &str) -> Result<Arc<Zone>, String> {
        if let Some(reason) = &self.refused {
            return Err(reason.clone());
        }
        match self.zones.get(name) {
            Some(Some(zone)) => Ok(Arc::clone(zone)),
            Some(None) => {
                Err(format!("invalid or empty cache_zone for cache_strategy: memory; {}", self.choice()))
            }
            None => Err(format!("cache_zone {name} not found; {}", self.choice())),
        }
    }

    /// Which memory zones there are, for people.
    pub(super) fn choice(&self) -> String {
        let names: Vec<&str> = self.sizes().map(|(name, ..)| name).collect();
        match names.as_slice() {
            [] => "there is no memory zone; add one to apisix.proxy_cache.zones in config.yaml".to_owned(),
            names => format!("set cache_zone to a memory zone: {}", names.join(", ")),
        }
    }

    /// Name, size and used room of each memory zone, in bytes.
    pub(crate) fn sizes(&self) -> impl Iterator<Item = (&str, u64, u64)> {
        self.zones.iter().filter_map(|(name, zone)| {
            let zone = zone.as_ref()?;
            Some((name.as_str(), zone.capacity, zone.kept.weighted_size()))
        })
    }
}

fn read(attribute: Option<&Value>) -> Result<BTreeMap<String, Option<Arc<Zone>>>, String> {
    let memory = |size| Some(Arc::new(Zone::new(size)));
    let standard =
        || BTreeMap::from([(DISK_ZONE.to_owned(), None), (MEMORY_ZONE.to_owned(), memory(MEMORY_BYTES))]);
    let Some(attribute) = attribute.filter(|value| !value.is_null()) else { return Ok(standard()) };
    let written = Written::deserialize(attribute).map_err(|error| error.to_string())?;
    let Some(list) = written.zones else { return Ok(standard()) };
    let mut zones = BTreeMap::new();
    for zone in list {
        let size = bytes(&zone.memory_size).ok_or_else(|| {
            format!(
                "memory_size {} of zone {} is no size; write something like 50m",
                zone.memory_size, zone.name
            )
        })?;
        let on_disk = zone.disk_path.is_some() || zone.disk_size.is_some();
        let name = zone.name.clone();
        if zones.insert(zone.name, if on_disk { None } else { memory(size) }).is_some() {
            return Err(format!("there are two zones {name}; give each a name of its own"));
        }
    }
    Ok(zones)
}

/// A size as nginx writes it: `50m`, `1G`, `512k`, or bytes.
fn bytes(value: &Value) -> Option<u64> {
    let Some(text) = value.as_str() else { return value.as_u64().filter(|size| *size > 0) };
    let digits = text.trim_end_matches(|last: char| last.is_ascii_alphabetic());
    let unit: u64 = match text.get(digits.len()..)?.to_ascii_lowercase().as_str() {
        "" => 1,
        "k" => 1 << 10,
        "m" => 1 << 20,
        "g" => 1 << 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(unit).filter(|size| *size > 0)
}

type Key = Box<[u8]>;

/// One memory zone, shared by all workers.
pub(super) struct Zone {
    /// Who is on the way to the upstream.
    pub(super) flights: Arc<Flights>,
    capacity: u64,
    kept: Cache<Key, Arc<Resource>>,
    filling: AtomicU64,
    purges: AtomicU64,
}

impl Zone {
    fn new(capacity: u64) -> Self {
        let kept = Cache::builder()
            .max_capacity(capacity)
            .weigher(|key: &Key, resource: &Arc<Resource>| {
                u32::try_from(key.len().saturating_add(resource.weight())).unwrap_or(u32::MAX)
            })
            .build();
        Self {
            flights: Arc::default(),
            capacity,
            kept,
            filling: AtomicU64::new(0),
            purges: AtomicU64::new(0),
        }
    }

    /// What is kept under this key.
    pub(super) fn get(&self, key: &[u8]) -> Option<Arc<Resource>> {
        self.kept.get(key)
    }

    /// Keeps an answer. Not where something was purged since `purges` was asked for: the answer may be older than that.
    pub(super) fn keep(&self, key: &[u8], stored: Stored, purges: u64) {
        if stored.weight() as u64 > self.largest() {
            return;
        }
        let stored = Arc::new(stored);
        self.kept.entry(key.into()).and_compute_with(|known| {
            if self.purges() != purges {
                return Op::Nop;
            }
            let known = known.map(moka::Entry::into_value).unwrap_or_default();
            Op::Put(Arc::new(known.with(stored)))
        });
    }

    /// Notes that answers to this key can't be kept, so that requests don't wait for each other for a while.
    pub(super) fn note_unkept(&self, key: &[u8], now: Instant) {
        self.kept.entry(key.into()).and_upsert_with(|known| {
            let known = known.map(moka::Entry::into_value).unwrap_or_default();
            Arc::new(known.unkept(now + UNKEPT))
        });
    }

    /// Takes away what is kept under this key; `false` when there was nothing.
    pub(super) fn purge(&self, key: &[u8]) -> bool {
        self.purges.fetch_add(1, Ordering::AcqRel);
        self.kept.remove(key).is_some_and(|resource| !resource.is_empty())
    }

    /// How often something was purged.
    pub(super) fn purges(&self) -> u64 {
        self.purges.load(Ordering::Acquire)
    }

    /// The largest answer that has room, in bytes.
    pub(super) fn largest(&self) -> u64 {
        self.capacity.min(u64::from(u32::MAX))
    }

    /// Reserves room for bodies on their way in: together they never take more than the zone may. `false` when there is none left.
    pub(super) fn reserve(&self, bytes: u64) -> bool {
        let grow = |now: u64| now.checked_add(bytes).filter(|sum| *sum <= self.capacity);
        self.filling.fetch_update(Ordering::Relaxed, Ordering::Relaxed, grow).is_ok()
    }

    /// Gives reserved room back.
    pub(super) fn release(&self, bytes: u64) {
        self.filling.fetch_sub(bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use bytes::Bytes;
    use serde_json::json;
    use usher_http1::head::Head;

    use super::super::entry::{Kind, Stored};
    use super::{Zone, Zones, bytes};

    fn stored(size: usize, now: Instant) -> Stored {
        Stored {
            head: Head::response(200),
            body: Bytes::from(vec![0; size]),
            kind: Kind { route: "1".into(), body: None },
            vary: Vec::new(),
            for_everybody: false,
            stored: now,
            ttl: Duration::from_secs(10),
            age: Duration::ZERO,
        }
    }

    #[test]
    fn zones_come_from_the_settings_and_sizes_read_like_nginx_writes_them() {
        for (text, wanted) in
            [("50m", Some(50 << 20)), ("1G", Some(1 << 30)), ("7k", Some(7 << 10)), ("9", Some(9))]
        {
            assert_eq!(bytes(&json!(text)), wanted);
        }
        for bad in ["", "m", "0m", "5x", "5mm", "-5", "99999999999999999g"] {
            assert_eq!(bytes(&json!(bad)), None, "{bad}");
        }
        let error =
            |attribute: serde_json::Value, zone: &str| Zones::new(Some(&attribute)).memory(zone).err();
        let zones = json!({ "cache_ttl": "10s", "zones": [
            { "name": "a", "memory_size": "1m" },
            { "name": "b", "memory_size": "1m", "disk_size": "1G", "disk_path": "/var/cache/b", "cache_levels": "1:2" }
        ] });
        assert_eq!(error(zones.clone(), "a"), None);
        assert!(
            error(zones.clone(), "b")
                .unwrap()
                .starts_with("invalid or empty cache_zone for cache_strategy: memory")
        );
        assert!(
            error(zones, "memory_cache")
                .unwrap()
                .starts_with("cache_zone memory_cache not found; set cache_zone to a memory zone: a")
        );
        assert!(Zones::new(None).memory("memory_cache").is_ok());
        for (wrong, wanted) in [
            (
                json!({ "zones": [{ "name": "a", "memory_size": "much" }] }),
                "apisix.proxy_cache: memory_size \"much\" of zone a",
            ),
            (json!({ "zones": [{ "nam": "a" }] }), "apisix.proxy_cache: unknown field `nam`"),
            (
                json!({ "zones": [{ "name": "a", "memory_size": 1 }, { "name": "a", "memory_size": 1 }] }),
                "apisix.proxy_cache: there are two zones a",
            ),
        ] {
            assert!(error(wrong, "a").unwrap().starts_with(wanted));
        }
    }

    #[test]
    fn what_is_kept_is_bounded_by_weight() {
        let zone = Zone::new(100_000);
        let now = Instant::now();
        for number in 0..1000_u32 {
            zone.keep(&number.to_be_bytes(), stored(1000, now), 0);
        }
        zone.kept.run_pending_tasks();
        assert!(zone.kept.weighted_size() <= 100_000, "{}", zone.kept.weighted_size());
        assert!(zone.kept.entry_count() > 20, "{}", zone.kept.entry_count());
        zone.keep(b"huge", stored(100_001, now), 0);
        assert!(zone.get(b"huge").is_none());
    }

    #[test]
    fn an_answer_that_may_be_older_than_a_purge_is_not_kept() {
        let zone = Zone::new(100_000);
        let (now, before) = (Instant::now(), zone.purges());
        assert!(!zone.purge(b"k"), "nothing was there");
        zone.keep(b"k", stored(1, now), before);
        assert!(zone.get(b"k").is_none());
        zone.keep(b"k", stored(1, now), zone.purges());
        assert!(zone.purge(b"k"));
        zone.note_unkept(b"k", now);
        assert!(zone.get(b"k").is_some_and(|resource| resource.is_unkept(now)));
        assert!(!zone.purge(b"k"), "a note is no answer");
    }

    #[test]
    fn bodies_on_their_way_in_share_a_bound() {
        let zone = Arc::new(Zone::new(100));
        assert!(zone.reserve(60) && zone.reserve(40) && !zone.reserve(1));
        zone.release(40);
        assert!(!zone.reserve(41) && zone.reserve(40));
        assert!(!zone.reserve(u64::MAX), "an absurd wish changes nothing");
        zone.release(100);
        assert!(zone.reserve(100));
    }
}
