//! The way of a change: plan, agree, apply, verify, undo. The only writer of the store.
//!
//! Every door comes through here, so that what is promised about plans, risk, consent, history and secrets is kept in one place.

mod access;
mod agents;
mod apply;
mod approvals;
mod attend;
mod audit;
mod backup;
mod calls;
mod chat_model;
mod check;
mod clients;
mod commit;
mod consent;
mod document;
mod ends;
mod error;
mod escape;
mod explain;
pub(crate) mod gateways;
mod head;
mod impact;
mod journal;
mod known;
mod names;
mod notes;
mod openapi;
mod outside;
mod pack;
mod pages;
mod plan;
mod plans;
mod reach;
mod read;
mod references;
mod request;
mod ring;
mod scoped;
mod steps;
mod text;
mod tokens;
mod traffic;
mod turns;
mod undo;
mod users;
mod vault;
mod wish;
mod world;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::future::BoxFuture;
use serde_json::Value;
use usher_model::change::Principal;
use usher_model::kind::{Key, Kind, PREFIX};
use usher_model::live::Live;
use usher_model::seal::Keyring;
use usher_pipeline::env::Process;
use usher_pipeline::registry::Registry;
use usher_store::{Capabilities, Description, Health, Store, StoreError};

pub use agents::Agents;
pub use approvals::Waiting;
pub use audit::{
    AuditAnchor, AuditEvent, AuditFound, AuditOutcome, AuditQuery, AuditRecord, AuditSearch, AuditVerdict,
    AuditedChange,
};
pub use calls::{CallOutcome, CallRecord, MadeCall};
pub use chat_model::{ChosenModel, ModelApi, ModelInfo, NewModel};
pub use clients::Client;
pub use error::ServiceError;
pub use gateways::{Gateways, Missing};
pub use journal::{ChangesPage, ChangesQuery, Own, Place, amend};
pub use pages::{Keeps, Page, PageQuery};
pub use plan::{Applied, Approval, Plan};
pub use request::{Entry, Extent, HistoryQuery, Stored, Wanted};
pub use steps::Unfinished;
pub use tokens::{Granted, GrantedBy, NewGrant, NewToken, TokenInfo};
pub use traffic::Compared;
pub use users::{NewUser, UserChange, UserInfo};
pub use vault::{KeyringState, Resealed};

use access::Kept;
use audit::Bursts;
use calls::Calls;
use ends::End;
use known::Known;
use outside::Findings;
use plans::Plans;
use tokens::Token;
use turns::Turns;
use users::{Hashing, User};
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
    /// How many records the audit keeps; older ones are cut off, which the audit tells. Default 100,000.
    pub audit_kept: u64,
    /// Whether connections of TCP and UDP are served, and stream routes may be stored. Default false.
    pub stream_mode: bool,
    /// Whether a plan tries to connect to upstream nodes that are new in it, and warns of those that don't answer; it may wait 300 ms for
    /// that. Default false.
    pub probe_nodes: bool,
    /// Where Usher listens beside the gateway, each with its name: for whoever looks whether all is well. Default none.
    pub sides: Vec<(&'static str, SocketAddr)>,
    /// The folder that the calls of agents are recorded in; `None` keeps the newest in memory. Default none.
    pub calls: Option<PathBuf>,
    /// The names of the admin keys: no token and no user may have one of them. Default none.
    pub taken_names: Vec<String>,
    /// Where people open the console, without a slash at its end. Default `None`: it isn't known, or there is none.
    pub console_url: Option<String>,
    /// Other gateways of the same store, which are asked for their traffic: `HOST:PORT` of their `listen.gateways`. Default none.
    pub gateways: Vec<String>,
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
            audit_kept: 100_000,
            stream_mode: false,
            probe_nodes: false,
            sides: Vec::new(),
            calls: None,
            taken_names: Vec::new(),
            console_url: None,
            gateways: Vec::new(),
        }
    }
}

/// Reads, plans and applies for every door.
pub struct Service {
    parts: Parts,
    vault: Vault,
    known: Mutex<Known>,
    plans: Mutex<Plans>,
    tokens: Kept<Token>,
    users: Kept<User>,
    ends: Kept<End>,
    agents: Kept<agents::Switch>,
    chat_model: Kept<chat_model::Chosen>,
    hashing: Hashing,
    bursts: Bursts,
    calls: Calls,
    clients: clients::Clients,
    findings: Findings,
    others: gateways::Others,
    turns: Turns,
    newest: journal::Newest,
    started_unix_ms: u64,
}

