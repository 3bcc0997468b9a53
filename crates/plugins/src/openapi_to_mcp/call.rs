//! A tool's call as a request of HTTP: to another server, or through the gateway itself in the client's own name.

use bytes::Bytes;
use serde_json::{Map, Value};
use usher_http1::head::Head;

use super::parameter::{Parameter, Place, word};
use super::tools::{BodyKind, Tool};
use crate::form;

/// The longest path and query that arguments may make, in bytes.
const MOST_TARGET: usize = 8 << 10;

/// Fields of the client's own request that belong to it alone: to its connection, its body, to how it is answered or to MCP, or that the gateway says of
/// each request anew.
const OWN: [&str; 21] = [
    "accept",
    "accept-encoding",
    "connection",
    "expect",
    "forwarded",
    "http2-settings",
    "keep-alive",
    "last-event-id",
    "origin",
    "proxy-connection",
    "range",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-real-ip",
];

/// What is sent.
#[derive(Debug)]
pub(super) struct Sent {
    /// Path and query.
    pub(super) target: String,
    pub(super) fields: Head,
    pub(super) body: Bytes,
}

impl Sent {
    /// Makes it of checked arguments. `fields` are those that stay as they are.
    ///
    /// # Errors
    /// The argument that can't be sent.
    pub(super) fn new(
        tool: &Tool,
        prefix: &str,
        mut fields: Head,
        arguments: &Map<String, Value>,
    ) -> Result<Self, String> {
        let argument = |parameter: &Parameter| {
            let from = if tool.is_flat {
                Some(arguments)
            } else {
                arguments.get(parameter.place.group()).and_then(Value::as_object)
            };
            from.and_then(|from| from.get(&parameter.key)).filter(|value| !value.is_null())
        };
        let path = tool.path.with(|name| {
            let is_it = |known: &&Parameter| known.place == Place::Path && known.name == name;
            let parameter = tool.parameters.iter().find(is_it)?;
            Some((parameter, argument(parameter)?))
        })?;
        let mut query = String::new();
        for parameter in &tool.parameters {
            let Some(value) = argument(parameter) else { continue };
            match parameter.place {
                Place::Path => {}
                Place::Query => parameter.query(value, &mut query),
                // What the client or the configuration says stays as it is.
                Place::Header if fields.contains(&parameter.name) => {}
                Place::Header => {
                    let text = parameter.plain(value).written(str::to_owned);
                    fields.append(&parameter.name, &text).map_err(|_| {
                        format!(
                            "header parameter {:?} is {text:?}, which can't stand in a header field: leave control characters out",
                            parameter.name
                        )
                    })?;
                }
            }
        }
        let mut target = format!("{prefix}{path}");
        if !query.is_empty() {
            target.push('?');
            target.push_str(&query);
        }
        if target.len() > MOST_TARGET {
            return Err(format!(
                "the arguments make an address of {} bytes, at most {MOST_TARGET} are sent; send fewer",
                target.len()
            ));
        }
        let mut body = Bytes::new();
        if let (Some(how), Some(value)) = (&tool.body, arguments.get("requestBody")) {
            body = body_of(how.kind, value).into();
            fields
                .set("Content-Type", &how.media_type)
                .map_err(|_| format!("the media type {:?} can't be sent", how.media_type))?;
        }
        Ok(Self { target, fields, body })
    }
}

fn body_of(kind: BodyKind, value: &Value) -> String {
    match (kind, value) {
        (BodyKind::Json, value) => value.to_string(),
        (BodyKind::Form, Value::Object(members)) => {
            let mut pairs = Vec::new();
            for (name, value) in members {
                match value {
                    Value::Null => {}
                    Value::Array(items) => pairs.extend(items.iter().map(|item| (name.as_str(), word(item)))),
                    one => pairs.push((name.as_str(), word(one))),
                }
            }
            form::encode(pairs.iter().map(|(name, value)| (*name, value.as_str())))
        }
        (_, value) => word(value),
    }
}

/// The fields with which a client's own calls go through the gateway: its credentials are in them.
pub(super) fn own_fields(client: &Head) -> Head {
    let mut fields = Head::empty();
    for (name, value) in client.iter() {
        let lower = name.to_ascii_lowercase();
        let is_own = OWN.contains(&lower.as_str())
            || ["content-", "if-", "mcp-"].iter().any(|start| lower.starts_with(start));
        if !is_own && let Err(error) = fields.append(name, value) {
            tracing::debug!(%error, "left out a field of a client's that can't be sent on");
        }
    }
    fields
}
