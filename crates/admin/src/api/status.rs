//! `status`: who one is here, what the store is and how it does, and which revision requests are served by.

use schemars::JsonSchema;
use serde::Serialize;
use usher_model::live::Problem;

use super::answer::Answer;
use super::endpoint::{Call, Nothing};
use super::entrance::role_word;
use super::refusal::Refusal;
use super::tokens::Gone;
use crate::service::ServiceError;

/// Problems that are told of at most.
const MOST_PROBLEMS: usize = 100;

/// How Usher does.
#[derive(Serialize, JsonSchema)]
pub(super) struct Status {
    /// Its version.
    version: &'static str,
    /// Who asked, as this request was let in.
    you: You,
    /// The store.
    store: StoreStatus,
    /// The store's newest revision.
    revision: u64,
    /// The revision that requests are served by.
    in_force: u64,
    /// The revision of the newest change of the configuration that the history tells of; log-ins and records of the audit move `revision` too, and
    /// not this. Null where nothing was changed yet.
    changed: Option<u64>,
    /// Where the gateway listens.
    listeners: Vec<String>,
    /// Where it listens beside that; empty for who has a scope.
    sides: Vec<SideShape>,
    /// Objects that couldn't be used, whose last good version serves, and those of other programs that break a rule. The first hundred.
    problems: Vec<ProblemShape>,
    /// The name of the model that leads the built-in chat; null: it understands plain sentences.
    chat_model: Option<String>,
    /// Plans whose steps were not all applied.
    unfinished: Vec<UnfinishedShape>,
}

/// Who asked.
#[derive(Serialize, JsonSchema)]
struct You {
    /// The name that the history shows.
    name: String,
    /// `viewer`, `chat`, `editor` or `admin`.
    role: &'static str,
    /// The door.
    door: String,
    /// Labels `name=value` that bound what may be read and changed; empty: no bound.
    labels: Vec<String>,
    /// Hosts that bound it.
    hosts: Vec<String>,
    /// Path prefixes that bound it.
    paths: Vec<String>,
}

/// The store.
#[derive(Serialize, JsonSchema)]
struct StoreStatus {
    /// `embedded`, `etcd`, `file`, `apisix` or `memory`.
    kind: &'static str,
    /// Its folder or address.
    place: Option<String>,
    /// Whether it takes writes.
    writable: bool,
    /// Whether a plan is written whole or not at all.
    atomic: bool,
    /// Whether changes of others are heard of at once.
    watches: bool,
    /// Why it can't be reached, if so: reads are served from the last known state, writes are refused.
    away: Option<String>,
    /// Since when, in milliseconds since 1970.
    away_since_unix_ms: Option<u64>,
    /// Why writes fail although reads are as fresh as ever, such as at a full disk; they work again once that is over.
    writes_fail: Option<String>,
    /// A change that is held back for a person to confirm.
    held: Option<String>,
    /// How a damaged store was brought back at the last start.
    recovered: Option<String>,
}

/// A listener beside the gateway's.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Side")]
struct SideShape {
    /// What answers there, such as `Admin API`.
    name: &'static str,
    /// Its address.
    address: String,
}

/// An object that the gateway couldn't use.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Problem")]
struct ProblemShape {
    /// Its key, such as `/apisix/routes/1`.
    key: String,
    /// The revision that brought it.
    revision: u64,
    /// What is wrong with it.
    reason: String,
}

/// A plan whose steps were not all applied.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Unfinished")]
struct UnfinishedShape {
    /// The plan's id; applying it again goes on.
    plan: String,
    /// Whose it is.
    principal: String,
    /// When it was begun, in milliseconds since 1970.
    begun_unix_ms: u64,
    /// How many steps were applied.
    done: usize,
    /// Of how many.
    of: usize,
}

/// `GET /status`.
pub(super) async fn read(call: Call, _: Nothing, _: Nothing) -> Result<Answer<Status>, Refusal> {
    let Call { service, who, talk, .. } = call;
    let (about, can) = (service.describe(), service.capabilities());
    let unfinished = service.unfinished(&who).await;
    // Behind that, which may be what first finds the store away.
    let mut health = service.health();
    let unfinished = match unfinished {
        Ok(plans) => plans,
        // While the store is away nobody knows them, and the status is what tells of that.
        Err(ServiceError::Store(error)) => {
            health.away.get_or_insert_with(|| error.to_string());
            Vec::new()
        }
        Err(error) => return Err(error.into()),
    };
    let unfinished = unfinished.into_iter().map(|plan| UnfinishedShape {
        plan: plan.plan,
        principal: plan.principal,
        begun_unix_ms: plan.begun_unix_ms,
        done: plan.done,
        of: plan.of,
    });
    let recovered = about.recovered.map(|recovered| {
        format!(
            "the data file was damaged ({}) and moved to {}; the last good state, revision {}, was taken instead",
            recovered.reason,
            recovered.damaged.display(),
            recovered.revision
        )
    });
    let problem = |problem: Problem| ProblemShape {
        key: problem.key,
        revision: problem.revision,
        reason: problem.reason,
    };
    Ok(Answer::ok(Status {
        version: env!("CARGO_PKG_VERSION"),
        store: StoreStatus {
            kind: about.kind,
            place: about.place.map(|place| place.display().to_string()),
            writable: can.writable,
            atomic: can.atomic,
            watches: can.watches,
            away: health.away,
            away_since_unix_ms: health.away_since_unix_ms,
            writes_fail: health.writes_fail,
            held: health.held,
            recovered,
        },
        revision: service.revision(),
        in_force: service.live().revision(),
        changed: service.changed_at().await,
        listeners: service.live().listeners().iter().map(ToString::to_string).collect(),
        sides: if who.scope.is_all() {
            let side = |(name, address): &(&'static str, _)| SideShape {
                name,
                address: ToString::to_string(address),
            };
            service.sides().iter().map(side).collect()
        } else {
            Vec::new()
        },
        // What a problem is about may lie outside of a scope.
        problems: if who.scope.is_all() {
            service.problems().into_iter().take(MOST_PROBLEMS).map(problem).collect()
        } else {
            Vec::new()
        },
        chat_model: talk.and_then(|talk| talk.leads()),
        unfinished: unfinished.collect(),
        you: You {
            name: who.name,
            role: role_word(who.role),
            door: who.door.to_string(),
            labels: who.scope.labels,
            hosts: who.scope.hosts,
            paths: who.scope.paths,
        },
    }))
}

/// What came of a confirmation.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Accepted {
    /// What was held and comes into force within some seconds; null where nothing was.
    accepted: Option<String>,
}

/// `POST /status/accept`.
pub(super) async fn accept(call: Call, _: Nothing, _: Nothing) -> Result<Answer<Accepted>, Refusal> {
    let accepted = call.service.health().held;
    call.service.accept_held(&call.who).await?;
    Ok(Answer::ok(Accepted { accepted }))
}

/// `DELETE /unfinished/{plan}`.
pub(super) async fn give_up(call: Call, _: Nothing, _: Nothing) -> Result<Answer<Gone>, Refusal> {
    let plan = call.parameter("plan").to_owned();
    call.service.give_up_steps(&call.who, &plan).await?;
    Ok(Answer::ok(Gone { deleted: plan }))
}
