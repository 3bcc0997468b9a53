//! How short of memory the process is, in four stages (reliability rule D2): idle connections go sooner, connections end behind their answers, new
//! requests are refused, new connections wait.
//!
//! Nothing is looked at per request but one byte. Where no limit is known, none of it happens.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;
use std::time::Duration;

/// Between two looks.
const EVERY: Duration = Duration::from_millis(250);

/// How long a connection may be idle from the first stage on, in milliseconds.
const IDLE_MS: u64 = 5_000;

/// The stages, in percent of the limit.
const STAGES: [u64; 4] = [85, 92, 95, 98];

/// Where a container says how much memory it may use.
const CGROUP: &str = "/sys/fs/cgroup/memory.max";

/// The stage that the process is in: 0 is none.
#[derive(Debug, Default)]
pub(super) struct Pressure(AtomicU8);

impl Pressure {
    /// Looks from now on, as long as anybody holds it. `limit` is in bytes; without one the container's own is taken.
    pub(super) fn watch(limit: Option<u64>) -> Arc<Self> {
        let pressure = Arc::new(Self::default());
        let limit = limit.or_else(|| std::fs::read_to_string(CGROUP).ok()?.trim().parse().ok());
        let (Some(limit), watched) = (limit, Arc::downgrade(&pressure)) else { return pressure };
        let spawned = thread::Builder::new().name("usher-memory".to_owned()).spawn(move || {
            while let Some(pressure) = watched.upgrade() {
                if let Some(used) = resident() {
                    pressure.enter(stage(used, limit), used, limit);
                }
                drop(pressure);
                thread::sleep(EVERY);
            }
        });
        if let Err(error) = spawned {
            tracing::warn!(%error, "nobody looks after the memory");
        }
        pressure
    }

    fn enter(&self, stage: u8, used: u64, limit: u64) {
        let before = self.0.swap(stage, Ordering::Relaxed);
        if stage > before {
            tracing::warn!(stage, used, limit, "the process is short of memory");
        } else if stage < before {
            tracing::info!(stage, used, limit, "there is more memory again");
        }
    }

    fn stage(&self) -> u8 {
        self.0.load(Ordering::Relaxed)
    }

    /// How long a connection may be idle, in milliseconds, where `usual` is what the settings say.
    pub(super) fn idle_ms(&self, usual: u64) -> u64 {
        if self.stage() >= 1 { usual.min(IDLE_MS) } else { usual }
    }

    /// Whether connections end behind their answers.
    pub(super) fn closes(&self) -> bool {
        self.stage() >= 2
    }

    /// Whether new requests are refused.
    pub(super) fn refuses(&self) -> bool {
        self.stage() >= 3
    }

    /// Whether new connections wait.
    pub(super) fn shuts(&self) -> bool {
        self.stage() >= 4
    }
}

/// What the process holds, in bytes.
fn resident() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kib * 1024)
}

fn stage(used: u64, limit: u64) -> u8 {
    let percent = used.saturating_mul(100).checked_div(limit).unwrap_or(100);
    u8::try_from(STAGES.iter().filter(|stage| percent >= **stage).count()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{Pressure, resident, stage};

    #[test]
    fn stages_begin_where_the_rule_says() {
        for (used, wanted) in
            [(0, 0), (84, 0), (85, 1), (91, 1), (92, 2), (95, 3), (97, 3), (98, 4), (200, 4)]
        {
            assert_eq!(stage(used, 100), wanted, "{used}%");
        }
        let pressure = Pressure::default();
        for (stage, idle, closes, refuses, shuts) in [
            (0, 60_000, false, false, false),
            (1, 5_000, false, false, false),
            (2, 5_000, true, false, false),
            (3, 5_000, true, true, false),
            (4, 5_000, true, true, true),
            (0, 60_000, false, false, false),
        ] {
            pressure.enter(stage, 0, 0);
            let found = (pressure.idle_ms(60_000), pressure.closes(), pressure.refuses(), pressure.shuts());
            assert_eq!(found, (idle, closes, refuses, shuts), "stage {stage}");
        }
        assert!(resident().is_some_and(|bytes| bytes > 1 << 20));
    }
}
