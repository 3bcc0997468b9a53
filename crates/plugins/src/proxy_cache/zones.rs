//! The zones: how large they are and where is settled in `config.yaml`, and what is kept in them is bounded by that.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use usher_pipeline::env::Process;

use super::disk::Folder;
use super::zone::Zone;

/// APISIX's default zone, which is on disk.
pub(super) const DISK_ZONE: &str = "disk_cache_one";
/// APISIX's memory zone, which is there when nothing else is configured.
const MEMORY_ZONE: &str = "memory_cache";
/// Its size.
const MEMORY_BYTES: u64 = 50 << 20;
/// The size of APISIX's default zone on disk.
const DISK_BYTES: u64 = 1 << 30;
/// How long an answer on disk is kept that doesn't say so itself.
const DISK_TTL: Duration = Duration::from_secs(10);
/// The process-level setting that says where the gateway keeps its files.
const DATA_FOLDER: &str = "data-folder";

/// All zones of a process.
pub(crate) struct Zones {
    zones: BTreeMap<String, Arc<Zone>>,
    disk_ttl: Duration,
    refused: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    zones: Option<Vec<WrittenZone>>,
    cache_ttl: Option<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenZone {
    name: String,
    memory_size: Value,
    disk_size: Option<Value>,
    disk_path: Option<String>,
    cache_levels: Option<String>,
}

impl Zones {
    /// The zones of this process, made at the first call.
    pub(crate) fn of(process: &Process) -> Arc<Self> {
        let folder = process.attribute(DATA_FOLDER).and_then(Value::as_str).map(PathBuf::from);
        let make = || Self::new(process.attribute("proxy-cache"), folder.as_deref());
        process.permanent("proxy-cache", make)
    }

    fn new(attribute: Option<&Value>, data: Option<&Path>) -> Self {
        match read(attribute, data) {
            Ok((zones, disk_ttl)) => Self { zones, disk_ttl, refused: None },
            Err(reason) => Self {
                zones: BTreeMap::new(),
                disk_ttl: DISK_TTL,
                refused: Some(format!("apisix.proxy_cache: {reason}")),
            },
        }
    }

    /// The zone of this name, on disk or in memory.
    ///
    /// # Errors
    /// The sentence of why there is none, and which ones there are.
    pub(super) fn zone(&self, name: &str, on_disk: bool) -> Result<Arc<Zone>, String> {
        if let Some(reason) = &self.refused {
            return Err(reason.clone());
        }
        let strategy = if on_disk { "disk" } else { "memory" };
        match self.zones.get(name) {
            Some(zone) if zone.is_on_disk() == on_disk => Ok(Arc::clone(zone)),
            Some(_) => {
                let choice = self.choice(on_disk);
                Err(format!("invalid or empty cache_zone for cache_strategy: {strategy}; {choice}"))
            }
            None => Err(format!("cache_zone {name} not found; {}", self.choice(on_disk))),
        }
    }

    /// How long an answer on disk is kept that doesn't say so itself.
    pub(super) const fn disk_ttl(&self) -> Duration {
        self.disk_ttl
    }

    /// Which zones there are, for people.
    fn choice(&self, on_disk: bool) -> String {
        let all = self.zones.iter().filter(|(_, zone)| zone.is_on_disk() == on_disk);
        let names: Vec<&str> = all.map(|(name, _)| name.as_str()).collect();
        let kind = if on_disk { "disk" } else { "memory" };
        match names.as_slice() {
            [] => format!("there is no {kind} zone; add one to apisix.proxy_cache.zones in config.yaml"),
            names => format!("set cache_zone to a {kind} zone: {}", names.join(", ")),
        }
    }

