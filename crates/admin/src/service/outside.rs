//! What other programs wrote to the same store, judged as if it came in here: an object that no Usher would have taken is listed as a problem.
//!
//! The gateway serves such an object as far as it can, as an APISIX does, and lists what it can't build. It doesn't look for an id that is another
//! one than its key's, or for kinds that it doesn't build. Nothing is refused here, and nothing is changed.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use usher_model::kind::{Key, PREFIX};
use usher_model::live::Problem;
use usher_store::{Entry, Event};

use super::{Service, ServiceError, check, read};

/// Problems that are kept at most.
const MOST: usize = 1000;

/// Objects that are judged before others are let in.
const AT_ONCE: usize = 64;

/// The problems by their objects' keys.
#[derive(Default)]
pub(super) struct Findings(Mutex<BTreeMap<String, Problem>>);

impl Findings {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Problem>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Service {
    /// The objects that the gateway couldn't build, and those that other programs wrote and Usher wouldn't have taken, by their keys. At most
    /// 1,000 of the latter.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        let mut all: BTreeMap<String, Problem> = self.findings.lock().clone();
        // What the gateway says of an object tells more: whether it is served.
        all.extend(self.live().problems().into_iter().map(|problem| (problem.key.clone(), problem)));
        all.into_values().collect()
    }

    /// Judges everything that is stored.
    pub(super) async fn judge_all(&self) -> Result<(), ServiceError> {
        let listing = self.store().list(&format!("{PREFIX}/")).await?;
        self.findings.lock().clear();
        for some in listing.entries.chunks(AT_ONCE) {
            some.iter().for_each(|entry| self.judge(entry));
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// Judges what was just written.
    pub(super) fn judge_event(&self, event: &Event) {
        match &event.after {
            Some(entry) => self.judge(entry),
            None => drop(self.findings.lock().remove(&*event.key)),
        }
    }

    fn judge(&self, entry: &Entry) {
        let verdict = match Key::parse(&entry.key) {
            // Others keep what they like beside the resources.
            None => Ok(()),
            Some(key) => read::parse(entry).and_then(|value| check::as_stored(self, &key, value)),
        };
        let mut findings = self.findings.lock();
        match verdict {
            Ok(()) => drop(findings.remove(&*entry.key)),
            Err(error) if findings.len() < MOST || findings.contains_key(&*entry.key) => {
                let reason = format!(
                    "it was not written through Usher, which would have refused it: {error}; it is served as far as that goes"
                );
                let problem = Problem { key: entry.key.to_string(), revision: entry.modified, reason };
                if findings.insert(entry.key.to_string(), problem.clone()).as_ref() != Some(&problem) {
                    tracing::warn!(key = %problem.key, revision = problem.revision, reason = %problem.reason, "an object that another program wrote breaks a rule");
                }
            }
            Err(_) => {}
        }
    }
}
