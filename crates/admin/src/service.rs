//! The way of a change: plan, agree, apply, verify, undo. The only writer of the store.
//!
//! Every door comes through here, so that what is promised about plans, risk, consent, history and secrets is kept in one place.

mod apply;
mod check;
mod consent;
mod error;
mod escape;
mod impact;
mod journal;
mod known;
mod plan;
mod plans;
mod read;
mod references;
mod request;
mod text;
mod undo;
mod vault;
mod wish;
mod world;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use usher_model::change::Principal;
use usher_model::kind::{Key, Kind, PREFIX};
use usher_model::live::Live;
use usher_model::seal::Keyring;
use usher_pipeline::env::Process;
use usher_pipeline::registry::Registry;
use usher_store::{Description, Store};

pub use error::ServiceError;
pub use plan::{Applied, Approval, Plan};
pub use request::{Entry, HistoryQuery, Stored, Wanted};

use known::Known;
use plans::Plans;
use vault::Vault;
use wish::Wish;

/// What a service is made of.
pub struct Parts {
    /// Where resources are kept.
    pub store: Arc<dyn Store>,
    /// The running proxy.
    pub live: Arc<dyn Live>,
    /// All plugins there are.
    pub registry: Arc<Registry>,
    /// What plugins are checked with.
    pub process: Arc<Process>,
    /// What secrets are sealed with.
    pub keyring: Arc<Keyring>,
    /// Bounds and consent.
    pub rules: Rules,
}

/// Bounds and consent.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Whether a person has to agree to every change that comes through a chat. Default false.
    pub consent_all: bool,
    /// Usher's own listeners that are no gateway: no upstream may point at them. Default none.
    pub forbidden_nodes: Vec<SocketAddr>,
    /// How long a plan can be applied. Default 15 minutes.
    pub plan_ttl: Duration,
    /// How many plans are kept; the oldest is dropped for a new one. Default 1000.
    pub max_plans: usize,
    /// A change that more routes than this meet is of high risk. Default 25.
    pub many_routes: usize,
    /// How long a change may take to come into force on every worker. Default 5 seconds.
    pub in_force_within: Duration,
    /// How many applied changes the history keeps; an older one goes with each new one. Default 10,000.
    pub history_kept: u64,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            consent_all: false,
            forbidden_nodes: Vec::new(),
            plan_ttl: Duration::from_secs(15 * 60),
            max_plans: 1000,
            many_routes: 25,
            in_force_within: Duration::from_secs(5),
            history_kept: 10_000,
        }
    }
}

/// Reads, plans and applies for every door.
pub struct Service {
    parts: Parts,
    vault: Vault,
    known: Mutex<Known>,
    plans: Mutex<Plans>,
    /// Held from the last check to the commit, so that one writer's check is true when it commits.
    writer: tokio::sync::Mutex<()>,
}

impl Service {
    /// A service of what the store holds.
    ///
    /// # Errors
    /// The store can't be read.
    pub async fn start(parts: Parts) -> Result<Self, ServiceError> {
        let vault = Vault::new(Arc::clone(&parts.keyring), Arc::clone(&parts.registry));
        let known = Known::load(&*parts.store, &parts.registry, &vault).await?;
        Ok(Self {
            parts,
            vault,
            known: Mutex::new(known),
            plans: Mutex::default(),
            writer: tokio::sync::Mutex::new(()),
        })
    }

    /// One resource. Plugin fields are clear for an admin on the Admin API, masked for everybody else; an upstream's private key is always masked.
    ///
    /// # Errors
    /// The store can't be read, or what it holds is damaged.
    pub async fn get(&self, who: &Principal, key: &Key) -> Result<Option<Stored>, ServiceError> {
        self.read(who, key).await
    }

    /// All resources of a kind in byte order of their keys; of credentials, those of all consumers.
    ///
    /// # Errors
    /// As for [`Service::get`].
    pub async fn list(&self, who: &Principal, kind: Kind) -> Result<Vec<Stored>, ServiceError> {
        self.read_all(who, &format!("{PREFIX}/{}/", kind.collection()), kind).await
    }

