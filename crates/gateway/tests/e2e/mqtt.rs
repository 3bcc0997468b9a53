//! MQTT on stream routes: Debian's mosquitto behind the real binary, and scripted brokers that see each byte.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Usher, eventually};

/// Debian's broker; killed when dropped.
struct Broker {
    process: Child,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Broker {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let settings = folder.path().join("mosquitto.conf");
        let lines =
            format!("listener {} 127.0.0.1\nallow_anonymous true\npersistence false\n", address.port());
        std::fs::write(&settings, lines).unwrap();
        let process = Command::new("/usr/sbin/mosquitto")
            .args(["-c", settings.to_str().unwrap()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("mosquitto, which `cargo xtask` installs");
        eventually("the broker listens", || TcpStream::connect(address).is_ok());
        Self { process, address, _folder: folder }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A client of Debian's, with what it writes.
fn client(program: &str, to: SocketAddr, words: &[&str]) -> (bool, String) {
    let port = to.port().to_string();
    let output =
        Command::new(program).args(["-h", "127.0.0.1", "-p", &port, "-t", "t"]).args(words).output().unwrap();
    (output.status.success(), String::from_utf8(output.stdout).unwrap())
}

fn route(usher: &Usher, plugin: Value, upstream: Value) {
    usher.put("/stream_routes/1", &json!({ "plugins": { "mqtt-proxy": plugin }, "upstream": upstream }));
}

fn logging(log: &Path) -> Usher {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    Usher::start_logging(folder, &["--store", "memory", "--stream-tcp", "127.0.0.1:0"], log)
}

#[test]
fn clients_of_a_real_broker_speak_through_it_in_the_version_that_is_asked_for() {
    let broker = Broker::start();
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let usher = logging(&log);
    let to = usher.address("stream");
    let upstream =
        json!({ "type": "roundrobin", "scheme": "tcp", "nodes": { broker.address.to_string(): 1 } });
    for (level, version, other) in [(4, "311", "5"), (5, "5", "311")] {
        route(&usher, json!({ "protocol_name": "MQTT", "protocol_level": level }), upstream.clone());
        // Kept by the broker, so that it doesn't matter who is first.
        let said = format!("hello by {version}");
        let sent = client("mosquitto_pub", to, &["-V", version, "-i", "pub", "-r", "-q", "1", "-m", &said]);
        assert_eq!(sent, (true, String::new()));
        let heard =
            client("mosquitto_sub", to, &["-V", version, "-i", "sub", "-C", "1", "-q", "1", "-W", "20"]);
        assert_eq!(heard, (true, format!("{said}\n")));
        let (taken, _) = client("mosquitto_pub", to, &["-V", other, "-i", "other", "-m", "no"]);
        assert!(!taken, "a client of version {other} is let in where {level} is asked for");
    }
    eventually("the reasons are told", || {
        let text = std::fs::read_to_string(&log).unwrap();
        text.contains("protocol_level is 4, and the client says 5")
            && text.contains("protocol_level is 5, and the client says 4")
    });
}

/// A broker that answers a letter and all that it was sent, once its client has said that it sends no more.
fn scripted(letter: u8) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut all = vec![letter];
                let _ = stream.read_to_end(&mut all);
                let _ = stream.write_all(&all);
            });
        }
    });
    address
}

/// What comes back of these pieces, each sent by itself.
fn talk(to: SocketAddr, pieces: &[&[u8]]) -> Vec<u8> {
    let mut stream = TcpStream::connect(to).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    for piece in pieces {
        let _ = stream.write_all(piece);
    }
    let _ = stream.shutdown(Shutdown::Write);
    let mut all = Vec::new();
    let _ = stream.read_to_end(&mut all);
    all
}

/// CONNECT of MQTT 5 with this identifier, and a PUBLISH behind it.
fn connect(id: &str) -> Vec<u8> {
    let properties = b"\x08\x11\0\0\0\x0a\x21\0\x14";
    let mut body = [&b"\0\x04MQTT\x05\x02\0\x3c"[..], properties].concat();
    body.extend(u16::try_from(id.len()).unwrap().to_be_bytes());
    body.extend(id.as_bytes());
    let length = u8::try_from(body.len()).unwrap();
    [&[0x10, length][..], &body, b"\x30\x06\0\x01t\0xy"].concat()
}

