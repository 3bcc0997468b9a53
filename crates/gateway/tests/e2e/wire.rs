//! Hostile and odd bytes on the wire of the real gateway: each case of the codec's corpus, whole, in small pieces, and behind a good request.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Origin, Usher};

struct Case {
    id: String,
    request: Vec<u8>,
    expect: Vec<String>,
    drop: Vec<String>,
}

fn cases() -> Vec<Case> {
    let text = include_str!("../../../http1/tests/corpus/http1-corpus.json");
    let corpus: Value = serde_json::from_str(text).unwrap();
    let cases = corpus["cases"].as_array().unwrap().iter().map(|case| Case {
        id: case["id"].as_str().unwrap().to_owned(),
        request: case["request"]
            .as_str()
            .unwrap()
            .chars()
            .map(|c| u8::try_from(u32::from(c)).unwrap())
            .collect(),
        expect: case["expect"].as_str().unwrap().split(" | ").map(str::to_owned).collect(),
        drop: case["drop"].as_array().into_iter().flatten().map(|n| n.as_str().unwrap().to_owned()).collect(),
    });
    let cases: Vec<Case> = cases.collect();
    assert_eq!(cases.len(), 111);
    cases
}

/// A connection that reads answer by answer.
struct Client {
    stream: TcpStream,
    reader: BufReader<TcpStream>,
}

impl Client {
    fn connect(usher: &Usher) -> Self {
        let stream = TcpStream::connect(usher.address("proxy")).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Self { reader: BufReader::new(stream.try_clone().unwrap()), stream }
    }

    /// The gateway may close while a hostile client still sends; what it answered is read all the same.
    fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    /// The next answer's status and body; `None` when the connection was closed.
    fn answer(&mut self) -> Option<(u16, String)> {
        let mut head = String::new();
        loop {
            let start = head.len();
            if self.reader.read_line(&mut head).unwrap_or(0) == 0 {
                assert_eq!(head, "", "the connection was closed in the middle of a head");
                return None;
            }
            if &head[start..] == "\r\n" {
                break;
            }
        }
        let length = head
            .lines()
            .find_map(|line| {
                line.to_ascii_lowercase().strip_prefix("content-length:").map(|n| n.trim().parse())
            })
            .map_or(0, Result::unwrap);
        let mut body = vec![0; length];
        self.reader.read_exact(&mut body).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Some((status, String::from_utf8_lossy(&body).into_owned()))
    }
}

/// Reads what is due for one of the wanted outcomes, and says what is wrong if it was none of them.
fn judge(case: &Case, client: &mut Client, origin: &Origin, before: usize) -> Result<(), String> {
    let mut statuses = Vec::new();
    let mut bodies = Vec::new();
    let (mut continued, mut closed) = (false, false);
    let most = case.expect.iter().map(|expect| due(expect)).max().unwrap_or(1);
    let close_is_due = case.expect.iter().all(|expect| closes(expect));
    while statuses.len() < most + usize::from(close_is_due) {
        match client.answer() {
            Some((100, _)) => continued = true,
            Some((status, body)) => {
                statuses.push(status);
                bodies.push(body);
                // A second answer isn't due behind one of the outcomes that end the connection.
                if case.expect.len() > 1 && statuses.len() == 1 && status >= 400 {
                    closed = client.answer().is_none();
                    break;
                }
            }
            None => {
                closed = true;
                break;
            }
        }
    }
    let seen = origin.seen() - before;
    let fits = case.expect.iter().any(|expect| match expect.as_str() {
        "reject-400-close" => statuses == [400] && closed,
        "reject-501-close" => statuses == [501] && closed,
        "accept" => statuses == [200] && seen == 1,
        "accept-local" => statuses == [200] && seen == 0,
        "accept-drop" => statuses == [200] && seen == 1 && drops(case, &bodies[0]),
        "accept-close" => statuses == [200] && closed && seen == 1,
        "accept-two" => statuses == [200, 200] && seen == 2,
        "accept-100" => statuses == [200] && continued && seen == 1,
        "accept-then-reject-400-close" => statuses == [200, 400] && closed && seen == 1,
        other => {
            let (kind, status) = other.split_once(':').unwrap();
            statuses == [status.parse::<u16>().unwrap()] && (closed || kind == "reject-keep")
        }
    });
    if fits {
        return Ok(());
    }
    Err(format!(
        "{}: wanted {:?}, but got {statuses:?}, closed {closed}, continued {continued}, {seen} reached the origin",
        case.id, case.expect
    ))
}

/// How many answers an outcome has.
fn due(expect: &str) -> usize {
    match expect {
        "accept-two" | "accept-then-reject-400-close" => 2,
        _ => 1,
    }
}

fn closes(expect: &str) -> bool {
    expect.ends_with("-close") || expect.starts_with("reject-other")
}

/// Whether the origin saw none of these fields as the client sent them; a length that the gateway counted by itself is another field.
fn drops(case: &Case, seen: &str) -> bool {
    let seen: Value = serde_json::from_str(seen).unwrap();
    let seen = seen["head"].as_str().unwrap().to_ascii_lowercase();
    let sent = String::from_utf8_lossy(&case.request).to_ascii_lowercase();
    case.drop.iter().all(|name| {
        let start = format!("{}:", name.strip_prefix("trailer:").unwrap_or(name));
        let mut unwanted = sent.lines().filter(|line| line.starts_with(&start)).peekable();
        assert!(unwanted.peek().is_some(), "{}: the case has no {name}", case.id);
        unwanted.all(|line| !seen.lines().any(|seen| seen.trim_end() == line.trim_end()))
    })
}

fn gateway() -> (Usher, Origin) {
    let origin = Origin::start("a");
    let usher = Usher::start(&["--store", "memory"]);
    usher.put("/routes/1", &json!({ "uri": "/*", "upstream": origin.upstream() }));
    (usher, origin)
}

/// How a case comes.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    Whole,
    InPieces,
    BehindAGoodRequest,
}

const GOOD: &[u8] = b"GET /good HTTP/1.1\r\nHost: a.test\r\n\r\n";

/// Runs every case on a connection of its own and tells of all that went wrong.
fn run(way: Way) {
    let (usher, origin) = gateway();
    let mut wrong = Vec::new();
    for case in cases() {
        let mut client = Client::connect(&usher);
        let mut before = origin.seen();
        match way {
            Way::Whole => client.send(&case.request),
            Way::InPieces => {
                let size = (case.request.len() / 400).max(1);
                case.request.chunks(size).for_each(|piece| client.send(piece));
            }
            Way::BehindAGoodRequest => {
                client.send(&[GOOD, &case.request].concat());
                assert_eq!(client.answer().map(|(status, _)| status), Some(200), "{}", case.id);
                before += 1;
            }
        }
        wrong.extend(judge(&case, &mut client, &origin, before).err());
    }
    assert!(wrong.is_empty(), "{} of 111 cases:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_case_gets_its_answer_when_it_comes_whole() {
    run(Way::Whole);
}

#[test]
fn every_case_gets_the_same_answer_in_small_pieces() {
    run(Way::InPieces);
}

#[test]
fn every_case_gets_the_same_answer_behind_a_good_request() {
    run(Way::BehindAGoodRequest);
}
