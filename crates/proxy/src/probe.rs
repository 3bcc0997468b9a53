//! The prober: one task for the process that looks after the nodes of every upstream with active checks, whichever workers use them.
//!
//! An upstream is probed from about a second after its first request (data plane contract, section 6.5), by a task of its own that ends with it. What
//! probes show lies in the nodes' own states, so that an edit loses none of it and a request reads it with one load.

mod attempt;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::config::{Checked, Keeper};
use crate::resolve::Resolver;
use attempt::Probe;

/// How often it is looked for upstreams that are new, or used for the first time.
const LOOK: Duration = Duration::from_millis(500);
/// After so many looks, what belonged to upstreams that are gone is let go of.
const SWEEP: u64 = 60;
/// The first probe of an upstream comes within this, at random, so that a start doesn't probe everybody at once.
const SPREAD: Duration = Duration::from_millis(1_000);

/// What probes go by.
pub(crate) struct Prober {
    pub(crate) keeper: Arc<Keeper>,
    pub(crate) resolver: Arc<Resolver>,
    pub(crate) own: Arc<[SocketAddr]>,
}

impl Prober {
    /// Probes until it is dropped.
    pub(crate) async fn run(self) {
        let prober = Arc::new(self);
        let mut running: JoinSet<Arc<str>> = JoinSet::new();
        let mut known: HashMap<Arc<str>, Known> = HashMap::new();
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for look in 0_u64.. {
            looks.tick().await;
            if look % SWEEP == 0 {
                prober.keeper.sweep();
            }
            while let Some(ended) = running.try_join_next() {
                if let Err(error) = ended
                    && error.is_panic()
                {
                    tracing::error!(%error, "a task that checks an upstream's nodes ended by a panic");
                }
            }
            known.retain(|_, known| known.version.strong_count() > 0);
            for checked in prober.keeper.checked() {
                if !checked.is_wanted() || !checked.is_probed() {
                    continue;
                }
                let name = Arc::clone(checked.name());
                let known = known.entry(Arc::clone(&name)).or_default();
                let same = known.version.upgrade().is_some_and(|version| Arc::ptr_eq(&version, &checked));
                if same && !known.task.as_ref().is_none_or(tokio::task::AbortHandle::is_finished) {
                    continue;
                }
                if let Some(before) = known.task.take() {
                    before.abort();
                }
                let first = known.version.strong_count() == 0 && known.version.ptr_eq(&Weak::new());
                known.version = Arc::downgrade(&checked);
                let look_after = look_after(Arc::clone(&prober), Arc::downgrade(&checked), first);
                known.task = Some(running.spawn(async move {
                    look_after.await;
                    name
                }));
            }
        }
    }
}

/// The version of an upstream that is probed.
#[derive(Default)]
struct Known {
    version: Weak<Checked>,
    task: Option<tokio::task::AbortHandle>,
}

/// Probes the nodes of one version of an upstream until that is gone.
async fn look_after(prober: Arc<Prober>, checked: Weak<Checked>, first: bool) {
    let Some((healthy, unhealthy)) = checked.upgrade().map(|checked| {
        let active = &checked.checks.active;
        (active.healthy_interval, active.unhealthy_interval)
    }) else {
        return;
    };
    let start = Instant::now();
    let start = if first { start + SPREAD.mul_f64(fastrand::f64()) } else { start };
    let (mut next_healthy, mut next_unhealthy) = (due(start, healthy), due(start, unhealthy));
    loop {
        let Some(next) = [next_healthy, next_unhealthy].into_iter().flatten().min() else { return };
        sleep_until(next).await;
        let Some(checked) = checked.upgrade() else { return };
        let now = Instant::now();
        let due_now = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        let (good, bad) = (due_now(next_healthy), due_now(next_unhealthy));
        round(&prober, &checked, good, bad).await;
        if good {
            next_healthy = Some(now.max(Instant::now().checked_sub(healthy).unwrap_or(now)) + healthy);
        }
        if bad {
            next_unhealthy = Some(now.max(Instant::now().checked_sub(unhealthy).unwrap_or(now)) + unhealthy);
        }
    }
}

fn due(start: Instant, interval: Duration) -> Option<Instant> {
    (interval > Duration::ZERO).then_some(start)
}

/// Probes those of the nodes whose turn it is, each once.
async fn round(prober: &Prober, checked: &Checked, good: bool, bad: bool) {
    let fleet = checked.fleet();
    let probes = fleet.nodes().iter().enumerate().filter_map(|(at, node)| {
        let is_up = fleet.state(at)?.health.status().is_up();
        let is_due = if is_up { good } else { bad };
        is_due.then_some((at, node))
    });
    let probes: Vec<_> = probes.collect();
    let fleet = &fleet;
    stream::iter(probes)
        .for_each_concurrent(checked.checks.active.concurrency, |(at, node)| async move {
            let probe = Probe { prober, checked, node, port: fleet.port(node) };
            let (sign, address) = probe.run().await;
            if let (Some(address), Some(state)) = (address, fleet.state(at)) {
                state.probed_at(address);
            }
            if let Some(sign) = sign {
                checked.probed(fleet, at, sign, "a probe");
            }
        })
        .await;
}
