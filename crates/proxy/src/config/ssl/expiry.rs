//! Certificates that end soon: each is told of once a day, early enough that a person can act.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use usher_pipeline::front::Front;

/// How often it is looked.
pub(in crate::config) const EVERY: Duration = Duration::from_secs(600);

/// How long before its end a certificate is told of.
const AHEAD_SECS: i64 = 30 * DAY_SECS;

const DAY_SECS: i64 = 24 * 3600;

/// Lines of one look; the rest is counted.
const MOST_LINES: usize = 20;

/// Remembers what was told.
#[derive(Default)]
pub(in crate::config) struct Reminder {
    /// By ssl: the end that was told of, and when.
    told: HashMap<Arc<str>, (i64, i64)>,
}

impl Reminder {
    /// Tells of every certificate that is served and ends soon, or has ended.
    pub(in crate::config) fn look(&mut self, front: &Front) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let due = self.due(&front.certificates(usize::MAX), i64::try_from(now).unwrap_or(i64::MAX));
        for (ssl, days) in due.iter().take(MOST_LINES) {
            if *days < 0 {
                tracing::error!(%ssl, "a certificate has ended: clients refuse it; write a new one into this ssl");
            } else {
                tracing::warn!(%ssl, days, "a certificate ends soon; write a new one into this ssl");
            }
        }
        if let Some(more) = due.len().checked_sub(MOST_LINES).filter(|more| *more > 0) {
            tracing::warn!(more, "further certificates end soon");
        }
    }

    /// Those that are to be told of now, with the days that they are still good for. `all` is in the order of their ends.
    fn due(&mut self, all: &[(Arc<str>, i64)], now: i64) -> Vec<(Arc<str>, i64)> {
        let soon = all.iter().take_while(|(_, ends)| *ends < now.saturating_add(AHEAD_SECS));
        let mut told = HashMap::new();
        let mut due = Vec::new();
        for (ssl, ends) in soon {
            let before = self.told.get(ssl).filter(|(known, at)| known == ends && now - at < DAY_SECS);
            let at = before.map_or(now, |(_, at)| *at);
            if before.is_none() {
                due.push((Arc::clone(ssl), (ends - now).div_euclid(DAY_SECS)));
            }
            told.insert(Arc::clone(ssl), (*ends, at));
        }
        self.told = told;
        due
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{DAY_SECS, Reminder};

    #[test]
    fn each_is_told_of_once_a_day_from_thirty_days_ahead() {
        let mut reminder = Reminder::default();
        let now = 1_000 * DAY_SECS;
        let ends =
            |a: i64, b: i64| [(Arc::from("a"), now + a * DAY_SECS), (Arc::from("b"), now + b * DAY_SECS)];
        let due = |reminder: &mut Reminder, all: &[(Arc<str>, i64)], now: i64| -> Vec<String> {
            reminder.due(all, now).into_iter().map(|(ssl, days)| format!("{ssl} {days}")).collect()
        };
        assert_eq!(due(&mut reminder, &ends(3, 40), now), ["a 3"]);
        assert_eq!(due(&mut reminder, &ends(3, 40), now + DAY_SECS - 1), Vec::<String>::new());
        assert_eq!(due(&mut reminder, &ends(3, 40), now + DAY_SECS), ["a 2"]);
        // A new one that ends soon too is another one.
        assert_eq!(due(&mut reminder, &ends(5, 40), now + DAY_SECS), ["a 4"]);
        assert_eq!(due(&mut reminder, &ends(5, 40), now + 11 * DAY_SECS), ["a -6", "b 29"]);
    }
}
