//! The wire form of a message to JSON.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use protox::prost_reflect::{
    DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, ReflectMessage as _, Syntax,
    Value as Field,
};
use serde_json::{Map, Value};

use super::{Defaults, Style, Wide};

/// The object of a wire form.
pub(super) fn message(kind: &MessageDescriptor, bytes: &[u8], style: Style) -> Result<Value, String> {
    let read = DynamicMessage::decode(kind.clone(), bytes);
    Ok(object(&read.map_err(|error| error.to_string())?, style))
}

fn object(message: &DynamicMessage, style: Style) -> Value {
    let kind = message.descriptor();
    let mut members = Map::new();
    for field in kind.fields() {
        if message.has_field(&field) {
            members.insert(field.name().to_owned(), whole(&field, &message.get_field(&field), style));
        } else if stands_by_itself(&kind, &field, style.defaults) {
            members.insert(field.name().to_owned(), whole(&field, &field.default_value(), style));
        }
    }
    Value::Object(members)
}

/// Whether a member stands in JSON though the message doesn't say it.
fn stands_by_itself(kind: &MessageDescriptor, field: &FieldDescriptor, defaults: Defaults) -> bool {
    let is_proto3 = kind.parent_file().syntax() == Syntax::Proto3;
    let wanted = match defaults {
        Defaults::Proto3 => is_proto3,
        Defaults::All => true,
        Defaults::None => false,
    };
    let is_one = field.containing_oneof().is_none() && !matches!(field.kind(), Kind::Message(_));
    wanted && (field.is_list() || field.is_map() || is_one)
}

fn whole(field: &FieldDescriptor, value: &Field, style: Style) -> Value {
    match value {
        Field::List(many) => many.iter().map(|one| single(&field.kind(), one, style)).collect(),
        Field::Map(entries) => {
            let inside = match field.kind() {
                Kind::Message(entry) => entry.map_entry_value_field().kind(),
                other => other,
            };
            let mut sorted: Vec<(String, Value)> =
                entries.iter().map(|(key, value)| (key_text(key), single(&inside, value, style))).collect();
            // Maps have no order on the wire; answers that are equal should be so to the byte.
            sorted.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(sorted.into_iter().collect())
        }
        one => single(&field.kind(), one, style),
    }
}

fn key_text(key: &MapKey) -> String {
    match key {
        MapKey::Bool(key) => key.to_string(),
        MapKey::I32(key) => key.to_string(),
        MapKey::I64(key) => key.to_string(),
        MapKey::U32(key) => key.to_string(),
        MapKey::U64(key) => key.to_string(),
        MapKey::String(key) => key.clone(),
    }
}

fn single(kind: &Kind, value: &Field, style: Style) -> Value {
    match value {
        Field::Bool(truth) => (*truth).into(),
        Field::I32(number) => (*number).into(),
        Field::U32(number) => (*number).into(),
        Field::I64(number) => wide(*number < 0, number.unsigned_abs(), || (*number).into(), style.wide),
        Field::U64(number) => wide(false, *number, || (*number).into(), style.wide),
        // Written by its own digits, so that 0.1 doesn't come out as 0.10000000149011612.
        Field::F32(number) => number.to_string().parse::<f64>().map_or(Value::Null, Value::from),
        Field::F64(number) => (*number).into(),
        Field::String(text) => text.as_str().into(),
        Field::Bytes(bytes) => {
            std::str::from_utf8(bytes).map_or_else(|_| STANDARD.encode(bytes), str::to_owned).into()
        }
        Field::EnumNumber(number) => {
            let known = match kind {
                Kind::Enum(kind) if !style.enums_as_numbers => kind.get_value(*number),
                _ => None,
            };
            known.map_or_else(|| (*number).into(), |known| known.name().into())
        }
        Field::Message(message) => object(message, style),
        // Neither stands inside of anything else.
        Field::List(_) | Field::Map(_) => Value::Null,
    }
}