    /// Name, size and used room of each memory zone, in bytes.
    pub(crate) fn sizes(&self) -> impl Iterator<Item = (&str, u64, u64)> {
        let in_memory = self.zones.iter().filter(|(_, zone)| !zone.is_on_disk());
        in_memory.map(|(name, zone)| (name.as_str(), zone.largest_sum(), zone.used()))
    }
}

/// The zones, and how long answers on disk are kept that don't say so themselves.
type Made = (BTreeMap<String, Arc<Zone>>, Duration);

fn read(attribute: Option<&Value>, data: Option<&Path>) -> Result<Made, String> {
    let standard = || {
        // Where it is not known where files are kept, nothing is written.
        let folder = data.map(|data| Folder::new(data.join("cache").join(DISK_ZONE), vec![1, 2]));
        BTreeMap::from([
            (DISK_ZONE.to_owned(), Arc::new(Zone::on_disk(DISK_BYTES, MEMORY_BYTES, folder))),
            (MEMORY_ZONE.to_owned(), Arc::new(Zone::in_memory(MEMORY_BYTES))),
        ])
    };
    let Some(attribute) = attribute.filter(|value| !value.is_null()) else {
        return Ok((standard(), DISK_TTL));
    };
    let written = Written::deserialize(attribute).map_err(|error| error.to_string())?;
    let ttl = match &written.cache_ttl {
        None => DISK_TTL,
        Some(text) => {
            time(text).ok_or_else(|| format!("cache_ttl {text} is no time; write something like 10s"))?
        }
    };
    let Some(list) = written.zones else { return Ok((standard(), ttl)) };
    let mut zones = BTreeMap::new();
    for zone in list {
        let name = zone.name.clone();
        if zones.insert(zone.name.clone(), Arc::new(made(zone)?)).is_some() {
            return Err(format!("there are two zones {name}; give each a name of its own"));
        }
    }
    Ok((zones, ttl))
}

fn made(zone: WrittenZone) -> Result<Zone, String> {
    let size = |member: &str, value: &Value| {
        let wrong = || format!("{member} {value} of zone {} is no size; write something like 50m", zone.name);
        bytes(value).ok_or_else(wrong)
    };
    let memory = size("memory_size", &zone.memory_size)?;
    match (&zone.disk_path, &zone.disk_size) {
        (None, None) => Ok(Zone::in_memory(memory)),
        (Some(path), Some(room)) => {
            let levels = zone.cache_levels.as_deref().unwrap_or("1:2");
            let levels = folders(levels).ok_or_else(|| {
                format!(
                    "cache_levels {levels:?} of zone {} has to be one to three of 1 and 2, such as 1:2",
                    zone.name
                )
            })?;
            Ok(Zone::on_disk(size("disk_size", room)?, memory, Some(Folder::new(path.into(), levels))))
        }
        _ => Err(format!("zone {} has one of disk_path and disk_size; give both, or none", zone.name)),
    }
}

/// `1:2`: how many digits name the folders, at most three of them with one or two each.
fn folders(text: &str) -> Option<Vec<usize>> {
    let all: Option<Vec<usize>> =
        text.split(':').map(|level| level.parse().ok().filter(|level| matches!(level, 1 | 2))).collect();
    all.filter(|all| all.len() <= 3)
}

/// A time as nginx writes it: `10s`, `5m`, `1h`, `1d`, or seconds.
fn time(value: &Value) -> Option<Duration> {
    let Some(text) = value.as_str() else { return value.as_u64().map(Duration::from_secs) };
    let digits = text.trim_end_matches(|last: char| last.is_ascii_alphabetic());
    let unit = match text.get(digits.len()..)? {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86400,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(unit).map(Duration::from_secs)
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Zones, bytes};

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
        let error = |attribute: serde_json::Value, zone: &str| {
            Zones::new(Some(&attribute), None).zone(zone, false).err()
        };
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
        assert!(Zones::new(None, None).zone("memory_cache", false).is_ok());
        assert!(Zones::new(None, None).zone("disk_cache_one", true).is_ok());
        for (text, wanted) in
            [(json!("10s"), Some(10)), (json!("2h"), Some(7200)), (json!(7), Some(7)), (json!("x"), None)]
        {
            assert_eq!(super::time(&text).map(|time| time.as_secs()), wanted);
        }
        for (text, wanted) in
            [("1:2", Some(vec![1, 2])), ("2", Some(vec![2])), ("3", None), ("1:1:1:1", None), ("", None)]
        {
            assert_eq!(super::folders(text), wanted, "{text}");
        }
        for (wrong, wanted) in [
            (
                json!({ "zones": [{ "name": "a", "memory_size": "much" }] }),
                "apisix.proxy_cache: memory_size \"much\" of zone a",
            ),
            (
                json!({ "zones": [{ "name": "a", "memory_size": 1, "disk_path": "/x" }] }),
                "apisix.proxy_cache: zone a has one of disk_path and disk_size",
            ),
            (json!({ "cache_ttl": "soon" }), "apisix.proxy_cache: cache_ttl \"soon\" is no time"),
            (json!({ "zones": [{ "nam": "a" }] }), "apisix.proxy_cache: unknown field `nam`"),
            (
                json!({ "zones": [{ "name": "a", "memory_size": 1 }, { "name": "a", "memory_size": 1 }] }),
                "apisix.proxy_cache: there are two zones a",
            ),
        ] {
            assert!(error(wrong, "a").unwrap().starts_with(wanted));
        }
    }
}
