//! JSON, to and from tables, as cjson does it with APISIX's settings: arrays carry a mark, `null` is a value of its own.

use mlua::{IntoLuaMulti as _, Lua, LuaString, Result, Table, Value};
use serde_json::{Map, Number, Value as Json};

/// How deep tables may nest.
const DEEPEST: usize = 64;

/// Where the mark of arrays is kept.
const MARK: &str = "array_mt";

pub(super) fn add(lua: &Lua, native: &Table) -> Result<()> {
    let mark = lua.create_table()?;
    mark.set_readonly(true);
    lua.set_named_registry_value(MARK, &mark)?;
    native.set(MARK, mark)?;
    // One value where it goes well: scripts hand the call itself to `ngx.say`, which would say a second one too.
    native.set(
        "json_decode",
        lua.create_function(|lua, text: LuaString| match serde_json::from_slice::<Json>(&text.as_bytes()) {
            Ok(value) => to_lua(lua, &value)?.into_lua_multi(lua),
            Err(error) => (Value::Nil, error.to_string()).into_lua_multi(lua),
        })?,
    )?;
    native.set(
        "json_encode",
        lua.create_function(|lua, value: Value| match text(lua, &value) {
            Ok(json) => json.into_lua_multi(lua),
            Err(reason) => (Value::Nil, reason).into_lua_multi(lua),
        })?,
    )
}

/// A value of the machine's.
///
/// # Errors
/// There is no room.
pub(crate) fn to_lua(lua: &Lua, value: &Json) -> Result<Value> {
    Ok(match value {
        Json::Null => Value::NULL,
        Json::Bool(truth) => Value::Boolean(*truth),
        Json::Number(number) => Value::Number(number.as_f64().unwrap_or(f64::NAN)),
        Json::String(text) => Value::String(lua.create_string(text)?),
        Json::Array(items) => {
            let table = lua.create_table_with_capacity(items.len(), 0)?;
            for item in items {
                table.raw_push(to_lua(lua, item)?)?;
            }
            let mark: Table = lua.named_registry_value(MARK)?;
            table.set_metatable(Some(mark))?;
            Value::Table(table)
        }
        Json::Object(members) => {
            let table = lua.create_table_with_capacity(0, members.len())?;
            for (name, member) in members {
                table.raw_set(name.as_str(), to_lua(lua, member)?)?;
            }
            // The text of an XML element that has attributes is its first item, which JSON has no other place for.
            if let (Some(text), true) = (members.get("1"), members.contains_key("_attr")) {
                table.raw_set(1, to_lua(lua, text)?)?;
            }
            Value::Table(table)
        }
    })
}

/// A value as text.
///
/// # Errors
/// What can't be written, as a sentence.
pub(crate) fn text(lua: &Lua, value: &Value) -> std::result::Result<String, String> {
    let mark: Table = lua.named_registry_value(MARK).map_err(|error| error.to_string())?;
    to_json(value, &mark, 0).map(|json| json.to_string())
}

fn to_json(value: &Value, mark: &Table, depth: usize) -> std::result::Result<Json, String> {
    Ok(match value {
        Value::Nil => Json::Null,
        Value::LightUserData(null) if null.0.is_null() => Json::Null,
        Value::Boolean(truth) => Json::Bool(*truth),
        Value::Integer(number) => Json::Number((*number).into()),
        Value::Number(number) => number_of(*number)?,
        Value::String(text) => Json::String(text.to_string_lossy()),
        Value::Table(table) => of_table(table, mark, depth + 1)?,
        other => return Err(format!("Cannot serialise {}: type not supported", other.type_name())),
    })
}

fn number_of(number: f64) -> std::result::Result<Json, String> {
    if number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0 {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a whole number within the bounds of f64's own"
        )]
        return Ok(Json::Number((number as i64).into()));
    }
    Number::from_f64(number)
        .map(Json::Number)
        .ok_or_else(|| "Cannot serialise number: must not be NaN or Inf".to_owned())
}

fn of_table(table: &Table, mark: &Table, depth: usize) -> std::result::Result<Json, String> {
    if depth > DEEPEST {
        return Err(format!("Cannot serialise, excessive depth ({depth})"));
    }
    let marked = table.metatable().is_some_and(|found| found.to_pointer() == mark.to_pointer());
    let mut members = Vec::new();
    let mut whole = true;
    for pair in table.pairs::<Value, Value>() {
        let (key, value) = pair.map_err(|error| error.to_string())?;
        whole &= index(&key).is_some();
        members.push((key, to_json(&value, mark, depth)?));
    }
    if (members.is_empty() && marked) || (!members.is_empty() && whole) {
        let length = members.iter().filter_map(|(key, _)| index(key)).max().unwrap_or(0);
        if length > members.len() * 2 + 10 {
            return Err("Cannot serialise table: excessively sparse array".to_owned());
        }
        let mut items = vec![Json::Null; length];
        for (key, value) in members {
            if let Some(place) = index(&key).and_then(|at| items.get_mut(at - 1)) {
                *place = value;
            }
        }
        return Ok(Json::Array(items));
    }
    let mut object = Map::new();
    for (key, value) in members {
        let name = match &key {
            Value::String(text) => text.to_string_lossy(),
            Value::Number(_) | Value::Integer(_) => key.to_string().map_err(|error| error.to_string())?,
            _ => return Err("Cannot serialise table: table key must be a number or string".to_owned()),
        };
        object.insert(name, value);
    }
    Ok(Json::Object(object))
}

/// A key that is a place in an array, from 1.
fn index(key: &Value) -> Option<usize> {
    match key {
        Value::Integer(at) => usize::try_from(*at).ok().filter(|at| *at > 0),
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a whole number from 1 to 2^32"
        )]
        Value::Number(at) if at.fract() == 0.0 && *at >= 1.0 && *at < 4_294_967_296.0 => Some(*at as usize),
        _ => None,
    }
}
