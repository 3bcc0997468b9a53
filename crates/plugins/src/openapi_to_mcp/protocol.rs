//! MCP over Streamable HTTP without sessions: what a request has to be before it is a message, and what messages there are.
//!
//! Each answer is one JSON text; nothing is kept from one request to the next, so that any gateway answers any of them.

use serde_json::{Map, Value, json};
use usher_http1::head::Head;
use usher_pipeline::reply::Reply;
use usher_pipeline::request::Request;

/// The versions that are spoken, the newest last.
const VERSIONS: [&str; 4] = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"];
/// What an origin is that stands for all of them.
const ANY: &str = "*";

pub(super) const PARSE_ERROR: i64 = -32_700;
pub(super) const INVALID_REQUEST: i64 = -32_600;
pub(super) const METHOD_NOT_FOUND: i64 = -32_601;
pub(super) const INVALID_PARAMS: i64 = -32_602;
pub(super) const INTERNAL_ERROR: i64 = -32_603;

/// What a client sent.
#[derive(Debug, PartialEq)]
pub(super) enum Message {
    /// Nobody waits for an answer.
    Notice,
    /// A request.
    Request { id: Value, method: String, params: Map<String, Value> },
}

/// Why a request isn't answered with a result.
#[derive(Debug, PartialEq)]
pub(super) struct Fault {
    pub(super) code: i64,
    pub(super) message: String,
}

impl Fault {
    pub(super) fn params(message: impl Into<String>) -> Self {
        Self { code: INVALID_PARAMS, message: message.into() }
    }
}

/// A result of JSON-RPC.
pub(super) fn result(id: &Value, result: &Value) -> Reply {
    json_reply(200, &json!({ "jsonrpc": "2.0", "id": id, "result": result }))
}

/// An error of JSON-RPC.
pub(super) fn error(status: u16, id: &Value, fault: &Fault) -> Reply {
    let error = json!({ "code": fault.code, "message": fault.message });
    json_reply(status, &json!({ "jsonrpc": "2.0", "id": id, "error": error }))
}

fn json_reply(status: u16, value: &Value) -> Reply {
    Reply::text(status, "application/json", value.to_string())
}

/// The answer to what is no message.
#[derive(Debug)]
pub(super) struct Refused {
    status: u16,
    id: Value,
    fault: Fault,
}

impl Refused {
    fn new(status: u16, message: impl Into<String>) -> Self {
        let fault = Fault { code: INVALID_REQUEST, message: message.into() };
        Self { status, id: Value::Null, fault }
    }

    /// As it is sent.
    pub(super) fn reply(&self) -> Reply {
        let reply = error(self.status, &self.id, &self.fault);
        if self.status == 405 { reply.with("Allow", "POST") } else { reply }
    }
}

/// Lets a request through whose head is one of MCP's.
///
/// # Errors
/// The answer to any other.
pub(super) fn admit(request: &Request, allowed_origins: &[String]) -> Result<(), Refused> {
    let head = &request.head;
    if let Some(origin) = head.get("origin") {
        let origin = String::from_utf8_lossy(origin);
        if !is_own(&origin, request) && !allowed_origins.iter().any(|known| known == ANY || *known == origin)
        {
            return Err(Refused::new(
                403,
                format!("the origin {origin:?} may not call this; it is let in by \"allowed_origins\""),
            ));
        }
    }
    if request.method() != "POST" {
        let sentence = format!(
            "{} is not served here: there are no sessions and no streams; POST a message of JSON-RPC",
            request.method()
        );
        return Err(Refused::new(405, sentence));
    }
    let kind = media_type(head.get("content-type").unwrap_or_default());
    if kind != "application/json" {
        return Err(Refused::new(415, format!("Content-Type is {kind:?}; write application/json")));
    }
    let plain = |coding: &[u8]| coding.is_empty() || coding.eq_ignore_ascii_case(b"identity");
    if !head.get_all("content-encoding").all(plain) {
        return Err(Refused::new(415, "a body with a Content-Encoding isn't read; send it without"));
    }
    if !takes_json(head) {
        return Err(Refused::new(
            406,
            "Accept admits no application/json; write application/json, text/event-stream",
        ));
    }
    match head.get("mcp-protocol-version").map(String::from_utf8_lossy) {
        Some(version) if !VERSIONS.contains(&version.trim()) => Err(Refused::new(
            400,
            format!("MCP-Protocol-Version {version:?} is not spoken here; {} are", VERSIONS.join(", ")),
        )),
        _ => Ok(()),
    }
}

