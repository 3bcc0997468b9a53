//! `body_filter`: a script that sees the answer's body piece by piece as `ngx.arg`.
//!
//! A body outlives the look at its exchange, so that a script here sees the answer's head as it went out and the variables as they were then.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use mlua::{Lua, MultiValue, Result, Table, Value};
use usher_http1::head::Head;
use usher_model::variables::Variables;
use usher_pipeline::body::{BodyError, BodyOut, BodyStep};
use usher_pipeline::exchange::Exchange;

use super::request::{Kept, Phase, SHARED};
use super::{Host, argument, field, fields, name, one, string, text, unavailable, whole};
use crate::machine::{self, With};
use crate::script::{Script, ScriptError};

/// The variables that are kept for a body.
const VARIABLES: [&str; 22] = [
    "uri",
    "request_uri",
    "args",
    "request_method",
    "method",
    "scheme",
    "host",
    "http_host",
    "remote_addr",
    "server_port",
    "status",
    "consumer_name",
    "route_id",
    "route_name",
    "service_id",
    "service_name",
    "upstream_status",
    "upstream_addr",
    "http_accept",
    "http_user_agent",
    "sent_http_content_type",
    "apisix_request_id",
];

/// An answer's body on its way through a script.
pub struct BodyScript {
    script: Arc<Script>,
    context: Table,
    answer: Head,
    variables: HashMap<&'static str, Vec<u8>>,
    failed: fn(&Script, &ScriptError),
}

impl BodyScript {
    /// For this exchange's answer. `failed` hears of a script that fails; the body is cut then.
    ///
    /// # Errors
    /// [`ScriptError::Memory`] and the like.
    pub fn start(
        script: Arc<Script>,
        exchange: &mut Exchange,
        failed: fn(&Script, &ScriptError),
    ) -> std::result::Result<Self, ScriptError> {
        let context = machine::context(&mut exchange.slot::<_, Kept>(&SHARED).context)?;
        let variables = VARIABLES
            .into_iter()
            .filter_map(|name| exchange.variable(name).map(|value| (name, value.into_owned())));
        Ok(Self { variables: variables.collect(), answer: exchange.answer.clone(), script, context, failed })
    }

    fn pass(&mut self, piece: Bytes, last: bool, out: &mut BodyOut) -> std::result::Result<(), BodyError> {
        let mut host = BodyHost {
            piece: Some(piece.clone()),
            last,
            context: &self.context,
            answer: &self.answer,
            variables: &self.variables,
        };
        let called = machine::call::<MultiValue>(&self.script, With::Context(&self.context), &mut host);
        match called {
            Ok(_) => {
                out.push(host.piece.unwrap_or_default());
                Ok(())
            }
            Err(error) => {
                (self.failed)(&self.script, &error);
                Err(BodyError::Refused(error.to_string()))
            }
        }
    }
}

impl BodyStep for BodyScript {
    fn chunk(&mut self, bytes: Bytes, out: &mut BodyOut) -> std::result::Result<(), BodyError> {
        self.pass(bytes, false, out)
    }

    fn end(&mut self, _: &mut Head, out: &mut BodyOut) -> std::result::Result<(), BodyError> {
        self.pass(Bytes::new(), true, out)
    }
}

struct BodyHost<'a> {
    piece: Option<Bytes>,
    last: bool,
    context: &'a Table,
    answer: &'a Head,
    variables: &'a HashMap<&'static str, Vec<u8>>,
}

impl Host for BodyHost<'_> {
    fn call(&mut self, lua: &Lua, what: &str, arguments: MultiValue) -> Result<MultiValue> {
        match what {
            "arg" => match whole(argument(&arguments, 0)) {
                Some(1) => string(lua, self.piece.as_ref()),
                Some(2) => Ok(one(Value::Boolean(self.last))),
                _ => Ok(one(Value::Nil)),
            },
            "set_arg" => {
                match whole(argument(&arguments, 0)) {
                    Some(1) => {
                        let new = text(lua, &arguments, 1)?;
                        self.piece = new.map(|new| Bytes::copy_from_slice(&new.as_bytes()));
                    }
                    // Whether it is the end is for the upstream to say.
                    Some(2) => {}
                    _ => return Err(unavailable(what, "the phase body_filter")),
                }
                Ok(MultiValue::new())
            }
            "var" => string(lua, self.variables.get(&*name(lua, &arguments, 0)?)),
            "ctx" => match name(lua, &arguments, 0)?.as_str() {
                "conf_type" => string(lua, Some("route")),
                other => string(lua, self.variables.get(other)),
            },
            "context" => Ok(one(Value::Table(self.context.clone()))),
            "phase" => string(lua, Some(Phase::BodyFilter.name())),
            "status" => Ok(one(Value::Integer(i64::from(self.answer.status())))),
            "answer_header" => field(lua, self.answer, &name(lua, &arguments, 0)?),
            "answer_headers" => Ok(one(Value::Table(fields(lua, self.answer)?))),
            "exit" => Ok(MultiValue::new()),
            other => Err(unavailable(other, "the phase body_filter")),
        }
    }
}
