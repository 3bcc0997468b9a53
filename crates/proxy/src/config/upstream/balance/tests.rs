//! Turns, priorities, load, latency and failures, without a socket.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::{Strategy as _, prop};
use usher_model::resource::{Balancer, HealthBounds, Node};

use super::super::health::Sign;
use super::super::node::NodeState;
use super::{Fleet, Made, Pick, Taken, place_of};

const NAMES: [&str; 10] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];

fn fleet_of(balancer: Balancer, checked: bool, written: &[(u32, i64)]) -> Fleet {
    let node = |(at, (weight, priority)): (usize, &(u32, i64))| Node {
        host: NAMES[at].to_owned(),
        port: None,
        weight: *weight,
        priority: *priority,
    };
    let mut levels: HashMap<i64, Arc<Taken>> = HashMap::new();
    Fleet::of(Made {
        version: 0,
        nodes: written.iter().enumerate().map(node).collect(),
        port: 80,
        balancer,
        checked,
        state: &mut |_| Arc::new(NodeState::default()),
        taken: &mut |priority| Arc::clone(levels.entry(priority).or_default()),
    })
}

fn turns(written: &[(u32, i64)]) -> Fleet {
    fleet_of(Balancer::Roundrobin, false, written)
}

fn pick(tried: &[usize]) -> Pick<'_> {
    Pick { place: 0, tried, now: Instant::now() }
}

fn choose(fleet: &Fleet, tried: &[usize]) -> Option<usize> {
    fleet.choose(&pick(tried))
}

fn bounds() -> HealthBounds {
    let (good_statuses, bad_statuses) = (vec![200], vec![500]);
    HealthBounds { good_statuses, bad_statuses, successes: 1, http_failures: 1, tcp_failures: 1, timeouts: 1 }
}

fn down(fleet: &Fleet, node: usize) {
    fleet.state(node).unwrap().health.note(Sign::Tcp, &bounds());
}

#[test]
fn equal_nodes_take_turns() {
    let fleet = turns(&[(1, 0), (1, 0), (1, 0)]);
    let all: Vec<_> = (0..6).map(|_| choose(&fleet, &[]).unwrap()).collect();
    assert_eq!(all, [0, 1, 2, 0, 1, 2]);
    let heavy = turns(&[(70, 0), (70, 0)]);
    let all: Vec<_> = (0..4).map(|_| choose(&heavy, &[]).unwrap()).collect();
    assert_eq!(all, [0, 1, 0, 1]);
}

#[test]
fn heavy_nodes_are_spread_over_the_turns() {
    let fleet = turns(&[(5, 0), (1, 0), (1, 0)]);
    let all: Vec<_> = (0..14)
        .map(|_| {
            let next = fleet.next(&pick(&[]));
            assert_eq!(fleet.next(&pick(&[])), next, "a look takes no turn");
            assert_eq!(choose(&fleet, &[]), next);
            next.unwrap()
        })
        .collect();
    for window in all.windows(4) {
        assert!(window.iter().any(|node| *node != 0), "{all:?}");
    }
    assert_eq!(all.iter().filter(|node| **node == 0).count(), 10);
}

#[test]
fn lower_priorities_come_when_all_higher_nodes_were_tried_or_are_down() {
    for balancer in [Balancer::Roundrobin, Balancer::Chash, Balancer::LeastConn, Balancer::Ewma] {
        let written = [(1, -1), (1, 5), (0, 9), (1, 5), (3, -7)];
        let fleet = fleet_of(balancer, false, &written);
        assert_eq!(fleet.tries(None), 4);
        let mut tried = Vec::new();
        while let Some(node) = choose(&fleet, &tried) {
            tried.push(node);
        }
        assert_eq!(tried.len(), 4, "{balancer:?}");
        assert!([[1, 3], [3, 1]].contains(&[tried[0], tried[1]]), "{balancer:?} {tried:?}");
        assert_eq!(&tried[2..], [0, 4], "{balancer:?}");

        let checked = fleet_of(balancer, true, &written);
        down(&checked, 1);
        down(&checked, 3);
        assert_eq!(choose(&checked, &[]), Some(0), "{balancer:?}: the others are down");
        assert_eq!(choose(&checked, &[0]), Some(4), "{balancer:?}");
        assert_eq!(choose(&checked, &[0, 4]), None, "{balancer:?}: a node that is down is no retry");
        down(&checked, 0);
        down(&checked, 4);
        assert!(
            [Some(1), Some(3)].contains(&choose(&checked, &[])),
            "{balancer:?}: nobody is up, so all are used"
        );
    }
    for none in [&[][..], &[(0, 0)], &[(0, 1), (0, 2)]] {
        assert_eq!(choose(&turns(none), &[]), None, "{none:?}");
    }
    let one = turns(&[(0, 0), (4, 0)]);
    assert_eq!((choose(&one, &[]), choose(&one, &[1])), (Some(1), None));
}

