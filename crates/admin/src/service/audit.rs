//! The audit: one record of everything that somebody did or was denied, each chained to the one before it.
//!
//! A record of a change is written in the change's own transaction. Each record holds the digest of its predecessor and of itself, and the head
//! the newest of them: whoever alters, drops or slips in a record breaks the chain at that place, and [`Service::verify_audit`] names it.

mod bursts;
mod chain;
mod look;
mod reveal;

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use usher_model::change::{Door, Principal, Role};
use usher_store::{StoreError, Transaction};

use super::escape::shortened;
use super::journal::Author;
use super::plan::Plan;
use super::world::Move;
use super::{Service, ServiceError, consent};

pub(super) use bursts::Bursts;
pub(super) use chain::{ALTERED, Link, append, follows, hex as hex_digest, key};
pub use look::{AuditFound, AuditOutcome, AuditSearch};

/// Objects of a change that its record tells of; the rest is counted.
const TOLD: usize = 100;

/// The most characters of what a record says.
const ABOUT_CHARS: usize = 500;

/// Records that a query gives unless it says otherwise, and at most.
const USUAL: usize = 100;
const MOST: usize = 1000;

/// How often a record is tried to be written when somebody else writes to the store.
const TRIES: usize = 8;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AuditEvent {
    /// A change was applied.
    Change,
    /// The change of the record before was written in part, or not at all: the store failed in between.
    Failed,
    /// Somebody was denied what they asked for.
    Denied,
    /// A person said no to a plan.
    Declined,
    /// A token was made.
    TokenMade,
    /// A token was revoked.
    TokenRevoked,
    /// A user was made, or given another role or password.
    UserPut,
    /// A user was deleted.
    UserDeleted,
    /// A request was sent through the gateway.
    RequestSent,
    /// Secrets were read in clear.
    Revealed,
    /// Secrets were sealed anew with the newest key of the keyring.
    Resealed,
    /// Agents may act again.
    AgentsOn,
    /// Agents may only look.
    AgentsOff,
    /// A model was chosen to lead the chat.
    ModelChosen,
    /// That choice was taken back.
    ModelForgotten,
    /// A model was asked something, to see whether it answers.
    ModelTried,
    /// Somebody logged in at the console.
    LoggedIn,
    /// Somebody whom a provider sent wasn't let in at the console.
    LoginRefused,
    /// A password was wrong, or many logins failed in a short time.
    FailedLogins,
    /// Older records were cut off; the chain goes on from here.
    Cut,
}

/// One resource of a change: what it was and what it became, as digests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditedChange {
    /// Its key, such as `/apisix/routes/1`.
    pub key: String,
    /// SHA-256 of what was stored before, in hex; `None`: nothing.
    pub before: Option<String>,
    /// SHA-256 of what is stored since, in hex; `None`: nothing.
    pub after: Option<String>,
}

/// Where the chain begins after older records were cut off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditAnchor {
    /// The number of the last record that was cut off.
    pub number: u64,
    /// Its digest, in hex.
    pub digest: String,
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRecord {
    /// Its number, from 1, without gaps.
    pub number: u64,
    /// When, in milliseconds since 1970.
    pub unix_ms: u64,
    /// What happened.
    pub event: AuditEvent,
    /// Who.
    pub principal: String,
    /// With which role.
    pub role: Role,
    /// Through which door.
    pub door: Door,
    /// What it was about, in a sentence; never a secret.
    pub about: String,
    /// The plan, where it was one.
    pub plan: Option<String>,
    /// Who agreed, as in the history.
    pub approval: Option<String>,
    /// What changed; at most the first 100 objects.
    pub changes: Vec<AuditedChange>,
    /// How many objects it was about in all.
    pub total: usize,
    /// Where the chain begins since records were cut off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anchor: Option<AuditAnchor>,
    /// The digest of the record before it, in hex.
    pub previous: String,
    /// SHA-256 of this record while this member is empty, in hex.
    pub digest: String,
}

/// Which part of the audit is wanted.
#[derive(Clone, Copy, Debug, Default)]
pub struct AuditQuery {
    /// Only records behind this number; `None` begins with the oldest that is kept.
    pub after: Option<u64>,
    /// At most so many; 0 is 100, more than 1,000 is 1,000.
    pub limit: usize,
}

