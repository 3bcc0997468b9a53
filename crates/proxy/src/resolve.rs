//! Names of upstream nodes and their addresses: asked off the workers, kept for all of them.
//!
//! A request never waits for a name that was ever known: an old answer serves while a new one is asked for, and for as long as none comes.

mod dns;
mod files;
mod wire;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use tokio::sync::Notify;

pub(crate) use dns::{Addresses, Asker, ServiceRecord};

/// After a failure, as long as there is an older answer, and before a name that has none is asked for again.
const TRIED_AGAIN_AFTER: Duration = Duration::from_secs(2);
/// Names that are remembered; those that nobody uses go first.
const MOST_NAMES: usize = 16_384;

/// All names that upstreams use.
pub(crate) struct Resolver {
    names: Mutex<HashMap<Box<str>, Arc<Name>>>,
    asker: Arc<Asker>,
}

/// One name.
pub(crate) struct Name {
    host: Box<str>,
    asker: Arc<Asker>,
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
    pub(crate) fn new(asker: Asker) -> Self {
        Self { names: Mutex::default(), asker: Arc::new(asker) }
    }

    /// Who is asked, for whoever keeps answers himself.
    pub(crate) fn asker(&self) -> &Asker {
        &self.asker
    }

    /// The name of this host; made at its first use.
    pub(crate) fn name(&self, host: &str) -> Arc<Name> {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(name) = names.get(host) {
            return Arc::clone(name);
        }
        let name = Arc::new(Name::new(host, Arc::clone(&self.asker)));
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
    fn new(host: &str, asker: Arc<Asker>) -> Self {
        Self {
            host: host.into(),
            asker,
            answer: ArcSwapOption::empty(),
            asking: AtomicBool::new(false),
            answered: Notify::new(),
        }
    }

    /// The name itself.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// Its addresses. Waits only where none was ever known.
    ///
    /// # Errors
    /// Why it has none.
    pub(crate) async fn addresses(self: &Arc<Self>, now: Instant) -> Result<Arc<[IpAddr]>, Arc<str>> {
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
    pub(crate) fn may_be(self: &Arc<Self>, address: IpAddr, now: Instant) -> bool {
        let answer = self.answer.load();
        let Some(answer) = &*answer else { return true };
        if answer.until <= now {
            self.ask();
        }
        answer.addresses.as_ref().map_or(true, |addresses| addresses.contains(&address))
    }

    /// Asks beside the workers, unless somebody does already.
    fn ask(self: &Arc<Self>) {
        if self.asking.swap(true, Ordering::AcqRel) {
            return;
        }
        let asked = Asking(Arc::clone(self));
        match &*self.asker {
            Asker::System => drop(tokio::task::spawn_blocking(move || {
                let found = dns::system_addresses(&asked.0.host);
                asked.0.settle(found.and_then(Addresses::of_system));
            })),
            Asker::Servers(servers) => drop(servers.runtime.spawn(async move {
                let found = asked.0.asker.addresses(&asked.0.host).await;
                asked.0.settle(found);
            })),
        }
    }

    fn settle(&self, found: Result<Addresses, String>) {
        let now = Instant::now();
        let old = self.answer.load_full();
        let answer = match (found, old.as_deref()) {
            (Ok(found), _) => Answer { addresses: Ok(found.all.into()), until: now + found.valid },
            (Err(error), Some(Answer { addresses: Ok(good), .. })) => {
                tracing::warn!(host = %self.host, %error, "a name could not be resolved; its last addresses stay in use");
                Answer { addresses: Ok(Arc::clone(good)), until: now + TRIED_AGAIN_AFTER }
            }
            (Err(error), _) => Answer { addresses: Err(error.into()), until: now + TRIED_AGAIN_AFTER },
        };
        self.answer.store(Some(Arc::new(answer)));
    }
}

/// One question under way. However it ends, the next one may be asked and nobody waits for this one any more.
struct Asking(Arc<Name>);

impl Drop for Asking {
    fn drop(&mut self) {
        if self.0.answer.load().is_none() {
            // Cut off, as when the process ends: whoever waits has to hear of something.
            self.0.settle(Err("nobody could be asked".to_owned()));
        }
        self.0.asking.store(false, Ordering::Release);
        self.0.answered.notify_waiters();
    }
}

#[cfg(test)]
mod tests;
