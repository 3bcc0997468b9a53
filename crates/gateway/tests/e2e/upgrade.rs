//! A server that is handed over to a new program while clients of every kind go on: none of them notices.

mod crowd;
mod moved;
mod process;

use std::io::{Read as _, Write as _};
use std::net::{TcpStream, UdpSocket};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Origin, eventually};
use crowd::Crowd;
use process::Handed;

/// How often the long form of the test upgrades; the short one does it three times.
fn rounds() -> usize {
    std::env::var("USHER_TORTURE_UPGRADES").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(3)
}

fn stream_upstream(address: std::net::SocketAddr, scheme: &str) -> Value {
    json!({ "type": "roundrobin", "scheme": scheme, "nodes": { address.to_string(): 1 } })
}

/// Gives back what comes, over TCP and over UDP.
fn echoes() -> (std::net::SocketAddr, std::net::SocketAddr) {
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let addresses = (tcp.local_addr().unwrap(), udp.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in tcp.incoming().flatten() {
            std::thread::spawn(move || {
                let (mut reader, mut writer) = (stream.try_clone().unwrap(), stream);
                // The end of either side is its end.
                let _ = std::io::copy(&mut reader, &mut writer);
            });
        }
    });
    std::thread::spawn(move || {
        let mut buffer = [0; 2048];
        while let Ok((length, from)) = udp.recv_from(&mut buffer) {
            udp.send_to(&buffer[..length], from).unwrap();
        }
    });
    addresses
}

#[test]
fn no_client_notices_an_upgrade_whatever_the_number_of_workers() {
    let origin = Origin::start("a");
    let (tcp, udp) = echoes();
    let mut usher = Handed::start(1, &["--stream-tcp", "127.0.0.1:0", "--stream-udp", "127.0.0.1:0"]);
    usher.put("/routes/all", &json!({ "uri": "/*", "upstream": origin.upstream() }));
    usher.put(
        "/stream_routes/tcp",
        &json!({ "server_port": usher.address("stream").port(), "upstream": stream_upstream(tcp, "tcp") }),
    );
    usher.put(
        "/stream_routes/udp",
        &json!({ "server_port": usher.address("stream_udp").port(), "upstream": stream_upstream(udp, "udp") }),
    );

    let crowd = Crowd::start(&usher);
    // A connection of streams outlives the process that serves it being the one that listens.
    let mut tunnel = TcpStream::connect(usher.address("stream")).unwrap();
    tunnel.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    // A request whose body comes in two halves, an upgrade between them.
    let mut halves = TcpStream::connect(usher.address("proxy")).unwrap();
    halves.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    halves
        .write_all(
            b"POST /halves HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\nContent-Length: 10\r\n\r\nfirst",
        )
        .unwrap();
    for round in 0..rounds() {
        crowd.goes_on();
        // 1 -> 2 -> 1 -> 3 -> 1 -> ...
        let workers = if round % 2 == 0 { 2 + round % 3 } else { 1 };
        usher.configure(workers);
        let before = usher.process();
        usher.upgrade();
        assert_ne!(usher.process(), before);
        tunnel.write_all(b"still here").unwrap();
        let mut echoed = [0; 10];
        tunnel.read_exact(&mut echoed).unwrap();
        assert_eq!(&echoed, b"still here");
        if round == 0 {
            halves.write_all(b"other").unwrap();
            let mut answer = String::new();
            halves.read_to_string(&mut answer).unwrap();
            assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("firstother"), "{answer}");
        }
    }
    crowd.goes_on();
    let written = crowd.stop();
    drop(tunnel);
    // Every write that was acknowledged is there, whichever process took it.
    let all = usher.admin("GET", "/services", None).json();
    let mut there: Vec<String> = all["list"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["value"]["id"].as_str().unwrap().to_owned())
        .collect();
    let mut wanted: Vec<String> = (0..written).map(|at| at.to_string()).collect();
    there.sort();
    wanted.sort();
    assert_eq!(there, wanted);
    eventually("all processes but one have ended", || usher.earlier_have_ended());
}

#[test]
fn a_program_that_can_not_take_over_leaves_the_old_one_serving() {
    let origin = Origin::start("a");
    let mut usher = Handed::start(2, &[]);
    usher.put("/routes/all", &json!({ "uri": "/*", "upstream": origin.upstream() }));
    let process = usher.process();
    let refused = |usher: &Handed, why: &str| {
        let times = usher.log().matches("did not take over").count();
        usher.signal("-USR2");
        eventually(why, || usher.log().matches("did not take over").count() == times + 1);
        let log = usher.log();
        let line = log.lines().rev().find(|line| line.contains("did not take over")).unwrap();
        assert!(line.contains(why), "{line}");
    };

    usher.replace_program("#!/bin/sh\nexit 7\n");
    refused(&usher, "exit status: 7");
    usher.replace_program("no program\n");
    refused(&usher, "could not start");
    // A newer program that finds its settings wrong, and one that can't listen where they say.
    usher.restore_program();
    usher.write_settings("nonsense: 1\n");
    refused(&usher, "nonsense is not a setting");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap();
    usher.write_settings(&format!("listen: {{ status: ['{taken}'] }}\n"));
    refused(&usher, &format!("port {} on 127.0.0.1 is taken", taken.port()));
    // What fails behind the store's change of hands: its keyring is gone.
    usher.configure(2);
    let keyring = usher.data().join("keyring.key");
    let aside = usher.data().join("aside");
    std::fs::rename(&keyring, &aside).unwrap();
    refused(&usher, "keyring.key is missing");
    std::fs::rename(&aside, &keyring).unwrap();

    assert_eq!(usher.process(), process);
    assert_eq!(usher.get("/still"), 200);
    usher.put("/routes/more", &json!({ "uri": "/more", "upstream": origin.upstream() }));
    // And then it works.
    usher.upgrade();
    assert_ne!(usher.process(), process);
    assert_eq!(usher.admin("GET", "/routes/more", None).status, 200);
    assert_eq!(usher.get("/still"), 200);
}

#[test]
fn a_store_in_memory_is_not_given_up_for_an_upgrade() {
    let usher = Handed::start(1, &["--store", "memory"]);
    usher.put("/services/1", &json!({ "name": "kept" }));
    usher.signal("-USR2");
    eventually("it is refused", || usher.log().contains("did not take over"));
    assert!(usher.log().contains("it is in memory, which ends with this process"));
    assert_eq!(usher.admin("GET", "/services/1", None).status, 200);
    usher.put("/services/2", &json!({ "name": "taken" }));
}

#[test]
fn systemd_is_told_of_the_start_the_new_process_and_the_end() {
    let mut usher = Handed::start_notifying();
    assert_eq!(usher.notified(), "READY=1\n");
    usher.signal("-HUP");
    assert!(usher.notified().starts_with("RELOADING=1\nMONOTONIC_USEC="));
    assert_eq!(usher.notified(), "READY=1\n");
    usher.upgrade();
    assert_eq!(usher.notified(), format!("MAINPID={}\n", usher.process()));
    assert_eq!(usher.notified(), "READY=1\n");
    usher.signal("-TERM");
    assert_eq!(usher.notified(), "STOPPING=1\n");
    eventually("all have ended", || usher.all_have_ended());
}
