//! A server that keeps secrets, as the managers do: it notes what arrives, and answers what it was told to.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A request as it arrived.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// Method and target.
    pub(super) line: String,
    /// By names in lower case.
    pub(super) fields: HashMap<String, String>,
    pub(super) body: String,
}

impl Seen {
    pub(super) fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }
}

pub(super) struct Keeper {
    pub(super) address: SocketAddr,
    answers: Arc<Mutex<HashMap<String, (u16, String)>>>,
    seen: Arc<Mutex<Vec<Seen>>>,
    task: JoinHandle<()>,
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Keeper {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let answers: Arc<Mutex<HashMap<String, (u16, String)>>> = Arc::default();
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let task = tokio::spawn({
            let (answers, seen) = (Arc::clone(&answers), Arc::clone(&seen));
            async move {
                loop {
                    let (mut stream, _) = listener.accept().await.unwrap();
                    let mut text = Vec::new();
                    let asked = loop {
                        if let Some(asked) = whole(&text) {
                            break asked;
                        }
                        assert!(stream.read_buf(&mut text).await.unwrap() > 0, "it closed early");
                    };
                    let (status, body) = answers
                        .lock()
                        .unwrap()
                        .get(&asked.line)
                        .cloned()
                        .unwrap_or((404, r#"{"errors":[]}"#.to_owned()));
                    seen.lock().unwrap().push(asked);
                    let head = format!(
                        "HTTP/1.1 {status} X\r\nContent-Length: {}\r\nContent-Type: application/json\r\n\r\n",
                        body.len()
                    );
                    // A client that has seen enough may be gone.
                    let _ = stream.write_all(&[head.as_bytes(), body.as_bytes()].concat()).await;
                }
            }
        });
        Self { address, answers, seen, task }
    }

    pub(super) fn uri(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on this is what a method and target are answered with.
    pub(super) fn answer(&self, line: &str, status: u16, body: &Value) {
        self.answers.lock().unwrap().insert(line.to_owned(), (status, body.to_string()));
    }

    /// What has arrived since the last call.
    pub(super) fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut *self.seen.lock().unwrap())
    }
}

/// A request, once all of it is there.
fn whole(text: &[u8]) -> Option<Seen> {
    let end = text.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&text[..end]).unwrap();
    let (line, fields) = head.split_once("\r\n").unwrap();
    let fields: HashMap<String, String> = fields
        .split("\r\n")
        .map(|field| field.split_once(": ").unwrap())
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length = fields.get("content-length").map_or(0, |length| length.parse().unwrap());
    let body = text.get(end + 4..end + 4 + length)?;
    let line = line.strip_suffix(" HTTP/1.1").unwrap().to_owned();
    Some(Seen { line, fields, body: String::from_utf8(body.to_vec()).unwrap() })
}
