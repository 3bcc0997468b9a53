//! Listeners behind load balancers: the client's address is the one that the PROXY protocol tells, and nobody else's word.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::json;
use usher_proxy::options::{BehindBalancer, Options, Tls};

use crate::origin::Origin;
use crate::support::{Client, Gateway, options};

fn behind() -> Options {
    let behind_balancer =
        BehindBalancer { listen: vec!["127.0.0.1:0".parse().unwrap()], ..BehindBalancer::default() };
    let tls = Tls { handshake: Duration::from_millis(500), ..Tls::default() };
    Options { behind_balancer, tls, ..options() }
}

fn start(options: Options) -> (Gateway, SocketAddr, Origin) {
    let origin = Origin::fixed("hello");
    let route = json!({ "uri": "/*", "upstream": origin.upstream() });
    let gateway = Gateway::start_with(options, &[("routes/1", route)]);
    let address = gateway.balanced.unwrap();
    (gateway, address, origin)
}

fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [b"\r\n\r\n\0\r\nQUIT\n".as_slice(), &[command, family], &length, rest].concat()
}

const FOUR: [u8; 12] = [10, 1, 2, 3, 10, 0, 0, 1, 0x11, 0x5c, 0, 80];

#[test]
fn the_address_is_the_one_that_the_balancer_tells() {
    let (gateway, address, origin) = start(behind());
    for (header, wanted) in [
        (b"PROXY TCP4 10.1.2.3 10.0.0.1 4444 80\r\n".to_vec(), "10.1.2.3"),
        (b"PROXY TCP6 2001:db8::7 2001:db8::1 4444 80\r\n".to_vec(), "2001:db8::7"),
        (b"PROXY UNKNOWN\r\n".to_vec(), "127.0.0.1"),
        (v2(0x21, 0x11, &FOUR), "10.1.2.3"),
        (v2(0x20, 0x00, b""), "127.0.0.1"),
        (v2(0x21, 0x11, &[&FOUR[..], &[0xea, 0, 3, 1, 2, 3]].concat()), "10.1.2.3"),
    ] {
        for slowly in [false, true] {
            let mut client = Client::connect(address);
            if slowly {
                header.iter().for_each(|byte| client.write([*byte]));
            } else {
                client.write(&header);
            }
            for _ in 0..2 {
                client.request("GET", "/", "", b"");
                assert_eq!(client.answer().unwrap().status, 200);
                let seen = origin.last();
                assert_eq!(
                    (seen.field("x-real-ip"), seen.field("x-forwarded-for")),
                    (Some(wanted), Some(wanted))
                );
            }
        }
    }
    // Whoever comes to the ordinary listener isn't believed.
    let mut client = gateway.connect();
    client.write("PROXY TCP4 10.1.2.3 10.0.0.1 4444 80\r\n");
    client.request("GET", "/", "", b"");
    assert_eq!(client.answer().unwrap().status, 400);
}

#[test]
fn a_connection_without_the_header_is_closed_without_a_word() {
    let (_gateway, address, origin) = start(behind());
    for bytes in [
        b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n".to_vec(),
        b"PROXY TCP4 10.1.2.3 10.0.0.1 4444 80\nGET / HTTP/1.1\r\nHost: a.test\r\n\r\n".to_vec(),
        format!("PROXY UNKNOWN {}", "x".repeat(200)).into_bytes(),
        v2(0x21, 0x11, &FOUR[..8]),
        v2(0x21, 0x11, &vec![0; 60_000]),
        // Nothing more comes.
        b"PROXY TCP4".to_vec(),
        Vec::new(),
    ] {
        let mut client = Client::connect(address);
        let _ = std::io::Write::write_all(&mut client.stream, &bytes);
        assert!(client.is_closed(), "{:?}", String::from_utf8_lossy(&bytes));
    }
    assert_eq!(origin.seen().len(), 0);
}
