//! Health checks of an upstream, with lua-resty-healthcheck's defaults (data plane contract, section 6.5).
//!
//! Two layers of defaults, because APISIX has two: what its schema fills into `healthy` and `unhealthy` where they are written, and what the library
//! goes by where they are not. They agree but for the interval, which is 1 s in the one case and "never" in the other.

use std::time::Duration;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::whole::whole;

/// Health checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checks {
    /// Probes that the gateway sends by itself.
    pub active: ActiveChecks,
    /// What is learnt from ordinary requests; nothing when absent.
    pub passive: Option<PassiveChecks>,
}

/// How a probe is made, or what kind of answers is looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CheckKind {
    /// A GET over a plain connection.
    #[default]
    Http,
    /// The same over TLS.
    Https,
    /// A connection that is opened and closed.
    Tcp,
}

impl CheckKind {
    /// `http`, `https` or `tcp`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Tcp => "tcp",
        }
    }
}

/// Probes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActiveChecks {
    /// How a probe is made; http unless set.
    pub kind: CheckKind,
    /// For each step of a probe; 1 s unless set.
    pub timeout: Duration,
    /// Probes of one upstream that run at the same time, at least 1; 10 unless set.
    pub concurrency: usize,
    /// `Host`, and the name for TLS; the node's own unless set.
    pub host: Option<String>,
    /// The port that is probed; the node's own unless set.
    pub port: Option<u16>,
    /// The path of a probe; `/` unless set.
    pub http_path: String,
    /// Whether the certificate of an https probe is verified; it is unless set.
    pub https_verify_certificate: bool,
    /// Whole header lines to send.
    pub req_headers: Vec<String>,
    /// Between two probes of a good node; zero: none is made.
    pub healthy_interval: Duration,
    /// Between two probes of a bad node; zero: none is made.
    pub unhealthy_interval: Duration,
    /// What probes have to show.
    pub bounds: HealthBounds,
}

/// What is learnt from ordinary requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassiveChecks {
    /// What is shown in status pages; the requests themselves go by the upstream's scheme.
    pub kind: CheckKind,
    /// What requests have to show.
    pub bounds: HealthBounds,
}

/// When a node counts as good, and when as bad.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthBounds {
    /// Statuses that speak for a node, sorted.
    pub good_statuses: Vec<u16>,
    /// Statuses that speak against it, sorted.
    pub bad_statuses: Vec<u16>,
    /// So many good signs in a row make it good; 0: they count for nothing.
    pub successes: u8,
    /// So many bad statuses make it bad; 0: they count for nothing.
    pub http_failures: u8,
    /// So many broken connections make it bad; 0: they count for nothing.
    pub tcp_failures: u8,
    /// So many timeouts make it bad; 0: they count for nothing.
    pub timeouts: u8,
}

/// What stands for a member that isn't written.
struct Defaults {
    good: &'static [u16],
    bad: &'static [u16],
    successes: u8,
    http_failures: u8,
    tcp_failures: u8,
    timeouts: u8,
}

const ACTIVE: Defaults = Defaults {
    good: &[200, 302],
    bad: &[404, 429, 500, 501, 502, 503, 504, 505],
    successes: 2,
    http_failures: 5,
    tcp_failures: 2,
    timeouts: 3,
};

const PASSIVE: Defaults = Defaults {
    good: &[200, 201, 202, 203, 204, 205, 206, 207, 208, 226, 300, 301, 302, 303, 304, 305, 306, 307, 308],
    bad: &[429, 500, 503],
    successes: 5,
    http_failures: 5,
    tcp_failures: 2,
    timeouts: 7,
};

impl Checks {
    fn of(value: &Value) -> Result<Self, String> {
        let active = value.get("active").ok_or("`checks.active` is missing")?;
        let passive = value.get("passive").map(|passive| {
            let bounds = HealthBounds::of(passive, "checks.passive", &PASSIVE)?;
            Ok::<_, String>(PassiveChecks { kind: kind(passive, "checks.passive")?, bounds })
        });
        Ok(Self { active: ActiveChecks::of(active)?, passive: passive.transpose()? })
    }
}

