//! Base64, percent-encoding and queries, as `ngx` names them.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use mlua::{Lua, LuaString, Result, Table, Value};

pub(super) fn add(lua: &Lua, native: &Table) -> Result<()> {
    native.set(
        "encode_base64",
        lua.create_function(|_, (raw, unpadded): (LuaString, Option<bool>)| {
            let engine = if unpadded == Some(true) { &STANDARD_NO_PAD } else { &STANDARD };
            Ok(engine.encode(&*raw.as_bytes()))
        })?,
    )?;
    native.set(
        "decode_base64",
        lua.create_function(|lua, text: LuaString| {
            decoded(lua, STANDARD_NO_PAD.decode(without_padding(&text.as_bytes())))
        })?,
    )?;
    native.set(
        "encode_base64url",
        lua.create_function(|_, raw: LuaString| Ok(URL_SAFE_NO_PAD.encode(&*raw.as_bytes())))?,
    )?;
    native.set(
        "decode_base64url",
        lua.create_function(|lua, text: LuaString| {
            decoded(lua, URL_SAFE_NO_PAD.decode(without_padding(&text.as_bytes())))
        })?,
    )?;
    native.set("escape_uri", lua.create_function(|_, text: LuaString| Ok(escaped(&text.as_bytes())))?)?;
    native.set(
        "unescape_uri",
        lua.create_function(|lua, text: LuaString| lua.create_string(unescaped(&text.as_bytes())))?,
    )?;
    native.set("encode_args", lua.create_function(|_, args: Table| encode_args(&args))?)?;
    native.set("decode_args", lua.create_function(decode_args)?)
}

fn without_padding(text: &[u8]) -> Vec<u8> {
    text.iter().copied().filter(|byte| *byte != b'=').collect()
}

fn decoded(lua: &Lua, bytes: std::result::Result<Vec<u8>, base64::DecodeError>) -> Result<Value> {
    bytes.map_or(Ok(Value::Nil), |bytes| lua.create_string(bytes).map(Value::String))
}

fn escaped(text: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(*byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let mut ahead = bytes.clone();
                let digit = |byte: &u8| char::from(*byte).to_digit(16);
                let value = ahead.next().and_then(digit).zip(ahead.next().and_then(digit));
                match value.and_then(|(high, low)| u8::try_from(high * 16 + low).ok()) {
                    Some(value) => {
                        out.push(value);
                        bytes = ahead;
                    }
                    None => out.push(b'%'),
                }
            }
            other => out.push(*other),
        }
    }
    out
}

/// `{a = 1, b = {2, 3}, c = true}` as a query; in the order of names, so that the same table makes the same text.
fn encode_args(args: &Table) -> Result<String> {
    let mut all: Vec<(String, Value)> = Vec::new();
    for pair in args.pairs::<LuaString, Value>() {
        let (name, value) = pair?;
        let name = escaped(&name.as_bytes());
        match value {
            Value::Table(several) => {
                for value in several.sequence_values::<Value>() {
                    all.push((name.clone(), value?));
                }
            }
            one => all.push((name, one)),
        }
    }
    all.sort_by(|a, b| a.0.cmp(&b.0));
    let mut out = String::new();
    for (name, value) in all {
        let text = match value {
            Value::Boolean(false) | Value::Nil => continue,
            Value::Boolean(true) => None,
            Value::String(text) => Some(escaped(&text.as_bytes())),
            other => Some(escaped(other.to_string()?.as_bytes())),
        };
        if !out.is_empty() {
            out.push('&');
        }
        out.push_str(&name);
        if let Some(text) = text {
            out.push('=');
            out.push_str(&text);
        }
    }
    Ok(out)
}

/// A query as a table: a name alone is `true`, one that comes again a list. `limit` arguments are looked at; 0 means all, up to 1000.
fn decode_args(lua: &Lua, (query, limit): (LuaString, Option<usize>)) -> Result<Table> {
    let limit = limit.filter(|limit| *limit > 0).unwrap_or(1000).min(1000);
    let args = lua.create_table()?;
    let bytes = query.as_bytes();
    for pair in bytes.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()).take(limit) {
        let mut halves = pair.splitn(2, |byte| *byte == b'=');
        let name = lua.create_string(unescaped(halves.next().unwrap_or_default()))?;
        let value = match halves.next() {
            Some(value) => Value::String(lua.create_string(unescaped(value))?),
            None => Value::Boolean(true),
        };
        match args.get::<Value>(name.clone())? {
            Value::Nil => args.set(name, value)?,
            Value::Table(several) => several.push(value)?,
            one => args.set(name, lua.create_sequence_from([one, value])?)?,
        }
    }
    Ok(args)
}
