//! A second as logs write it, in the zone of this machine.

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

/// As nginx's `$time_local`: `30/Nov/2026:20:01:02 +0100`.
#[must_use]
pub fn local(unix_secs: u64) -> String {
    here(unix_secs).strftime("%d/%b/%Y:%H:%M:%S %z").to_string()
}

/// As nginx's `$time_iso8601`: `2026-11-30T20:01:02+01:00`.
#[must_use]
pub fn iso8601(unix_secs: u64) -> String {
    here(unix_secs).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
}

fn here(unix_secs: u64) -> Zoned {
    let at = Timestamp::from_second(i64::try_from(unix_secs).unwrap_or(0)).unwrap_or_default();
    at.to_zoned(TimeZone::system())
}
