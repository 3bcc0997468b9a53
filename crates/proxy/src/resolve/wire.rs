//! One question to one name server: over UDP from a port of its own, over TCP where the answer is too long for that (RFC 1035, RFC 7766).
//!
//! An answer is believed if it comes from the server's own address, to that port, with the question's random number and the question itself.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, Packet, PacketFlag, QCLASS, QTYPE, Question, RCODE, TYPE};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};

use super::dns::ServiceRecord;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// Servers of a service.
    Srv,
}

/// What an answer holds.
#[derive(Debug, Default)]
pub(super) struct Answers {
    pub(super) addresses: Vec<IpAddr>,
    pub(super) services: Vec<ServiceRecord>,
    /// The shortest time that any of it is good.
    pub(super) ttl: Duration,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Refused {
    /// There is no such name.
    Nothing,
    /// The server can't say.
    Trouble(String),
    /// The server can't be reached.
    Nobody(String),
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        Self::Nobody(error.to_string())
    }
}

/// Asks. The caller sets the time.
///
/// # Errors
/// [`Refused`].
pub(super) async fn ask(server: SocketAddr, name: &str, kind: Kind) -> Result<Answers, Refused> {
    let id = random_id()?;
    let question = encode(id, name, kind)?;
    let local: IpAddr =
        if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    // A socket for each question: the kernel gives it a port that nobody can guess, and lets in what comes from the server alone.
    let socket = UdpSocket::bind((local, 0)).await?;
    socket.connect(server).await?;
    socket.send(&question).await?;
    let mut packet = vec![0; 4096];
    loop {
        let length = socket.recv(&mut packet).await?;
        let came = packet.get(..length).unwrap_or_default();
        match decode(came, id, name, kind) {
            // Somebody else's, or an old one: the right one may still come.
            None => {}
            Some(Said::Answers(said)) => return said,
            Some(Said::TooLong) => return ask_over_tcp(server, &question, id, name, kind).await,
        }
    }
}

async fn ask_over_tcp(
    server: SocketAddr,
    question: &[u8],
    id: u16,
    name: &str,
    kind: Kind,
) -> Result<Answers, Refused> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(question.len()).unwrap_or(u16::MAX).to_be_bytes();
    stream.write_all(&[length.as_slice(), question].concat()).await?;
    let length = stream.read_u16().await?;
    let mut packet = vec![0; usize::from(length)];
    stream.read_exact(&mut packet).await?;
    match decode(&packet, id, name, kind) {
        Some(Said::Answers(said)) => said,
        _ => Err(Refused::Trouble("it answered something else over TCP".to_owned())),
    }
}

fn random_id() -> Result<u16, Refused> {
    let mut bytes = [0; 2];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| Refused::Trouble("no random numbers".to_owned()))?;
    Ok(u16::from_be_bytes(bytes))
}

fn encode(id: u16, name: &str, kind: Kind) -> Result<Vec<u8>, Refused> {
    let bad = |_| Refused::Nothing;
    let name = name.trim_end_matches('.');
    // Empty labels would be left out, and a backslash would begin an escape.
    if name.split('.').any(str::is_empty) || name.contains('\\') {
        return Err(Refused::Nothing);
    }
    let name = Name::new(name).map_err(bad)?;
    let mut packet = Packet::new_query(id);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    let qtype = QTYPE::TYPE(match kind {
        Kind::A => TYPE::A,
        Kind::Aaaa => TYPE::AAAA,
        Kind::Srv => TYPE::SRV,
    });
    packet.questions.push(Question::new(name, qtype, QCLASS::CLASS(CLASS::IN), false));
    packet.build_bytes_vec().map_err(bad)
}

enum Said {
    Answers(Result<Answers, Refused>),
    TooLong,
}

/// What a packet says to this question; `None` for one that is no answer to it.
fn decode(bytes: &[u8], id: u16, name: &str, kind: Kind) -> Option<Said> {
    let packet = Packet::parse(bytes).ok()?;
    let is_ours = packet.id() == id
        && packet.has_flags(PacketFlag::RESPONSE)
        && packet
            .questions
            .iter()
            .all(|question| question.qname.to_string().eq_ignore_ascii_case(name.trim_end_matches('.')));
    if !is_ours {
        return None;
    }
    if packet.has_flags(PacketFlag::TRUNCATION) {
        return Some(Said::TooLong);
    }
    Some(Said::Answers(match packet.rcode() {
        RCODE::NoError => Ok(answers(&packet, kind)),
        RCODE::NameError => Err(Refused::Nothing),
        code => Err(Refused::Trouble(format!("it answered {code:?}"))),
    }))
}

fn answers(packet: &Packet<'_>, kind: Kind) -> Answers {
    let mut answers = Answers::default();
    let mut shortest = u32::MAX;
    for record in &packet.answers {
        match (&record.rdata, kind) {
            (RData::A(a), Kind::A) => answers.addresses.push(Ipv4Addr::from(a.address).into()),
            (RData::AAAA(aaaa), Kind::Aaaa) => answers.addresses.push(Ipv6Addr::from(aaaa.address).into()),
            (RData::SRV(srv), Kind::Srv) => {
                let host = srv.target.to_string().trim_end_matches('.').to_owned();
                // A target of "." says that there is no such service (RFC 2782).
                if !host.is_empty() {
                    let (port, priority, weight) = (srv.port, srv.priority, srv.weight);
                    answers.services.push(ServiceRecord { host, port, priority, weight });
                }
            }
            // On the way to the answer; no longer good than it says either.
            (RData::CNAME(_), _) => {}
            _ => continue,
        }
        shortest = shortest.min(record.ttl);
    }
    answers.ttl = Duration::from_secs(u64::from(shortest));
    answers
}

#[cfg(test)]
mod tests {
    use super::{Kind, Said, decode, encode};

    #[test]
    fn only_the_answer_to_the_question_is_believed() {
        let question = encode(7, "a.test", Kind::A).unwrap();
        assert!(decode(&question, 7, "a.test", Kind::A).is_none(), "a question is no answer");
        let mut answer = question;
        answer[2] |= 0x80;
        assert!(matches!(decode(&answer, 7, "A.test.", Kind::A), Some(Said::Answers(Ok(_)))));
        assert!(decode(&answer, 8, "a.test", Kind::A).is_none(), "another number");
        assert!(decode(&answer, 7, "b.test", Kind::A).is_none(), "another name");
        answer[2] |= 2;
        assert!(matches!(decode(&answer, 7, "a.test", Kind::A), Some(Said::TooLong)));
        answer[2] &= !2;
        answer[3] |= 3;
        assert!(matches!(decode(&answer, 7, "a.test", Kind::A), Some(Said::Answers(Err(_)))));
    }

    #[test]
    fn names_that_cannot_be_asked_for_are_refused() {
        for name in ["", "a..test", &"x".repeat(64), &"abc.".repeat(80)] {
            assert!(encode(1, name, Kind::A).is_err(), "{name:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_packet_makes_it_panic(bytes in proptest::collection::vec(0_u8..=255, 0..200)) {
            let _ = decode(&bytes, 7, "a.test", Kind::A);
            let mut framed = vec![0, 7, 0x81, 0x80, 0, 1, 0, 3, 0, 0, 0, 0, 1, b'a', 4, b't', b'e', b's', b't', 0, 0, 1, 0, 1];
            framed.extend(&bytes);
            let _ = decode(&framed, 7, "a.test", Kind::A);
        }
    }
}