impl ActiveChecks {
    fn of(value: &Value) -> Result<Self, String> {
        let text = |member: &str| value.get(member).and_then(Value::as_str).map(str::to_owned);
        let number = |member: &str| {
            value.get(member).map(|found| whole(format_args!("`checks.active.{member}`"), found))
        };
        let timeout = value.get("timeout").and_then(Value::as_f64).unwrap_or(1.0);
        // No probe needs an hour, and no time at all would mean that none ever succeeds.
        let timeout = Duration::try_from_secs_f64(timeout.clamp(0.001, 3600.0))
            .map_err(|error| format!("`checks.active.timeout`: {error}"))?;
        let headers = value.get("req_headers").and_then(Value::as_array).into_iter().flatten();
        Ok(Self {
            kind: kind(value, "checks.active")?,
            timeout,
            concurrency: number("concurrency").transpose()?.unwrap_or(10_usize).clamp(1, 1000),
            host: text("host"),
            port: value.get("port").map(|port| whole("`checks.active.port`", port)).transpose()?,
            http_path: text("http_path").unwrap_or_else(|| "/".to_owned()),
            https_verify_certificate: value
                .get("https_verify_certificate")
                .and_then(Value::as_bool)
                .unwrap_or(true),
            req_headers: headers.filter_map(Value::as_str).map(str::to_owned).collect(),
            healthy_interval: interval(value, "healthy")?,
            unhealthy_interval: interval(value, "unhealthy")?,
            bounds: HealthBounds::of(value, "checks.active", &ACTIVE)?,
        })
    }
}

impl HealthBounds {
    fn of(value: &Value, at: &str, defaults: &Defaults) -> Result<Self, String> {
        let count = |half: &str, member: &str, default: u8| {
            let found = value.get(half).and_then(|half| half.get(member));
            found.map_or(Ok(default), |found| whole(format_args!("`{at}.{half}.{member}`"), found))
        };
        let statuses = |half: &str, default: &[u16]| {
            let found = value.get(half).and_then(|half| half.get("http_statuses")).and_then(Value::as_array);
            let Some(found) = found else { return Ok(default.to_vec()) };
            let mut all = found
                .iter()
                .map(|status| whole(format_args!("`{at}.{half}.http_statuses`"), status))
                .collect::<Result<Vec<u16>, _>>()?;
            all.sort_unstable();
            Ok::<_, String>(all)
        };
        Ok(Self {
            good_statuses: statuses("healthy", defaults.good)?,
            bad_statuses: statuses("unhealthy", defaults.bad)?,
            successes: count("healthy", "successes", defaults.successes)?,
            http_failures: count("unhealthy", "http_failures", defaults.http_failures)?,
            tcp_failures: count("unhealthy", "tcp_failures", defaults.tcp_failures)?,
            timeouts: count("unhealthy", "timeouts", defaults.timeouts)?,
        })
    }
}

fn kind(value: &Value, at: &str) -> Result<CheckKind, String> {
    match value.get("type").and_then(Value::as_str) {
        None | Some("http") => Ok(CheckKind::Http),
        Some("https") => Ok(CheckKind::Https),
        Some("tcp") => Ok(CheckKind::Tcp),
        Some(other) => Err(format!("`{at}.type` is \"{other}\"; use \"http\", \"https\" or \"tcp\"")),
    }
}

/// Between two probes of nodes in this half; zero where the half isn't written.
fn interval(value: &Value, half: &str) -> Result<Duration, String> {
    let Some(half_value) = value.get(half) else { return Ok(Duration::ZERO) };
    let seconds: u32 = half_value
        .get("interval")
        .map_or(Ok(1), |found| whole(format_args!("`checks.active.{half}.interval`"), found))?;
    Ok(Duration::from_secs(u64::from(seconds)))
}

