//! A batch as clients write it, checked as a whole before the first of its requests runs.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use usher_http1::head::Head;
use usher_model::schema::Checker;
use usher_pipeline::exchange::Exchange;
use usher_pipeline::worker::InnerCall;

use crate::form;

/// Methods that a request of a batch may have.
const METHODS: [&str; 9] = ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "CONNECT", "TRACE"];

/// Fields of the client's own request that belong to it alone: to its connection, to its body, to how its answer is coded, or to where it came from,
/// which the gateway says of each request anew.
const OWN: [&str; 17] = [
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-real-ip",
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
    "expect",
    "accept-encoding",
    "range",
];

/// Fields that frame a request or change its protocol: the gateway writes the first itself, and the others mean nothing in a batch.
const FRAMING: [&str; 8] = [
    "connection",
    "content-length",
    "expect",
    "http2-settings",
    "keep-alive",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// A batch.
#[derive(Deserialize)]
pub(super) struct Batch {
    #[serde(default)]
    query: Map<String, Value>,
    #[serde(default)]
    headers: Map<String, Value>,
    #[serde(default = "half_a_minute")]
    timeout: i64,
    pipeline: Vec<Item>,
}

/// One request of it.
#[derive(Deserialize)]
struct Item {
    #[serde(default = "get")]
    method: String,
    path: String,
    #[serde(default)]
    query: Map<String, Value>,
    #[serde(default)]
    headers: Map<String, Value>,
    #[serde(default)]
    body: Value,
    #[serde(default)]
    version: Option<f64>,
}

const fn half_a_minute() -> i64 {
    30_000
}

fn get() -> String {
    "GET".to_owned()
}

fn checker() -> Result<&'static Checker, String> {
    static CHECKER: LazyLock<Result<Checker, String>> = LazyLock::new(|| {
        let item = json!({
            "type": "object",
            "properties": {
                "version": { "type": "number", "enum": [1.0, 1.1], "default": 1.1 },
                "method": { "type": "string", "enum": METHODS, "default": "GET" },
                "path": { "type": "string", "minLength": 1 },
                "query": { "type": "object" },
                "headers": { "type": "object" },
                "ssl_verify": { "type": "boolean", "default": false },
            },
            "required": ["path"],
        });
        let schema = json!({
            "type": "object",
            "properties": {
                "query": { "type": "object" },
                "headers": { "type": "object" },
                "timeout": { "type": "integer", "default": 30_000 },
                "pipeline": { "type": "array", "minItems": 1, "items": item },
            },
            "anyOf": [{ "required": ["pipeline"] }],
        });
        Checker::new(&schema).map_err(|error| error.0)
    });
    CHECKER.as_ref().map_err(Clone::clone)
}

impl Batch {
    /// Reads a batch of at most `most` requests.
    ///
    /// # Errors
    /// The sentence of what is wrong with it.
    pub(super) fn read(body: &[u8], most: u64) -> Result<Self, String> {
        if body.is_empty() {
            return Err("no request body, you should give at least one pipeline setting".to_owned());
        }
        let value: Value =
            serde_json::from_slice(body).map_err(|error| format!("invalid request body: {error}"))?;
        checker()?.check_foreign(&value).map_err(|violation| format!("bad request body: {violation}"))?;
        let batch: Self =
            serde_json::from_value(value).map_err(|error| format!("bad request body: {error}"))?;
        if batch.pipeline.len() as u64 > most {
            return Err(format!(
                "bad request body: property \"pipeline\" validation failed: expect array to have at most {most} items"
            ));
        }
        Ok(batch)
    }

    /// How long each request may take.
    pub(super) fn timeout(&self) -> Duration {
        // Lua's sockets take what isn't positive for no time at all, which no request would survive.
        Duration::from_millis(u64::try_from(self.timeout).unwrap_or(0).max(1))
    }

    /// Its requests, in the name of the client whose request this is.
    ///
    /// # Errors
    /// The sentence of the request that can't be sent.
    pub(super) fn calls(&self, exchange: &Exchange) -> Result<Vec<InnerCall>, String> {
        let calls = self.pipeline.iter().enumerate().map(|(at, item)| {
            let call = self.call(item, exchange);
            call.map_err(|why| format!("bad request body: item {} of pipeline can't be sent: {why}", at + 1))
        });
        calls.collect()
    }

    fn call(&self, item: &Item, exchange: &Exchange) -> Result<InnerCall, String> {
        if !item.path.starts_with('/') {
            return Err(format!("its path begins with a slash, \"{}\" doesn't", item.path));
        }
        let target = self.target(item);
        let mut head = Head::request(&item.method, "/");
        head.set_target(&target).map_err(|error| format!("{error}: {target:?}"))?;
        for (name, values) in self.fields(item, exchange)? {
            for value in values {
                head.append(&name, &value).map_err(|error| format!("its header {name}: {error}"))?;
            }
        }
        let body = match &item.body {
            Value::Null => Vec::new(),
            Value::String(text) => text.clone().into_bytes(),
            other => other.to_string().into_bytes(),
        };
        Ok(InnerCall {
            head,
            is_http10: item.version.is_some_and(|version| version < 1.05),
            body: body.into(),
            client: exchange.client,
            server: exchange.server,
            secured: exchange.secured.clone(),
            timeout: self.timeout(),
            max_answer_bytes: 0,
        })
    }

    fn target(&self, item: &Item) -> String {
        let mut target = sendable(&item.path);
        let shared = self.query.iter().filter(|(name, _)| !item.query.contains_key(*name));
        for (name, value) in item.query.iter().chain(shared) {
            for value in several(value) {
                target.push(if target.contains('?') { '&' } else { '?' });
                target.push_str(&form::escaped(name));
                if value != Value::Bool(true) {
                    target.push('=');
                    target.push_str(&form::escaped(&text(&value)));
                }
            }
        }
        target
    }

    /// The request's own fields, then those of the batch, then the client's: the first that names one has it.
    fn fields(&self, item: &Item, exchange: &Exchange) -> Result<BTreeMap<String, Vec<Vec<u8>>>, String> {
        let mut fields: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
        for (name, value) in item.headers.iter().chain(&self.headers) {
            let name = name.to_ascii_lowercase();
            if FRAMING.contains(&name.as_str()) || fields.contains_key(&name) {
                continue;
            }
            if value.is_object() {
                return Err(format!("its header {name} is a text, or a list of texts, but not an object"));
            }
            fields.insert(name, several(value).iter().map(|value| text(value).into_bytes()).collect());
        }
        let said: Vec<String> = fields.keys().cloned().collect();
        for (name, value) in exchange.request.head.iter() {
            let name = name.to_ascii_lowercase();
            let is_own = name.starts_with("content-") || OWN.contains(&name.as_str());
            if !is_own && !said.contains(&name) {
                fields.entry(name).or_default().push(value.to_vec());
            }
        }
        Ok(fields)
    }
}

/// A path and query as they may stand in a request line; what they mean is the gateway's to judge.
fn sendable(target: &str) -> String {
    target.chars().fold(String::with_capacity(target.len()), |mut out, letter| {
        if letter.is_ascii_graphic() {
            out.push(letter);
        } else {
            let mut room = [0; 4];
            out.push_str(&form::escaped(letter.encode_utf8(&mut room)));
        }
        out
    })
}

fn several(value: &Value) -> Vec<Value> {
    match value {
        Value::Array(items) => items.clone(),
        one => vec![one.clone()],
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
