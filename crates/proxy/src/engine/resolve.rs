//! Names of upstream nodes and their addresses: asked off the workers, kept for all of them.
//!
//! A request never waits for a name that was ever known: an old answer serves while a new one is asked for, and for as long as none comes.

use std::collections::HashMap;
use std::net::{IpAddr, ToSocketAddrs as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use tokio::sync::Notify;

/// The system's resolver doesn't tell how long an answer is good, so it is asked this often.
const GOOD_FOR: Duration = Duration::from_secs(10);
/// After a failure, as long as there is an older answer.
const TRIED_AGAIN_AFTER: Duration = Duration::from_secs(2);
/// Addresses that are kept of one name.
const MOST_ADDRESSES: usize = 64;
/// Names that are remembered; those that nobody uses go first.
const MOST_NAMES: usize = 16_384;

/// All names that upstreams use.
#[derive(Default)]
pub(super) struct Resolver {
    names: Mutex<HashMap<Box<str>, Arc<Name>>>,
}

/// One name.
pub(super) struct Name {
    host: Box<str>,
    answer: ArcSwapOption<Answer>,
    asking: AtomicBool,
    answered: Notify,
}

/// What a name resolved to.
#[derive(Clone, Debug)]
struct Answer {
    /// The addresses, or why there are none.
    addresses: Result<Arc<[IpAddr]>, Arc<str>>,
    until: Instant,
}

impl Resolver {
    /// The name of this host; made at its first use.
    pub(super) fn name(&self, host: &str) -> Arc<Name> {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(name) = names.get(host) {
            return Arc::clone(name);
        }
        let name = Arc::new(Name::new(host));
        if names.len() >= MOST_NAMES {
            names.retain(|_, name| Arc::strong_count(name) > 1);
        }
        // A name beyond the bound works all the same; it is asked for by each of its users.
        if names.len() < MOST_NAMES {
            names.insert(host.into(), Arc::clone(&name));
        }
        name
    }
}

impl Name {
    fn new(host: &str) -> Self {
        Self {
            host: host.into(),
            answer: ArcSwapOption::empty(),
            asking: AtomicBool::new(false),
            answered: Notify::new(),
        }
    }

    /// Its addresses. Waits only where none was ever known.
    ///
    /// # Errors
    /// Why it has none.
    pub(super) async fn addresses(self: &Arc<Self>, now: Instant) -> Result<Arc<[IpAddr]>, Arc<str>> {
        let mut first = true;
        loop {
            // Begun before the look, so that an answer in between is not missed.
            let answered = self.answered.notified();
            let answer = self.answer.load_full();
            let is_fresh = answer.as_ref().is_some_and(|answer| answer.until > now);
            if let Some(answer) = &answer
                && (is_fresh || answer.addresses.is_ok() || !first)
            {
                if !is_fresh {
                    self.ask();
                }
                return answer.addresses.clone();
            }
            self.ask();
            answered.await;
            first = false;
        }
    }

    /// Whether a connection to this address still goes to this name, as far as is known.
    pub(super) fn may_be(self: &Arc<Self>, address: IpAddr, now: Instant) -> bool {
        let answer = self.answer.load();
        let Some(answer) = &*answer else { return true };
        if answer.until <= now {
            self.ask();
        }
        answer.addresses.as_ref().map_or(true, |addresses| addresses.contains(&address))
    }

    /// Asks the system on a thread that may wait, unless somebody does already.
    fn ask(self: &Arc<Self>) {
        if self.asking.swap(true, Ordering::AcqRel) {
            return;
        }
        let name = Arc::clone(self);
        tokio::task::spawn_blocking(move || name.ask_now());
    }

    fn ask_now(&self) {
        let found = (&*self.host, 0).to_socket_addrs().map_err(|error| error.to_string()).and_then(|found| {
            let addresses: Vec<IpAddr> =
                found.map(|address| address.ip().to_canonical()).take(MOST_ADDRESSES).collect();
            if addresses.is_empty() { Err("it has no address".to_owned()) } else { Ok(addresses) }
        });
        let now = Instant::now();
        let old = self.answer.load_full();
        let answer = match (found, old.as_deref()) {
            (Ok(addresses), _) => Answer { addresses: Ok(in_turn(addresses)), until: now + GOOD_FOR },
            (Err(error), Some(Answer { addresses: Ok(good), .. })) => {
                tracing::warn!(host = %self.host, %error, "a name could not be resolved; its last addresses stay in use");
                Answer { addresses: Ok(Arc::clone(good)), until: now + TRIED_AGAIN_AFTER }
            }
            (Err(error), _) => Answer { addresses: Err(error.into()), until: now + TRIED_AGAIN_AFTER },
        };
        self.answer.store(Some(Arc::new(answer)));
        self.asking.store(false, Ordering::Release);
        self.answered.notify_waiters();
    }
}

/// Each address once, in the system's order of preference.
fn in_turn(found: Vec<IpAddr>) -> Arc<[IpAddr]> {
    let mut each: Vec<IpAddr> = Vec::with_capacity(found.len());
    for address in found {
        if !each.contains(&address) {
            each.push(address);
        }
    }
    each.into()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Instant;

    use super::Resolver;

    #[tokio::test]
    async fn a_name_is_asked_once_and_shared() {
        let resolver = Resolver::default();
        let name = resolver.name("localhost");
        assert!(Arc::ptr_eq(&name, &resolver.name("localhost")));
        let first = name.addresses(Instant::now()).await.unwrap();
        assert!(first.iter().all(|address| address.is_loopback()) && !first.is_empty());
        let again = name.addresses(Instant::now()).await.unwrap();
        assert!(Arc::ptr_eq(&first, &again));
    }

    #[tokio::test]
    async fn a_name_that_does_not_exist_says_so() {
        // RFC 6761 keeps this name for it.
        let name = Resolver::default().name("nowhere.invalid");
        assert!(name.addresses(Instant::now()).await.is_err());
        assert!(name.addresses(Instant::now()).await.is_err());
    }
}
