//! A script that may make another answer of one that the gateway gives itself (`exit-transformer`).

use mlua::{Lua, MultiValue, Result, Value};
use usher_http1::head::Head;
use usher_pipeline::body::Body;
use usher_pipeline::exchange::Exchange;
use usher_pipeline::reply::Reply;

use super::request::{Phase, RequestHost};
use super::{Host, set, whole};
use crate::machine::{self, With};
use crate::native::json;
use crate::script::{Script, ScriptError};

/// Bodies beyond this are handed on without the script having seen them, in bytes.
const MOST_BYTES: usize = 1 << 20;

/// An answer as a script is handed it: status, body, fields.
pub(crate) struct Given<'a> {
    status: u16,
    body: &'a Body,
    fields: &'a Head,
}

impl Given<'_> {
    /// As three values of the machine's. A body that is an object or a list in JSON is a table, as the plugins of APISIX hand theirs over.
    pub(crate) fn to_lua(&self, lua: &Lua) -> Result<MultiValue> {
        let body = match self.body {
            Body::Full(bytes) => match serde_json::from_slice::<serde_json::Value>(bytes) {
                Ok(value) if value.is_object() || value.is_array() => json::to_lua(lua, &value)?,
                _ => Value::String(lua.create_string(bytes)?),
            },
            Body::Empty | Body::Stream(_) => Value::Nil,
        };
        let fields = super::fields(lua, self.fields)?;
        Ok(MultiValue::from_iter([Value::Integer(i64::from(self.status)), body, Value::Table(fields)]))
    }
}

/// The answer that a script makes of another one. Streams and large bodies stay as they are.
///
/// # Errors
/// [`ScriptError`], and the answer as it was.
pub fn exit(
    script: &Script,
    exchange: &mut Exchange,
    reply: Reply,
) -> std::result::Result<Reply, Box<(ScriptError, Reply)>> {
    match &reply.body {
        Body::Stream(_) => return Ok(reply),
        Body::Full(bytes) if bytes.len() > MOST_BYTES => return Ok(reply),
        Body::Full(_) | Body::Empty => {}
    }
    match made(script, exchange, &reply) {
        Ok(made) => Ok(made),
        Err(error) => Err(Box::new((error, reply))),
    }
}

fn made(script: &Script, exchange: &mut Exchange, reply: &Reply) -> std::result::Result<Reply, ScriptError> {
    let mut place = None;
    let context = machine::context(&mut place)?;
    // It sees the request as a log phase does: everything, and nothing of it can be changed any more.
    let mut host = RequestHost::new(exchange, Phase::Log, context);
    let given = Given { status: reply.head.status(), body: &reply.body, fields: &reply.head };
    let (exited, code, body, fields): (bool, Value, Value, Value) =
        machine::call(script, With::Exit(&given), &mut host as &mut dyn Host)?;
    let failed = |why: String| ScriptError::Failed(format!("{}: {why}", script.name));
    if exited {
        return Err(failed(
            "ngx.exit means nothing here, a script returns status, body and headers".to_owned(),
        ));
    }
    let status = whole(&code).and_then(|code| u16::try_from(code).ok());
    let status = status.filter(|status| (200..=599).contains(status)).ok_or_else(|| {
        failed("it returns a status from 200 to 599 first, but this one returned something else".to_owned())
    })?;
    let mut head = reply.head.clone();
    head.set_status(status);
    let body = match body {
        Value::Nil => Body::Empty,
        body => Body::Full(machine::body_text(&body)?.into()),
    };
    if matches!(body, Body::Empty) {
        // What it was said to be isn't there any more.
        head.remove("content-type");
    } else if !head.contains("content-type") {
        // Neither name nor value is anything but plain.
        let _ = head.set("Content-Type", "text/plain; charset=utf-8");
    }
    if let Value::Table(fields) = fields {
        let is_bare = matches!(body, Body::Empty);
        for pair in fields.pairs::<String, Value>() {
            let (name, value) = pair.map_err(|error| failed(error.to_string()))?;
            if is_bare && name.eq_ignore_ascii_case("content-type") {
                continue;
            }
            let texts = machine::texts(&value)?;
            // A field that is set to the very value that it has keeps its place and spelling.
            if !head.get_all(&name).eq(texts.iter().map(Vec::as_slice)) {
                set(&mut head, &name, &texts).map_err(|error| failed(error.to_string()))?;
            }
        }
    }
    Ok(Reply { head, body })
}
