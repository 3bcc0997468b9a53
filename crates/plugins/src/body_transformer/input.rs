//! Bodies as data that a template reads.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{multipart, xml};
use crate::form;

/// How a body is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Format {
    /// Elements are members, attributes the member `_attr` of theirs.
    Xml,
    /// An object or a list.
    Json,
    /// A form (`application/x-www-form-urlencoded`).
    Encoded,
    /// The arguments of the request, whatever its body.
    Args,
    /// Not at all: the template has `_body`.
    Plain,
    /// A form of parts (`multipart/form-data`).
    Multipart,
}

/// The most members of a form, or arguments.
const MOST: usize = 1000;

impl Format {
    /// The format of a content type.
    pub(super) fn of(content_type: &str) -> Option<Self> {
        let lower = content_type.to_ascii_lowercase();
        if lower.contains("text/xml") || lower.contains("application/xml") || lower.contains("+xml") {
            Some(Self::Xml)
        } else if lower.contains("application/json") {
            Some(Self::Json)
        } else if lower.contains("application/x-www-form-urlencoded") {
            Some(Self::Encoded)
        } else if lower.contains("multipart/") {
            Some(Self::Multipart)
        } else {
            None
        }
    }

    /// The data of a body.
    ///
    /// # Errors
    /// It isn't of this format.
    pub(super) fn read(self, body: &[u8], content_type: Option<&str>) -> Result<Value, String> {
        match self {
            Self::Xml => xml::read(body),
            Self::Json => match serde_json::from_slice(body) {
                Ok(data @ (Value::Object(_) | Value::Array(_))) => Ok(data),
                Ok(_) => Err("it is neither an object nor a list".to_owned()),
                Err(error) => Err(error.to_string()),
            },
            Self::Encoded => Ok(Value::Object(form::table(&String::from_utf8_lossy(body), MOST))),
            Self::Multipart => multipart::read(body, content_type.unwrap_or_default()),
            Self::Args | Self::Plain => Ok(Value::Object(Map::new())),
        }
    }
}

/// The data of a query.
pub(super) fn arguments(query: &str) -> Value {
    Value::Object(form::table(query, MOST))
}
