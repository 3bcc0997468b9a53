//! Listeners that come and go while the server runs, when its settings are read anew.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use serde_json::json;

use super::process::Handed;
use super::{echoes, stream_upstream};
use crate::support::{Origin, eventually, request};

/// A connection that is kept; says of each answer whether it is the last one.
struct Kept(BufReader<TcpStream>);

impl Kept {
    fn new(to: SocketAddr) -> Self {
        let stream = TcpStream::connect(to).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        Self(BufReader::new(stream))
    }

    fn is_last(&mut self) -> bool {
        self.0.get_mut().write_all(b"GET /kept HTTP/1.1\r\nHost: a.test\r\n\r\n").unwrap();
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(self.0.read_line(&mut head).unwrap(), 0, "{head:?}");
        }
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        let lower = head.to_ascii_lowercase();
        let length = lower.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        self.0.read_exact(&mut vec![0; length.parse().unwrap()]).unwrap();
        lower.contains("connection: close")
    }
}

fn settings(proxy: &[&str], tcp: &str) -> String {
    format!(
        "workers: 2\nlisten: {{ proxy: {proxy:?} }}\napisix:\n  proxy_mode: http&stream\n  stream_proxy: {{ tcp: ['{tcp}'] }}\n"
    )
}

/// Reads the settings anew, and waits for what the log says of it.
fn reload(usher: &Handed, yaml: &str, says: &str) -> String {
    let before = usher.log().matches(says).count();
    usher.write_settings(yaml);
    usher.signal("-HUP");
    eventually(says, || usher.log().matches(says).count() > before);
    usher.log().lines().rev().find(|line| line.contains(says)).unwrap().to_owned()
}

/// The address that a line of the log names behind this word.
fn named(line: &str, word: &str) -> SocketAddr {
    let rest = line.split_once(&format!("{word}=[")).unwrap().1;
    rest.split_once(']').unwrap().0.parse().unwrap_or_else(|error| panic!("{error}: {line}"))
}

const MOVED: &str = "the gateway listens elsewhere now";

#[test]
fn listeners_come_and_go_while_others_are_untouched() {
    let origin = Origin::start("a");
    let (tcp, _) = echoes();
    let mut usher = Handed::start_by(&settings(&["127.0.0.1:0", "127.0.0.2:0"], "127.0.0.9:0"));
    usher.put("/routes/all", &json!({ "uri": "/*", "upstream": origin.upstream() }));
    usher.put("/stream_routes/tcp", &json!({ "upstream": stream_upstream(tcp, "tcp") }));
    let [first, second] = [0, 1].map(|at| usher.address_of("proxy", at));
    let (mut stays, mut ends) = (Kept::new(first), Kept::new(second));
    assert!(!stays.is_last() && !ends.is_last());

    let line = reload(&usher, &settings(&["127.0.0.1:0", "127.0.0.3:0"], "127.0.0.9:0"), MOVED);
    let third = named(&line, "opened");
    assert_eq!(named(&line, "closed"), second);
    assert!(!stays.is_last());
    assert!(ends.is_last(), "its way in is closed");
    eventually("nobody listens there", || TcpStream::connect(second).is_err());
    for _ in 0..4 {
        assert_eq!(request(third, "GET", "/new", &[], b"").status, 200);
    }

    // An address that somebody else has changes nothing of anything.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap();
    let wrong = settings(&["127.0.0.4:0", &taken.to_string()], "127.0.0.9:0");
    let line = reload(&usher, &wrong, "nothing changed");
    assert!(line.contains(&format!("port {} on 127.0.0.1 is taken", taken.port())), "{line}");
    assert!(!stays.is_last());
    assert_eq!(request(third, "GET", "/new", &[], b"").status, 200);

    // The same address, where something else is spoken from now on.
    reload(&usher, &settings(&["127.0.0.1:0"], "127.0.0.3:0"), MOVED);
    let mut stream = TcpStream::connect(third).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(b"GET / no HTTP").unwrap();
    let mut echoed = [0; 13];
    stream.read_exact(&mut echoed).unwrap();
    assert_eq!(&echoed, b"GET / no HTTP");

    // All of that is what an upgrade hands over.
    usher.upgrade();
    assert_eq!(request(first, "GET", "/new", &[], b"").status, 200);
    assert!(stays.is_last(), "another process listens there");
    let mut stream = TcpStream::connect(third).unwrap();
    stream.write_all(b"x").unwrap();
    stream.read_exact(&mut [0]).unwrap();
}
