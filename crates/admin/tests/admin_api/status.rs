//! The status API: alive from the first moment, ready when the configuration is in force, and no longer when told to stop (contract, section
//! 11).

use std::sync::Arc;

use serde_json::{Value, json};
use usher_admin::status::{Readiness, router};

use crate::bench::{Bench, send};
use crate::fakes::FakeLive;

#[tokio::test]
async fn readiness_follows_the_server() {
    let bench = Bench::new().await;
    let readiness = Arc::new(Readiness::default());
    let router = router(Arc::clone(&readiness), vec!["127.0.0.1:7085".to_owned()], "Usher/test");
    let own = [("host", "127.0.0.1:7085")];
    let waits = "worker id: 0 has not received configuration";
    let live = || Arc::new(FakeLive(Arc::clone(&bench.moods)));
    let steps: [(&str, &dyn Fn()); 4] = [
        (waits, &|| {}),
        // The stand-in serves by revision 0 for ever.
        (waits, &|| readiness.serves(live(), 1)),
        ("", &|| readiness.serves(live(), 0)),
        ("the server is stopping", &|| readiness.stops()),
    ];
    for (why, step) in steps {
        step();
        let alive = send(&router, "GET", "/status", &own, Value::Null).await;
        assert_eq!((alive.status, alive.json()), (200, json!({ "status": "ok" })), "{why}");
        let ready = send(&router, "GET", "/status/ready", &own, Value::Null).await;
        if why.is_empty() {
            assert_eq!((ready.status, ready.json()), (200, json!({ "status": "ok" })));
        } else {
            assert_eq!((ready.status, ready.json()), (503, json!({ "status": "error", "error": why })));
        }
    }
    for (method, path, headers, status) in [
        ("HEAD", "/status", &own, 200),
        ("POST", "/status", &own, 404),
        ("GET", "/statusx", &own, 404),
        ("GET", "/status", &[("host", "evil.test")], 421),
    ] {
        assert_eq!(send(&router, method, path, headers, Value::Null).await.status, status, "{method} {path}");
    }
}
