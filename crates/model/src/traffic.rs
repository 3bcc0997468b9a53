//! What may be asked of the gateway's own time series, and what is answered: requests, errors, bytes and latency, by whatever one wants to know.
//!
//! The series are kept at three grains: each second for ten minutes, each minute for a day, each hour for thirty days. A question names a time and
//! how its rows are told apart; which grain answers follows from how far back it looks.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

/// Stands for whatever was too rare to be kept by itself. No id, name or address is written so.
pub const OTHER: &str = "*";

/// What rows are told apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum By {
    /// The route's id; empty for requests that took none.
    Route,
    /// The id of the route's service; empty where it has none.
    Service,
    /// The consumer's name; empty for requests of nobody known.
    Consumer,
    /// The answer's status.
    Status,
    /// The class of it, such as `5xx`.
    Class,
    /// Why the gateway answered by itself; empty where the upstream did.
    Cause,
    /// The plugin that answered; empty where none did.
    Plugin,
    /// The client's address; empty where the answer was below 400: those are not kept by client.
    Client,
}

impl By {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Route,
        Self::Service,
        Self::Consumer,
        Self::Status,
        Self::Class,
        Self::Cause,
        Self::Plugin,
        Self::Client,
    ];

    /// As questions and answers spell it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Route => "route",
            Self::Service => "service",
            Self::Consumer => "consumer",
            Self::Status => "status",
            Self::Class => "class",
            Self::Cause => "cause",
            Self::Plugin => "plugin",
            Self::Client => "client",
        }
    }

    /// The one of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|by| by.name() == name)
    }
}

/// Which rows come first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Those with the most requests.
    #[default]
    Requests,
    /// Those with the most answers of 500 and above.
    Errors,
    /// Those with the most answers of 400 to 499.
    Refused,
    /// Those whose slowest twentieth is the slowest.
    Slowest,
    /// Those that moved the most bytes.
    Bytes,
}

/// Which requests are counted; what is `None` counts all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Only {
    /// Of the route of this id; empty: of none.
    pub route: Option<String>,
    /// Of the service of this id.
    pub service: Option<String>,
    /// Of this consumer; empty: of nobody known.
    pub consumer: Option<String>,
    /// Of this client.
    pub client: Option<String>,
    /// Answered with a status between these two, both included.
    pub status: Option<(u16, u16)>,
    /// That the gateway answered for this cause.
    pub cause: Option<String>,
    /// That this plugin answered.
    pub plugin: Option<String>,
    /// Of one of these routes: what somebody with a scope may see. `None`: of any, and of none.
    pub routes: Option<HashSet<String>>,
}

/// A question.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ask {
    /// From this second since 1970 on.
    pub from: u64,
    /// Up to this second, which is not counted any more.
    pub to: u64,
    /// Seconds that one point stands for; 0: whatever makes at most `points` of it.
    pub step: u64,
    /// The most points of a row; 0: only sums are wanted.
    pub points: usize,
    /// What rows are told apart by; empty: one row of everything.
    pub by: Vec<By>,
    /// What is counted.
    pub only: Only,
    /// The most rows.
    pub limit: usize,
    /// Which come first.
    pub order: Order,
}

/// What one gateway adds to the answer of another that shares its store: sums of its requests, told apart as finely as it keeps them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Portion {
    /// The oldest second that anything is kept of; `None` where nothing is.
    pub since: Option<u64>,
    /// Sums of a span each, with its first second; the bytes are the series' own business.
    pub spans: Vec<(u64, Vec<u8>)>,
}

/// An answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Traffic {
    /// The first second that is counted.
    pub from: u64,
    /// The first second that isn't any more.
    pub to: u64,
    /// Seconds that one point stands for.
    pub step: u64,
    /// The oldest second that anything is kept of; `None` where nothing is.
    pub since: Option<u64>,
    /// Everything that was asked for, in one.
    pub total: Measure,
    /// The rows.
    pub rows: Vec<Row>,
    /// How many rows there are beside those.
    pub more: usize,
}

