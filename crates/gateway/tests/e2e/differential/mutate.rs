//! Requests that are nearly right: seeds, among them the corpus of the codec, changed by a few steps each, always the same for the same number.

use std::path::Path;

use serde_json::Value;

/// What is put in between.
const TOKENS: &[&str] = &[
    "\r\n",
    "\n",
    "\r",
    "\0",
    " ",
    "\t",
    ":",
    "\r\n\r\n",
    "0\r\n\r\n",
    "5\r\nhello\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding:\tchunked\r\n",
    "Transfer-Encoding: identity, chunked\r\n",
    "Transfer_Encoding: chunked\r\n",
    "Content-Length: 5\r\n",
    "Content-Length: 0\r\n",
    "Content-Length: +5\r\n",
    "Content-Length: 5, 5\r\n",
    "Content_Length: 7\r\n",
    "Connection: Content-Length\r\n",
    "Connection: close\r\n",
    "Expect: 100-continue\r\n",
    "Upgrade: h2c\r\n",
    "Host: b.test\r\n",
    "GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n",
    "/..;/",
    "/%2e%2e/",
    "%2f",
    "%00",
    "\\",
    "#",
    "?",
    "//",
    ";a=b",
    "\u{e9}",
];

/// Requests that are right.
const SEEDS: &[&str] = &[
    "GET /plain HTTP/1.1\r\nHost: a.test\r\n\r\n",
    "GET /query?a=1&b=%20c HTTP/1.1\r\nHost: a.test\r\nAccept: */*\r\n\r\n",
    "POST /length HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhello",
    "POST /chunks HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n3;x=y\r\nabc\r\n0\r\n\r\n",
    "PUT /trailers HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 7\r\n\r\n",
    "POST /one HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\n\r\noneGET /two HTTP/1.1\r\nHost: a.test\r\n\r\n",
    "DELETE /a/./b/../c HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\n\r\nPATCH /d HTTP/1.1\r\nHost: a.test\r\nContent-Length: 2\r\n\r\nxy",
    "GET http://a.test/absolute HTTP/1.1\r\nHost: a.test\r\n\r\n",
    "POST /expect HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\nbody",
    "GET /old HTTP/1.0\r\nHost: a.test\r\nConnection: keep-alive\r\n\r\n",
    "OPTIONS /star HTTP/1.1\r\nHost: a.test\r\nCookie: a=b; c=d\r\nX-Long: 0123456789abcdef\r\n\r\n",
    "HEAD /head HTTP/1.1\r\nHost: a.test\r\n\r\n",
];

/// An endless row of them.
pub(super) struct Mutations {
    own: Vec<Vec<u8>>,
    corpus: Vec<Vec<u8>>,
    state: u64,
    at: usize,
}

impl Mutations {
    pub(super) fn new(seed: u64) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../http1/tests/corpus/http1-corpus.json");
        let corpus: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let latin = |text: &str| text.chars().map(|one| u8::try_from(u32::from(one)).unwrap()).collect();
        let cases = corpus["cases"].as_array().unwrap();
        let of_corpus = cases.iter().map(|case| latin(case["request"].as_str().unwrap()));
        let own = SEEDS.iter().map(|seed| seed.as_bytes().to_vec()).collect();
        // What is large is slow, and tells nothing that isn't told by what is small.
        let corpus = of_corpus.filter(|seed: &Vec<u8>| seed.len() < 2_000).collect();
        Self { own, corpus, state: seed | 1, at: 0 }
    }

    /// xorshift: the same numbers on every machine.
    fn next_number(&mut self) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        usize::try_from(self.state >> 16).unwrap()
    }

    fn below(&mut self, bound: usize) -> usize {
        self.next_number() % bound.max(1)
    }

    fn change(&mut self, bytes: &mut Vec<u8>) {
        let place = self.below(bytes.len() + 1);
        match self.below(7) {
            0 => {
                if let Some(byte) = bytes.get_mut(place) {
                    *byte = u8::try_from(self.below(256)).unwrap();
                }
            }
            1 => {
                let end = (place + 1 + self.below(4)).min(bytes.len());
                drop(bytes.drain(place.min(end)..end));
            }
            2 => {
                let end = (place + self.below(24)).min(bytes.len());
                let copy = bytes[place..end].to_vec();
                drop(bytes.splice(place..place, copy));
            }
            3 | 4 => {
                // At the beginning of a line, where a field would be.
                let starts: Vec<usize> = bytes
                    .windows(2)
                    .enumerate()
                    .filter(|(_, two)| *two == b"\r\n")
                    .map(|(at, _)| at + 2)
                    .collect();
                let place = if starts.is_empty() { place } else { starts[self.below(starts.len())] };
                let token = TOKENS[self.below(TOKENS.len())];
                drop(bytes.splice(place..place, token.bytes()));
            }
            5 => {
                let token = TOKENS[self.below(TOKENS.len())];
                drop(bytes.splice(place..place, token.bytes()));
            }
            _ => {
                // Another spelling of the same.
                if let Some(byte) = bytes.get_mut(place)
                    && byte.is_ascii_alphabetic()
                {
                    *byte ^= 0x20;
                }
            }
        }
    }
}

impl Iterator for Mutations {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        let at = self.at;
        self.at += 1;
        // The first round sends what is right as it is.
        if let Some(seed) = self.own.get(at) {
            return Some(seed.clone());
        }
        let rather_right = self.below(4) > 0;
        let place = self.below(if rather_right { self.own.len() } else { self.corpus.len() });
        let mut bytes = if rather_right { self.own[place].clone() } else { self.corpus[place].clone() };
        for _ in 0..=self.below(3) {
            self.change(&mut bytes);
        }
        Some(bytes)
    }
}
