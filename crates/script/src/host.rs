//! Who answers what a script asks of its request: one function for the time of one call.

pub(crate) mod body;
pub(crate) mod condition;
mod ending;
pub(crate) mod exit;
pub(crate) mod request;
pub(crate) mod template;

use mlua::{Error, Lua, LuaString, MultiValue, Result, Table, Value};
use usher_http1::head::Head;
use usher_model::variables::Variables;

/// Answers a script.
pub(crate) trait Host {
    /// What the script asks, by the surface's own word for it.
    ///
    /// # Errors
    /// It can't be had here; the script fails with this sentence.
    fn call(&mut self, lua: &Lua, what: &str, arguments: MultiValue) -> Result<MultiValue>;
}

/// The argument at a place; absent ones are nil.
fn argument(arguments: &MultiValue, at: usize) -> &Value {
    const NIL: &Value = &Value::Nil;
    arguments.get(at).unwrap_or(NIL)
}

/// A whole number, in whichever of its two shapes it comes.
fn whole(value: &Value) -> Option<i64> {
    value.as_integer().or_else(|| {
        let number = value.as_number()?;
        #[expect(clippy::cast_possible_truncation, reason = "checked to be whole and small")]
        (number.fract() == 0.0 && number.abs() < 1e6).then_some(number as i64)
    })
}

/// A text argument; numbers are texts too.
fn text(lua: &Lua, arguments: &MultiValue, at: usize) -> Result<Option<LuaString>> {
    match argument(arguments, at) {
        Value::Nil => Ok(None),
        Value::Boolean(truth) => lua.create_string(truth.to_string()).map(Some),
        other => match lua.coerce_string(other.clone())? {
            Some(text) => Ok(Some(text)),
            None => Err(Error::runtime(format!("expected a string, got a {}", other.type_name()))),
        },
    }
}

/// A name, which has to be there.
fn name(lua: &Lua, arguments: &MultiValue, at: usize) -> Result<String> {
    let found = text(lua, arguments, at)?;
    found.map(|text| text.to_string_lossy()).ok_or_else(|| Error::runtime("expected a name, got nil"))
}

/// One value.
fn one(value: Value) -> MultiValue {
    MultiValue::from_iter([value])
}

/// Bytes as a string of the machine's; nil where there are none.
fn string(lua: &Lua, bytes: Option<impl AsRef<[u8]>>) -> Result<MultiValue> {
    Ok(one(match bytes {
        Some(bytes) => Value::String(lua.create_string(bytes)?),
        None => Value::Nil,
    }))
}

/// A variable: a string, or a list where it is one.
fn variable(lua: &Lua, variables: &dyn Variables, name: &str) -> Result<MultiValue> {
    if let Some(items) = variables.list(name) {
        let table = lua.create_table()?;
        for item in items {
            table.raw_push(lua.create_string(item)?)?;
        }
        return Ok(one(Value::Table(table)));
    }
    string(lua, variables.variable(name))
}

/// All fields of a head by their names in lower case; one that comes again is a list.
fn fields(lua: &Lua, head: &Head) -> Result<Table> {
    let table = lua.create_table()?;
    for (name, value) in head.iter() {
        let name = name.to_ascii_lowercase();
        let value = Value::String(lua.create_string(value)?);
        match table.raw_get::<Value>(name.as_str())? {
            Value::Nil => table.raw_set(name, value)?,
            Value::Table(several) => several.raw_push(value)?,
            first => table.raw_set(name, lua.create_sequence_from([first, value])?)?,
        }
    }
    Ok(table)
}

/// The field of this name; a list where there are several.
fn field(lua: &Lua, head: &Head, name: &str) -> Result<MultiValue> {
    let mut all = head.get_all(name);
    let first = all.next();
    let Some(second) = all.next() else { return string(lua, first) };
    let table = lua.create_table()?;
    for value in first.into_iter().chain([second]).chain(all) {
        table.raw_push(lua.create_string(value)?)?;
    }
    Ok(one(Value::Table(table)))
}

/// What a field is set to: nothing, one value or several.
pub(crate) fn values(lua: &Lua, value: &Value) -> Result<Vec<Vec<u8>>> {
    let text = |value: &Value| match lua.coerce_string(value.clone())? {
        Some(text) => Ok(text.as_bytes().to_vec()),
        None => match value {
            Value::Boolean(truth) => Ok(truth.to_string().into_bytes()),
            other => Err(Error::runtime(format!("a header can't be a {}", other.type_name()))),
        },
    };
    match value {
        Value::Nil => Ok(Vec::new()),
        Value::Table(several) => several.sequence_values::<Value>().map(|value| text(&value?)).collect(),
        one => Ok(vec![text(one)?]),
    }
}

/// Sets a field to these values.
fn set(head: &mut Head, name: &str, values: &[Vec<u8>]) -> Result<()> {
    head.remove(name);
    append(head, name, values)
}

/// Adds these values to a field.
fn append(head: &mut Head, name: &str, values: &[Vec<u8>]) -> Result<()> {
    for value in values {
        head.append(name, value)
            .map_err(|error| Error::runtime(format!("the header {name} can't be set: {error}")))?;
    }
    Ok(())
}

/// What isn't there in this place.
fn unavailable(what: &str, here: &str) -> Error {
    let what = match what {
        "say" => "ngx.say",
        "exit" => "ngx.exit",
        "redirect" => "ngx.redirect",
        "body" => "the request's body",
        "set_body" => "ngx.req.set_body_data",
        "header" | "headers" => "ngx.req.get_headers",
        "set_header" | "add_header" => "ngx.req.set_header",
        "set_args" => "ngx.req.set_uri_args",
        "set_uri" => "ngx.req.set_uri",
        "set_method" => "ngx.req.set_method",
        "set_var" => "setting a variable",
        "answer_header" | "set_answer_header" | "add_answer_header" | "answer_headers" => "ngx.header",
        "status" | "set_status" => "ngx.status",
        "arg" | "set_arg" => "ngx.arg",
        other => other,
    };
    Error::runtime(format!("{what} is not available in {here}"))
}
