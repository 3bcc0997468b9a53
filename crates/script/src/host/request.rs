//! A script in a phase of a request: what it may see and change there, and how it ends.

use mlua::{Error, Lua, MultiValue, Result, Table, Value};
use usher_http1::head::Head;
use usher_model::template::Template;
use usher_model::variables::Variables;
use usher_pipeline::body::Body;
use usher_pipeline::exchange::Exchange;
use usher_pipeline::reply::Reply;

use super::ending::{Exit, ending, returned, spoken};
use super::{
    Host, append, argument, field, fields, name, one, set, string, text, unavailable, values, variable, whole,
};
use crate::SAID;
use crate::machine::{self, With};
use crate::native::json;
use crate::script::{Script, ScriptError};

/// Where in a request a script runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Before the consumer is known.
    Rewrite,
    /// After the consumer is known.
    Access,
    /// After a node was chosen.
    BeforeProxy,
    /// The answer's head.
    HeaderFilter,
    /// The answer's body.
    BodyFilter,
    /// The finished exchange.
    Log,
}

impl Phase {
    /// As OpenResty calls it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rewrite => "rewrite",
            Self::Access => "access",
            Self::BeforeProxy => "balancer",
            Self::HeaderFilter => "header_filter",
            Self::BodyFilter => "body_filter",
            Self::Log => "log",
        }
    }

    const fn is_on_the_way_in(self) -> bool {
        matches!(self, Self::Rewrite | Self::Access | Self::BeforeProxy)
    }
}

/// How a script ended.
#[derive(Debug)]
pub enum Ended {
    /// The request goes on, unless something was said: [`said`].
    On,
    /// It is answered.
    Reply(Box<Reply>),
}

/// What scripts leave in a request for later ones.
#[derive(Default)]
pub(super) struct Kept {
    pub(super) context: Option<Table>,
    /// Fields of the answer that were set before there was one.
    answer: Vec<Edit>,
    /// What was said on the way in.
    said: Option<Vec<u8>>,
    /// The status for it.
    status: Option<u16>,
}

/// A change of the answer's head.
struct Edit {
    name: String,
    values: Vec<Vec<u8>>,
    adds: bool,
}

/// Whose place in a request it is: all scripts share it.
pub(super) static SHARED: u64 = 0;

/// Calls a script in a phase of a request. A body that it asks for has to be there already.
///
/// # Errors
/// [`ScriptError`]; what it had changed until then stays.
pub fn run(
    script: &Script,
    phase: Phase,
    exchange: &mut Exchange,
) -> std::result::Result<Ended, ScriptError> {
    let mut kept = std::mem::take(exchange.slot::<_, Kept>(&SHARED));
    let context = machine::context(&mut kept.context)?;
    let mut host = RequestHost {
        edits: std::mem::take(&mut kept.answer),
        said: kept.said.take(),
        status: kept.status.take().filter(|_| phase.is_on_the_way_in()),
        ..RequestHost::new(exchange, phase, context.clone())
    };
    let called = machine::call::<(bool, Value, Value)>(script, With::Context(&context), &mut host);
    let RequestHost { edits, said, status, exit, .. } = host;
    kept.answer = edits;
    if let (Ok((false, Value::Nil | Value::Boolean(false), Value::Nil)), None) = (&called, &exit) {
        (kept.said, kept.status) = (said, status);
        *exchange.slot(&SHARED) = kept;
        return Ok(Ended::On);
    }
    *exchange.slot(&SHARED) = kept;
    let (exited, code, body) = called?;
    if !phase.is_on_the_way_in() {
        return Ok(Ended::On);
    }
    let reply = match exit {
        Some(Exit::Redirect(to, status)) => Some(Reply::new(status).with("Location", to)),
        Some(Exit::Status(code)) => ending(code, status, said),
        None if exited => None,
        None => returned(&code, &body, status, said)?,
    };
    Ok(reply.map_or(Ended::On, |reply| Ended::Reply(Box::new(reply))))
}

/// The answer made of what scripts said on the way in, where they did: nothing may follow it but the client.
pub fn said(exchange: &mut Exchange) -> Option<Reply> {
    let kept = exchange.existing_slot::<_, Kept>(&SHARED)?;
    let said = kept.said.take()?;
    Some(spoken(kept.status.take().unwrap_or(200), Some(said)))
}

