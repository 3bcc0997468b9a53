//! A name server on a port of its own, over UDP and TCP, that says what a test tells it and remembers what it was asked (RFC 1035, RFC 2782).

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread;

pub(crate) const A: u16 = 1;
pub(crate) const AAAA: u16 = 28;
pub(crate) const SRV: u16 = 33;

/// One record's data.
#[derive(Clone, Debug)]
pub(crate) enum Data {
    V4(Ipv4Addr),
    V6(Ipv6Addr),
    /// Priority, weight, port, target.
    Service(u16, u16, u16, &'static str),
}

/// What is said to a question.
#[derive(Clone, Debug)]
pub(crate) enum Said {
    /// Records, with their TTL in seconds.
    Records(u32, Vec<Data>),
    /// A code alone, such as 3 for "no such name".
    Code(u8),
    /// Nothing at all.
    Silence,
    /// "Too long" over UDP, and these records over TCP.
    Long(u32, Vec<Data>),
}

type Book = Mutex<HashMap<(String, u16), Said>>;

/// A name server that runs as long as the test.
#[derive(Clone)]
pub(crate) struct NameServer {
    pub(crate) address: SocketAddr,
    book: Arc<Book>,
    asked: Arc<Mutex<Vec<(String, u16)>>>,
}

impl NameServer {
    pub(crate) fn start() -> Self {
        let (tcp, udp) = loop {
            let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
            // The same port may be taken in the other protocol.
            if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()) {
                break (tcp, udp);
            }
        };
        let server = Self { address: tcp.local_addr().unwrap(), book: Arc::default(), asked: Arc::default() };
        let on_udp = server.clone();
        thread::spawn(move || {
            let mut packet = [0; 4096];
            while let Ok((length, from)) = udp.recv_from(&mut packet) {
                if let Some(answer) = on_udp.answer(&packet[..length], false) {
                    udp.send_to(&answer, from).unwrap();
                }
            }
        });
        let on_tcp = server.clone();
        thread::spawn(move || {
            for mut stream in tcp.incoming().flatten() {
                let server = on_tcp.clone();
                thread::spawn(move || {
                    let mut length = [0; 2];
                    while stream.read_exact(&mut length).is_ok() {
                        let mut packet = vec![0; usize::from(u16::from_be_bytes(length))];
                        stream.read_exact(&mut packet).unwrap();
                        let Some(answer) = server.answer(&packet, true) else { return };
                        let length = u16::try_from(answer.len()).unwrap().to_be_bytes();
                        stream.write_all(&[length.as_slice(), &answer].concat()).unwrap();
                    }
                });
            }
        });
        server
    }

    /// What is said from now on; names nobody spoke of don't exist.
    pub(crate) fn say(&self, name: &str, kind: u16, said: Said) {
        self.book.lock().unwrap().insert((name.to_owned(), kind), said);
    }

    /// The addresses of a name, good for so long.
    pub(crate) fn addresses(&self, name: &str, seconds: u32, all: &[&str]) {
        let of = |text: &&str| match text.parse().unwrap() {
            IpAddr::V4(ip) => Data::V4(ip),
            IpAddr::V6(ip) => Data::V6(ip),
        };
        let (four, six): (Vec<_>, Vec<_>) = all.iter().map(of).partition(|data| matches!(data, Data::V4(_)));
        self.say(name, A, Said::Records(seconds, four));
        self.say(name, AAAA, Said::Records(seconds, six));
    }

    /// How often a name was asked for.
    pub(crate) fn asked(&self, name: &str, kind: u16) -> usize {
        self.asked.lock().unwrap().iter().filter(|asked| (asked.0.as_str(), asked.1) == (name, kind)).count()
    }

    fn answer(&self, packet: &[u8], over_tcp: bool) -> Option<Vec<u8>> {
        let (name, end) = name_at(packet, 12);
        let kind = u16::from_be_bytes([packet[end], packet[end + 1]]);
        self.asked.lock().unwrap().push((name.clone(), kind));
        let said = self.book.lock().unwrap().get(&(name, kind)).cloned();
        let (code, truncated, ttl, records) = match said {
            None => (3, false, 0, Vec::new()),
            Some(Said::Silence) => return None,
            Some(Said::Code(code)) => (code, false, 0, Vec::new()),
            Some(Said::Records(ttl, records)) => (0, false, ttl, records),
            Some(Said::Long(_, _)) if !over_tcp => (0, true, 0, Vec::new()),
            Some(Said::Long(ttl, records)) => (0, false, ttl, records),
        };
        let mut out = packet[..2].to_vec();
        out.extend([0x81 | if truncated { 2 } else { 0 }, 0x80 | code, 0, 1]);
        out.extend(u16::try_from(records.len()).unwrap().to_be_bytes());
        out.extend([0, 0, 0, 0]);
        out.extend(&packet[12..end + 4]);
        for record in records {
            let (kind, data) = encoded(&record);
            out.extend([0xc0, 12]);
            out.extend(kind.to_be_bytes());
            out.extend([0, 1]);
            out.extend(ttl.to_be_bytes());
            out.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
            out.extend(data);
        }
        Some(out)
    }
}

fn name_at(packet: &[u8], mut at: usize) -> (String, usize) {
    let mut labels = Vec::new();
    loop {
        let length = usize::from(packet[at]);
        at += 1;
        if length == 0 {
            return (labels.join("."), at);
        }
        labels.push(String::from_utf8_lossy(&packet[at..at + length]).to_ascii_lowercase());
        at += length;
    }
}

fn encoded(data: &Data) -> (u16, Vec<u8>) {
    match data {
        Data::V4(ip) => (A, ip.octets().to_vec()),
        Data::V6(ip) => (AAAA, ip.octets().to_vec()),
        Data::Service(priority, weight, port, target) => {
            let mut out = [priority.to_be_bytes(), weight.to_be_bytes(), port.to_be_bytes()].concat();
            for label in target.split('.') {
                out.push(u8::try_from(label.len()).unwrap());
                out.extend(label.as_bytes());
            }
            out.push(0);
            (SRV, out)
        }
    }
}