#[test]
fn where_nobody_is_well_turns_go_on() {
    let checked = fleet_of(Balancer::Roundrobin, true, &[(1, 0), (1, 0)]);
    down(&checked, 0);
    down(&checked, 1);
    let resting = turns(&[(1, 0), (1, 0)]);
    for node in [0, 0, 0, 1, 1, 1] {
        resting.failed(node, Instant::now());
    }
    for fleet in [checked, resting] {
        let all: Vec<_> = (0..4).map(|_| choose(&fleet, &[]).unwrap()).collect();
        assert_eq!(all, [0, 1, 0, 1]);
    }
}

#[test]
fn a_node_alone_is_used_whatever_is_known_of_it() {
    let fleet = fleet_of(Balancer::Roundrobin, true, &[(1, 0), (0, 0)]);
    down(&fleet, 0);
    assert_eq!(choose(&fleet, &[]), Some(0));
    let unchecked = turns(&[(1, 0)]);
    assert!((0..9).all(|_| !unchecked.failed(0, Instant::now())), "nor does it ever rest");
}

#[test]
fn a_dead_node_does_not_meet_every_first_try() {
    let fleet = turns(&[(1, 0), (1, 0)]);
    let mut first_tries = [0; 2];
    for _ in 0..100 {
        let first = choose(&fleet, &[]).unwrap();
        first_tries[first] += 1;
        if first == 0 {
            assert_eq!(choose(&fleet, &[0]), Some(1));
        }
    }
    assert_eq!(first_tries, [50, 50]);
}

#[test]
fn a_node_that_fails_three_times_is_passed_over_until_one_request_shows_otherwise() {
    for balancer in [Balancer::Roundrobin, Balancer::Chash, Balancer::LeastConn, Balancer::Ewma] {
        let fleet = fleet_of(balancer, false, &[(1, 0), (1, 0)]);
        let now = Instant::now();
        let at = |later: u64, place: u32| Pick { place, tried: &[], now: now + Duration::from_millis(later) };
        assert_eq!([false, false, true], [0; 3].map(|_| fleet.failed(0, now)), "{balancer:?}");
        for place in 0..50 {
            assert_eq!(fleet.choose(&at(500, place_of(&[place as u8]))), Some(1), "{balancer:?}");
        }
        // Behind its rest it gets one request, and no other as long as that has not come back.
        let came =
            (0..400_u32).filter(|n| fleet.choose(&at(1500, place_of(&n.to_le_bytes()))) == Some(0)).count();
        assert_eq!(came, 1, "{balancer:?}");
        fleet.did_well(0);
        let came =
            (0..400_u32).filter(|n| fleet.choose(&at(1500, place_of(&n.to_le_bytes()))) == Some(0)).count();
        assert!(came > 100, "{balancer:?}: {came}");
        for node in [0, 1] {
            (0..3).for_each(|_| assert!(fleet.failed(node, now) || fleet.state(node).is_some()));
        }
        assert!(fleet.choose(&at(1, 0)).is_some(), "{balancer:?}: where all rest, all are used");
    }
}

#[test]
fn the_least_loaded_for_its_weight_is_taken() {
    let fleet = fleet_of(Balancer::LeastConn, false, &[(3, 0), (1, 0)]);
    let now = Instant::now();
    let mut counts = [0_u32; 2];
    let mut flights = Vec::new();
    for _ in 0..40 {
        let node = choose(&fleet, &[]).unwrap();
        flights.push(fleet.begin(node, now).unwrap());
        counts[node] += 1;
    }
    assert_eq!(counts, [30, 10]);
    drop(flights);
    let equal = fleet_of(Balancer::LeastConn, false, &[(1, 0), (1, 0), (1, 0)]);
    let mut counts = [0_u32; 3];
    (0..30).for_each(|_| counts[choose(&equal, &[]).unwrap()] += 1);
    assert_eq!(counts, [10, 10, 10], "of idle nodes not always the first");
}