/// A number of 64 bits. Those of up to 32 stay numbers whatever is wanted.
fn wide(negative: bool, amount: u64, number: impl FnOnce() -> Value, wanted: Wide) -> Value {
    let most = if negative { 1 << 31 } else { u64::from(u32::MAX) };
    let sign = if negative { "-" } else { "" };
    match wanted {
        _ if amount <= most => number(),
        Wide::Number => number(),
        Wide::Text => format!("#{sign}{amount}").into(),
        Wide::Hex => format!("#{sign}0x{amount:X}").into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::protobuf::{Defaults, Definition, Style, Wide};

    const PROTO: &str = r#"syntax = "proto3"; package t; import "google/protobuf/timestamp.proto";
        enum Color { RED = 0; BLUE = 3; }
        message Inner { string name = 1; repeated int32 n = 2; }
        message All { int32 a = 1; int64 b = 2; uint64 c = 3; bool d = 4; string e = 5; bytes f = 6; double g = 7; float h = 8;
          Color i = 9; Inner j = 10; repeated string k = 11; map<string, Inner> l = 12; map<int32, bool> m = 13; repeated Inner n = 14;
          oneof o { string p = 15; int32 q = 16; } optional int32 r = 17; string two_words = 18; google.protobuf.Timestamp at = 19; }
        service S { rpc Call(All) returns (Inner); rpc Many(All) returns (stream Inner); }"#;

    fn there_and_back(value: &Value, style: Style) -> Result<Value, String> {
        let all = Definition::read(PROTO)?.message("t.All").unwrap();
        all.decode(&all.encode(value)?, style)
    }

    const BARE: Style = Style { wide: Wide::Number, enums_as_numbers: false, defaults: Defaults::None };

    #[test]
    fn what_a_message_says_comes_back() {
        let value = json!({ "a": -5, "b": -9_007_199_254_740_993_i64, "c": u64::MAX, "d": true, "e": "text", "f": "raw", "g": 1.5, "h": 0.1,
            "i": "BLUE", "j": { "name": "x", "n": [1, 2] }, "k": ["a", "b"], "l": { "x": { "name": "y" } }, "m": { "7": true },
            "n": [{}, { "name": "z" }], "q": 0, "r": 0, "two_words": "w", "at": { "seconds": 3 } });
        assert_eq!(there_and_back(&value, BARE).unwrap(), value);
    }

    #[test]
    fn texts_stand_for_numbers_as_they_do_in_queries() {
        let given = json!({ "a": "12", "b": "#-77", "c": "#0xFF", "d": "true", "e": 5, "g": "2.5", "i": "3", "k": "one", "twoWords": "w", "p": null });
        let wanted = json!({ "a": 12, "b": -77, "c": 255, "d": true, "e": "5", "g": 2.5, "i": "BLUE", "k": ["one"], "two_words": "w" });
        assert_eq!(there_and_back(&given, BARE).unwrap(), wanted);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        for (given, sentence) in [
            (json!([]), "the message has to be an object, and is a list"),
            (json!({ "a": "x" }), "a has to be a whole number of 32 bits, and is a text"),
            (json!({ "a": 2_147_483_648_i64 }), "a has to be a whole number of 32 bits, and is a number"),
            (json!({ "c": -1 }), "c has to be a whole number of 64 bits without a sign"),
            (json!({ "b": 1.5 }), "b has to be a whole number of 64 bits"),
            (json!({ "d": "yes" }), "d has to be true or false"),
            (json!({ "i": "GREEN" }), "i has to be a name or number of Color"),
            (
                json!({ "j": { "n": [1, {}] } }),
                "j.n[1] has to be a whole number of 32 bits, and is an object",
            ),
            (json!({ "l": [] }), "l has to be an object, and is a list"),
            (json!({ "m": { "x": true } }), "m.x has to be a whole number of 32 bits"),
            (json!({ "e": {} }), "e has to be a text, and is an object"),
        ] {
            let said = there_and_back(&given, BARE).unwrap_err();
            assert!(said.starts_with(sentence), "{given}: {said}");
        }
    }

    #[test]
    fn styles_are_those_of_lua_protobuf() {
        let given = json!({ "b": 5_000_000_000_i64, "i": 3, "c": 7 });
        let text = Style { wide: Wide::Text, enums_as_numbers: true, defaults: Defaults::None };
        assert_eq!(there_and_back(&given, text).unwrap(), json!({ "b": "#5000000000", "c": 7, "i": 3 }));
        let hex = Style { wide: Wide::Hex, ..BARE };
        assert_eq!(
            there_and_back(&json!({ "b": -5_000_000_000_i64 }), hex).unwrap(),
            json!({ "b": "#-0x12A05F200" })
        );
        let defaults = there_and_back(&json!({}), Style::default()).unwrap();
        let wanted = json!({ "a": 0, "b": 0, "c": 0, "d": false, "e": "", "f": "", "g": 0.0, "h": 0.0, "i": "RED", "two_words": "",
            "k": [], "l": {}, "m": {}, "n": [] });
        assert_eq!(defaults, wanted);
        let unknown = there_and_back(&json!({ "i": 99 }), BARE).unwrap();
        assert_eq!(unknown, json!({ "i": 99 }));
    }

    #[test]
    fn bytes_that_are_no_message_are_refused_and_services_are_known() {
        let definition = Definition::read(PROTO).unwrap();
        let all = definition.message(".t.All").unwrap();
        for bytes in [&[0x0a][..], &[0xff; 16], &[0x52, 0xff, 0xff, 0xff, 0x7f], &[0x2a, 1, 0xff]] {
            assert!(all.decode(bytes, BARE).is_err(), "{bytes:?}");
        }
        assert!(!definition.method("t.S", "Call").unwrap().answers_many());
        assert!(definition.method("t.S", "Many").unwrap().answers_many());
        assert!(definition.method("t.S", "None").is_none() && definition.method("S", "Call").is_none());
    }
}
