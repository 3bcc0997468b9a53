//! Limits that hold over all workers.

use serde_json::json;

use crate::support::{Origin, Usher};

#[test]
fn exactly_ten_of_forty_requests_pass_four_workers() {
    let origin = Origin::start("a");
    let usher = Usher::start(&["--workers", "4", "--store", "memory"]);
    usher.put(
        "/routes/1",
        &json!({
            "uri": "/*",
            "plugins": { "limit-count": { "count": 10, "time_window": 60, "rejected_code": 429 } },
            "upstream": origin.upstream(),
        }),
    );
    // A connection each, so that the kernel spreads them over the workers.
    let senders: Vec<_> = (0..40)
        .map(|_| {
            let proxy = usher.address("proxy");
            std::thread::spawn(move || crate::support::request(proxy, "GET", "/x", &[], b"").status)
        })
        .collect();
    let statuses: Vec<u16> = senders.into_iter().map(|sender| sender.join().unwrap()).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 10, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 429).count(), 30, "{statuses:?}");
    assert_eq!(origin.seen(), 10);
}

#[test]
fn an_edit_elsewhere_keeps_the_count_and_an_edit_of_the_limit_restarts_it() {
    let origin = Origin::start("a");
    let usher = Usher::start(&["--store", "memory"]);
    let route = |desc: &str, count: u32| {
        json!({
            "uri": "/*", "desc": desc,
            "plugins": { "limit-count": { "count": count, "time_window": 60, "rejected_code": 429 } },
            "upstream": origin.upstream(),
        })
    };
    usher.put("/routes/1", &route("first", 2));
    let statuses =
        |usher: &Usher| [usher.get("/", &[]).status, usher.get("/", &[]).status, usher.get("/", &[]).status];
    assert_eq!(statuses(&usher), [200, 200, 429]);
    usher.put("/routes/1", &route("second", 2));
    assert_eq!(statuses(&usher), [429, 429, 429]);
    usher.put("/routes/1", &route("second", 1));
    assert_eq!(statuses(&usher), [200, 429, 429]);
    // Deleted and created anew, it is another route, also for a worker that has seen nothing of it yet.
    assert_eq!(usher.admin("DELETE", "/routes/1", None).status, 200);
    usher.put("/routes/1", &route("second", 1));
    assert_eq!(statuses(&usher), [200, 429, 429]);
}