/// Whether the audit is as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditVerdict {
    /// How many records were looked at.
    pub records: u64,
    /// The number of the first one that is kept.
    pub first: Option<u64>,
    /// The number of the last one.
    pub last: Option<u64>,
    /// The first record that is not as it was written, with what is wrong; `None`: all are.
    pub broken: Option<(u64, String)>,
}

/// What is to be told of, without its place in the chain.
#[derive(Clone)]
pub(super) struct Event {
    event: AuditEvent,
    about: String,
    plan: Option<String>,
    approval: Option<String>,
    changes: Vec<AuditedChange>,
    total: usize,
    anchor: Option<AuditAnchor>,
}

impl Event {
    /// Something that changes no resource.
    pub(super) fn new(event: AuditEvent, about: &str) -> Self {
        Self {
            event,
            about: shortened(about, ABOUT_CHARS),
            plan: None,
            approval: None,
            changes: Vec::new(),
            total: 0,
            anchor: None,
        }
    }

    /// The same about so many objects.
    pub(super) const fn of(mut self, total: usize) -> Self {
        self.total = total;
        self
    }

    /// A plan that a person said no to, and whose it was.
    pub(super) fn declined(plan: &Plan, owner: &Principal) -> Self {
        let of = format!("plan {} of {}", plan.id, owner.name);
        let about = match &plan.intent {
            Some(intent) => format!("{of}: {intent}"),
            None => of,
        };
        Self { plan: Some(plan.id.clone()), ..Self::new(AuditEvent::Declined, &about).of(plan.changes.len()) }
    }

    /// A change.
    pub(super) fn change(author: &Author<'_>, moves: &[Move]) -> Self {
        let changes = moves.iter().take(TOLD).map(|moved| AuditedChange {
            key: moved.key.path(),
            before: moved.before.as_deref().map(chain::digest_of),
            after: moved.after.as_deref().map(chain::digest_of),
        });
        Self {
            plan: Some(author.plan.to_owned()),
            approval: Some(author.approval.to_owned()),
            changes: changes.collect(),
            ..Self::new(AuditEvent::Change, author.intent.unwrap_or_default()).of(moves.len())
        }
    }
}

impl Service {
    /// Records, oldest first. Only an unscoped admin may.
    ///
    /// # Errors
    /// [`ServiceError::Forbidden`], or the store.
    pub async fn audit(&self, who: &Principal, query: AuditQuery) -> Result<Vec<AuditRecord>, ServiceError> {
        self.noted(who, consent::may_rule(who)).await?;
        let limit = if query.limit == 0 { USUAL } else { query.limit.min(MOST) };
        let after = query.after.map(key);
        let page = self.store().list_page(chain::PREFIX, after.as_deref(), limit, false).await?;
        page.entries.iter().map(chain::read).collect()
    }

    /// Reads the whole audit and checks every link of the chain. Only an unscoped admin may.
    ///
    /// # Errors
    /// [`ServiceError::Forbidden`], or the store.
    pub async fn verify_audit(&self, who: &Principal) -> Result<AuditVerdict, ServiceError> {
        self.noted(who, consent::may_rule(who)).await?;
        self.verify_chain().await
    }

    /// Counts a login that failed, by a name or an address. A burst of them gets a record in the audit.
    pub async fn login_failed(&self, door: Door, name: &str) {
        let Some(count) = self.bursts.login_failed() else { return };
        let about = format!("{count} logins failed within a minute, the last one as {}", shortened(name, 64));
        let nobody = Principal::new("", Role::Viewer, door);
        self.note(&nobody, Event::new(AuditEvent::FailedLogins, &about)).await;
    }

    /// Tells the audit that a password was wrong, for whom; of many within a minute, few are told.
    pub(super) async fn password_failed(&self, door: Door, name: &str) {
        let Some(count) = self.bursts.password_failed() else { return };
        let name = shortened(name, 64);
        let about = match count {
            1..10 => format!("a login failed as {name}: wrong password"),
            _ => format!("{count} logins failed within a minute, the last one as {name}"),
        };
        let nobody = Principal::new("", Role::Viewer, door);
        self.note(&nobody, Event::new(AuditEvent::FailedLogins, &about)).await;
    }