/// Puts what scripts set on the answer, before there was one, onto it.
pub fn apply(exchange: &mut Exchange) {
    let Some(kept) = exchange.existing_slot::<_, Kept>(&SHARED) else { return };
    for edit in std::mem::take(&mut kept.answer) {
        let done = if edit.adds {
            append(&mut exchange.answer, &edit.name, &edit.values)
        } else {
            set(&mut exchange.answer, &edit.name, &edit.values)
        };
        if let Err(error) = done {
            tracing::warn!(%error, "left out a header that a script set");
        }
    }
}

pub(super) struct RequestHost<'a> {
    exchange: &'a mut Exchange,
    phase: Phase,
    context: Table,
    edits: Vec<Edit>,
    said: Option<Vec<u8>>,
    status: Option<u16>,
    exit: Option<Exit>,
}

impl Host for RequestHost<'_> {
    fn call(&mut self, lua: &Lua, what: &str, arguments: MultiValue) -> Result<MultiValue> {
        match what {
            "var" => variable(lua, self.exchange, &name(lua, &arguments, 0)?),
            "ctx" => self.context(lua, &name(lua, &arguments, 0)?),
            "context" => Ok(one(Value::Table(self.context.clone()))),
            "phase" => string(lua, Some(self.phase.name())),
            "header" => field(lua, &self.exchange.request.head, &name(lua, &arguments, 0)?),
            "headers" => Ok(one(Value::Table(fields(lua, &self.exchange.request.head)?))),
            "raw_header" => string(lua, Some(raw(&self.exchange.request.head))),
            "template" => self.template(lua, &name(lua, &arguments, 0)?),
            "body" => self.body(lua),
            "start_time" => self.start_time(),
            "status" => Ok(one(Value::Integer(i64::from(self.status())))),
            "answer_header" => self.answer_header(lua, &name(lua, &arguments, 0)?),
            "answer_headers" => Ok(one(Value::Table(fields(lua, &self.exchange.answer)?))),
            "set_answer_header" | "add_answer_header" => {
                let name = name(lua, &arguments, 0)?;
                self.edit(what, name, values(lua, argument(&arguments, 1))?)
            }
            "set_status" => self.set_status(argument(&arguments, 0)),
            other => self.change(lua, other, &arguments),
        }
    }
}

impl<'a> RequestHost<'a> {
    pub(super) const fn new(exchange: &'a mut Exchange, phase: Phase, context: Table) -> Self {
        Self { exchange, phase, context, edits: Vec::new(), said: None, status: None, exit: None }
    }
}

