//! A plugin's body, once its schema took it, becomes the plugin's own type; what still can't be read is told in words that name the member.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::plugin::BuildError;
use crate::schema::whole_numbers;

/// The body as its own type.
///
/// # Errors
/// The member that can't be read, and what it may be.
pub(crate) fn read<T: DeserializeOwned>(mut body: Value) -> Result<T, BuildError> {
    whole_numbers(&mut body);
    serde_path_to_error::deserialize(body).map_err(|error| {
        let reason = plainly(&error.inner().to_string());
        match error.path().to_string().as_str() {
            "." => BuildError::new(reason),
            member => BuildError::new(format!("property \"{member}\" validation failed: {reason}")),
        }
    })
}

/// The reader's sentence without the name of a Rust type in it.
fn plainly(sentence: &str) -> String {
    let Some((found, wanted)) = sentence.rsplit_once(", expected ") else { return sentence.to_owned() };
    let Some((least, most)) = bounds(wanted) else { return sentence.to_owned() };
    let value = found.split('`').nth(1).unwrap_or(found);
    format!("{value} is not a whole number from {least} to {most}")
}

/// The bounds of a type of whole numbers.
fn bounds(kind: &str) -> Option<(i64, u64)> {
    const fn most(value: i64) -> u64 {
        value.unsigned_abs()
    }
    Some(match kind {
        "u8" => (0, u8::MAX.into()),
        "u16" => (0, u16::MAX.into()),
        "u32" => (0, u32::MAX.into()),
        "u64" | "usize" => (0, u64::MAX),
        "i8" => (i8::MIN.into(), most(i8::MAX as i64)),
        "i16" => (i16::MIN.into(), most(i16::MAX as i64)),
        "i32" => (i32::MIN.into(), most(i32::MAX as i64)),
        "i64" | "isize" => (i64::MIN, most(i64::MAX)),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::Value;

    use super::read;

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "only read")]
    struct Sample {
        #[serde(default)]
        count: u64,
        #[serde(default)]
        small: i8,
        #[serde(default)]
        rows: Vec<Row>,
    }

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "only read")]
    struct Row {
        code: u16,
    }

    #[test]
    fn a_member_that_can_not_be_read_is_named_with_what_it_may_be() {
        for (body, wanted) in [
            (
                r#"{"count": 1000000000000000000000000000000}"#,
                "property \"count\" validation failed: 1e+30 is not a whole number from 0 to 18446744073709551615",
            ),
            (
                r#"{"small": 300}"#,
                "property \"small\" validation failed: 300 is not a whole number from -128 to 127",
            ),
            (
                r#"{"rows": [{"code": 1}, {"code": 70000}]}"#,
                "property \"rows[1].code\" validation failed: 70000 is not a whole number from 0 to 65535",
            ),
            (r#"{"rows": [{}]}"#, "property \"rows[0]\" validation failed: missing field `code`"),
        ] {
            let body: Value = serde_json::from_str(body).unwrap();
            let error = read::<Sample>(body.clone()).unwrap_err();
            assert_eq!(error.message, wanted, "{body}");
        }
    }
}
