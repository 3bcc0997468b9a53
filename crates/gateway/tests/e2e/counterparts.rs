//! Plugins whose counterpart is away, silent, or lies: clients get the answer that the manual states, in time, and never a 200 by accident.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::stated::COUNTERPARTS;
use crate::support::{Origin, Usher, request};

/// The longest that a client may wait for any of these answers.
const LONGEST: Duration = Duration::from_secs(8);

/// A server that treats every connection like this; its port.
fn server(treat: fn(TcpStream)) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || treat(stream));
        }
    });
    port
}

/// Takes whatever comes, and says nothing.
fn silent(mut stream: TcpStream) {
    let mut room = [0; 4096];
    while stream.read(&mut room).is_ok_and(|count| count > 0) {}
}

fn garbage(mut stream: TcpStream) {
    let mut room = [0; 4096];
    let _ = stream.read(&mut room);
    let _ = stream.write_all(b"\x7f\x00\xffnonsense\r\n+OK\r\n\x30\x84\xff\xff\xff\xff\r\n\r\n");
}

fn nonsense(mut stream: TcpStream) {
    let mut room = [0; 65536];
    while stream.read(&mut room).is_ok_and(|count| count > 0) {
        let answer =
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n[nonsense]";
        if stream.write_all(answer.as_bytes()).is_err() {
            break;
        }
    }
}

#[test]
fn a_counterpart_that_fails_costs_the_stated_answer() {
    let origin = Origin::start("a");
    let usher = Usher::start(&[]);
    let away = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let ports = [away, server(silent), server(garbage), server(nonsense)];
    let mut asked = Vec::new();
    for (at, one) in COUNTERPARTS.iter().enumerate() {
        let wanted = [Some(one.away), Some(one.silent), Some(one.garbage), one.nonsense];
        for (manner, (port, wanted)) in ports.into_iter().zip(wanted).enumerate() {
            let Some(wanted) = wanted else { continue };
            let body: Value = serde_json::from_str(&one.body.replace("PORT", &port.to_string())).unwrap();
            let path = format!("/{}/{at}/{manner}", one.plugin);
            let route =
                json!({ "uri": path, "plugins": { one.plugin: body }, "upstream": origin.upstream() });
            usher.put(&format!("/routes/r{at}-{manner}"), &route);
            asked.push((one, path, wanted));
        }
    }
    let proxy = usher.address("proxy");
    let problems: Vec<String> = std::thread::scope(|scope| {
        let asking: Vec<_> = asked
            .iter()
            .map(|(one, path, wanted)| {
                scope.spawn(move || {
                    let start = Instant::now();
                    let method = if one.request_body.is_empty() { "GET" } else { "POST" };
                    let answer = request(proxy, method, path, one.fields, one.request_body.as_bytes());
                    let took = start.elapsed();
                    let by_origin = answer.text().contains("\"origin\":\"a\"");
                    let wrong = answer.status != *wanted || by_origin != (*wanted == 200) || took > LONGEST;
                    wrong.then(|| {
                        format!(
                            "{path} ({}): {} after {took:?}, wanted {wanted}: {:.200}",
                            one.calls,
                            answer.status,
                            answer.text()
                        )
                    })
                })
            })
            .collect();
        asking.into_iter().filter_map(|one| one.join().unwrap()).collect()
    });
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}
