//! What a change does to others: its risk and why, who meets it, and what to look at before agreeing.

mod auth;
mod beside;
mod credential;
mod guard;
mod leave;
mod members;
mod outward;
mod overlap;
mod paths;
mod redirect;
mod route;
mod span;
mod warn;

use std::collections::HashSet;

use futures_util::future::BoxFuture;
use usher_model::change::Risk;
use usher_model::diff::diff;
use usher_model::kind::{Key, Kind};

use super::ServiceError;
use super::escape::plain;
use super::known::{Mark, Reached};
use super::world::World;

/// Routes that are named; the rest is counted.
const NAMED: usize = 50;
/// Reasons and warnings that are kept; the rest is counted. Far more than anybody reads, so that nothing is hidden from who agrees.
const TOLD: usize = 1000;

/// Members that only describe: a change of them is met by no request.
const DESCRIPTIVE: [&str; 6] = ["id", "name", "desc", "labels", "create_time", "update_time"];

/// What a change does.
pub(super) struct Impact {
    pub(super) risk: Risk,
    pub(super) reasons: Vec<String>,
    pub(super) warnings: Vec<String>,
    pub(super) affected: Vec<String>,
    every_reason: Vec<(Risk, String)>,
    warned: HashSet<String>,
}

impl Impact {
    fn new() -> Self {
        Self {
            risk: Risk::Low,
            reasons: Vec::new(),
            warnings: Vec::new(),
            affected: Vec::new(),
            every_reason: Vec::new(),
            warned: HashSet::new(),
        }
    }

    fn raise(&mut self, risk: Risk, reason: String) {
        self.risk = self.risk.max(risk);
        self.every_reason.push((risk, reason));
    }

    fn warn(&mut self, warning: String) {
        if self.warned.insert(warning.clone()) {
            self.warnings.push(warning);
        }
    }

    /// Only what made the risk what it is.
    fn settle(mut self) -> Self {
        let risk = self.risk;
        let telling = std::mem::take(&mut self.every_reason).into_iter().filter(|(own, _)| *own == risk);
        self.reasons = telling.map(|(_, reason)| reason).collect();
        self.reasons.dedup();
        cut(&mut self.reasons, "reasons");
        cut(&mut self.warnings, "warnings");
        self
    }
}

fn cut(lines: &mut Vec<String>, what: &str) {
    if lines.len() > TOLD {
        let more = lines.len() - TOLD;
        lines.truncate(TOLD);
        lines.push(format!("{more} more {what}"));
    }
}

pub(super) use beside::fresh_references;

/// Assesses a checked set of edits.
pub(super) fn assess<'a>(world: &'a mut World<'_>) -> BoxFuture<'a, Result<Impact, ServiceError>> {
    Box::pin(async move {
        let mut impact = Impact::new();
        let reached = meets(world);
        let count = world.service.look_up(|index| index.count(&reached)) + fresh_routes(world).count();
        kinds_of_change(world, &mut impact);
        if count > world.service.parts.rules.many_routes {
            impact.raise(Risk::High, format!("{count} routes meet it"));
        }
        auth::assess(world, &mut impact).await?;
        credential::assess(world, &mut impact);
        outward::assess(world, &mut impact);
        redirect::assess(world, &mut impact).await?;
        overlap::assess(world, &mut impact).await?;
        warn::assess(world, &mut impact).await?;
        beside::assess(world, &mut impact).await?;
        affected(world, &reached, count, &mut impact).await?;
        Ok(impact.settle())
    })
}

/// The stored routes that meet the change.
fn meets(world: &World<'_>) -> Reached {
    let mut reached = Reached::default();
    world.service.look_up(|index| {
        for draft in &world.drafts {
            index.reach(&draft.key, &mut reached);
        }
    });
    reached
}

/// The routes that the change makes.
fn fresh_routes<'w>(world: &'w World<'_>) -> impl Iterator<Item = &'w Key> {
    world
        .drafts
        .iter()
        .filter(|draft| draft.key.kind == Kind::Route && draft.before.is_none())
        .map(|draft| &draft.key)
}

fn kinds_of_change(world: &World<'_>, impact: &mut Impact) {
    for draft in &world.drafts {
        let key = &draft.key;
        match (&draft.before, &draft.after) {
            (_, None) => impact.raise(Risk::High, format!("deletes {key}")),
            (_, Some(_)) if key.kind == Kind::GlobalRule => {
                impact.raise(Risk::High, format!("{key} runs for every request"));
            }
            (None, Some(_)) => impact.raise(Risk::Low, format!("adds {key}")),
            (Some(before), Some(after)) => {
                // Masks are the same exactly where secrets are.
                let vault = &world.service.vault;
                let (before, after) = (vault.masked(key, &before.value), vault.masked(key, after));
                let changed = diff(Some(&before), Some(&after));
                let telling = changed.iter().any(|field| {
                    let member = field.path.split(['.', '[']).next().unwrap_or_default();
                    !DESCRIPTIVE.contains(&member)
                });
                if telling && is_used(world, key) {
                    impact.raise(Risk::Medium, format!("changes {key}"));
                } else {
                    impact.raise(Risk::Low, format!("changes nothing that a request meets in {key}"));
                }
            }
        }
    }
}

/// Whether any request can meet a change of it.
fn is_used(world: &World<'_>, key: &Key) -> bool {
    match key.kind {
        Kind::Proto | Kind::Secret | Kind::ConsumerGroup => world
            .service
            .look_up(|index| !index.holders(Mark::Uses(key.kind, &key.id), 1, |_| true).is_empty()),
        Kind::PluginMetadata => {
            world.service.look_up(|index| !index.holders(Mark::Plugin(&key.id), 1, |_| true).is_empty())
        }
        Kind::Service | Kind::Upstream | Kind::PluginConfig => world.service.look_up(|index| {
            let mut reached = Reached::default();
            index.reach(key, &mut reached);
            index.count(&reached) > 0
        }),
        _ => true,
    }
}

async fn affected(
    world: &mut World<'_>,
    reached: &Reached,
    count: usize,
    impact: &mut Impact,
) -> Result<(), ServiceError> {
    if reached.all {
        impact.affected.push("every request, also those that no route takes".to_owned());
    }
    let mut keys: Vec<Key> = fresh_routes(world).take(NAMED).cloned().collect();
    let room = NAMED - keys.len();
    keys.extend(world.service.look_up(|index| index.some(reached, room)));
    keys.sort();
    for key in &keys {
        if let Some(seen) = route::after(world, key).await? {
            impact.affected.push(seen.line());
        } else if let Some(seen) = route::before(world, key).await? {
            impact.affected.push(seen.line());
        }
    }
    if count > keys.len() {
        impact.affected.push(format!("{} more routes", count - keys.len()));
    }
    impact.affected.extend(beside::affected(world).await?);
    let mut consumers: Vec<&str> = world.drafts.iter().filter_map(|draft| draft.key.consumer()).collect();
    consumers.sort_unstable();
    consumers.dedup();
    let more = consumers.len().saturating_sub(NAMED);
    for name in consumers.into_iter().take(NAMED) {
        impact.affected.push(format!("consumer {}: requests with its credentials", plain(name)));
    }
    if more > 0 {
        impact.affected.push(format!("{more} more consumers"));
    }
    Ok(())
}