#[test]
fn a_client_comes_to_the_same_node_each_time_and_each_byte_with_it() {
    let usher = Usher::start(&["--store", "memory", "--stream-tcp", "127.0.0.1:0"]);
    let to = usher.address("stream");
    let nodes = [b'a', b'b', b'c'].map(|letter| (scripted(letter).to_string(), json!(1)));
    let nodes: Value = serde_json::Map::from_iter(nodes).into();
    let upstream = json!({ "type": "chash", "key": "mqtt_client_id", "scheme": "tcp", "nodes": nodes });
    route(&usher, json!({ "protocol_level": 5 }), upstream);
    let mut used = BTreeSet::new();
    for at in 0..40 {
        let said = connect(&format!("sensor-{at}"));
        let first = talk(to, &[&said]);
        assert_eq!(first[1..], said);
        assert_eq!(talk(to, &[&said]), first, "sensor-{at}");
        used.insert(first[0]);
    }
    assert_eq!(used, BTreeSet::from([b'a', b'b', b'c']), "forty clients are spread over all nodes");
    let said = connect("sensor-0");
    let whole = talk(to, &[&said]);
    for cut in 1..said.len() {
        assert_eq!(talk(to, &[&said[..cut], &said[cut..]]), whole, "cut at {cut}");
    }
    let bytes: Vec<&[u8]> = said.chunks(1).collect();
    assert_eq!(talk(to, &bytes), whole);
    // Rules over connections may go by the identifier as well.
    let other = scripted(b'o');
    let rule = json!([{
        "match": [{ "vars": [["mqtt_client_id", "~~", "^gate-"]] }],
        "weighted_upstreams": [{ "upstream": { "type": "roundrobin", "scheme": "tcp", "nodes": { other.to_string(): 1 } } }],
    }]);
    let plugins = json!({ "mqtt-proxy": { "protocol_level": 5 }, "traffic-split": { "rules": rule } });
    let own = json!({ "type": "roundrobin", "scheme": "tcp", "nodes": { scripted(b'w').to_string(): 1 } });
    usher.put("/stream_routes/1", &json!({ "plugins": plugins, "upstream": own }));
    assert_eq!((talk(to, &[&connect("gate-1")])[0], talk(to, &[&connect("sensor")])[0]), (b'o', b'w'));
}

#[test]
fn who_says_something_else_is_closed_and_the_log_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let usher = logging(&log);
    let to = usher.address("stream");
    let upstream =
        json!({ "type": "roundrobin", "scheme": "tcp", "nodes": { scripted(b'a').to_string(): 1 } });
    route(&usher, json!({ "protocol_level": 5 }), upstream);
    let endless = [&b"\x10\xff\xff\x7f\0\x04MQTT\x05\x02\0\x3c\x80\x80\x08"[..], &[0; 200_000]].concat();
    for (said, reason) in [
        (&b"GET / HTTP/1.1\r\n\r\n"[..], "an MQTT client begins with the byte 0x10, this one with 0x47"),
        (b"\x10\x0e\0\x06MQIsdp\x03\x02\0\x3c\0\0", "and the client says \\\"MQIsdp\\\""),
        (b"\x10\x0c\0\x04MQTT\x04\x02\0\x3c\0\0", "protocol_level is 5, and the client says 4"),
        (&connect("sensor")[..20], "the client ended it before it had said enough"),
        (&endless, "more than 16384 are not read ahead"),
    ] {
        assert_eq!(talk(to, &[said]), b"", "{reason}");
        eventually(reason, || {
            let text = std::fs::read_to_string(&log).unwrap();
            text.contains(reason) || text.contains(&reason.replace("\\\"", "\""))
        });
    }
    assert_eq!(talk(to, &[&connect("sensor")])[0], b'a');
    // On requests there is nothing for it to do.
    let body = json!({ "uri": "/*", "plugins": { "mqtt-proxy": { "protocol_level": 5 } } });
    let refused = usher.admin("PUT", "/routes/1", Some(&body));
    assert_eq!(refused.status, 400);
    assert!(refused.text().contains("put it into a stream route"), "{}", refused.text());
    for (subsystem, there) in [("http", false), ("stream", true)] {
        let list = usher.admin("GET", &format!("/plugins/list?subsystem={subsystem}"), None).json();
        assert_eq!(list.as_array().unwrap().contains(&json!("mqtt-proxy")), there, "{subsystem}");
    }
}
