//! The series from a worker's count to an answer, over hours that pass in the test alone.
#![cfg(test)]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use usher_http1::head::Head;
use usher_model::live::Sketch;
use usher_model::traffic::{Ask, By, OTHER, Only, Order, Traffic};
use usher_pipeline::cause::{Cause, What};
use usher_pipeline::exchange::{AnsweredBy, Exchange, RouteFacts};

use super::{Desk, Series, Tally, now};
use crate::engine::Spans;

/// A gateway with one worker.
struct Bench {
    tally: Tally,
    series: Series,
}

impl Bench {
    fn new(path: Option<&Path>) -> Self {
        let desk = Arc::new(Desk::default());
        Self { tally: Tally::new(Arc::clone(&desk)), series: Series::open(path, desk) }
    }

    /// Counts so many answers in this second.
    fn serve(&self, at: u64, count: usize, route: &str, status: u16) {
        let facts =
            Arc::new(RouteFacts { id: route.into(), service_id: "shop".into(), ..RouteFacts::default() });
        // As long as nobody's clock says: figures of several gateways have to be the same to the last digit.
        let spans = Spans { took: Duration::from_millis(u64::from(status) / 50), upstream: None };
        for _ in 0..count {
            let mut exchange = exchange(status);
            exchange.route = (!route.is_empty()).then(|| Arc::clone(&facts));
            self.tally.note(&exchange, &spans, Duration::from_secs(at));
        }
        self.tally.hand_over(Duration::from_secs(at), true);
        let written = self.series.fold(at, false);
        self.series.write(&written);
    }

    fn ask(&self, now: u64, back: u64, by: &[By]) -> Traffic {
        let ask =
            Ask { from: now - back, to: now, by: by.to_vec(), limit: 100, points: 60, ..Ask::default() };
        self.series.answer_at(&ask, &[], now)
    }
}

fn exchange(status: u16) -> Exchange {
    let sketch = Sketch { method: "GET".into(), target: "/".into(), ..Sketch::default() };
    let mut exchange = crate::live::exchange(&sketch, crate::options::PathRules::default()).unwrap();
    exchange.answer = Head::response(status);
    if status >= 500 {
        exchange.answered_by = AnsweredBy::Gateway;
        exchange.cause = Some(Cause { what: What::ReadTimeout, retry_safe: false });
    }
    exchange
}

fn rows(traffic: &Traffic) -> Vec<(String, u64, u64)> {
    traffic.rows.iter().map(|row| (row.key.join(" "), row.total.requests, row.total.errors())).collect()
}

#[test]
fn every_grain_counts_the_same() {
    let bench = Bench::new(None);
    let start = now() / 3_600 * 3_600 - 20 * 86_400;
    // Two days and a bit, one look at it each ten minutes.
    let end = start + 2 * 86_400 + 1_830;
    let mut served = 0;
    for at in (start..end).step_by(30) {
        bench.serve(at, 2, "a", 200);
        bench.serve(at, 1, "b", 504);
        served += 3;
    }
    for (back, grain) in [(300, 1), (3_600, 60), (82_800, 60), (3 * 86_400, 3_600)] {
        let from = (end - back).max(start);
        let traffic = bench.ask(end, back, &[By::Route]);
        let counted: u64 =
            (start..end).step_by(30).filter(|at| (traffic.from..traffic.to).contains(at)).count() as u64;
        assert_eq!(
            rows(&traffic),
            [("a".to_owned(), 2 * counted, 0), ("b".to_owned(), counted, counted)],
            "{back} s back from {from}"
        );
        assert_eq!(traffic.step % grain, 0);
        assert!(traffic.rows[0].points.len() <= 62, "{} points", traffic.rows[0].points.len());
        let points: u64 = traffic.rows[0].points.iter().map(|point| point.requests).sum();
        assert_eq!(points, traffic.rows[0].total.requests);
        assert_eq!(traffic.total.requests, 3 * counted);
    }
    assert_eq!(bench.ask(end, 3 * 86_400, &[]).total.requests, served);
}

#[test]
fn the_first_minutes_of_a_process_are_told_by_seconds_unless_another_was_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("traffic");
    let start = now();
    let bench = Bench::new(Some(&path));
    // Over the end of a minute that this process began in the middle of.
    for at in (start..start + 130).step_by(5) {
        bench.serve(at, 1, "a", 200);
    }
    assert_eq!(bench.ask(start + 130, 300, &[]).step, 5);
    drop(bench);
    let next = Bench::new(Some(&path));
    assert_eq!(next.ask(start + 130, 300, &[]).step, 60);
    assert_eq!(next.ask(start + 400, 120, &[]).step, 2);
}

