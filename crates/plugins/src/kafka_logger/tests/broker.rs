//! A broker of Kafka's wire protocol for tests: reads requests byte by byte, checks what they hold, and answers in its manner.
//!
//! It shares no code with the producer: what both would get wrong alike would be seen by neither.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use aws_lc_rs::{digest, hmac, pbkdf2};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// How the broker answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    Usual,
    /// The first message is refused, because the partition has moved.
    MovesOnce,
    Silent,
    Garbage,
    HugeLength,
    /// Lists of more items than the answer has bytes.
    HugeLists,
    /// Every message is refused for good.
    Refuses,
    /// It wants a proof by this mechanism first.
    Asks(&'static str),
    /// It wants one, and makes up its own.
    Pretends,
}

/// A message that arrived.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) partition: i32,
    pub(super) acks: i16,
    pub(super) key: Option<String>,
    pub(super) value: String,
}

#[derive(Default)]
struct State {
    messages: Vec<Message>,
    metadata: usize,
    refused: usize,
    asked: bool,
    left: bool,
    complaints: Vec<String>,
}

pub(super) struct Broker {
    pub(super) port: u16,
    state: Arc<Mutex<State>>,
}

impl Broker {
    pub(super) fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::<Mutex<State>>::default();
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || {
                    let mut session = Session {
                        stream,
                        manner,
                        port,
                        state: Arc::clone(&shared),
                        known: false,
                        scram: None,
                    };
                    while session.serve().is_some() {}
                    shared.lock().unwrap().left = true;
                });
            }
        });
        Self { port, state }
    }

    pub(super) fn messages(&self) -> Vec<Message> {
        self.state.lock().unwrap().messages.clone()
    }

    pub(super) fn asked_where(&self) -> usize {
        self.state.lock().unwrap().metadata
    }

    pub(super) fn refused(&self) -> usize {
        self.state.lock().unwrap().refused
    }

    pub(super) fn was_asked(&self) -> bool {
        self.state.lock().unwrap().asked
    }

    pub(super) fn was_left(&self) -> bool {
        self.state.lock().unwrap().left
    }

    /// Nothing that arrived broke the protocol.
    pub(super) fn is_content(&self) {
        let state = self.state.lock().unwrap();
        assert!(state.complaints.is_empty(), "{:?}", state.complaints);
    }
}

struct Session {
    stream: TcpStream,
    manner: Manner,
    port: u16,
    state: Arc<Mutex<State>>,
    known: bool,
    scram: Option<(String, String)>,
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count);
        self.0 = rest;
        taken
    }

    fn i16(&mut self) -> i16 {
        i16::from_be_bytes(self.take(2).try_into().unwrap())
    }

    fn i32(&mut self) -> i32 {
        i32::from_be_bytes(self.take(4).try_into().unwrap())
    }

    fn i64(&mut self) -> i64 {
        i64::from_be_bytes(self.take(8).try_into().unwrap())
    }

    fn text(&mut self) -> String {
        let length = self.i16() as usize;
        String::from_utf8(self.take(length).to_vec()).unwrap()
    }

    fn bytes(&mut self) -> &'a [u8] {
        let length = self.i32() as usize;
        self.take(length)
    }

    fn varint(&mut self) -> i64 {
        let (mut value, mut shift) = (0_u64, 0);
        loop {
            let byte = self.take(1)[0];
            value |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                return (value >> 1) as i64 ^ -((value & 1) as i64);
            }
        }
    }
}