/// A row of an answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    /// What it is told apart by, in the order of the question's `by`.
    pub key: Vec<String>,
    /// Its sum over the whole time.
    pub total: Measure,
    /// Its points, the oldest first; empty where none were asked for.
    pub points: Vec<Measure>,
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Measure {
    /// Requests.
    pub requests: u64,
    /// Answers by class: 1xx, 2xx, 3xx, 4xx, 5xx.
    pub by_class: [u64; 5],
    /// Bytes of requests.
    pub received_bytes: u64,
    /// Bytes of answers.
    pub sent_bytes: u64,
    /// How long requests took, from the complete head to the answer's last byte; `None` where there were none.
    pub took: Option<Latency>,
}

/// How long requests took, in milliseconds. The percentiles come from 64 buckets, each a quarter wider than the one before: they are 12% off at most.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Latency {
    /// On average.
    pub mean_ms: f64,
    /// Of that, what the upstream took.
    pub upstream_mean_ms: f64,
    /// Half of them took no longer.
    pub p50_ms: f64,
    /// 95 of a hundred took no longer.
    pub p95_ms: f64,
    /// 99 of a hundred took no longer.
    pub p99_ms: f64,
}

impl Measure {
    /// Answers of 500 and above.
    #[must_use]
    pub const fn errors(&self) -> u64 {
        let [_, _, _, _, errors] = self.by_class;
        errors
    }

    /// Answers of 400 to 499.
    #[must_use]
    pub const fn refused(&self) -> u64 {
        let [_, _, _, refused, _] = self.by_class;
        refused
    }
}

/// The longest span that anything is kept for, in seconds.
pub const LONGEST_SECS: u64 = 30 * 86_400;

/// A span of time such as `90s`, `10m`, `1h`, `7d` or `2w`, in seconds: 1 to thirty days.
#[must_use]
pub fn span(text: &str) -> Option<u64> {
    let text = text.trim();
    let (number, unit) = text.split_at(text.find(|letter: char| !letter.is_ascii_digit())?);
    let secs = match unit {
        "s" => 1,
        "m" | "min" => 60,
        "h" => 3_600,
        "d" => 86_400,
        "w" => 7 * 86_400,
        _ => return None,
    };
    let span = number.parse::<u64>().ok()?.checked_mul(secs)?;
    (1..=LONGEST_SECS).contains(&span).then_some(span)
}

/// A status such as `404`, a class such as `5xx`, or two with a hyphen such as `400-499`.
#[must_use]
pub fn statuses(text: &str) -> Option<(u16, u16)> {
    let one = |text: &str| text.parse::<u16>().ok().filter(|status| (100..=599).contains(status));
    if let Some(class) = text.strip_suffix("xx") {
        let class = class.parse::<u16>().ok().filter(|class| (1..=5).contains(class))?;
        return Some((class * 100, class * 100 + 99));
    }
    let (least, most) = text.split_once('-').unwrap_or((text, text));
    one(least).zip(one(most)).filter(|(least, most)| least <= most)
}

#[cfg(test)]
mod tests {
    use super::{span, statuses};

    #[test]
    fn a_span_has_a_unit_and_an_end() {
        for (text, wanted) in
            [("90s", 90), ("10m", 600), ("1h", 3_600), ("30d", 2_592_000), ("2w", 1_209_600)]
        {
            assert_eq!(span(text), Some(wanted), "{text}");
        }
        for text in ["", "5", "h", "0s", "31d", "1y", "-1h", "99999999999999999999d"] {
            assert_eq!(span(text), None, "{text}");
        }
    }

    #[test]
    fn a_status_is_one_a_class_or_two() {
        for (text, wanted) in [("404", (404, 404)), ("5xx", (500, 599)), ("400-499", (400, 499))] {
            assert_eq!(statuses(text), Some(wanted), "{text}");
        }
        for text in ["", "9xx", "abc", "499-400", "99", "600", "xx"] {
            assert_eq!(statuses(text), None, "{text}");
        }
    }
}