    /// The credentials of one consumer; none where there is no such consumer.
    ///
    /// # Errors
    /// As for [`Service::get`].
    pub async fn list_credentials(
        &self,
        who: &Principal,
        consumer: &str,
    ) -> Result<Vec<Stored>, ServiceError> {
        let prefix = Key::credential(consumer, "").path();
        self.read_all(who, &prefix, Kind::Credential).await
    }

    /// Checks a set of edits as a whole and says what it would do. Nothing is changed.
    ///
    /// # Errors
    /// What is wrong with the edits, or with the principal making them.
    pub async fn plan(&self, who: &Principal, wanted: Wanted) -> Result<Plan, ServiceError> {
        consent::may_change(who)?;
        self.make_plan(who, Wish::of(wanted)).await
    }

    /// A plan that this principal made and can still apply.
    ///
    /// # Errors
    /// [`ServiceError::UnknownPlan`].
    pub fn find_plan(&self, who: &Principal, id: &str) -> Result<Plan, ServiceError> {
        self.lock_plans().find(who, id)
    }

    /// Applies a plan. When it returns well, the change is durable and in force.
    ///
    /// # Errors
    /// The plan is unknown, stale or not agreed to; the store refused; or it did not come into force in time, in which case it is stored
    /// all the same.
    pub async fn apply(
        &self,
        who: &Principal,
        plan: &str,
        approval: Approval,
    ) -> Result<Applied, ServiceError> {
        self.apply_plan(who, plan, approval).await
    }

    /// One plan made and applied at once: for admins, and for the ChatGPT plugin unless every change asks a person.
    ///
    /// # Errors
    /// As for [`Service::plan`] and [`Service::apply`].
    pub async fn write(&self, who: &Principal, wanted: Wanted) -> Result<Applied, ServiceError> {
        self.write_wish(who, Wish::of(wanted)).await
    }

    /// What was applied, newest first.
    ///
    /// # Errors
    /// As for [`Service::get`].
    pub async fn history(&self, _who: &Principal, query: HistoryQuery) -> Result<Vec<Entry>, ServiceError> {
        self.read_history(query).await
    }

    /// A plan that takes one applied change back. Without a revision it is the newest change that stands: neither taken back already, nor
    /// itself the taking back of another.
    ///
    /// # Errors
    /// There is nothing to take back, or one of its objects was changed since.
    pub async fn plan_undo(
        &self,
        who: &Principal,
        revision: Option<u64>,
        intent: Option<String>,
    ) -> Result<Plan, ServiceError> {
        self.undo(who, revision, intent).await
    }

    /// The resources of a kind that have exactly this id or name, an id first; at most a hundred and one.
    ///
    /// # Errors
    /// The store can't be read.
    pub async fn resolve(
        &self,
        _who: &Principal,
        kind: Kind,
        id_or_name: &str,
    ) -> Result<Vec<Key>, ServiceError> {
        self.find(kind, id_or_name).await
    }

    /// The id that `POST` gives a new resource: 20 digits of the revision that would make it.
    #[must_use]
    pub fn next_id(&self) -> String {
        format!("{:020}", self.revision() + 1)
    }

    /// All plugins there are.
    #[must_use]
    pub const fn registry(&self) -> &Arc<Registry> {
        &self.parts.registry
    }

    /// The running proxy.
    #[must_use]
    pub const fn live(&self) -> &Arc<dyn Live> {
        &self.parts.live
    }

    /// What plugins are checked with.
    #[must_use]
    pub const fn process(&self) -> &Arc<Process> {
        &self.parts.process
    }

    /// The store's newest revision.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.parts.store.revision()
    }

    /// What the store says of itself.
    #[must_use]
    pub fn describe(&self) -> Description {
        self.parts.store.describe()
    }

    fn store(&self) -> &dyn Store {
        &*self.parts.store
    }

    fn lock_plans(&self) -> MutexGuard<'_, Plans> {
        self.plans.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