impl RequestHost<'_> {
    /// What changes the request or answers it: only on the way in.
    fn change(&mut self, lua: &Lua, what: &str, arguments: &MultiValue) -> Result<MultiValue> {
        if !self.phase.is_on_the_way_in() {
            // Ending the phase is always possible.
            if what == "exit" {
                return Ok(MultiValue::new());
            }
            return Err(unavailable(what, &format!("the phase {}", self.phase.name())));
        }
        let request = &mut self.exchange.request;
        match what {
            "say" => {
                let more = text(lua, arguments, 0)?;
                let said = self.said.get_or_insert_default();
                if let Some(more) = more {
                    said.extend_from_slice(&more.as_bytes());
                }
                if said.len() > SAID {
                    return Err(Error::runtime(format!("a script says at most {SAID} bytes")));
                }
            }
            "exit" => {
                let code = whole(argument(arguments, 0));
                let code = code.ok_or_else(|| Error::runtime("ngx.exit takes a status as a number"))?;
                self.exit = Some(Exit::Status(code));
            }
            "redirect" => {
                let to = name(lua, arguments, 0)?;
                let asked = match argument(arguments, 1) {
                    Value::Nil => Some(302),
                    asked => whole(asked),
                };
                let status =
                    [301, 302, 303, 307, 308].into_iter().find(|known| asked == Some(i64::from(*known)));
                let status = status.ok_or_else(|| {
                    Error::runtime("ngx.redirect takes the status 301, 302, 303, 307 or 308")
                })?;
                self.exit = Some(Exit::Redirect(to, status));
            }
            "set_header" => {
                let values = values(lua, argument(arguments, 1))?;
                set(&mut request.head, &name(lua, arguments, 0)?, &values)?;
            }
            "add_header" => {
                let values = values(lua, argument(arguments, 1))?;
                append(&mut request.head, &name(lua, arguments, 0)?, &values)?;
            }
            "set_method" => {
                let asked = name(lua, arguments, 0)?;
                let known = [
                    ("2", "GET"),
                    ("4", "HEAD"),
                    ("8", "POST"),
                    ("16", "PUT"),
                    ("32", "DELETE"),
                    ("64", "MKCOL"),
                    ("128", "COPY"),
                    ("256", "MOVE"),
                    ("512", "OPTIONS"),
                    ("1024", "PROPFIND"),
                    ("2048", "PROPPATCH"),
                    ("4096", "LOCK"),
                    ("8192", "UNLOCK"),
                    ("16384", "PATCH"),
                ];
                let method = known.iter().find(|(number, word)| *number == asked || *word == asked);
                let (_, method) =
                    method.ok_or_else(|| Error::runtime(format!("there is no method {asked}")))?;
                request.head.set_method(method).map_err(|error| Error::runtime(error.to_string()))?;
            }
            "set_uri" => {
                let uri = name(lua, arguments, 0)?;
                if !uri.starts_with('/') {
                    return Err(Error::runtime(format!("a path begins with a slash, \"{uri}\" doesn't")));
                }
                request.set_path(&uri);
            }
            "set_args" => {
                let args = text(lua, arguments, 0)?.map(|args| args.to_string_lossy());
                request.set_query(args.as_deref().filter(|args| !args.is_empty()));
            }
            "set_body" => {
                let body = text(lua, arguments, 0)?.map(|body| body.as_bytes().to_vec()).unwrap_or_default();
                request.body = if body.is_empty() { Body::Empty } else { Body::Full(body.into()) };
            }
            "set_var" => {
                let value = text(lua, arguments, 1)?.map(|value| value.to_string_lossy());
                self.set_variable(name(lua, arguments, 0)?, value)?;
            }
            other => return Err(unavailable(other, &format!("the phase {}", self.phase.name()))),
        }
        Ok(MultiValue::new())
    }

    fn set_variable(&mut self, name: String, value: Option<String>) -> Result<()> {
        let request = &mut self.exchange.request;
        match name.as_str() {
            "upstream_uri" | "uri" => {
                let value = value.unwrap_or_default();
                let (path, query) =
                    value.split_once('?').map_or((value.as_str(), None), |(path, query)| (path, Some(query)));
                if !path.starts_with('/') {
                    return Err(Error::runtime(format!("a path begins with a slash, \"{path}\" doesn't")));
                }
                request.set_path(path);
                if query.is_some() {
                    request.set_query(query);
                }
            }
            "args" | "query_string" => request.set_query(value.as_deref().filter(|args| !args.is_empty())),
            "upstream_host" => {
                let host = value.unwrap_or_default();
                request.head.set("Host", host).map_err(|error| Error::runtime(error.to_string()))?;
            }
            _ => {
                /// Variables of its own that one request may have.
                const MOST: usize = 64;
                if self.exchange.own_variables() >= MOST && self.exchange.variable(&name).is_none() {
                    return Err(Error::runtime(format!("a request has at most {MOST} variables of its own")));
                }
                self.exchange.set_variable(name, value.unwrap_or_default());
            }
        }
        Ok(())
    }

    fn context(&self, lua: &Lua, name: &str) -> Result<MultiValue> {
        let Some(consumer) = self.exchange.consumer() else {
            return match name {
                "consumer" | "consumer_name" | "consumer_group_id" => Ok(one(Value::Nil)),
                other => self.fact(lua, other),
            };
        };
        match name {
            "consumer_name" => string(lua, Some(&*consumer.name)),
            "consumer_group_id" => string(lua, consumer.group_id.as_deref()),
            "consumer" => {
                let table = lua.create_table()?;
                table.set("username", &*consumer.name)?;
                table.set("consumer_name", &*consumer.name)?;
                table.set("group_id", consumer.group_id.as_deref())?;
                table.set("custom_id", consumer.custom_id.as_deref())?;
                table
                    .set("labels", json::to_lua(lua, &serde_json::Value::Object(consumer.labels.clone()))?)?;
                Ok(one(Value::Table(table)))
            }
            other => self.fact(lua, other),
        }
    }

    fn fact(&self, lua: &Lua, name: &str) -> Result<MultiValue> {
        match name {
            "route_id" | "route_name" | "service_id" | "service_name" | "balancer_ip" | "balancer_port" => {
                variable(lua, self.exchange, name)
            }
            "curr_req_matched" => self.matched(lua),
            "conf_type" => string(lua, Some("route")),
            _ => Ok(one(Value::Nil)),
        }
    }

    /// The patterns that the request came by, and what parts of the path they name.
    fn matched(&self, lua: &Lua) -> Result<MultiValue> {
        let Some(route) = &self.exchange.route else { return Ok(one(Value::Nil)) };
        let table = lua.create_table()?;
        table.set("_path", &*route.uri)?;
        if !route.host.is_empty() {
            table.set("_host", &*route.host)?;
        }
        for (name, part) in self.exchange.parameters() {
            table.set(name, part)?;
        }
        Ok(one(Value::Table(table)))
    }

    fn template(&self, lua: &Lua, template: &str) -> Result<MultiValue> {
        let (rendered, count) = Template::parse(template).render_counted(self.exchange);
        Ok(MultiValue::from_iter([
            Value::String(lua.create_string(rendered)?),
            Value::Nil,
            Value::Integer(i64::try_from(count).unwrap_or(i64::MAX)),
        ]))
    }

    /// The body, where it is there as a whole.
    fn body(&self, lua: &Lua) -> Result<MultiValue> {
        match &self.exchange.request.body {
            Body::Full(bytes) => string(lua, Some(bytes)),
            Body::Empty => Ok(one(Value::Nil)),
            Body::Stream(_) if self.phase.is_on_the_way_in() => Err(Error::runtime(
                "the request's body is not read: call ngx.req.read_body or core.request.get_body by name",
            )),
            Body::Stream(_) => Ok(one(Value::Nil)),
        }
    }

    fn start_time(&self) -> Result<MultiValue> {
        let worker = self.exchange.worker();
        let ms = worker.unix_ms();
        let since = worker.now().saturating_duration_since(self.exchange.times.start).as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 have room in a double")]
        Ok(one(Value::Number(ms as f64 / 1000.0 - since)))
    }

    fn status(&self) -> u16 {
        self.status.unwrap_or(if self.phase.is_on_the_way_in() { 0 } else { self.exchange.answer.status() })
    }

    fn set_status(&mut self, value: &Value) -> Result<MultiValue> {
        let wanted = whole(value).and_then(|status| u16::try_from(status).ok());
        let status = wanted.filter(|status| (200..=599).contains(status));
        let status = status.ok_or_else(|| Error::runtime("ngx.status takes a status from 200 to 599"))?;
        match self.phase {
            Phase::HeaderFilter => self.exchange.answer.set_status(status),
            phase if phase.is_on_the_way_in() => self.status = Some(status),
            phase => return Err(unavailable("set_status", &format!("the phase {}", phase.name()))),
        }
        Ok(MultiValue::new())
    }

    fn answer_header(&self, lua: &Lua, name: &str) -> Result<MultiValue> {
        let edit = self.edits.iter().rfind(|edit| edit.name.eq_ignore_ascii_case(name));
        match edit {
            Some(edit) => string(lua, edit.values.first()),
            None => field(lua, &self.exchange.answer, name),
        }
    }

    fn edit(&mut self, what: &str, name: String, values: Vec<Vec<u8>>) -> Result<MultiValue> {
        /// Fields that scripts may set on one answer.
        const MOST: usize = 100;
        let adds = what == "add_answer_header";
        match self.phase {
            Phase::HeaderFilter if adds => append(&mut self.exchange.answer, &name, &values)?,
            Phase::HeaderFilter => set(&mut self.exchange.answer, &name, &values)?,
            phase if !phase.is_on_the_way_in() => {
                return Err(unavailable(what, &format!("the phase {}", phase.name())));
            }
            _ if self.edits.len() >= MOST => {
                return Err(Error::runtime(format!("scripts set at most {MOST} headers of one answer")));
            }
            _ => {
                // What can't be sent is refused where it is set, so that the script's line is named.
                append(&mut Head::response(200), &name, &values)?;
                self.edits.push(Edit { name, values, adds });
            }
        }
        Ok(MultiValue::new())
    }
}

/// The head as it would be written.
fn raw(head: &Head) -> Vec<u8> {
    let mut out = format!("{} {} HTTP/1.1\r\n", head.method(), head.target()).into_bytes();
    for (name, value) in head.iter() {
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
    out
}