#[test]
fn what_is_asked_by_and_filtered_by_is_what_was_served() {
    let bench = Bench::new(None);
    let at = now();
    bench.serve(at, 3, "a", 200);
    bench.serve(at, 2, "a", 504);
    bench.serve(at, 1, "b", 401);
    bench.serve(at, 4, "", 404);
    let by = |by: &[By]| rows(&bench.ask(at + 1, 60, by));
    let row = |key: &str, requests, errors| (key.to_owned(), requests, errors);
    assert_eq!(by(&[By::Route]), [row("a", 5, 2), row("", 4, 0), row("b", 1, 0)]);
    assert_eq!(by(&[By::Class]), [row("4xx", 5, 0), row("2xx", 3, 0), row("5xx", 2, 2)]);
    assert_eq!(
        by(&[By::Status, By::Cause]),
        [row("404 ", 4, 0), row("200 ", 3, 0), row("504 read-timeout", 2, 2), row("401 ", 1, 0)]
    );
    assert_eq!(by(&[By::Service]), [row("shop", 6, 2), row("", 4, 0)]);
    let told = by(&[By::Client]);
    assert_eq!(told.iter().find(|row| row.0.is_empty()), Some(&row("", 3, 0)), "{told:?}");
    let only = |only: Only| {
        let ask = Ask { from: at - 60, to: at + 1, only, limit: 10, order: Order::Errors, ..Ask::default() };
        let traffic = bench.series.answer_at(&ask, &[], at + 1);
        assert!(traffic.rows[0].points.is_empty());
        traffic.total.requests
    };
    assert_eq!(only(Only { route: Some("a".into()), ..Only::default() }), 5);
    assert_eq!(only(Only { route: Some(String::new()), ..Only::default() }), 4);
    assert_eq!(only(Only { status: Some((400, 499)), ..Only::default() }), 5);
    assert_eq!(only(Only { cause: Some("read-timeout".into()), ..Only::default() }), 2);
    assert_eq!(only(Only { routes: Some(["b".to_owned()].into()), ..Only::default() }), 1);
}

#[test]
fn minutes_and_hours_outlive_a_restart_and_a_damage_costs_the_end_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("traffic");
    let end = now();
    let start = end - 3 * 3_600;
    let first = Bench::new(Some(&path));
    for at in (start..end).step_by(20) {
        first.serve(at, 1, "a", 200);
    }
    let before = first.ask(end, 4 * 3_600, &[By::Route]);
    first.series.finish();
    drop(first);
    let second = Bench::new(Some(&path));
    let after = second.ask(end, 4 * 3_600, &[By::Route]);
    assert_eq!(rows(&before), rows(&after));
    assert_eq!(after.since, Some(start - start % 3_600));
    // Over days it is the hours that answer, of which the last isn't over.
    assert_eq!(rows(&second.ask(end, 3 * 86_400, &[By::Route])), rows(&before));
    second.serve(end, 5, "a", 200);
    second.series.finish();
    drop(second);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes.truncate(bytes.len() - 3);
    std::fs::write(&path, &bytes).unwrap();
    let third = Bench::new(Some(&path));
    let damaged = third.ask(end, 4 * 3_600, &[By::Route]);
    assert!(damaged.total.requests > before.total.requests - 10, "{:?}", damaged.total);
}

#[test]
fn a_thousand_names_a_second_stay_within_bounds() {
    let bench = Bench::new(None);
    let at = now() - 200;
    let mut served = 0;
    for second in at..at + 130 {
        for number in 0..60 {
            bench.serve(second, 1, &format!("r{}", second % 50 * 60 + number), 200);
            served += 1;
        }
    }
    let traffic = bench.ask(at + 130, 180, &[By::Route]);
    assert_eq!(traffic.total.requests, served);
    assert_eq!((traffic.rows.len(), traffic.more > 1_000), (100, true));
    let kept: usize =
        bench.series.lock().slots(super::Grain::Minute).iter().map(|slot| slot.bytes().len()).sum();
    assert!(kept < 1 << 20, "{kept} bytes");
    assert!(traffic.rows.iter().all(|row| row.key[0] != OTHER || row.total.requests > 0));
}

#[test]
fn figures_of_several_gateways_are_those_of_one_that_served_all_of_it() {
    let (all, one, two) = (Bench::new(None), Bench::new(None), Bench::new(None));
    let start = now() / 3_600 * 3_600 - 7_200;
    for at in (start..start + 7_000).step_by(25) {
        for (bench, count, route, status) in
            [(&one, 2, "a", 200), (&two, 3, "a", 504), (&two, 1, "only-there", 200)]
        {
            bench.serve(at, count, route, status);
            all.serve(at, count, route, status);
        }
    }
    let end = start + 7_000;
    for (back, points, only) in [
        (500, 60, Only::default()),
        (6_000, 60, Only::default()),
        (6_000, 0, Only::default()),
        (6_000, 0, Only { route: Some("only-there".into()), ..Only::default() }),
        (6_000, 7, Only { status: Some((500, 599)), ..Only::default() }),
    ] {
        let ask = Ask {
            from: end - back,
            to: end,
            by: vec![By::Route],
            limit: 100,
            points,
            only,
            ..Ask::default()
        };
        let portion = two.series.portion_at(&ask, end);
        let merged = one.series.answer_at(&ask, &[portion], end);
        let whole = all.series.answer_at(&ask, &[], end);
        assert!(whole.total.requests > 100, "{ask:?}");
        assert_eq!(merged, whole, "{ask:?}");
    }
}
