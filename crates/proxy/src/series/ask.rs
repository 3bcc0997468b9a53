//! Answers questions from slots: first the sums of every row, then the points of those that are shown.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use usher_model::traffic::{Ask, By, Measure, OTHER, Only, Order, Row, Traffic};

use super::book::{Book, Grain};
use super::pile::{CAUSE, CLIENT, CONSUMER, NAMES, PLUGIN, ROUTE, SERVICE};
use super::slot::Slot;
use super::sum::{Total, class_of};

/// Rows that are told apart while sums are made.
const MOST_ROWS: usize = 5_000;
/// Points of one answer, all rows together.
const MOST_POINTS: usize = 40_000;

/// What is needed to answer, taken out of the book so that nobody waits.
pub(super) struct Looked {
    pub(super) slots: Vec<Slot>,
    grain: Grain,
    pub(super) since: Option<u64>,
}

/// The time of an answer, in whole points.
pub(super) struct Spread {
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) step: u64,
    pub(super) points: usize,
}

impl Spread {
    pub(super) fn of(looked: &Looked, ask: &Ask) -> Self {
        let step = step(ask, looked.grain);
        let from = ask.from - ask.from % step;
        let to = ask.to.max(from + 1).next_multiple_of(step);
        Self { from, to, step, points: usize::try_from((to - from) / step).unwrap_or(usize::MAX) }
    }
}

/// Takes out what is needed to answer.
pub(super) fn look(book: &Book, ask: &Ask, now: u64) -> Looked {
    let grain = book.grain(ask.from, now);
    Looked { slots: book.slots(grain), grain, since: book.since() }
}

/// Answers.
pub(super) fn answer(looked: &Looked, ask: &Ask) -> Traffic {
    let Spread { from, to, step, points } = Spread::of(looked, ask);
    let slots: Vec<&Slot> = looked.slots.iter().filter(|slot| (from..to).contains(&slot.start)).collect();
    let mut total = Total::NONE;
    let mut totals: HashMap<Vec<Arc<str>>, Total> = HashMap::new();
    let mut key = Vec::new();
    for slot in &slots {
        slot.each(|names, status, sum| {
            if !fits(&ask.only, &names, status) {
                return;
            }
            total.add(status, sum);
            if ask.by.is_empty() {
                return;
            }
            fill(&mut key, &ask.by, &names, status);
            if let Some(known) = totals.get_mut(key.as_slice()) {
                known.add(status, sum);
                return;
            }
            if totals.len() >= MOST_ROWS {
                key.fill(OTHER.into());
            }
            totals.entry(key.clone()).or_insert(Total::NONE).add(status, sum);
        });
    }
    let mut rows: Vec<Row> = totals
        .iter()
        .map(|(key, total)| Row {
            key: key.iter().map(ToString::to_string).collect(),
            total: total.measure(),
            points: Vec::new(),
        })
        .collect();
    let told = total.measure();
    if ask.by.is_empty() {
        rows.push(Row { total: told, ..Row::default() });
    }
    rows.sort_by(|a, b| {
        let of = |row: &Row| Reverse(Rank::of(&row.total, ask.order));
        (of(a), &a.key).partial_cmp(&(of(b), &b.key)).unwrap_or(std::cmp::Ordering::Equal)
    });
    let most = match ask.points {
        0 => ask.limit,
        _ => ask.limit.min((MOST_POINTS / points.max(1)).max(1)),
    };
    let more = rows.len().saturating_sub(most);
    rows.truncate(most);
    if ask.points > 0 {
        fill_points(&mut rows, &slots, ask, (from, step, points));
    }
    Traffic { from, to, step, since: looked.since, total: told, rows, more }
}

/// Seconds of one point: as asked for, or so that there are no more points than asked for; always whole slots.
fn step(ask: &Ask, grain: Grain) -> u64 {
    let slot = grain.secs();
    let wanted = if ask.step > 0 {
        ask.step
    } else {
        let span = ask.to.saturating_sub(ask.from);
        let points = u64::try_from(ask.points.max(1)).unwrap_or(1);
        match ask.points {
            0 => slot,
            _ => span.div_ceil(points),
        }
    };
    wanted.max(1).next_multiple_of(slot)
}

fn fill_points(rows: &mut [Row], slots: &[&Slot], ask: &Ask, (from, step, points): (u64, u64, usize)) {
    let places: HashMap<Vec<Arc<str>>, usize> = rows
        .iter()
        .enumerate()
        .map(|(at, row)| (row.key.iter().map(|name| name.as_str().into()).collect(), at))
        .collect();
    let mut sums: Vec<Vec<Total>> = Vec::new();
    sums.resize_with(rows.len(), || vec![Total::NONE; points]);
    let mut key = Vec::new();
    for slot in slots {
        let point = usize::try_from((slot.start - from) / step).unwrap_or(usize::MAX);
        slot.each(|names, status, sum| {
            if !fits(&ask.only, &names, status) {
                return;
            }
            fill(&mut key, &ask.by, &names, status);
            let Some(place) = places.get(key.as_slice()) else { return };
            if let Some(total) = sums.get_mut(*place).and_then(|sums| sums.get_mut(point)) {
                total.add(status, sum);
            }
        });
    }
    for (row, sums) in rows.iter_mut().zip(sums) {
        row.points = sums.iter().map(Total::measure).collect();
    }
}

/// Whether a row is asked for.
pub(super) fn fits(only: &Only, names: &[&str; NAMES], status: u16) -> bool {
    let [route, service, consumer, client, cause, plugin] = *names;
    let is = |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|wanted| wanted == found);
    is(&only.route, route)
        && is(&only.service, service)
        && is(&only.consumer, consumer)
        && is(&only.client, client)
        && is(&only.cause, cause)
        && is(&only.plugin, plugin)
        && only.status.is_none_or(|(least, most)| (least..=most).contains(&status))
        && only.routes.as_ref().is_none_or(|routes| routes.contains(route))
}

/// The key of a row, into a list that is used again.
fn fill(key: &mut Vec<Arc<str>>, by: &[By], names: &[&str; NAMES], status: u16) {
    const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];
    key.clear();
    for by in by {
        let at = match by {
            By::Route => ROUTE,
            By::Service => SERVICE,
            By::Consumer => CONSUMER,
            By::Client => CLIENT,
            By::Cause => CAUSE,
            By::Plugin => PLUGIN,
            By::Status => {
                key.push(status.to_string().into());
                continue;
            }
            By::Class => {
                key.push(CLASSES.get(class_of(status)).copied().unwrap_or("5xx").into());
                continue;
            }
        };
        key.push(names.get(at).copied().unwrap_or_default().into());
    }
}

/// What rows are put in order by: the wish first, then requests.
#[derive(PartialEq, PartialOrd)]
struct Rank(f64, u64);

impl Rank {
    fn of(measure: &Measure, order: Order) -> Self {
        let first = match order {
            Order::Requests => 0.0,
            Order::Errors => measure.errors() as f64,
            Order::Refused => measure.refused() as f64,
            Order::Slowest => measure.took.map_or(0.0, |took| took.p95_ms),
            Order::Bytes => (measure.received_bytes + measure.sent_bytes) as f64,
        };
        Self(first, measure.requests)
    }
}
