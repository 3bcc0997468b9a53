//! Certificates that change while clients come in: nobody is refused, and what is open lives on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use serde_json::json;

use super::authority::Authority;
use super::{client, secure, ssl};
use crate::origin::Origin;
use crate::support::Gateway;

#[test]
fn two_hundred_changes_of_a_certificate_fail_no_handshake() {
    let authority = Authority::new("root");
    let origin = Origin::fixed("hello");
    let pairs: Vec<_> = (0..8).map(|_| authority.sign(&["a.test"])).collect();
    let route = json!({ "uri": "/*", "upstream": origin.upstream() });
    let gateway =
        Gateway::start_with(secure(), &[("ssls/1", ssl(&["a.test"], &pairs[0])), ("routes/1", route)]);
    let config = Arc::new(client(&authority));
    let mut old = gateway.shake(&config, "a.test").unwrap();
    assert_eq!(old.get("a.test", "/").unwrap().status, 200);
    let (done, served) = (AtomicBool::new(false), AtomicUsize::new(0));
    let mut turn = 0;
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    assert_eq!(gateway.ask(&config, "a.test", "/").unwrap().text(), "hello");
                    served.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        // On a quick day two hundred are over before twenty handshakes are.
        while turn < 200 || (turn < 100_000 && served.load(Ordering::Relaxed) <= 20) {
            turn += 1;
            gateway.put(&[("ssls/1", ssl(&["a.test"], &pairs[turn % pairs.len()]))]);
        }
        done.store(true, Ordering::Relaxed);
    });
    assert!(served.load(Ordering::Relaxed) > 20, "{served:?}");
    assert_eq!(old.get("a.test", "/").unwrap().status, 200, "what was open lives on");
    let shown = gateway.shake(&config, "a.test").unwrap().tls().peer_certificates().unwrap()[0].clone();
    assert_eq!(shown, pairs[turn % pairs.len()].chain()[0]);
}

#[test]
fn what_can_not_be_used_leaves_what_was_served() {
    let authority = Authority::new("root");
    let pair = authority.sign(&["a.test"]);
    let gateway = Gateway::start_with(secure(), &[("ssls/1", ssl(&["a.test"], &pair))]);
    let other = authority.sign(&["a.test"]);
    let mut mismatched = ssl(&["a.test"], &pair);
    mismatched["key"] = other.key.as_str().into();
    for wrong in [
        mismatched,
        json!({ "snis": ["a.test"], "cert": "none", "key": "none" }),
        json!({ "snis": ["a.test"] }),
    ] {
        let problems = gateway.put_wrong("ssls/1", &wrong);
        assert_eq!(problems.len(), 1);
        assert!(!problems[0].contains("PRIVATE KEY"), "{problems:?}");
        assert!(gateway.shake(&Arc::new(client(&authority)), "a.test").is_ok());
    }
    gateway.put(&[("ssls/1", ssl(&["a.test"], &other))]);
    let shown = gateway.shake(&Arc::new(client(&authority)), "a.test").unwrap();
    assert_eq!(shown.tls().peer_certificates().unwrap()[0], other.chain()[0]);
}

#[test]
fn a_change_costs_what_it_changes_however_many_certificates_there_are() {
    let authority = Authority::new("root");
    let pair = authority.sign(&["a.test"]);
    let gateway = Gateway::start_with(secure(), &[("ssls/mine", ssl(&["a.test"], &pair))]);
    // The quickest of many: what others do on the machine only makes it slower.
    let change = |gateway: &Gateway| {
        let once = || {
            let start = Instant::now();
            gateway.put(&[("ssls/mine", ssl(&["a.test"], &pair))]);
            start.elapsed()
        };
        (0..40).map(|_| once()).min().unwrap()
    };
    let alone = change(&gateway);
    let keys: Vec<String> = (0..2000).map(|number| format!("ssls/{number}")).collect();
    let objects: Vec<_> = keys
        .iter()
        .enumerate()
        .map(|(number, key)| (key.as_str(), ssl(&[&format!("{number}.many.test")], &pair)))
        .collect();
    for some in objects.chunks(500) {
        gateway.put(some);
    }
    let crowded = change(&gateway);
    // Building all of them anew takes a tenth of a second and more.
    assert!(crowded < 5 * alone + std::time::Duration::from_millis(20), "{alone:?} became {crowded:?}");
    let mut config = client(&authority);
    config.enable_sni = true;
    assert!(gateway.shake(&Arc::new(config), "a.test").is_ok());
}