#[test]
fn the_faster_of_two_is_taken() {
    let fleet = fleet_of(Balancer::Ewma, false, &[(1, 0), (1, 0), (1, 0)]);
    let now = Instant::now();
    for (node, millis) in [(0, 500), (1, 10), (2, 100)] {
        fleet.begin(node, now).unwrap().answered(now + Duration::from_millis(millis));
    }
    let mut counts = [0_u32; 3];
    for _ in 0..3000 {
        counts[fleet.choose(&Pick { place: 0, tried: &[], now: now + Duration::from_secs(1) }).unwrap()] += 1;
    }
    assert_eq!(counts[0], 0, "the slowest never wins against another");
    assert!(counts[1] > 1800 && counts[2] > 800, "{counts:?}");
    let fresh = fleet_of(Balancer::Ewma, false, &[(1, 0), (1, 0)]);
    let first = (0..1000).filter(|_| choose(&fresh, &[]) == Some(0)).count();
    assert!((300..700).contains(&first), "{first}");
}

#[test]
fn what_was_taken_survives_a_new_list_of_nodes() {
    let taken = Arc::new(Taken::default());
    let state = Arc::new(NodeState::default());
    let make = |weights: [u32; 2]| {
        Fleet::of(Made {
            version: 0,
            nodes: weights
                .into_iter()
                .zip(NAMES)
                .map(|(weight, name)| Node { host: name.to_owned(), port: None, weight, priority: 0 })
                .collect(),
            port: 80,
            balancer: Balancer::Roundrobin,
            checked: false,
            state: &mut |_| Arc::clone(&state),
            taken: &mut |_| Arc::clone(&taken),
        })
    };
    assert_eq!(choose(&make([1, 1]), &[]), Some(0));
    assert_eq!(choose(&make([1, 1]), &[]), Some(1));
}

proptest::proptest! {
    #[test]
    fn every_node_gets_exactly_its_weight_and_never_runs_ahead(weights in prop::collection::vec(0_u32..40, 2..9)) {
        let written: Vec<(u32, i64)> = weights.iter().map(|weight| (*weight, 0)).collect();
        let fleet = turns(&written);
        let all: u32 = weights.iter().sum();
        let mut had = vec![0_u32; weights.len()];
        for turn in 1..=all {
            let node = choose(&fleet, &[]).unwrap();
            had[node] += 1;
            // Each halving may be one turn off; nothing is off by more than the number of halvings.
            let due = f64::from(turn) * f64::from(weights[node]) / f64::from(all);
            proptest::prop_assert!((f64::from(had[node]) - due).abs() <= 4.0, "turn {turn}: {had:?} of {weights:?}");
        }
        proptest::prop_assert_eq!(had, weights);
    }

    #[test]
    fn a_try_never_meets_a_tried_node(weights in prop::collection::vec((0_u32..3, -1_i64..2), 0..7).prop_map(|w| w), seed in 0_u64..50, way in 0_usize..4) {
        let balancer = [Balancer::Roundrobin, Balancer::Chash, Balancer::LeastConn, Balancer::Ewma][way];
        let fleet = fleet_of(balancer, false, &weights);
        for _ in 0..seed {
            let _ = choose(&fleet, &[]);
        }
        let mut tried = Vec::new();
        while let Some(node) = choose(&fleet, &tried) {
            proptest::prop_assert!(!tried.contains(&node) && weights[node].0 > 0);
            tried.push(node);
        }
        proptest::prop_assert_eq!(tried.len(), fleet.tries(None));
    }

    #[test]
    fn no_combination_of_weights_and_health_panics(weights in prop::collection::vec((0_u32..=u32::MAX, i64::MIN..=i64::MAX), 0..6), bad in prop::collection::vec(0_usize..6, 0..6), place in 0_u32..=u32::MAX, way in 0_usize..4) {
        let balancer = [Balancer::Roundrobin, Balancer::Chash, Balancer::LeastConn, Balancer::Ewma][way];
        let fleet = fleet_of(balancer, true, &weights);
        for node in bad {
            if fleet.state(node).is_some() {
                down(&fleet, node);
            }
        }
        let chosen = fleet.choose(&Pick { place, tried: &[], now: Instant::now() });
        proptest::prop_assert_eq!(chosen.is_some(), weights.iter().any(|(weight, _)| *weight > 0));
    }
}