impl Service {
    /// A service of what the store holds.
    ///
    /// # Errors
    /// The store can't be read.
    pub fn start(parts: Parts) -> BoxFuture<'static, Result<Self, ServiceError>> {
        Box::pin(async move {
            ring::check(&*parts.store, &parts.keyring).await?;
            let vault = Vault::new(Arc::clone(&parts.keyring), Arc::clone(&parts.registry));
            let known = Known::load(&*parts.store, &parts.registry, &vault).await?;
            let tokens = Kept::load(&parts.store).await?;
            let users = Kept::load(&parts.store).await?;
            let ends = Kept::load(&parts.store).await?;
            let agents = Kept::load(&parts.store).await?;
            let chat_model = Kept::load(&parts.store).await?;
            let calls = Calls::open(parts.rules.calls.as_deref());
            let others = gateways::Others::new(&parts.keyring);
            let service = Self {
                parts,
                vault,
                known: Mutex::new(known),
                plans: Mutex::default(),
                tokens,
                users,
                ends,
                agents,
                chat_model,
                hashing: Hashing::default(),
                bursts: Bursts::default(),
                calls,
                clients: clients::Clients::default(),
                findings: Findings::default(),
                others,
                turns: Turns::default(),
                newest: journal::Newest::default(),
                started_unix_ms: unix_ms(),
            };
            service.tell_of_namesakes();
            Ok(service)
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
        self.noted(who, self.may_change(who)).await?;
        self.may_be_changed()?;
        let outcome = self.make_plan(who, Wish::of(wanted)).await;
        self.noted(who, outcome).await
    }

    /// Checks a whole wanted state and says what it would change: what is the same, but for its `create_time` and `update_time`, is left alone.
    /// Takes up to 200,000 objects.
    ///
    /// # Errors
    /// What is wrong with the document, or with the principal; [`ServiceError::NothingToChange`] where everything is as wanted.
    pub async fn plan_document(
        &self,
        who: &Principal,
        objects: Vec<(Key, Value)>,
        extent: Extent,
        intent: Option<String>,
    ) -> Result<Plan, ServiceError> {
        self.noted(who, self.may_change(who)).await?;
        self.may_be_changed()?;
        let outcome = self.plan_whole(who, objects, &extent, intent).await;
        self.noted(who, outcome).await
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
        let outcome = self.apply_plan(who, plan, approval, false).await;
        self.noted(who, outcome).await
    }

    /// One plan made and applied at once: for admins, and for the ChatGPT plugin unless every change asks a person.
    ///
    /// # Errors
    /// As for [`Service::plan`] and [`Service::apply`].
    pub async fn write(&self, who: &Principal, wanted: Wanted) -> Result<Applied, ServiceError> {
        let outcome = self.write_wish(who, Wish::of(wanted)).await;
        self.noted(who, outcome).await
    }

    /// What was applied, newest first.
    ///
    /// # Errors
    /// As for [`Service::get`].
    pub fn history<'a>(
        &'a self,
        who: &'a Principal,
        query: HistoryQuery,
    ) -> BoxFuture<'a, Result<Vec<Entry>, ServiceError>> {
        Box::pin(async move { self.read_history(who, query).await })
    }

    /// A page of what one of them changed; `None` where this principal may see none of it.
    ///
    /// # Errors
    /// As for [`Service::get`].
    pub fn changes<'a>(
        &'a self,
        who: &'a Principal,
        query: ChangesQuery,
    ) -> BoxFuture<'a, Result<Option<ChangesPage>, ServiceError>> {
        Box::pin(self.read_changes(who, query))
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
        let outcome = self.undo(who, revision, intent).await;
        self.noted(who, outcome).await
    }

    /// The resources of a kind that have exactly this id or name, an id first; at most a hundred and one.
    ///
    /// # Errors
    /// The store can't be read.
    pub async fn resolve(
        &self,
        who: &Principal,
        kind: Kind,
        id_or_name: &str,
    ) -> Result<Vec<Key>, ServiceError> {
        self.find(who, kind, id_or_name).await
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

    /// Where Usher listens beside the gateway.
    #[must_use]
    pub fn sides(&self) -> &[(&'static str, SocketAddr)] {
        &self.parts.rules.sides
    }

    /// What the store says of itself.
    #[must_use]
    pub fn describe(&self) -> Description {
        self.parts.store.describe()
    }

    /// What the store can do.
    #[must_use]
    pub fn capabilities(&self) -> Capabilities {
        self.parts.store.capabilities()
    }

    /// How the store is at the moment.
    #[must_use]
    pub fn health(&self) -> Health {
        self.parts.store.health()
    }

    /// Confirms a change of the store that is held back, such as the loss of most objects ([`usher_store::Health::held`]).
    ///
    /// # Errors
    /// [`ServiceError::Forbidden`] for all but an admin of everything, or the store.
    pub async fn accept_held(&self, who: &Principal) -> Result<(), ServiceError> {
        consent::may_rule(who)?;
        tracing::warn!(principal = %who.name, "a change of the store that was held back is confirmed");
        Ok(self.store().accept().await?)
    }

    /// Refuses a change at once where the store takes none, in its own words: nobody is asked about what can't be done.
    fn may_be_changed(&self) -> Result<(), ServiceError> {
        if self.capabilities().writable {
            return Ok(());
        }
        let about = self.describe();
        if let ("file", Some(place)) = (about.kind, &about.place) {
            let place = place.display();
            let sentence = format!(
                "the configuration comes from {place}; change that file, which is read again by itself"
            );
            return Err(StoreError::ReadOnly(sentence).into());
        }
        if matches!(about.kind, "etcd" | "embedded" | "apisix" | "memory") {
            // These take changes, but for a data plane's.
            let sentence = "this gateway is a data plane (deployment.role); change the configuration at its control plane";
            return Err(StoreError::ReadOnly(sentence.to_owned()).into());
        }
        self.may_be_written(&self.capabilities(), None)
    }

    fn store(&self) -> &dyn Store {
        &*self.parts.store
    }

    fn lock_plans(&self) -> MutexGuard<'_, Plans> {
        self.plans.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A value as it is stored.
fn encoded(value: &impl serde::Serialize) -> Result<Vec<u8>, ServiceError> {
    serde_json::to_vec(value).map_err(|error| ServiceError::Damaged(error.to_string()))
}

/// Now, in milliseconds since 1970.
pub(crate) fn unix_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

/// So many random bytes.
fn random<const N: usize>() -> Result<[u8; N], ServiceError> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes)
        .map_err(|_| ServiceError::Damaged("no random bytes are to be had from the system".to_owned()))?;
    Ok(bytes)
}

/// A random handle: ten hex digits. It gives no right.
fn new_id() -> Result<String, ServiceError> {
    Ok(random::<5>()?.iter().map(|byte| format!("{byte:02x}")).collect())
}