pub(super) fn checks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Checks>, D::Error> {
    let value = Option::<Value>::deserialize(deserializer)?;
    value.map(|value| Checks::of(&value)).transpose().map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::{CheckKind, Checks};
    use crate::resource::Upstream;

    fn checks(value: Value) -> Checks {
        Upstream::from_value(&json!({ "nodes": {}, "checks": value })).unwrap().checks.unwrap()
    }

    #[test]
    fn nothing_is_probed_unless_the_halves_are_written() {
        let bare = checks(json!({ "active": {} }));
        assert_eq!((bare.active.healthy_interval, bare.active.unhealthy_interval), Default::default());
        assert_eq!(bare.passive, None);
        let second = Duration::from_secs(1);
        let written = checks(json!({ "active": { "healthy": {}, "unhealthy": { "interval": 3 } } })).active;
        assert_eq!((written.healthy_interval, written.unhealthy_interval), (second, 3 * second));
        assert_eq!(written.bounds, bare.active.bounds, "the other defaults are the same in both layers");
    }

    #[test]
    fn defaults_are_those_of_the_contract() {
        let checks = checks(json!({ "active": {}, "passive": {} }));
        let active = &checks.active;
        assert_eq!(
            (active.kind, active.timeout, active.concurrency),
            (CheckKind::Http, Duration::from_secs(1), 10)
        );
        assert_eq!((active.http_path.as_str(), active.https_verify_certificate), ("/", true));
        assert_eq!(active.bounds.good_statuses, [200, 302]);
        assert_eq!(active.bounds.bad_statuses, [404, 429, 500, 501, 502, 503, 504, 505]);
        let counts =
            |of: &super::HealthBounds| (of.successes, of.http_failures, of.tcp_failures, of.timeouts);
        assert_eq!(counts(&active.bounds), (2, 5, 2, 3));
        let passive = checks.passive.unwrap();
        assert_eq!(counts(&passive.bounds), (5, 5, 2, 7));
        assert_eq!(passive.bounds.bad_statuses, [429, 500, 503]);
    }

    #[test]
    fn what_is_written_wins() {
        let written = checks(json!({
            "active": {
                "type": "https", "timeout": 0.5, "concurrency": 2, "host": "h.test", "port": 8443, "http_path": "/up",
                "https_verify_certificate": false, "req_headers": ["User-Agent: x"],
                "healthy": { "interval": 2, "http_statuses": [204, 200], "successes": 1 },
                "unhealthy": { "http_failures": 1, "tcp_failures": 3, "timeouts": 4 },
            },
            "passive": { "healthy": { "successes": 0 }, "unhealthy": { "http_statuses": [500], "timeouts": 0 } },
        }));
        let active = &written.active;
        assert_eq!(
            (active.kind.as_str(), active.port, active.host.as_deref()),
            ("https", Some(8443), Some("h.test"))
        );
        assert_eq!((active.bounds.good_statuses.as_slice(), active.bounds.successes), (&[200, 204][..], 1));
        assert_eq!(
            (active.bounds.tcp_failures, active.bounds.timeouts, active.bounds.http_failures),
            (3, 4, 1)
        );
        let passive = written.passive.unwrap().bounds;
        assert_eq!(
            (passive.successes, passive.timeouts, passive.bad_statuses.as_slice()),
            (0, 0, &[500][..])
        );
    }

    #[test]
    fn a_number_out_of_bounds_is_named() {
        let value = json!({ "nodes": {}, "checks": { "active": { "unhealthy": { "timeouts": 300 } } } });
        let refused = Upstream::from_value(&value).unwrap_err().to_string();
        assert_eq!(
            refused,
            "`checks.active.unhealthy.timeouts` has to be a whole number from 0 to 255, not 300"
        );
    }
}
