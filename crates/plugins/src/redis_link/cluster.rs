//! Which node of a Redis cluster a key is on (Redis cluster specification: key distribution model, redirections).

use std::rc::Rc;

use redis::Value;
use usher_pipeline::worker::Worker;

use super::{Links, Redis, Trouble};

/// How many slots keys are spread over.
const SLOTS: u16 = 16_384;

/// Who serves which slots, as far as one worker knows.
#[derive(Default)]
pub(super) struct Slots(Vec<Range>);

struct Range {
    first: u16,
    last: u16,
    node: (String, u16),
}

impl Slots {
    fn node(&self, slot: u16) -> Option<&(String, u16)> {
        // What was learned last stands in front.
        self.0.iter().find(|range| (range.first..=range.last).contains(&slot)).map(|range| &range.node)
    }

    /// A slot is on another node than was known.
    pub(super) fn moved(&mut self, slot: u16, node: (String, u16)) {
        if self.0.len() > usize::from(SLOTS) {
            self.0.clear();
        }
        self.0.insert(0, Range { first: slot, last: slot, node });
    }
}

/// The node that serves a key. A seed that doesn't answer in time is asked last by the next request.
///
/// # Errors
/// No seed can say.
pub(super) async fn node_for(
    redis: &Redis,
    worker: &Rc<dyn Worker>,
    links: &Links,
    seeds: &[(String, u16)],
    key: &[u8],
) -> Result<(String, u16), Trouble> {
    let slot = slot(key);
    if let Some(node) = links.slots.borrow().node(slot) {
        return Ok(node.clone());
    }
    let mut command = redis::cmd("CLUSTER");
    command.arg("SLOTS");
    let mut failed = Trouble::Unreachable("the redis cluster has no node for a key".to_owned());
    for (at, seed) in links.in_turn(seeds) {
        match redis.ask(worker, links, seed, redis.node_login(), &command).await {
            Ok(answer) => {
                let slots = read(answer, &seed.0);
                let node = slots.node(slot).cloned();
                *links.slots.borrow_mut() = slots;
                if let Some(node) = node {
                    links.turn.set(at);
                    return Ok(node);
                }
            }
            Err(trouble) => failed = trouble,
        }
    }
    Err(failed)
}

fn read(answer: Value, seed: &str) -> Slots {
    let Value::Array(rows) = answer else { return Slots::default() };
    let range = |row: Value| {
        let Value::Array(row) = row else { return None };
        let [Value::Int(first), Value::Int(last), Value::Array(master), ..] = row.as_slice() else {
            return None;
        };
        let [host, Value::Int(port), ..] = master.as_slice() else { return None };
        let host = match host {
            Value::BulkString(host) => String::from_utf8(host.clone()).ok()?,
            Value::SimpleString(host) => host.clone(),
            _ => String::new(),
        };
        let host = if host.is_empty() || host == "?" { seed.to_owned() } else { host };
        Some(Range {
            first: u16::try_from(*first).ok()?,
            last: u16::try_from(*last).ok()?,
            node: (host, u16::try_from(*port).ok()?),
        })
    };
    Slots(rows.into_iter().filter_map(range).take(usize::from(SLOTS)).collect())
}

/// A node as clusters write it: `host:port`, IPv6 without brackets. An empty host is the one that said so.
pub(super) fn address(text: &str, asked: &str) -> Option<(String, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let host = if host.is_empty() { asked } else { host };
    let port = port.parse().ok().filter(|port| *port > 0)?;
    (!host.is_empty()).then(|| (host.to_owned(), port))
}

/// The slot of a key: what stands in its first braces decides, or else all of it.
fn slot(key: &[u8]) -> u16 {
    let tag = key.iter().position(|byte| *byte == b'{').and_then(|open| {
        let rest = key.get(open + 1..)?;
        let close = rest.iter().position(|byte| *byte == b'}').filter(|close| *close > 0)?;
        rest.get(..close)
    });
    crc16(tag.unwrap_or(key)) % SLOTS
}

/// CRC-16/XMODEM: polynomial 0x1021, beginning at 0.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(
            crc ^ u16::from(*byte) << 8,
            |crc, _| {
                if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 }
            },
        )
    })
}

#[cfg(test)]
mod tests {
    use redis::Value;

    use super::{Slots, address, read, slot};

    #[test]
    fn keys_have_the_slots_of_the_specification() {
        for (key, wanted) in [
            ("123456789", 0x31c3),
            ("foo", 12182),
            ("{user1000}.following", slot(b"user1000")),
            ("foo{}{bar}", slot(b"foo{}{bar}")),
            ("foo{{bar}}zap", slot(b"{bar")),
            ("foo{bar}{zap}", slot(b"bar")),
        ] {
            assert_eq!(slot(key.as_bytes()), wanted, "{key}");
        }
    }

    #[test]
    fn what_a_cluster_says_of_its_slots_is_read() {
        let row = |first, last, host: &str, port| {
            let master =
                vec![Value::BulkString(host.into()), Value::Int(port), Value::BulkString(b"id".to_vec())];
            Value::Array(vec![Value::Int(first), Value::Int(last), Value::Array(master)])
        };
        let mut slots =
            read(Value::Array(vec![row(0, 99, "a", 1), row(100, 16383, "", 2), Value::Nil]), "seed");
        assert_eq!(slots.node(99), Some(&("a".to_owned(), 1)));
        assert_eq!(slots.node(100), Some(&("seed".to_owned(), 2)));
        slots.moved(100, ("b".to_owned(), 3));
        assert_eq!(slots.node(100), Some(&("b".to_owned(), 3)));
        assert!(Slots::default().node(0).is_none());
    }

    #[test]
    fn addresses_are_read_with_and_without_hosts() {
        for (text, wanted) in [
            ("10.0.0.1:7000", Some(("10.0.0.1", 7000))),
            (":7001", Some(("here", 7001))),
            ("[::1]:7000", Some(("::1", 7000))),
            ("::1:7000", Some(("::1", 7000))),
            ("a.test", None),
            ("a.test:0", None),
            ("a.test:x", None),
        ] {
            let found = address(text, "here");
            assert_eq!(found.as_ref().map(|(host, port)| (host.as_str(), *port)), wanted, "{text}");
        }
    }
}
