//! A worker: one thread with a runtime of its own, from its start to its end.

use std::rc::Rc;
use std::sync::mpsc::SyncSender;
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use super::alarm::SWEEP;
use super::listen;
use super::local::{Local, Parts};
use super::serving::Serving;
use super::stream;
use super::ways::WaysIn;

/// Lookups of names that one worker may have under way.
const BLOCKING: usize = 8;

/// What the workers are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Be ready to serve, but take no connection yet.
    Wait,
    /// Serve.
    Serve,
    /// Take no more connections; end when the last request has.
    Drain,
    /// The same where another process goes on listening: idle connections live their time out.
    Leave,
    /// End now.
    Cut,
}

/// How long connections have to notice that they are cut.
const CUT_WITHIN: Duration = Duration::from_millis(500);

/// Starts a worker's thread. `started` hears whether its runtime could be made.
///
/// # Errors
/// The thread can't be made.
pub(super) fn start(
    parts: Parts,
    ways_in: mpsc::Receiver<WaysIn>,
    orders: watch::Receiver<Order>,
    started: SyncSender<std::io::Result<()>>,
    serving: Serving,
) -> std::io::Result<thread::JoinHandle<()>> {
    thread::Builder::new().name(format!("usher-worker-{}", parts.index)).spawn(move || {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(BLOCKING)
            .build_local(LocalOptions::default());
        let runtime = match runtime {
            Ok(runtime) => runtime,
            // Whoever starts us waits for this word, or is gone itself.
            Err(error) => return drop(started.send(Err(error))),
        };
        let _serves = serving.begin();
        let _ = started.send(Ok(()));
        runtime.block_on(serve(parts, ways_in, orders));
        // A name that is still being looked up is nobody's business any more.
        runtime.shutdown_background();
    })
}

async fn serve(parts: Parts, mut ways_in: mpsc::Receiver<WaysIn>, mut orders: watch::Receiver<Order>) {
    let local = Local::new(parts);
    let sweeping = tokio::task::spawn_local(sweep(Rc::clone(&local)));
    // An engine that is gone without a word is as good as a cut.
    let _ = orders.wait_for(|order| *order != Order::Wait).await;
    let mut accepting: Vec<JoinHandle<()>> = Vec::new();
    let order = loop {
        tokio::select! {
            order = orders.wait_for(|order| *order != Order::Serve) => {
                break order.map_or(Order::Cut, |order| *order);
            }
            Some(more) = ways_in.recv() => {
                accepting.retain(|accepting| !accepting.is_finished());
                accepting.extend(begin(&local, more));
            }
        }
    };
    // What was sent in the same moment has clients as well.
    while let Ok(more) = ways_in.try_recv() {
        accepting.extend(begin(&local, more));
    }
    local.drain(order != Order::Leave);
    for accepting in accepting {
        // Ends by itself; what it could tell was logged.
        let _ = accepting.await;
    }
    tokio::select! {
        () = quiet(&local) => {}
        _ = orders.wait_for(|order| *order == Order::Cut) => {
            tracing::info!(worker = local.index, "cut the connections that are left");
            local.alarms.ring_all();
            let _ = tokio::time::timeout(CUT_WITHIN, quiet(&local)).await;
        }
    }
    sweeping.abort();
    local.tally.hand_over(local.clock.unix(), true);
    local.hand_over_lines();
    local.clear();
}

/// Takes clients by these ways.
fn begin(local: &Rc<Local>, ways_in: WaysIn) -> impl Iterator<Item = JoinHandle<()>> {
    let doors = ways_in.doors.into_iter();
    let accepting = doors.map(|door| tokio::task::spawn_local(listen::accept(Rc::clone(local), door)));
    let datagrams = ways_in.datagrams.into_iter();
    let receiving =
        datagrams.map(|one| tokio::task::spawn_local(stream::serve_datagrams(Rc::clone(local), one)));
    accepting.chain(receiving)
}

/// Waits until nothing runs any more.
async fn quiet(local: &Local) {
    while !local.is_idle() {
        local.ended.notified().await;
    }
}

/// Looks after what nobody else wakes up for: deadlines, old connections, log lines that wait.
async fn sweep(local: Rc<Local>) {
    let mut ticks = tokio::time::interval(SWEEP);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for tick in 0_u64.. {
        ticks.tick().await;
        local.clock.turn();
        local.alarms.sweep(local.clock.ms());
        if tick % 10 == 0 {
            local.clock.anchor();
            local.sweep();
        }
        local.tally.hand_over(local.clock.unix(), false);
        local.hand_over_lines();
        local.tell_of_connections();
    }
}