impl Session {
    fn serve(&mut self) -> Option<()> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length).ok()?;
        let mut request = vec![0; u32::from_be_bytes(length) as usize];
        self.stream.read_exact(&mut request).ok()?;
        self.state.lock().unwrap().asked = true;
        let mut reader = Reader(&request);
        let (api, version, number) = (reader.i16(), reader.i16(), reader.i32());
        self.expect(reader.text() == "usher", "a client without a name");
        match self.manner {
            // Keeps the connection, says nothing.
            Manner::Silent => return Some(()),
            Manner::Garbage => {
                self.stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").ok()?;
                return None;
            }
            Manner::HugeLength => {
                self.stream.write_all(&i32::MAX.to_be_bytes()).ok()?;
                return Some(());
            }
            _ => {}
        }
        let guarded = matches!(self.manner, Manner::Asks(_) | Manner::Pretends);
        let answer = match (api, version) {
            (17, 1) => self.handshake(&mut reader),
            (36, 0) => self.authenticate(&mut reader)?,
            (3 | 0, _) if guarded && !self.known => {
                self.expect(false, "a request before the proof");
                return None;
            }
            (3, 1) => self.metadata(&mut reader),
            (0, 3) => self.produce(&mut reader),
            other => {
                self.expect(false, &format!("the request {other:?}"));
                return None;
            }
        };
        self.expect(reader.0.is_empty(), "bytes behind a request");
        let mut whole = ((answer.len() + 4) as i32).to_be_bytes().to_vec();
        whole.extend(number.to_be_bytes());
        whole.extend(answer);
        self.stream.write_all(&whole).ok()
    }

    fn expect(&self, holds: bool, what: &str) {
        if !holds {
            self.state.lock().unwrap().complaints.push(what.to_owned());
        }
    }

    fn metadata(&mut self, reader: &mut Reader<'_>) -> Vec<u8> {
        self.state.lock().unwrap().metadata += 1;
        self.expect(reader.i32() == 1 && reader.text() == "requests", "metadata of another topic");
        if self.manner == Manner::HugeLists {
            return 90_000_i32.to_be_bytes().to_vec();
        }
        let mut out = Vec::new();
        // One broker, itself, without a rack; the controller.
        put(&mut out, &[&1_i32.to_be_bytes(), &7_i32.to_be_bytes(), &text("127.0.0.1")]);
        put(&mut out, &[&i32::from(self.port).to_be_bytes(), &(-1_i16).to_be_bytes(), &7_i32.to_be_bytes()]);
        // One topic with three partitions.
        put(
            &mut out,
            &[&1_i32.to_be_bytes(), &0_i16.to_be_bytes(), &text("requests"), &[0], &3_i32.to_be_bytes()],
        );
        for partition in [2_i32, 0, 1] {
            put(&mut out, &[&0_i16.to_be_bytes(), &partition.to_be_bytes(), &7_i32.to_be_bytes()]);
            put(
                &mut out,
                &[&1_i32.to_be_bytes(), &7_i32.to_be_bytes(), &1_i32.to_be_bytes(), &7_i32.to_be_bytes()],
            );
        }
        out
    }

    fn produce(&mut self, reader: &mut Reader<'_>) -> Vec<u8> {
        self.expect(reader.i16() == -1, "a transaction");
        let acks = reader.i16();
        self.expect(reader.i32() == 1000, "another timeout");
        self.expect(reader.i32() == 1 && reader.text() == "requests" && reader.i32() == 1, "another topic");
        let partition = reader.i32();
        let (key, value) = self.record(reader.bytes());
        let moved = self.manner == Manner::MovesOnce && self.state.lock().unwrap().refused == 0;
        let code: i16 = match self.manner {
            Manner::Refuses => 29,
            _ if moved => 6,
            _ => 0,
        };
        {
            let mut state = self.state.lock().unwrap();
            if code == 0 {
                state.messages.push(Message { partition, acks, key, value });
            } else {
                state.refused += 1;
            }
        }
        let mut out = Vec::new();
        put(
            &mut out,
            &[&1_i32.to_be_bytes(), &text("requests"), &1_i32.to_be_bytes(), &partition.to_be_bytes()],
        );
        put(
            &mut out,
            &[&code.to_be_bytes(), &0_i64.to_be_bytes(), &(-1_i64).to_be_bytes(), &0_i32.to_be_bytes()],
        );
        out
    }

    /// Key and value of the one record of a batch.
    fn record(&self, bytes: &[u8]) -> (Option<String>, String) {
        let mut reader = Reader(bytes);
        self.expect(reader.i64() == 0, "a base offset");
        self.expect(reader.i32() as usize == reader.0.len(), "another length");
        self.expect(reader.i32() == -1 && reader.take(1) == [2], "another version of a batch");
        let checksum = reader.i32() as u32;
        self.expect(checksum == castagnoli(reader.0), "another checksum");
        self.expect(reader.i16() == 0 && reader.i32() == 0, "attributes, or more records");
        let (first, last) = (reader.i64(), reader.i64());
        self.expect(first == last && first > 1_700_000_000_000, "no time");
        self.expect(reader.i64() == -1 && reader.i16() == -1 && reader.i32() == -1, "a producer's id");
        self.expect(reader.i32() == 1, "another count");
        self.expect(reader.varint() as usize == reader.0.len(), "another length of a record");
        self.expect(
            reader.take(1) == [0] && reader.varint() == 0 && reader.varint() == 0,
            "a record's own time",
        );
        let length = reader.varint();
        let key = (length >= 0).then(|| String::from_utf8(reader.take(length as usize).to_vec()).unwrap());
        let length = reader.varint() as usize;
        let value = String::from_utf8(reader.take(length).to_vec()).unwrap();
        self.expect(reader.varint() == 0 && reader.0.is_empty(), "headers, or more");
        (key, value)
    }

    fn handshake(&self, reader: &mut Reader<'_>) -> Vec<u8> {
        let wanted = if let Manner::Asks(mechanism) = self.manner { mechanism } else { "SCRAM-SHA-256" };
        let code: i16 = if reader.text() == wanted { 0 } else { 33 };
        let mut out = Vec::new();
        put(&mut out, &[&code.to_be_bytes(), &1_i32.to_be_bytes(), &text(wanted)]);
        out
    }

    fn authenticate(&mut self, reader: &mut Reader<'_>) -> Option<Vec<u8>> {
        let said = String::from_utf8(reader.bytes().to_vec()).unwrap();
        let (code, answer): (i16, String) = match self.manner {
            Manner::Asks("PLAIN") if said == "\0us,er\0pencil" => (0, String::new()),
            Manner::Asks("PLAIN") => (58, String::new()),
            Manner::Pretends => match said.strip_prefix("n,,n=us=2Cer,r=") {
                Some(nonce) => (0, format!("r={nonce}more,s=c2FsdA==,i=4096")),
                None => (0, format!("v={}", STANDARD.encode([0; 32]))),
            },
            Manner::Asks(mechanism) => self.scram(mechanism, &said),
            _ => {
                self.expect(false, "a proof that nobody asked for");
                return None;
            }
        };
        match (code, self.scram.is_none()) {
            (0, true) => self.known = true,
            (0, false) => {}
            _ => self.state.lock().unwrap().refused += 1,
        }
        let mut out = Vec::new();
        put(
            &mut out,
            &[
                &code.to_be_bytes(),
                &(-1_i16).to_be_bytes(),
                &(answer.len() as i32).to_be_bytes(),
                answer.as_bytes(),
            ],
        );
        Some(out)
    }

    fn scram(&mut self, mechanism: &str, said: &str) -> (i16, String) {
        let Some((bare, first)) = self.scram.take() else {
            let bare = said.strip_prefix("n,,").unwrap().to_owned();
            let nonce = bare.strip_prefix("n=us=2Cer,r=").unwrap();
            let first = format!("r={nonce}+broker,s={},i=4096", STANDARD.encode("salt"));
            self.scram = Some((bare, first.clone()));
            return (0, first);
        };
        let (end, proof) = said.rsplit_once(",p=").unwrap();
        let (derived, mac, hash) = if mechanism.ends_with("512") {
            (pbkdf2::PBKDF2_HMAC_SHA512, hmac::HMAC_SHA512, &digest::SHA512)
        } else {
            (pbkdf2::PBKDF2_HMAC_SHA256, hmac::HMAC_SHA256, &digest::SHA256)
        };
        let mut salted = vec![0; hash.output_len()];
        pbkdf2::derive(derived, 4096.try_into().unwrap(), b"salt", b"pencil", &mut salted);
        let sign =
            |key: &[u8], text: &str| hmac::sign(&hmac::Key::new(mac, key), text.as_bytes()).as_ref().to_vec();
        let stored = digest::digest(hash, &sign(&salted, "Client Key"));
        let text = format!("{bare},{first},{end}");
        let signature = sign(stored.as_ref(), &text);
        let proof = STANDARD.decode(proof).unwrap();
        let key: Vec<u8> = proof.iter().zip(&signature).map(|(proof, signature)| proof ^ signature).collect();
        if digest::digest(hash, &key).as_ref() != stored.as_ref() {
            return (58, "e=invalid-proof".to_owned());
        }
        (0, format!("v={}", STANDARD.encode(sign(&sign(&salted, "Server Key"), &text))))
    }
}

fn put(out: &mut Vec<u8>, parts: &[&[u8]]) {
    parts.iter().for_each(|part| out.extend_from_slice(part));
}

fn text(text: &str) -> Vec<u8> {
    let mut out = (text.len() as i16).to_be_bytes().to_vec();
    out.extend_from_slice(text.as_bytes());
    out
}

/// CRC-32C bit by bit.
fn castagnoli(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
        }
    }
    !crc
}
