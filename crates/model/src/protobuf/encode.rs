//! JSON to the wire form of a message.

use std::collections::HashMap;

use protox::prost_reflect::prost::Message as _;
use protox::prost_reflect::{
    DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, Value as Field,
};
use serde_json::Value;

/// The wire form of an object.
pub(super) fn message(kind: &MessageDescriptor, value: &Value) -> Result<Vec<u8>, String> {
    Ok(dynamic(kind, value, "")?.encode_to_vec())
}

fn dynamic(kind: &MessageDescriptor, value: &Value, path: &str) -> Result<DynamicMessage, String> {
    let Value::Object(members) = value else {
        return Err(wrong(path, "an object", value));
    };
    let mut made = DynamicMessage::new(kind.clone());
    for field in kind.fields() {
        let given = members.get(field.name()).or_else(|| members.get(field.json_name()));
        let Some(given) = given.filter(|given| !given.is_null()) else { continue };
        let place = below(path, field.name());
        let whole = whole(&field, given, &place)?;
        made.try_set_field(&field, whole).map_err(|error| format!("{place}: {error}"))?;
    }
    Ok(made)
}

/// A field's whole value: one, many, or a map.
fn whole(field: &FieldDescriptor, value: &Value, place: &str) -> Result<Field, String> {
    if field.is_map() {
        let (Kind::Message(entry), Value::Object(members)) = (field.kind(), value) else {
            return Err(wrong(place, "an object", value));
        };
        let (key, kind) = (entry.map_entry_key_field().kind(), entry.map_entry_value_field().kind());
        let mut map = HashMap::with_capacity(members.len());
        for (name, member) in members {
            let place = below(place, name);
            map.insert(map_key(&key, name, &place)?, single(&kind, member, &place)?);
        }
        return Ok(Field::Map(map));
    }
    if !field.is_list() {
        return single(&field.kind(), value, place);
    }
    let many = match value {
        Value::Array(many) => many.as_slice(),
        one => std::slice::from_ref(one),
    };
    let each = |(at, one): (usize, &Value)| single(&field.kind(), one, &format!("{place}[{at}]"));
    many.iter().enumerate().map(each).collect::<Result<_, _>>().map(Field::List)
}

fn map_key(kind: &Kind, name: &str, place: &str) -> Result<MapKey, String> {
    Ok(match single(kind, &Value::from(name), place)? {
        Field::Bool(key) => MapKey::Bool(key),
        Field::I32(key) => MapKey::I32(key),
        Field::I64(key) => MapKey::I64(key),
        Field::U32(key) => MapKey::U32(key),
        Field::U64(key) => MapKey::U64(key),
        Field::String(key) => MapKey::String(key),
        _ => return Err(format!("{place} can't be the key of a map")),
    })
}

fn single(kind: &Kind, value: &Value, place: &str) -> Result<Field, String> {
    let refused = |wanted: &str| wrong(place, wanted, value);
    Ok(match kind {
        Kind::Double => Field::F64(float(value).ok_or_else(|| refused("a number"))?),
        #[expect(clippy::cast_possible_truncation, reason = "the field is this fine and no finer")]
        Kind::Float => Field::F32(float(value).ok_or_else(|| refused("a number"))? as f32),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => {
            Field::I32(whole_number(value).ok_or_else(|| refused("a whole number of 32 bits"))?)
        }
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => {
            Field::I64(whole_number(value).ok_or_else(|| refused("a whole number of 64 bits"))?)
        }
        Kind::Uint32 | Kind::Fixed32 => Field::U32(
            whole_number(value).ok_or_else(|| refused("a whole number of 32 bits without a sign"))?,
        ),
        Kind::Uint64 | Kind::Fixed64 => Field::U64(
            whole_number(value).ok_or_else(|| refused("a whole number of 64 bits without a sign"))?,
        ),
        Kind::Bool => Field::Bool(truth(value).ok_or_else(|| refused("true or false"))?),
        Kind::String => Field::String(text(value).ok_or_else(|| refused("a text"))?),
        Kind::Bytes => Field::Bytes(text(value).ok_or_else(|| refused("a text"))?.into_bytes().into()),
        Kind::Message(kind) => Field::Message(dynamic(kind, value, place)?),
        Kind::Enum(kind) => {
            let named = value.as_str().and_then(|name| kind.get_value_by_name(name));
            let number = named.map(|known| known.number()).or_else(|| whole_number(value));
            Field::EnumNumber(number.ok_or_else(|| refused(&format!("a name or number of {}", kind.name())))?)
        }
    })
}

/// A whole number: written as one, as a fraction of nothing, or as a text, also with the `#` that wide ones are answered with.
fn whole_number<T: TryFrom<i128>>(value: &Value) -> Option<T> {
    let number = match value {
        Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(number), ..) => i128::from(number),
            (_, Some(number), _) => i128::from(number),
            #[expect(
                clippy::cast_possible_truncation,
                reason = "it was just seen to be whole and small enough"
            )]
            (.., Some(number)) if number.fract() == 0.0 && number.abs() < 2e19 => number as i128,
            _ => return None,
        },
        Value::String(text) => {
            let text = text.strip_prefix('#').unwrap_or(text);
            let (sign, digits) = match text.strip_prefix('-') {
                Some(rest) => (-1, rest),
                None => (1, text),
            };
            let number = match digits.strip_prefix("0x") {
                Some(hex) => i128::from_str_radix(hex, 16).ok()?,
                None => digits.parse::<i128>().ok().filter(|number| *number >= 0)?,
            };
            sign * number
        }
        _ => return None,
    };
    T::try_from(number).ok()
}

fn float(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

fn truth(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(truth) => Some(*truth),
        Value::String(text) if text == "true" || text == "1" => Some(true),
        Value::String(text) if text == "false" || text == "0" => Some(false),
        _ => None,
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn below(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn wrong(place: &str, wanted: &str, value: &Value) -> String {
    let found = match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    };
    let place = if place.is_empty() { "the message" } else { place };
    format!("{place} has to be {wanted}, and is {found}")
}
