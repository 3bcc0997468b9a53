//! What is known of secrets that are kept elsewhere (`$env://...`, `$secret://...`), and when each is looked up again.
//!
//! Objects that use a secret wait for it with their last good version, and are built anew when it changes. What was known stays known while its
//! manager can't be asked. Nothing here waits: look-ups are handed out as jobs, whose outcomes are brought back.

mod aws;
mod gcp;
mod manager;
mod member;
mod vault;

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use serde_json::Value;
use tokio::time::Instant;
use usher_model::kind::{Key, Kind};
use usher_model::reference::{self, Reference};
use usher_model::secret::Secret;

pub(super) use manager::Manager;

/// A known secret is looked up again after this, as APISIX does.
const FRESH: Duration = Duration::from_secs(300);
/// One that could not be looked up again.
const STALE: Duration = Duration::from_secs(60);
/// One that was never known: something waits for it.
const MISSING: Duration = Duration::from_secs(5);
/// Look-ups under way at once.
pub(super) const MOST_JOBS: usize = 16;

/// Every secret that an object refers to.
#[derive(Default)]
pub(super) struct Secrets {
    known: HashMap<Reference, Known>,
    managers: HashMap<Key, Arc<Manager>>,
    /// What is to be looked up, by when. The number tells apart what is due at the same time.
    queue: BTreeMap<Ticket, Reference>,
    tickets: u64,
    under_way: usize,
}

type Ticket = (Instant, u64);

/// What is known of one secret.
struct Known {
    value: Option<Secret<String>>,
    /// Why it couldn't be looked up the last time.
    trouble: Option<String>,
    ticket: Option<Ticket>,
}

/// One look-up.
pub(super) struct Job {
    reference: Reference,
    manager: Arc<Manager>,
}

/// What came of it.
pub(super) struct Outcome {
    pub(super) reference: Reference,
    manager: Arc<Manager>,
    found: Result<Secret<String>, String>,
}

impl Job {
    /// Asks the manager.
    pub(super) async fn run(self, own: Arc<[SocketAddr]>) -> Outcome {
        let Self { reference, manager } = self;
        let asked = async {
            match &reference {
                Reference::Managed { path, key, .. } => manager.look_up(path, key.as_deref(), &own).await,
                Reference::Environment { .. } => Err("it is no manager's".to_owned()),
            }
        };
        // Whatever happens, there is an outcome: look-ups are counted.
        let found = AssertUnwindSafe(asked).catch_unwind().await;
        let found = found.unwrap_or_else(|_| {
            Err("looking it up failed inside Usher, which is a bug; see the log, and please report it"
                .to_owned())
        });
        Outcome { reference, manager, found }
    }
}

impl Secrets {
    /// Some object refers to it from now on.
    pub(super) fn want(&mut self, reference: &Reference, now: Instant) {
        if self.known.contains_key(reference) {
            return;
        }
        let (value, trouble) = match reference {
            Reference::Environment { name, key } => match member::of_environment(name, key.as_deref()) {
                Ok(value) => (Some(value), None),
                Err(trouble) => (None, Some(trouble)),
            },
            Reference::Managed { manager, .. } if self.managers.contains_key(manager) => {
                (None, Some("it is being looked up".to_owned()))
            }
            Reference::Managed { manager, .. } => (None, Some(without(manager))),
        };
        self.known.insert(reference.clone(), Known { value, trouble, ticket: None });
        if reference.manager().is_some_and(|manager| self.managers.contains_key(manager)) {
            self.schedule(reference, now);
        }
    }

    /// No object refers to it any more.
    pub(super) fn forget(&mut self, reference: &Reference) {
        if let Some(ticket) = self.known.remove(reference).and_then(|known| known.ticket) {
            self.queue.remove(&ticket);
        }
    }

    /// A manager was written, or is gone. Its secrets, which are returned, are looked up at once; until then what is known of them stays.
    pub(super) fn set_manager(
        &mut self,
        key: &Key,
        manager: Option<Manager>,
        now: Instant,
    ) -> Vec<Reference> {
        let is_there = manager.is_some();
        match manager {
            Some(manager) => drop(self.managers.insert(key.clone(), Arc::new(manager))),
            None => drop(self.managers.remove(key)),
        }
        let of_it = self.known.iter_mut().filter(|(reference, _)| reference.manager() == Some(key));
        let mut touched = Vec::new();
        for (reference, known) in of_it {
            if let Some(ticket) = known.ticket.take() {
                self.queue.remove(&ticket);
            }
            if !is_there {
                known.trouble = Some(without(key));
            }
            touched.push(reference.clone());
        }
        if is_there {
            touched.iter().for_each(|reference| self.schedule(reference, now));
        }
        touched
    }

    fn schedule(&mut self, reference: &Reference, at: Instant) {
        let Some(known) = self.known.get_mut(reference) else { return };
        self.tickets += 1;
        let ticket = (at, self.tickets);
        if let Some(before) = known.ticket.replace(ticket) {
            self.queue.remove(&before);
        }
        self.queue.insert(ticket, reference.clone());
    }