/// Whether an origin is where the request itself went: a page that the gateway serves may call it.
fn is_own(origin: &str, request: &Request) -> bool {
    let Some((scheme, authority)) = origin.split_once("://") else { return false };
    let usual = if scheme.eq_ignore_ascii_case("https") { ":443" } else { ":80" };
    let asked = match request.port() {
        Some(port) => format!("{}:{port}", request.host()),
        None => request.host().to_owned(),
    };
    let bare = |text: &str| text.strip_suffix(usual).unwrap_or(text).to_ascii_lowercase();
    bare(authority) == bare(&asked)
}

fn media_type(value: &[u8]) -> String {
    String::from_utf8_lossy(value).split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn takes_json(head: &Head) -> bool {
    let mut lines = head.get_all("accept").peekable();
    lines.peek().is_none()
        || lines.any(|line| {
            line.split(|byte| *byte == b',').any(|range| {
                let is_refused = String::from_utf8_lossy(range).split(';').skip(1).any(|part| {
                    part.trim().strip_prefix("q=").and_then(|q| q.parse::<f32>().ok()) == Some(0.0)
                });
                !is_refused
                    && ["application/json", "application/*", "*/*"].contains(&media_type(range).as_str())
            })
        })
}

/// Reads a message.
///
/// # Errors
/// The answer to what is none.
pub(super) fn read(body: &[u8]) -> Result<Message, Refused> {
    let value: Value = serde_json::from_slice(body).map_err(|problem| {
        let message = format!("the body is no JSON: {problem}");
        Refused { status: 400, id: Value::Null, fault: Fault { code: PARSE_ERROR, message } }
    })?;
    let Value::Object(mut members) = value else {
        let sentence = if value.is_array() {
            "batches are not taken; post one message at a time"
        } else {
            "the body is no message; wanted an object with jsonrpc \"2.0\" and method"
        };
        return Err(Refused::new(400, sentence));
    };
    let id = members.remove("id");
    let is_id = |id: &Value| id.is_string() || id.is_i64() || id.is_u64();
    let wrong = |sentence: &str| {
        let id = id.clone().filter(is_id).unwrap_or_default();
        Err(Refused { id, ..Refused::new(400, sentence) })
    };
    if members.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
        return wrong("\"jsonrpc\" has to be \"2.0\"");
    }
    let method = match members.remove("method") {
        Some(Value::String(method)) => method,
        Some(_) => return wrong("\"method\" has to be a text"),
        // An answer to a question: none is ever asked here.
        None if members.contains_key("result") || members.contains_key("error") => {
            return Ok(Message::Notice);
        }
        None => return wrong("\"method\" is missing"),
    };
    let id = match id {
        None => return Ok(Message::Notice),
        Some(id) if is_id(&id) => id,
        Some(_) => return wrong("\"id\" has to be a text or a whole number"),
    };
    match members.remove("params") {
        None | Some(Value::Null) => Ok(Message::Request { id, method, params: Map::new() }),
        Some(Value::Object(params)) => Ok(Message::Request { id, method, params }),
        Some(_) => {
            let fault = Fault::params("\"params\" has to be an object");
            Err(Refused { status: 200, id, fault })
        }
    }
}

/// What `initialize` is answered with.
///
/// # Errors
/// The client names no version.
pub(super) fn initialize(
    params: &Map<String, Value>,
    title: &str,
    version: &str,
    instructions: &str,
) -> Result<Value, Fault> {
    let Some(Value::String(asked)) = params.get("protocolVersion") else {
        return Err(Fault::params("\"protocolVersion\" is missing; write one such as 2025-06-18"));
    };
    let [.., newest] = VERSIONS;
    let spoken = VERSIONS.into_iter().find(|known| known == asked).unwrap_or(newest);
    let mut answer = json!({
        "protocolVersion": spoken,
        "capabilities": { "tools": {} },
        "serverInfo": { "name": title, "version": version },
    });
    if !instructions.is_empty()
        && let Some(members) = answer.as_object_mut()
    {
        members.insert("instructions".to_owned(), instructions.into());
    }
    Ok(answer)
}