    /// Tells the audit that somebody logged in at the console, by `user`, `key` or `oidc`.
    pub async fn logged_in(&self, who: &Principal, by: &str) {
        self.note(who, Event::new(AuditEvent::LoggedIn, &format!("logged in at the console, by {by}"))).await;
    }

    /// Tells the audit whom the console didn't let in that a provider sent, and why. `name` is empty where it isn't known. Of many in a short time
    /// the rest is counted.
    pub async fn login_refused(&self, name: &str, why: &str) {
        let Some(passed_over) = self.bursts.refused() else { return };
        let more = match passed_over {
            0 => String::new(),
            count => format!("; {count} before it were not told"),
        };
        let who = Principal::new(name, Role::Viewer, Door::Console);
        self.note(&who, Event::new(AuditEvent::LoginRefused, &format!("{why}{more}"))).await;
    }

    /// Tells the audit that somebody sends a request through the gateway: its method, host and path, and nothing that may be a secret.
    pub async fn request_sent(&self, who: &Principal, about: &str) {
        self.note(who, Event::new(AuditEvent::RequestSent, about)).await;
    }

    /// Passes an outcome on, and tells the audit where it is a denial. That a person has to agree first is a question and no denial.
    pub(super) async fn noted<T>(
        &self,
        who: &Principal,
        outcome: Result<T, ServiceError>,
    ) -> Result<T, ServiceError> {
        if let Err(error @ ServiceError::Forbidden(_)) = &outcome
            && let Some(passed_over) = self.bursts.denied()
        {
            let more = if passed_over > 0 {
                format!("; {passed_over} denials before it were not told")
            } else {
                String::new()
            };
            self.note(who, Event::new(AuditEvent::Denied, &format!("{error}{more}"))).await;
        }
        outcome
    }

    /// Writes a record of its own, where that can be done: what it tells of has happened anyway.
    pub(super) async fn note(&self, who: &Principal, event: Event) {
        if let Err(error) = self.told_with(who, event, Transaction::default()).await {
            tracing::warn!(principal = %who.name, door = %who.door, %error, "the audit could not be told of what happened");
        }
    }

    /// Commits writes that are no resources together with a record of what they are for.
    pub(super) fn told_with<'a>(
        &'a self,
        who: &'a Principal,
        event: Event,
        wanted: Transaction,
    ) -> BoxFuture<'a, Result<u64, ServiceError>> {
        Box::pin(async move {
            let _writing = self.turns.alone().await;
            self.tell(who, event, wanted).await
        })
    }

    /// The same for whoever writes already.
    pub(super) async fn tell(
        &self,
        who: &Principal,
        event: Event,
        wanted: Transaction,
    ) -> Result<u64, ServiceError> {
        self.tell_while(who, event, wanted, || Ok(())).await
    }

    /// The same as long as something holds that is looked at here: nobody on another machine can have changed it before this is committed,
    /// because that would have moved the head.
    pub(super) async fn tell_while(
        &self,
        who: &Principal,
        event: Event,
        wanted: Transaction,
        holds: impl Fn() -> Result<(), ServiceError> + Send,
    ) -> Result<u64, ServiceError> {
        let mut tries = 0;
        loop {
            tries += 1;
            let base = self.revision();
            let mut head = self.head().await?;
            self.up_to(&head).await?;
            holds()?;
            let mut transaction = head.begin();
            transaction.compare.extend(wanted.compare.iter().cloned());
            transaction = append(who, event.clone(), &mut head, transaction)?;
            transaction = head.put(transaction)?;
            transaction.writes.extend(wanted.writes.iter().cloned());
            match self.store().commit(transaction).await {
                Ok(committed) => {
                    self.trim_audit(&head).await;
                    return Ok(committed.revision);
                }
                Err(StoreError::Conflict { key, .. }) if key == super::head::KEY && tries < TRIES => {
                    self.let_others_in(&key, base).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}