    /// What is to be looked up now, as far as there is room for more look-ups.
    pub(super) fn jobs(&mut self, now: Instant) -> Vec<Job> {
        let mut jobs = Vec::new();
        while self.under_way < MOST_JOBS
            && let Some(first) = self.queue.first_entry()
            && first.key().0 <= now
        {
            let reference = first.remove();
            if let Some(known) = self.known.get_mut(&reference) {
                known.ticket = None;
            }
            let manager = reference.manager().and_then(|manager| self.managers.get(manager));
            if let Some(manager) = manager {
                let manager = Arc::clone(manager);
                self.under_way += 1;
                jobs.push(Job { reference, manager });
            }
        }
        jobs
    }

    /// When the next look-up is due; `None` where nothing is, or where one that is under way has to end first.
    pub(super) fn next(&self) -> Option<Instant> {
        let (at, _) = self.queue.keys().next()?;
        (self.under_way < MOST_JOBS).then_some(*at)
    }

    /// Takes up what came of a look-up; whether the objects that use the secret are to be built anew.
    pub(super) fn settle(&mut self, outcome: Outcome, now: Instant) -> bool {
        self.under_way = self.under_way.saturating_sub(1);
        let Outcome { reference, manager, found } = outcome;
        let current = reference.manager().and_then(|key| self.managers.get(key));
        if !current.is_some_and(|current| Arc::ptr_eq(current, &manager)) {
            // Asked of a manager that was written anew meanwhile, which is asked by itself.
            return false;
        }
        let Some(known) = self.known.get_mut(&reference) else { return false };
        let (changed, again) = match found {
            Ok(value) => {
                known.trouble = None;
                let changed = known.value.as_ref() != Some(&value);
                known.value = Some(value);
                (changed, FRESH)
            }
            Err(trouble) => {
                let is_missing = known.value.is_none();
                let changed = is_missing && known.trouble.as_ref() != Some(&trouble);
                known.trouble = Some(trouble);
                (changed, if is_missing { MISSING } else { STALE })
            }
        };
        self.schedule(&reference, now + again);
        changed
    }

    /// Why a secret that is known couldn't be looked up again.
    pub(super) fn stale(&self, reference: &Reference) -> Option<&str> {
        let known = self.known.get(reference)?;
        known.value.as_ref().and(known.trouble.as_deref())
    }

    /// Puts the secrets in the places of their references.
    ///
    /// # Errors
    /// The first that isn't known, and why.
    pub(super) fn fill(&self, kind: Kind, value: &mut Value) -> Result<(), String> {
        let mut found = Vec::new();
        reference::each(value, &mut |text, pointer| {
            if is_resolved_at(kind, pointer) {
                found.push((pointer.to_owned(), text.to_owned()));
            }
        });
        for (pointer, text) in found {
            let Some(reference) = Reference::parse(&text) else { continue };
            let reference = reference.map_err(|error| error.to_string())?;
            let known = self.known.get(&reference);
            let Some(secret) = known.and_then(|known| known.value.as_ref()) else {
                let trouble = known.and_then(|known| known.trouble.as_deref()).unwrap_or("nobody knows it");
                return Err(format!("the secret {reference}, which it uses, is not known: {trouble}"));
            };
            if let Some(place) = value.pointer_mut(&pointer) {
                *place = Value::String(secret.expose().clone());
            }
        }
        Ok(())
    }

    /// A sentence without the secrets that an object uses: whoever reads of a problem may not be one who may read them.
    pub(super) fn hide<'a>(&self, used: impl Iterator<Item = &'a Reference>, mut sentence: String) -> String {
        for reference in used {
            let value = self.known.get(reference).and_then(|known| known.value.as_ref());
            // What is shorter than this would be found anywhere.
            if let Some(value) = value.filter(|value| value.expose().len() >= 4) {
                sentence = sentence.replace(value.expose(), &reference.to_string());
            }
        }
        sentence
    }
}

/// The references of an object that are looked up.
pub(super) fn references(kind: Kind, value: &Value) -> Vec<Reference> {
    let mut found = Vec::new();
    reference::each(value, &mut |text, pointer| {
        if is_resolved_at(kind, pointer)
            && let Some(Ok(reference)) = Reference::parse(text)
            && !found.contains(&reference)
        {
            found.push(reference);
        }
    });
    found
}

/// Where a reference is one: in plugins, in TLS towards upstreams, in certificates, in metadata. Elsewhere the text stands for itself.
fn is_resolved_at(kind: Kind, pointer: &str) -> bool {
    match kind {
        Kind::Ssl | Kind::PluginMetadata => true,
        Kind::Upstream => pointer.starts_with("/tls/"),
        _ => pointer.starts_with("/plugins/") || pointer.starts_with("/upstream/tls/"),
    }
}

fn without(manager: &Key) -> String {
    format!("there is no {manager}; write it to {}", manager.path().replace("/apisix/", "/apisix/admin/"))
}

#[cfg(test)]
mod tests;
