//! Mutated requests through the gateway to origin servers of others: all of them see the same requests, as many, with the same method, path and
//! body. Where two servers read the same bytes differently, requests are smuggled; what the gateway lets through has to leave no room for that.

mod mutate;
mod servers;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::json;

use crate::support::{Usher, eventually, request};
use mutate::Mutations;
use servers::{Seen, Server};

/// How many mutated requests there are; the long form of the test asks for more.
fn count() -> usize {
    std::env::var("USHER_TORTURE_MUTATIONS").ok().and_then(|count| count.parse().ok()).unwrap_or(120)
}

/// Sends bytes, says that nothing follows, and waits until the gateway has closed too.
fn play(to: SocketAddr, bytes: &[u8]) {
    let mut stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    // The gateway may have refused, and closed, before all is sent.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut answers = Vec::new();
    match stream.read_to_end(&mut answers) {
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
            panic!("neither answered nor closed: {:?}", String::from_utf8_lossy(bytes))
        }
        _ => {}
    }
}

/// What was seen for each case: up to its marker.
fn by_case(seen: &[Seen]) -> Vec<Vec<&Seen>> {
    let mut cases = Vec::new();
    let mut case = Vec::new();
    for one in seen {
        if one.is_for(&format!("/marker/{}", cases.len())) {
            cases.push(std::mem::take(&mut case));
        } else {
            case.push(one);
        }
    }
    cases
}

#[test]
fn servers_of_others_see_the_same_requests_behind_it() {
    let folder = tempfile::tempdir().unwrap();
    let servers = Server::all(folder.path());
    let listens: Vec<String> = (0..servers.len()).map(|at| format!("127.0.0.{}:0", at + 10)).collect();
    let mut words: Vec<&str> = Vec::new();
    for listen in &listens {
        words.extend(["--proxy-listen", listen]);
    }
    let usher = Usher::start(&words);
    // The first is that of every test.
    let ways: Vec<SocketAddr> = usher.addresses["proxy"].as_array().unwrap()[1..]
        .iter()
        .map(|address| address.as_str().unwrap().parse().unwrap())
        .collect();
    assert_eq!(ways.len(), servers.len());
    for (at, (server, way)) in servers.iter().zip(&ways).enumerate() {
        let upstream = json!({
            "type": "roundrobin", "nodes": { server.address.to_string(): 1 }, "retries": 0, "pass_host": "pass",
        });
        let vars = json!([["server_port", "==", way.port().to_string()]]);
        usher.put(&format!("/routes/{at}"), &json!({ "uri": "/*", "vars": vars, "upstream": upstream }));
    }
    let mutations = Mutations::new(0x5eed);
    let cases: Vec<Vec<u8>> = mutations.take(count()).collect();
    std::thread::scope(|scope| {
        for way in &ways {
            let cases = &cases;
            scope.spawn(move || {
                for (at, case) in cases.iter().enumerate() {
                    play(*way, case);
                    let marker = request(*way, "GET", &format!("/marker/{at}"), &[("Host", "a.test")], b"");
                    assert_eq!(marker.status, 200, "behind case {at}");
                }
            });
        }
    });
    let last = format!("/marker/{}", cases.len() - 1);
    let all: Vec<Vec<Seen>> = servers
        .iter()
        .map(|server| {
            eventually("the last request is in the log", || {
                server.seen().iter().any(|seen| seen.is_for(&last))
            });
            server.seen()
        })
        .collect();
    // The recorder takes everything; whatever another server saw for a case, it saw too, and in that order.
    let (recorder, others) = all.split_first().unwrap();
    // A marker each, and what was let through of the cases.
    let passed = recorder.len() - cases.len();
    assert!(
        passed > cases.len() / 5,
        "{passed} requests of {} cases passed: too few to compare",
        cases.len()
    );
    let mut wrong = Vec::new();
    let recorded = by_case(recorder);
    for (server, seen) in servers.iter().skip(1).zip(others) {
        let refused = seen.iter().filter(|one| one.refused).count();
        let mut missing = 0;
        for ((case, recorded), seen) in cases.iter().zip(&recorded).zip(by_case(seen)) {
            let taken: Vec<&&Seen> = seen.iter().filter(|one| !one.refused).collect();
            let mut rest = recorded.iter();
            missing += recorded.len().saturating_sub(taken.len());
            let odd = taken.iter().position(|one| !rest.any(|recorded| recorded.is_same(one)));
            // HAProxy takes what it has of a body that was cut for the whole; its client is gone by then, and so is the connection.
            let odd = odd.filter(|odd| server.name != "haproxy" || odd + 1 < taken.len());
            if let Some(odd) = odd.and_then(|odd| taken.get(odd)) {
                let case = String::from_utf8_lossy(case);
                let recorded: Vec<String> = recorded.iter().map(ToString::to_string).collect();
                wrong.push(format!("{} saw {odd} instead of {recorded:?} for {case:?}", server.name));
            }
        }
        if missing > refused {
            wrong.push(format!("{} lacks {missing} requests and has refused {refused}", server.name));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
